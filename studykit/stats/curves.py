"""Where in the gait cycle the views differ: statistical parametric mapping of difference curves."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import spm1d
import xarray as xr
from spm1d import rft1d

from studykit.stats.subjects import Refused, as_curves, difference, every_curve, holm, in_how_many, p_text

METHODS = ("parametric", "permutation")
_PAIRED = ["n_subjects", "mean_difference", "t_max", "at_percent", "threshold", "p"]
_CLUSTER = ["from_percent", "to_percent", "peak_t", "p"]


def t_field(differences: np.ndarray) -> np.ndarray:
    """One-sample t at every percent, for one set of differences or for a stack of them.

    Parameters
    ----------
    differences : ndarray (..., subject, percent)

    Returns
    -------
    ndarray (..., percent)
        0 where the difference is 0 in all subjects.
    """
    mean, error = differences.mean(-2), differences.std(-2, ddof=1) / np.sqrt(differences.shape[-2])
    return np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)


def random_field(differences: np.ndarray) -> tuple[Any, float]:
    """SPM of differences: its t field, and p of the largest |t| by random field theory.

    p is the chance of so high a peak anywhere in null curves as smooth as these, two-sided (Pataky 2010, spm1d).

    Parameters
    ----------
    differences : ndarray (subject, percent)
        With some spread at every percent.

    Returns
    -------
    spm : spm1d's t field
        For its `inference`: threshold and clusters.
    p : float
    """
    spm = spm1d.stats.ttest(differences)
    p = 2 * rft1d.t.sf(np.abs(spm.z).max(), spm.df[1], differences.shape[1], spm.fwhm, withBonf=True)
    return spm, float(min(1, p))


def sign_flips(n: int, permutations: int, seed: int) -> np.ndarray:
    """Signs that an exchange of the two views gives to each subject's difference.

    All 2^(n-1) distinct exchanges if there are no more than asked for, otherwise random ones; first the data's own.

    Returns
    -------
    ndarray (flips, n) of +1 and -1
    """
    if 2 ** (n - 1) <= permutations:
        return np.array([(1.0, *signs) for signs in itertools.product((1.0, -1.0), repeat=n - 1)])
    flips = np.random.default_rng([seed, n]).choice((1.0, -1.0), (permutations, n))
    flips[0] = 1
    return flips


def flipped_peaks(differences: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Largest |t| over the cycle under each exchange of views.

    The sum of squares does not depend on the signs, so one matrix product gives every t field.

    Parameters
    ----------
    differences : ndarray (subject, percent)
    flips : ndarray (flips, subject)

    Returns
    -------
    ndarray (flips,)
    """
    n = len(differences)
    mean = flips @ differences / n
    variance = ((differences**2).sum(0) / n - mean**2) * n / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nanmax(np.abs(mean) / np.sqrt(np.maximum(variance, 0) / n), axis=1)


