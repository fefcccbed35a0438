"""Figures of stills: people with their joints and masks, scenes, what is seen of which joint.

Each function returns a Matplotlib figure and the table of what it shows. The person's left is blue, the right red.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from studykit.plots.skeletons import draw_outline, draw_skeleton
from studykit.plots.style import TWO_COLUMNS, VIEW_COLOURS, picture_grid, show_picture

_SEEN = {"seen": VIEW_COLOURS[0], "occluded": VIEW_COLOURS[3], "unknown or outside": "0.85"}


def draw_stills(pictures, keypoints, *, columns=6, titles=None):
    """Pictures with everyone's joints (hollow where occluded), limbs and outline of the mask.

    Parameters
    ----------
    pictures : sequence of lists of Still
        Those who share a picture.
    keypoints : sequence of str
    columns : int
    titles : sequence of str, optional
        Else the scene, or the participant.
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


def draw_visibility(shares):
    """How often each joint is seen, occluded, or not in the picture.

    Parameters
    ----------
    shares : pandas.DataFrame
        From `visibility_shares`.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    left = np.zeros(len(shares))
    for name, colour in _SEEN.items():
        ax.bar(shares.keypoint, 100 * shares[name], bottom=left, color=colour, width=0.8, label=name)
        left += 100 * shares[name]
    ax.set_xticks(range(len(shares)), shares.keypoint.str.replace("_", " "), rotation=60, ha="right", fontsize=6)
    ax.set(ylabel="people, %", ylim=(0, 100), xlim=(-0.6, len(shares) - 0.4))
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return fig, shares


def visibility_shares(table, keypoints):
    """Share of people in whom each keypoint is seen, occluded, unknown or outside the picture.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `still_files.save_stills`.
    keypoints : sequence of str

    Returns
    -------
    pandas.DataFrame
        keypoint, seen, occluded, unknown or outside.
    """
    levels = {"seen": 2, "occluded": 1, "unknown or outside": 0}
    rows = [(name, *((table[f"{name}_v"] == level).mean() for level in levels.values())) for name in keypoints]
    return pd.DataFrame(rows, columns=["keypoint", *levels])


def draw_sizes(heights):
    """How tall the people are in their pictures.

    Parameters
    ----------
    heights : dict of str to ndarray
        Heights of boxes, px, by kind of picture.
    """
    fig, ax = plt.subplots(figsize=(TWO_COLUMNS * 0.6, 2.0))
    edges = np.linspace(0, max(values.max() for values in heights.values()), 31)
    rows = []
    for (name, values), colour in zip(heights.items(), VIEW_COLOURS, strict=False):
        counts, _ = np.histogram(values, edges)
        ax.stairs(counts / len(values) * 100, edges, color=colour, label=f"{name} (n = {len(values)})")
        rows += [(name, *row) for row in zip(edges[:-1], edges[1:], counts, strict=True)]
    ax.set(xlabel="height of the person's box, px", ylabel="people, %")
    ax.legend()
    return fig, pd.DataFrame(rows, columns=["pictures", "from_px", "to_px", "people"])
