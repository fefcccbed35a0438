"""One trial's views made comparable: oriented, on one clock, cleaned, scaled, stacked."""

import numpy as np
import pandas as pd

from studykit.gait.cleaning import clean
from studykit.gait.views import (
    common_clock,
    far_leg,
    forward_speed,
    has_one_leg,
    leg_path,
    near_leg,
    opposite_as_far,
    orient,
    to_metres,
    view_lag,
)
from studykit.papers.thesis import FALSE_POSITIVES_PERCENT
from studykit.study import near_side, trial_name
from studykit.tracks import stack_views
from studykit.truth.errors import count_false_positives
from studykit.truth.reference import other_side, perfect_tracks

LIMBS = ("near", "same")


def align_trial(
    recordings,
    tracks,
    *,
    limb="near",
    align="exact",
    scaling="none",
    cameras=None,
    truth=None,
    cleaning="robust",
    **cleaning_parameters,
):
    """Bring all views of one trial together.

    Parameters
    ----------
    recordings : pandas.DataFrame
        The trial's rows of the Study table, a row a view.
    tracks : dict of str to xarray.Dataset
        By view, in the stored image's coordinates: gait6 of the near leg, or a skeleton with both legs.
    limb : {"near", "same"}
        "near": in each view the leg that faces its camera, so that opposite views show different legs (thesis 002).
        "same": in all views the leg that faces the first view's camera; needs tracks with both legs.
    align : {"exact", "cut", "lag"}
        See `views.common_clock`.
    scaling : {"none", "leg_length", "homography"}
        Unit of `position`, see `views.to_metres`.
    cameras : dict of str to dict, optional
        Calibrated cameras by view.
    truth : xarray.Dataset, optional
        As from `gaitlab.load_truth`: counts points on the wrong limb before and after cleaning.
    cleaning : {"robust", "paper"}
    **cleaning_parameters
        Handed to `cleaning.clean`.

    Returns
    -------
    aligned : xarray.Dataset
        gait6 in walking coordinates, dimension `view` last; position, confidence, position_raw (before cleaning), and
        position_m, metres by cameras or else by leg length, where either is known. Coordinates of `view`: side,
        first_frame (of the stored recording).
    table : pandas.DataFrame
        A row a view: what came in, lag to the first view, correlation, scale.
    counts : pandas.DataFrame
        A row a view and keypoint, see `cleaning.COUNTS`; n_false_positive and n_false_positive_left with truth.

    Raises
    ------
    ValueError
        In one sentence, naming the trial: wrong skeleton, a walk against its direction, different lengths, missing
        calibration.
    """
    if limb not in LIMBS:
        raise ValueError(f"expected limb one of {LIMBS}, got {limb!r}")
    rows = {row.view: row for row in recordings.sort_values("view").itertuples()}
    first = next(iter(rows.values()))
    name = trial_name(first)
    sides = {view: near_side(row if limb == "near" else first) for view, row in rows.items()}
    whole = {view: _oriented(tracks[view], row, f"{name}, {view}") for view, row in rows.items()}
    whole = common_clock(whole, align, name)
    legs = {
        view: (near_leg if sides[view] == near_side(row) else far_leg)(whole[view], f"{name}, {view}")
        for view, row in rows.items()
    }
    cleaned, counts = {}, []
    for view in rows:
        elsewhere = _other_leg(view, whole, legs, rows, sides)
        cleaned[view], count = clean(legs[view], elsewhere, method=cleaning, **cleaning_parameters)
        if truth is not None:
            count = count.assign(**_false_positives(truth, rows[view], sides[view], legs[view], cleaned[view]))
        counts.append(count.assign(view=view))
    scales = {view: _scales(row, (cameras or {}).get(view)) for view, row in rows.items()}
    out = {view: _scaled(legs[view], cleaned[view], scaling, scales[view], f"{name}, {view}") for view in rows}
    aligned = stack_views({view: piece.drop_vars("frame") for view, piece in out.items()})
    aligned.attrs.pop("near_side", None)  # of one view; `side` tells it of each
    aligned = aligned.assign_coords(
        side=("view", list(sides.values())), first_frame=("view", [int(out[view].frame[0]) for view in rows])
    )
    identity = {"participant": first.participant, "trial": first.trial}
    table = _table(rows, legs, cleaned, sides, next(iter(rows))).assign(**identity)
    counts = pd.concat(counts, ignore_index=True).assign(**identity)
    lead = ["participant", "trial", "view"]
    return (
        aligned.assign_attrs(participant=str(first.participant), trial=int(first.trial), limb=limb, scaling=scaling),
        table[[*lead, *table.columns.difference(lead, sort=False)]],
        counts[[*lead, *counts.columns.difference(lead, sort=False)]],
    )


