"""Two-way repeated-measures ANOVA, time x perspective, from sums of squares."""

import numpy as np
import pandas as pd
from scipy import stats

from studykit.stats.subjects import Refused, every_curve, holm, refusals

EFFECTS = ("perspective", "time", "interaction")


def sums_of_squares(values):
    """Effects and errors of the two-way within-subject design, for one study or for a stack of them.

    Each effect is a projection of the data (subject means over the other factor, centred); its mean over subjects
    gives the effect's sum of squares, and what remains its error. Epsilon is that of Greenhouse & Geisser (1959),
    (tr S)^2 / (df tr S^2) with S the covariance of the effect's contrasts. The traces are taken from the Gram matrix
    of subjects, which is small where the covariance of 101 time points is not.

    Parameters
    ----------
    values : ndarray (..., subject, time, view)

    Returns
    -------
    dict of str to dict of str to ndarray (...)
        For each of `EFFECTS`: ss, ss_error, df, df_error, epsilon; and "subject": ss.
    """
    values = np.asarray(values, float)
    n, n_times, n_views = values.shape[-3:]
    level = values.mean((-2, -1), keepdims=True)
    time = values.mean(-1, keepdims=True) - level
    view = values.mean(-2, keepdims=True) - level
    parts = {
        "perspective": (view, n_times, n_views - 1),
        "time": (time, n_views, n_times - 1),
        "interaction": (values - level - time - view, 1, (n_times - 1) * (n_views - 1)),
    }
    found = {"subject": {"ss": n_times * n_views * _square(level - level.mean(-3, keepdims=True))}}
    for name, (part, repeats, df) in parts.items():
        part = part.reshape(*part.shape[:-2], -1)
        mean = part.mean(-2, keepdims=True)
        error = part - mean
        gram = error @ np.swapaxes(error, -1, -2)
        trace = np.trace(gram, axis1=-2, axis2=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            epsilon = np.clip(trace**2 / (df * (gram**2).sum((-2, -1))), 1 / df, 1)
        found[name] = {
            "ss": repeats * n * (mean**2).sum((-2, -1)),
            "ss_error": repeats * trace,
            "df": df,
            "df_error": df * (n - 1),
            "epsilon": epsilon,
        }
    return found


def _square(values):
    return (values**2).sum((-3, -2, -1))


def f_tests(values):
    """F, degrees of freedom and p of each effect, for one study or for a stack of them.

    Parameters
    ----------
    values : ndarray (..., subject, time, view)

    Returns
    -------
    dict of str to dict of str to ndarray (...)
        For each of `EFFECTS`: F, df1, df2, p, epsilon, df1_gg, df2_gg, p_gg, eta2_partial, eta2_generalized. The
        generalized one has the sum of squares of subjects and all errors below (Bakeman 2005, all factors measured).
    """
    found = sums_of_squares(values)
    errors = found["subject"]["ss"] + sum(found[name]["ss_error"] for name in EFFECTS)
    tests = {}
    for name in EFFECTS:
        ss, ss_error, df1, df2, epsilon = found[name].values()
        with np.errstate(invalid="ignore", divide="ignore"):
            f = (ss / df1) / (ss_error / df2)
        tests[name] = {
            "F": f,
            "df1": df1,
            "df2": df2,
            "p": stats.f.sf(f, df1, df2),
            "epsilon": epsilon,
            "df1_gg": epsilon * df1,
            "df2_gg": epsilon * df2,
            "p_gg": stats.f.sf(f, epsilon * df1, epsilon * df2),
            "eta2_partial": ss / (ss + ss_error),
            "eta2_generalized": ss / (ss + errors),
        }
    return tests


def rm_anova(selected):
    """The two-way repeated-measures ANOVA of one curve.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        As from `subjects.select`.

    Returns
    -------
    pandas.DataFrame
        A row an effect: perspective, time, interaction.

    Raises
    ------
    Refused
        If an effect has no error to be judged by (identical views, for example).
    """
    parts = sums_of_squares(selected.values)
    if min(parts[name]["ss_error"] for name in EFFECTS) <= 1e-24 * (selected.values**2).sum():
        raise Refused("an effect has no spread between subjects (are the views copies of each other?)")
    tests = f_tests(selected.values)
    table = pd.DataFrame(tests).T.rename_axis("effect").reset_index()
    numbers = [name for name in table if name != "effect"]
    table[numbers] = table[numbers].astype(float)
    return table.assign(n_subjects=selected.sizes["subject"])


def perspective_anova(curves, unit, alpha=0.05):
    """The ANOVA of every keypoint and axis.

    With `unit="trial"` it is the published analysis: trials as subjects, although two of them come from one person,
    so that the test takes repeated measurements of one person for independent evidence. With `unit="participant"`
    the trials of a person are averaged first. The corrected degrees of freedom matter for time and interaction;
    perspective with two views has one degree of freedom and nothing to correct.

    Parameters
    ----------
    curves : xarray.DataArray or pandas.DataFrame
    unit : str
        "trial" or "participant".
    alpha : float

    Returns
    -------
    pandas.DataFrame
        keypoint, space, effect, F, df1, df2, p, epsilon, df1_gg, df2_gg, p_gg, eta2_partial, eta2_generalized,
        n_subjects, p_holm (over the curves, per effect), significant (p_gg < alpha), significant_holm, refused.
    """
    table = every_curve(curves, rm_anova, unit=unit)
    columns = ["keypoint", "space", "effect", "F", "df1", "df2", "p", "epsilon", "df1_gg", "df2_gg", "p_gg"]
    columns += ["eta2_partial", "eta2_generalized", "n_subjects", "refused"]
    table = table.reindex(columns=columns)
    table.insert(11, "p_holm", holm(table, "p_gg", by=["effect"]))
    table.insert(12, "significant", table.p_gg < alpha)
    table.insert(13, "significant_holm", table.p_holm < alpha)
    return table


def count_significant(table, effect="perspective", corrected=False):
    """How many curves show the effect; None where every test was refused."""
    rows = table[(table.effect == effect) & (table.refused == "")]
    return int(rows["significant_holm" if corrected else "significant"].sum()) if len(rows) else None


def verdict(trials, participants, alpha=0.05):
    """What the published and the sound ANOVA say, in words.

    Parameters
    ----------
    trials, participants : pandas.DataFrame
        `perspective_anova` with each unit.
    alpha : float

    Returns
    -------
    str
    """
    published, sound = count_significant(trials), count_significant(participants, corrected=True)
    if published is None or sound is None:
        return f"No ANOVA. {refusals(trials if published is None else participants)}"
    plain = count_significant(participants)
    rows = participants[participants.refused == ""]
    by_trial, by_person = (table.n_subjects.max() for table in (trials, participants))
    names = ", ".join(
        f"{row.space} of {row.keypoint}"
        for row in rows[(rows.effect == "perspective") & rows.significant_holm].itertuples()
    )
    epsilon = rows[rows.effect == "time"].epsilon
    return (
        f"With {by_trial:.0f} trials as subjects the perspective effect is significant at {alpha:g} in {published} of "
        f"{(rows.effect == 'perspective').sum()} curves; with {by_person:.0f} participants as subjects in {plain}, and "
        f"in {sound} after Holm's correction{f' ({names})' if names else ''}. "
        f"Epsilon for time is {epsilon.min():.3f} to {epsilon.max():.3f}, so that its {rows.df1.max():.0f} nominal "
        f"degrees of freedom are worth {rows[rows.effect == 'time'].df1_gg.min():.1f} to "
        f"{rows[rows.effect == 'time'].df1_gg.max():.1f}; a time effect only says that people move. "
        f"{refusals(participants)}".strip()
    )
