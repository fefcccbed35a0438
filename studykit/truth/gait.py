"""Gait of a study against its ground truth: event by event, cycle by cycle, curve by curve.

Every function takes the aligned trials and their ground truth by name of the walk (`gait.align.align_study`,
`reference.load_truths`); without ground truth its table is empty.
"""

import pandas as pd
import xarray as xr

from studykit.gait.analysis import leg_sides, over_trials, trial_events
from studykit.gait.cycles import cycle_parameters, find_cycles, joint_angles, over_cycles
from studykit.gait.events import METHODS
from studykit.truth.errors import angle_errors, event_errors, partners, spatiotemporal_errors
from studykit.truth.reference import OTHER, Trials, true_events, true_walk, visible_span


def true_events_by_view(trial: xr.Dataset, truth: xr.Dataset | None) -> dict[str, pd.DataFrame]:
    """True events of the tracked leg of each view; {} where the ground truth is None."""
    return {view: true_events(truth, side) for view, side in leg_sides(trial).items()} if truth is not None else {}


def event_timing(trials: Trials, truths: Trials, events: pd.DataFrame) -> pd.DataFrame:
    """Errors of all detected events.

    Parameters
    ----------
    trials, truths : dict of str to xarray.Dataset
    events : pandas.DataFrame
        participant, trial, view, event, time_s.

    Returns
    -------
    pandas.DataFrame
        As from `errors.event_errors`, with participant, trial, view. A true event counts as missed only while neck and
        whole leg were in the image.
    """
    rows = []
    for trial, truth, view, side in _views(trials, truths):
        true, span = true_events(truth, side), visible_span(truth, view, side)
        rows.append(_named(event_errors(_of(events, trial, view), true, span_s=span), trial, view))
    return _joined(rows, ["event", "outcome", "time_s", "true_s", "error_s"])


def method_timing(trials: Trials, truths: Trials, **settings) -> pd.DataFrame:
    """`event_timing` of each method of `gait.events.find_events`, with a column method; settings are its others."""
    rows = []
    for walk, truth in truths.items():
        for method in METHODS:
            found = trial_events(trials[walk], method=method, **settings)
            rows.append(event_timing({walk: trials[walk]}, {walk: truth}, found).assign(method=method))
    return _joined(rows, ["event", "outcome", "time_s", "true_s", "error_s", "method"])


def parameter_errors(trials: Trials, truths: Trials, cycles: pd.DataFrame) -> pd.DataFrame:
    """Errors of step length, speed and the other parameters of all kept cycles; see `errors.spatiotemporal_errors`."""
    rows = []
    for trial, truth, view, side in _views(trials, truths):
        own, other = (true_walk(truth, leg) for leg in (side, OTHER[side]))
        true = cycle_parameters(own, find_cycles(own, true_events(truth, side)), other)
        rows.append(_named(spatiotemporal_errors(_of(cycles[cycles.kept], trial, view), true), trial, view))
    return _joined(rows, ["parameter", "error"])


def joint_errors(trials: Trials, truths: Trials, cycles: pd.DataFrame) -> pd.DataFrame:
    """Errors of joint angles over all kept cycles, at the same times; see `errors.angle_errors`.

    Errors of events have rows of their own and do not enter; those of whole curves, each over its own cycles, are those
    of `angle_curves`.
    """
    rows = []
    for trial, truth, view, side in _views(trials, truths):
        kept = _of(cycles[cycles.kept], trial, view)
        tracked, true = trial.position.sel(view=view, drop=True), true_walk(truth, side).position
        if len(kept):
            curves = (over_cycles(joint_angles(position), kept) for position in (tracked, true))
            rows.append(_named(angle_errors(*curves), trial, view))
    return _joined(rows, ["joint", "bias_deg", "mae_deg", "rmse_deg"])


def angle_curves(
    trials: Trials, truths: Trials, cycles: pd.DataFrame, angles: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Measured and true mean curves of joint angles, each over its own cycles, from detected and from true events.

    Parameters
    ----------
    trials, truths : dict of str to xarray.Dataset
    cycles : pandas.DataFrame
        Measured ones.
    angles : xarray.DataArray (participant, trial, view, joint, percent)
        Measured, deg.

    Returns
    -------
    found, true : xarray.DataArray
        Of the trials that have both; true ones over the cycles behind the measured ones (`true_cycles`).
    """
    true = []
    for walk, truth in truths.items():
        trial, curves = trials[walk], []
        for view, side in leg_sides(trial).items():
            cut = true_cycles(_of(cycles, trial, view), trial.sel(view=view, drop=True), true_events(truth, side))
            curves.append(over_cycles(joint_angles(true_walk(truth, side).position), cut).mean("cycle"))
        true.append(xr.concat(curves, trial.view.variable))
    true = over_trials(true, [trials[walk] for walk in truths], "angles").transpose(*angles.dims)
    return xr.align(angles, true, join="inner")


def true_cycles(cycles: pd.DataFrame, tracks: xr.Dataset, events: pd.DataFrame) -> pd.DataFrame:
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
        As from `gait.cycles.find_cycles`, only kept ones.
    """
    true = find_cycles(tracks, events)
    true = true[true.kept].reset_index(drop=True)
    starts = cycles.start_s[cycles.kept].sort_values().to_numpy(float)
    reach = 0.5 * float((true.end_s - true.start_s).median()) if len(true) else 0.0
    partner = partners(starts, true.start_s.to_numpy(float), reach)
    return true.iloc[sorted(partner[partner >= 0])].reset_index(drop=True)


def _views(trials, truths):
    """Trial, ground truth, view and side of the tracked leg of every recording."""
    for walk, truth in truths.items():
        for view, side in leg_sides(trials[walk]).items():
            yield trials[walk], truth, view, side


def _of(rows, trial, view):
    return rows[(rows.participant == trial.participant) & (rows.trial == trial.trial) & (rows["view"] == view)]


def _named(errors, trial, view):
    return errors.assign(participant=trial.participant, trial=trial.trial, view=view)


def _joined(rows, columns):
    """The rows of all recordings; without any, an empty table with these columns."""
    rows = [table for table in rows if len(table)]
    columns = [*columns, "participant", "trial", "view"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