def paired_t(
    selected: xr.DataArray, method: str = "parametric", alpha: float = 0.05, permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """SPM paired t between two views of one curve.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Participant means, as from `subjects.select`.
    method : str
        "parametric": random field theory; "permutation": exchange of the views within participants, which assumes
        neither normal nor smooth curves.
    alpha : float
    permutations : int
        At most so many exchanges; all of them if there are fewer.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row: n_subjects, mean_difference (over the cycle), t_max, at_percent, threshold, p (all over the cycle).

    Raises
    ------
    Refused
        If there are too few subjects for the smallest p to fall below alpha, or no spread.
    """
    differences, percent = _varying(selected)
    t = t_field(differences)
    peak = int(np.abs(t).argmax())
    if method == "permutation":
        threshold, p = judged(flipped_peaks(differences, exchanges(differences, alpha, permutations, seed)), alpha)
    else:
        spm, p = random_field(differences)
        threshold = float(spm.inference(alpha, two_tailed=True).zstar)
    row = (len(differences), differences.mean(), t[peak], percent[peak], threshold, p)
    return pd.DataFrame([row], columns=_PAIRED)


def _varying(selected):
    """Differences and percents, without those percents at which every subject has the same difference."""
    differences = difference(selected)
    spread = differences.std(0)
    keep = spread > 1e-9 * spread.max()
    return differences[:, keep], selected.percent.values[keep].astype(float)


def exchanges(differences: np.ndarray, alpha: float, permutations: int, seed: int) -> np.ndarray:
    """`sign_flips` for these subjects; refused if so few of them cannot give a p of alpha."""
    n = len(differences)
    smallest = max(1 / 2 ** (n - 1), 1 / permutations)
    if smallest > alpha:
        raise Refused(
            f"{n} participants and {permutations} permutations allow no p below {smallest:g}, and alpha is {alpha:g}"
        )
    return sign_flips(n, permutations, seed)


def share_as_high(peaks: np.ndarray, peak: float) -> float:
    """p by permutation: the share of peaks that reach this one; the data's own is among them."""
    return float(np.mean(peaks >= peak * (1 - 1e-9)))


def judged(peaks: np.ndarray, alpha: float) -> tuple[float, float]:
    """Smallest threshold that a share alpha of the peaks or fewer exceeds, and p of the first, the data's own."""
    return np.sort(peaks)[-1 - int(np.floor(alpha * len(peaks)))], share_as_high(peaks, peaks[0])


def clusters(
    selected: xr.DataArray, method: str = "parametric", alpha: float = 0.05, permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Stretches of the cycle in which the views differ.

    Parameters
    ----------
    selected, method, alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        method, from_percent, to_percent, peak_t, p; empty if |t| stays below the threshold. The parametric p is the
        chance of a cluster of this extent (spm1d); the one by permutation is the chance of a peak as high.
    """
    differences, percent = _varying(selected)
    t = t_field(differences)
    rows = []
    if method == "permutation":
        peaks = flipped_peaks(differences, exchanges(differences, alpha, permutations, seed))
        above = np.flatnonzero(np.abs(t) > judged(peaks, alpha)[0])
        for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else ():
            peak = t[run][np.abs(t[run]).argmax()]
            rows.append((percent[run[0]], percent[run[-1]], peak, share_as_high(peaks, abs(peak))))
    else:
        for cluster in random_field(differences)[0].inference(alpha, two_tailed=True).clusters:
            start, end = cluster.endpoints  # between samples, where |t| crosses the threshold
            inside = t[int(np.ceil(start)) : int(np.floor(end)) + 1]
            limits = np.interp((start, end), np.arange(len(percent)), percent)
            rows.append((*limits, inside[np.abs(inside).argmax()], float(cluster.P)))
    return pd.DataFrame(rows, columns=_CLUSTER)


def paired_t_table(curves: xr.DataArray, alpha: float = 0.05, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """SPM paired t of every keypoint and axis, by both methods, with Holm's correction over the curves.

    Parameters
    ----------
    curves : xarray.DataArray
    alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, n_subjects, mean_difference, t_max, at_percent, threshold, p, p_holm, significant
        (after Holm), refused.
    """
    options = {"alpha": alpha, "permutations": permutations, "seed": seed}
    return by_both_methods(curves, paired_t, _PAIRED, ["method"], **options)


def cluster_table(curves: xr.DataArray, alpha: float = 0.05, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Clusters of every keypoint and axis, by both methods; alpha holds for each curve on its own.

    Parameters
    ----------
    curves : xarray.DataArray
    alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, from_percent, to_percent, peak_t, p, refused.
    """
    return by_both_methods(curves, clusters, _CLUSTER, alpha=alpha, permutations=permutations, seed=seed)


def by_both_methods(
    curves: xr.DataArray, test: Callable, columns: list[str], families: Sequence[str] = (), **options
) -> pd.DataFrame:
    """`every_curve` with a column `method`: parametric, then by permutation.

    With `families`, columns whose p values are corrected together, `p_holm` and `significant` follow after `p`.
    """
    tables = {name: every_curve(curves, test, columns, method=name, **options) for name in METHODS}
    table = pd.concat(tables, names=["method"]).reset_index("method").reset_index(drop=True)
    table.insert(2, "method", table.pop("method"))
    if families:
        at = table.columns.get_loc("p") + 1
        table.insert(at, "p_holm", holm(table, "p", by=families))
        table.insert(at + 1, "significant", table.p_holm < options["alpha"])
    return table


def mean_curves(curves: xr.DataArray) -> pd.DataFrame:
    """Mean and spread over participants of every curve, and of the difference between the views (Figure 2).

    Parameters
    ----------
    curves : xarray.DataArray
        Participants' trials are averaged first; any number of participants from one.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, view (a view's name, or "A - B"), percent, mean, sd (NaN for one participant), n.
    """
    people = as_curves(curves).mean("trial")
    views = people.view.values.tolist()
    if len(views) == 2:
        change = people.isel(view=0, drop=True) - people.isel(view=1, drop=True)
        people = xr.concat([people, change.expand_dims(view=[" - ".join(views)])], "view")
    columns = {"mean": people.mean("participant"), "sd": people.std("participant", ddof=1)}
    table = xr.Dataset(columns | {"n": people.count("participant")}).to_dataframe().reset_index()
    table = table[["keypoint", "space", "view", "percent", "mean", "sd", "n"]]
    return table[table.n > 0].reset_index(drop=True)


def verdict(table: pd.DataFrame, clusters: pd.DataFrame) -> str:
    """What the curve tests say, in words.

    Parameters
    ----------
    table, clusters : pandas.DataFrame
        From `paired_t_table` and `cluster_table`.

    Returns
    -------
    str
    """
    sentences = []
    for method, rows in table.groupby("method", sort=False):
        finds = f"SPM ({method}) finds a difference between the views somewhere in the cycle"
        sentences.append(in_how_many(rows, finds, f"No SPM ({method})"))
        here = clusters[(clusters.method == method) & clusters.peak_t.notna()]
        if len(here):
            where = here.loc[(here.to_percent - here.from_percent).idxmax()]
            sentences.append(
                f"The longest stretch is {where.from_percent:.0f} to {where.to_percent:.0f} % of the cycle in "
                f"{where.space} of {where.keypoint} ({p_text(where.p)} before Holm)."
            )
    return " ".join(sentences)
