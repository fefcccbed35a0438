"""Where in the gait cycle the views differ: statistical parametric mapping of difference curves."""

import itertools
import warnings

import numpy as np
import pandas as pd
import spm1d
import xarray as xr
from spm1d import rft1d

from studykit.stats.subjects import MIN_SUBJECTS, Refused, as_curves, difference, every_curve, holm, p_text, refusals


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
        peaks = flipped_peaks(differences, _flips(differences, alpha, permutations, seed))
        threshold, p = _upper_quantile(peaks, alpha), _share_as_high(peaks, peaks[0])
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


def _flips(differences, alpha, permutations, seed):
    n = len(differences)
    smallest = max(1 / 2 ** (n - 1), 1 / permutations)
    if smallest > alpha:
        raise Refused(
            f"{n} participants and {permutations} permutations allow no p below {smallest:g}, and alpha is {alpha:g}"
        )
    return sign_flips(n, permutations, seed)


def _share_as_high(peaks, peak):
    return float(np.mean(peaks >= peak * (1 - 1e-9)))


def _upper_quantile(peaks, alpha):
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
        peaks = flipped_peaks(differences, _flips(differences, alpha, permutations, seed))
        above = np.flatnonzero(np.abs(t) > _upper_quantile(peaks, alpha))
        for run in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else ():
            peak = t[run][np.abs(t[run]).argmax()]
            rows.append((percent[run[0]], percent[run[-1]], peak, _share_as_high(peaks, abs(peak))))
    else:
        for cluster in random_field(differences)[0].inference(alpha, two_tailed=True).clusters:
            start, end = cluster.endpoints  # between samples, where |t| crosses the threshold
            inside = t[int(np.ceil(start)) : int(np.floor(end)) + 1]
            limits = np.interp((start, end), np.arange(len(percent)), percent)
            rows.append((*limits, inside[np.abs(inside).argmax()], float(cluster.P)))
    return pd.DataFrame(rows, columns=["from_percent", "to_percent", "peak_t", "p"])


def two_way(selected, method="parametric", alpha=0.05, permutations=1000, seed=0):
    """SPM two-way repeated measures: perspective x trial, participants as subjects.

    The interaction asks whether the perspective effect differs between a person's trials (which walk in opposite
    directions in the paper's data). Needs the same trials of everybody. Parametric: `spm1d.stats.anova2rm`, whose
    residuals, and so the smoothness, are approximate with one curve a cell. Permutation: the views are exchanged
    within participants for perspective, the trials' differences for the interaction. (spm1d's own permutations of
    this design do not run on NumPy 2.)

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Trials as subjects, as from `subjects.select(..., unit="trial")`.
    method, alpha, permutations, seed
        As in `paired_t`.

    Returns
    -------
    pandas.DataFrame
        Rows perspective and interaction: effect, n_subjects, n_trials, f_max, at_percent, threshold, p.

    Raises
    ------
    Refused
        If fewer than two trials are shared by enough participants.
    """
    cells, trials = shared_trials(selected)
    differences = cells[..., 0] - cells[..., 1]  # (participant, trial, percent)
    varying = differences.std((0, 1)) > 1e-9 * differences.std()
    cells, differences, percent = cells[:, :, varying], differences[:, :, varying], selected.percent.values[varying]
    if method == "permutation":
        _flips(differences[:, 0], alpha, permutations, seed)  # refuses where too few people make any p too large
        found = _exchanged(differences, alpha, permutations, seed)
    else:
        found = _anova2rm(cells, alpha)
    rows = [
        {
            "effect": effect,
            "n_subjects": len(cells),
            "n_trials": len(trials),
            "f_max": f.max(),
            "at_percent": float(percent[f.argmax()]),
            "threshold": threshold,
            "p": p,
        }
        for effect, (f, threshold, p) in found.items()
    ]
    return pd.DataFrame(rows)


def shared_trials(selected):
    """Curves of those participants who have every common trial; a trial is common if more than half have it.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Trials as subjects.

    Returns
    -------
    ndarray (participant, trial, percent, view), list of trials

    Raises
    ------
    Refused
        If the design is too unbalanced for two trials of `MIN_SUBJECTS` participants.
    """
    has = pd.crosstab(selected.participant.values, selected.trial.values)
    common = has.columns[has.mean() > 0.5]
    people = has.index[(has[common] > 0).all(axis=1)]
    if len(common) < 2 or len(people) < MIN_SUBJECTS:
        raise Refused(
            f"unbalanced: needs two trials, each had by most participants and both by {MIN_SUBJECTS} or more, "
            f"got {len(common)} such trial{'' if len(common) == 1 else 's'}"
            + (f" and {len(people)} participants with all of them" if len(common) > 1 else "")
        )
    index = pd.MultiIndex.from_arrays([selected.participant.values, selected.trial.values])
    rows = index.get_indexer(pd.MultiIndex.from_product([people, common]))
    return selected.values[rows].reshape(len(people), len(common), *selected.shape[1:]), list(common)


