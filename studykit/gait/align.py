"""Views of one trial made comparable: oriented, on one clock, cleaned, scaled, stacked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from studykit.cameras import Camera, read_cameras
from studykit.gait import views
from studykit.gait.cleaning import COUNTS, DETECTED, ROBUST, Rules, clean
from studykit.study import Recording, walks
from studykit.tracks import load_tracks, save_tracks, stack_views

LIMBS = ("near", "same")
_KEY = ["participant", "trial", "view"]


@dataclass(frozen=True)
class AlignedStudy:
    """Aligned trials of a study, and what was done to them.

    Attributes
    ----------
    trials : dict of str to xarray.Dataset
        By name of the walk; see `align_trial`.
    alignment, counts : pandas.DataFrame
        The tables of `align_trial`, all trials.
    excluded : pandas.DataFrame
        trial, reason: trials that could not be used.
    detected : tuple of str
        The counts of points that the cleaning rules took for wrong.
    """

    trials: dict[str, xr.Dataset]
    alignment: pd.DataFrame
    counts: pd.DataFrame
    excluded: pd.DataFrame
    detected: tuple[str, ...]

    @property
    def example(self) -> tuple[xr.Dataset, str]:
        """The trial and view in which most points were detected as wrong."""
        legs = self.counts[self.counts.keypoint != "neck"]
        participant, trial, view = legs.set_index(_KEY)[list(self.detected)].sum(axis=1).groupby(_KEY).sum().idxmax()
        return self.trials[f"{participant}_trial-{trial}"], view

    @property
    def lags(self) -> pd.DataFrame:
        """The rows of `alignment` of every view but each trial's first one."""
        first = self.alignment.groupby(["participant", "trial"])["view"].transform("first")
        return self.alignment[self.alignment["view"] != first]

    def by_view(self) -> pd.DataFrame:
        """Mean and standard deviation per view of frames, speed and leg length."""
        columns = ["n_frames", "n_complete_frames", "speed_px_s", "leg_px"]
        table = self.alignment.groupby("view")[columns].agg(["mean", "std"])
        return table.set_axis(table.columns.map("_".join), axis=1).reset_index()


def align_study(study: pd.DataFrame, tracks: Callable[[Recording], xr.Dataset], **settings) -> AlignedStudy:
    """Align every trial of a study; one that cannot be used is left out with the reason.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    tracks : callable
        Loads the tracks of a `Recording`.
    **settings
        Of `align_trial`, but for the cameras, which the Study table names.

    Raises
    ------
    ValueError
        If no trial can be used.
    """
    aligned, excluded = {}, []
    for walk, rows in walks(study).items():
        try:
            loaded = {row.view: tracks(row) for row in rows}
            aligned[walk] = align_trial(rows, loaded, cameras=read_cameras(rows), **settings)
        except ValueError as error:
            excluded.append((walk, str(error)))
    if not aligned:
        raise ValueError(f"expected a trial with usable tracks, got none; the first: {excluded[0][1]}")
    trials = {walk: trial for walk, (trial, _, _) in aligned.items()}
    alignment, counts = (pd.concat([parts[n] for parts in aligned.values()], ignore_index=True) for n in (1, 2))
    excluded, rules = pd.DataFrame(excluded, columns=["trial", "reason"]), settings.get("rules", ROBUST)
    return AlignedStudy(trials, alignment, counts, excluded, DETECTED[rules.method])


def save_trials(trials: Mapping[str, xr.Dataset], folder: Path) -> None:
    """Write aligned trials as `<walk>.nc`; those of an earlier run that are left out now are removed."""
    for walk, trial in trials.items():
        save_tracks(trial, folder / f"{walk}.nc")
    for path in folder.glob("*.nc"):
        if path.stem not in trials:
            path.unlink()


def load_trials(folder: Path) -> dict[str, xr.Dataset]:
    """The trials that `save_trials` wrote, by name of the walk."""
    return {path.stem: load_tracks(path) for path in sorted(folder.glob("[!.]*.nc"))}


