"""Figures of OpenPose: confidence maps, fields, peaks, connections, skeletons, as paper 000's figures 5 to 10.

Each function returns a Matplotlib figure and the table of what it shows.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from studykit.plots.keypoints import Drawn, draw_training
from studykit.plots.skeletons import draw_skeleton
from studykit.plots.style import TWO_COLUMNS, VIEW_COLOURS, epoch_axis, keypoint_colour, picture_grid, show_picture
from studykit.pose.everybody import find_everybody
from studykit.pose.network import Network
from studykit.pose.scores.people import Found
from studykit.skeletons import Skeleton
from studykit.stills import Still

_JOINTS = ("shoulder", "elbow", "hip", "knee")
JOINT_MAPS = (*[f"{side}_{joint}" for joint in _JOINTS for side in ("left", "right")][:7], "background")
_LINKS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
ARMS_AND_LEGS = tuple((f"{side}_{a}", f"{side}_{b}") for a, b in _LINKS for side in ("left", "right"))
_ROW = 1.95  # height of a row of pictures, inches


def draw_maps(
    image: np.ndarray, maps: np.ndarray, stride: float, keypoints: Sequence[str], chosen: Sequence[str] = JOINT_MAPS
) -> Drawn:
    """Confidence maps of some keypoints over the picture; "background" is the last map.

    Parameters
    ----------
    image : ndarray (H, W, 3) uint8
    maps : ndarray (h, w, K + 1)
    stride : float
        px per cell.
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


def draw_fields(
    image: np.ndarray,
    fields: np.ndarray,
    stride: float,
    skeleton: Skeleton,
    chosen: Sequence[tuple[str, str]] = ARMS_AND_LEGS,
    *,
    least: float = 0.15,
) -> Drawn:
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


def draw_peaks_and_connections(
    image: np.ndarray, peaks: np.ndarray, connections: np.ndarray, skeleton: Skeleton
) -> Drawn:
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
    colours = [keypoint_colour(skeleton.keypoints[int(k)], "white") for k in peaks[:, 0]]
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


def draw_skeletons(
    pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], skeleton: Skeleton, *, columns: int = 4
) -> Drawn | None:
    """Pictures with everybody detected in them, a colour per person; None without pictures.

    Parameters
    ----------
    pictures : sequence of (title, image, people (P, K, 3))
        NaN where a keypoint was not detected.
    skeleton : skeletons.Skeleton
    """
    if not pictures:
        return None
    fig, axes = picture_grid(len(pictures), columns, _ROW)
    rows = []
    for ax, (title, image, people) in zip(axes, pictures, strict=True):
        show_picture(ax, image, title)
        for number, person in enumerate(people):
            colour = VIEW_COLOURS[number % len(VIEW_COLOURS)]
            draw_skeleton(ax, person, skeleton.keypoints, colour=colour, limbs=skeleton.limbs)
            rows += [(title, number, name, *point) for name, point in zip(skeleton.keypoints, person, strict=True)]
    return fig, pd.DataFrame(rows, columns=["picture", "person", "keypoint", "x_px", "y_px", "score"])


def draw_maps_by_scale(
    image: np.ndarray, by_scale: dict[str, tuple[np.ndarray, float]], keypoints: Sequence[str]
) -> dict[str, Drawn]:
    """A figure `maps_at_<scale>` per scale, with the maps of three joints and the background.

    Parameters
    ----------
    image : ndarray (H, W, 3) uint8
    by_scale : dict of str to (maps, stride)
        From `everybody.maps_by_scale`.
    keypoints : sequence of str
    """
    chosen, drawn = ["left_shoulder", "left_knee", "right_knee", "background"], {}
    for scale, (maps, stride) in by_scale.items():
        fig, data = draw_maps(image, maps, stride, keypoints, chosen)
        fig.suptitle(f"scale {scale}", fontsize=7)
        drawn[f"maps_at_{scale}"] = fig, data
    return drawn


def scale_table(drawn: dict[str, Drawn]) -> pd.DataFrame:
    """What `draw_maps_by_scale` shows, one table with a column for the scale."""
    return pd.concat([data.assign(scale=name.removeprefix("maps_at_")) for name, (_, data) in drawn.items()])


def draw_detected(stills: Sequence[Still], found: Sequence[Found], skeleton: Skeleton) -> Drawn | None:
    """Up to eight of some pictures, evenly chosen, with everybody detected in them."""
    numbers = range(0, len(stills), max(1, len(stills) // 8))[:8]
    titles = [stills[n].scene or stills[n].source.split(",")[0] for n in numbers]
    return draw_skeletons([(t, stills[n].image, found[n][0]) for t, n in zip(titles, numbers, strict=True)], skeleton)


def draw_networks(networks: dict[str, Network], images: Sequence[np.ndarray], **reading: Any) -> dict[str, Drawn]:
    """A figure `skeletons_<name>` per network, with everybody whom it detects in the same pictures."""
    drawn = {}
    for name, network in networks.items():
        people = [some for some, _ in find_everybody(network, images, **reading)[0]]
        titles = [f"{name}: {len(some)} found" for some in people]
        pictures = list(zip(titles, images, people, strict=True))
        drawn[f"skeletons_{name}"] = draw_skeletons(pictures, network.settings.body)
    return drawn


def draw_frames(network: Network, frames: Sequence[tuple[str, np.ndarray]], **reading: Any) -> Drawn | None:
    """Titled frames with everybody whom a network detects in them; None without frames."""
    found, _ = find_everybody(network, [frame for _, frame in frames], **reading)
    pictures = [(title, frame, people) for (title, frame), (people, _) in zip(frames, found, strict=True)]
    return draw_skeletons(pictures, network.settings.body, columns=2)


def draw_losses(history: pd.DataFrame) -> Drawn:
    """Loss of both branches after the first and the last stage, and PCK@0.2 of the validation people."""
    return draw_training(history, _draw_branches)


def _draw_branches(ax, history):
    branches, stages = {"maps": "confidence maps", "pafs": "fields"}, {"1": "first", "": "last"}
    curves = {f"{b}{s}_loss": (branches[b], stages[s]) for b in branches for s in stages if f"{b}{s}_loss" in history}
    long = history[["epoch", *curves]].melt("epoch", value_name="loss")
    long["branch"], long["stage"] = zip(*long.variable.map(curves), strict=True)
    looks = {"palette": VIEW_COLOURS[:2], "dashes": {"first": (1, 1.5), "last": ""}, "estimator": None}
    sns.lineplot(long, x="epoch", y="loss", hue="branch", style="stage", ax=ax, **looks)
    ax.set(yscale="log")
    epoch_axis(ax, history)


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
