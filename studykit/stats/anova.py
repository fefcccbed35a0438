"""Two-way repeated-measures ANOVA, time x perspective."""

import numpy as np
import pandas as pd
import pingouin
import xarray as xr
from scipy import stats

from studykit.stats.subjects import Refused, curve_names, every_curve, holm, p_text, refusals

EFFECTS = ("perspective", "time", "interaction")
_PINGOUIN = dict(ddof1="df1", ddof2="df2", p_unc="p", p_GG_corr="p_gg", eps="epsilon", ng2="eta2_generalized")
_NUMBERS = ["effect", "F", "df1", "df2", "p", "epsilon", "df1_gg", "df2_gg", "p_gg"]
_NUMBERS += ["eta2_partial", "eta2_generalized", "n_subjects"]


def f_tests(values: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """F and p of each effect of the two-way within-subject design, for one study or for a stack of thousands.

    Equal to `rm_anova`, and made for simulated null studies. Each effect is a projection of the data (subject means
    over the other factor, centred); its mean over subjects gives the effect's sum of squares, what remains is its
    error. Epsilon is that of Greenhouse & Geisser (1959), (tr S)^2 / (df tr S^2) with S the covariance of the effect's
    contrasts. The traces come from the Gram matrix of subjects, which is small where the covariance of 101 time points
    is not.

    Parameters
    ----------
    values : ndarray (..., subject, time, view)

    Returns
    -------
    dict of str to dict of str to ndarray (...)
        For each of `EFFECTS`: F, df1, df2, p, epsilon, p_gg, ss_error.
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
    tests = {}
    for name, (part, repeats, df1) in parts.items():
        part = part.reshape(*part.shape[:-2], -1)
        mean = part.mean(-2, keepdims=True)
        gram = (part - mean) @ np.swapaxes(part - mean, -1, -2)
        trace, df2 = np.trace(gram, axis1=-2, axis2=-1), df1 * (n - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            epsilon = np.clip(trace**2 / (df1 * (gram**2).sum((-2, -1))), 1 / df1, 1)
            f = (n * (mean**2).sum((-2, -1)) / df1) / (trace / df2)
        p, p_gg = stats.f.sf(f, df1, df2), stats.f.sf(f, epsilon * df1, epsilon * df2)
        tests[name] = {"F": f, "df1": df1, "df2": df2, "p": p, "epsilon": epsilon, "p_gg": p_gg}
        tests[name]["ss_error"] = repeats * trace
    return tests


def rm_anova(selected: xr.DataArray) -> pd.DataFrame:
    """The two-way repeated-measures ANOVA of one curve, by pingouin.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)
        As from `subjects.select`.

    Returns
    -------
    pandas.DataFrame
        A row per effect: perspective, time, interaction; effect, F, df1, df2, p, epsilon, df1_gg, df2_gg, p_gg,
        eta2_partial, eta2_generalized (subjects and all errors in its denominator: Bakeman 2005), n_subjects.

    Raises
    ------
    Refused
        If an effect has no error to be judged by (identical views, for example).
    """
    errors = [test["ss_error"] for test in f_tests(selected.values).values()]
    if min(errors) <= 1e-24 * (selected.values**2).sum():  # pingouin would give F of rounding errors
        raise Refused("an effect has no spread between subjects (are the views copies of each other?)")
    table = selected.drop_vars(("participant", "trial"), errors="ignore").to_dataframe("value").reset_index()
    found = pingouin.rm_anova(table, dv="value", within=["view", "percent"], subject="subject", effsize="ng2")
    found = found.rename(columns=_PINGOUIN).assign(
        effect=EFFECTS,
        df1_gg=lambda t: t.epsilon * t.df1,
        df2_gg=lambda t: t.epsilon * t.df2,
        eta2_partial=lambda t: t.F * t.df1 / (t.F * t.df1 + t.df2),
        n_subjects=selected.sizes["subject"],
    )
    return found[_NUMBERS]


def perspective_anova(curves: xr.DataArray, unit: str, alpha: float = 0.05) -> pd.DataFrame:
    """The ANOVA of every keypoint and axis.

    With `unit="trial"` it is the published analysis: trials as subjects, although two of them come from one person,
    so that the test takes repeated measurements of one person for independent evidence. With `unit="participant"`
    the trials of a person are averaged first. The corrected degrees of freedom matter for time and interaction;
    perspective with two views has one degree of freedom and nothing to correct.

    Parameters
    ----------
    curves : xarray.DataArray
    unit : str
        "trial" or "participant".
    alpha : float

    Returns
    -------
    pandas.DataFrame
        keypoint, space, effect, F, df1, df2, p, epsilon, df1_gg, df2_gg, p_gg, eta2_partial, eta2_generalized,
        n_subjects, p_holm (over the curves, per effect), significant (p_gg < alpha), significant_holm, refused.
    """
    table = every_curve(curves, rm_anova, _NUMBERS, unit=unit)
    table.insert(11, "p_holm", holm(table, "p_gg", by=["effect"]))
    table.insert(12, "significant", table.p_gg < alpha)
    table.insert(13, "significant_holm", table.p_holm < alpha)
    return table


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """The table to read: a row per curve, and per effect F, degrees of freedom and p (Greenhouse-Geisser) in a cell."""
    rows = {}
    for row in table.itertuples():
        test = f"F({row.df1_gg:.3g}, {row.df2_gg:.3g}) = {row.F:.3g}, {p_text(row.p_gg)}"
        curve = rows.setdefault((row.space, row.keypoint), {"curve": f"{row.space} of {row.keypoint}"})
        curve |= {"refused": row.refused} if row.refused else {row.effect: test}
    return pd.DataFrame(rows.values()).fillna("")


def count_significant(table: pd.DataFrame, corrected: bool = False) -> int | None:
    """How many curves show an effect of perspective; None where every test was refused."""
    rows = table[(table.effect == "perspective") & (table.refused == "")]
    return int(rows["significant_holm" if corrected else "significant"].sum()) if len(rows) else None


def verdict(trials: pd.DataFrame, participants: pd.DataFrame, alpha: float = 0.05) -> str:
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
    names = curve_names(rows[(rows.effect == "perspective") & rows.significant_holm])
    time = rows[rows.effect == "time"]
    return (
        f"With {by_trial:.0f} trials as subjects the perspective effect is significant at {alpha:g} in {published} of "
        f"{(rows.effect == 'perspective').sum()} curves; with {by_person:.0f} participants as subjects in {plain}, and "
        f"in {sound} after Holm's correction{names}. "
        f"Epsilon for time is {time.epsilon.min():.3f} to {time.epsilon.max():.3f}, so that its {rows.df1.max():.0f} "
        f"nominal degrees of freedom are worth {time.df1_gg.min():.1f} to {time.df1_gg.max():.1f}; a time effect only "
        f"says that people move. {refusals(participants)}".strip()
    )


def conclusion(
    trials: pd.DataFrame, participants: pd.DataFrame, equivalence: pd.DataFrame, margin: str, alpha: float = 0.05
) -> str:
    """In how many curves the views differ, and in how many they are equivalent, as a list in Markdown.

    Parameters
    ----------
    trials, participants : pandas.DataFrame
        `perspective_anova` with each unit.
    equivalence : pandas.DataFrame
        Summary of `agreement.equivalence_table`.
    margin : str
        Of the equivalence, with its unit.
    alpha : float
    """
    tested = equivalence.p.notna().any()
    published, sound = count_significant(trials), count_significant(participants, corrected=True)
    said = {
        f"perspective effects as published (trials as subjects, alpha {alpha:g})": published,
        "perspective effects with participants as subjects, after Holm": sound,
        f"curves equivalent within {margin}": equivalence.equivalent.sum() if tested else None,
    }
    of = f" of {len(equivalence)}"
    return "\n".join(f"- {name}: {'not tested' if n is None else f'{n}{of}'}" for name, n in said.items())
