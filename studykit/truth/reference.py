"""The known truth as tracks, events and angles, in the coordinates and on the clock of what is held against it."""

import numpy as np
import pandas as pd
import xarray as xr

from studykit.gait import cycles as gait
from studykit.gait.views import (
    orient,
)
from studykit.gaitlab import project
from studykit.skeletons import LEG, convert
from studykit.tracks import build_tracks
from studykit.truth.errors import _partners


def other_side(side):
    """The other anatomical side."""
    return {"left": "right", "right": "left"}[side]


def perfect_tracks(truth, recording, side, *, matrix=None):
    """What a perfect network would see of one leg in one recording.

    Parameters
    ----------
    truth : xarray.Dataset
        As from `gaitlab.load_truth`.
    recording : row of a Study table
    side : {"left", "right"}
        Anatomical side; `study.near_side(recording)` is the one that the study tracks.
    matrix : ndarray (3, 4), optional
        Projection by another camera than the one that recorded, such as the nominal one.

    Returns
    -------
    xarray.Dataset
        gait6 tracks in walking coordinates, px, also of points beyond the border of the image. Confidence is 1 where
        the recording shows the point, 0.5 where something hides it, 0 outside the image.
    """
    names = [str(point) for point in truth.point.values]
    wanted = ["neck", *(f"{side}_{name}" for name in LEG)]
    points = convert(truth.position_3d.transpose("time", "point", "axis").values, names, wanted)
    own = truth.camera_matrix.sel(view=recording.view).values
    pixels = project(own if matrix is None else np.asarray(matrix, float), points)
    if recording.mirrored:
        pixels[..., 0] = truth.attrs["width_px"] - 1 - pixels[..., 0]
    seen = truth.visibility.sel(view=recording.view, point=wanted).transpose("time", "point").values / 2
    tracks = build_tracks(
        pixels.transpose(0, 2, 1),
        seen,
        ["neck", *LEG],
        truth.attrs["fps"],
        width_px=truth.attrs["width_px"],
        height_px=truth.attrs["height_px"],
        source_software="truth",
        mirrored=recording.mirrored,
    )
    return orient(tracks, recording.direction).assign_attrs(side=side)


def visible_span(perfect):
    """First and last time at which every point of `perfect_tracks` is in the image, s; (inf, -inf) if never."""
    inside = perfect.time.values[(perfect.confidence.isel(individuals=0) > 0).all("keypoints").values]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (np.inf, -np.inf)


def true_cycles(cycles, tracks, events):
    """The true cycles behind the measured ones.

    Parameters
    ----------
    cycles : pandas.DataFrame
        Measured, with start_s and kept.
    tracks : xarray.Dataset
        Those that were measured; true cycles during which they have gaps are left out.
    events : pandas.DataFrame
        True events of the same leg.

    Returns
    -------
    pandas.DataFrame
        As from `gait.find_cycles`, only kept ones.
    """
    true = gait.find_cycles(tracks, events)
    true = true[true.kept].reset_index(drop=True)
    starts = np.sort(cycles.start_s[cycles.kept].to_numpy(float))
    reach = 0.5 * float((true.end_s - true.start_s).median()) if len(true) else 0.0
    partner = _partners(starts, true.start_s.to_numpy(), reach)
    return true.iloc[np.sort(partner[partner >= 0])].reset_index(drop=True)


def true_angles(truth, aligned, cycles):
    """Joint angles of the true points in the sagittal plane, over the true cycles behind the measured ones.

    Parameters
    ----------
    truth : xarray.Dataset
        On the clock of the aligned tracks (`alignment.on_clock`).
    aligned : xarray.Dataset
        As from `alignment.align_trial`.
    cycles : pandas.DataFrame
        Measured ones of this trial: view, start_s, kept.

    Returns
    -------
    xarray.DataArray (view, joint, percent)
        deg, mean over cycles; NaN where there is none.
    """
    parts = []
    for view, side in zip(aligned.view.values, aligned.side.values.astype(str), strict=True):
        own = aligned.sel(view=view, drop=True)
        cut = true_cycles(cycles[cycles["view"] == view], own, gait.true_events(truth, side))
        angles = gait.joint_angles(gait.true_walk(truth, side).position.isel(individuals=0, drop=True))
        parts.append(gait.over_cycles(angles, cut).mean("cycle"))
    return xr.concat(parts, aligned.view.variable).transpose("view", "joint", "percent")


def true_walk(truth, side):
    """The true points of one leg in walking coordinates, m: what perfect sagittal tracks would be.

    Parameters
    ----------
    truth : xarray.Dataset
        With position_3d (time, point, axis), as `gaitlab.load_truth` gives it.
    side : {"left", "right"}

    Returns
    -------
    xarray.Dataset
        gait6 tracks; attribute unit "m".
    """
    points = truth.position_3d.transpose("time", "point", "axis").sel(axis=["x", "y"]).values
    names = ["neck", *(f"{side}_{name}" for name in LEG)]
    points = convert(points, [str(p) for p in truth.point.values], names)
    forward = np.sign(np.nanmean(points[-1, :, 0] - points[0, :, 0]))
    points[..., 0] *= forward
    tracks = build_tracks(
        points.transpose(0, 2, 1),
        np.ones(points.shape[:2]),
        ["neck", *LEG],
        truth.attrs["fps"],
        width_px=truth.attrs["width_px"],
        height_px=truth.attrs["height_px"],
        source_software="truth",
        coordinate_system="walk",
    )
    return tracks.assign_attrs(unit="m", side=side)


def true_events(truth, side):
    """The true contact events of one leg, as `find_events` would give them; empty if the truth has none."""
    if "event_time" not in truth:
        return pd.DataFrame({"event": pd.Series(dtype=str), "time_s": pd.Series(dtype=float)})
    events = pd.DataFrame({"event": truth.event_name.values.astype(str), "time_s": truth.event_time.values})
    events = events[truth.event_side.values.astype(str) == side]
    return events.sort_values("time_s", kind="stable").reset_index(drop=True)


def on_clock(truth, first_frame):
    """Truth from a recording's `first_frame` on, that frame being time 0."""
    start = float(truth.time[first_frame])
    out = truth.isel(time=slice(first_frame, None))
    out = out.assign_coords(time=out.time - start)
    if "event_time" in out.coords:
        return out.assign_coords(event_time=out.event_time - start)
    if "event_time" in out:
        return out.assign(event_time=out.event_time - start)
    return out
