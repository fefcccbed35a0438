"""Where in the gait cycle the views differ: statistical parametric mapping of difference curves."""

import itertools

import numpy as np
import pandas as pd
import spm1d
import xarray as xr
from spm1d import rft1d

from studykit.stats.subjects import Refused, as_curves, difference, every_curve, holm, p_text, refusals


def t_field(differences):
    """One-sample t at every percent, for one set of differences or for a stack of them.

    Parameters
    ----------
    differences : ndarray (..., subject, percent)

    Returns
    -------
    ndarray (..., percent)
        0 where all subjects have the difference 0.
    """
    mean, error = differences.mean(-2), differences.std(-2, ddof=1) / np.sqrt(differences.shape[-2])
    return np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)


def random_field(differences):
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


def sign_flips(n, permutations, seed):
    """Signs that an exchange of the two views gives to each subject's difference.

    All 2^(n-1) distinct exchanges if there are no more than asked for, else random ones; the first is the data's own.

    Returns
    -------
    ndarray (flips, n) of +1 and -1
    """
    if 2 ** (n - 1) <= permutations:
        rest = itertools.product((1.0, -1.0), repeat=n - 1)
        return np.array([(1.0, *signs) for signs in rest])
    flips = np.random.default_rng([seed, n]).choice((1.0, -1.0), (permutations, n))
    flips[0] = 1
    return flips


def flipped_peaks(differences, flips):
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


def paired_t(selected, method="parametric", alpha=0.05, permutations=1000, seed=0):
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
        peaks = flipped_peaks(differences, exchanges(differences, alpha, permutations, seed))
        threshold, p = upper_quantile(peaks, alpha), share_as_high(peaks, peaks[0])
    else:
        spm, p = random_field(differences)
        threshold = float(spm.inference(alpha, two_tailed=True).zstar)
    row = {
        "n_subjects": len(differences),
        "mean_difference": differences.mean(),
        "t_max": t[peak],
        "at_percent": percent[peak],
        "threshold": threshold,
        "p": p,
    }
    return pd.DataFrame([row])


def _varying(selected):
    """Differences and percents, without those percents at which every subject has the same difference."""
    differences = difference(selected)
    spread = differences.std(0)
    keep = spread > 1e-9 * spread.max()
    return differences[:, keep], selected.percent.values[keep].astype(float)


def exchanges(differences, alpha, permutations, seed):
    """`sign_flips` for these subjects; refused if so few of them cannot give a p of alpha."""
    n = len(differences)
    smallest = max(1 / 2 ** (n - 1), 1 / permutations)
    if smallest > alpha:
        raise Refused(
            f"{n} participants and {permutations} permutations allow no p below {smallest:g}, and alpha is {alpha:g}"
        )
    return sign_flips(n, permutations, seed)


def share_as_high(peaks, peak):
    """p by permutation: the share of peaks that reach this one; the data's own is among them."""
    return float(np.mean(peaks >= peak * (1 - 1e-9)))


def upper_quantile(peaks, alpha):
    """Smallest threshold that a share alpha of the peaks or fewer exceeds."""
    ordered = np.sort(peaks)
    return ordered[len(ordered) - 1 - int(np.floor(alpha * len(ordered)))]


def clusters(selected, method="parametric", alpha=0.05, permutations=1000, seed=0):
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
        above = np.flatnonzero(np.abs(t) > upper_quantile(peaks, alpha))
        for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else ():
            peak = t[run][np.abs(t[run]).argmax()]
            rows.append((percent[run[0]], percent[run[-1]], peak, share_as_high(peaks, abs(peak))))
    else:
        for cluster in random_field(differences)[0].inference(alpha, two_tailed=True).clusters:
            start, end = cluster.endpoints  # between samples, where |t| crosses the threshold
            inside = t[int(np.ceil(start)) : int(np.floor(end)) + 1]
            limits = np.interp((start, end), np.arange(len(percent)), percent)
            rows.append((*limits, inside[np.abs(inside).argmax()], float(cluster.P)))
    return pd.DataFrame(rows, columns=["from_percent", "to_percent", "peak_t", "p"])


def paired_t_table(curves, alpha=0.05, permutations=1000, seed=0):
    """SPM paired t of every keypoint and axis, by both methods, with Holm's correction over the curves.

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
    alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, n_subjects, mean_difference, t_max, at_percent, threshold, p, p_holm, significant
        (after Holm), refused.
    """
    columns = ["n_subjects", "mean_difference", "t_max", "at_percent", "threshold", "p"]
    table = by_both_methods(curves, paired_t, "participant", columns, alpha, permutations, seed)
    return with_holm(table, ["method"], alpha)


def cluster_table(curves, alpha=0.05, permutations=1000, seed=0):
    """Clusters of every keypoint and axis, by both methods; alpha holds for each curve on its own.

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
    alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, from_percent, to_percent, peak_t, p, refused.
    """
    columns = ["from_percent", "to_percent", "peak_t", "p"]
    return by_both_methods(curves, clusters, "participant", columns, alpha, permutations, seed)


def by_both_methods(curves, test, unit, columns, alpha, permutations, seed):
    """Rows of a test of every curve, parametric and by permutation, one below the other."""
    options = {"unit": unit, "alpha": alpha, "permutations": permutations, "seed": seed}
    tables = [
        every_curve(curves, test, method=method, **options).assign(method=method)
        for method in ("parametric", "permutation")
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.reindex(columns=["keypoint", "space", "method", *columns, "refused"])


def with_holm(table, families, alpha):
    """The table with `p_holm` (within families over the curves) and `significant` beside p."""
    at = table.columns.get_loc("p") + 1
    table.insert(at, "p_holm", holm(table, "p", by=families))
    table.insert(at + 1, "significant", table.p_holm < alpha)
    return table


def mean_curves(curves):
    """Mean and spread over participants of every curve, and of the difference between the views (Figure 2).

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
        Participants' trials are averaged first; any number of participants from one.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, view (a view's name, or "A - B"), percent, mean, sd (NaN for one participant), n.
    """
    people = as_curves(curves).mean("trial")
    views = [str(name) for name in people.view.values]
    parts = [people]
    if len(views) == 2:
        first, second = (people.sel(view=name, drop=True) for name in views)
        parts.append((first - second).expand_dims(view=[" - ".join(views)]))
    both = xr.concat(parts, "view")
    table = xr.Dataset(
        {
            "mean": both.mean("participant"),
            "sd": both.std("participant", ddof=1),
            "n": both.count("participant"),
        }
    ).to_dataframe()
    table = table.reset_index()[["keypoint", "space", "view", "percent", "mean", "sd", "n"]]
    return table[table.n > 0].reset_index(drop=True)


def verdict(table, clusters):
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
        tested = rows[rows.refused == ""]
        if tested.empty:
            sentences.append(f"No SPM ({method}). {refusals(rows)}")
            continue
        found = tested[tested.significant]
        names = ", ".join(f"{row.space} of {row.keypoint}" for row in found.itertuples())
        sentences.append(
            f"SPM ({method}) finds a difference between the views somewhere in the cycle in {len(found)} of "
            f"{len(tested)} curves after Holm's correction{f': {names}' if names else ''}."
        )
        here = clusters[(clusters.method == method) & clusters.peak_t.notna()]
        if len(here):
            where = here.assign(length=here.to_percent - here.from_percent).sort_values("length").iloc[-1]
            sentences.append(
                f"The longest stretch is {where.from_percent:.0f} to {where.to_percent:.0f} % of the cycle in "
                f"{where.space} of {where.keypoint} ({p_text(where.p)} before Holm)."
            )
    return " ".join(sentences)
