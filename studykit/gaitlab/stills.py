"""Single pictures of single people in many poses, before backgrounds that are nothing in particular."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from studykit.cameras import project
from studykit.gaitlab.body import load_body, rotation
from studykit.gaitlab.cameras import look_at
from studykit.gaitlab.clothing import draw_outfit, dress
from studykit.gaitlab.film import point_visibility
from studykit.gaitlab.poses import random_pose
from studykit.gaitlab.render import Light, composite, draw_person
from studykit.gaitlab.room import noise
from studykit.skeletons import POINTS, SKELETONS
from studykit.truth.file import inside_image

_PERSON, _STILL = 11, 12  # random streams, apart from those of `record`


def simulate_stills(n, seed=20, size=256, skeleton="lsp14", people=None, *, turned_deg=180.0, variety=1.0):
    """Labelled pictures of simulated people: standing, reaching, squatting, running, lying ...

    Still number i depends on `seed`, `size` and i alone, and is drawn when it is asked for (some 20 ms); `list(...)`
    draws all.

    Parameters
    ----------
    n : int
    seed : int
    size : int
        Width and height, px.
    skeleton : str
        Key of `skeletons.SKELETONS`, except gait6; "all" for every point of the body (`skeletons.POINTS`).
    people : int, optional
        Different bodies, each dressed in one way; a person's pictures follow one another. A quarter of `n`.
    turned_deg : float
        People turn away from the camera by up to this much, either way; 180: anywhere.
    variety : float
        Of poses, camera heights and backgrounds, 0 (all stand upright before a plain wall) to 1.

    Returns
    -------
    studykit.stills.StillSet

    Raises
    ------
    ValueError
        If a number is too small, or the skeleton unknown.
    """
    from studykit.stills import Made, Still, StillSet

    people = max(1, n // 4) if people is None else people
    if n < 1 or size < 32 or not 1 <= people <= n or seed < 0:
        raise ValueError(
            f"expected n from 1, size from 32 px, people from 1 to n and seed from 0, got n={n}, size={size}, "
            f"people={people}, seed={seed}"
        )
    diversity = Diversity(turned_deg, variety).checked()
    names = point_names(skeleton)
    rows = [POINTS.index(name) for name in names]
    persons = [index * people // n for index in range(n)]

    def draw(index):
        image, mask, keypoints = _draw(seed, persons[index], index, size, diversity)
        source = f"gaitlab still {index}, seed {seed}"
        return Still(image, keypoints[rows], mask, mask_box(mask), person_name(persons[index]), source)

    return StillSet(Made(range(n), draw), names, [person_name(person) for person in persons])


def point_names(skeleton):
    """Names of the points of a skeleton that the body has; "all" is every one."""
    known = {name: s.keypoints for name, s in SKELETONS.items() if set(s.keypoints) <= set(POINTS)} | {"all": POINTS}
    if skeleton not in known:
        raise ValueError(f"skeleton: expected one of {list(known)}, got {skeleton!r}")
    return known[skeleton]


def person_name(number):
    """The participant's name of a body."""
    return f"person-{number:04d}"


def mask_box(mask):
    """x, y, width and height of the pixels of a mask (H, W), px; None where there are none."""
    y, x = np.nonzero(mask)
    return tuple(float(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)) if len(x) else None


@lru_cache(maxsize=192)  # 2 MB each, and made in 70 ms
def _person(seed, number):
    rng = np.random.default_rng([seed, _PERSON, number])
    sex = "f" if rng.random() < 0.5 else "m"
    figure = load_body().figure(sex, rng)
    return figure, dress(figure, draw_outfit(sex, rng), rng)


class Diversity(NamedTuple):
    """How much pictures differ from each other; see `simulate_stills`."""

    turned_deg: float = 180.0
    variety: float = 1.0

    def checked(self):
        """The same, if both are in range."""
        if not (0 <= self.turned_deg <= 180 and 0 <= self.variety <= 1):
            raise ValueError(
                f"expected turned_deg from 0 to 180 and variety from 0 to 1, got {self.turned_deg} and {self.variety}"
            )
        return self


def pose_person(seed, number, rng, diversity):
    """A person in a random pose, turned at random, on the floor at the origin.

    Returns
    -------
    dressed : Dressed
    vertices, normals : ndarray (V, 3)
        World, m.
    points : ndarray (point, 3)
        `POINTS`, m.
    """
    figure, dressed = _person(seed, number)
    rotations, positions, _ = random_pose(figure, rng, diversity.variety)
    half_turns = rng.uniform(0, 2)
    turn = rotation("y", np.radians(diversity.turned_deg) * (half_turns - 2 * (half_turns > 1)))
    rotations, positions = turn @ rotations, positions @ turn.T
    points = figure.named_points(rotations, positions)[0]
    return dressed, *dressed.pose(rotations[0], positions[0]), points


