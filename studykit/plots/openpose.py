"""Figures of OpenPose: confidence maps, fields, peaks, connections, skeletons, as paper 000's figures 5 to 10.

Each function returns a Matplotlib figure and the table of what it shows.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from studykit.plots.keypoints import draw_pck
from studykit.plots.style import TWO_COLUMNS, VIEW_COLOURS, epoch_axis, picture_grid, show_picture, side_colour
from studykit.skeletons import SKELETONS

_ROW = 1.95  # height of a row of pictures, inches


def draw_maps(image, maps, stride, keypoints, chosen):
    """Confidence maps of some keypoints over the picture; "background" is the last map.

    Parameters
    ----------
    image : ndarray (H, W, 3) uint8
    maps : ndarray (h, w, K + 1)
    stride : float
        px a cell.
    keypoints : sequence of str
        Names of the K keypoints.
    chosen : sequence of str
    """
    names = [*keypoints, "background"]
    fig, axes = picture_grid(len(chosen), 4, _ROW)
    rows = []
    for ax, name in zip(axes, chosen, strict=True):
        shown = maps[..., names.index(name)]
        _grey(ax, image, f"{name}, up to {shown.max():.2f}")
        _overlay(ax, shown, stride)
        row, column = np.unravel_index(shown.argmax(), shown.shape)
        x, y = ((cell + 0.5) * stride - 0.5 for cell in (column, row))
        rows.append((name, x, y, shown.max(), shown.mean()))
    return fig, pd.DataFrame(rows, columns=["keypoint", "x_px", "y_px", "highest", "mean"])


def draw_fields(image, fields, stride, skeleton, chosen, *, least=0.15):
    """Part affinity fields of some limbs; arrows show their direction where they are longer than `least`.

    Parameters
    ----------
    image, stride : as in `draw_maps`
    fields : ndarray (h, w, 2 L)
    skeleton : skeletons.Skeleton
    chosen : sequence of (str, str)
        Limbs of the skeleton.
    """
    fig, axes = picture_grid(len(chosen), 4, _ROW)
    rows = []
    for ax, limb in zip(axes, chosen, strict=True):
        n = skeleton.limbs.index(tuple(limb))
        field = fields[..., [n, n + len(skeleton.limbs)]]
        strength = np.linalg.norm(field, axis=-1)
        _grey(ax, image, " to\n".join(limb) + f", up to {strength.max():.2f}")
        _overlay(ax, strength, stride)
        row, column = np.nonzero(strength > least)
        few = max(1, round(np.hypot(*strength.shape) / 40))  # every so many cells
        row, column = (cells[(row % few == 0) & (column % few == 0)] for cells in (row, column))
        x, y = (column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5
        dx, dy = field[row, column].T
        arrows = field[row, column] / strength[row, column, None] * few * stride
        ax.quiver(x, y, *arrows.T, color="white", angles="xy", scale_units="xy", scale=1, width=0.006)
        rows += [(" to ".join(limb), *values) for values in zip(x, y, dx, dy, strict=True)]
    return fig, pd.DataFrame(rows, columns=["limb", "x_px", "y_px", "field_x", "field_y"])


def draw_peaks_and_connections(image, peaks, connections, skeleton):
    """Left: peaks with their ids. Right: the pairs that the fields join, the surer the brighter.

    Parameters
    ----------
    image : ndarray (H, W, 3) uint8
    peaks, connections
        As from `peaks.local_peaks` and `grouping.connect`.
    skeleton : skeletons.Skeleton
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 3.6))
    for ax, title in ((left, "peaks and their ids"), (right, "connections and their scores")):
        _grey(ax, image, title)
    colours = [side_colour(skeleton.keypoints[int(k)], "white") for k in peaks[:, 0]]
    left.scatter(peaks[:, 1], peaks[:, 2], c=colours, s=9, edgecolors="white", linewidths=0.3)
    for n, (_, x, y, _) in enumerate(peaks):
        left.annotate(str(n), (x, y), xytext=(2, 2), textcoords="offset points", fontsize=5, color="white")
    rows, scores = [], plt.Normalize(0, 1)
    for limb, first, last, score in connections:
        ends = peaks[[int(first), int(last)], 1:3]
        right.plot(*ends.T, color=plt.get_cmap("viridis")(scores(score)), linewidth=1.6)
        rows.append((" to ".join(skeleton.limbs[int(limb)]), int(first), int(last), *ends.ravel(), score))
    fig.colorbar(plt.cm.ScalarMappable(scores, "viridis"), ax=right, shrink=0.7, label="score")
    names = ["limb", "first_id", "last_id", "first_x_px", "first_y_px", "last_x_px", "last_y_px", "score"]
    return fig, pd.DataFrame(rows, columns=names)


def draw_skeletons(pictures, *, columns=4):
    """Pictures with everybody found in them, each person's limbs in one colour.

    Parameters
    ----------
    pictures : sequence of (title, image, people (P, K, 3), name of the skeleton)
        Of `skeletons.SKELETONS`; NaN where a keypoint was not found.
    """
    fig, axes = picture_grid(len(pictures), columns, _ROW)
    rows = []
    for ax, (title, image, people, name) in zip(axes, pictures, strict=True):
        keypoints, limbs = SKELETONS[name].keypoints, SKELETONS[name].limbs
        show_picture(ax, image, title)
        for number, person in enumerate(people):
            colour = VIEW_COLOURS[number % len(VIEW_COLOURS)]
            for ends in limbs:
                ax.plot(*person[[keypoints.index(end) for end in ends], :2].T, color=colour, linewidth=1.0)
            ax.scatter(person[:, 0], person[:, 1], color=colour, s=5, edgecolors="white", linewidths=0.2, zorder=3)
            rows += [(title, number, name, *point) for name, point in zip(keypoints, person, strict=True)]
    return fig, pd.DataFrame(rows, columns=["picture", "person", "keypoint", "x_px", "y_px", "score"])


def draw_losses(history):
    """Loss of both branches after the first and the last stage, and PCK@0.2 of the validation people."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    branches = (("maps", "confidence maps", VIEW_COLOURS[0]), ("pafs", "fields", VIEW_COLOURS[1]))
    for name, label, colour in branches:
        for column, style, stage in ((f"{name}1_loss", ":", "first"), (f"{name}_loss", "-", "last")):
            if column in history:
                left.semilogy(history.epoch, history[column], style, color=colour, label=f"{label}, {stage} stage")
    epoch_axis(left, history)
    left.set(ylabel="mean squared error")
    left.legend()
    draw_pck(right, history)
    return fig, history


def _grey(ax, image, title):
    show_picture(ax, image.mean(axis=2), title.replace("_", " "), fontsize=6.5, cmap="gray", vmin=0, vmax=255)
    ax.set_axis_off()


def _overlay(ax, values, stride):
    """Values on the network's grid as shares of the highest, the higher the less of the picture shows through."""
    rows, columns = values.shape
    extent = (-0.5, columns * stride - 0.5, rows * stride - 0.5, -0.5)
    shares = (values / max(values.max(), 1e-6)).astype(np.float32)
    smooth = cv2.resize(shares, (8 * columns, 8 * rows), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    ax.imshow(smooth, extent=extent, vmin=0, vmax=1, cmap="plasma", alpha=0.85 * smooth)
