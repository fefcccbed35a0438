"""Figures of errors against the truth and of the perspective effect's terms; each with the numbers that it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from studykit.plots.style import TWO_COLUMNS, view_colours
from studykit.truth.perspective import TERMS

# None of the colours of views.
TERM_COLOURS = dict(zip(TERMS, ("#CC79A7", "#56B4E9", "#E69F00", "#009E73", "#888888"), strict=True))
_QUANTILES = {0.01: "whislo", 0.25: "q1", 0.5: "med", 0.75: "q3", 0.99: "whishi"}


def draw_pixels(pixels, within_px):
    """Boxes of the keypoints' distances from the truth, by step and view; log scale.

    Parameters
    ----------
    pixels : pandas.DataFrame
        Rows of `known_truth.keypoint_errors` with step and view.
    within_px : float
        Drawn as a dotted line.
    """
    steps, views = pixels.step.unique(), sorted(pixels["view"].unique())
    keypoints = list(pixels.keypoint.unique())
    groups = pixels.groupby(["step", "view", "keypoint"]).distance
    table = pd.DataFrame({name: groups.quantile(q) for q, name in _QUANTILES.items()})
    fig, axes = plt.subplots(1, len(steps), figsize=(TWO_COLUMNS, 2.4), sharey=True, squeeze=False)
    for axis, step in zip(axes[0], steps, strict=True):
        for k, view in enumerate(views):
            boxes = table.loc[step, view].reindex(keypoints).to_dict("records")
            place = np.arange(len(keypoints)) + 0.36 * (k - (len(views) - 1) / 2)
            drawn = axis.bxp(boxes, place, widths=0.28, showfliers=False, patch_artist=True, manage_ticks=False)
            for box, median in zip(drawn["boxes"], drawn["medians"], strict=True):
                box.set(facecolor=view_colours(views)[view], alpha=0.5)
                median.set(color="black")
            drawn["boxes"][0].set_label(view)
        axis.axhline(within_px, color="0.4", linewidth=0.8, linestyle=":")
        axis.set_xticks(range(len(keypoints)), keypoints)
        axis.set_title(step)
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if t < 1.2 * table.whishi.max()]
    axes[0, 0].set(yscale="log", ylabel="distance from the truth (px)", ylim=(0.1, None))
    axes[0, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0, 0].minorticks_off()
    axes[0, 0].legend()
    return fig, table.reset_index()


def draw_events(events):
    """Histograms of event errors, by event and view."""
    views = sorted(events["view"].unique())
    kinds = list(events.event.unique())
    reach = max(0.06, float(events.error_s.abs().quantile(0.99)))
    fig, axes = plt.subplots(1, len(kinds), figsize=(TWO_COLUMNS, 2.0), sharey=True, squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        errors = [events.error_s[(events["view"] == view) & (events.event == kind)].dropna() for view in views]
        axis.hist(
            [e.clip(-reach, reach) for e in errors],
            np.linspace(-reach, reach, 25),
            color=[view_colours(views)[view] for view in views],
            label=[f"{view} (n = {len(e)})" for view, e in zip(views, errors, strict=True)],
        )
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set(xlabel="found - true (s)", title=kind.replace("_", " "))
        axis.legend()
    axes[0, 0].set_ylabel("events")
    return fig, events


def draw_angles(found, true):
    """Mean joint angles over the cycle by view, measured (lines) and true (dotted).

    Parameters
    ----------
    found, true : xarray.DataArray (participant, trial, view, joint, percent)
        deg
    """
    colours, rows = view_colours(found.view.values), []
    fig, axes = plt.subplots(1, found.sizes["joint"], figsize=(TWO_COLUMNS, 2.1))
    for axis, joint in zip(axes, found.joint.values, strict=True):
        for view in found.view.values:
            means = [a.sel(joint=joint, view=view).mean(["participant", "trial"]) for a in (found, true)]
            axis.plot(found.percent, means[0], color=colours[view], label=f"{view} measured")
            axis.plot(found.percent, means[1], color=colours[view], linestyle=":", label=f"{view} true")
            place = {"joint": joint, "view": view, "percent": found.percent}
            rows.append(pd.DataFrame(place | {"measured": means[0], "true": means[1]}))
        axis.set(title=joint, xlabel="gait cycle (%)")
    axes[0].set_ylabel("flexion (deg)")
    fig.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper center")
    return fig, pd.concat(rows)


def draw_beside_stenum(table):
    """Our mean absolute errors as shares of those of `known_truth.beside_stenum`; 1 is the dotted line."""
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.6 + 0.22 * len(table)))
    place = np.arange(len(table))[::-1]
    axis.hlines(place, 0, table.ratio, color="#56B4E9", linewidth=2)
    axis.plot(table.ratio, place, "o", color="#0072B2", markersize=4)
    for y, row in zip(place, table.itertuples(), strict=True):
        axis.annotate(f"{row.mae:.3g} / {row.stenum_2021:g}", (row.ratio, y), (5, -2.5), textcoords="offset points")
    axis.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    axis.set_yticks(
        place, [f"{row.quantity} ({row.unit})".replace("_", " ").replace("m s)", "m/s)") for row in table.itertuples()]
    )
    axis.set(xlim=(0, 1.15 * max(1.0, table.ratio.max())), xlabel="our mean absolute error / Stenum et al. 2021")
    return fig, table


def draw_terms(terms, unit):
    """Mean over participants of every term and of the measured difference, over the cycle.

    Parameters
    ----------
    terms : xarray.DataArray (term, participant, trial, keypoint, space, percent)
    unit : str
    """
    people = terms.mean("trial")
    means, whole = people.mean("participant"), people.sum("term", skipna=False).mean("participant")
    keypoints, rows = terms.keypoint.values, []
    size = (TWO_COLUMNS, 3.4)
    fig, axes = plt.subplots(2, len(keypoints), figsize=size, sharex=True, sharey="row", squeeze=False)
    for row, space in zip(axes, terms.space.values, strict=True):
        for axis, keypoint in zip(row, keypoints, strict=True):
            axis.axhline(0, color="0.8", linewidth=0.5, zorder=0)
            axis.plot(terms.percent, whole.sel(space=space, keypoint=keypoint), color="black", label="measured")
            for term in terms.term.values:
                curve = means.sel(term=term, space=space, keypoint=keypoint)
                axis.plot(terms.percent, curve, color=TERM_COLOURS[term], linewidth=0.9, label=term)
                place = {"keypoint": keypoint, "space": space, "term": term, "percent": terms.percent}
                rows.append(pd.DataFrame(place | {"mean": curve}))
            axis.set_title(f"{space} of {keypoint}")
        row[0].set_ylabel(f"difference ({unit})")
    for axis in axes[-1]:
        axis.set_xlabel("cycle (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, ncols=6, loc="outside upper center")
    return fig, pd.concat(rows)


def draw_sizes(sizes, unit):
    """Root mean squares of every term, by keypoint and axis; points are the measured difference.

    Parameters
    ----------
    sizes : pandas.DataFrame
        As from `perspective.term_sizes`.
    unit : str
    """
    keypoints, spaces = list(sizes.keypoint.unique()), list(sizes.space.unique())
    fig, axes = plt.subplots(1, len(spaces), figsize=(TWO_COLUMNS, 2.3), squeeze=False)
    for axis, space in zip(axes[0], spaces, strict=True):
        rows = sizes[sizes.space == space].set_index(["term", "keypoint"]).rms_participants
        for k, term in enumerate(TERMS):
            place = np.arange(len(keypoints)) + 0.15 * (k - 2)
            axis.bar(place, rows[term].reindex(keypoints), 0.14, color=TERM_COLOURS[term], label=term)
        whole = rows["measured difference"].reindex(keypoints)
        axis.plot(range(len(keypoints)), whole, "_", color="black", markersize=18, label="measured")
        axis.set_xticks(range(len(keypoints)), keypoints)
        axis.set_title(space)
    axes[0, 0].set_ylabel(f"root mean square ({unit})")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), ncols=6, loc="outside upper center")
    return fig, sizes


def draw_false_positive_rates(rates, alpha, tolerance=0.4):
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
    place = np.arange(len(rates))[::-1]
    for sound, colour, label in ((False, "#D55E00", "trials as subjects"), (True, "#009E73", "participants")):
        part = (rates.sound == sound).to_numpy()
        axis.hlines(place[part], 100 * rates.low[part], 100 * rates.high[part], color=colour, linewidth=2)
        axis.plot(100 * rates.rate[part], place[part], "o", color=colour, markersize=4, label=label)
    axis.axvspan(100 * alpha * (1 - tolerance), 100 * alpha * (1 + tolerance), color="0.9", zorder=0)
    axis.axvline(100 * alpha, color="0.4", linewidth=0.8, linestyle=":")
    axis.set_yticks(place, rates.test + ", " + rates.effect)
    axis.set_xlim(left=0)
    axis.set_xlabel("studies with a false positive (%)")
    axis.legend(loc="lower right")
    return fig, rates
