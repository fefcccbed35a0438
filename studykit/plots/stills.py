"""Figures of stills: people with their joints and masks, scenes, what is seen of which joint.

Each function returns a Matplotlib figure and the table of what it shows. The person's left is blue, the right red.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from studykit.plots.skeletons import draw_outline, draw_skeleton
from studykit.plots.style import TWO_COLUMNS, VIEW_COLOURS, Drawn, picture_grid, show_picture
from studykit.pose.examples.augmentation import Augmentation
from studykit.stills import Still, StillSet

_SEEN = {"seen": VIEW_COLOURS[0], "occluded": VIEW_COLOURS[3], "unknown or outside": "0.85"}


def draw_stills(
    pictures: Sequence[Sequence[Still]], keypoints: Sequence[str], *, columns: int = 6, titles: Sequence[str] = ()
) -> Drawn:
    """Pictures with everyone's joints (hollow where occluded), limbs and outline of the mask.

    Parameters
    ----------
    pictures : sequence of lists of Still
        Those who share a picture.
    keypoints : sequence of str
    columns : int
    titles : sequence of str, optional
        The scene, or the participant, if not given.
    """
    fig, axes = picture_grid(len(pictures), columns, TWO_COLUMNS / columns + 0.15)
    titles = titles or [people[0].scene or people[0].participant for people in pictures]
    table = []
    for ax, people, title in zip(axes, pictures, titles, strict=True):
        show_picture(ax, people[0].image, title, fontsize=5.5)
        for person in people:
            draw_outline(ax, person.mask)
            draw_skeleton(ax, person.keypoints, keypoints, occluded=person.keypoints[:, 2] == 1, size=2, width=0.8)
            table += [(person.source, n, *point) for n, point in zip(keypoints, person.keypoints, strict=True)]
    return fig, pd.DataFrame(table, columns=["source", "keypoint", "x_px", "y_px", "visibility"])


def draw_some(stills: StillSet, count: int = 18) -> Drawn:
    """Some people of a set, evenly spaced."""
    chosen = np.linspace(0, len(stills) - 1, min(count, len(stills))).astype(int)
    return draw_stills([[stills[int(i)]] for i in chosen], stills.keypoints)


def draw_scenes(stills: StillSet, count: int = 8) -> Drawn | str:
    """The first pictures of a set that show several people; a sentence where there are none."""
    groups = [group for group in stills.by_scene() if len(group) > 1][:count]
    if not groups:
        return "These data have no scenes of several people."
    return draw_stills([[stills[i] for i in group] for group in groups], stills.keypoints, columns=4)


def draw_augmentation(stills: StillSet, size_px: int, seed: int) -> Drawn:
    """What networks may see of one still: joints may leave the picture (upper row), or all stay in it (lower row)."""
    rng = np.random.default_rng(seed)
    size = {"width": size_px // 2, "height": size_px // 2, "scale": (0.4, 0.9), "rotation_deg": 30, "flip": 0.5}
    ways = [Augmentation(**size, keep_person=keep, shift=0.2) for keep in (False, True) for _ in range(6)]
    versions = [[way(stills[0], stills.keypoints, rng)] for way in ways]
    return draw_stills(versions, stills.keypoints, titles=["may lose joints"] * 6 + ["keeps the person"] * 6)


def draw_visibility(visibility: pd.DataFrame) -> Drawn:
    """How often each joint of people alone in their picture is seen, occluded, or not in it.

    Parameters
    ----------
    visibility : pandas.DataFrame
        From `datasets.stills.visibility_table`.
    """
    shares = visibility[visibility.pictures == "people"].drop(columns="pictures")
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    (100 * shares.set_index("keypoint")).plot.bar(stacked=True, color=_SEEN, width=0.8, ax=ax)
    ax.set_xticks(range(len(shares)), shares.keypoint.str.replace("_", " "), rotation=60, ha="right", fontsize=6)
    ax.set(xlabel="", ylabel="people, %", ylim=(0, 100))
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return fig, shares


def draw_sizes(everybody: pd.DataFrame) -> Drawn:
    """How tall the people are in their pictures, by kind of picture.

    Parameters
    ----------
    everybody : pandas.DataFrame
        From `datasets.stills.stills_of`.
    """
    known = everybody.dropna(subset="box_height")
    known = known.assign(pictures=known.kind + known.groupby("kind").kind.transform(lambda k: f" (n = {len(k)})"))
    edges = np.linspace(0, known.box_height.max(), 31)
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS * 0.6, 2.0))
    options = {"bins": edges, "stat": "percent", "common_norm": False, "element": "step", "fill": False}
    sns.histplot(known, x="box_height", hue="pictures", ax=ax, **options)
    ax.set(xlabel="height of the person's box, px", ylabel="people, %")
    ax.get_legend().set_title("")
    counts = known.groupby("kind").box_height.apply(lambda heights: np.histogram(heights, edges)[0])
    rows = [(kind, *row) for kind, number in counts.items() for row in zip(edges[:-1], edges[1:], number, strict=True)]
    return fig, pd.DataFrame(rows, columns=["pictures", "from_px", "to_px", "people"])
