"""Gait of whole trials and studies: events, cycles, mean curves and spatiotemporal parameters of all views."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from studykit.gait.cycles import cycle_parameters, find_cycles, joint_angles, keypoint_curves, over_cycles
from studykit.gait.events import find_events
from studykit.tracks import write_netcdf

_PARAMETERS = ("stride_time", "cadence", "stance", "stride_length", "step_length", "speed")
_KEY = ["participant", "trial", "view", "side"]


def trial_events(aligned: xr.Dataset, **settings) -> pd.DataFrame:
    """Events of all views of one trial, with participant, trial, view, side; settings are those of `find_events`."""
    found = [
        find_events(aligned.sel(view=view, drop=True), **settings).assign(view=view, side=side)
        for view, side in leg_sides(aligned).items()
    ]
    events = pd.concat(found, ignore_index=True).assign(participant=aligned.participant, trial=aligned.trial)
    return events[[*_KEY, "event", "time_s"]]


def analyse_trial(
    aligned: xr.Dataset,
    *,
    reference: str = "neck",
    method: str = "velocity",
    neck_origin: str = "heel_strike",
    min_stride_s: float = 0.6,
    max_stride_s: float = 2.0,
) -> tuple[pd.DataFrame, pd.DataFrame, xr.DataArray, xr.DataArray]:
    """Events, cycles, curves and parameters of all views of one trial.

    Parameters
    ----------
    aligned : xarray.Dataset
        As from `align.align_trial`; lengths come in metres where it has position_m.
    reference, method, neck_origin, min_stride_s, max_stride_s
        See `find_events`, `find_cycles` and `keypoint_curves`.

    Returns
    -------
    events : pandas.DataFrame
        participant, trial, view, side, event, time_s.
    cycles : pandas.DataFrame
        Every cycle, kept or why not, with the parameters of kept ones.
    curves : xarray.DataArray (view, keypoint, space, percent)
        Mean over the trial's cycles, NaN without any.
    angles : xarray.DataArray (view, joint, percent)
    """
    metres = aligned
    if "position_m" in aligned:
        metres = aligned.assign(position=aligned.position_m).assign_attrs(unit="m")
    sides = leg_sides(aligned)
    events = trial_events(aligned, reference=reference, method=method, min_stride_s=min_stride_s)
    cycles, curves, angles = [], [], []
    for view, side in sides.items():
        tracks, found = aligned.sel(view=view, drop=True), events[events["view"] == view]
        cut = find_cycles(tracks, found, min_stride_s=min_stride_s, max_stride_s=max_stride_s)
        opposite = [metres.sel(view=other, drop=True) for other in sides if sides[other] != side]
        parameters = cycle_parameters(metres.sel(view=view, drop=True), cut, opposite[0] if opposite else None)
        cycles.append(cut.merge(parameters, on="start_s", how="left").assign(view=view, side=side))
        curve = keypoint_curves(tracks, cut, reference=reference, neck_origin=neck_origin)
        curves.append(curve.mean("cycle").rename(keypoints="keypoint"))
        angles.append(over_cycles(joint_angles(tracks.position), cut).mean("cycle"))
    cycles = pd.concat(cycles, ignore_index=True).assign(participant=aligned.participant, trial=aligned.trial)
    names = xr.Variable("view", list(sides))
    return (
        events,
        cycles[[*_KEY, *cycles.columns.difference(_KEY, sort=False)]],
        xr.concat(curves, names).transpose("view", "keypoint", "space", "percent"),
        xr.concat(angles, names).transpose("view", "joint", "percent"),
    )


def leg_sides(aligned: xr.Dataset) -> dict[str, str]:
    """The anatomical side of the leg that each view of a trial tracks, by view."""
    return dict(zip(aligned.view.values.astype(str), aligned.side.values.astype(str), strict=True))


@dataclass(frozen=True)
class StudyGait:
    """Gait of a study.

    Attributes
    ----------
    events, cycles : pandas.DataFrame
        See `analyse_trial`.
    curves : xarray.DataArray (participant, trial, view, keypoint, space, percent)
    angles : xarray.DataArray (participant, trial, view, joint, percent)
        deg
    """

    events: pd.DataFrame
    cycles: pd.DataFrame
    curves: xr.DataArray
    angles: xr.DataArray

    @property
    def kept(self) -> pd.DataFrame:
        """The kept cycles."""
        return self.cycles[self.cycles.kept]

    @property
    def quantities(self) -> list[str]:
        """Columns of the spatiotemporal parameters."""
        return [column for column in self.cycles if column.startswith(_PARAMETERS)]

    def per_recording(self) -> pd.Series:
        """Number of kept cycles of each recording."""
        return self.cycles.groupby(["participant", "trial", "view"]).kept.sum()

    def reasons(self) -> pd.DataFrame:
        """Number of cycles by view, kept or by the reason why not."""
        told = self.cycles.assign(reason=self.cycles.reason.replace("", "kept"))
        return told.pivot_table("start_s", "reason", "view", aggfunc="size", fill_value=0).reset_index()

    def spatiotemporal(self) -> pd.DataFrame:
        """Parameters of each recording, mean of its kept cycles."""
        return self.kept.groupby(_KEY, as_index=False)[self.quantities].mean()

    def spatiotemporal_by_view(self) -> pd.DataFrame:
        """Mean and standard deviation over recordings, a column per view."""
        table = self.spatiotemporal().groupby("view")[self.quantities].agg(["mean", "std"])
        return table.set_axis(table.columns.map(" ".join), axis=1).T.reset_index(names="quantity")


def analyse_study(trials: Mapping[str, xr.Dataset], **settings) -> StudyGait:
    """Analyse all trials of a study.

    Parameters
    ----------
    trials : dict of str to xarray.Dataset
        Aligned trials by name of the walk.
    **settings
        Of `analyse_trial`.
    """
    results = [analyse_trial(trial, **settings) for trial in trials.values()]
    *tables, curves, angles = zip(*results, strict=True)
    events, cycles = (pd.concat(rows, ignore_index=True) for rows in tables)
    curves, angles = over_trials(curves, trials.values(), "curves"), over_trials(angles, trials.values(), "angles")
    how = {key: settings[key] for key in ("reference", "neck_origin") if key in settings}
    unit = next(iter(trials.values())).attrs["unit"]
    return StudyGait(events, cycles, curves.assign_attrs(unit=unit, **how), angles.assign_attrs(unit="deg", **how))


def over_trials(parts: Iterable[xr.DataArray], trials: Iterable[xr.Dataset], name: str) -> xr.DataArray:
    """Arrays of single trials as one array (participant, trial, ...), NaN where a participant lacks a trial."""
    placed = [
        part.expand_dims(participant=[trial.participant], trial=[trial.trial]).to_dataset(name=name)
        for part, trial in zip(parts, trials, strict=True)
    ]
    return xr.combine_by_coords(placed, combine_attrs="drop")[name].transpose("participant", "trial", ...)


def save_arrays(gait: StudyGait, folder: Path) -> None:
    """Write `curves.nc` and `angles.nc`."""
    for array in (gait.curves, gait.angles):
        write_netcdf(array, folder / f"{array.name}.nc")


def load_gait(folder: Path) -> StudyGait:
    """What notebook 43 left: `events.csv`, `cycles.csv`, `curves.nc`, `angles.nc`."""
    tables = (pd.read_csv(folder / f"{name}.csv", dtype={"participant": str}) for name in ("events", "cycles"))
    arrays = (xr.load_dataarray(folder / f"{name}.nc", engine="h5netcdf") for name in ("curves", "angles"))
    return StudyGait(*tables, *arrays)
