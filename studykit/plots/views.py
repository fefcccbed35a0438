"""Figures of the view network: labelled frames, training, errors, detected poses.

Each function returns a Matplotlib figure and the table of what it shows.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from studykit.plots.skeletons import draw_skeleton
from studykit.plots.style import LIMB_COLOURS, TWO_COLUMNS, picture_grid
from studykit.stills import Still


def draw_stills(
    stills: Sequence[Still], keypoints: Sequence[str], *, columns: int = 4, whole: bool = False
) -> tuple[Figure, pd.DataFrame] | str:
    """Labelled pictures side by side; a sentence where there is none.

    Parameters
    ----------
    stills : sequence of Still
    keypoints : sequence of str
    columns : int
    whole : bool
        Show the whole picture, otherwise the surroundings of the labels.
    """
    if not len(stills):
        return "No frame is labelled yet."
    fig, axes = picture_grid(len(stills), columns, 2.0 if whole else 2.4)
    rows = []
    for ax, still in zip(axes, stills, strict=True):
        points = np.where(still.keypoints[:, 2:] > 0, still.keypoints[:, :2], np.nan)
        _pose(ax, still.image, points, keypoints, margin_px=None if whole else 40)
        ax.set_title(still.source.replace("_dir", "\ndir"), fontsize=5.5)
        rows += [(still.source, name, *xy) for name, xy in zip(keypoints, points, strict=True)]
    return fig, pd.DataFrame(rows, columns=["source", "keypoint", "x_px", "y_px"])


def draw_history(history: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Losses and the error on test frames over the steps of training."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    losses = {"scores_loss": "score maps", "offsets_loss": "location refinement"}
    sns.lineplot(history.set_index("step")[list(losses)].rename(columns=losses), dashes=False, ax=left)
    left.set(xlabel="step", ylabel="loss, augmented frames", yscale="log")
    errors = {"train_error_px": "training people", "test_error_px": "unseen people"}
    looked = history.dropna(subset=["test_error_px"]).set_index("step")[list(errors)].rename(columns=errors)
    sns.lineplot(looked, dashes=False, markers=["o", "o"], markersize=4, markeredgewidth=0, ax=right)
    right.set(xlabel="step", ylabel="median error, px", ylim=(0, None))
    return fig, history


def draw_examples(
    errors: pd.DataFrame, stills: Sequence[Still], keypoints: Sequence[str], *, count: int = 8, columns: int = 4
) -> tuple[Figure, pd.DataFrame]:
    """Detected (dots) and labelled (crosses) keypoints of frames from the best to the worst.

    Parameters
    ----------
    errors : pandas.DataFrame
        As from `view_network.still_errors` on the same stills.
    stills : StillSet
    keypoints : sequence of str
    count : int
        Frames shown, evenly spaced in the order of their largest error.
    """
    worst = errors.groupby("source").error_px.max().sort_values(kind="stable")
    chosen = worst.index[np.unique(np.linspace(0, len(worst) - 1, min(count, len(worst))).round().astype(int))]
    by_source = {still.source: still for still in stills if still.source in set(chosen)}
    fig, axes = picture_grid(len(chosen), columns, 2.4)
    for ax, source in zip(axes, chosen, strict=True):
        rows = errors[errors.source == source].set_index("keypoint").reindex(list(keypoints))
        labels = rows[["label_x_px", "label_y_px"]].to_numpy()
        _pose(ax, by_source[source].image, rows[["x_px", "y_px"]].to_numpy(), keypoints, labels=labels)
        ax.set_title(f"largest error {worst[source]:.1f} px", fontsize=7)
    return fig, errors[errors.source.isin(chosen)].reset_index(drop=True)


def draw_poses(
    pictures: Sequence[tuple[str, np.ndarray, np.ndarray]],
    keypoints: Sequence[str],
    *,
    columns: int = 4,
    p_cutoff: float = 0.6,
) -> tuple[Figure, pd.DataFrame]:
    """Detected poses on frames.

    Parameters
    ----------
    pictures : sequence of (title, image, points (K, 3))
        x, y, px, and confidence; points below `p_cutoff` are left out.
    keypoints : sequence of str
    """
    fig, axes = picture_grid(len(pictures), columns, 2.4)
    rows = []
    for ax, (title, image, points) in zip(axes, pictures, strict=True):
        shown = np.where(points[:, 2:] >= p_cutoff, points[:, :2], np.nan)
        _pose(ax, image, shown, keypoints, margin_px=40)
        ax.set_title(title, fontsize=7)
        rows += [(title, name, *point) for name, point in zip(keypoints, points, strict=True)]
    return fig, pd.DataFrame(rows, columns=["picture", "keypoint", "x_px", "y_px", "confidence"])


def draw_error_shares(
    errors: pd.DataFrame, keypoints: Sequence[str], *, limit_px: float = 8.0
) -> tuple[Figure, pd.DataFrame] | str:
    """Share of points within a distance of the ground truth, by keypoint.

    Parameters
    ----------
    errors : pandas.DataFrame
        Columns keypoint and error_px, one row per point; a sentence is returned where there is none.
    """
    if errors.empty:
        return "No true place is known."
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS / 2, 2.4))
    there = [name for name in keypoints if (errors.keypoint == name).any()]
    options = {"stat": "percent", "hue_order": there, "palette": LIMB_COLOURS}
    sns.ecdfplot(errors[errors.keypoint.isin(there)], x="error_px", hue="keypoint", ax=ax, **options)
    sns.move_legend(ax, "lower right", title="")
    ax.axvline(limit_px, color="0.6", linewidth=0.8, linestyle=":")
    ax.set(xlabel="distance from the ground truth, px", ylabel="points within it, %", xlim=(0, 20), ylim=(0, 101))
    own = {name: errors.error_px[errors.keypoint == name] for name in there}
    rows = [(name, at, 100 * np.mean(own[name] <= at)) for name in there for at in np.arange(0, 20.5, 0.5)]
    return fig, pd.DataFrame(rows, columns=["keypoint", "distance_px", "share_percent"])


def _pose(ax, image, points, keypoints, *, labels=None, margin_px=40.0):
    """A picture around a pose: detected points as dots joined by lines, labels as crosses."""
    ax.imshow(image)
    draw_skeleton(ax, points, keypoints, labels=labels, size=2.6, width=0.7)
    everything = points if labels is None else np.concatenate([points, labels])
    low, high = np.array([-0.5, -0.5]), np.array(image.shape[1::-1]) - 0.5
    if margin_px is not None and np.isfinite(everything).any():
        low = np.maximum(low, np.nanmin(everything, axis=0) - margin_px)
        high = np.minimum(high, np.nanmax(everything, axis=0) + margin_px)
    ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
