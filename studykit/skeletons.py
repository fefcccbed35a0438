"""Keypoint sets of the field: names, limbs, left/right pairs and OKS constants.

Every keypoint has one canonical name (`left_knee`, `mid_hip`, ...), whatever the data set calls it, so that
converting between skeletons is a look-up by name.
"""

import itertools
from dataclasses import dataclass

import numpy as np

LEG = ("hip", "knee", "ankle", "heel", "toe")

# COCO keypoint evaluation, cocoapi/PythonAPI/pycocotools/cocoeval.py (kpt_oks_sigmas).
COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of keypoints.

    Attributes
    ----------
    name : str
    keypoints : tuple of str
        Canonical names, in the order of the data set.
    limbs : tuple of (str, str)
        Pairs that are drawn, or joined by part affinity fields.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]

    @property
    def flip_pairs(self):
        """Pairs (left, right) that a mirror image exchanges."""
        return tuple(
            (name, "right_" + name[5:])
            for name in self.keypoints
            if name.startswith("left_") and "right_" + name[5:] in self.keypoints
        )

    @property
    def sigmas(self):
        """OKS constants (K,), NaN for keypoints that COCO does not define."""
        bare = [name.removeprefix("left_").removeprefix("right_") for name in self.keypoints]
        return np.array([COCO_SIGMAS.get(name, np.nan) for name in bare])


def _sides(*names):
    """('hip', 'knee') -> ('left_hip', 'right_hip', 'left_knee', 'right_knee')."""
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


def _side(side, *names):
    return tuple(f"{side}_{name}" for name in names)


def _chain(*names):
    return tuple(itertools.pairwise(names))


def _both(*names):
    """The same chain on both sides of the body."""
    return tuple(pair for side in ("left", "right") for pair in _chain(*_side(side, *names)))


_ARM = ("shoulder", "elbow", "wrist")
_FACE = (("neck", "nose"), ("nose", "left_eye"), ("nose", "right_eye"), *_both("eye", "ear"))
_COCO = ("nose", *_sides("eye", "ear", *_ARM, "hip", "knee", "ankle"))
# OpenPose, poseParameters.cpp (POSE_BODY_PART_PAIRS); its pictures leave these two out.
_EARS = _both("shoulder", "ear")
# OpenPose, doc/02_output.md: limbs leave the neck.
_BODY18 = (
    "nose",
    "neck",
    *_side("right", *_ARM),
    *_side("left", *_ARM),
    *_side("right", "hip", "knee", "ankle"),
    *_side("left", "hip", "knee", "ankle"),
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
_FEET = (
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
_FOOT_LIMBS = (*_both("ankle", "heel"), *_both("ankle", "big_toe", "small_toe"))
_LIMBS14 = (
    ("head_top", "neck"),
    ("neck", "left_shoulder"),
    ("neck", "right_shoulder"),
    *_both(*_ARM),
    ("neck", "left_hip"),
    ("neck", "right_hip"),
    *_both("hip", "knee", "ankle"),
)

SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        # Thesis 002, section 2.2: one leg, the one that faces the camera.
        Skeleton(
            "gait6",
            ("neck", *LEG),
            (*_chain("neck", "hip", "knee", "ankle"), *_chain("ankle", "heel", "toe")),
        ),
        Skeleton(
            "gait11",
            ("neck", *_side("left", *LEG), *_side("right", *LEG)),
            (("neck", "left_hip"), ("neck", "right_hip"), *_both(*LEG)),
        ),
        # Johnson & Everingham 2010, README of the Leeds Sports Pose set.
        Skeleton(
            "lsp14",
            (
                *_side("right", "ankle", "knee", "hip"),
                *_side("left", "hip", "knee", "ankle"),
                *_side("right", "wrist", "elbow", "shoulder"),
                *_side("left", *_ARM),
                "neck",
                "head_top",
            ),
            _LIMBS14,
        ),
        # Andriluka et al. 2014, annotation description of MPII Human Pose.
        Skeleton(
            "mpii16",
            (
                *_side("right", "ankle", "knee", "hip"),
                *_side("left", "hip", "knee", "ankle"),
                "pelvis",
                "thorax",
                "upper_neck",
                "head_top",
                *_side("right", "wrist", "elbow", "shoulder"),
                *_side("left", *_ARM),
            ),
            (
                ("head_top", "upper_neck"),
                ("upper_neck", "thorax"),
                ("thorax", "left_shoulder"),
                ("thorax", "right_shoulder"),
                *_both(*_ARM),
                ("thorax", "pelvis"),
                ("pelvis", "left_hip"),
                ("pelvis", "right_hip"),
                *_both("hip", "knee", "ankle"),
            ),
        ),
        # Lin et al. 2014, annotation files (`categories[0].keypoints`).
        Skeleton(
            "coco17",
            _COCO,
            (
                *_both("hip", "knee", "ankle"),
                ("left_hip", "right_hip"),
                *_both("shoulder", "hip"),
                ("left_shoulder", "right_shoulder"),
                *_both(*_ARM),
                ("left_eye", "right_eye"),
                ("nose", "left_eye"),
                ("nose", "right_eye"),
                *_both("eye", "ear"),
                *_both("ear", "shoulder"),
            ),
        ),
        Skeleton(
            "openpose18",
            _BODY18,
            (
                ("neck", "right_shoulder"),
                ("neck", "left_shoulder"),
                *_both(*_ARM),
                ("neck", "right_hip"),
                ("neck", "left_hip"),
                *_both("hip", "knee", "ankle"),
                *_FACE,
                *_EARS,
            ),
        ),
        # OpenPose's MPI model; its chest lies halfway between MPII's thorax and pelvis.
        Skeleton(
            "mpii15",
            (
                "head_top",
                "upper_neck",
                *_side("right", *_ARM),
                *_side("left", *_ARM),
                *_side("right", "hip", "knee", "ankle"),
                *_side("left", "hip", "knee", "ankle"),
                "chest",
            ),
            (
                ("head_top", "upper_neck"),
                ("upper_neck", "right_shoulder"),
                ("upper_neck", "left_shoulder"),
                *_both(*_ARM),
                ("upper_neck", "chest"),
                ("chest", "right_hip"),
                ("chest", "left_hip"),
                *_both("hip", "knee", "ankle"),
            ),
        ),
        # OpenPose BODY_25.
        Skeleton(
            "body25",
            (*_BODY18[:8], "mid_hip", *_BODY18[8:], *_FEET),
            (
                ("neck", "mid_hip"),
                ("neck", "right_shoulder"),
                ("neck", "left_shoulder"),
                *_both(*_ARM),
                ("mid_hip", "right_hip"),
                ("mid_hip", "left_hip"),
                *_both("hip", "knee", "ankle"),
                *_FACE,
                *_EARS,
                *_FOOT_LIMBS,
            ),
        ),
        # OpenPose experimental BODY_25B: COCO's 17, then upper neck, head top and the feet; no neck, no mid-hip.
        Skeleton(
            "body25b",
            (*_COCO, "upper_neck", "head_top", *_FEET),
            (
                ("upper_neck", "head_top"),
                ("upper_neck", "left_shoulder"),
                ("upper_neck", "right_shoulder"),
                *_both(*_ARM),
                *_both("shoulder", "hip"),
                ("left_hip", "right_hip"),
                *_both("hip", "knee", "ankle"),
                *_FOOT_LIMBS,
            ),
        ),
    )
}

