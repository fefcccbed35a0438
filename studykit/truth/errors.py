"""How far each step is from the truth.

Only for studies with truth files (the simulated laboratory, motion capture through virtual cameras). Everything is
compared in walking coordinates: x along the walk, y up.
"""

import numpy as np
import pandas as pd
import xarray as xr

from studykit.papers.findings import STENUM

_CYCLE_PARAMETERS = ("stride_time_s", "cadence_steps_min", "stance_percent", "stride_length", "step_length", "speed")


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


def count_false_positives(position, own, other, wrong_px=20.0):
    """How many points were put on the wrong limb, known only where the truth is.

    Parameters
    ----------
    position, own, other : ndarray (time, 2)
        The tracked point, where it truly was, and where the same point of the other leg truly was, px.
    wrong_px : float
        Points less far from the truth than this are not called wrong: where the legs cross, both limbs are right.

    Returns
    -------
    int
        Points farther than `wrong_px` from their own limb and nearer to the other one.
    """
    miss, beside = (np.linalg.norm(position - place, axis=1) for place in (own, other))
    return int(((miss > wrong_px) & (beside < miss)).sum())
