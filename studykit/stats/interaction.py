"""Does the perspective effect depend on the trial? Statistical parametric mapping of perspective x trial."""

import warnings

import numpy as np
import pandas as pd
import spm1d
import xarray as xr
from spm1d import rft1d

from studykit.stats.curves import by_both_methods, exchanges, flipped_peaks, judged, t_field
from studykit.stats.subjects import MIN_SUBJECTS, Refused, in_how_many

_COLUMNS = ["effect", "n_subjects", "n_trials", "f_max", "at_percent", "threshold", "p"]


def two_way(
    selected: xr.DataArray, method: str = "parametric", alpha: float = 0.05, permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
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
    cells = shared_trials(selected)
    differences = cells[..., 0] - cells[..., 1]  # (participant, trial, percent)
    varying = differences.std((0, 1)) > 1e-9 * differences.std()
    cells, differences, percent = cells[:, :, varying], differences[:, :, varying], selected.percent.values[varying]
    found = _exchanged(differences, alpha, permutations, seed) if method == "permutation" else _anova2rm(cells, alpha)
    size = cells.shape[:2]
    rows = [(effect, *size, f.max(), float(percent[f.argmax()]), *rest) for effect, (f, *rest) in found.items()]
    return pd.DataFrame(rows, columns=_COLUMNS)


def shared_trials(selected: xr.DataArray) -> np.ndarray:
    """Curves of those participants who have every common trial; a trial is common if more than half have it.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        Trials as subjects.

    Returns
    -------
    ndarray (participant, trial, percent, view)

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
    return selected.values[rows].reshape(len(people), len(common), *selected.shape[1:])


def _anova2rm(cells, alpha):
    n, n_trials, n_percent, n_views = cells.shape
    person, trial, view = (level.ravel() for level in np.indices((n, n_trials, n_views)))
    curves = cells.transpose(0, 1, 3, 2).reshape(-1, n_percent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one curve a cell: said in the docstring of two_way
        fields = spm1d.stats.anova2rm(curves, view, trial, person)
    found = {}
    for effect, spm in (("perspective", fields[0]), ("interaction", fields[2])):
        field = {"df": spm.df, "nodes": n_percent, "FWHM": spm.fwhm, "withBonf": True}
        found[effect] = (spm.z, float(rft1d.f.isf(alpha, **field)), float(min(1, rft1d.f.sf(spm.z.max(), **field))))
    return found


def _exchanged(differences, alpha, permutations, seed):
    n, n_trials, _ = differences.shape
    means, observed = differences.mean(1), _interaction_f(differences)
    flipped = flipped_peaks(means, exchanges(means, alpha, permutations, seed)) ** 2
    rng, peaks = np.random.default_rng([seed, n, n_trials]), [observed.max()]
    for _ in range(1, permutations):
        order = rng.permuted(np.tile(np.arange(n_trials), (n, 1)), axis=1)
        peaks.append(_interaction_f(np.take_along_axis(differences, order[..., None], axis=1)).max())
    return {
        "perspective": (t_field(means) ** 2, *judged(flipped, alpha)),
        "interaction": (observed, *judged(np.array(peaks), alpha)),
    }


def _interaction_f(differences):
    """F (percent) of trial in a one-way repeated-measures design of the views' differences."""
    n = len(differences)
    centred = differences - differences.mean(1, keepdims=True)
    mean = centred.mean(0)
    effect = n * (mean**2).sum(0)
    error = (centred**2).sum((0, 1)) - effect
    return np.divide(effect * (n - 1), error, out=np.zeros_like(effect), where=error > 0)


def two_way_table(curves: xr.DataArray, alpha: float = 0.05, permutations: int = 1000, seed: int = 0) -> pd.DataFrame:
    """SPM perspective x trial of every keypoint and axis, by both methods, with Holm's correction over the curves.

    Parameters
    ----------
    curves : xarray.DataArray
    alpha, permutations, seed
        As in `two_way`.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, method, effect, n_subjects, n_trials, f_max, at_percent, threshold, p, p_holm, significant
        (after Holm), refused.
    """
    options = {"unit": "trial", "alpha": alpha, "permutations": permutations, "seed": seed}
    return by_both_methods(curves, two_way, _COLUMNS, ["method", "effect"], **options)


def verdict(table: pd.DataFrame) -> str:
    """What the perspective x trial tests say about trials, in words.

    Parameters
    ----------
    table : pandas.DataFrame
        From `two_way_table`.

    Returns
    -------
    str
    """
    rows = table[table.effect != "perspective"].groupby("method", sort=False)  # a refused test names no effect
    depends = "By two-way SPM ({}) the difference between the views depends on the trial"
    return " ".join(in_how_many(own, depends.format(name), f"No two-way SPM ({name})") for name, own in rows)