def false_positive_summary(total, found):
    """Rates of wrong points by keypoint beside those of the thesis.

    Parameters
    ----------
    total : pandas.DataFrame
        Counts by keypoint (the index), summed over recordings.
    found : list of str
        Counts of points that the cleaning rules took for wrong.

    Returns
    -------
    pandas.DataFrame
        keypoint, and in percent of frames: paper, detected, wrong_limb and wrong_limb_left (before and after cleaning;
        NaN without truth), missing.
    """
    rates = 100 * total.div(total.n_frames, axis=0)
    unknown = pd.Series(np.nan, index=total.index)
    return pd.DataFrame(
        {
            "keypoint": total.index,
            "paper_percent": [FALSE_POSITIVES_PERCENT.get(name, np.nan) for name in total.index],
            "detected_percent": rates[found].sum(axis=1).values,
            "wrong_limb_percent": rates.get("n_false_positive", unknown).values,
            "wrong_limb_left_percent": rates.get("n_false_positive_left", unknown).values,
            "missing_percent": rates.n_left_missing.values,
        }
    )


def _oriented(tracks, row, name):
    """Tracks in walking coordinates that remember the recording's own frame numbers."""
    told = tracks.attrs.get("near_side")
    if told and told != near_side(row):
        raise ValueError(
            f"{name}: expected tracks of the near leg, the {near_side(row)} one, got {told}; "
            "check the recording's direction, view and mirrored in the Study table"
        )
    if abs(tracks.attrs["fps"] - row.fps) > 1e-6:
        raise ValueError(f"{name}: expected {row.fps:g} frames per second as in the Study table, got {tracks.fps:g}")
    if len(tracks.individuals) != 1:
        raise ValueError(f"{name}: expected one person, got {len(tracks.individuals)}; keep the one who walks")
    return orient(tracks, row.direction, name).assign_coords(frame=("time", np.arange(len(tracks.time))))


def _other_leg(view, whole, legs, rows, sides):
    """The leg that `view`'s tracks should not be on, in that view's coordinates; None if nobody saw it."""
    if not has_one_leg(whole[view]):
        is_near = sides[view] == near_side(rows[view])
        return (far_leg if is_near else near_leg)(whole[view])
    opposite = [v for v, row in rows.items() if near_side(row) != sides[view] and has_one_leg(whole[v])]
    return opposite_as_far(legs[view], legs[opposite[0]]) if opposite else None


def _false_positives(truth, row, side, raw, cleaned):
    frames = raw.frame.values
    own, other = (
        perfect_tracks(truth, row, leg).isel(time=frames).position.values[..., 0] for leg in (side, other_side(side))
    )
    found = [
        [count_false_positives(t.position.values[:, :, k, 0], own[..., k], other[..., k]) for k in range(own.shape[2])]
        for t in (raw, cleaned)
    ]
    return dict(zip(("n_false_positive", "n_false_positive_left"), found, strict=True))


def _scales(row, camera):
    length = row.leg_length_m if np.isfinite(row.leg_length_m) else None
    return {"leg_length_m": length, "camera": camera}


def _scaled(raw, cleaned, scaling, scales, name):
    out = to_metres(cleaned, scaling, **scales, name=name)
    # One factor for raw and cleaned tracks, so that they can be laid over each other.
    if scaling == "leg_length":
        out["position_raw"] = raw.position * (scales["leg_length_m"] / leg_path(cleaned))
    else:
        out["position_raw"] = to_metres(raw, scaling, **scales, name=name).position
    best = "homography" if scales["camera"] is not None else "leg_length" if scales["leg_length_m"] else None
    if best == "homography" or (best and leg_path(cleaned) > 0):
        out["position_m"] = to_metres(cleaned, best, **scales, name=name).position
    return out


def _table(rows, raw, cleaned, sides, first):
    told = []
    for view, row in rows.items():
        lag, correlation = view_lag(cleaned[first], cleaned[view]) if view != first else (0.0, 1.0)
        tracks = cleaned[view]
        known = np.isfinite(tracks.position.values[..., 0]).all((1, 2))
        told.append(
            {
                "view": view,
                "direction": row.direction,
                "side": sides[view],
                "fps": row.fps,
                "n_frames": len(tracks.time),
                "n_complete_frames": int(known.sum()),
                "first_frame": int(raw[view].frame[0]),
                "speed_px_s": forward_speed(tracks),
                "leg_px": leg_path(tracks),
                "lag_s": lag,
                "lag_frames": lag * row.fps,
                "correlation": correlation,
            }
        )
    return pd.DataFrame(told)
