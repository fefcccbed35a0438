"""Keypoint sets of the field: names, limbs, left/right pairs and OKS constants.

Every keypoint has one canonical name (`left_knee`, `mid_hip`, ...), whatever the data set calls it, so that
converting between skeletons is a look-up by name. The sets stand in `skeletons.yaml`, with their sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

LEG = ("hip", "knee", "ankle", "heel", "toe")

# COCO keypoint evaluation, cocoapi/PythonAPI/pycocotools/cocoeval.py (kpt_oks_sigmas).
COCO_SIGMAS = dict(
    nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072, wrist=0.062, hip=0.107, knee=0.087, ankle=0.089
)  # fmt: skip


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
    def sigmas(self) -> np.ndarray:
        """OKS constants (K,), NaN for keypoints that COCO does not define."""
        bare = [name.removeprefix("left_").removeprefix("right_") for name in self.keypoints]
        return np.array([COCO_SIGMAS.get(name, np.nan) for name in bare])


SKELETONS = {
    name: Skeleton(name, tuple(table["keypoints"]), tuple(tuple(limb.split()) for limb in table["limbs"]))
    for name, table in yaml.safe_load(Path(__file__).with_name("skeletons.yaml").read_text(encoding="utf-8")).items()
}

# Every named point of the body; the ground truth of the simulated laboratory holds them all.
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


def flip_order(keypoints: Sequence[str]) -> np.ndarray:
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


def convert(points: np.ndarray, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Points of one skeleton in the order of another, midpoints derived where both ends exist.

    Parameters
    ----------
    points : ndarray (..., K, D)
        The last axis may hold coordinates and a confidence or visibility; of a midpoint it is the smaller one's
        where D is 3, otherwise the mean.
    source, target : sequence of str
        Canonical names.

    Returns
    -------
    ndarray (..., len(target), D), NaN where the source has no such point.

    Raises
    ------
    ValueError
        If `points` does not hold one row per source name.
    """
    points, names = np.asarray(points, dtype=float), list(source)
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
