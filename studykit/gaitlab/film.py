"""Film a posed person: one camera's video, its masks, and which points it sees."""

from fractions import Fraction

import av
import cv2
import numpy as np

from studykit.cameras import depth, project
from studykit.files import replacing
from studykit.gaitlab.render import Light, composite, draw_person, draw_shadow
from studykit.skeletons import POINTS
from studykit.truth.file import OCCLUDED, VISIBLE

_NOISE_SD = 1.5  # of the sensor, grey levels
# How far the part of the body around a point reaches, m: nothing nearer than that hides it.
_RADIUS_M = {
    "hip": 0.17, "knee": 0.09, "ankle": 0.08, "heel": 0.05, "toe": 0.05, "big_toe": 0.05, "small_toe": 0.05,
    "shoulder": 0.12, "elbow": 0.07, "wrist": 0.06, "ear": 0.05, "eye": 0.03, "nose": 0.04, "head_top": 0.10,
    "upper_neck": 0.13, "neck": 0.26, "thorax": 0.26, "mid_hip": 0.26, "pelvis": 0.26,
}  # fmt: skip


class Take:
    """One camera's recording of one trial, frame by frame."""

    def __init__(self, dressed, camera, scene, rng, path, fps):
        """Begin a video of a dressed person before a scene (height, width, 3), 0 to 255; `rng` is the camera's."""
        self._dressed, self._camera, self._light, self._rng = dressed, camera, Light(), rng
        gain = np.clip(rng.normal(1, 0.04), 0.9, 1.1) * (1 + rng.normal(0, 0.015, 3))  # exposure, white balance
        self._scene = np.clip(scene * gain, 0, 255).astype(np.uint8)
        self._texture = np.clip(dressed.texture * gain, 0, 255).astype(np.uint8)
        self._empty = cv2.cvtColor(self._scene, cv2.COLOR_RGB2YUV_I420)
        self._noise = _noise_pool(camera.height_px, camera.width_px)
        self._file = av.open(str(path), "w", format="mp4")
        # One thread and no macroblock trees: with them x264 now and then encodes the same frames differently. A key
        # frame a second: quick to seek in. The fastest preset with two of its tools back takes a quarter of the time
        # of "veryfast" on such films, and shows the person more truly.
        options = {"crf": "22", "preset": "ultrafast", "threads": "1", "g": str(max(1, round(fps)))}
        options["x264-params"] = "mbtree=0:cabac=1:deblock=1"
        self._stream = self._file.add_stream("libx264", rate=_rate(fps), options=options)
        self._stream.width, self._stream.height = camera.width_px, camera.height_px
        self._stream.pix_fmt = "yuv420p"
        self.masks = []

    def shoot(self, vertices, normals, positions):
        """Draw one frame into the video; returns the person's layer, None where nobody is in view."""
        camera = self._camera
        layer = draw_person(self._dressed, vertices, normals, camera, self._light, self._texture)
        frame = self._empty.copy()
        scene = self._scene
        shadow = draw_shadow(positions, self._dressed.figure.body, camera, self._light)
        patches = []
        if shadow is not None:
            (rows, columns), share = shadow
            scene = scene.copy()
            dark = cv2.merge([share, share, share])
            scene[rows, columns] = cv2.multiply(scene[rows, columns], dark, dtype=cv2.CV_8U)
            patches.append((rows, columns))
        mask = np.zeros((camera.height_px, camera.width_px), bool)
        if layer is not None:
            if shadow is None:
                scene = scene.copy()
            scene[layer.slices] = composite(scene, layer)
            mask[layer.slices] = layer.mask
            patches.append(layer.slices)
        for rows, columns in patches:
            _put_yuv(frame, scene[rows, columns], rows, columns)
        down, right = self._rng.integers(0, 64, 2)
        grain = self._noise[down : down + camera.height_px, right : right + camera.width_px]
        luma = frame[: camera.height_px]
        cv2.add(luma, grain, dst=luma, dtype=cv2.CV_8U)
        self._encode(av.VideoFrame.from_ndarray(frame, format="yuv420p"))
        self.masks.append(np.packbits(mask, axis=1))
        return layer

    def _encode(self, frame):
        for packet in self._stream.encode(frame):
            self._file.mux(packet)

    def close(self):
        """Finish the video; calling it again does nothing."""
        if self._file is not None:
            self._encode(None)
            self._file.close()
            self._file = None


def _rate(fps):
    """Frames per second as the fraction a video file stores."""
    return Fraction(fps).limit_denominator(1001)


_pools = {}


def _noise_pool(height_px, width_px):
    """Sensor noise, somewhat larger than a frame: each frame takes it from another place."""
    shape = (height_px + 64, width_px + 64)
    if shape not in _pools:
        grain = np.random.default_rng(0).normal(0, _NOISE_SD, shape)
        _pools[shape] = np.round(grain).astype(np.int16)
    return _pools[shape]


def _put_yuv(frame, patch, rows, columns):
    """Write an RGB patch of even place and size into an I420 frame (3/2 height, width)."""
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    h, w = patch.shape[:2]
    flat = cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_RGB2YUV_I420).reshape(-1)
    frame[rows, columns] = flat[: h * w].reshape(h, w)
    chroma = frame.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    half = tuple(slice(s.start // 2, s.stop // 2) for s in (rows, columns))
    chroma[(slice(None), *half)] = flat[h * w :].reshape(2, h // 2, w // 2)


_RADII = np.array([_RADIUS_M[name.removeprefix("left_").removeprefix("right_")] for name in POINTS])


def point_visibility(layer, camera, points):
    """Visible or occluded (point,): occluded if the body is nearer than the point by more than its radius there.

    The farthest of the 3 x 3 pixels around the point decides, so that an edge beside the point does not hide it. What
    lies outside the image is marked by `build_truth`.
    """
    out = np.full(len(points), VISIBLE, np.int8)
    if layer is None:
        return out
    z = depth(camera, points)
    place = project(camera, points) - [layer.left, layer.top]
    column, row = np.rint(np.nan_to_num(place, nan=-9)).astype(int).T
    height, width = layer.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    farthest = _spread(layer)
    k = np.flatnonzero(inside)
    hidden = (farthest[row[k], column[k]] > 0) & (farthest[row[k], column[k]] < z[k] - _RADII[k])
    out[k[hidden]] = OCCLUDED
    return out


def _spread(layer):
    """Greatest depth of the body within one pixel (h, w), m; 0 where there is none."""
    body = np.where(layer.depth < 50, layer.depth, 0).astype(np.float32)
    return cv2.dilate(body, np.ones((3, 3), np.uint8))


def write_masks(path, masks):
    """Masks (time, height, width) as bits, eight pixels of a row a byte."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, mask=np.array(masks))


def load_masks(path, width_px):
    """Masks of a recording (time, height, width) bool, True on the person.

    Parameters
    ----------
    path : path-like
        `masks/<recording>.npz`.
    width_px : int
        Of the image; the file stores whole bytes of eight pixels.
    """
    with np.load(path) as content:
        return np.unpackbits(content["mask"], axis=2, count=width_px).astype(bool)
