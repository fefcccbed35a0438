"""Published numbers beside ours."""

import matplotlib.pyplot as plt
import numpy as np

from studykit.papers.findings import _COUNTED, PAPERS
from studykit.plots.style import LIMB_COLOURS, TWO_COLUMNS


def draw_ratios(table):
    """Our numbers as multiples of the published ones; 1 is the dotted line.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `beside`; rows without a number of ours, and counts of people and parameters, are left out.

    Returns
    -------
    (matplotlib Figure, pandas.DataFrame)
        And what it shows.
    """
    table = table[(table.ratio > 0) & ~table.quantity.isin(_COUNTED)].reset_index(drop=True)
    colours = dict(zip(PAPERS, LIMB_COLOURS.values(), strict=True))
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.7 + 0.17 * len(table)))
    place = np.arange(len(table))[::-1]
    axis.hlines(place, 1, table.ratio, color=table.paper.map(colours), linewidth=1.5)
    for paper, part in table.groupby("paper"):
        axis.plot(part.ratio, place[part.index], "o", color=colours[paper], markersize=4, label=PAPERS[paper][0])
    axis.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    axis.set_yticks(place, [f"{row.quantity} ({row.unit})" if row.unit else row.quantity for row in table.itertuples()])
    axis.set(xscale="log", xlabel="ours / published", ylim=(-0.8, len(table) - 0.2))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(axis="x", color="0.92", linewidth=0.6)
    fig.legend(loc="outside upper center", ncols=3)
    return fig, table[["paper", "where", "quantity", "unit", "published", "ours", "ratio"]]
