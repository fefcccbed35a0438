"""Gait cycles of 101 points, joint angles and spatiotemporal parameters of one leg.

Tracks are gait6 in walking coordinates (x grows along the walk, y upward), so that both walking directions are alike.
"""

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from studykit.gait.events import reference_point

JOINTS = ("hip", "knee", "ankle")
PERCENT = np.arange(101)
CYCLE_COLUMNS = ("start_s", "toe_off_s", "end_s", "kept", "reason")


def find_cycles(
    tracks: xr.Dataset, events: pd.DataFrame, *, min_stride_s: float = 0.6, max_stride_s: float = 2.0
) -> pd.DataFrame:
    """Gait cycles: from a heel strike to the next one of the same leg.

    Parameters
    ----------
    tracks : xarray.Dataset
        The tracks that the events come from.
    events : pandas.DataFrame
        As from `find_events`, of one leg.
    min_stride_s, max_stride_s : float
        Shorter and longer cycles are dropped: no stride, or a strike was missed.

    Returns
    -------
    pandas.DataFrame
        Columns start_s, toe_off_s (NaN if not exactly one was found), end_s, kept, reason ("" if kept). The incomplete
        cycles before the first and after the last strike are listed too, as "outside the record".
    """
    strikes = events.time_s[events.event == "heel_strike"].to_numpy()
    offs = events.time_s[events.event == "toe_off"].to_numpy()
    first, last = float(tracks.time[0]), float(tracks.time[-1])
    if len(strikes) == 0:
        return pd.DataFrame([(first, np.nan, last, False, "no heel strike")], columns=CYCLE_COLUMNS)
    rows = [(first, np.nan, strikes[0], False, "outside the record")]
    for start, end in itertools.pairwise(strikes):
        inside = offs[(offs > start) & (offs < end)]
        if not min_stride_s <= end - start <= max_stride_s:
            reason = f"lasts less than {min_stride_s:g} s or more than {max_stride_s:g} s"
        else:
            reason = "" if _known_throughout(tracks, start, end) else "positions missing"
        rows.append((start, inside[0] if len(inside) == 1 else np.nan, end, not reason, reason))
    rows.append((strikes[-1], np.nan, last, False, "outside the record"))
    return pd.DataFrame(rows, columns=CYCLE_COLUMNS)


def _known_throughout(tracks, start, end):
    time = tracks.time.values
    frames = slice(max(0, np.searchsorted(time, start, side="right") - 1), np.searchsorted(time, end) + 1)
    return bool(np.isfinite(tracks.position.values[frames]).all())


def over_cycles(values: xr.DataArray, cycles: pd.DataFrame) -> xr.DataArray:
    """A quantity over each kept cycle, at 0, 1, ... 100 % of it.

    Parameters
    ----------
    values : xarray.DataArray (time, ...)
    cycles : pandas.DataFrame
        As from `find_cycles`.

    Returns
    -------
    xarray.DataArray (cycle, percent, ...)
        Linear between frames; `.mean("cycle")` is the trial's average.
    """
    kept = cycles[cycles.kept]
    curves = [
        values.interp(time=start + (end - start) * PERCENT / 100).drop_vars("time").rename(time="percent")
        for start, end in zip(kept.start_s, kept.end_s, strict=True)
    ]
    if not curves:
        nothing = values.isel(time=[0] * len(PERCENT)).drop_vars("time").rename(time="percent") * np.nan
        curves = [nothing.expand_dims(cycle=0)]
    return xr.concat(curves, dim="cycle").assign_coords(percent=PERCENT)


def keypoint_curves(
    tracks: xr.Dataset, cycles: pd.DataFrame, *, reference: str = "neck", neck_origin: str = "heel_strike"
) -> xr.DataArray:
    """Keypoints over each cycle: x relative to the reference, y above the bottom of the image.

    Parameters
    ----------
    tracks : xarray.Dataset
        gait6, walking coordinates, one individual, one view.
    cycles : pandas.DataFrame
    reference : {"neck", "mid_hip"}
        Subtracted from every other keypoint's x (thesis 002, section 2.5).
    neck_origin : {"heel_strike", "frame"}
        x of the reference itself: its way since the heel strike, or its place in the image. The thesis does not
        say; the place in the image depends on where a cycle happens to begin.

    Returns
    -------
    xarray.DataArray (cycle, percent, space, keypoints)
    """
    if neck_origin not in ("heel_strike", "frame"):
        raise ValueError(f"expected neck_origin 'heel_strike' or 'frame', got {neck_origin!r}")
    body = reference_point(reference)
    curves = over_cycles(tracks.position.isel(individuals=0, drop=True), cycles).copy()
    way = curves.sel(space="x", keypoints=body).copy()
    curves.loc[{"space": "x"}] = curves.sel(space="x") - way
    curves.loc[{"space": "x", "keypoints": body}] = way - way.isel(percent=0) if neck_origin == "heel_strike" else way
    return curves


