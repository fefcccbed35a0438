"""Are the views close enough? Equivalence within a margin, limits of agreement, ICC, RMSD and effect sizes."""

import warnings

import numpy as np
import pandas as pd
import pingouin
from scipy import stats

from studykit.stats.subjects import MIN_SUBJECTS, difference, every_curve, holm, refusals


def margin(unit, delta_px, delta_mm):
    """The margin of equivalence in the unit of the curves.

    Parameters
    ----------
    unit : str
        "px", "m" or "mm", as the curves say.
    delta_px, delta_mm : float
        Largest difference between views that would not matter. A labeller's or a network's own error is a natural
        choice in pixels; in millimetres the 18 mm by which video and motion capture differ in a person's mean step
        length (Stenum et al. 2021).

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For another unit, or a margin that is not above zero.
    """
    margins = {"px": delta_px, "mm": delta_mm, "m": delta_mm / 1000}
    if unit not in margins:
        raise ValueError(f"curves: expected the unit px, mm or m, got {unit!r}")
    if not margins[unit] > 0:
        raise ValueError(f"delta: expected a margin above 0, got {margins[unit]:g} {unit}")
    return margins[unit]


def equivalence(selected, delta, alpha=0.05):
    """Two one-sided tests at every percent of the cycle (Schuirmann 1987), and the band that shows them.

    The views are equivalent at a percent if the (1 - 2 alpha) confidence band of the mean difference lies within
    +-delta there; all over the cycle if it does at every percent (an intersection-union test, which needs no
    correction for the many percents).

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Participant means.
    delta : float
        In the unit of the curves.
    alpha : float

    Returns
    -------
    pandas.DataFrame
        percent, mean, low, high (the band), p (the larger of the two), equivalent.
    """
    differences = difference(selected)
    n = len(differences)
    mean, error = differences.mean(0), differences.std(0, ddof=1) / np.sqrt(n)
    half = stats.t.isf(alpha, n - 1) * error
    with np.errstate(divide="ignore"):
        p = stats.t.sf((delta - np.abs(mean)) / error, n - 1)
    return pd.DataFrame(
        {
            "percent": selected.percent.values,
            "mean": mean,
            "low": mean - half,
            "high": mean + half,
            "p": p,
            "equivalent": p < alpha,
        }
    )


def equivalence_table(curves, delta, alpha=0.05):
    """Equivalence of every keypoint and axis.

    Returns
    -------
    band : pandas.DataFrame
        keypoint, space, percent, mean, low, high, p, equivalent, refused.
    summary : pandas.DataFrame
        keypoint, space, share_percent (of the cycle that is equivalent), smallest_delta (for which the whole cycle
        would be), p (largest over the cycle), p_holm, equivalent (whole cycle, after Holm), refused.
    """
    band = every_curve(curves, equivalence, delta=delta, alpha=alpha)
    columns = ["keypoint", "space", "percent", "mean", "low", "high", "p", "equivalent", "refused"]
    band = band.reindex(columns=columns)
    rows = []
    for (keypoint, space), curve in band.groupby(["keypoint", "space"], sort=False):
        row = {"keypoint": keypoint, "space": space, "refused": curve.refused.iloc[0]}
        if not row["refused"]:
            row["share_percent"] = 100 * curve.equivalent.astype(bool).mean()
            row["smallest_delta"] = max(curve.high.max(), -curve.low.min())
            row["p"] = curve.p.max()
        rows.append(row)
    columns = ["keypoint", "space", "share_percent", "smallest_delta", "p", "refused"]
    summary = pd.DataFrame(rows).reindex(columns=columns)
    summary.insert(5, "p_holm", holm(summary, "p"))
    summary.insert(6, "equivalent", summary.p_holm < alpha)
    return band, summary


