"""Linear mixed models of scalars: does a view give another stride time, step length, speed or range of motion?"""

import warnings

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
import xarray as xr
from scipy import stats

from studykit.stats.subjects import MIN_SUBJECTS, Refused, holm, refusals
from studykit.wording import heading

KEYS = ("participant", "trial", "view")
# Random terms of a model with repeated trials, from full to what is left where variances are zero.
DESIGNS = (("participant", "perspective", "trial"), ("participant", "perspective"), ("participant",))


def scalars(*tables: pd.DataFrame) -> pd.DataFrame:
    """One value per participant, trial and view of every numeric column.

    Parameters
    ----------
    *tables : pandas.DataFrame
        With the columns participant, trial, view, and one per quantity; rows of one recording (its sides, its strides)
        are averaged.

    Returns
    -------
    pandas.DataFrame
        participant, trial, view, quantity, value.
    """
    parts = []
    for table in tables:
        missing = [name for name in KEYS if name not in table]
        if missing:
            raise ValueError(f"scalars: expected the columns {KEYS}, got none named {missing}")
        quantities = table.select_dtypes("number").columns.difference(KEYS, sort=False)
        means = table.groupby(list(KEYS), as_index=False)[list(quantities)].mean()
        parts.append(means.melt(id_vars=list(KEYS), var_name="quantity").dropna(subset="value"))
    return pd.concat(parts)


def ranges_of_motion(angles: xr.DataArray) -> pd.DataFrame:
    """Range of every joint angle over the cycle.

    Parameters
    ----------
    angles : xarray.DataArray (participant, trial, view, joint, percent)
        deg.

    Returns
    -------
    pandas.DataFrame
        participant, trial, view, and `<joint>_range_deg` for each joint; rows without any angle left out.
    """
    ranges = (angles.max("percent", skipna=False) - angles.min("percent", skipna=False)).to_dataset("joint")
    table = ranges.to_dataframe()[list(ranges)].add_suffix("_range_deg")
    return table.dropna(how="all").reset_index()


def mixed_model(data: pd.DataFrame, samples: int = 2000, seed: int = 0) -> dict[str, float | str]:
    """Mixed model of one quantity with perspective as fixed effect, fitted by REML.

    Random: each participant's level and *each participant's own perspective effect*, and each trial's level within
    the participant. Without the second, a person's two trials would count as independent evidence again. Where
    people have one trial each, only their level can be estimated. In a balanced design the test equals the paired t
    test of participant means, and like it has participants - 1 degrees of freedom (statsmodels' own z ignores how
    few people there are).

    Parameters
    ----------
    data : pandas.DataFrame
        participant, trial, view, value; only trials with both views are used.
    samples : int
        Bootstrap samples of whole participants; the variances stay as estimated from all (generalised least squares).
    seed : int

    Returns
    -------
    dict
        difference (first view minus second), low, high (95 %), t, df, p, boot_low, boot_high, mean, random (terms
        of the model), sd_participant, sd_perspective, sd_trial, sd_residual, n_subjects, n_trials, note (which
        variances are estimated as zero: a singular fit).

    Raises
    ------
    Refused
        If views or participants are too few, nothing varies, or the fit does not converge.
    """
    views = sorted(data.view.unique())
    if len(views) != 2:
        raise Refused(f"compares two views, got {len(views)} ({', '.join(views)})")
    pairs = data.pivot_table("value", ["participant", "trial"], "view").dropna()
    both = data.set_index(["participant", "trial"]).loc[pairs.index].reset_index()
    n = both.participant.nunique()
    if n < MIN_SUBJECTS:
        raise Refused(f"needs at least {MIN_SUBJECTS} participants with both views of a trial, got {n}")
    spread = both.value.std()
    if not (pairs[views[0]] - pairs[views[1]]).std() > 1e-9 * max(spread, 1e-300):
        raise Refused("the views differ by the same amount in every trial: nothing to estimate")
    both["perspective"] = np.where(both.view == views[0], 0.5, -0.5)
    both["scaled"] = (both.value - both.value.mean()) / spread
    repeated = both.groupby("participant").trial.nunique().ge(2).sum() >= MIN_SUBJECTS
    designs = DESIGNS if repeated else DESIGNS[-1:]
    fit, terms = _fit(both, designs)
    variances = dict(zip(terms, [*np.diag(fit.cov_re), *fit.vcomp], strict=True)) | {"residual": fit.scale}
    empty = [name for name in designs[0] if variances.get(name, 0) < 1e-4 * fit.scale]
    estimate, error = fit.fe_params["perspective"] * spread, fit.bse_fe["perspective"] * spread
    half, t = stats.t.isf(0.025, n - 1) * error, estimate / error
    row = {"n_subjects": n, "n_trials": len(pairs), "mean": both.value.mean(), "difference": estimate}
    row |= {"low": estimate - half, "high": estimate + half, "t": t, "df": n - 1, "p": 2 * stats.t.sf(abs(t), n - 1)}
    row["boot_low"], row["boot_high"] = _bootstrap(both, fit, terms, samples, seed) * spread
    row |= {f"sd_{name}": np.sqrt(max(value, 0)) * spread for name, value in variances.items()}
    note = f"singular: no variance of {' and '.join(empty)}" if empty else ""
    return row | {"random": ", ".join(terms), "note": note}


