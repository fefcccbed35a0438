"""Figures of a Study: its cameras from above, sample frames, lengths and speeds of its recordings."""

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from studykit.gait.views import has_one_leg
from studykit.gaitlab import load_masks
from studykit.plots.skeletons import draw_outline, draw_skeleton
from studykit.plots.style import TWO_COLUMNS, Drawn, view_colours
from studykit.skeletons import LEG
from studykit.study import recordings
from studykit.tracks import load_tracks
from studykit.truth.file import load_truth
from studykit.truth.reference import truth_tracks
from studykit.video import probe, read_selected

_HALF_WALK_M = 2.5


def draw_cameras(study: pd.DataFrame) -> Drawn | str:
    """The cameras from above, a panel for each calibration file (three at most); a sentence where there is none.

    Returns
    -------
    fig : matplotlib Figure
    places : pandas.DataFrame
        calibration, view, x_m, z_m, height_m, field_of_view_deg (horizontal).
    """
    files = [Path(path) for path in dict.fromkeys(study.calibration) if path][:3]
    if not files:
        return "No recording names a calibration file."
    places = pd.DataFrame([row for path in files for row in _places(path)])
    fig, axes = plt.subplots(1, len(files), figsize=(TWO_COLUMNS, 3.2), squeeze=False)
    colours = view_colours(places["view"].unique())
    for axis, (name, group) in zip(axes[0], places.groupby("calibration"), strict=True):
        axis.plot([0, 0], [-_HALF_WALK_M, _HALF_WALK_M], color="0.7", linewidth=6, solid_capstyle="butt", zorder=0)
        for camera in group.itertuples():
            half = np.radians(camera.field_of_view_deg / 2)
            heading = np.arctan2(camera.forward_x, camera.forward_z)
            edges = [(np.cos(heading + s * half), np.sin(heading + s * half)) for s in (-1, 1)]
            seen = np.array([(0, 0), *edges]) * 1.3 * np.hypot(camera.x_m, camera.z_m) + (camera.z_m, camera.x_m)
            axis.fill(*seen.T, color=colours[camera.view], alpha=0.12, linewidth=0)
            axis.plot(camera.z_m, camera.x_m, "o", color=colours[camera.view])
            axis.annotate(camera.view, (camera.z_m, camera.x_m), textcoords="offset points", xytext=(0, 6), ha="center")
        axis.set(xlabel="z, towards the first view (m)", aspect="equal", title=name if len(files) > 1 else "")
    axes[0, 0].set_ylabel("x, along the walk (m)")
    return fig, places.drop(columns=["forward_x", "forward_z"])


def _places(path):
    """Where each camera of a calibration file stands and looks."""
    for view, camera in json.loads(path.read_text(encoding="utf-8")).items():
        R, t, K = (np.array(camera[key], float) for key in ("R", "t", "K"))
        x, y, z = -R.T @ t
        field = 2 * np.degrees(np.arctan(camera["width_px"] / 2 / K[0, 0]))
        place = {"calibration": path.stem, "view": view, "x_m": x, "z_m": z, "height_m": y, "field_of_view_deg": field}
        yield place | {"forward_x": R[2, 0], "forward_z": R[2, 2]}


def draw_samples(study: pd.DataFrame, *, shares: Sequence[float] = (0.2, 0.5, 0.8)) -> Drawn:
    """Frames of every view of the first trial, with known keypoints and masks drawn on them; the first one whole.

    The leg that faces the camera is coloured, the other one grey; hollow points are hidden from the camera.

    Parameters
    ----------
    study : pandas.DataFrame
    shares : sequence of float
        Of the recording's length, 0 to 1.

    Returns
    -------
    fig : matplotlib Figure
    points : pandas.DataFrame
        view, frame, keypoint, x_px, y_px, visibility (2 visible, 1 hidden, NaN where the source does not say).
    """
    first = study[(study.participant == study.participant[0]) & (study.trial == study.trial[0])]
    shape = float(first.height_px.max() / first.width_px.max()) if first.width_px.notna().all() else 9 / 16
    size = (TWO_COLUMNS, TWO_COLUMNS / len(shares) * min(shape, 1.5) * len(first) + 0.2)
    fig, axes = plt.subplots(len(first), len(shares), figsize=size, squeeze=False)
    rows = []
    for line, row in zip(axes, recordings(first), strict=True):
        known, visibility = _known_points(row)
        length = len(known.time) if known is not None else probe(row.video).frames
        frames = [int(share * (length - 1)) for share in shares]
        images = read_selected(row.video, frames) if row.video else [None] * len(frames)
        masks = _masks(row)
        for axis, frame, image in zip(line, frames, images, strict=True):
            if image is not None:
                axis.imshow(image)
            draw_outline(axis, masks[frame] if masks is not None else None)
            axis.set(xticks=[], yticks=[], xlim=(0, row.width_px), ylim=(row.height_px, 0), aspect="equal")
            axis.spines[:].set_visible(True)
            if known is not None:
                drawn = _draw_points(axis, row, known.isel(time=frame), visibility, frame)
                rows += drawn
                if axis is not line[0]:
                    _zoom(axis, drawn)
        line[0].set_ylabel(f"{row.view}, {row.direction}")
    return fig, pd.DataFrame(rows, columns=["view", "frame", "keypoint", "x_px", "y_px", "visibility"])


