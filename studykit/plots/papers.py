"""Published numbers beside ours."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from studykit.papers.findings import COUNTED
from studykit.papers.published import printed
from studykit.plots.style import LIMB_COLOURS, TWO_COLUMNS


def draw_ratios(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame] | None:
    """Our numbers as multiples of the published ones; 1 is the dotted line. None if there are none.

    Parameters
    ----------
    table : pandas.DataFrame
        As from `findings.beside`; rows without a number of ours, and counts of people and parameters, are left out.
    """
    table = table[(table.ratio > 0) & ~table.quantity.isin(COUNTED)].reset_index(drop=True)
    if table.empty:
        return None
    authors = printed("papers").set_index("paper").authors
    colours = dict(zip(authors, LIMB_COLOURS.values(), strict=True))
    shown = table.assign(
        authors=table.paper.map(authors), what=table.quantity + (" (" + table.unit + ")").replace(" ()", "")
    )
    fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 0.7 + 0.17 * len(table)))
    axis.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    axis.hlines(np.arange(len(table)), 1, table.ratio, color=shown.authors.map(colours), linewidth=1.5)
    sns.stripplot(
        shown, x="ratio", y="what", hue="authors", palette=colours, jitter=False, size=4, legend="full", ax=axis
    )
    axis.set(xscale="log", xlabel="ours / published", ylabel="")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(axis="x", color="0.92", linewidth=0.6)
    axis.get_legend().remove()
    fig.legend(loc="outside upper center", ncols=3)
    return fig, table[["paper", "where", "quantity", "unit", "published", "ours", "ratio"]]
