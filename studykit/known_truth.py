"""How far each step is from the truth.

Only for studies with truth files (the simulated laboratory, motion capture through virtual cameras). Everything is
compared in walking coordinates: x along the walk, y up.
"""

import numpy as np
import pandas as pd
import xarray as xr

from studykit import gait
from studykit.gaitlab import project
from studykit.published import STENUM
from studykit.skeletons import LEG, convert
from studykit.tracks import build_tracks
from studykit.views import orient

_CYCLE_PARAMETERS = ("stride_time_s", "cadence_steps_min", "stance_percent", "stride_length", "step_length", "speed")


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


def keypoint_errors(found, true):
    """Distance of every tracked point from where it was.

    Parameters
    ----------
    found, true : xarray.Dataset
        Tracks of one view in the same coordinates; of `true`, confidence says what could be seen (`perfect_tracks`).

    Returns
    -------
    pandas.DataFrame
        A row a frame and keypoint inside the image: time_s, keypoint, visible, along, up (found - true), distance;
        px, or the tracks' unit. NaN where nothing was found.

    Raises
    ------
    ValueError
        If the two have different clocks or coordinate systems.
    """
    for what in ("coordinate_system", "width_px"):
        if found.attrs[what] != true.attrs[what]:
            raise ValueError(f"expected tracks and truth with one {what}, got {found.attrs[what]}, {true.attrs[what]}")
    if not np.array_equal(found.time.values, true.time.values):
        raise ValueError(f"expected tracks and truth on one clock, got {len(found.time)} and {len(true.time)} frames")
    keypoints = list(true.keypoints.values)
    error = (found.position.sel(keypoints=keypoints) - true.position).isel(individuals=0)
    error = error.transpose("time", "keypoints", "space").values
    seen = true.confidence.isel(individuals=0).transpose("time", "keypoints").values
    time, keypoint = np.meshgrid(true.time.values, np.array(keypoints, dtype=object), indexing="ij")
    table = {"time_s": time, "keypoint": keypoint, "visible": seen == 1, "along": error[..., 0], "up": error[..., 1]}
    table = pd.DataFrame({name: values.ravel() for name, values in table.items()})
    return table.assign(distance=np.hypot(table.along, table.up))[seen.ravel() > 0].reset_index(drop=True)


def pixel_summary(errors, by, *, within_px=8.0):
    """Keypoint errors in one row a group.

    Parameters
    ----------
    errors : pandas.DataFrame
        Rows of `keypoint_errors`.
    by : list of str
    within_px : float

    Returns
    -------
    pandas.DataFrame
        n (points in the image), found_percent, median_px, p95_px, within_<...>px_percent (of all n), bias_along_px,
        bias_up_px.
    """
    groups = errors.groupby(by, sort=False, observed=True)
    return pd.DataFrame(
        {
            "n": groups.distance.size(),
            "found_percent": 100 * groups.distance.count() / groups.distance.size(),
            "median_px": groups.distance.median(),
            "p95_px": groups.distance.quantile(0.95),
            f"within_{within_px:g}px_percent": 100 * groups.distance.agg(lambda d: (d <= within_px).mean()),
            "bias_along_px": groups.along.median(),
            "bias_up_px": groups.up.median(),
        }
    ).reset_index()


def event_errors(found, true, *, span_s=(-np.inf, np.inf)):
    """Found events against true ones, each paired at most once.

    A pair are each other's nearest events of one kind, at most half a stride apart.

    Parameters
    ----------
    found, true : pandas.DataFrame
        Columns event, time_s; of one leg.
    span_s : (float, float)
        True events outside, when the leg could not be seen, are not counted as missed.

    Returns
    -------
    pandas.DataFrame
        event, outcome ("matched", "missed", "spurious"), time_s, true_s, error_s (found - true).
    """
    strikes = true.time_s[true.event == "heel_strike"]
    reach = 0.5 * float(np.median(np.diff(np.sort(strikes)))) if len(strikes) > 1 else 0.5
    rows = []
    for kind in ("heel_strike", "toe_off"):
        times, truths = (np.sort(events.time_s[events.event == kind].to_numpy(float)) for events in (found, true))
        partner = _partners(times, truths, reach)
        rows += [(kind, "spurious", t, np.nan) for t in times[partner < 0]]
        rows += [(kind, "matched", times[i], truths[partner[i]]) for i in np.flatnonzero(partner >= 0)]
        alone = np.setdiff1d(np.arange(len(truths)), partner)
        rows += [(kind, "missed", np.nan, t) for t in truths[alone] if span_s[0] <= t <= span_s[1]]
    table = pd.DataFrame(rows, columns=["event", "outcome", "time_s", "true_s"]).astype(
        {"time_s": float, "true_s": float}
    )
    return table.assign(error_s=table.time_s - table.true_s)


