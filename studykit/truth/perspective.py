"""What a difference between two opposite views of one walk is made of, where the ground truth is known.

Thesis 002 offers moved cameras, the other leg and labelling errors as reasons for the perspective effect. Here each is
a term in px (or m), and the terms add up to the measured difference.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from studykit.cameras import Camera, read_cameras
from studykit.gait.analysis import leg_sides
from studykit.gait.cycles import keypoint_curves
from studykit.gait.views import to_metres
from studykit.study import Recording, walks
from studykit.truth.gait import true_cycles
from studykit.truth.reference import Trials, true_events, true_leg

TERMS = ("camera geometry", "moved cameras", "limb", "tracking", "events")


def decompose_study(
    study: pd.DataFrame, truths: Trials, trials: Trials, cycles: pd.DataFrame, curves: xr.DataArray
) -> tuple[xr.DataArray, pd.DataFrame]:
    """The terms of every trial that two views show and whose ground truth is known.

    Parameters
    ----------
    study : pandas.DataFrame
        The Study table.
    truths, trials : dict of str to xarray.Dataset
        Ground truth on the clock of the aligned trials (`reference.load_truths`), and these, by name of the walk.
    cycles : pandas.DataFrame
        All measured cycles: participant, trial, view, start_s, kept.
    curves : xarray.DataArray (participant, trial, view, keypoint, space, percent)
        Measured; attributes reference and neck_origin say how (`gait.cycles.keypoint_curves`).

    Returns
    -------
    terms : xarray.DataArray (term, participant, trial, keypoint, space, percent)
        See `decompose_perspective`; NaN for trials that were left out.
    excluded : pandas.DataFrame
        trial, reason.
    """
    how = {key: curves.attrs[key] for key in ("reference", "neck_origin") if key in curves.attrs}
    order = ("term", "participant", "trial", "keypoint", "space", "percent")
    terms = curves.isel(view=0, drop=True).expand_dims(term=list(TERMS)).transpose(*order) * np.nan
    excluded = []
    for walk, rows in walks(study).items():
        place = {"participant": rows[0].participant, "trial": rows[0].trial}
        own = cycles[(cycles.participant == rows[0].participant) & (cycles.trial == rows[0].trial)]
        try:
            if walk not in truths or walk not in trials or len(rows) != 2:
                raise ValueError("expected two views, aligned tracks and truth, got less")
            cut = {row.view: own[own["view"] == row.view] for row in rows}
            pieces = perspective_curves(rows, truths[walk], trials[walk], cut, cameras=read_cameras(rows), **how)
            parts = decompose_perspective(curves.sel(**place, view=list(cut), drop=True), **pieces.data_vars)
        except ValueError as error:
            excluded.append((walk, str(error)))
            continue
        terms.loc[place] = parts.transpose(*(d for d in order if d in parts.dims))
    return terms, pd.DataFrame(excluded, columns=["trial", "reason"])


def perspective_curves(
    recordings: Sequence[Recording],
    truth: xr.Dataset,
    trial: xr.Dataset,
    cycles: Mapping[str, pd.DataFrame],
    *,
    cameras: Mapping[str, Camera] | None = None,
    **curves: str,
) -> xr.Dataset:
    """What `decompose_perspective` takes, for one trial seen by two cameras.

    Parameters
    ----------
    recordings : sequence of two Recordings
        The two views of one trial.
    truth : xarray.Dataset
        On the clock of the aligned tracks (`reference.on_clock`).
    trial : xarray.Dataset
        As from `gait.align.align_trial`.
    cycles : dict of str to pandas.DataFrame
        Measured cycles by view.
    cameras : dict of str to Camera, optional
        Nominal cameras by view.
    **curves
        Handed to `gait.cycles.keypoint_curves`: reference, neck_origin.

    Returns
    -------
    xarray.Dataset
        timed (view, ...): the measured tracks cut at true events; seen and nominal (view, leg, ...): perfect tracks of
        both legs through both cameras, as they stood and as they should stand. `leg` is named after the view that
        tracks it.

    Raises
    ------
    ValueError
        If a view has no cycle that is both measured and true.
    """
    rows, cameras, side = {recording.view: recording for recording in recordings}, cameras or {}, leg_sides(trial)
    own = {view: trial.sel(view=view, drop=True) for view in rows}
    cut = {view: true_cycles(cycles[view], own[view], true_events(truth, side[view])) for view in rows}
    if lost := [view for view in rows if cut[view].empty]:
        raise ValueError(f"expected a cycle that is both measured and true in each view, got none in {lost[0]}")

    def mean_curve(tracks, leg):
        return keypoint_curves(tracks, cut[leg], **curves).mean("cycle").rename(keypoints="keypoint")

    def perfect(view, leg, camera):
        tracks = true_leg(truth, rows[view], side[leg], matrix=camera.matrix if camera else None)
        scaling = trial.attrs.get("scaling", "none")
        return mean_curve(to_metres(tracks, scaling, rows[view].leg_length_m, cameras.get(view)), leg)

    def stack(dim, parts):
        return xr.concat(parts, xr.Variable(dim, list(rows)))

    def through(known):
        return stack("view", [stack("leg", [perfect(v, leg, known.get(v)) for leg in rows]) for v in rows])

    timed = stack("view", [mean_curve(own[view], view) for view in rows])
    return xr.Dataset({"timed": timed, "seen": through({}), "nominal": through(cameras)})


def decompose_perspective(
    measured: xr.DataArray, timed: xr.DataArray, seen: xr.DataArray, nominal: xr.DataArray
) -> xr.DataArray:
    """What the difference of two views is made of, in parts that add up to it.

    Camera geometry: one and the same leg, seen by the two nominal cameras. Limb: the two legs, seen by one and the
    same camera. Each is the mean over the two ways to say so (either leg, either camera; the Shapley value), so that
    neither depends on which view comes first and the far leg's smaller image cancels. Moved cameras: the cameras as
    they stood against nominal ones. Tracking: network and cleaning against perfect tracks, at true events. Events:
    cycles cut at found against true events, and which cycles were found at all.

    Parameters
    ----------
    measured, timed : xarray.DataArray (view, ...)
        Mean curves of each view's leg, measured throughout, and cut at true events.
    seen, nominal : xarray.DataArray (view, leg, ...)
        Mean curves of perfect tracks through the true and the nominal cameras; `leg` is named after the view that
        tracks it.

    Returns
    -------
    xarray.DataArray (term, ...)
        One of each of `TERMS`; their sum is the first view's curve minus the second's.

    Raises
    ------
    ValueError
        If there are not two views, or views and legs differ.
    """
    views = [str(view) for view in measured.view.values]
    if len(views) != 2 or list(seen.view.values) != views or list(seen.leg.values) != views:
        raise ValueError(f"expected two views and the two legs that they track, got {views}, {list(seen.leg.values)}")

    def between(curves, dim="view"):
        return curves.sel({dim: views[0]}, drop=True) - curves.sel({dim: views[1]}, drop=True)

    def tracked(curves):
        return xr.concat([curves.sel(view=v, leg=v, drop=True) for v in views], xr.Variable("view", views))

    parts = {
        "camera geometry": between(nominal).mean("leg"),
        "moved cameras": between(tracked(seen) - tracked(nominal)),
        "limb": between(nominal, "leg").mean("view"),
        "tracking": between(timed - tracked(seen)),
        "events": between(measured - timed),
    }
    return xr.concat([parts[term] for term in TERMS], xr.Variable("term", list(TERMS)))


def term_sizes(terms: xr.DataArray, by: Sequence[str] = ("space", "keypoint")) -> pd.DataFrame:
    """How large each term is, and how much of the measured difference it carries.

    Parameters
    ----------
    terms : xarray.DataArray (term, participant, trial, space, keypoint, percent)
        NaN where a trial is missing.
    by : sequence of str
        What to tell apart.

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, term (the last one "measured difference"), and root mean squares over the cycle: rms_trials,
        rms_participants (means over trials) and rms_of_mean (what all participants have in common); share: of the mean
        square of the participants' measured difference. Shares of the terms sum to 1; one that counteracts the others
        is negative.
    """
    parts = xr.concat([terms, terms.sum("term", skipna=False).expand_dims(term=["measured difference"])], "term")
    people = parts.mean("trial")
    whole = people.sel(term="measured difference", drop=True)

    def mean(values):
        return values.mean([dim for dim in values.dims if dim not in (*by, "term")])

    table = {"rms_trials": np.sqrt(mean(parts**2)), "rms_participants": np.sqrt(mean(people**2))}
    table |= {"rms_of_mean": np.sqrt(mean(people.mean("participant") ** 2))}
    table = xr.Dataset(table | {"share": mean(people * whole) / mean(whole**2)})
    return table.to_dataframe(dim_order=[*by, "term"]).reset_index()


def size_numbers(overall: pd.DataFrame, unit: str) -> dict[str, float]:
    """Headline numbers of `term_sizes` by space: the root mean square of every term, over participants."""
    rows = overall[overall.term != "measured difference"]
    names = "perspective_" + rows.space + "_" + rows.term.str.replace(" ", "_") + f"_rms_{unit}"
    return dict(zip(names, rows.rms_participants, strict=True))


def verdict(terms: xr.DataArray, unit: str) -> str:
    """What the decomposition says, in words computed from it.

    Parameters
    ----------
    terms : xarray.DataArray
        As for `term_sizes`.
    unit : str
    """
    if not np.isfinite(terms).any():
        return "In no trial can the views be compared with the ground truth, so the difference has no known cause."
    said = []
    for space, rows in term_sizes(terms, by=["space"]).groupby("space"):
        rows = rows.set_index("term")
        whole, limb = rows.loc["measured difference"], rows.loc["limb"]
        rows = rows.drop("measured difference").sort_values("share", ascending=False)
        shares = ", ".join(f"{term} {100 * row.share:.0f} %" for term, row in rows.iterrows())
        said.append(
            f"In {space}, participants' views differ by {whole.rms_participants:.2g} {unit} (root mean square), of "
            f"which all have {whole.rms_of_mean:.2g} {unit} in common. Of the mean square: {shares}. The largest term "
            f"is {rows.rms_participants.idxmax()} ({rows.rms_participants.max():.2g} {unit}); the other leg makes "
            f"{limb.rms_trials:.2g} {unit} in a trial and {limb.rms_participants:.2g} {unit} after averaging a "
            "participant's trials."
        )
    return " ".join(said)
