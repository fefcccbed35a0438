"""What a difference between two opposite views of one walk is made of, where the truth is known.

The thesis 002 offers moved cameras, the other leg and labelling errors as reasons for the perspective effect. Here each
is a term in px (or m), and the terms add up to the measured difference.
"""

import numpy as np
import pandas as pd
import xarray as xr

from studykit.cameras import read_cameras
from studykit.gait import cycles as gait
from studykit.gait.views import to_metres
from studykit.study import trial_name
from studykit.truth.reference import on_clock, perfect_tracks, true_cycles

TERMS = ("camera geometry", "moved cameras", "limb", "tracking", "events")


def decompose_study(study, truths, aligned, cycles, curves):
    """The terms of every trial that two views show and whose truth is known.

    Parameters
    ----------
    study : pandas.DataFrame
        The Study table.
    truths, aligned : dict of str to xarray.Dataset
        Truth files and aligned tracks by `study.trial_name`.
    cycles : pandas.DataFrame
        All measured cycles: participant, trial, view, start_s, kept.
    curves : xarray.DataArray (participant, trial, view, keypoint, space, percent)
        Measured; attributes reference and neck_origin say how (`gait.keypoint_curves`).

    Returns
    -------
    terms : xarray.DataArray (term, participant, trial, keypoint, space, percent)
        See `decompose_perspective`; NaN for trials that were left out.
    excluded : pandas.DataFrame
        trial, reason.
    """
    how = {key: curves.attrs[key] for key in ("reference", "neck_origin") if key in curves.attrs}
    views = [str(view) for view in curves.view.values]
    order = ("term", "participant", "trial", "keypoint", "space", "percent")
    terms = curves.isel(view=0, drop=True).expand_dims(term=list(TERMS)).transpose(*order) * np.nan
    excluded = []
    for (participant, trial), rows in study.groupby(["participant", "trial"]):
        name = trial_name(rows.iloc[0])
        own = cycles[(cycles.participant == participant) & (cycles.trial == trial)]
        try:
            if name not in truths or name not in aligned or len(rows) != 2:
                raise ValueError("expected two views, aligned tracks and truth, got less")
            pieces = perspective_curves(
                list(rows.itertuples()),
                on_clock(truths[name], int(aligned[name].first_frame[0])),
                aligned[name],
                {view: own[own["view"] == view] for view in views},
                cameras=read_cameras(rows),
                **how,
            )
            measured = curves.sel(participant=participant, trial=trial, view=list(rows["view"]), drop=True)
            parts = decompose_perspective(measured, **pieces.data_vars)
        except ValueError as error:
            excluded.append((name, str(error)))
            continue
        terms.loc[{"participant": participant, "trial": trial}] = parts.transpose(
            *(d for d in order if d in parts.dims)
        )
    return terms, pd.DataFrame(excluded, columns=["trial", "reason"])


def perspective_curves(recordings, truth, aligned, cycles, *, cameras=None, **curves):
    """What `decompose_perspective` takes, for one trial seen by two cameras.

    Parameters
    ----------
    recordings : sequence of two rows of a Study table
        The two views of one trial.
    truth : xarray.Dataset
        On the clock of the aligned tracks (`alignment.on_clock`).
    aligned : xarray.Dataset
        As from `alignment.align_trial`.
    cycles : dict of str to pandas.DataFrame
        Measured cycles by view.
    cameras : dict of str to dict, optional
        Nominal cameras by view: K, R, t.
    **curves
        Handed to `gait.keypoint_curves`: reference, neck_origin.

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
    rows = {recording.view: recording for recording in recordings}
    side = {view: str(aligned.side.sel(view=view).item()) for view in rows}
    own = {view: aligned.sel(view=view, drop=True) for view in rows}
    cut = {view: true_cycles(cycles[view], own[view], gait.true_events(truth, side[view])) for view in rows}
    lost = [view for view in rows if cut[view].empty]
    if lost:
        raise ValueError(f"expected a cycle that is both measured and true in each view, got none in {lost[0]}")
    cameras = cameras or {}
    nominal = {view: np.array(c["K"]) @ np.column_stack([c["R"], c["t"]]) for view, c in cameras.items()}

    def mean_curve(tracks, leg):
        return gait.keypoint_curves(tracks, cut[leg], **curves).mean("cycle").rename(keypoints="keypoint")

    def perfect(view, leg, matrix):
        tracks = perfect_tracks(truth, rows[view], side[leg], matrix=matrix)
        scale = {"leg_length_m": getattr(rows[view], "leg_length_m", None), "camera": cameras.get(view)}
        return mean_curve(to_metres(tracks, aligned.attrs.get("scaling", "none"), **scale), leg)

    def stack(dim, parts):
        return xr.concat(parts, xr.Variable(dim, list(rows)))

    def through(matrices):
        return stack("view", [stack("leg", [perfect(v, leg, matrices.get(v)) for leg in rows]) for v in rows])

    timed = stack("view", [mean_curve(own[view], view) for view in rows])
    return xr.Dataset({"timed": timed, "seen": through({}), "nominal": through(nominal)})


def decompose_perspective(measured, timed, seen, nominal=None):
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
        tracks it. Without `nominal`, moved cameras are part of the geometry.

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
    nominal = seen if nominal is None else nominal

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


def term_sizes(terms, by=("space", "keypoint")):
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

    table = xr.Dataset(
        {
            "rms_trials": np.sqrt(mean(parts**2)),
            "rms_participants": np.sqrt(mean(people**2)),
            "rms_of_mean": np.sqrt(mean(people.mean("participant") ** 2)),
            "share": mean(people * whole) / mean(whole**2),
        }
    )
    return table.to_dataframe(dim_order=[*by, "term"]).reset_index()


def verdict(terms, unit):
    """What the decomposition says, in words computed from it.

    Parameters
    ----------
    terms : xarray.DataArray
        As for `term_sizes`.
    unit : str
    """
    if not np.isfinite(terms).any():
        return "In no trial can the views be compared with the truth, so the difference has no known cause."
    said = []
    for space, rows in term_sizes(terms, by=["space"]).groupby("space"):
        rows = rows.set_index("term")
        whole = rows.loc["measured difference"]
        rows = rows.drop("measured difference").sort_values("share", ascending=False)
        shares = ", ".join(f"{term} {100 * row.share:.0f} %" for term, row in rows.iterrows())
        limb = rows.loc["limb"]
        said.append(
            f"In {space}, participants' views differ by {whole.rms_participants:.2g} {unit} (root mean square), of "
            f"which all have {whole.rms_of_mean:.2g} {unit} in common. Of the mean square: {shares}. The largest term "
            f"is {rows.rms_participants.idxmax()} ({rows.rms_participants.max():.2g} {unit}); the other leg makes "
            f"{limb.rms_trials:.2g} {unit} in a trial and {limb.rms_participants:.2g} {unit} after averaging a "
            "participant's trials."
        )
    return " ".join(said)
