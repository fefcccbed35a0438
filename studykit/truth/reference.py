"""What is known of a recording, as tracks and events: the ground truth, or keypoints of another program."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from studykit.cameras import project
from studykit.formats import import_tracks
from studykit.gait.views import GAIT6, has_one_leg, orient
from studykit.skeletons import LEG, SKELETONS
from studykit.study import Recording, recordings
from studykit.tracks import build_tracks, select_side
from studykit.truth.file import OUTSIDE, VISIBLE, load_truth
from studykit.video import probe

SOURCES = ("truth", "tracks")
FAR = tuple(f"far_{name}" for name in LEG)
OTHER = {"left": "right", "right": "left"}
Trials = Mapping[str, xr.Dataset]  # or their ground truth, by name of the walk


def truth_tracks(
    truth: xr.Dataset, recording: Recording, *, matrix: np.ndarray | None = None, beyond_image: bool = False
) -> xr.Dataset:
    """Neck and both legs as a perfect network would see them in the stored image.

    Parameters
    ----------
    truth : xarray.Dataset
        As from `load_truth`.
    recording : Recording
    matrix : ndarray (3, 4), optional
        Projection by another camera than the one that recorded, such as the nominal one.
    beyond_image : bool
        Keep the positions of points outside the image; otherwise they are NaN.

    Returns
    -------
    xarray.Dataset
        gait11 tracks, anatomical names. Confidence is 1 where the recording shows the point, 0.5 where something hides
        it, 0 outside the image.

    Raises
    ------
    ValueError
        If the ground truth lacks the recording's view.
    """
    views = [str(view) for view in truth.view.values]
    if recording.view not in views:
        raise ValueError(f"{recording.name}: expected a view of {views} as in its truth file, got {recording.view!r}")
    names = list(SKELETONS["gait11"].keypoints)
    if matrix is None:
        matrix = truth.camera_matrix.sel(view=recording.view).values
    pixels = project(matrix, truth.position_3d.sel(point=names).transpose("time", "point", "axis").values)
    seen = truth.visibility.sel(view=recording.view, point=names).transpose("time", "point").values
    if recording.mirrored:  # the ground truth is of what the camera saw
        pixels[..., 0] = truth.attrs["width_px"] - 1 - pixels[..., 0]
    if not beyond_image:
        pixels[seen == OUTSIDE] = np.nan
    return _tracks(truth, pixels, seen / VISIBLE, names, mirrored=recording.mirrored)


def true_leg(truth: xr.Dataset, recording: Recording, side: str, *, matrix: np.ndarray | None = None) -> xr.Dataset:
    """One leg of `truth_tracks` in walking coordinates, px, also beyond the border of the image: gait6 tracks.

    `side` is the anatomical one, "left" or "right"; a study tracks `recording.near_side`.
    """
    tracks = truth_tracks(truth, recording, matrix=matrix, beyond_image=True)
    return orient(select_side(tracks, side), recording.direction)


def true_walk(truth: xr.Dataset, side: str) -> xr.Dataset:
    """One leg in walking coordinates, m: gait6 tracks of the true points, projected on the sagittal plane."""
    points = truth.position_3d.sel(point=_leg(side), axis=["x", "y"]).transpose("time", "point", "axis").values
    points[..., 0] *= np.sign(np.nanmean(points[-1, :, 0] - points[0, :, 0]))
    tracks = _tracks(truth, points, np.ones(points.shape[:2]), GAIT6, coordinate_system="walk")
    return tracks.assign_attrs(unit="m", side=side)


def _leg(side):
    return ["neck", *(f"{side}_{name}" for name in LEG)]


def _tracks(truth, points, confidence, names, **how):
    size = {name: truth.attrs[name] for name in ("width_px", "height_px")}
    fps = truth.attrs["fps"]
    return build_tracks(points.transpose(0, 2, 1), confidence, names, fps, source_software="truth", **size, **how)


def true_events(truth: xr.Dataset, side: str) -> pd.DataFrame:
    """True heel strikes and toe-offs of one leg, as `gait.events.find_events` gives them; empty if there are none."""
    if "event_time" not in truth:
        return pd.DataFrame({"event": pd.Series(dtype=str), "time_s": pd.Series(dtype=float)})
    events = pd.DataFrame({"event": truth.event_name.values.astype(str), "time_s": truth.event_time.values})
    events = events[truth.event_side.values.astype(str) == side]
    return events.sort_values("time_s", kind="stable").reset_index(drop=True)


def visible_span(truth: xr.Dataset, view: str, side: str) -> tuple[float, float]:
    """First and last time at which neck and whole leg are in the image, s; (inf, -inf) if never."""
    inside = (truth.visibility.sel(view=view, point=_leg(side)) > OUTSIDE).all("point").values
    time = truth.time.values[inside]
    return (float(time[0]), float(time[-1])) if len(time) else (np.inf, -np.inf)


def on_clock(truth: xr.Dataset, first_frame: int) -> xr.Dataset:
    """Ground truth from a recording's `first_frame` on, that frame being time 0."""
    start = float(truth.time[first_frame])
    out = truth.isel(time=slice(first_frame, None))
    out = out.assign_coords(time=out.time - start)
    return out.assign(event_time=out.event_time - start) if "event_time" in out else out


