"""Pictures of a dressed person in front of a still background, with mask and depth.

The person alone is drawn, into the box it fills, by OpenCV's software rasteriser at twice the resolution. What the
rasteriser interpolates is not a colour but a place in the person's texture and a brightness; the colour is then looked
up once a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from studykit.cameras import depth, project
from studykit.gaitlab.body import unit

FAR_M, NEAR_M = 100.0, 0.1
_BRIGHTEST = 2.0  # brightness is stored as a share of this
_MARGIN_PX = 2
_FINE = 6  # samples of a pixel on the outline, along each axis


def _settings():
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    return settings


@dataclass(frozen=True)
class Light:
    """A distant lamp and its scattered share.

    Attributes
    ----------
    towards : tuple of float
        Direction from the scene to the lamp, world axes.
    ambient : float
        Share of light that comes from everywhere, 0 to 1.
    """

    towards: tuple = (-0.3, 0.88, 0.2)
    ambient: float = 0.55


@dataclass(frozen=True)
class Layer:
    """A drawn person: the box it fills in the image, and within it colour, coverage, mask and depth.

    Attributes
    ----------
    left, top : int
        Corner of the box, px, even numbers.
    colour : ndarray (h, w, 3) float32
        Already multiplied by coverage, 0 to 255.
    coverage : ndarray (h, w) float32
        0 to 1.
    mask : ndarray (h, w) bool
    depth : ndarray (h, w) float32
        Of the person near pixel centres, m; `FAR_M` beside it.
    """

    left: int
    top: int
    colour: np.ndarray
    coverage: np.ndarray
    mask: np.ndarray
    depth: np.ndarray

    @property
    def slices(self):
        """The box as a pair of slices of the image."""
        height, width = self.coverage.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def draw_person(dressed, vertices, normals, camera, light, texture=None, supersample=2):
    """Draw a posed person as one camera sees it.

    Parameters
    ----------
    dressed : Dressed
    vertices, normals : ndarray (V, 3)
        From `dressed.pose`, world, m.
    camera : Camera
    light : Light
    texture : ndarray, optional
        Instead of the person's own, as when a camera's gain has been applied to it.
    supersample : int
        Samples a pixel along each axis.

    Returns
    -------
    Layer or None
        None if the person is wholly outside the image.
    """
    texture = dressed.texture if texture is None else texture
    x, y, z = _image_places(camera, vertices)
    if z.min() < NEAR_M:
        raise ValueError(f"expected a person at least {NEAR_M} m before the camera, got {z.min():.2f} m")
    box = _box(x.min(), y.min(), x.max(), y.max(), camera)
    if box is None:
        return None
    left, top, width, height = box
    x, y = x - left, y - top
    seen = np.flatnonzero(_faces_camera(x, y, dressed.quads) | dressed.two_sided)
    quads = dressed.quads[seen]
    triangles = _triangles(x, y, z, quads, width, height)

    size = np.array([texture.shape[1], texture.shape[0]], np.float32)
    values = np.empty((len(seen), 4, 3), np.float32)
    values[..., :2] = dressed.corners[seen] / size
    values[..., 2] = (_brightness(vertices, normals, camera, light) / _BRIGHTEST)[quads]
    fine = (height * supersample, width * supersample)
    texel, deep = cv2.triangleRasterize(
        *triangles, values.reshape(1, -1, 3), np.zeros((*fine, 3), np.float32), _empty(*fine), *_view()
    )
    albedo = cv2.remap(texture, texel[..., 0] * size[0], texel[..., 1] * size[1], cv2.INTER_NEAREST)
    lit = texel[..., 2] * _BRIGHTEST
    colour = np.minimum(cv2.multiply(albedo, cv2.merge([lit, lit, lit]), dtype=cv2.CV_32F), 255)
    solid = (deep < FAR_M).astype(np.float32)
    colour, coverage = (cv2.resize(w, (width, height), interpolation=cv2.INTER_AREA) for w in (colour, solid))
    middle = slice(supersample // 2, None, supersample)
    return Layer(left, top, colour, coverage, _half_covered(coverage, x, y, quads, triangles), deep[middle, middle])


def _image_places(camera, vertices):
    """x and y, px, and depth, m, of vertices (V, 3); one array (V,) each, which is much faster than one of pairs."""
    matrix = camera.matrix.astype(np.float32)
    u, v, z = matrix[:, :3] @ vertices.T + matrix[:, 3:]
    return u / z, v / z, z


def _faces_camera(x, y, quads):
    """Which quads (Q,) show their front: those whose diagonals turn counter-clockwise, y pointing down."""
    (ax, bx, cx, dx), (ay, by, cy, dy) = ([w[quads[:, k]] for k in range(4)] for w in (x, y))
    return (cx - ax) * (dy - by) < (cy - ay) * (dx - bx)


def _triangles(x, y, z, quads, width, height):
    """Vertices (1, 4 Q, 3) and triangles (1, 2 Q, 3) of quads for OpenCV's rasteriser; x and y count from the box.

    It wants points before a pinhole of 90 degrees that looks at the middle of the picture. Those of any other pinhole
    become such points, exactly, when their image places are scaled with their depth.
    """
    half = height / 2
    points = np.stack([(x - (width / 2 - 0.5)) * z / half, (half - 0.5 - y) * z / half, -z], axis=1)
    first = 4 * np.arange(len(quads), dtype=np.int32)[:, None]
    triangles = first + np.array([0, 1, 2, 0, 2, 3], np.int32)
    return points.astype(np.float32)[quads].reshape(1, -1, 3), triangles.reshape(1, -1, 3)


def _view():
    """What comes last in each call of OpenCV's rasteriser: camera pose, field of view, depth range, settings."""
    return np.eye(4, dtype=np.float32), np.pi / 2, NEAR_M, FAR_M, _settings()


