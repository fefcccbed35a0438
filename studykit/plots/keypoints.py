"""Figures of the keypoint networks: people with detected and labelled joints, training, precision and recall, errors.

Each function returns a Matplotlib figure and the table of what it shows.
"""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from studykit.plots.skeletons import draw_skeleton
from studykit.plots.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    VIEW_COLOURS,
    Drawn,
    epoch_axis,
    picture_grid,
    show_picture,
    study_grid,
)
from studykit.pose.scores.keypoints import truth_points
from studykit.pose.scores.pck import best_to_worst
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet

_LIMBS = tuple(dict.fromkeys(limb for name in ("lsp14", "coco17") for limb in SKELETONS[name].limbs))
_MARKERS = ["o", "s", "D", "^", "v", "P", "*", "X"]


def draw_people(
    pictures: Sequence[tuple[str, np.ndarray, np.ndarray]],
    keypoints: Sequence[str],
    *,
    columns: int = 4,
    labels: Sequence[np.ndarray] | None = None,
) -> Drawn | None:
    """Pictures with joints detected (dots, joined) and labelled (crosses); the person's left is blue, the right red.

    None without pictures.

    Parameters
    ----------
    pictures : sequence of (title, image, points (K, 3))
        x, y, px, and visibility or confidence; points of 0 or less are left out.
    keypoints : sequence of str
    labels : sequence of ndarray (K, 3), optional
    """
    if not pictures:
        return None
    fig, axes = picture_grid(len(pictures), columns, 1.9)
    limbs, table = [limb for limb in _LIMBS if set(limb) <= set(keypoints)], []
    for ax, (title, image, points), crosses in zip(axes, pictures, labels or [None] * len(pictures), strict=True):
        show_picture(ax, image, title)
        draw_skeleton(ax, points, keypoints, limbs=limbs, labels=crosses)
        table += [(title, name, *point) for name, point in zip(keypoints, points, strict=True)]
    return fig, pd.DataFrame(table, columns=["picture", "keypoint", "x_px", "y_px", "confidence"])


def draw_examples(examples: Sequence[Still], keypoints: Sequence[str]) -> Drawn:
    """Training crops with their labels."""
    return draw_people([(still.source, still.image, still.keypoints) for still in examples], keypoints)


def draw_best_to_worst(stills: StillSet, found: np.ndarray) -> Drawn:
    """Eight people, one per still, from the best to the worst by their mean distance; crosses are the labels.

    Parameters
    ----------
    stills : StillSet
    found : ndarray (N, K, 3)
        The same keypoints, px of the stills.
    """
    truth = truth_points(stills)
    chosen, mean_px = best_to_worst(found, truth)
    pictures = [(f"mean {off:.1f} px", stills[i].image, found[i]) for i, off in zip(chosen, mean_px, strict=True)]
    return draw_people(pictures, stills.keypoints, labels=[truth[i] for i in chosen])


def draw_scenes(scenes: StillSet, found: np.ndarray) -> Drawn | None:
    """The people (N, K, 3) detected in scenes, a picture each; crosses are the labels. None without scenes."""
    pictures = [(still.scene, still.image, points) for still, points in zip(scenes, found, strict=True)]
    return draw_people(pictures, scenes.keypoints, labels=[still.keypoints for still in scenes])


def _draw_losses(ax, history):
    _draw_curve(ax, history, "loss", label="training", color=VIEW_COLOURS[0])
    _draw_curve(ax, history, "validation_loss", label="validation", color=VIEW_COLOURS[1], marker="o")
    ax.set(yscale="log")


def _draw_curve(ax, history, name, **looks):
    known = history.dropna(subset=[name])  # NaN in epochs without validation
    sns.lineplot(known, x="epoch", y=name, markersize=3.5, markeredgewidth=0, ax=ax, **looks)
    epoch_axis(ax, history)


