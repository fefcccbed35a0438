"""Pictures of several simulated people who stand before one another, each labelled as far as he or she is seen."""

from functools import lru_cache

import numpy as np

from studykit.cameras import depth, project
from studykit.gaitlab.render import composite, draw_person
from studykit.gaitlab.stills import (
    Diversity,
    backdrop,
    camera_around,
    expose,
    light_and_gain,
    mask_box,
    person_name,
    point_names,
    pose_person,
    seen_points,
)
from studykit.skeletons import POINTS
from studykit.truth.file import inside_image

_SCENE = 13  # random stream, apart from those of `stills`
_SHARE_SEEN = 0.4  # of a person's box that nobody nearer covers


def simulate_scenes(n, seed=20, size=256, skeleton="lsp14", groups=None, most=4, *, turned_deg=180.0, variety=1.0):
    """Labelled pictures of one to several simulated people, a still a person.

    Stills of one picture share `scene` and image. A mask shows what is seen of its person, a box encloses the mask, and
    a keypoint behind one's own body or that of another is occluded (visibility 1). Bodies are those of
    `simulate_stills` with the same seed. Pictures are drawn when asked for, some 25 ms a person.

    Parameters
    ----------
    n : int
        Pictures.
    seed : int
    size : int
        Width and height, px.
    skeleton : str
        As in `simulate_stills`.
    groups : sequence of sequences of int, optional
        Numbers of the bodies that may meet, such as those for training and those for testing; each group gets pictures
        in proportion to its size. One group of `n` bodies, at least `most`, if not given.
    most : int
        People in a picture; each number from 1 comes equally often.
    turned_deg, variety : float
        As in `simulate_stills`.

    Returns
    -------
    studykit.stills.StillSet

    Raises
    ------
    ValueError
        If a number is too small, or the skeleton unknown.
    """
    from studykit.stills import Made, Still, StillSet

    groups = [list(group) for group in (groups or [range(max(n, most))])]
    if n < len(groups) or size < 32 or most < 1 or seed < 0 or not all(groups):
        raise ValueError(
            f"expected n from the number of groups, size from 32 px, most from 1, seed from 0 and no empty group, got "
            f"n={n}, size={size}, most={most}, seed={seed} and {len(groups)} groups"
        )
    ends = np.rint(np.cumsum([len(group) for group in groups]) / sum(map(len, groups)) * n).astype(int)
    people = []
    for number in range(n):
        rng = np.random.default_rng([seed, _SCENE, number, 0])
        group = groups[int(np.searchsorted(ends, number, side="right"))]
        count = min(int(rng.integers(1, most + 1)), len(group))
        bodies = tuple(int(body) for body in rng.permutation(group)[:count])
        people += [(number, bodies, place) for place in range(count)]
    diversity = Diversity(turned_deg, variety).checked()
    names = point_names(skeleton)
    rows = [POINTS.index(name) for name in names]

    def draw(person):
        number, bodies, place = person
        image, masks, points = _draw(seed, number, bodies, size, diversity)
        mask = masks[place].copy()
        source = f"gaitlab scene {number}, person {place}, seed {seed}"
        name = person_name(bodies[place])
        return Still(image.copy(), points[place][rows], mask, mask_box(mask), name, source, _name(number))

    participants = [person_name(bodies[place]) for _, bodies, place in people]
    return StillSet(Made(people, draw), names, participants, [_name(number) for number, *_ in people])


def _name(number):
    return f"scene-{number:05d}"


@lru_cache(maxsize=4)
def _draw(seed, number, bodies, size, diversity):
    """Image (size, size, 3), masks and points of one scene, a mask (size, size) and (point, 3) a person."""
    rng = np.random.default_rng([seed, _SCENE, number, 1])
    posed = [pose_person(seed, body, rng, diversity) for body in bodies]
    places, camera = _arrange(posed, size, rng, diversity.variety)
    light, gain = light_and_gain(rng)
    image = backdrop(size, rng, diversity.variety)
    layers = [
        draw_person(dressed, (vertices + place).astype(np.float32), normals, camera, light, _lit(dressed, gain))
        for (dressed, vertices, normals, _), place in zip(posed, places, strict=True)
    ]
    far_first = np.argsort([-depth(camera, place) for place in places])
    masks = np.zeros((len(bodies), size, size), bool)
    for k in far_first:
        if layers[k] is not None:
            image[layers[k].slices] = composite(image, layers[k])
            masks[(slice(None), *layers[k].slices)] &= ~layers[k].mask
            masks[(k, *layers[k].slices)] = layers[k].mask
    keypoints = [seen_points(p[3] + place, camera, layers) for p, place in zip(posed, places, strict=True)]
    return expose(image, rng), masks, keypoints


def _lit(dressed, gain):
    return np.clip(dressed.texture * gain, 0, 255).astype(np.uint8)


def _arrange(posed, size, rng, variety):
    """Where the people stand (people, 3), m, and a camera that sees enough of each of them."""
    for attempt in range(200):
        apart = 1 + 0.05 * attempt
        steps = np.concatenate([[0], rng.uniform(0.3, 0.9, len(posed) - 1)]) * apart
        places = np.column_stack([np.cumsum(steps), np.zeros(len(posed)), rng.uniform(-1.2, 1.2, len(posed))])
        places = places[rng.permutation(len(posed))]
        crowd = np.concatenate([vertices + place for (_, vertices, *_), place in zip(posed, places, strict=True)])
        camera = camera_around(crowd, size, rng, variety, distance_m=(5, 10), filled=(0.75, 1.05))
        if _all_seen([p[3] + place for p, place in zip(posed, places, strict=True)], places, camera):
            break
    return places, camera


def _all_seen(points, places, camera):
    """Whether everyone's middle lies in the picture, and enough of the box around everyone's points is free."""
    boxes = [project(camera, p) for p in points]
    boxes = [(np.floor(b.min(0)).astype(int), np.ceil(b.max(0)).astype(int)) for b in boxes]
    middles = np.array([(low + high) / 2 for low, high in boxes])
    if not inside_image(middles, camera.width_px, camera.height_px).all():
        return False
    distance = [depth(camera, place) for place in places]
    for k, (low, high) in enumerate(boxes):
        free = np.ones(high - low, bool)
        for other in np.flatnonzero(np.array(distance) < distance[k]):
            first, last = (np.clip(edge - low, 0, None) for edge in boxes[other])
            free[first[0] : last[0], first[1] : last[1]] = False
        if free.mean() < _SHARE_SEEN:
            return False
    return True
