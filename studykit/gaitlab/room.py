"""The laboratory behind the person: two walls, a floor, and what stands there, as each camera sees it.

Walls and floor are flat pictures in metres, warped into the image by the camera's own homography, so that a camera
that is moved sees the same room from its new place.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from studykit.cameras import Camera, depth, project

WALL_M = 3.4  # distance of the walls from the line of the walk
_WALL_TONES = ((196, 198, 196), (176, 184, 190), (205, 200, 188))
_FLOOR_TONES = ((134, 120, 104), (112, 116, 120), (150, 140, 124))
_TILE_M = 0.6
_LANE_M = 0.55  # half the width of the walkway


@dataclass(frozen=True)
class Picture:
    """A flat picture in the world.

    Attributes
    ----------
    image : ndarray (rows, columns, 3) float32
    frame : ndarray (4, 3)
        World point (homogeneous, metres) = frame @ (column, row, 1).
    """

    image: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class Room:
    """The laboratory's pictures, and its stands: {name: Picture}, list of places (x, z) m."""

    pictures: dict
    stands: tuple


def build_room(rng):
    """A room with random furniture; one for a whole study."""
    walls = {view: _wall(rng, sign) for view, sign in (("C1", -1), ("C3", 1))}
    return Room({**walls, "floor": _floor(rng)}, ((0.3, 2.95), (-0.3, -2.95), (-3.1, -2.7), (3.2, 2.6), (3.0, -2.5)))


def noise(shape, rng, waves=((4, 1.0), (9, 0.7), (24, 0.5), (70, 0.35), (200, 0.2))):
    """Cloudy noise (height, width) float32 of about unit size: sums of random grids with that many cells across."""
    height, width = shape
    out = np.zeros(shape, np.float32)
    for cells, size in waves:
        grid = rng.normal(size=(max(2, cells * height // width), cells)).astype(np.float32)
        out += size * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return out / 1.4


def _wall(rng, sign, scale=150, size_m=(12.0, 5.0)):
    """A wall at z = sign * WALL_M with a skirting board, cupboards, boards and posters."""
    columns, rows = (int(scale * m) for m in size_m)
    x = (np.arange(columns) / scale - size_m[0] / 2)[None, :, None]
    cloud = noise((rows, columns), rng)[..., None]
    image = np.array(_WALL_TONES[rng.integers(3)], np.float32) * (1 + 0.03 * cloud) * (1.08 - 0.033 * np.abs(x))
    for _ in range(rng.integers(9, 15)):
        width, height = rng.uniform(0.15, 1.1), rng.uniform(0.2, 1.6)
        left = rng.uniform(-3.8, 3.8) - width / 2
        bottom = rng.choice([0.0, 0.0, 0.5, 1.1]) + rng.uniform(0, 0.25)
        colour = rng.uniform(30, 230, 3) * rng.uniform(0.5, 1)
        colour = 0.55 * colour + 0.45 * colour.mean()
        first = (int((left + size_m[0] / 2) * scale), int((size_m[1] - bottom - height) * scale))
        last = (first[0] + int(width * scale), first[1] + int(height * scale))
        box = slice(first[1], last[1]), slice(first[0], last[0])
        image[box] = colour * (1 + 0.05 * cloud[box])
        cv2.rectangle(image, first, last, (0.6 * colour).tolist(), 2)
    board = slice(rows - int(0.1 * scale), rows)
    image[board] = 0.5 * image[board] + 30
    # Columns run along +x of the image as seen from inside the room.
    along = 1.0 if sign < 0 else -1.0
    frame = np.array(
        [[along / scale, 0, -along * size_m[0] / 2], [0, -1 / scale, size_m[1]], [0, 0, sign * WALL_M], [0, 0, 1]]
    )
    return Picture(image.astype(np.float32), frame)


def _floor(rng, scale=100, size_m=(14.0, 16.0)):
    """Tiles, and the lane people walk along."""
    columns, rows = (int(scale * m) for m in size_m)
    x = np.arange(columns)[None, :] / scale - size_m[0] / 2
    z = np.arange(rows)[:, None] / scale - size_m[1] / 2
    tile = rng.random((64, 64))[np.floor(z / _TILE_M).astype(int) % 64, np.floor(x / _TILE_M).astype(int) % 64]
    off = [np.abs(m / _TILE_M - np.round(m / _TILE_M)) for m in (x, z)]
    joint = np.minimum(*np.broadcast_arrays(*off)) < 0.012
    cloud = noise((rows, columns), rng, ((60, 0.5), (160, 0.6), (400, 0.5)))
    shade = (1 + 0.06 * (tile - 0.5) + 0.035 * cloud) * (1 - 0.25 * joint)
    image = np.array(_FLOOR_TONES[rng.integers(3)]) * shade[..., None]
    lane = np.abs(z[:, 0]) < _LANE_M
    image[lane] = 0.55 * image[lane] + 0.45 * np.array([70, 84, 96])
    frame = np.array([[1 / scale, 0, -size_m[0] / 2], [0, 0, 0], [0, 1 / scale, -size_m[1] / 2], [0, 0, 1]])
    return Picture(image.astype(np.float32), frame)


def photograph(room, view, camera: Camera):
    """The empty room as a camera sees it (height, width, 3) float32, 0 to 255."""
    size = (camera.width_px, camera.height_px)
    wall, floor = (
        cv2.warpPerspective(
            room.pictures[name].image,
            camera.matrix @ room.pictures[name].frame,
            size,
            flags=cv2.INTER_AREA | cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for name in (view, "floor")
    )
    image = np.where(_below_wall(room.pictures[view], camera)[..., None], floor, wall)
    for x, z in room.stands:
        if abs(z - camera.position[2]) > 8 and np.sign(z) != np.sign(camera.position[2]):
            _draw_stand(image, camera, x, z)
    row, column = np.mgrid[0 : size[1], 0 : size[0]]
    middle = ((column - size[0] / 2) / size[0]) ** 2 + ((row - size[1] / 2) / size[1]) ** 2
    image = image * (1 - 0.44 * middle[..., None])
    return cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.float32), (0, 0), 0.9 * size[0] / 960)


def _below_wall(wall, camera):
    """Pixels (height, width) whose ray meets the floor before the wall: those below the wall's lower edge."""
    columns = np.array([0, wall.image.shape[1]])
    ends = (wall.frame @ [columns, np.full(2, wall.image.shape[0]), np.ones(2)])[:3].T
    (x0, y0), (x1, y1) = project(camera, ends)
    row, column = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    return row > y0 + (column - x0) * (y1 - y0) / (x1 - x0)


def _draw_stand(image, camera, x, z):
    """A camera on its tripod."""
    feet = [[x, 0, z], [x - 0.25, 0, z + 0.2], [x + 0.25, 0, z + 0.2]]
    points = np.array([*feet, [x, 1.1, z], [x, 1.25, z]])
    pixels = project(camera, points)
    size = camera.K[0, 0] / depth(camera, points[3])
    for foot in pixels[:3]:
        ends = [tuple(int(v * 8) for v in end) for end in (foot, pixels[3])]
        cv2.line(image, *ends, (40, 40, 42), max(1, round(0.02 * size)), cv2.LINE_AA, 3)
    half = 0.085 * size
    corners = (pixels[4] - half).astype(int), (pixels[3] + [half, 0]).astype(int)
    cv2.rectangle(image, *(tuple(c.tolist()) for c in corners), (30, 30, 33), -1)