def draw_training(history: pd.DataFrame, draw_losses: Callable[[Axes, pd.DataFrame], None] = _draw_losses) -> Drawn:
    """Losses on given axes by `draw_losses`, and PCK@0.2 of the validation people, over the epochs."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    draw_losses(left, history)
    left.set(ylabel="mean squared error")
    _draw_curve(right, history.eval("percent = 100 * validation_pck"), "percent", color=VIEW_COLOURS[1], marker="o")
    right.set(ylabel="PCK@0.2, validation people, %", ylim=(0, 100))
    return fig, _epoch_first(history)


def _epoch_first(history):
    return history[["epoch", *history.columns.drop("epoch")]]


def draw_overfitting(history: pd.DataFrame, best_epoch: float, published_epoch: float = 25) -> Drawn:
    """Training and validation loss of a long run, the epoch that early stopping keeps, and the paper's."""
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS * 0.7, 2.4))
    _draw_losses(ax, history)
    ax.axvline(round(best_epoch), color="0.3", linewidth=0.9, label=f"least validation loss, epoch {best_epoch:.0f}")
    label = f"where the paper's curves part, epoch {published_epoch:.0f}"
    ax.axvline(published_epoch, color="0.6", linestyle=":", label=label)
    ax.set(ylabel="mean squared error, shares of the crop")
    ax.legend()
    return fig, _epoch_first(history)


def draw_pck_by_joint(tables: dict[str, pd.DataFrame]) -> Drawn:
    """PCK@0.2 of each joint, a colour and marker per network.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        keypoint and pck, by the network's name.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    long = pd.concat([table.assign(network=name) for name, table in tables.items()], ignore_index=True)
    long = long[(long.keypoint != "all") & long.pck.notna()]
    shown = long.assign(percent=100 * long.pck, joint=long.keypoint.str.replace("_", "\n", n=1))
    markers = [_MARKERS[n % len(_MARKERS)] for n in range(len(tables))]
    looks = {"markers": markers, "linestyles": "none", "markersize": 4, "alpha": 0.8, "errorbar": None}
    sns.pointplot(shown, x="joint", y="percent", hue="network", ax=ax, **looks)
    ax.tick_params(axis="x", labelsize=5.5)
    ax.set(xlabel="", ylabel="PCK@0.2, %", ylim=(0, 101))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return fig, long


def draw_precision(curves: dict[str, pd.DataFrame]) -> Drawn | None:
    """Precision against recall at OKS 0.5 and 0.75, a line per network; None where there are no curves.

    Parameters
    ----------
    curves : dict of str to pandas.DataFrame
        From `coco.precision_curves`, by the network's name.
    """
    if not curves:
        return None
    long = pd.concat([curve.assign(network=name) for name, curve in curves.items()], ignore_index=True)
    long = long[np.isclose(long.oks, 0.5) | np.isclose(long.oks, 0.75)]
    shown = long.assign(oks=long.oks.round(2))
    grid = sns.relplot(shown, x="recall", y="precision", col="oks", hue="network", kind="line", estimator=None)
    grid.set(xlim=(0, 1), ylim=(0, 1.02))
    return study_grid(grid, 2.4, titles="OKS {col_name}"), long


def draw_error_shares(errors: dict[str, np.ndarray], limit: float = 0.2) -> Drawn:
    """Share of all joints within a distance of the ground truth, in torso lengths, a line per network.

    Parameters
    ----------
    errors : dict of str to ndarray
        Distances over torso lengths, of known joints, by the network's name.
    """
    fig, ax = plt.subplots(figsize=(ONE_COLUMN, 2.4))
    long = pd.concat([pd.DataFrame({"network": name, "distance": off}) for name, off in errors.items()])
    sns.ecdfplot(long, x="distance", hue="network", stat="percent", ax=ax)
    ax.axvline(limit, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="distance from the ground truth, torso lengths", ylabel="joints within it, %")
    ax.set(xlim=(0, 0.5), ylim=(0, 101))
    ax.get_legend().set_title("")
    grid = np.linspace(0, 0.5, 51)
    rows = [(name, one, 100 * float(np.mean(off <= one))) for name, off in errors.items() for one in grid]
    return fig, pd.DataFrame(rows, columns=["network", "distance_torso", "share_percent"])
