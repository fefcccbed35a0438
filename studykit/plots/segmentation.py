"""Figures of masks and joints (paper 003, figures 5 to 20): training, predictions, channels, skeletons, rotation.

Each function returns a Matplotlib figure and the table of what it shows.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import LogLocator, NullFormatter

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
from studykit.stills import Still

LOSSES = {
    "mask_loss": "Dice loss of the mask",
    "joint_map_loss": "squared error of the joint map",
    "joints_loss": "cross entropy of the joints",
}


def draw_histories(histories: dict[str, pd.DataFrame]) -> Drawn:
    """Losses over the epochs: training (dashed) and validation (full lines), a panel per loss, a colour per run.

    Parameters
    ----------
    histories : dict of str to pandas.DataFrame
        As from `segmentation.train`, by run.
    """
    table = pd.concat([one.assign(run=run) for run, one in histories.items()], ignore_index=True)
    filled = table.assign(mask_loss=table.get("mask_loss", table.loss).fillna(table.loss))  # one output has one loss
    columns = [name for loss in LOSSES for name in (loss, f"validation_{loss}") if f"validation_{loss}" in table]
    long = filled.melt(["run", "epoch"], columns).dropna()
    long["set"] = np.where(long.variable.str.startswith("validation"), "validation", "training")
    long["loss"] = long.variable.str.removeprefix("validation_").map(LOSSES)
    look = {"style": "set", "dashes": {"training": (3, 1.5), "validation": ""}}
    look |= {"marker": "o", "markersize": 3, "markeredgewidth": 0, "facet_kws": {"sharey": False}}
    grid = sns.relplot(long, x="epoch", y="value", col="loss", hue="run", kind="line", **look)
    grid.set(yscale="log").set_ylabels("loss")
    for ax in grid.axes.flat:
        epoch_axis(ax, long)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")  # powers of ten would be set as formulas, which takes a second a figure
        ax.yaxis.set_minor_formatter(NullFormatter())
    return study_grid(grid, 2.3), table


def draw_masks(
    stills: Sequence[Still], masks: dict[str, Sequence[np.ndarray]], numbers: Sequence[int] | None = None
) -> Drawn:
    """Images, target masks and predicted ones below one another (figures 6 and 8).

    Parameters
    ----------
    stills : sequence of Still
    masks : dict of str to sequence of ndarray (height, width) uint8
        Predictions for these stills, by network.
    numbers : sequence of int, optional
        Which stills to show, in this order; all if not given.
    """
    numbers = range(len(stills)) if numbers is None else numbers
    pictures = {"image": [s.image for s in stills], "target": [255 * s.mask.astype(np.uint8) for s in stills], **masks}
    size = TWO_COLUMNS / len(numbers)
    fig, axes = plt.subplots(len(pictures), len(numbers), figsize=(TWO_COLUMNS, size * len(pictures)), squeeze=False)
    for row, (name, images) in zip(axes, pictures.items(), strict=True):
        for ax, n in zip(row, numbers, strict=True):
            ax.imshow(images[n], cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    rows = [(name, stills[n].source, float((masks[name][n] > 127).sum())) for name in masks for n in numbers]
    return fig, pd.DataFrame(rows, columns=["network", "source", "mask_px"])


def draw_channels(still: Still, maps: np.ndarray, keypoints: Sequence[str]) -> Drawn:
    """Softmax outputs, one picture per joint (figure 19), each with its highest pixel marked.

    Parameters
    ----------
    still : Still
    maps : ndarray (height, width, 1 + K)
    keypoints : sequence of str
    """
    fig, axes = picture_grid(2 + len(keypoints), 9, 1.0)
    show_picture(axes[0], still.image, "image", fontsize=5)
    table = []
    for k, (ax, name) in enumerate(zip(axes[1:], ["background", *keypoints], strict=True)):
        y, x = np.unravel_index(maps[..., k].argmax(), maps.shape[:2])
        show_picture(ax, maps[..., k], name.replace("_", " "), fontsize=5, vmin=0, vmax=1)
        if k:
            ax.plot(x, y, "o", markersize=6, markerfacecolor="none", color=VIEW_COLOURS[1], markeredgewidth=0.6)
        table.append((name, x, y, maps[y, x, k]))
    return fig, pd.DataFrame(table, columns=["channel", "x_px", "y_px", "probability"])


def draw_skeletons(
    stills: Sequence[Still],
    masks: Sequence[np.ndarray],
    points: pd.DataFrame,
    keypoints: Sequence[str],
    numbers: Sequence[int] | None = None,
) -> Drawn | None:
    """Limbs between detected joints on predicted masks (figure 20); the person's left is blue, the right red.

    Parameters
    ----------
    stills : sequence of Still
    masks : sequence of ndarray (height, width) uint8
    points : pandas.DataFrame
        As from `masks.judge`; without joints there is no figure.
    keypoints : sequence of str
    numbers : sequence of int, optional
        Which stills to show, in this order; all if not given.
    """
    if points.empty:
        return None
    columns = 6
    numbers = range(len(stills)) if numbers is None else numbers
    fig, axes = picture_grid(2 * columns * -(-len(numbers) // columns), columns, 1.25)
    axes = axes.reshape(-1, 2, columns)
    for place, n in enumerate(numbers):
        above, below = axes[place // columns, :, place % columns]
        show_picture(above, stills[n].image)
        show_picture(below, masks[n], cmap="gray", vmin=-128, vmax=255)  # no black, which the limbs of the trunk have
        own = points[points.source == stills[n].source].set_index("keypoint")[["x_px", "y_px"]]
        draw_skeleton(below, own.reindex(keypoints).to_numpy(), keypoints, size=1.2)
    return fig, points[points.source.isin([stills[n].source for n in numbers])]


def draw_pck(tables: dict[str, pd.DataFrame]) -> Drawn:
    """Share of joints detected, by joint, a colour per encoding; hollow: any joint, whatever its name, was detected.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        As from `masks.pck_table`, by encoding.
    """
    table = pd.concat([one.assign(encoding=name) for name, one in tables.items()], ignore_index=True)
    percent = table.assign(keypoint=table.keypoint.str.replace("_", " "))
    percent[["pck", "pck_any"]] *= 100
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    look = {"x": "keypoint", "hue": "encoding", "dodge": 0.2 * (len(tables) - 1), "linestyle": "none", "markersize": 4}
    sns.pointplot(percent, y="pck", ax=ax, **look)
    sns.pointplot(percent, y="pck_any", ax=ax, legend=False, markerfacecolor="none", markeredgewidth=0.6, **look)
    ax.set(xlabel="", ylabel="joints detected, %", ylim=(0, 102))
    ax.tick_params(axis="x", rotation=60, labelsize=6)
    sns.move_legend(ax, "lower left", bbox_to_anchor=(0, 1), ncols=len(tables), title="")
    return fig, table


def draw_curves(
    table: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str, *, hue: str = "network", logx: bool = False
) -> Drawn | None:
    """A quantity against another, a line per network: the mean, shaded between the lowest and the highest repeat.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `x`, `y` and `hue`; repeats are further rows. A single `x` makes no figure.
    """
    if len(set(table[x])) < 2:
        return None
    fig, ax = plt.subplots(figsize=(ONE_COLUMN, 2.6))
    look = {"errorbar": ("pi", 100), "marker": "o", "markersize": 3, "markeredgewidth": 0}
    sns.lineplot(table, x=x, y=y, hue=hue, ax=ax, **look)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear")
    ax.legend()
    return fig, table


def draw_seeds(table: pd.DataFrame, ylabel: str) -> Drawn:
    """A score of the same network trained from several seeds: a dot per seed, a line at their mean, a colour per set.

    Parameters
    ----------
    table : pandas.DataFrame
        encoding, set, seed, dice.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.2))
    look = {"x": "encoding", "y": "dice", "hue": "set", "ax": ax}
    sns.stripplot(table, dodge=True, jitter=False, size=4, alpha=0.7, **look)
    look |= {"dodge": 0.4 * (len(set(table.set)) - 1), "errorbar": None, "linestyle": "none", "legend": False}
    sns.pointplot(table, marker="_", markersize=14, markeredgewidth=1.2, **look)
    ax.set(xlabel="", ylabel=ylabel)
    ax.legend(title="people")
    return fig, table