def _fit(both, designs):
    """The first of the designs that can be fitted; a variance of zero may make the fuller ones impossible."""
    for terms in designs:
        options = {"re_formula": "~perspective" if "perspective" in terms else "1"}
        if "trial" in terms:
            options["vc_formula"] = {"trial": "0 + C(trial)"}
        model = smf.mixedlm("scaled ~ perspective", both, groups="participant", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a variance at its boundary is reported in `note`
            try:
                # The gradient methods stop early at a variance of zero and still call it converged.
                fit = model.fit(reml=True, method="powell")
            except np.linalg.LinAlgError:
                continue
            if fit.converged and np.isfinite(fit.bse_fe).all():
                return fit, terms
    raise Refused("the mixed model did not converge, however simple")


def _bootstrap(both, fit, terms, samples, seed):
    """95 % percentile interval of the fixed effect over participants drawn anew.

    The estimate is (sum_i X_i' V_i^-1 X_i)^-1 sum_i X_i' V_i^-1 y_i over participants i, so that a draw needs only
    new sums of the same terms.
    """
    left, right = [], []
    for _, person in both.groupby("participant"):
        x = np.column_stack([np.ones(len(person)), person.perspective])
        z = x if "perspective" in terms else x[:, :1]
        covariance = z @ fit.cov_re.to_numpy() @ z.T + fit.scale * np.eye(len(person))
        if "trial" in terms:
            covariance += fit.vcomp[0] * (person.trial.to_numpy()[:, None] == person.trial.to_numpy())
        weighted = np.linalg.solve(covariance, x)
        left.append(weighted.T @ x)
        right.append(weighted.T @ person.scaled.to_numpy())
    n = len(left)
    draws = np.random.default_rng([seed, n]).multinomial(n, np.full(n, 1 / n), samples).astype(float)
    left, right = np.tensordot(draws, np.array(left), 1), draws @ np.array(right)
    return np.percentile(np.linalg.solve(left, right[..., None])[:, 1, 0], [2.5, 97.5])


def mixed_table(table: pd.DataFrame, alpha: float = 0.05, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mixed model of every quantity, with Holm's correction over them.

    Parameters
    ----------
    table : pandas.DataFrame
        participant, trial, view, quantity, value, as from `scalars`.
    alpha : float
    samples, seed
        As in `mixed_model`.

    Returns
    -------
    pandas.DataFrame
        quantity, the values of `mixed_model`, p_holm, significant (after Holm), refused.
    """
    rows = []
    for quantity, data in table.groupby("quantity", sort=False):
        try:
            rows.append({"quantity": quantity, **mixed_model(data, samples, seed), "refused": ""})
        except Refused as reason:
            rows.append({"quantity": quantity, "refused": str(reason)})
    columns = ["quantity", "n_subjects", "n_trials", "mean", "difference", "low", "high", "boot_low", "boot_high"]
    columns += ["t", "df", "p", "sd_participant", "sd_perspective", "sd_trial", "sd_residual", "random", "note"]
    found = pd.DataFrame(rows).reindex(columns=[*columns, "refused"])
    found.insert(12, "p_holm", holm(found, "p"))
    found.insert(13, "significant", found.p_holm < alpha)
    return found


def verdict(found: pd.DataFrame) -> str:
    """What the mixed models say, in words.

    Parameters
    ----------
    found : pandas.DataFrame
        From `mixed_table`.

    Returns
    -------
    str
    """
    tested = found[found.refused == ""]
    if tested.empty:
        return f"No mixed model. {refusals(found) or 'No quantity has a value.'}"
    different = tested[tested.significant]
    largest = tested.loc[(tested.difference / tested["mean"].abs()).abs().idxmax()]
    noted = tested[tested.note != ""]
    names = ", ".join(different.quantity.map(heading))
    return (
        f"The view changes {len(different)} of {len(tested)} quantities after Holm's correction"
        f"{f' ({names})' if names else ''}. The largest difference relative to its mean is that of "
        f"{heading(largest.quantity)}: {largest.difference:.3g} on a mean of {largest['mean']:.3g} (95 % "
        f"{largest.low:.3g} to {largest.high:.3g}; bootstrap over participants {largest.boot_low:.3g} to "
        f"{largest.boot_high:.3g}). {len(noted)} of {len(tested)} fits are singular (a variance estimated as zero). "
        f"{refusals(found)}".strip()
    )
