"""Figures of the view network: labelled frames, training, errors, detected poses.

Each function returns a Matplotlib figure and the table of what it shows.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from studykit.plots.skeletons import draw_skeleton, known_places
from studykit.plots.style import LIMB_COLOURS, TWO_COLUMNS, Drawn, picture_grid
from studykit.stills import Still


def draw_stills(stills: Sequence[Still], keypoints: Sequence[str], *, whole: bool = False) -> Drawn | str:
    """Labelled pictures side by side; a sentence where there is none.

    Parameters
    ----------
    stills : sequence of Still
    keypoints : sequence of str
    whole : bool
        Show the whole picture, otherwise the surroundings of the labels.
    """
    if not len(stills):
        return "No frame is labelled yet."
    pictures = [(still.source, still.image, still.keypoints) for still in stills]
    fig = _draw_poses(pictures, keypoints, whole=whole, fontsize=5.5)
    table = _table(pictures, keypoints, "source")
    table.loc[table.pop("confidence") <= 0, ["x_px", "y_px"]] = np.nan
    return fig, table


def draw_poses(
    pictures: Sequence[tuple[str, np.ndarray, np.ndarray]], keypoints: Sequence[str], *, p_cutoff: float = 0.6
) -> Drawn:
    """Detected poses on frames.

    Parameters
    ----------
    pictures : sequence of (title, image, points (K, 3))
        x, y, px, and confidence; points below `p_cutoff` are left out.
    keypoints : sequence of str
    """
    sure = [(title, image, np.where(p[:, 2:] >= p_cutoff, p[:, :2], np.nan)) for title, image, p in pictures]
    return _draw_poses(sure, keypoints), _table(pictures, keypoints, "picture")


def draw_history(history: pd.DataFrame) -> Drawn:
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


def draw_examples(errors: pd.DataFrame, stills: Sequence[Still], keypoints: Sequence[str], count: int = 8) -> Drawn:
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
    images = {still.source: still.image for still in stills if still.source in set(chosen)}
    rows = [errors[errors.source == source].set_index("keypoint").reindex(list(keypoints)) for source in chosen]
    pictures = [
        (f"largest error {worst[source]:.1f} px", images[source], own[["x_px", "y_px"]].to_numpy())
        for source, own in zip(chosen, rows, strict=True)
    ]
    fig = _draw_poses(pictures, keypoints, labels=[own[["label_x_px", "label_y_px"]].to_numpy() for own in rows])
    return fig, errors[errors.source.isin(chosen)].reset_index(drop=True)


def draw_error_shares(errors: pd.DataFrame, keypoints: Sequence[str], *, limit_px: float = 8.0) -> Drawn | str:
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


def _table(pictures, keypoints, what):
    rows = [(t, name, *point) for t, _, points in pictures for name, point in zip(keypoints, points, strict=True)]
    return pd.DataFrame(rows, columns=[what, "keypoint", "x_px", "y_px", "confidence"])


def _draw_poses(pictures, keypoints, labels=None, whole=False, fontsize=7):
    """Pictures (title, image, points), whole or 40 px around the pose: points joined by lines, labels as crosses."""
    fig, axes = picture_grid(len(pictures), 4, 2.0 if whole else 2.4)
    for ax, (title, image, points), crosses in zip(axes, pictures, labels or [None] * len(pictures), strict=True):
        ax.imshow(image)
        draw_skeleton(ax, points, keypoints, labels=crosses, size=2.6, width=0.7)
        places = np.concatenate([known_places(points), *([] if crosses is None else [crosses])])
        low, high = np.array([-0.5, -0.5]), np.array(image.shape[1::-1]) - 0.5
        if not whole and np.isfinite(places).any():
            low, high = np.maximum(low, np.nanmin(places, 0) - 40), np.minimum(high, np.nanmax(places, 0) + 40)
        ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
        ax.set_title(title.replace("_dir", "\ndir"), fontsize=fontsize)
    return fig
