"""Table 1 of thesis 002 beside ours."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats

from studykit.papers.published import printed

SAMPLE = "61 trials of 31 people (GPJATK, cameras C1 and C3)"
SUBJECTS = 61  # trials taken as subjects: the printed p of perspective follow from F with df (1, 60)
SIGNIFICANT = {"perspective": 5, "time": 12, "interaction": 1}  # of 12 curves, as the thesis counts in section 3


def implied_df(f: float, p: float, subjects: int = SUBJECTS) -> float:
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


def beside(ours: pd.DataFrame, effect: str) -> pd.DataFrame:
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
    paper = printed("table_1").query("effect == @effect").rename(columns={"F": "F (paper)", "p": "p (paper)"})
    paper["df (paper)"] = [_df(d, d * (SUBJECTS - 1)) for d in map(implied_df, paper["F (paper)"], paper["p (paper)"])]
    ours = ours[(ours.effect == effect) | (ours.refused != "")].drop(columns="effect")
    both = paper.drop(columns="effect").merge(ours, on=["keypoint", "space"], how="left")
    both["body part"] = both.space + "-value of " + both.keypoint
    both["df (ours)"] = list(map(_df, both.df1_gg, both.df2_gg))
    both = both.rename(columns={"F": "F (ours)", "p_gg": "p (ours)"})
    blocks = [f"{name} ({whose})" for whose in ("paper", "ours") for name in ("F", "df", "p")]
    return both[["body part", *blocks, "refused"]]


def _df(first, second):
    return f"{first:.2f}, {second:.1f}" if np.isfinite(first) else ""


def verdict(ours: pd.DataFrame, unit: str, alpha: float) -> str:
    """How many curves show each effect, in the thesis and here.

    Parameters
    ----------
    ours : pandas.DataFrame
        As from `anova.perspective_anova`.
    unit : str
        Who counts as a subject there: "trial" or "participant".
    alpha : float
    """
    counts = ours[ours.refused == ""].groupby("effect").significant.sum()
    told = [f"{name} {counts.get(name, 'not tested')} (paper {n} of 12)" for name, n in SIGNIFICANT.items()]
    n_curves = ours.groupby(["keypoint", "space"]).ngroups
    return f"Significant at {alpha:g}, of {n_curves} curves, ours with {unit}s as subjects: {'; '.join(told)}."


def table_1(reports: str | Path) -> pd.DataFrame:
    """Table 1 as notebook 44 left it in a folder of reports, led by the effect; without rows if it did not run."""
    paths = {name: Path(reports) / f"tables/44_perspective_anova/table_1_{name}.csv" for name in SIGNIFICANT}
    blocks = [pd.read_csv(path).assign(effect=name) for name, path in paths.items() if path.is_file()]
    if not blocks:
        return pd.DataFrame()
    table = pd.concat(blocks, ignore_index=True).drop(columns="refused")
    return table[["effect", *table.columns.drop("effect")]]
