"""Figures of the keypoint networks: people with found and labelled joints, training, precision and recall, errors.

Each function returns a Matplotlib figure and the table of what it shows.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from studykit.plots.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    VIEW_COLOURS,
    epoch_axis,
    picture_grid,
    show_picture,
    side_colour,
)
from studykit.skeletons import SKELETONS

_LIMBS = tuple(dict.fromkeys(limb for name in ("lsp14", "coco17") for limb in SKELETONS[name].limbs))


def draw_people(pictures, keypoints, *, columns=4, labels=None):
    """Pictures with joints found (dots, joined) and labelled (crosses); the person's left is blue, the right red.

    Parameters
    ----------
    pictures : sequence of (title, image, points (K, 3))
        x, y, px, and visibility or confidence; points of 0 are left out.
    keypoints : sequence of str
    labels : sequence of ndarray (K, 3), optional
    """
    fig, axes = picture_grid(len(pictures), columns, 1.9)
    names, table = list(keypoints), []
    for number, (ax, (title, image, points)) in enumerate(zip(axes, pictures, strict=True)):
        shown = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
        show_picture(ax, image, title)
        for limb in _LIMBS:
            if all(end in names for end in limb):
                ends = shown[[names.index(end) for end in limb]]
                ax.plot(*ends.T, color=side_colour(limb[1]), linewidth=1.0)
        ax.scatter(*shown.T, c=[side_colour(name) for name in names], s=7, edgecolors="white", linewidths=0.3, zorder=3)
        if labels is not None:
            known = labels[number][:, 2] > 0
            ax.scatter(*labels[number][known, :2].T, c="white", marker="x", s=9, linewidths=0.6, zorder=4)
        table += [(title, name, *point) for name, point in zip(names, points, strict=True)]
    return fig, pd.DataFrame(table, columns=["picture", "keypoint", "x_px", "y_px", "confidence"])


def draw_training(history):
    """Loss on training and validation people, and PCK@0.2 of both, over the epochs."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    _draw_losses(left, history)
    left.set(ylabel="mean squared error")
    left.legend()
    draw_pck(right, history)
    return fig, history


def _draw_losses(ax, history):
    """Both losses over the epochs, on given axes."""
    for name, label, style, colour in (
        ("loss", "training", "-", VIEW_COLOURS[0]),
        ("validation_loss", "validation", "o-", VIEW_COLOURS[1]),
    ):
        known = history.dropna(subset=[name])  # nobody looked at the validation people in every epoch
        ax.semilogy(known.epoch, known[name], style, label=label, color=colour, markersize=2.5)
    epoch_axis(ax, history)


def draw_pck(ax, history):
    """PCK@0.2 of the validation people over the epochs, on given axes."""
    known = history.dropna(subset=["validation_pck"])
    ax.plot(known.epoch, 100 * known.validation_pck, "o-", color=VIEW_COLOURS[1], markersize=2.5)
    epoch_axis(ax, history)
    ax.set(ylabel="PCK@0.2, validation people, %", ylim=(0, 100))


def draw_overfitting(history, best_epoch, published_epoch=25):
    """Training and validation loss of a long run, the epoch that early stopping keeps, and the paper's."""
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS * 0.7, 2.4))
    _draw_losses(ax, history)
    ax.axvline(best_epoch, color="0.3", linewidth=0.9, label=f"least validation loss, epoch {best_epoch}")
    ax.axvline(
        published_epoch, color="0.6", linestyle=":", label=f"where the paper's curves part, epoch {published_epoch}"
    )
    ax.set(ylabel="mean squared error, shares of the crop")
    ax.legend()
    return fig, history


def draw_pck_by_joint(tables):
    """PCK@0.2 of each joint, a row of points a network.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        keypoint and pck, by the network's name.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    long = pd.concat([table.assign(network=name) for name, table in tables.items()], ignore_index=True)
    long = long[(long.keypoint != "all") & long.pck.notna()]
    names = list(dict.fromkeys(long.keypoint))
    for marker, (name, part) in zip("osD^vP*X" * 3, long.groupby("network", sort=False), strict=False):
        at = [names.index(joint) for joint in part.keypoint]
        ax.plot(at, 100 * part.pck, marker, linestyle="none", markersize=4, label=name, alpha=0.8)
    ax.set_xticks(range(len(names)), [name.replace("_", "\n", 1) for name in names], fontsize=5.5)
    ax.set(ylabel="PCK@0.2, %", ylim=(0, 101))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
    return fig, long


def draw_precision(curves):
    """Precision against recall at OKS 0.5 and 0.75, a line a network.

    Parameters
    ----------
    curves : dict of str to pandas.DataFrame
        From `metrics.precision_curves`, by the network's name.
    """
    fig, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.4), sharey=True)
    long = pd.concat([curve.assign(network=name) for name, curve in curves.items()], ignore_index=True)
    long = long[np.isclose(long.oks, 0.5) | np.isclose(long.oks, 0.75)]
    for ax, oks in zip(axes, (0.5, 0.75), strict=True):
        for name, part in long[np.isclose(long.oks, oks)].groupby("network", sort=False):
            ax.plot(part.recall, part.precision, label=name)
        ax.set(xlabel=f"recall at OKS {oks}", xlim=(0, 1), ylim=(0, 1.02))
    axes[0].set_ylabel("precision")
    axes[0].legend()
    return fig, long


def draw_error_shares(errors, limit=0.2):
    """Share of all joints within a distance of the truth, in torso lengths, a line a network.

    Parameters
    ----------
    errors : dict of str to ndarray
        Distances over torso lengths, of known joints, by the network's name.
    """
    fig, ax = plt.subplots(figsize=(ONE_COLUMN, 2.4))
    distance, rows = np.linspace(0, 0.5, 51), []
    for name, values in errors.items():
        shares = [100 * float(np.mean(values <= one)) for one in distance]
        ax.plot(distance, shares, label=name)
        rows += [(name, one, share) for one, share in zip(distance, shares, strict=True)]
    ax.axvline(limit, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="distance from the truth, torso lengths", ylabel="joints within it, %", xlim=(0, 0.5), ylim=(0, 101))
    ax.legend()
    return fig, pd.DataFrame(rows, columns=["network", "distance_torso", "share_percent"])
