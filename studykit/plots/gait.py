"""Figures of cleaning, alignment and gait cycles; each comes with the numbers that it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from studykit.plots.style import LIMB_COLOURS, ONE_COLUMN, TWO_COLUMNS, view_colours

_METHOD_COLOURS = {"velocity": "#009E73", "distance": "#E69F00"}


def draw_cleaning(trial, view):
    """Knee and foot of one view before and after cleaning, and the opposite camera's near leg behind them.

    Parameters
    ----------
    trial : xarray.Dataset
        As from `alignment.align_trial`.
    view : str

    Returns
    -------
    fig : matplotlib Figure
    data : pandas.DataFrame
    """
    joints = ("knee", "ankle", "heel", "toe")
    fig, axes = plt.subplots(2, len(joints), figsize=(TWO_COLUMNS, 3.4), sharex=True)
    rows = []
    for row, space in enumerate("xy"):
        for axis, joint in zip(axes[row], joints, strict=True):
            one = trial.sel(keypoints=joint, space=space).isel(individuals=0)
            for other in one.view.values[one.view.values != view]:
                axis.plot(trial.time, one.position.sel(view=other), color="0.8")
            one = one.sel(view=view)
            axis.plot(trial.time, one.position_raw, "x", color="0.3", markersize=2.5, markeredgewidth=0.6)
            axis.plot(trial.time, one.position, color=LIMB_COLOURS[joint], linewidth=1)
            axis.set_title(f"{space} of {joint}")
            rows.append(
                pd.DataFrame(
                    {
                        "keypoint": joint,
                        "space": space,
                        "time_s": trial.time,
                        "raw": one.position_raw,
                        "cleaned": one.position,
                    }
                )
            )
        axes[row, 0].set_ylabel(trial.attrs["unit"])
    _label_bottom(axes, "time (s)")
    return fig, pd.concat(rows)


def draw_false_positives(summary):
    """Bars of the rates in a table with a column keypoint and a column a kind of rate, percent."""
    names = {
        "paper_percent": ("thesis 002", "0.6"),
        "wrong_limb_percent": ("on the wrong limb", "#D55E00"),
        "wrong_limb_left_percent": ("on the wrong limb, cleaned", "#009E73"),
        "detected_percent": ("found by the rules", "#56B4E9"),
    }
    data = summary[summary.paper_percent.notna()].set_index("keypoint")[list(names)].dropna(axis=1, how="all")
    fig, axis = plt.subplots(figsize=(ONE_COLUMN, 2.4))
    colours = [names[column][1] for column in data]
    data.rename(columns={key: text for key, (text, _) in names.items()}).plot.bar(
        ax=axis, width=0.8, rot=0, color=colours
    )
    axis.set(xlabel="", ylabel="points (%)")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return fig, data.reset_index()


def draw_lags(lags):
    """Lags of the views to the first one, in frames, and how well the views agree there."""
    fig, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2))
    axes[0].hist(lags.lag_frames.dropna(), bins=np.arange(-6.25, 6.5, 0.5), color="#56B4E9")
    axes[0].set(xlabel="lag to the first view (frames)", ylabel=f"trials (n = {lags.lag_s.notna().sum()})")
    axes[1].scatter(lags.lag_frames, lags.correlation, s=8)
    axes[1].set(xlabel="lag to the first view (frames)", ylabel="correlation", xlim=(-6.5, 6.5), ylim=(0, 1.03))
    return fig, lags


def draw_views(trial):
    """Neck, and ankle relative to the neck, of all views of one trial over time."""
    fig, axes = plt.subplots(1, 3, figsize=(TWO_COLUMNS, 2.2))
    colours, rows = view_colours(trial.view.values), []
    for view in trial.view.values:
        one = trial.position.sel(view=view).isel(individuals=0)
        panels = {
            "x of neck": one.sel(keypoints="neck", space="x"),
            "y of neck": one.sel(keypoints="neck", space="y"),
            "x of ankle - neck": one.sel(keypoints="ankle", space="x") - one.sel(keypoints="neck", space="x"),
        }
        for axis, (title, values) in zip(axes, panels.items(), strict=True):
            axis.plot(trial.time, values, color=colours[view], label=f"{view}, {one.side.item()} leg")
            axis.set(title=title, xlabel="time (s)")
            rows.append(pd.DataFrame({"view": view, "what": title, "time_s": trial.time, "value": values}))
    axes[0].set_ylabel(trial.attrs["unit"])
    axes[0].legend()
    return fig, pd.concat(rows)


def draw_events(trial, events, true, body):
    """Distance of the ankle to the body with the events found on it.

    Parameters
    ----------
    trial : xarray.Dataset
    events : pandas.DataFrame
        Of this trial: view, event, time_s.
    true : dict of str to pandas.DataFrame
        True events by view; may be empty.
    body : str
        Keypoint that the distance is measured from.
    """
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 2.4))
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


def draw_curves(curves):
    """Mean and standard deviation over trials of every curve, by view.

    Parameters
    ----------
    curves : xarray.DataArray
        (participant, trial, view, keypoint, space, percent), or (..., joint, percent) for angles.
    """
    what = "keypoint" if "keypoint" in curves.dims else "joint"
    names, spaces = curves[what].values, curves.space.values if "space" in curves.dims else [None]
    size = (TWO_COLUMNS, 0.7 + 1.3 * len(spaces))
    fig, axes = plt.subplots(len(spaces), len(names), figsize=size, sharex=True, squeeze=False)
    colours, rows = view_colours(curves.view.values), []
    for row, space in enumerate(spaces):
        for axis, name in zip(axes[row], names, strict=True):
            panel = curves.sel({what: name} | ({"space": space} if space else {}))
            axis.set_title(f"{space} of {name}" if space else name)
            for view in curves.view.values:
                trials = panel.sel(view=view)
                mean, sd = (f(("participant", "trial")) for f in (trials.mean, trials.std))
                n = int(np.isfinite(trials).any("percent").sum())
                axis.plot(mean.percent, mean, color=colours[view], label=f"{view} (n = {n})")
                axis.fill_between(mean.percent, mean - sd, mean + sd, color=colours[view], alpha=0.2, linewidth=0)
                place = {"view": view, what: name, "space": space}
                rows.append(pd.DataFrame({**place, "percent": mean.percent, "mean": mean, "sd": sd}))
        axes[row, 0].set_ylabel(curves.attrs["unit"])
    fig.legend(*axes[0, 0].get_legend_handles_labels(), ncols=len(colours), loc="outside upper right")
    _label_bottom(axes, "cycle (%)")
    return fig, pd.concat(rows).dropna(axis=1, how="all")


def draw_spatiotemporal(table, quantities):
    """Every recording's parameters by view; a line joins the views of one trial."""
    views = sorted(table["view"].unique())
    colours = view_colours(views)
    fig, axes = plt.subplots(1, len(quantities), figsize=(TWO_COLUMNS, 2.2))
    for axis, quantity in zip(axes, quantities, strict=True):
        wide = table.pivot_table(quantity, ["participant", "trial"], "view").reindex(columns=views)
        axis.plot(range(len(views)), wide.T, color="0.8", linewidth=0.6)
        for i, view in enumerate(views):
            axis.plot(np.full(len(wide), i), wide[view], "o", markersize=2.5, color=colours[view])
        axis.set_xticks(range(len(views)), views)
        axis.margins(x=0.3)
        axis.set_title(_with_unit(quantity), fontsize=7)
    return fig, table


def draw_event_errors(timing):
    """Histograms of event errors, by event and method."""
    fig, axes = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.2), sharey=True)
    for axis, kind in zip(axes, ("heel_strike", "toe_off"), strict=True):
        for method, colour in _METHOD_COLOURS.items():
            errors = timing.error_s[(timing.method == method) & (timing.event == kind)].dropna()
            axis.hist(errors, bins=np.arange(-0.2, 0.201, 0.01), color=colour, alpha=0.6, label=method)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set(xlabel="found - true (s)", title=kind.replace("_", " "))
    axes[0].set_ylabel("events")
    axes[0].legend()
    return fig, timing


def _with_unit(quantity):
    """ "stride_length_m" -> "stride length\\n(m)"."""
    for ending in ("steps_min", "percent", "m_s", "px_s", "s", "m", "px"):
        if quantity.endswith("_" + ending):
            unit = {"steps_min": "steps/min", "percent": "%", "m_s": "m/s", "px_s": "px/s"}.get(ending, ending)
            return f"{quantity[: -len(ending) - 1].replace('_', ' ')}\n({unit})"
    return quantity


def _label_bottom(axes, text):
    for axis in axes[-1]:
        axis.set_xlabel(text)