def _known_points(row):
    """Tracks to draw, and the visibility of their points (time, keypoint) where the truth knows it."""
    if row.truth:
        tracks = truth_tracks(load_truth(row.truth), row)
        return tracks, 2 * tracks.confidence.isel(individuals=0, drop=True).rename(keypoints="point")
    return (load_tracks(row.tracks), None) if row.tracks else (None, None)


def _masks(row):
    path = Path(row.video).parents[1] / "masks" / f"{row.name}.npz" if row.video else None
    return load_masks(path, int(row.width_px)) if path is not None and path.is_file() else None


def _draw_points(axis, row, tracks, visibility, frame):
    """Both legs and the neck of one frame; the rows of what was drawn."""
    far = {"left": "right_", "right": "left_"}[row.near_side]
    sides = {"": None} if has_one_leg(tracks) else {far: "0.6", f"{row.near_side}_": None}
    position = tracks.position.isel(individuals=0, drop=True).transpose("keypoints", "space")
    names, rows = [str(name) for name in tracks.keypoints.values], []
    for prefix, colour in sides.items():
        leg = [prefix + part for part in LEG if prefix + part in names]
        points = position.sel(keypoints=leg).values
        seen = [np.nan if visibility is None else int(visibility.isel(time=frame).sel(point=name)) for name in leg]
        parts = [name.removeprefix(prefix) for name in leg]
        draw_skeleton(axis, points, parts, colour=colour, occluded=np.equal(seen, 1), size=3)
        rows += [(row.view, frame, name, *xy, v) for name, xy, v in zip(leg, points, seen, strict=True)]
    if "neck" in names:
        points = position.sel(keypoints=["neck"]).values
        draw_skeleton(axis, points, ["neck"], size=3)
        rows.append((row.view, frame, "neck", *points[0], np.nan))
    return rows


def _zoom(axis, drawn):
    """Show the person only: a square around the points, half as high again."""
    places = np.array([(x, y) for _, _, _, x, y, _ in drawn if np.isfinite(x)])
    if len(places) > 1:
        (x, y), half = (places.max(0) + places.min(0)) / 2, 0.85 * np.ptp(places[:, 1])
        axis.set(xlim=(x - half, x + half), ylim=(y + 0.85 * half, y - 1.15 * half))


def draw_recordings(checks: pd.DataFrame) -> Drawn:
    """Length and speed of every recording, a dot each, by view.

    Parameters
    ----------
    checks : pandas.DataFrame
        As `table.check_recordings` gives it.
    """
    wanted = {"seconds": "length (s)", "speed_px_s": "speed along the walk (px/s)"}
    shown = {name: label for name, label in wanted.items() if checks[name].notna().any()}
    fig, axes = plt.subplots(1, len(shown), figsize=(TWO_COLUMNS * 0.4 * len(shown), 2.2), squeeze=False)
    own = checks.assign(participant=checks.participant.str.removeprefix("sub-"))
    dots = {"hue": "view", "palette": view_colours(own["view"].unique()), "dodge": True, "jitter": False, "size": 3}
    for axis, (name, label) in zip(axes[0], shown.items(), strict=True):
        sns.stripplot(own, x="participant", y=name, alpha=0.7, legend=axis is axes[0, 0], ax=axis, **dots)
        axis.set(ylabel=label, ylim=(0, 1.1 * own[name].max()))
        axis.tick_params("x", rotation=90)
    axes[0, 0].get_legend().set_title("")
    return fig, checks
