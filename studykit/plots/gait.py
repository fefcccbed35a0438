"""Figures of cleaning, alignment and gait cycles, each with the numbers that it shows."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr

from studykit.plots.perspective import draw_band
from studykit.plots.style import LIMB_COLOURS, ONE_COLUMN, TWO_COLUMNS, Drawn, study_grid, view_colours
from studykit.wording import heading

_METHOD_COLOURS = {"velocity": "#009E73", "distance": "#E69F00"}
_RATES = {
    "paper_percent": ("thesis 002", "0.6"),
    "wrong_limb_percent": ("on the wrong limb", "#D55E00"),
    "wrong_limb_left_percent": ("on the wrong limb, cleaned", "#009E73"),
    "detected_percent": ("detected by the rules", "#56B4E9"),
}


def draw_cleaning(trial: xr.Dataset, view: str) -> Drawn:
    """Knee and foot of one view before (crosses) and after cleaning (lines), and the opposite camera's near leg (grey).

    Parameters
    ----------
    trial : xarray.Dataset
        As from `gait.align.align_trial`.
    view : str
    """
    names = {"time": "time_s", "keypoints": "keypoint", "position_raw": "raw", "position": "cleaned"}
    table = trial[["position_raw", "position"]].sel(keypoints=["knee", "ankle", "heel", "toe"]).isel(individuals=0)
    table = table.to_dataframe(dim_order=["view", "space", "keypoints", "time"]).reset_index().rename(columns=names)

    def panel(data, **_):
        for other, lines in data.groupby("view"):
            colour = LIMB_COLOURS[lines.keypoint.iloc[0]] if other == view else "0.8"
            plt.plot(lines.time_s, lines.cleaned, color=colour, linewidth=1, zorder=2 if other == view else 1)
        mine = data[data["view"] == view]
        plt.plot(mine.time_s, mine.raw, "x", color="0.3", markersize=2.5, markeredgewidth=0.6, zorder=1.5)

    grid = sns.FacetGrid(table, row="space", col="keypoint", sharey=False).map_dataframe(panel)
    grid.set_axis_labels("time (s)", trial.attrs["unit"])
    fig = study_grid(grid, 3.4, titles="{row_name} of {col_name}")
    return fig, table.loc[table["view"] == view, ["keypoint", "space", "time_s", "raw", "cleaned"]]


def draw_false_positives(summary: pd.DataFrame) -> Drawn:
    """Bars of the rates in a table with a column keypoint and a column per kind of rate, percent."""
    data = summary[summary.paper_percent.notna()][["keypoint", *_RATES]].dropna(axis=1, how="all")
    fig, axis = plt.subplots(figsize=(ONE_COLUMN, 2.4))
    long = data.rename(columns={key: text for key, (text, _) in _RATES.items()}).melt("keypoint", var_name="rate")
    sns.barplot(long, x="keypoint", y="value", hue="rate", palette=dict(_RATES.values()), saturation=1, ax=axis)
    axis.set(xlabel="", ylabel="points (%)")
    sns.move_legend(axis, "lower left", bbox_to_anchor=(0, 1), title="")
    return fig, data


def draw_lags(lags: pd.DataFrame) -> Drawn:
    """Lags of the views to the first one, in frames, and how well the views agree there."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    sns.histplot(
        lags, x="lag_frames", bins=np.arange(-6.25, 6.5, 0.5), color="#56B4E9", alpha=1, edgecolor="none", ax=left
    )
    sns.scatterplot(lags, x="lag_frames", y="correlation", s=12, ax=right)
    left.set(xlabel="lag to the first view (frames)", ylabel=f"trials (n = {lags.lag_s.notna().sum()})")
    right.set(xlabel="lag to the first view (frames)", xlim=(-6.5, 6.5), ylim=(0, 1.03))
    return fig, lags


def draw_views(trial: xr.Dataset) -> Drawn:
    """Neck, and ankle relative to the neck, of all views of one trial over time."""
    position = trial.position.isel(individuals=0, drop=True).transpose("view", "time", "space", "keypoints")
    neck, ankle = (position.sel(keypoints=name, drop=True) for name in ("neck", "ankle"))
    whats = {"x of neck": neck.sel(space="x"), "y of neck": neck.sel(space="y")}
    whats["x of ankle - neck"] = (ankle - neck).sel(space="x")
    table = xr.concat([what.drop_vars("space") for what in whats.values()], pd.Index(whats, name="what"))
    table = table.to_dataframe(name="value", dim_order=["view", "what", "time"]).reset_index()
    table["leg"] = table["view"] + ", " + table.side + " leg"
    colours = view_colours(trial.view.values)
    palette = {leg: colours[view] for leg, view in zip(table.leg, table["view"], strict=True)}
    grid = sns.FacetGrid(table, col="what", hue="leg", palette=palette, sharey=False).map(plt.plot, "time", "value")
    grid.set_axis_labels("time (s)", trial.attrs["unit"])
    grid.axes[0, 0].legend()
    return study_grid(grid, 2.2), table.rename(columns={"time": "time_s"})[["view", "what", "time_s", "value"]]