def light_and_gain(rng):
    """A random lamp, and the exposure (3,) of red, green and blue."""
    towards = (rng.normal(0, 0.5), max(abs(rng.normal(0.8, 0.2)), 0.1), rng.normal(0.4, 0.4))
    light = Light(towards, rng.uniform(0.35, 0.75))
    return light, np.clip(rng.normal(1, 0.12), 0.7, 1.3) * (1 + rng.normal(0, 0.04, 3))


def expose(image, rng):
    """An image (H, W, 3) as a lens and a sensor give it back: slightly blurred, grainy."""
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    grainy = blurred + rng.normal(0, rng.uniform(1, 6), blurred.shape)
    return np.clip(grainy, 0, 255).astype(np.uint8)


def _draw(seed, person, index, size, diversity):
    """Image (size, size, 3), mask (size, size) and every point (point, 3) of one still."""
    rng = np.random.default_rng([seed, _STILL, index])
    dressed, vertices, normals, points = pose_person(seed, person, rng, diversity)
    camera = camera_around(vertices, size, rng, diversity.variety)
    light, gain = light_and_gain(rng)
    texture = np.clip(dressed.texture * gain, 0, 255).astype(np.uint8)
    image = backdrop(size, rng, diversity.variety)
    layer = draw_person(dressed, vertices, normals, camera, light, texture)
    mask = np.zeros((size, size), bool)
    if layer is not None:
        image[layer.slices] = composite(image, layer)
        mask[layer.slices] = layer.mask
    return expose(image, rng), mask, seen_points(points, camera, [layer])


def seen_points(points, camera, layers):
    """Points (point, 3) in the world, m, as keypoints (point, 3) of the image: hidden by any of the layers, or not."""
    pixels = project(camera, points)
    seen = np.min([point_visibility(layer, camera, points) for layer in layers], axis=0)
    seen = np.where(inside_image(pixels, camera.width_px, camera.height_px), seen, 0)
    return np.column_stack([pixels, seen]).astype(np.float32)


def camera_around(vertices, size, rng, variety=1.0, distance_m=(3, 9), filled=(0.6, 0.95)):
    """A camera at a random distance, that looks at the vertices (V, 3) roughly in the middle.

    They fill a random share of the picture, diagonally, as seen at that distance.
    """
    middle = (vertices.max(0) + vertices.min(0)) / 2
    extent = np.linalg.norm(np.ptp(vertices[:, :2], axis=0))
    distance = rng.uniform(*distance_m)
    elevation = variety * np.radians(np.clip(rng.normal(4, 10), -12, 40))
    position = middle + distance * np.array([0, np.sin(elevation), np.cos(elevation)])
    focal = size * distance / extent * rng.uniform(*filled)
    return look_at(position, middle + rng.normal(0, 0.06, 3) * extent, focal, size, size)


def backdrop(size, rng, variety=1.0):
    """A random background (size, size, 3) uint8: a gradient, a floor, and up to 13 times `variety` plain shapes."""
    top, bottom = 0.6 * (colours := rng.uniform(20, 235, (2, 3))) + 0.4 * colours.mean(1, keepdims=True)
    y = np.linspace(0, 1, size)[:, None, None]
    image = np.broadcast_to(top * (1 - y) + bottom * y, (size, size, 3)).astype(np.float32, order="C")
    if rng.random() < 0.7:
        horizon = int(size * rng.uniform(0.45, 0.9))
        image[horizon:] = rng.uniform(40, 200) * np.array([1, 0.95, 0.88]) * rng.uniform(0.8, 1.1, 3)
    for _ in range(round(variety * rng.integers(0, 14))):
        _draw_shape(image, size, rng)
    cloud = noise((size, size), rng, ((3, 0.8), (9, 0.8), (28, 0.7), (80, 0.5)))
    image *= 1 + 0.24 * variety * rng.random() * cloud[..., None]
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.5) * size / 256)
    return np.clip(image, 0, 255).astype(np.uint8)


def _draw_shape(image, size, rng):
    """A rectangle, disc, line or polygon of one colour."""
    colour = rng.uniform(10, 245, 3).tolist()
    first = rng.integers(-size // 4, size * 5 // 4, 2).tolist()
    kind = rng.integers(4)
    if kind == 0:
        last = (np.array(first) + rng.integers(8, max(9, int(size / 1.6)), 2)).tolist()
        cv2.rectangle(image, first, last, colour, -1)
    elif kind == 1:
        cv2.circle(image, first, int(rng.integers(4, size // 4)), colour, -1)
    elif kind == 2:
        cv2.line(image, first, rng.integers(0, size, 2).tolist(), colour, int(rng.integers(1, 9)))
    else:
        corners = rng.integers(-20, size + 20, (int(rng.integers(3, 7)), 2)).astype(np.int32)
        cv2.fillPoly(image, [corners], colour)
