"""The body: a person's shape, joints and named points, posed by one rotation a bone.

Body frame: x to the person's left, y up, z forward, metres, soles of the bare feet at y = 0. A pose is the rotation
of every bone from its direction at rest, in world axes, and the place of the pelvis joint.
"""

from functools import cache
from pathlib import Path

import numpy as np

from studykit.skeletons import MIDPOINTS, POINTS

_ASSET = Path(__file__).with_name("body.npz")
SKIN, CLOTH, SKIRT, HAIR, EYE = range(5)  # parts of the mesh

# Named points that are joints of the rig, and those that are landmarks of the mesh, by the bone they ride on.
_JOINTS = {
    "shoulder": "upperarm",
    "elbow": "lowerarm",
    "wrist": "hand",
    "hip": "thigh",
    "knee": "calf",
    "ankle": "foot",
}
_HEAD_MARKS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top")
_FOOT_MARKS = {"heel": "foot", "big_toe": "ball", "small_toe": "ball"}


def rotation(axis, angle):
    """Rotation matrices (..., 3, 3) about one axis "x", "y" or "z" by `angle` (...), rad."""
    angle = np.asarray(angle, dtype=float)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.zeros((*angle.shape, 3, 3))
    out[...] = np.eye(3)
    out[..., first, first] = out[..., second, second] = np.cos(angle)
    out[..., second, first] = np.sin(angle)
    out[..., first, second] = -np.sin(angle)
    return out


def unit(vector):
    """Vectors (..., 3) of length one."""
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def bone_frame(direction, hinge):
    """Orthonormal frames (..., 3, 3) with -y along the bone and x nearest to the hinge axis."""
    y = -unit(np.asarray(direction, dtype=float))
    hinge = np.broadcast_to(hinge, y.shape)
    x = unit(hinge - (hinge * y).sum(-1, keepdims=True) * y)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


class Body:
    """What all people share: the mesh's quads, bones and weights, and the space of shapes (file `body.npz`)."""

    def __init__(self):
        """Read the asset."""
        with np.load(_ASSET) as asset:
            self._mean = asset["mean"] * 1e-4
            self._basis = asset["basis"] * asset["basis_scale"][:, None].astype(float)
            self._population, self._male = asset["population"], asset["population_male"]
            self.quads = asset["quads"].astype(np.int32)
            self.quad_part = asset["quad_part"].astype(int)
            self.bones = [str(name) for name in asset["bones"]]
            self.parents = asset["parents"].astype(int)
            self.points = [str(name) for name in asset["points"]]
            bones, weights = asset["weight_bones"].astype(int), asset["weights"].astype(np.float32)
        self.n_vertices = len(weights)
        self.weights = np.zeros((self.n_vertices, len(self.bones)), np.float32)
        np.put_along_axis(self.weights, bones, weights / weights.sum(1, keepdims=True), 1)
        self.main_bone = np.array(self.bones)[self.weights.argmax(1)]
        self.part = np.zeros(self.n_vertices, int)
        for part in range(5):
            self.part[self.quads[self.quad_part == part]] = part
        self.bone = {name: i for i, name in enumerate(self.bones)}

    def figure(self, sex, rng):
        """A person drawn at random: a blend of two people of one sex from the asset's population of 256.

        Parameters
        ----------
        sex : {"f", "m"}
        rng : numpy.random.Generator

        Returns
        -------
        Figure
        """
        first, second = rng.choice(np.flatnonzero(self._male == (sex == "m")), 2, replace=False)
        share = 0.35 * rng.random()
        shape = (1 - share) * self._population[first] + share * self._population[second]
        rest = self._mean + (shape @ self._basis).reshape(-1, 3)
        return Figure(self, sex, rest[: self.n_vertices], dict(zip(self.points, rest[self.n_vertices :], strict=True)))


@cache
def load_body():
    """The shared body, read once a process."""
    return Body()


class Figure:
    """One person at rest: vertices (V, 3) and named places, m, in the body frame.

    Attributes
    ----------
    body : Body
    sex : {"f", "m"}
    vertices : ndarray (V, 3)
    place : dict of str to ndarray (3,)
        Heads of the bones by bone name, and landmarks of the skin.
    """

    def __init__(self, body, sex, vertices, place):
        """Take over a shape and measure it."""
        self.body, self.sex, self.vertices, self.place = body, sex, vertices, place
        self.joints = np.array([place[bone] for bone in body.bones])
        self.thigh_m = np.linalg.norm(place["calf_l"] - place["thigh_l"])
        self.shank_m = np.linalg.norm(place["foot_l"] - place["calf_l"])
        self.half_hip_m = (place["thigh_l"] - place["thigh_r"])[0] / 2
        self.height_m = place["head_top"][1]

    @property
    def leg_length_m(self):
        """Hip joint to ankle joint with the knee straight, m."""
        return self.thigh_m + self.shank_m

    def bone_positions(self, rotations, root):
        """Heads of all bones (time, bones, 3) from rotations (time, bones, 3, 3) and the pelvis joint (time, 3)."""
        positions = np.empty(rotations.shape[:-1])
        for bone, parent in enumerate(self.body.parents):
            if parent < 0:
                positions[:, bone] = root
            else:
                offset = self.joints[bone] - self.joints[parent]
                positions[:, bone] = positions[:, parent] + rotations[:, parent] @ offset
        return positions

    def named_points(self, rotations, positions):
        """Every point of `skeletons.POINTS` (time, point, 3), m, for posed bones."""
        bone = self.body.bone
        points = {}

        def ride(name, carrier):
            offset = self.place[name] - self.place[carrier]
            points[name] = positions[:, bone[carrier]] + rotations[:, bone[carrier]] @ offset

        for side, suffix in (("left", "_l"), ("right", "_r")):
            for name, joint in _JOINTS.items():
                points[f"{side}_{name}"] = positions[:, bone[joint + suffix]]
            for name, carrier in _FOOT_MARKS.items():
                ride(f"{side}_{name}", carrier + suffix)
        for name in _HEAD_MARKS:
            ride(name, "head")
        points["upper_neck"] = positions[:, bone["head"]]
        for name in [name for name in POINTS if name not in points]:
            points[name] = sum(points[end] for end in MIDPOINTS[name]) / 2
        return np.stack([points[name] for name in POINTS], axis=1)
