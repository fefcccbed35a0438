"""Pictures of a dressed person in front of a still background, with mask and depth.

The person alone is drawn, into the box it fills, by OpenCV's software rasteriser at twice the resolution. What the
rasteriser interpolates is not a colour but a place in the person's texture and a brightness; the colour is then looked
up once a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from studykit.gaitlab.body import unit
from studykit.gaitlab.cameras import depth, project

FAR_M, NEAR_M = 100.0, 0.1
_BRIGHTEST = 2.0  # brightness is stored as a share of this
_MARGIN_PX = 2


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
        Of the person at pixel centres, m; `FAR_M` beside it.
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
    z = depth(camera, vertices)
    if z.min() < NEAR_M:
        raise ValueError(f"expected a person at least {NEAR_M} m before the camera, got {z.min():.2f} m")
    pixels = project(camera, vertices)
    box = _box(pixels, camera)
    if box is None:
        return None
    left, top, width, height = box
    quads = dressed.quads
    a, b, c, d = (pixels[quads[:, k]] for k in range(4))
    seen = np.flatnonzero((_cross(c - a, d - b) < 0) | dressed.two_sided)

    size = np.array([texture.shape[1], texture.shape[0]], np.float32)
    brightness = _brightness(vertices, normals, camera, light) / _BRIGHTEST
    values = np.empty((len(seen), 4, 3), np.float32)
    values[..., :2] = dressed.corners[seen] / size
    values[..., 2] = brightness[quads[seen]]
    centred = pixels - [left, top]
    quad_points = centred[quads[seen]], z[quads[seen]]
    shape = (height * supersample, width * supersample)
    scaled = ((quad_points[0] + 0.5) * supersample - 0.5, quad_points[1])
    map_, deep = _rasterise(*scaled, values, shape)
    _, sharp = _rasterise(*quad_points, None, (height, width))

    albedo = cv2.remap(texture, map_[..., 0] * size[0], map_[..., 1] * size[1], cv2.INTER_NEAREST)
    lit = map_[..., 2] * _BRIGHTEST
    colour = cv2.multiply(albedo, cv2.merge([lit, lit, lit]), dtype=cv2.CV_32F)
    solid = (deep < FAR_M).astype(np.float32)
    colour = cv2.resize(np.minimum(colour, 255), (width, height), interpolation=cv2.INTER_AREA)
    coverage = cv2.resize(solid, (width, height), interpolation=cv2.INTER_AREA)
    # Half covered: an even number of samples often ties, and the pixel's centre decides.
    centre = sharp < FAR_M
    mask = supersample**2 * coverage + centre > (supersample**2 + 1) / 2
    return Layer(left, top, colour, coverage, mask, sharp)


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _box(pixels, camera):
    """Left, top, width and height of the person in the image, even numbers; None where it is outside."""
    limit = np.array([camera.width_px, camera.height_px])
    low = np.clip(np.floor(pixels.min(0)).astype(int) - _MARGIN_PX, 0, limit) // 2 * 2
    high = np.clip(np.ceil(pixels.max(0)).astype(int) + _MARGIN_PX + 1, 0, limit)
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


def _rasterise(pixels, z, values, shape):
    """Draw quads, given by image places (Q, 4, 2) and depths (Q, 4), into buffers of a shape (height, width).

    OpenCV's rasteriser wants points before a pinhole of symmetric view; any other pinhole's pixels become such points
    by scaling with their depth.

    Returns
    -------
    values : ndarray (height, width, 3) float32 or None
        Interpolated over each quad, correct in perspective; 0 beside them.
    depth : ndarray (height, width) float32
    """
    height, width = shape
    points = np.empty((len(pixels), 4, 3), np.float32)
    points[..., 0] = (pixels[..., 0] + 0.5 - width / 2) * z / (height / 2)
    points[..., 1] = (height / 2 - 0.5 - pixels[..., 1]) * z / (height / 2)
    points[..., 2] = -z
    first = 4 * np.arange(len(pixels), dtype=np.int32)[:, None]
    triangles = (first + np.array([0, 1, 2, 0, 2, 3], np.int32)).reshape(1, -1, 3)
    buffer = np.full(shape, FAR_M, np.float32)
    view = (np.eye(4, dtype=np.float32), np.pi / 2, NEAR_M, FAR_M, _settings())
    if values is None:
        return None, cv2.triangleRasterizeDepth(points.reshape(1, -1, 3), triangles, buffer, *view)
    colour = np.zeros((*shape, 3), np.float32)
    return cv2.triangleRasterize(points.reshape(1, -1, 3), triangles, values.reshape(1, -1, 3), colour, buffer, *view)


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
    box = _box(np.concatenate([ends - 0.2 * scale[:, None], ends + 0.2 * scale[:, None]]), camera)
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
