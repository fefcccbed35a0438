"""People drawn on pictures: joints, limbs, labels and the outline of a mask."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.patheffects import Normal, Stroke

from studykit.plots.style import keypoint_colour
from studykit.skeletons import SKELETONS

_OUTLINE = [Stroke(linewidth=1.4, foreground="0.3"), Normal()]  # white lines show on any background


def limbs_of(keypoints: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Limbs of the largest skeleton whose keypoints are all there; of a leg, what there is of gait6."""
    there = [skeleton for skeleton in SKELETONS.values() if set(skeleton.keypoints) <= set(keypoints)]
    if there:
        return max(there, key=lambda skeleton: len(skeleton.keypoints)).limbs
    return tuple(limb for limb in SKELETONS["gait6"].limbs if set(limb) <= set(keypoints))


def draw_skeleton(
    ax: Axes,
    points: np.ndarray,
    keypoints: Sequence[str],
    *,
    colour: str | None = None,
    limbs: Sequence[tuple[str, str]] | None = None,
    occluded: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    size: float = 2.4,
    width: float = 0.9,
) -> None:
    """One person: joints as dots, joined by limbs, hollow where occluded; labels as crosses.

    The person's left is blue, the right red; the keypoints of gait6 have a colour each and white limbs.

    Parameters
    ----------
    ax : matplotlib Axes
    points : ndarray (K, 2) or (K, 3)
        x and y, px, and visibility or confidence. Left out where a coordinate is NaN or the third value not above 0.
    keypoints : sequence of str
        Canonical names.
    colour : str, optional
        One for the whole person, such as to tell people apart.
    limbs : sequence of (str, str), optional
        Those of `limbs_of` if not given.
    occluded : ndarray (K,) of bool, optional
    labels : ndarray (K, 2) or (K, 3), optional
        As `points`.
    size, width : float
        Of dots and lines, pt.
    """
    points, names = known_places(points), list(keypoints)
    known, one_leg = np.isfinite(points).all(axis=1), colour is None and "hip" in names
    ends = [[names.index(a), names.index(b)] for a, b in (limbs_of(names) if limbs is None else limbs)]
    colours = to_rgba_array([colour or keypoint_colour(name) for name in names])
    if drawn := [pair for pair in ends if known[pair].all()]:
        style = {"colors": "white", "path_effects": _OUTLINE} if one_leg else {"colors": colours[np.array(drawn)[:, 1]]}
        ax.add_collection(LineCollection(points[drawn], linewidths=width, **style))
    hollow = known & (False if occluded is None else np.asarray(occluded, bool))
    filled, dots = known & ~hollow, {"s": size**2, "zorder": 3}
    ax.scatter(*points[filled].T, c=colours[filled], edgecolors="white", linewidths=0.25, **dots)
    ax.scatter(*points[hollow].T, c="white", edgecolors=colours[hollow], linewidths=0.7, **dots)
    if labels is not None:
        labels = known_places(labels)
        known = np.isfinite(labels).all(axis=1)
        ax.scatter(*labels[known].T, s=(2 * size) ** 2, c=colours[known], marker="x", linewidths=0.7, zorder=4)


def known_places(points: np.ndarray) -> np.ndarray:
    """x and y (K, 2), NaN where the visibility or confidence is not above 0."""
    points = np.array(points, dtype=float)
    points[(points[:, 2:] <= 0).any(axis=1), :2] = np.nan
    return points[:, :2]


def draw_outline(ax: Axes, mask: np.ndarray | None) -> None:
    """The outline of a mask (H, W) of bool in yellow; nothing if there is none, or it is empty or full."""
    if mask is None or not mask.any() or mask.all():
        return
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        ax.fill(*cv2.approxPolyDP(outline, 0.7, closed=True)[:, 0].T, fill=False, edgecolor="yellow", linewidth=0.5)