def _partners(times, truths, reach):
    """Index of each time's partner among the truths, -1 for none; partners are each other's nearest."""
    if not (len(times) and len(truths)):
        return np.full(len(times), -1)
    gap = np.abs(times[:, None] - truths)
    nearest = gap.argmin(1)
    mutual = gap.argmin(0)[nearest] == np.arange(len(times))
    return np.where(mutual & (gap.min(1) <= reach), nearest, -1)


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


def angle_errors(found, true):
    """Errors of angle curves.

    Parameters
    ----------
    found, true : xarray.DataArray (..., joint, percent)
        deg, with the same coordinates.

    Returns
    -------
    pandas.DataFrame
        A row a joint and whatever other dimensions there are: bias_deg, mae_deg, rmse_deg over the cycle. Curves that
        either side lacks are left out.
    """
    found, true = xr.align(found, true, join="exact")
    error = found - true
    parts = {"bias_deg": error.mean("percent"), "mae_deg": np.abs(error).mean("percent")}
    table = xr.Dataset(parts | {"rmse_deg": np.sqrt((error**2).mean("percent"))})
    return table.to_dataframe(dim_order=list(table.mae_deg.dims)).dropna().reset_index()[[*table.mae_deg.dims, *table]]


def spatiotemporal_errors(found, true):
    """Errors of spatiotemporal parameters, cycle by cycle.

    Parameters
    ----------
    found, true : pandas.DataFrame
        As from `gait.cycle_parameters`, of one leg. A pair of cycles start within half a stride of each other.

    Returns
    -------
    pandas.DataFrame
        A row a pair of cycles and parameter: start_s (true), parameter, found, true, error.
    """
    names = [name for name in true if name.startswith(_CYCLE_PARAMETERS) and name in found]
    true = true.sort_values("start_s").reset_index(drop=True)
    found = found.sort_values("start_s").reset_index(drop=True)
    reach = 0.5 * float(true.stride_time_s.median()) if len(true) else 0.0
    partner = _partners(found.start_s.to_numpy(float), true.start_s.to_numpy(float), reach)
    pairs = [(i, j) for i, j in enumerate(partner) if j >= 0]
    rows = [(true.start_s[j], name, found[name][i], true[name][j]) for i, j in pairs for name in names]
    table = pd.DataFrame(rows, columns=["start_s", "parameter", "found", "true"])
    return table.assign(error=table.found - table.true)


def summarise(errors, by, column="error"):
    """Bias, mean absolute error and spread of signed errors.

    Parameters
    ----------
    errors : pandas.DataFrame
    by : list of str
    column : str

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, then n, bias, mae, sd.
    """
    groups = errors.dropna(subset=[column]).groupby(by, sort=False, observed=True)[column]
    table = {"n": groups.size(), "bias": groups.mean(), "mae": groups.agg(lambda e: e.abs().mean()), "sd": groups.std()}
    return pd.DataFrame(table).reset_index()


def beside_stenum(events, parameters, joints):
    """Mean absolute errors beside those that Stenum et al. (2021) saw with real people.

    Parameters
    ----------
    events, parameters, joints : pandas.DataFrame
        Rows of `event_errors`, `spatiotemporal_errors` and `angle_errors`.

    Returns
    -------
    pandas.DataFrame
        quantity, unit, n, mae, stenum_2021, ratio (ours to theirs); only of what was measured.
    """
    sizes = {f"{kind}_s": rows.error_s.abs() for kind, rows in events.groupby("event")}
    sizes |= {name: rows.error.abs() for name, rows in parameters.groupby("parameter")}
    sizes |= {f"{joint}_deg": rows.mae_deg for joint, rows in joints.groupby("joint")}
    rows = []
    for (quantity, unit), theirs in STENUM.items():
        ours = sizes.get(f"{quantity}_{unit}", pd.Series(dtype=float)).dropna()
        if len(ours):
            rows.append((quantity, unit, len(ours), ours.mean(), theirs))
    table = pd.DataFrame(rows, columns=["quantity", "unit", "n", "mae", "stenum_2021"])
    return table.assign(ratio=table.mae / table.stenum_2021)