def joint_angles(position: xr.DataArray) -> xr.DataArray:
    """Sagittal hip, knee and ankle angles from gait6 points in walking coordinates.

    Hip: thigh (hip to knee) against the vertical, positive with the knee in front. (The trunk would be the other
    choice, but a line from neck to one hip tilts in perspective as the person crosses the image.)
    Knee: shank (knee to ankle) against the thigh, 0 straight, flexion positive.
    Ankle: foot (heel to toe) against the shank, 0 at a right angle, dorsiflexion positive.

    Parameters
    ----------
    position : xarray.DataArray (..., space, keypoints)
        Of one person, any unit; the same function serves images and true points projected on the sagittal plane.

    Returns
    -------
    xarray.DataArray (..., joint)
        deg.
    """
    position = position.squeeze("individuals", drop=True) if "individuals" in position.dims else position

    def direction(start: str, end: str) -> xr.DataArray:
        along = position.sel(keypoints=end, drop=True) - position.sel(keypoints=start, drop=True)
        # 0 for a segment that hangs straight down, positive when its end is in front.
        return np.degrees(np.arctan2(along.sel(space="x", drop=True), -along.sel(space="y", drop=True)))

    thigh, shank, foot = direction("hip", "knee"), direction("knee", "ankle"), direction("heel", "toe")
    angles = xr.concat([thigh, thigh - shank, foot - shank - 90], dim=xr.Variable("joint", list(JOINTS)))
    angles = (angles + 180) % 360 - 180
    return angles.transpose(..., "joint").rename("angle").assign_attrs(unit="deg")


def cycle_parameters(tracks: xr.Dataset, cycles: pd.DataFrame, opposite: xr.Dataset | None = None) -> pd.DataFrame:
    """Spatiotemporal parameters of every kept cycle.

    Step length is the distance between the two ankles along the walk at this leg's heel strike (Stenum et al. 2021).
    One camera tracks one leg, so the other ankle comes from the opposite view on the same clock, each relative to the
    neck, which both see: an offset between the cameras cancels, and so does, nearly, the perspective of two near
    legs. Without the other leg it stays unknown: half a stride would be some 0.06 m longer, because the heel behind
    has already risen and taken its ankle forward.

    Parameters
    ----------
    tracks : xarray.Dataset
        gait6, walking coordinates, one individual, one view; lengths come in its unit.
    cycles : pandas.DataFrame
    opposite : xarray.Dataset, optional
        The other leg, from the opposite view or any other source, same unit and clock.

    Returns
    -------
    pandas.DataFrame
        A row per kept cycle: start_s, stride_time_s, cadence_steps_min, stance_percent, and with the tracks' unit in
        their names stride_length_m, step_length_m (NaN without the other leg), speed_m_s (of the neck).
    """
    kept = cycles[cycles.kept]
    unit = tracks.attrs.get("unit", "px")
    ankle, neck = (_along(tracks, name) for name in ("ankle", "neck"))
    start, end = kept.start_s.to_numpy(), kept.end_s.to_numpy()
    duration = end - start
    stride = ankle(end) - ankle(start)
    step = np.full(len(kept), np.nan)
    if opposite is not None:
        step = ankle(start) - neck(start) - (_along(opposite, "ankle")(start) - _along(opposite, "neck")(start))
    stance = 100 * (kept.toe_off_s.to_numpy() - start) / duration
    table = {"start_s": start, "stride_time_s": duration, "cadence_steps_min": 120 / duration, "stance_percent": stance}
    table |= {f"stride_length_{unit}": stride, f"step_length_{unit}": step}
    return pd.DataFrame(table | {f"speed_{unit}_s": (neck(end) - neck(start)) / duration})


def _along(tracks, name):
    """Position of a keypoint along the walk as a function of time."""
    x = tracks.position.sel(keypoints=name, space="x").values[:, 0]
    return lambda time: np.interp(time, tracks.time.values, x)