def single_trial_sd(count, mean, within):
    """Spread of one trial's difference between views, from repeated trials (Bland & Altman 2007, section 3).

    The variance between participants and the one within them, from a one-way analysis of variance; as plain as the
    standard deviation where everybody has one trial.

    Parameters
    ----------
    count, mean, within : ndarray (..., participant)
        Trials of each participant, their mean difference, and their sum of squares about it.

    Returns
    -------
    ndarray (...)
    """
    n, total = count.shape[-1], count.sum(-1)
    grand = (count * mean).sum(-1, keepdims=True) / total[..., None]
    between = (count * (mean - grand) ** 2).sum(-1) / (n - 1)
    repeats = (count - 1).sum(-1)
    noise = np.divide(within.sum(-1), repeats, out=np.zeros_like(between), where=repeats > 0)
    size = (total - (count**2).sum(-1) / total) / (n - 1)
    return np.sqrt(np.maximum((between - noise) / size, 0) + noise)


def agreement(selected, samples=2000, seed=0):
    """Bias, limits of agreement, RMSD, ICC and effect size of one curve.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Trials as subjects, with their participants; every interval draws whole participants.
    samples : int
        Bootstrap samples (bias-corrected and accelerated; Efron 1987).
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row with `_low` and `_high` (95 %) beside each: bias (mean difference over the cycle), loa_lower and
        loa_upper (limits within which 95 % of single trials' mean differences lie), rmsd (per participant over the
        cycle, then averaged), icc_mean and icc_range (absolute agreement of single measurements, ICC(A,1), of a
        participant's mean and range over the cycle), d_z (mean difference over its spread between participants).
        Of fewer than `MIN_SUBJECTS` participants only bias and rmsd are described; `note` says so.
    """
    trials = difference(selected)
    people, index, count = np.unique(selected.participant.values, return_inverse=True, return_counts=True)

    def by_person(values):
        return np.array([values[index == i].mean(0) for i in range(len(people))])

    level = trials.mean(1)
    mean = by_person(level)
    within = np.array([((level[index == i] - mean[i]) ** 2).sum() for i in range(len(people))])
    distance = np.sqrt((by_person(trials) ** 2).mean(1))
    count = count.astype(float)
    if len(people) < MIN_SUBJECTS:
        note = f"{len(people)} participant{'s' if len(people) > 1 else ''}: described, no interval"
        row = {"n_subjects": len(people), "n_trials": len(trials), "bias": mean.mean(), "rmsd": distance.mean()}
        return pd.DataFrame([{**row, "note": note}])

    def limit(sign):
        return lambda i: mean[i].mean(-1) + sign * 1.96 * single_trial_sd(count[i], mean[i], within[i])

    measures = {
        "loa_lower": limit(-1),
        "loa_upper": limit(1),
        "rmsd": lambda i: distance[i].mean(-1),
        "d_z": lambda i: mean[i].mean(-1) / mean[i].std(-1, ddof=1),
    }
    half = stats.t.isf(0.025, len(people) - 1) * mean.std(ddof=1) / np.sqrt(len(people))
    row = {"n_subjects": len(people), "n_trials": len(trials), "bias": mean.mean()}
    row |= {"bias_low": mean.mean() - half, "bias_high": mean.mean() + half}
    for name, measure in measures.items():
        row[name] = float(measure(np.arange(len(people))))
        row[f"{name}_low"], row[f"{name}_high"] = bootstrap(measure, len(people), samples, seed)
    views = by_person(selected.values)  # (participant, percent, view)
    for name, values in {"icc_mean": views.mean(1), "icc_range": np.ptp(views, axis=1)}.items():
        row[name], row[f"{name}_low"], row[f"{name}_high"] = icc(values)
    return pd.DataFrame([{**row, "note": ""}])


