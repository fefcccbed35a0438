"""Errors against the ground truth: events, cycles' parameters, joint angles; and beside published ones."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from studykit.papers.published import STENUM

_CYCLE_PARAMETERS = ("stride_time_s", "cadence_steps_min", "stance_percent", "stride_length", "step_length", "speed")


def partners(times: np.ndarray, truths: np.ndarray, reach: float) -> np.ndarray:
    """Index of each time's partner among the true ones, -1 for none; partners are each other's nearest."""
    if not (len(times) and len(truths)):
        return np.full(len(times), -1)
    gap = np.abs(times[:, None] - truths)
    nearest = gap.argmin(1)
    mutual = gap.argmin(0)[nearest] == np.arange(len(times))
    return np.where(mutual & (gap.min(1) <= reach), nearest, -1)


def event_errors(found: pd.DataFrame, true: pd.DataFrame, span_s: Sequence[float] = (-np.inf, np.inf)) -> pd.DataFrame:
    """Detected events against true ones, each paired at most once.

    A pair are each other's nearest events of one kind, at most half a stride apart.

    Parameters
    ----------
    found, true : pandas.DataFrame
        Columns event, time_s; of one leg.
    span_s : (float, float)
        When the leg was in the image (`reference.visible_span`): true events outside are not counted as missed. The
        span does not depend on the tracks, so a tracker that loses the leg is not excused.

    Returns
    -------
    pandas.DataFrame
        event, outcome ("matched", "missed", "spurious"), time_s, true_s, error_s (detected - true).
    """
    strikes = true.time_s[true.event == "heel_strike"]
    reach = 0.5 * float(np.median(np.diff(np.sort(strikes)))) if len(strikes) > 1 else 0.5
    rows = []
    for kind in ("heel_strike", "toe_off"):
        times, truths = (np.sort(events.time_s[events.event == kind].to_numpy(float)) for events in (found, true))
        partner = partners(times, truths, reach)
        rows += [(kind, "spurious", t, np.nan) for t in times[partner < 0]]
        rows += [(kind, "matched", times[i], truths[partner[i]]) for i in np.flatnonzero(partner >= 0)]
        missed = np.delete(truths, partner[partner >= 0])
        rows += [(kind, "missed", np.nan, t) for t in missed if span_s[0] <= t <= span_s[1]]
    table = pd.DataFrame(rows, columns=["event", "outcome", "time_s", "true_s"])
    table = table.astype({"time_s": float, "true_s": float})
    return table.assign(error_s=table.time_s - table.true_s)


def timing_table(timing: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Event errors in one row per group: n_matched, bias_s, sd_s, mae_s, n_missed, n_spurious.

    Parameters
    ----------
    timing : pandas.DataFrame
        Rows of `event_errors`.
    by : list of str
    """
    groups = timing.groupby(list(by))
    table = groups.error_s.agg(n_matched="count", bias_s="mean", sd_s="std", mae_s=lambda e: e.abs().mean())
    for outcome in ("missed", "spurious"):
        table[f"n_{outcome}"] = (timing.outcome == outcome).groupby([timing[name] for name in by]).sum()
    return table.reset_index()


def angle_errors(found: xr.DataArray, true: xr.DataArray) -> pd.DataFrame:
    """Errors of angle curves.

    Parameters
    ----------
    found, true : xarray.DataArray (..., joint, percent)
        deg, with the same coordinates.

    Returns
    -------
    pandas.DataFrame
        A row per joint and whatever other dimensions there are: bias_deg, mae_deg, rmse_deg over the cycle. Curves
        that either side lacks are left out.
    """
    found, true = xr.align(found, true, join="exact")
    error = found - true
    parts = {"bias_deg": error.mean("percent"), "mae_deg": np.abs(error).mean("percent")}
    table = xr.Dataset(parts | {"rmse_deg": np.sqrt((error**2).mean("percent"))})
    return table.to_dataframe(dim_order=list(table.mae_deg.dims)).dropna().reset_index()[[*table.mae_deg.dims, *table]]


def spatiotemporal_errors(found: pd.DataFrame, true: pd.DataFrame) -> pd.DataFrame:
    """Errors of spatiotemporal parameters, cycle by cycle.

    Parameters
    ----------
    found, true : pandas.DataFrame
        As from `gait.cycles.cycle_parameters`, of one leg. A pair of cycles start within half a stride of each other.

    Returns
    -------
    pandas.DataFrame
        A row per pair of cycles and parameter: start_s (true), parameter, found, true, error.
    """
    names = [name for name in true if name.startswith(_CYCLE_PARAMETERS) and name in found]
    true, found = (table.sort_values("start_s").reset_index(drop=True) for table in (true, found))
    reach = 0.5 * float(true.stride_time_s.median()) if len(true) else 0.0
    partner = partners(found.start_s.to_numpy(float), true.start_s.to_numpy(float), reach)
    pairs = [(i, j) for i, j in enumerate(partner) if j >= 0]
    rows = [(true.start_s[j], name, found[name][i], true[name][j]) for i, j in pairs for name in names]
    table = pd.DataFrame(rows, columns=["start_s", "parameter", "found", "true"])
    table = table.astype({"start_s": float, "parameter": str, "found": float, "true": float})
    return table.assign(error=table.found - table.true)


def summarise(errors: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Signed errors in one row per group: n, bias, mae, sd of the column `error`, missing ones left out.

    Parameters
    ----------
    errors : pandas.DataFrame
    by : list of str
    """
    error = errors.dropna(subset=["error"]).groupby(list(by), sort=False, observed=True).error
    return error.agg(n="size", bias="mean", mae=lambda e: e.abs().mean(), sd="std").reset_index()


def beside_stenum(events: pd.DataFrame, parameters: pd.DataFrame, joints: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors beside those of Stenum et al. (2021) with real people.

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
    ours = {key: sizes["_".join(key)].dropna() for key in STENUM if "_".join(key) in sizes}
    rows = [(*key, len(errors), errors.mean(), STENUM[key]) for key, errors in ours.items() if len(errors)]
    table = pd.DataFrame(rows, columns=["quantity", "unit", "n", "mae", "stenum_2021"])
    return table.assign(ratio=table.mae / table.stenum_2021)


def mae_numbers(beside: pd.DataFrame, quantities: Collection[str] = ()) -> dict[str, float | None]:
    """Headline numbers `<quantity>_mae_<unit>` of `beside_stenum`, None where not measured; all or some quantities."""
    mae = {row.quantity: row.mae for row in beside.itertuples()}
    return {f"{name}_mae_{unit}": mae.get(name) for name, unit in STENUM if not quantities or name in quantities}


def stenum_verdict(beside: pd.DataFrame) -> str:
    """How many errors are within those of Stenum et al. (2021), in words."""
    if beside.empty:
        return "No ground truth is known, so how far off these numbers are cannot be said."
    worst = beside.loc[beside.ratio.idxmax()]
    return (
        f"{(beside.ratio <= 1).sum()} of {len(beside)} mean absolute errors are not above those of Stenum et al. "
        f"(2021) with real people; the largest ratio is {worst.ratio:.2f} ({worst.quantity.replace('_', ' ')})."
    )