def load_truths(study: pd.DataFrame, trials: Trials, *, needed: bool = False) -> dict[str, xr.Dataset]:
    """Ground truth of each trial on its clock, by name of the walk; {} where none is known.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    trials : dict of str to xarray.Dataset
        Aligned trials, as from `gait.align.align_study`.
    needed : bool

    Raises
    ------
    ValueError
        If it is needed and none is known.
    """
    files = {r.walk: r.truth for r in recordings(study) if r.truth and r.walk in trials}
    if needed and not files:
        raise ValueError("expected recordings with truth and aligned tracks, got none; this is for data with truth")
    return {walk: on_clock(load_truth(path), int(trials[walk].first_frame[0])) for walk, path in files.items()}


def keypoints_of(recording: Recording, source: str, *, far_leg: bool = False) -> xr.Dataset:
    """What is known of one recording: gait6 tracks of the near leg, in the stored image's coordinates.

    Parameters
    ----------
    recording : Recording
    source : {"truth", "tracks"}
        The truth file, or the keypoints that came with the study.
    far_leg : bool
        Add `far_hip` ... `far_toe`.

    Returns
    -------
    xarray.Dataset
        Of a ground truth, confidence is 1 where visible, 0.5 where occluded; points outside the image are NaN.

    Raises
    ------
    ValueError
        If there is no such source, or it lacks the far leg.
    """
    if source not in SOURCES:
        raise ValueError(f"labels: expected one of {SOURCES}, got {source!r}")
    name, side = recording.name, recording.near_side
    if source == "truth" and not recording.truth:
        raise ValueError(f'{name}: expected a truth file for labels="truth", got none; take "tracks" or a csv file')
    if source == "tracks" and not recording.tracks:
        raise ValueError(f'{name}: expected tracks for labels="tracks", got none')
    if source == "truth":
        tracks = truth_tracks(load_truth(recording.truth), recording)
    else:
        info = probe(recording.video) if recording.video else recording
        tracks = import_tracks(recording.tracks, recording.fps, int(info.width_px), int(info.height_px))
    one_leg = has_one_leg(tracks)
    near = tracks.sel(keypoints=list(GAIT6)) if one_leg else select_side(tracks, side)
    if not far_leg:
        return near
    if one_leg:
        raise ValueError(f"{name}: expected tracks of both legs to label the far one, got one leg")
    far = select_side(tracks, OTHER[side]).sel(keypoints=list(LEG))
    return xr.concat([near, far.assign_coords(keypoints=list(FAR))], dim="keypoints")