def _half_covered(coverage, x, y, quads, triangles):
    """Mask (h, w) of the pixels at least half covered.

    A few samples decide too little on the outline, so the quads that may touch it are drawn there once more, finer.
    """
    height, width = coverage.shape
    covered = coverage > 0.99
    unsure = (coverage > 0) & ~covered
    points, corners = triangles
    corners = corners.reshape(-1, 6)[_touching(unsure, x, y, quads)].reshape(1, -1, 3)
    deep = cv2.triangleRasterizeDepth(points, corners, _empty(height * _FINE, width * _FINE), *_view())
    share = cv2.resize((deep < FAR_M).astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    return covered | (unsure & (share >= 128))


def _touching(pixels, x, y, quads):
    """Which quads (Q,) have a bounding box that meets any of the marked pixels (h, w)."""
    total = cv2.integral(pixels.astype(np.uint8))
    edges = []
    for w, size in ((y, pixels.shape[0]), (x, pixels.shape[1])):
        whole = np.clip(np.rint(w), -1, size).astype(np.int32)
        a, b, c, d = (whole[quads[:, k]] for k in range(4))
        low = np.minimum(np.minimum(a, b), np.minimum(c, d))
        high = np.maximum(np.maximum(a, b), np.maximum(c, d)) + 1
        edges += [np.clip(low, 0, size), np.clip(high, 0, size)]
    top, bottom, left, right = edges
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0


def _empty(height, width):
    """A depth buffer with nothing in it."""
    return np.full((height, width), FAR_M, np.float32)


def _box(left, top, right, bottom, camera):
    """Left, top, width and height of what must be drawn, whole even pixels; None where it is outside the image."""
    limit = np.array([camera.width_px, camera.height_px])
    low = np.clip(np.floor([left, top]).astype(int) - _MARGIN_PX, 0, limit) // 2 * 2
    high = np.clip(np.ceil([right, bottom]).astype(int) + _MARGIN_PX + 1, 0, limit)
    high = np.minimum((high + 1) // 2 * 2, limit // 2 * 2)
    if (high - low < 2).any():
        return None
    return (*low.tolist(), *(high - low).tolist())


def _brightness(vertices, normals, camera, light):
    """Light (V,) that each vertex sends to the camera: lamp, sky, and darker where grazing."""
    towards = unit(np.array(light.towards)).astype(np.float32)
    view = unit(camera.position - vertices.mean(0)).astype(np.float32)
    length = np.linalg.norm(normals, axis=1) + 1e-6
    lamp = np.clip(normals @ towards / length, 0, 1)
    sky = 0.86 + 0.14 * normals[:, 1] / length
    grazing = 0.78 + 0.22 * np.abs(normals @ view) / length
    return np.clip((light.ambient * sky + 1.15 * (1 - light.ambient) * lamp) * grazing, 0, _BRIGHTEST)


def composite(background, layer):
    """The background (H, W, 3) uint8 with the person on it; only the box is returned, (h, w, 3) uint8."""
    behind = background[layer.slices]
    clear = 1 - layer.coverage
    mixed = cv2.multiply(behind, cv2.merge([clear, clear, clear]), dtype=cv2.CV_32F)
    return cv2.add(mixed, layer.colour, dtype=cv2.CV_8U)


# Thickness of what throws a shadow, m: from one bone's head to another's.
_SHADOW_LIMBS = (
    ("pelvis", "spine_03", 0.28), ("spine_03", "neck_01", 0.34), ("neck_01", "head", 0.14), ("head", "head", 0.20),
    *((f"{a}_{s}", f"{b}_{s}", w) for s in "lr" for a, b, w in (
        ("thigh", "calf", 0.16), ("calf", "foot", 0.11), ("foot", "ball", 0.10), ("upperarm", "lowerarm", 0.10),
        ("lowerarm", "hand", 0.08),
    )),
)  # fmt: skip


def draw_shadow(positions, body, camera, light, darkness=0.38):
    """The soft shadow on the floor, of a person made of capsules.

    Parameters
    ----------
    positions : ndarray (bones, 3)
        Heads of the bones, m.
    body : Body
    camera : Camera
    light : Light
    darkness : float
        Share of light that the shadow takes, 0 to 1.

    Returns
    -------
    slices, share : pair of slices of the image (even numbers), ndarray (h, w) float32; or None outside the image
    """
    towards = unit(np.array(light.towards))
    floor = positions - (positions[:, 1:2] / towards[1]) * towards
    ends = project(camera, floor)
    scale = camera.K[0, 0] / depth(camera, floor)
    room = 0.2 * scale.max()
    box = _box(*(ends.min(0) - room), *(ends.max(0) + room), camera)
    if box is None:
        return None
    left, top, width, height = box
    shadow = np.zeros((height, width), np.uint8)
    for a, b, thickness in _SHADOW_LIMBS:
        i, j = body.bone[a], body.bone[b]
        first, last = (tuple(np.rint((ends[k] - [left, top]) * 8).astype(int).tolist()) for k in (i, j))
        # Seen at a low angle the floor is foreshortened, and so is the shadow's width.
        width_px = max(1, round(0.45 * thickness * (scale[i] + scale[j]) / 2))
        cv2.line(shadow, first, last, 255, width_px, cv2.LINE_AA, 3)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.02 * float(scale.mean()))
    return (slice(top, top + height), slice(left, left + width)), 1 - (darkness / 255) * shadow.astype(np.float32)