def bootstrap(measure, n, samples, seed):
    """95 % interval of a measure over participants drawn anew.

    Parameters
    ----------
    measure : function
        Takes participants' numbers, ndarray (..., n) of int, and gives ndarray (...).
    n : int
        Participants.
    samples, seed : int

    Returns
    -------
    low, high : float
        NaN where the samples do not vary enough for the correction.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate samples of few people: the interval is NaN, which says it
        found = stats.bootstrap(
            (np.arange(n),),
            lambda i, axis=-1: measure(np.asarray(i, int)),
            n_resamples=samples,
            vectorized=True,
            method="BCa",
            rng=np.random.default_rng([seed, n]),
        ).confidence_interval
    return float(found.low), float(found.high)


def icc(values):
    """Absolute agreement of single measurements, ICC(A,1), with its 95 % interval (McGraw & Wong 1996; pingouin).

    Parameters
    ----------
    values : ndarray (participant, view)

    Returns
    -------
    icc, low, high : float
    """
    person, view = np.indices(values.shape)
    table = pd.DataFrame({"person": person.ravel(), "view": view.ravel(), "value": values.ravel()})
    rounding = pingouin.options["round.column.CI95"]
    pingouin.options["round.column.CI95"] = None  # two digits otherwise
    try:
        with np.errstate(all="ignore"):  # a perfect or empty agreement has an interval of NaN
            found = pingouin.intraclass_corr(table, targets="person", raters="view", ratings="value")
    finally:
        pingouin.options["round.column.CI95"] = rounding
    row = found.set_index("Type").loc["ICC(A,1)"]
    return float(row["ICC"]), *map(float, row["CI95"])


def agreement_table(curves, samples=2000, seed=0):
    """Agreement of every keypoint and axis.

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
    samples, seed
        As in `agreement`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, the columns of `agreement`, refused.
    """
    table = every_curve(curves, agreement, unit="trial", minimum=1, samples=samples, seed=seed)
    measures = ["bias", "loa_lower", "loa_upper", "rmsd", "icc_mean", "icc_range", "d_z"]
    columns = [f"{name}{end}" for name in measures for end in ("", "_low", "_high")]
    return table.reindex(columns=["keypoint", "space", "n_subjects", "n_trials", *columns, "note", "refused"])


def with_intervals(table):
    """The agreement table to read: each measure with its interval in one cell, "1.69 (0.9 to 2.48)"."""
    measures = [name for name in table if f"{name}_low" in table]
    shown = table[["keypoint", "space", "n_subjects", "n_trials"]].copy()
    for name in measures:
        columns = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
        shown[name] = [_cell(*cell) for cell in columns]
    return shown.assign(note=table.note, refused=table.refused)


def _cell(value, low, high):
    if np.isnan(value):
        return ""
    return f"{value:.3g}" if np.isnan(low) else f"{value:.3g} ({low:.3g} to {high:.3g})"


def verdict(summary, table, delta, unit):
    """What equivalence and agreement say, in words.

    Parameters
    ----------
    summary : pandas.DataFrame
        From `equivalence_table`.
    table : pandas.DataFrame
        From `agreement_table`.
    delta : float
    unit : str

    Returns
    -------
    str
    """
    tested, agreed = summary[summary.refused == ""], table[table.refused == ""]
    if agreed.empty:
        return f"Nothing said about agreement. {refusals(table)}"
    apart = agreed.loc[agreed.rmsd.idxmax()]
    near = (
        f"A participant's curves from the two views lie {agreed.rmsd.median():.3g} {unit} apart (median RMSD; most in "
        f"{apart.space} of {apart.keypoint}, {apart.rmsd:.3g} {unit})."
    )
    if tested.empty:
        return f"{near} Nothing said about equivalence: {refusals(summary)}"
    close = tested[tested.equivalent]
    worst = tested.loc[tested.smallest_delta.idxmax()]
    return (
        f"Within a margin of {delta:g} {unit} the views are equivalent over the whole cycle in {len(close)} of "
        f"{len(tested)} curves; all would be with a margin of {worst.smallest_delta:.3g} {unit} (the widest need: "
        f"{worst.space} of {worst.keypoint}). {near} Single trials' mean differences spread from "
        f"{agreed.loa_lower.min():.3g} to {agreed.loa_upper.max():.3g} {unit} (widest limits of agreement). "
        f"{refusals(summary)}".strip()
    )
