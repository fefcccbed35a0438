"""Views of one trial made comparable: oriented, on one clock, cleaned, scaled, stacked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from studykit.cameras import Camera, read_cameras
from studykit.gait.cleaning import COUNTS, DETECTED, Rules, clean
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
    cleaning : str
        Name of the rules, which decides what counts as detected.
    """

    trials: dict[str, xr.Dataset]
    alignment: pd.DataFrame
    counts: pd.DataFrame
    excluded: pd.DataFrame
    cleaning: str

    @property
    def detected(self) -> tuple[str, ...]:
        """The counts of points that the cleaning rules took for wrong."""
        return DETECTED[self.cleaning]

    @property
    def example(self) -> tuple[xr.Dataset, str]:
        """The trial and view in which most points were detected as wrong."""
        legs = self.counts[self.counts.keypoint != "neck"]
        participant, trial, view = legs.groupby(_KEY)[list(self.detected)].sum().sum(axis=1).idxmax()
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

    def said(self) -> str:
        """How many trials there are, in words."""
        people = self.alignment.participant.nunique()
        return f"{len(self.trials)} trials of {people} people, {len(self.excluded)} left out."

    def clock_verdict(self) -> str:
        """Whether the views are on one clock, in words."""
        lags = self.lags
        if lags.empty:
            return "There is one view only."
        late = ((lags.lag_frames.abs() > 1) & (lags.correlation > 0.5)).sum()
        return f"The median lag of the views is {lags.lag_s.median():.3f} s; {late} trials are more than a frame off."


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
    trials, tables, counts, excluded = {}, [], [], []
    for walk, views in walks(study).items():
        try:
            loaded = {recording.view: tracks(recording) for recording in views}
            trials[walk], table, count = align_trial(views, loaded, cameras=read_cameras(views), **settings)
        except ValueError as error:
            excluded.append((walk, str(error)))
            continue
        tables.append(table)
        counts.append(count)
    if not trials:
        raise ValueError(f"expected a trial with usable tracks, got none; the first: {excluded[0][1]}")
    excluded = pd.DataFrame(excluded, columns=["trial", "reason"])
    tables, counts = (pd.concat(rows, ignore_index=True) for rows in (tables, counts))
    return AlignedStudy(trials, tables, counts, excluded, settings.get("cleaning", "robust"))


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
    cleaning: str = "robust",
    **cleaning_parameters: float,
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
    cleaning : {"robust", "paper"}
    **cleaning_parameters
        See `cleaning.Rules`.

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
    whole = {view: _oriented(tracks[view], row, names[view]) for view, row in rows.items()}
    whole = common_clock(whole, align, first.walk)
    is_near = {view: sides[view] == row.near_side for view, row in rows.items()}
    legs = {view: (near_leg if is_near[view] else far_leg)(whole[view], names[view]) for view in rows}
    cleaned, out, counts, table = {}, {}, [], []
    for view, row in rows.items():
        far = _other_leg(view, whole, legs, sides, is_near[view])
        cleaned[view], count = clean(legs[view], far, Rules(cleaning, **cleaning_parameters))
        out[view] = _scaled(legs[view], cleaned[view], scaling, row, (cameras or {}).get(view), names[view])
        lag = view_lag(cleaned[first.view], cleaned[view]) if row is not first else (0.0, 1.0)
        table.append(_summary(row, sides[view], legs[view], cleaned[view], *lag))
        counts.append(count.assign(view=view))
    aligned = stack_views({view: piece.drop_vars("frame") for view, piece in out.items()})
    aligned.attrs.pop("near_side", None)  # of one view; `side` has that of each
    first_frames = [int(legs[view].frame[0]) for view in rows]
    aligned = aligned.assign_coords(side=("view", list(sides.values())), first_frame=("view", first_frames))
    identity = {"participant": first.participant, "trial": first.trial}
    return (
        aligned.assign_attrs(participant=str(first.participant), trial=int(first.trial), limb=limb, scaling=scaling),
        pd.DataFrame([identity | row for row in table]),
        pd.concat(counts, ignore_index=True).assign(**identity)[[*_KEY, "keypoint", *COUNTS]],
    )


def _oriented(tracks: xr.Dataset, row: Recording, name: str) -> xr.Dataset:
    """Tracks in walking coordinates that remember the recording's own frame numbers."""
    side = tracks.attrs.get("near_side")
    if side and side != row.near_side:
        raise ValueError(
            f"{name}: expected tracks of the near leg, the {row.near_side} one, got {side}; "
            "check the recording's direction, view and mirrored in the Study table"
        )
    if abs(tracks.attrs["fps"] - row.fps) > 1e-6:
        raise ValueError(f"{name}: expected {row.fps:g} frames per second as in the Study table, got {tracks.fps:g}")
    if len(tracks.individuals) != 1:
        raise ValueError(f"{name}: expected one person, got {len(tracks.individuals)}; keep the one who walks")
    return orient(tracks, row.direction, name).assign_coords(frame=("time", np.arange(len(tracks.time))))


def _other_leg(
    view: str, whole: Mapping[str, xr.Dataset], legs: Mapping[str, xr.Dataset], sides: Mapping[str, str], is_near: bool
) -> xr.Dataset | None:
    """The leg that `view`'s tracks should not be on, in that view's coordinates; None if neither view shows it."""
    if not has_one_leg(whole[view]):
        return (far_leg if is_near else near_leg)(whole[view])
    opposite = [other for other in legs if sides[other] != sides[view] and has_one_leg(whole[other])]
    return opposite_as_far(legs[view], legs[opposite[0]]) if opposite else None


def _scaled(
    raw: xr.Dataset, cleaned: xr.Dataset, scaling: str, row: Recording, camera: Camera | None, name: str
) -> xr.Dataset:
    length = row.leg_length_m if np.isfinite(row.leg_length_m) else None
    scales = {"leg_length_m": length, "camera": camera, "name": name}
    out = to_metres(cleaned, scaling, **scales)
    # One factor for raw and cleaned tracks, so that they can be laid over each other.
    if scaling == "leg_length":
        out["position_raw"] = raw.position * (length / leg_path(cleaned))
    else:
        out["position_raw"] = to_metres(raw, scaling, **scales).position
    if scaling != "none":  # for what is counted in pixels
        out["position_px"], out["position_raw_px"] = cleaned.position, raw.position
    if camera is not None:
        out["position_m"] = to_metres(cleaned, "homography", **scales).position
    elif length and leg_path(cleaned) > 0:
        out["position_m"] = to_metres(cleaned, "leg_length", **scales).position
    return out


def _summary(
    row: Recording, side: str, raw: xr.Dataset, cleaned: xr.Dataset, lag_s: float, correlation: float
) -> dict[str, str | float]:
    known = np.isfinite(cleaned.position).all(["space", "keypoints", "individuals"])
    table = {"view": row.view, "direction": row.direction, "side": side, "fps": row.fps}
    table |= {"n_frames": len(known), "n_complete_frames": int(known.sum()), "first_frame": int(raw.frame[0])}
    table |= {"speed_px_s": forward_speed(cleaned), "leg_px": leg_path(cleaned)}
    return table | {"lag_s": lag_s, "lag_frames": lag_s * row.fps, "correlation": correlation}