def _anova2rm(cells, alpha):
    n, n_trials, n_percent, n_views = cells.shape
    person, trial, view = (level.ravel() for level in np.indices((n, n_trials, n_views)))
    curves = cells.transpose(0, 1, 3, 2).reshape(-1, n_percent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one curve a cell: said in the docstring of two_way
        fields = spm1d.stats.anova2rm(curves, view, trial, person)
    found = {}
    for effect, spm in (("perspective", fields[0]), ("interaction", fields[2])):
        threshold = rft1d.f.isf(alpha, spm.df, n_percent, spm.fwhm, withBonf=True)
        p = rft1d.f.sf(spm.z.max(), spm.df, n_percent, spm.fwhm, withBonf=True)
        found[effect] = (spm.z, float(threshold), float(min(1, p)))
    return found


def _exchanged(differences, alpha, permutations, seed):
    n, n_trials, _ = differences.shape
    means = differences.mean(1)
    peaks = flipped_peaks(means, sign_flips(n, permutations, seed)) ** 2
    found = {"perspective": (t_field(means) ** 2, _upper_quantile(peaks, alpha), _share_as_high(peaks, peaks[0]))}
    rng = np.random.default_rng([seed, n, n_trials])
    observed = _interaction_f(differences)
    peaks = np.empty(permutations)
    peaks[0] = observed.max()
    for i in range(1, permutations):
        order = rng.permuted(np.tile(np.arange(n_trials), (n, 1)), axis=1)
        peaks[i] = _interaction_f(np.take_along_axis(differences, order[..., None], axis=1)).max()
    found["interaction"] = (observed, _upper_quantile(peaks, alpha), _share_as_high(peaks, peaks[0]))
    return found


def _interaction_f(differences):
    """F (percent) of trial in a one-way repeated-measures design of the views' differences."""
    n = len(differences)
    centred = differences - differences.mean(1, keepdims=True)
    mean = centred.mean(0)
    effect = n * (mean**2).sum(0)
    error = (centred**2).sum((0, 1)) - effect
    return np.divide(effect * (n - 1), error, out=np.zeros_like(effect), where=error > 0)


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
    options = {"alpha": alpha, "permutations": permutations, "seed": seed}
    columns = ["n_subjects", "mean_difference", "t_max", "at_percent", "threshold", "p"]
    table = _by_both_methods(curves, paired_t, "participant", columns, options)
    return _with_holm(table, ["method"], alpha)


def two_way_table(curves, alpha=0.05, permutations=1000, seed=0):
    """SPM perspective x trial of every keypoint and axis, by both methods, with Holm's correction over the curves.

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
    alpha, permutations, seed
        As in `two_way`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, effect, n_subjects, n_trials, f_max, at_percent, threshold, p, p_holm, significant
        (after Holm), refused.
    """
    options = {"alpha": alpha, "permutations": permutations, "seed": seed}
    columns = ["effect", "n_subjects", "n_trials", "f_max", "at_percent", "threshold", "p"]
    table = _by_both_methods(curves, two_way, "trial", columns, options)
    return _with_holm(table, ["method", "effect"], alpha)


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
    options = {"alpha": alpha, "permutations": permutations, "seed": seed}
    columns = ["from_percent", "to_percent", "peak_t", "p"]
    return _by_both_methods(curves, clusters, "participant", columns, options)


def _by_both_methods(curves, test, unit, columns, options):
    tables = [
        every_curve(curves, test, unit=unit, method=method, **options).assign(method=method)
        for method in ("parametric", "permutation")
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.reindex(columns=["keypoint", "space", "method", *columns, "refused"])


def _with_holm(table, families, alpha):
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


def two_way_verdict(table):
    """What the perspective x trial tests say about trials, in words.

    Parameters
    ----------
    table : pandas.DataFrame
        From `two_way_table`.

    Returns
    -------
    str
    """
    sentences = []
    for method, rows in table.groupby("method", sort=False):
        tested = rows[(rows.refused == "") & (rows.effect == "interaction")]
        if tested.empty:
            sentences.append(f"No two-way SPM ({method}). {refusals(rows)}")
            continue
        found = tested[tested.significant]
        names = ", ".join(f"{row.space} of {row.keypoint}" for row in found.itertuples())
        sentences.append(
            f"By two-way SPM ({method}) the difference between the views depends on the trial in {len(found)} of "
            f"{len(tested)} curves after Holm's correction{f': {names}' if names else ''}."
        )
    return " ".join(sentences)