# Every named point of the body; what the truth of the simulated laboratory holds.
_FULL = [skeleton for skeleton in SKELETONS.values() if skeleton.name not in ("gait6", "mpii15")]
POINTS = tuple(dict.fromkeys(name for skeleton in _FULL for name in skeleton.keypoints))

# Points that are the midpoint of two others, where a data set lacks them.
MIDPOINTS = {
    "neck": ("left_shoulder", "right_shoulder"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "mid_hip": ("left_hip", "right_hip"),
    "pelvis": ("left_hip", "right_hip"),
    "chest": ("thorax", "pelvis"),
    "left_toe": ("left_big_toe", "left_small_toe"),
    "right_toe": ("right_big_toe", "right_small_toe"),
}


def flip_order(keypoints):
    """Index that exchanges left and right: ``points[flip_order(names)]`` are the mirrored body's points.

    Parameters
    ----------
    keypoints : sequence of str

    Returns
    -------
    ndarray (K,) of int

    Raises
    ------
    ValueError
        If a keypoint of one side lacks its partner.
    """
    names = list(keypoints)
    swap = {"left": "right", "right": "left"}
    order = []
    for name in names:
        side, _, rest = name.partition("_")
        partner = f"{swap[side]}_{rest}" if side in swap else name
        if partner not in names:
            raise ValueError(f"cannot mirror: expected {partner!r} beside {name!r}, got {names}")
        order.append(names.index(partner))
    return np.array(order, dtype=int)


def convert(points, source, target):
    """Points of one skeleton in the order of another, midpoints derived where both ends are there.

    Parameters
    ----------
    points : ndarray (..., K, D)
        The last axis may hold coordinates and a confidence or visibility; of a midpoint it is the smaller one's
        where D is 3, and the mean else.
    source, target : sequence of str
        Canonical names.

    Returns
    -------
    ndarray (..., len(target), D), NaN where the source has no such point.

    Raises
    ------
    ValueError
        If `points` does not hold one row a source name.
    """
    points = np.asarray(points, dtype=float)
    names = list(source)
    if points.shape[-2] != len(names):
        raise ValueError(f"expected {len(names)} keypoints on the axis before the last, got {points.shape[-2]}")
    out = np.full((*points.shape[:-2], len(target), points.shape[-1]), np.nan)
    for k, name in enumerate(target):
        out[..., k, :] = _point(points, names, name)
    return out


def _point(points, names, name):
    """One point (..., D), by name or as a midpoint; NaN where there is no such point."""
    if name in names:
        return points[..., names.index(name), :]
    if name not in MIDPOINTS:
        return np.full_like(points[..., 0, :], np.nan)
    a, b = (_point(points, names, end) for end in MIDPOINTS[name])
    middle = (a + b) / 2
    if points.shape[-1] == 3:
        middle[..., 2] = np.minimum(a[..., 2], b[..., 2])
    return middle