def align_trial(
    recordings: Sequence[Recording],
    tracks: Mapping[str, xr.Dataset],
    *,
    limb: str = "near",
    align: str = "exact",
    scaling: str = "none",
    cameras: Mapping[str, Camera] | None = None,
    rules: Rules = ROBUST,
) -> tuple[xr.Dataset, pd.DataFrame, pd.DataFrame]:
    """Bring all views of one trial together.

    Parameters
    ----------
    recordings : sequence of Recording
        The trial's, one per view.
    tracks : dict of str to xarray.Dataset
        By view, in the stored image's coordinates: gait6 of the near leg, or a skeleton with both legs.
    limb : {"near", "same"}
        "near": in each view the leg that faces its camera, so that opposite views show different legs (thesis 002).
        "same": in all views the leg that faces the first view's camera; needs tracks with both legs.
    align : {"exact", "cut", "lag"}
        See `views.common_clock`.
    scaling : {"none", "leg_length", "homography"}
        Unit of `position`, see `views.to_metres`.
    cameras : dict of str to Camera, optional
        Calibrated cameras by view.
    rules : Rules
        Of cleaning.

    Returns
    -------
    aligned : xarray.Dataset
        gait6 in walking coordinates, dimension `view` last; position, confidence, position_raw (before cleaning), and
        position_m, metres by cameras or otherwise by leg length, where either is known; if scaled, position_px and
        position_raw_px too. Coordinates of `view`: side, first_frame (of the stored recording).
    table : pandas.DataFrame
        A row per view: what came in, lag to the first view, correlation, scale.
    counts : pandas.DataFrame
        A row per view and keypoint, see `cleaning.COUNTS`.

    Raises
    ------
    ValueError
        In one sentence, naming the trial: wrong skeleton, a walk against its direction, different lengths, missing
        calibration.
    """
    if limb not in LIMBS:
        raise ValueError(f"expected limb one of {LIMBS}, got {limb!r}")
    rows = {row.view: row for row in sorted(recordings, key=lambda row: row.view)}
    first = next(iter(rows.values()))
    names = {view: f"{first.walk}, {view}" for view in rows}
    sides = {view: (row if limb == "near" else first).near_side for view, row in rows.items()}
    is_near = {view: sides[view] == row.near_side for view, row in rows.items()}
    whole = {view: _oriented(tracks[view], row, names[view]) for view, row in rows.items()}
    whole = views.common_clock(whole, align, first.walk)
    legs = {view: (views.near_leg if is_near[view] else views.far_leg)(whole[view], names[view]) for view in rows}
    cleaned, scaled, counts, table = {}, {}, [], []
    for view, row in rows.items():
        other = _other_leg(view, whole, legs, sides, is_near[view])
        cleaned[view], count = clean(legs[view], other, rules)
        scaled[view] = _scaled(legs[view], cleaned[view], scaling, row, (cameras or {}).get(view), names[view])
        lag = views.view_lag(cleaned[first.view], cleaned[view]) if row is not first else (0.0, 1.0)
        table.append(_summary(row, sides[view], legs[view], cleaned[view], *lag))
        counts.append(count.assign(view=view))
    aligned = stack_views({view: piece.drop_vars("frame") for view, piece in scaled.items()})
    aligned.attrs.pop("near_side", None)  # of one view; `side` has that of each
    first_frames = [int(legs[view].frame[0]) for view in rows]
    aligned = aligned.assign_coords(side=("view", list(sides.values())), first_frame=("view", first_frames))
    identity = {"participant": first.participant, "trial": first.trial}
    return (
        aligned.assign_attrs(participant=str(first.participant), trial=int(first.trial), limb=limb, scaling=scaling),
        pd.DataFrame([identity | row for row in table]),
        pd.concat(counts, ignore_index=True).assign(**identity)[[*_KEY, "keypoint", *COUNTS]],
    )


def _oriented(tracks, row, name):
    """Tracks in walking coordinates that remember the recording's own frame numbers."""
    side = tracks.attrs.get("near_side") or row.near_side
    if side != row.near_side:
        raise ValueError(
            f"{name}: expected tracks of the near leg, the {row.near_side} one, got {side}; "
            "check the recording's direction, view and mirrored in the Study table"
        )
    if abs(tracks.attrs["fps"] - row.fps) > 1e-6:
        raise ValueError(f"{name}: expected {row.fps:g} frames per second as in the Study table, got {tracks.fps:g}")
    if len(tracks.individuals) != 1:
        raise ValueError(f"{name}: expected one person, got {len(tracks.individuals)}; keep the one who walks")
    return views.orient(tracks, row.direction, name).assign_coords(frame=("time", np.arange(len(tracks.time))))


def _other_leg(view, whole, legs, sides, is_near):
    """The leg that `view`'s tracks should not be on, in that view's coordinates; None if neither view shows it."""
    if not views.has_one_leg(whole[view]):
        return (views.far_leg if is_near else views.near_leg)(whole[view])
    opposite = [other for other in legs if sides[other] != sides[view] and views.has_one_leg(whole[other])]
    return views.opposite_as_far(legs[view], legs[opposite[0]]) if opposite else None


def _scaled(raw, cleaned, scaling, row, camera, name):
    """The cleaned tracks in the unit of `scaling`, and the other positions that `align_trial` returns."""
    scales, path = (row.leg_length_m, camera, name), views.leg_path(cleaned)
    out = views.to_metres(cleaned, scaling, *scales)
    # One factor for raw and cleaned tracks, so that they can be laid over each other.
    if scaling == "leg_length":
        out["position_raw"] = raw.position * (row.leg_length_m / path)
    else:
        out["position_raw"] = views.to_metres(raw, scaling, *scales).position
    if scaling != "none":  # for what is counted in pixels
        out["position_px"], out["position_raw_px"] = cleaned.position, raw.position
    if camera is not None:
        out["position_m"] = views.to_metres(cleaned, "homography", *scales).position
    elif np.isfinite(row.leg_length_m or np.nan) and path > 0:
        out["position_m"] = views.to_metres(cleaned, "leg_length", *scales).position
    return out


def _summary(row, side, raw, cleaned, lag_s, correlation):
    known = np.isfinite(cleaned.position).all(["space", "keypoints", "individuals"])
    table = {"view": row.view, "direction": row.direction, "side": side, "fps": row.fps}
    table |= {"n_frames": len(known), "n_complete_frames": int(known.sum()), "first_frame": int(raw.frame[0])}
    table |= {"speed_px_s": views.forward_speed(cleaned), "leg_px": views.leg_path(cleaned)}
    return table | {"lag_s": lag_s, "lag_frames": lag_s * row.fps, "correlation": correlation}
