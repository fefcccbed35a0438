"""Figures of errors against the ground truth and of the perspective effect's terms, each with its numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr

from studykit.plots.style import TWO_COLUMNS, Drawn, study_grid, view_colours
from studykit.truth.perspective import TERMS

# None of the colours of views.
TERM_COLOURS = dict(zip(TERMS, ("#CC79A7", "#56B4E9", "#E69F00", "#009E73", "#888888"), strict=True))
_QUANTILES = {0.01: "whislo", 0.25: "q1", 0.5: "med", 0.75: "q3", 0.99: "whishi"}


def draw_pixels(pixels: pd.DataFrame, within_px: float) -> Drawn:
    """Boxes of the keypoints' distances from the truth, by step and view; log scale.

    Parameters
    ----------
    pixels : pandas.DataFrame
        Rows of `truth.keypoints.step_errors`.
    within_px : float
        Drawn as a dotted line.
    """
    groups = pixels.groupby(["step", "view", "keypoint"]).distance
    table = pd.DataFrame({name: groups.quantile(q) for q, name in _QUANTILES.items()})
    look = {"palette": view_colours(pixels["view"].unique()), "whis": (1, 99), "showfliers": False, "gap": 0.15}
    look |= {"hue": "view", "hue_order": list(look["palette"]), "linewidth": 0.8, "boxprops": {"alpha": 0.6}}
    grid = sns.catplot(pixels, kind="box", x="keypoint", y="distance", col="step", **look)
    grid.refline(y=within_px, color="0.4", linewidth=0.8, linestyle=":")
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if t < 1.2 * table.whishi.max()]
    grid.set(yscale="log", ylim=(0.1, None), yticks=ticks, yticklabels=[f"{tick:g}" for tick in ticks])
    grid.set_axis_labels("", "distance from the truth (px)")
    grid.axes[0, 0].minorticks_off()
    return study_grid(grid, 2.4), table.reset_index()


def draw_events(events: pd.DataFrame) -> Drawn:
    """Histograms of event errors, by event and view; errors beyond the axis count at its ends."""
    reach = max(0.06, float(events.error_s.abs().quantile(0.99)))
    counts = events.groupby("view").error_s.count()
    shown = events.assign(
        error_s=events.error_s.clip(-reach, reach),
        event=events.event.str.replace("_", " "),
        view=events["view"].map({view: f"{view} (n = {n})" for view, n in counts.items()}),
    )
    palette = dict(zip(sorted(shown["view"].unique()), view_colours(counts.index).values(), strict=True))
    look = {"bins": np.linspace(-reach, reach, 25), "multiple": "dodge", "alpha": 1, "edgecolor": "none"}
    grid = sns.displot(shown, x="error_s", col="event", hue="view", hue_order=list(palette), palette=palette, **look)
    grid.refline(x=0, color="black", linewidth=0.6, linestyle="-").set_axis_labels("detected - true (s)", "events")
    return study_grid(grid, 2.0), events


def draw_angles(found: xr.DataArray, true: xr.DataArray) -> Drawn:
    """Mean joint angles over the cycle by view, measured (lines) and true (dotted).

    Parameters
    ----------
    found, true : xarray.DataArray (participant, trial, view, joint, percent)
        deg
    """
    means = xr.Dataset({"measured": found, "true": true}).mean(["participant", "trial"])
    table = means.to_dataframe(dim_order=["joint", "view", "percent"]).reset_index()
    long = table.melt(["joint", "view", "percent"], var_name="which", value_name="flexion").dropna()
    long["curve"], colours = long["view"] + " " + long.which, view_colours(found.view.values)
    palette = {f"{view} {which}": colours[view] for view in colours for which in means}
    look = {"palette": palette, "hue_order": list(palette), "hue_kws": {"linestyle": ["-", ":"] * len(colours)}}
    grid = sns.FacetGrid(long, col="joint", col_order=found.joint.values, hue="curve", sharey=False, **look)
    grid.map(plt.plot, "percent", "flexion").add_legend(title="")
    grid.set_axis_labels("gait cycle (%)", "flexion (deg)")
    return study_grid(grid, 2.1), table


def draw_beside_stenum(table: pd.DataFrame) -> Drawn:
    """Our mean absolute errors as shares of those of `errors.beside_stenum`; 1 is the dotted line."""
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.6 + 0.22 * len(table)))
    names = (table.quantity + " (" + table.unit + ")").str.replace("_", " ").str.replace("m s)", "m/s)")
    sns.barplot(x=table.ratio, y=names, color="#56B4E9", width=0.5, saturation=1, ax=axis)
    texts = [f"{row.mae:.3g} / {row.stenum_2021:g}" for row in table.itertuples()]
    axis.bar_label(axis.containers[0], texts, padding=3) if texts else None
    axis.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    axis.set(xlim=(0, 1.15 * max([1.0, *table.ratio])), ylabel="")
    axis.set_xlabel("our mean absolute error / Stenum et al. 2021")
    return fig, table


def draw_terms(terms: xr.DataArray, unit: str) -> Drawn:
    """Mean over participants of every term and of the measured difference, over the cycle.

    Parameters
    ----------
    terms : xarray.DataArray (term, participant, trial, keypoint, space, percent)
    unit : str
    """
    people = terms.mean("trial")
    whole = people.sum("term", skipna=False).expand_dims(term=["measured"])
    curves = xr.concat([people, whole], "term").mean("participant")
    curves = curves.to_dataframe(name="mean", dim_order=["space", "keypoint", "term", "percent"]).reset_index()
    look = {"hue": "term", "palette": TERM_COLOURS | {"measured": "black"}, "sharey": "row"}
    grid = sns.FacetGrid(curves, row="space", col="keypoint", **look)
    grid.map(plt.plot, "percent", "mean", linewidth=0.9).add_legend(title="")
    grid.refline(y=0, color="0.8", linewidth=0.5, linestyle="-", zorder=0)
    grid.set_axis_labels("cycle (%)", f"difference ({unit})")
    data = curves.loc[curves.term != "measured", ["keypoint", "space", "term", "percent", "mean"]]
    return study_grid(grid, 3.4, titles="{row_name} of {col_name}"), data


def draw_sizes(sizes: pd.DataFrame, unit: str) -> Drawn:
    """Root mean squares of every term, by keypoint and axis; black marks are the measured difference.

    Parameters
    ----------
    sizes : pandas.DataFrame
        As from `perspective.term_sizes`.
    unit : str
    """
    places = {"x": "keypoint", "y": "rms_participants"}
    parts, whole = (sizes[(sizes.term == "measured difference") == measured] for measured in (False, True))
    look = {"hue": "term", "palette": TERM_COLOURS, "saturation": 1, "sharey": False}
    grid = sns.catplot(parts, kind="bar", col="space", **places, **look)
    for space, axis in grid.axes_dict.items():
        rows = whole[whole.space == space]
        axis.plot(rows.keypoint, rows.rms_participants, "_", color="black", markersize=18)
    grid.set_axis_labels("", f"root mean square ({unit})")
    return study_grid(grid, 2.3), sizes


def draw_false_positive_rates(rates: pd.DataFrame, alpha: float, tolerance: float = 0.4) -> Drawn:
    """Share of null studies in which each test is significant, with its 95 % interval.

    Parameters
    ----------
    rates : pandas.DataFrame
        As from `stats.calibration.false_positive_rates`.
    alpha : float
        The level of the tests, a line; `tolerance` (a share of it) to both sides is grey.
    tolerance : float
    """
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.7 + 0.24 * len(rates)))
    rates = rates.sort_values(["sound", "test", "effect"], ascending=[True, False, False])
    percent, place = 100 * rates[["low", "rate", "high"]], np.arange(len(rates))[::-1]
    for sound, colour, label in ((False, "#D55E00", "trials as subjects"), (True, "#009E73", "participants")):
        part = (rates.sound == sound).to_numpy()
        reach = percent[part].diff(axis=1).to_numpy()[:, 1:].T
        look = {"fmt": "o", "color": colour, "markersize": 4, "elinewidth": 2, "label": label}
        axis.errorbar(percent.rate[part], place[part], xerr=reach, **look)
    axis.axvspan(100 * alpha * (1 - tolerance), 100 * alpha * (1 + tolerance), color="0.9", zorder=0)
    axis.axvline(100 * alpha, color="0.4", linewidth=0.8, linestyle=":")
    axis.set_yticks(place, rates.test + ", " + rates.effect)
    axis.set(xlim=(0, None), xlabel="studies with a false positive (%)")
    axis.legend(loc="lower right")
    return fig, rates
