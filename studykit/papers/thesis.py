"""Thesis 002's own results: Table 1, as printed.

Source: T. Hiemstra, Integrated 2D video-based analysis using DeepLabCut pose estimation, bachelor thesis, Radboud
University 2021 (paper 002), section 3, Table 1: two-way repeated-measures ANOVA of 61 trials of 31 people walking, from
the GPJATK data (Kwolek et al. 2019), cameras C1 and C3, alpha 0.05.
"""

import numpy as np
import pandas as pd
from scipy import optimize, stats

SUBJECTS = 61  # trials taken as subjects: the printed p of perspective follow from F with df (1, 60)
ALPHA = 0.05
SIGNIFICANT = {"perspective": 5, "time": 12, "interaction": 1}  # as the thesis counts them in section 3
FALSE_POSITIVES_PERCENT = {"knee": 0.9, "ankle": 1.2, "heel": 0.8, "toe": 1.6}  # section 2.4: labels on a wrong limb

_ROWS = """
ankle x 4.487041 0.038304  3453.72 8.18e-124 0.75 0.50
ankle y 0.000354 0.985057   902.65 5.38e-162 1.71 0.16
toe   x 6.231604 0.015314  3831.51 9.43e-117 0.88 0.44
toe   y 0.024829 0.875323  1273.57 2.87e-137 1.89 0.12
heel  x 3.033732 0.086675  3529.13 3.40e-118 0.57 0.62
heel  y 0.268083 0.606524   817.06 3.33e-131 0.94 0.42
knee  x 7.429682 0.008397  1538.61 4.29e-148 0.63 0.59
knee  y 0.019486 0.889449   341.31 2.73e-101 0.83 0.50
hip   x 4.077560 0.047930    73.14 3.04e-45  2.74 0.01
hip   y 0.260430 0.611698    13.75 9.88e-17  1.45 0.17
neck  x 5.124007 0.027226 10389.02 2.22e-130 0.79 0.48
neck  y 0.027377 0.869139    28.41 2.33e-28  2.57 0.10
"""


def table_1():
    """Table 1 of the thesis.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, effect (perspective, time, interaction), F, p; 36 rows in the printed order.
    """
    rows = []
    for line in _ROWS.split("\n")[1:-1]:
        keypoint, space, *numbers = line.split()
        for effect, f, p in zip(("perspective", "time", "interaction"), numbers[::2], numbers[1::2], strict=True):
            rows.append((keypoint, space, effect, float(f), float(p)))
    table = pd.DataFrame(rows, columns=["keypoint", "space", "effect", "F", "p"])
    return table.sort_values(
        "effect", key=lambda names: names.map({"perspective": 0, "time": 1}).fillna(2), kind="stable"
    )


def implied_df(f, p, subjects=SUBJECTS):
    """Numerator degrees of freedom that make p follow from F with df (d, d (subjects - 1)).

    Of the printed p of perspective it is 1; of time, 1.9 to 7.3: far below the number of samples of a cycle, so the
    thesis's p values are Greenhouse-Geisser corrected.

    Returns
    -------
    float
        The largest from 0.1 to 100, for p may rise and fall with d; NaN where there is none.
    """

    def gap(d):
        return stats.f.logsf(f, d, d * (subjects - 1)) - np.log(p)

    grid = np.geomspace(0.1, 100, 400)
    above = np.flatnonzero(np.diff(np.sign(gap(grid))))
    return optimize.brentq(gap, grid[above[-1]], grid[above[-1] + 1]) if len(above) else np.nan


def beside(ours, effect):
    """One block of Table 1: the paper's numbers and ours, row by row.

    Parameters
    ----------
    ours : pandas.DataFrame
        As from `anova.perspective_anova`.
    effect : str
        "perspective", "time" or "interaction".

    Returns
    -------
    pandas.DataFrame
        body part; F, df (implied by F and p) and p of the paper; F, df and p (Greenhouse-Geisser) of ours; refused.
    """
    paper = table_1()
    paper = paper[paper.effect == effect].rename(columns={"F": "F (paper)", "p": "p (paper)"})
    paper["df (paper)"] = [_df(d, d * (SUBJECTS - 1)) for d in map(implied_df, paper["F (paper)"], paper["p (paper)"])]
    ours = ours[(ours.effect == effect) | (ours.refused != "")].drop(columns="effect")
    both = paper.drop(columns="effect").merge(ours, on=["keypoint", "space"], how="left")
    both["body part"] = both.space + "-value of " + both.keypoint
    both["df (ours)"] = [_df(row.df1_gg, row.df2_gg) for row in both.itertuples()]
    both = both.rename(columns={"F": "F (ours)", "p_gg": "p (ours)"})
    blocks = [f"{name} ({whose})" for whose in ("paper", "ours") for name in ("F", "df", "p")]
    return both[["body part", *blocks, "refused"]]


def _df(first, second):
    return f"{first:.2f}, {second:.1f}" if np.isfinite(first) else ""
