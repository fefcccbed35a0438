"""Gait results of one trial against its truth, event by event, cycle by cycle."""

import numpy as np
import pandas as pd

from studykit.gait.cycles import analyse_trial, cycle_parameters, find_cycles, joint_angles, over_cycles
from studykit.gait.events import METHODS
from studykit.truth.errors import angle_errors, event_errors, spatiotemporal_errors
from studykit.truth.reference import other_side, true_events, true_walk


def timing_errors(trial, truth, **settings):
    """Errors of both ways of finding events.

    Parameters
    ----------
    trial : xarray.Dataset
        As from `alignment.align_trial`.
    truth : xarray.Dataset
        On the same clock, see `alignment.on_clock`.
    **settings
        Of `gait.analyse_trial`, but for the method.

    Returns
    -------
    pandas.DataFrame
        As from `known_truth.event_errors`, with participant, trial, view and method. True events at which the leg's
        tracks have gaps are not counted as missed.
    """
    rows = []
    for method in METHODS:
        found = analyse_trial(trial, method=method, **settings)[0]
        for view, side in _views(trial):
            errors = event_errors(
                found[found["view"] == view], true_events(truth, side), span_s=_known_span(trial, view)
            )
            rows.append(_named(errors, trial, view).assign(method=method))
    return pd.concat(rows, ignore_index=True)


def summarise_timing(timing):
    """Number, bias, spread and mean absolute error of events by method and kind; how many had no partner."""
    groups = timing.groupby(["method", "event"])
    error = groups.error_s.agg(
        n_matched="count", bias_s="mean", sd_s="std", mae_s=lambda e: e.abs().mean() if e.notna().any() else np.nan
    )
    for outcome in ("missed", "spurious"):
        error[f"n_{outcome}"] = groups.outcome.agg(lambda o, which=outcome: int((o == which).sum()))
    return error.reset_index()


def parameter_errors(trial, truth, cycles):
    """Errors of step length, speed and the other parameters of every kept cycle, as `spatiotemporal_errors` gives them.

    Parameters
    ----------
    trial, truth : xarray.Dataset
    cycles : pandas.DataFrame
        All cycles of the study, as from `gait.analyse_trial`.
    """
    rows = []
    for view, side in _views(trial):
        own, other = (true_walk(truth, leg) for leg in (side, other_side(side)))
        true = cycle_parameters(own, find_cycles(own, true_events(truth, side)), other)
        rows.append(_named(spatiotemporal_errors(_kept(cycles, trial, view), true), trial, view))
    return pd.concat(rows, ignore_index=True)


def joint_errors(trial, truth, cycles):
    """Errors of joint angles over every kept cycle, at the same times, as `known_truth.angle_errors` gives them."""
    rows = []
    for view, side in _views(trial):
        kept = _kept(cycles, trial, view)
        if kept.empty:
            continue
        tracked, true = trial.position.sel(view=view, drop=True), true_walk(truth, side).position
        curves = [over_cycles(joint_angles(p.isel(individuals=0, drop=True)), kept) for p in (tracked, true)]
        rows.append(_named(angle_errors(*curves), trial, view))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["joint", "mae_deg"])


def _views(trial):
    return zip(trial.view.values.astype(str), trial.side.values.astype(str), strict=True)


def _kept(cycles, trial, view):
    return cycles[
        cycles.kept
        & (cycles.participant == trial.participant)
        & (cycles.trial == trial.trial)
        & (cycles["view"] == view)
    ]


def _named(errors, trial, view):
    return errors.assign(participant=trial.participant, trial=trial.trial, view=view)


def _known_span(trial, view):
    known = np.isfinite(trial.position.sel(view=view).values).all((1, 2, 3))
    time = trial.time.values[known]
    return (float(time[0]), float(time[-1])) if len(time) else (np.inf, -np.inf)
