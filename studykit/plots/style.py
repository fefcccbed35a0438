"""One look for every figure of the study: sizes, colours, widths."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from seaborn.axisgrid import Grid

Drawn = tuple[Figure, pd.DataFrame]  # a figure, and the numbers that it shows
ONE_COLUMN = 3.5  # width of one column, inches
TWO_COLUMNS = 7.2  # width of two columns, inches

# Okabe & Ito 2008: distinguishable with any colour vision.
_BLUE, _VERMILLION, _GREEN, _PURPLE = VIEW_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_ORANGE, _SKY, _BLACK, _YELLOW = ("#E69F00", "#56B4E9", "#000000", "#F0E442")
LIMB_COLOURS = {"neck": _BLACK, "hip": _PURPLE, "knee": _GREEN, "ankle": _ORANGE, "heel": _SKY, "toe": _BLUE}
_CYCLE = mpl.cycler(color=[*VIEW_COLOURS, _ORANGE, _SKY, _BLACK, _YELLOW])
_STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "image.cmap": "viridis",
    "svg.hashsalt": "studykit",  # the same figure gives the same file
    "svg.fonttype": "none",
    "axes.prop_cycle": _CYCLE,  # seaborn takes its colours from here, too
}
mpl.rcParams.update(_STYLE)
warnings.filterwarnings("ignore", "The figure layout has changed to tight")  # seaborn's; `study_grid` mends it


def study_grid(grid: "Grid", height: float, *, width: float = TWO_COLUMNS, titles: str = "{col_name}") -> Figure:
    """The figure of a seaborn grid (`relplot`, `catplot`, `FacetGrid`) in the study's size, titles and layout.

    Parameters
    ----------
    grid : seaborn Grid
    height, width : float
        Of the whole figure, inches.
    titles : str
        Of the panels, as `FacetGrid.set_titles` takes it; "" for none.
    """
    fig = grid.figure
    fig.set_size_inches(width, height)
    fig.set_layout_engine("constrained")
    if hasattr(grid, "set_titles"):
        grid.set_titles(titles)
    if grid.legend is not None:
        grid.legend.set_loc("outside right center")
    return fig


def epoch_axis(ax: Axes, history: pd.DataFrame) -> None:
    """The x axis of a training, from the start to the last epoch, whole epochs only."""
    ax.set(xlabel="epoch", xlim=(0, 1.03 * history.epoch.max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def view_colours(views: Iterable[str]) -> dict[str, str]:
    """Colours by view name, the same in every figure.

    Parameters
    ----------
    views : sequence of str
        View names; they are sorted, so C1 has the first colour everywhere.

    Returns
    -------
    dict of str to str
    """
    return dict(zip(sorted(views), VIEW_COLOURS, strict=False))


def keypoint_colour(keypoint: str, neither: str = "black") -> str:
    """Blue for a keypoint of the person's own left, red for one of the right; of gait6, each its own."""
    sides = {"left": VIEW_COLOURS[0], "right": VIEW_COLOURS[1]}
    return sides.get(keypoint.partition("_")[0]) or LIMB_COLOURS.get(keypoint, neither)


def picture_grid(count: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
    """A figure with room for pictures, each row of `height` inches, and its axes (count,), without their frames."""
    rows = -(-count // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(TWO_COLUMNS, height * rows), squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    return fig, axes.ravel()[:count]


def show_picture(ax: Axes, image: np.ndarray, title: str = "", *, fontsize: float = 6, **options) -> None:
    """A picture that fills its axes, whatever is drawn on it later; options are those of `imshow`."""
    ax.imshow(image, **options)
    ax.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    ax.set_title(title, fontsize=fontsize)
