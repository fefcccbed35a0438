"""Figures of masks and joints (paper 003, figures 5 to 20): training, predictions, channels, skeletons, rotation.

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

LOSSES = {
    "mask_loss": "Dice loss of the mask",
    "joint_map_loss": "squared error of the joint map",
    "joints_loss": "cross entropy of the joints",
}


def draw_histories(histories):
    """Losses over the epochs: training (dashed) and validation (full lines), a panel a loss, a colour a run.

    Parameters
    ----------
    histories : dict of str to pandas.DataFrame
        As from `segmentation.train`, by run.
    """
    long = pd.concat([table.assign(run=run) for run, table in histories.items()], ignore_index=True)
    panels = [name for name in LOSSES if f"validation_{name}" in long]
    fig, axes = plt.subplots(1, len(panels), figsize=(TWO_COLUMNS, 2.3), squeeze=False)
    for ax, name in zip(axes[0], panels, strict=True):
        for colour, (run, table) in zip(_colours(), histories.items(), strict=False):
            if f"validation_{name}" not in table:
                continue
            trained = name if name in table else "loss"
            ax.plot(table.epoch, table[trained], "--", color=colour, linewidth=0.8)
            looked = table.dropna(subset=f"validation_{name}")
            ax.plot(looked.epoch, looked[f"validation_{name}"], "o-", color=colour, markersize=2.5, label=run)
        epoch_axis(ax, long.dropna(subset=f"validation_{name}"))
        ax.set(ylabel=LOSSES[name], yscale="log")
        ax.legend()
    return fig, long


def draw_masks(stills, masks):
    """Images, target masks and predicted ones below one another (figures 6 and 8).

    Parameters
    ----------
    stills : sequence of Still
    masks : dict of str to list of ndarray (height, width) uint8
        Predictions for these stills, by network.
    """
    fig, axes = plt.subplots(
        2 + len(masks), len(stills), figsize=(TWO_COLUMNS, TWO_COLUMNS / len(stills) * (2 + len(masks))), squeeze=False
    )
    pictures = {"image": [s.image for s in stills], "target": [255 * s.mask.astype(np.uint8) for s in stills], **masks}
    for row, (name, images) in zip(axes, pictures.items(), strict=True):
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    rows = [
        (name, still.source, float((image > 127).sum()))
        for name in masks
        for still, image in zip(stills, masks[name], strict=True)
    ]
    return fig, pd.DataFrame(rows, columns=["network", "source", "mask_px"])


def draw_channels(still, maps, keypoints):
    """Softmax outputs, a picture a joint (figure 19), each with its highest pixel marked.

    Parameters
    ----------
    still : Still
    maps : ndarray (height, width, 1 + K)
    keypoints : sequence of str
    """
    fig, axes = picture_grid(2 + len(keypoints), 9, 1.0)
    axes[0].imshow(still.image)
    axes[0].set_title("image", fontsize=5)
    table = []
    for k, (ax, name) in enumerate(zip(axes[1:], ["background", *keypoints], strict=True)):
        y, x = np.unravel_index(maps[..., k].argmax(), maps.shape[:2])
        ax.imshow(maps[..., k], vmin=0, vmax=1)
        if k:
            ax.plot(x, y, "o", markersize=6, markerfacecolor="none", color=VIEW_COLOURS[1], markeredgewidth=0.6)
        ax.set_title(name.replace("_", " "), fontsize=5)
        table.append((name, x, y, maps[y, x, k]))
    return fig, pd.DataFrame(table, columns=["channel", "x_px", "y_px", "probability"])


def draw_skeletons(stills, masks, points, keypoints, *, columns=6):
    """Limbs between found joints on predicted masks (figure 20); the person's left is blue, the right red.

    Parameters
    ----------
    stills : sequence of Still
    masks : sequence of ndarray (height, width) uint8
    points : pandas.DataFrame
        As from `segmentation.judge`.
    keypoints : sequence of str
    """
    limbs = next(s.limbs for s in SKELETONS.values() if s.keypoints == tuple(keypoints))
    fig, axes = picture_grid(2 * columns * -(-len(stills) // columns), columns, 1.25)
    axes = axes.reshape(-1, columns)
    for n, (still, mask) in enumerate(zip(stills, masks, strict=True)):
        own = points[points.source == still.source].set_index("keypoint")[["x_px", "y_px"]]
        pair = [axes[2 * (n // columns) + part, n % columns] for part in (0, 1)]
        show_picture(pair[0], still.image)
        show_picture(pair[1], mask, cmap="gray", vmin=0, vmax=255)
        for a, b in limbs:
            if a in own.index and b in own.index:
                colour = side_colour(b, VIEW_COLOURS[2])
                pair[1].plot(*own.loc[[a, b]].to_numpy().T, color=colour, linewidth=0.9)
    return fig, points[points.source.isin([still.source for still in stills])]


def draw_pck(tables):
    """Share of joints found, by joint, a colour an encoding; hollow: some joint of whatever name was found there.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        As from `segmentation.pck_table`, by encoding.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    for n, (colour, (name, table)) in enumerate(zip(_colours(), tables.items(), strict=False)):
        at = np.arange(len(table)) + 0.15 * (n - (len(tables) - 1) / 2)
        ax.plot(at, 100 * table.pck, "o", color=colour, markersize=3.5, label=name)
        ax.plot(at, 100 * table.pck_any, "o", color=colour, markersize=3.5, markerfacecolor="none", markeredgewidth=0.6)
    ax.set(ylabel="joints found, %", ylim=(0, 102))
    ax.set_xticks(np.arange(len(table)), table.keypoint.str.replace("_", " "), rotation=60, ha="right", fontsize=6)
    ax.legend(ncols=len(tables), loc="lower left", bbox_to_anchor=(0, 1))
    return fig, pd.concat([table.assign(encoding=name) for name, table in tables.items()], ignore_index=True)


def draw_curves(table, x, y, xlabel, ylabel, *, colour_by="network", logx=False):
    """A quantity against another, a line a network: the mean, shaded between the lowest and the highest of repeats.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `x`, `y` and `colour_by`; repeats are further rows.
    """
    fig, ax = plt.subplots(figsize=(ONE_COLUMN, 2.6))
    for colour, (name, part) in zip(_colours(), table.groupby(colour_by, sort=False), strict=False):
        line = part.groupby(x)[y].agg(["mean", "min", "max"])
        ax.plot(line.index, line["mean"], "o-", color=colour, markersize=2.5, label=name)
        ax.fill_between(line.index, line["min"], line["max"], color=colour, alpha=0.2, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear")
    ax.legend()
    return fig, table


def draw_seeds(table, ylabel):
    """A score of the same network trained from several seeds: a dot a seed, a line at their mean, a colour a set.

    Parameters
    ----------
    table : pandas.DataFrame
        encoding, set, seed, dice.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.2))
    names = list(table.encoding.unique())
    for n, (colour, (name, part)) in enumerate(zip(_colours(), table.groupby("set", sort=False), strict=False)):
        at = part.encoding.map(names.index) + 0.2 * (n - 0.5)
        means = part.groupby(at).dice.mean()
        ax.plot(at, part.dice, "o", color=colour, markersize=3.5, alpha=0.7, label=f"{name} people")
        ax.hlines(means, means.index - 0.08, means.index + 0.08, color=colour, linewidth=1.2)
    ax.set(ylabel=ylabel, xticks=range(len(names)), xticklabels=names)
    ax.legend()
    return fig, table


def _colours():
    return [*VIEW_COLOURS, "black"]