def draw_events(trial: xr.Dataset, events: pd.DataFrame, true: Mapping[str, pd.DataFrame], body: str) -> Drawn:
    """Distance of the ankle to the body with the events detected on it.

    Parameters
    ----------
    trial : xarray.Dataset
    events : pandas.DataFrame
        view, event, time_s of this trial (or more).
    true : dict of str to pandas.DataFrame
        True events by view; may be empty.
    body : str
        Keypoint that the distance is measured from.
    """
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 2.4))
    events = events[(events.participant == trial.participant) & (events.trial == trial.trial)]
    colours, rows = view_colours(trial.view.values), []
    for view in trial.view.values:
        x = trial.position.sel(view=view, space="x").isel(individuals=0)
        distance = x.sel(keypoints="ankle") - x.sel(keypoints=body)
        axis.plot(x.time, distance, color=colours[view], label=f"{view}, {x.side.item()} leg")
        for kind, fill in (("heel_strike", colours[view]), ("toe_off", "white")):
            time = events.time_s[(events["view"] == view) & (events.event == kind)]
            height = np.interp(time, x.time, distance)
            axis.plot(time, height, "o", color=colours[view], markerfacecolor=fill)
            rows.append(pd.DataFrame({"view": view, "what": kind, "time_s": time, "distance": height}))
        for time in true[view].time_s if view in true else []:
            axis.axvline(time, color=colours[view], linestyle=":", linewidth=0.8)
        rows.append(pd.DataFrame({"view": view, "what": "curve", "time_s": x.time, "distance": distance}))
    axis.set(xlabel="time (s)", ylabel=f"ankle - {body} ({trial.attrs['unit']})")
    axis.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return fig, pd.concat(rows)


def draw_curves(curves: xr.DataArray) -> Drawn:
    """Mean and standard deviation over trials of every curve, by view.

    Parameters
    ----------
    curves : xarray.DataArray
        (participant, trial, view, keypoint, space, percent), or (..., joint, percent) for angles.
    """
    what = "keypoint" if "keypoint" in curves.dims else "joint"
    spaces = ["space"] if "space" in curves.dims else []
    over = ("participant", "trial")
    means = xr.Dataset({"mean": curves.mean(over), "sd": curves.std(over)})
    data = means.to_dataframe(dim_order=[*spaces, what, "view", "percent"]).reset_index()
    known = np.isfinite(curves).any("percent").sum(over)
    counts = known.isel({dim: 0 for dim in known.dims if dim != "view"}).to_series()
    labels = {view: f"{view} (n = {n})" for view, n in counts.items()}
    palette = {labels[view]: colour for view, colour in view_colours(labels).items()}

    shown = data.assign(view=data["view"].map(labels), low=data["mean"] - data.sd, high=data["mean"] + data.sd)
    grid = sns.FacetGrid(shown, row="space" if spaces else None, col=what, hue="view", palette=palette, sharey=False)
    grid.map_dataframe(lambda data, color, **_: draw_band(plt.gca(), data, color))
    grid.set_axis_labels("cycle (%)", curves.attrs["unit"])
    fig = study_grid(grid, 0.7 + 1.3 * len(grid.axes), titles="{row_name} of {col_name}" if spaces else "{col_name}")
    handles = [plt.Line2D([], [], color=colour, label=label) for label, colour in palette.items()]
    fig.legend(handles=handles, ncols=len(palette), loc="outside upper right")
    return fig, data[["view", what, *spaces, "percent", "mean", "sd"]]


def draw_spatiotemporal(table: pd.DataFrame, quantities: Sequence[str]) -> Drawn | str:
    """Every recording's parameters by view; a line joins the views of one trial."""
    if table.empty:
        return "No recording has a complete gait cycle, so there are no parameters to draw."
    long = table.melt(["participant", "trial", "view"], quantities, "quantity").sort_values("view", kind="stable")
    long["walk"] = long.participant + " " + long.trial.astype(str)
    palette = view_colours(long["view"].unique())
    look = {"x": "view", "y": "value", "sharey": False, "kind": "strip", "jitter": False, "size": 3.5}
    grid = sns.catplot(long, col="quantity", hue="view", palette=palette, legend=False, **look)
    lines = {"units": "walk", "estimator": None, "color": "0.8", "linewidth": 0.6, "zorder": 0}
    grid.map_dataframe(sns.lineplot, x="view", y="value", **lines).set_axis_labels("", "")
    fig = study_grid(grid, 2.2)
    for axis, quantity in zip(grid.axes.flat, quantities, strict=True):
        axis.set_title(heading(quantity).replace(" (", "\n("), fontsize=7)
        axis.margins(x=0.3)
    return fig, table


def draw_event_errors(timing: pd.DataFrame) -> Drawn | str:
    """Histograms of event errors, by event and method; without ground truth, a sentence that says so."""
    if timing.empty:
        return "The ground truth of this study is not known."
    look = {"bins": np.arange(-0.2, 0.201, 0.01), "palette": _METHOD_COLOURS, "alpha": 0.6, "edgecolor": "none"}
    shown = timing.assign(event=timing.event.str.replace("_", " "))
    grid = sns.displot(shown, x="error_s", col="event", hue="method", hue_order=list(_METHOD_COLOURS), **look)
    grid.refline(x=0, color="black", linewidth=0.6, linestyle="-").set_axis_labels("detected - true (s)", "events")
    return study_grid(grid, 2.2), timing
