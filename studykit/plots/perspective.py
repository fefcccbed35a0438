"""Figures of the perspective effect; each comes with the numbers that it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studykit.plots.style import TWO_COLUMNS, study_grid, view_colours
from studykit.wording import label

_NAVY, _SKY, _ORANGE, _FOUND = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
_CLUSTER_HEIGHT = {"permutation": 0.03, "parametric": 0.09}  # share of the axis


def draw_band(axis: Axes, rows: pd.DataFrame, colour: str, name: str | None = None) -> None:
    """A curve over the cycle within its band: columns percent, mean, low, high."""
    axis.plot(rows.percent, rows["mean"], color=colour, label=name)
    axis.fill_between(rows.percent, rows.low, rows.high, color=colour, alpha=0.2, linewidth=0)


def draw_margin(axis: Axes, margin: float) -> None:
    """Dotted lines at a margin on both sides of zero, and a thin one at zero."""
    axis.axhline(0, color="0.7", linewidth=0.5, zorder=0)
    for side in (-margin, margin):
        axis.axhline(side, color="0.4", linewidth=0.8, linestyle=":")


def _panels(rows: pd.DataFrame, unit: str, **options) -> tuple[sns.FacetGrid, Figure]:
    """A panel per curve, x before y, with the rows of `draw_band` in it."""
    rows = rows.assign(panel=rows.space + " of " + rows.keypoint)
    order = [f"{space} of {keypoint}" for space in rows.space.unique() for keypoint in rows.keypoint.unique()]
    grid = sns.FacetGrid(rows, col="panel", col_order=order, col_wrap=3, sharey=False, **options)
    colour = None if "hue" in options else "0.2"
    grid.map_dataframe(lambda data, color, label=None, **_: draw_band(plt.gca(), data, colour or color, label))
    grid.set_axis_labels("gait cycle (%)", unit)
    return grid, study_grid(grid, 1.35 * -(-len(order) // 3))


def draw_cycles(means: pd.DataFrame, views: list[str], unit: str) -> tuple[Figure, pd.DataFrame] | None:
    """Mean curves of every view, with a band of one standard deviation between participants (thesis 002, Figure 2).

    None if there are no curves.

    Parameters
    ----------
    means : pandas.DataFrame
        As from `curves.mean_curves`.
    views : list of str
    unit : str
        Of the curves.
    """
    data = means[means["view"].isin(views)]
    if data.empty:
        return None
    rows = data.assign(low=data["mean"] - data.sd, high=data["mean"] + data.sd)
    grid, fig = _panels(rows, unit, hue="view", palette=view_colours(views))
    next(iter(grid.axes_dict.values())).legend()
    return fig, data


def draw_differences(
    means: pd.DataFrame, views: list[str], band: pd.DataFrame, clusters: pd.DataFrame, delta: float, unit: str
) -> tuple[Figure, pd.DataFrame]:
    """Mean difference between the views with its confidence band, the margin of equivalence, and clusters below.

    Parameters
    ----------
    means : pandas.DataFrame
        As from `curves.mean_curves`.
    views : list of str
    band, clusters : pandas.DataFrame
        As from `agreement.equivalence_table` and `curves.cluster_table`; a curve whose test was refused has no band.
    delta : float
        The margin, in the unit of the curves.
    unit : str
    """
    keys = ["keypoint", "space", "percent"]
    rows = means[~means["view"].isin(views)].merge(band[[*keys, "low", "high"]], how="left", on=keys)
    refused = band.loc[band.refused != "", ["keypoint", "space"]]  # their panels stay, even without a curve
    grid, fig = _panels(pd.concat([rows, refused], ignore_index=True), unit)
    for axis in grid.axes.flat:
        draw_margin(axis, delta)
        axis.margins(y=0.16)  # room for the clusters
    for row in clusters[clusters.peak_t.notna()].itertuples():
        axis, height = grid.axes_dict[f"{row.space} of {row.keypoint}"], _CLUSTER_HEIGHT[row.method]
        style = {"transform": axis.get_xaxis_transform(), "color": _FOUND, "linewidth": 2}
        axis.plot([row.from_percent, row.to_percent], [height, height], **style)
    return fig, band


def draw_agreement(agreed: pd.DataFrame, views: list[str], delta: float, unit: str) -> tuple[Figure, pd.DataFrame]:
    """Bias between the views with its confidence interval, limits of agreement, and the margin of equivalence.

    Parameters
    ----------
    agreed : pandas.DataFrame
        As from `agreement.agreement_table`.
    views : list of str
    delta : float
    unit : str
        Of the curves.
    """
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    place = np.arange(len(agreed))
    axis.vlines(place, agreed.loa_lower, agreed.loa_upper, color=_SKY, label="95 % limits, one trial", linewidth=5)
    axis.vlines(place, agreed.bias_low, agreed.bias_high, color=_NAVY, label="95 % CI of the bias", linewidth=5)
    axis.plot(place, agreed.bias, "o", color="black", markersize=3, label="bias")
    draw_margin(axis, delta)
    axis.set_xticks(place, agreed.space + " of " + agreed.keypoint, rotation=45, ha="right")
    _say_if_empty(axis, agreed.loa_lower, "no limits: see the table")
    axis.set_ylabel(f"{' - '.join(views)} ({unit})")
    axis.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return fig, agreed


def draw_mixed_models(models: pd.DataFrame, views: list[str]) -> tuple[Figure, pd.DataFrame]:
    """Difference between the views of every quantity, % of its mean, with the intervals of model and bootstrap.

    Parameters
    ----------
    models : pandas.DataFrame
        As from `mixed.mixed_table`; refused quantities are left out.
    views : list of str
    """
    models = models[models.refused == ""]
    percent = models[["difference", "low", "high", "boot_low", "boot_high"]].mul(100 / models["mean"].abs(), axis=0)
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.5 + 0.25 * max(len(models), 2)))
    place = np.arange(len(models))
    axis.hlines(place + 0.12, percent.low, percent.high, color=_NAVY, label="95 %, mixed model")
    axis.hlines(place - 0.12, percent.boot_low, percent.boot_high, color=_ORANGE, label="95 %, bootstrap")
    axis.plot(percent.difference, place, "o", color="black", markersize=3)
    axis.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    axis.set_yticks(place, models.quantity.map(label))
    _say_if_empty(axis, percent.difference, "no model: see the table")
    axis.set_xlabel(f"{' - '.join(views)}, % of the mean")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return fig, percent.assign(quantity=models.quantity)


def _say_if_empty(axis: Axes, values: pd.Series, why: str) -> None:
    if not values.notna().any():
        axis.text(0.5, 0.5, why, transform=axis.transAxes)
