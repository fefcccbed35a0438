"""Are the views close enough? Equivalence within a margin, limits of agreement, ICC, RMSD and effect sizes."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pingouin
import xarray as xr
from scipy import stats

from studykit.stats.subjects import MIN_SUBJECTS, difference, every_curve, holm, refusals

_MEASURES = ["bias", "loa_lower", "loa_upper", "rmsd", "icc_mean", "icc_range", "d_z"]


def margin(unit: str, delta_px: float, delta_mm: float) -> float:
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


def equivalence(selected: xr.DataArray, delta: float, alpha: float = 0.05) -> pd.DataFrame:
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
    columns = {"percent": selected.percent.values, "mean": mean, "low": mean - half, "high": mean + half, "p": p}
    return pd.DataFrame(columns).assign(equivalent=p < alpha)


def equivalence_table(curves: xr.DataArray, delta: float, alpha: float = 0.05) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Equivalence of every keypoint and axis.

    Returns
    -------
    band : pandas.DataFrame
        keypoint, space, percent, mean, low, high, p, equivalent, refused.
    summary : pandas.DataFrame
        keypoint, space, share_percent (of the cycle that is equivalent), smallest_delta (for which the whole cycle
        would be), p (largest over the cycle), p_holm, equivalent (whole cycle, after Holm), refused.
    """
    columns = ["percent", "mean", "low", "high", "p", "equivalent"]
    band = every_curve(curves, equivalence, columns, delta=delta, alpha=alpha)
    needed = band.assign(share=100 * band.equivalent.astype(float), edge=np.maximum(band.high, -band.low))
    curve = needed.groupby(["keypoint", "space"], sort=False)
    aims = {"share_percent": ("share", "mean"), "smallest_delta": ("edge", "max"), "p": ("p", "max")}
    summary = curve.agg(**aims)
    corrected = holm(summary, "p")
    summary = summary.assign(p_holm=corrected, equivalent=corrected < alpha, refused=curve.refused.first())
    return band, summary.reset_index()


def single_trial_sd(count: np.ndarray, mean: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Spread of one trial's difference between views, from repeated trials (Bland & Altman 2007, section 3).

    The variance between participants and the one within them, from a one-way analysis of variance; the plain
    standard deviation where everyone has one trial.

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


def agreement(selected: xr.DataArray, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
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
    _, index, count = np.unique(selected.participant.values, return_inverse=True, return_counts=True)
    n, count = len(count), count.astype(float)

    def by_person(values):
        return np.array([values[index == i].mean(0) for i in range(n)])

    level = trials.mean(1)
    mean = by_person(level)
    within = np.array([((level[index == i] - mean[i]) ** 2).sum() for i in range(n)])
    distance = np.sqrt((by_person(trials) ** 2).mean(1))
    row = {"n_subjects": n, "n_trials": len(trials), "bias": mean.mean(), "rmsd": distance.mean()}
    if n < MIN_SUBJECTS:
        return pd.DataFrame([row | {"note": f"{n} participant{'s' if n > 1 else ''}: described, no interval"}])

    def limit(sign):
        return lambda i: mean[i].mean(-1) + sign * 1.96 * single_trial_sd(count[i], mean[i], within[i])

    measures = {
        "loa_lower": limit(-1),
        "loa_upper": limit(1),
        "rmsd": lambda i: distance[i].mean(-1),
        "d_z": lambda i: mean[i].mean(-1) / mean[i].std(-1, ddof=1),
    }
    half = stats.t.isf(0.025, n - 1) * mean.std(ddof=1) / np.sqrt(n)
    row |= {"bias_low": mean.mean() - half, "bias_high": mean.mean() + half}
    for name, measure in measures.items():
        row[name] = float(measure(np.arange(n)))
        row[f"{name}_low"], row[f"{name}_high"] = bootstrap(measure, n, samples, seed)
    views = by_person(selected.values)  # (participant, percent, view)
    for name, values in {"icc_mean": views.mean(1), "icc_range": np.ptp(views, axis=1)}.items():
        row[name], row[f"{name}_low"], row[f"{name}_high"] = icc(values)
    return pd.DataFrame([row | {"note": ""}])


def bootstrap(measure: Callable, n: int, samples: int, seed: int) -> tuple[float, float]:
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

    def of_people(drawn, axis=-1):
        return measure(np.asarray(drawn, int))

    options = {"n_resamples": samples, "vectorized": True, "method": "BCa", "rng": np.random.default_rng([seed, n])}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate samples of few people: the interval is NaN, which says it
        found = stats.bootstrap((np.arange(n),), of_people, **options).confidence_interval
    return float(found.low), float(found.high)


def icc(values: np.ndarray) -> tuple[float, float, float]:
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
    pingouin.options["round.column.CI95"] = None  # two digits otherwise
    with np.errstate(all="ignore"):  # a perfect or empty agreement has an interval of NaN
        found = pingouin.intraclass_corr(table, targets="person", raters="view", ratings="value")
    row = found.set_index("Type").loc["ICC(A,1)"]
    return float(row["ICC"]), *map(float, row["CI95"])


def agreement_table(curves: xr.DataArray, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Agreement of every keypoint and axis.

    Parameters
    ----------
    curves : xarray.DataArray
    samples, seed
        As in `agreement`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, the columns of `agreement`, refused.
    """
    columns = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
    columns = ["n_subjects", "n_trials", *columns, "note"]
    return every_curve(curves, agreement, columns, unit="trial", minimum=1, samples=samples, seed=seed)


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """The agreement table to read: each measure with its interval in one cell, "1.69 (0.9 to 2.48)"."""

    def cell(value, low, high):
        interval = "" if np.isnan(low) else f" ({low:.3g} to {high:.3g})"
        return "" if np.isnan(value) else f"{value:.3g}{interval}"

    cells = {name: list(map(cell, table[name], table[f"{name}_low"], table[f"{name}_high"])) for name in _MEASURES}
    return table[["keypoint", "space", "n_subjects", "n_trials", *_MEASURES, "note", "refused"]].assign(**cells)


def verdict(summary: pd.DataFrame, table: pd.DataFrame, delta: float, unit: str) -> str:
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
