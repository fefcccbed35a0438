"""Who counts as one subject: trials, as in the paper, or participants."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pingouin import multicomp

MIN_SUBJECTS = 3  # with fewer there is no spread between people to judge an effect by
DIMENSIONS = ("participant", "trial", "view", "keypoint", "space", "percent")


class Refused(ValueError):
    """A test that these data do not allow; its message is the reason, and the other tests go on."""


def as_curves(curves: xr.DataArray) -> xr.DataArray:
    """Curves in the order of `DIMENSIONS`; NaN where a trial, a view or a keypoint is missing.

    Raises
    ------
    ValueError
        If a dimension is missing.
    """
    missing = [name for name in DIMENSIONS if name not in curves.dims]
    if missing:
        raise ValueError(f"curves: expected the dimensions {DIMENSIONS}, got {curves.dims}; {missing} missing")
    return curves.transpose(*DIMENSIONS)


def select(
    curves: xr.DataArray, keypoint: str, space: str, unit: str = "participant", minimum: int = MIN_SUBJECTS
) -> xr.DataArray:
    """One keypoint's curves by subject; a trial counts if both views are complete.

    Parameters
    ----------
    curves : xarray.DataArray
        As from `as_curves`.
    keypoint, space : str
    unit : str
        "trial": every trial is a subject (as published); "participant": the mean of a participant's trials is.
    minimum : int
        Participants below which the selection is refused; 1 for what only describes.

    Returns
    -------
    xarray.DataArray (subject, percent, view)
        With coordinates `participant (subject)`, `trial (subject)` (the number of trials where they are averaged)
        and the attributes of the curves.

    Raises
    ------
    Refused
        If there are fewer than two views, no complete trial, or fewer than `minimum` participants.
    """
    if unit not in ("trial", "participant"):
        raise ValueError(f'unit: expected "trial" or "participant", got {unit!r}')
    if curves.sizes["view"] < 2:
        raise Refused(f"needs two views of each trial, got {curves.sizes['view']} ({', '.join(curves.view.values)})")
    one = curves.sel(keypoint=keypoint, space=space).stack(subject=("participant", "trial"))  # noqa: PD013
    one = one.transpose("subject", "percent", "view")
    one = one[np.isfinite(one).all(("percent", "view")).values]
    if one.sizes["subject"] == 0:
        raise Refused(
            f"no trial has complete cycles in every view (participants: {curves.sizes['participant']}; "
            f"at least {minimum} with such a trial are needed)"
        )
    people, index, counts = np.unique(one.participant.values, return_inverse=True, return_counts=True)
    if len(people) < minimum:
        raise Refused(
            f"needs at least {minimum} participants, got {len(people)}: the spread between people cannot be estimated"
        )
    values, participants, trials = one.values, one.participant.values, one.trial.values
    if unit == "participant":
        values = np.zeros((len(people), *one.shape[1:]))
        np.add.at(values, index, one.values)
        values, participants, trials = values / counts[:, None, None], people, counts
    coords = {"participant": ("subject", participants), "trial": ("subject", trials)}
    coords |= {"percent": one.percent.values, "view": one.view.values}
    return xr.DataArray(values, coords, ("subject", "percent", "view"), attrs=curves.attrs)


def difference(selected: xr.DataArray) -> np.ndarray:
    """First view minus second view.

    Parameters
    ----------
    selected : xarray.DataArray (subject, percent, view)

    Returns
    -------
    ndarray (subject, percent)

    Raises
    ------
    Refused
        If there are not exactly two views, or the difference is the same for everyone.
    """
    if selected.sizes["view"] != 2:
        raise Refused(f"compares two views, got {selected.sizes['view']}; select two of them")
    values = selected.values[..., 0] - selected.values[..., 1]
    if np.ptp(values, axis=0).max() <= 1e-12 * max(np.abs(values).max(), 1e-300):
        raise Refused("the views differ by the same amount in every subject: nothing to estimate")
    return values


def every_curve(
    curves: xr.DataArray,
    test: Callable[..., pd.DataFrame],
    columns: list[str],
    unit: str = "participant",
    minimum: int = MIN_SUBJECTS,
    **options: Any,
) -> pd.DataFrame:
    """One test on each keypoint and axis; if one curve is refused, the others go on.

    Parameters
    ----------
    curves : xarray.DataArray
    test : function
        `test(selected, **options)` returns a DataFrame or raises `Refused`.
    columns : list of str
        Of the test's tables.
    unit, minimum
        As in `select`.
    **options
        Handed to the test.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, the columns, and `refused`: "" or the reason.
    """
    curves = as_curves(curves)
    rows = []
    for keypoint, space in itertools.product(curves.keypoint.values.tolist(), curves.space.values.tolist()):
        where = {"keypoint": keypoint, "space": space}
        try:
            rows.append(test(select(curves, keypoint, space, unit, minimum), **options).assign(**where, refused=""))
        except Refused as reason:
            rows.append(pd.DataFrame([{**where, "refused": str(reason)}]))
    return pd.concat(rows, ignore_index=True).reindex(columns=["keypoint", "space", *columns, "refused"])


def holm(table: pd.DataFrame, p: str, by: Sequence[str] = ()) -> pd.Series:
    """Holm's correction over the curves that were tested (Holm 1979).

    Parameters
    ----------
    table : pandas.DataFrame
    p : str
        Column of p values; NaN rows (refused tests) are left out of the family.
    by : sequence of str
        Columns that make separate families, such as the effect and the method.

    Returns
    -------
    pandas.Series
        Adjusted p values, aligned with the table.
    """
    if p not in table:
        return pd.Series(np.nan, index=table.index)
    families = table.groupby(list(by) or np.zeros(len(table)), dropna=False)[p]
    return families.transform(lambda family: multicomp(family.astype(float), method="holm")[1])


def sizes(curves: xr.DataArray) -> dict[str, int]:
    """How many participants and trials have at least one keypoint complete in every view.

    Returns
    -------
    dict of str to int
        n_participants, n_trials.
    """
    complete = np.isfinite(as_curves(curves)).all(("view", "percent")).any(("keypoint", "space"))
    return {"n_participants": int(complete.any("trial").sum()), "n_trials": int(complete.sum())}


def exclusions(curves: xr.DataArray) -> pd.DataFrame:
    """Trials that no test can use, and why.

    Returns
    -------
    pandas.DataFrame
        participant, trial, view, keypoint, space, reason; empty if all is complete.
    """
    curves = as_curves(curves)
    found = np.isfinite(curves)
    present = found.any(("view", "keypoint", "space", "percent"))
    lacking = (~found.all("percent") & present).stack(row=DIMENSIONS[:-1])  # noqa: PD013
    table = lacking[lacking.values].row.to_index().to_frame(index=False)
    nothing = [not bool(found.sel(row).any()) for row in table.to_dict("records")]
    return table.assign(reason=np.where(nothing, "no curve", "not finite at every percent"))


def refusals(table: pd.DataFrame) -> str:
    """The reasons for which tests were refused, each once, in one sentence; "" if none was."""
    if "refused" not in table:
        return ""
    counts, all_of = table[table.refused != ""].groupby("refused", sort=False).size(), f"of {len(table)} tests"
    said = [f"{n} {all_of} {'was' if n == 1 else 'were'} refused: {reason}." for reason, n in counts.items()]
    return " ".join(said)


def curve_names(rows: pd.DataFrame) -> str:
    """The curves of a table for a sentence: " (x of knee, y of heel)"; "" if there are none."""
    return f" ({', '.join(rows.space + ' of ' + rows.keypoint)})" if len(rows) else ""


def in_how_many(rows: pd.DataFrame, sentence: str, nothing: str) -> str:
    """A sentence of an effect, with the curves that show it after Holm's correction; `nothing` if all were refused."""
    tested = rows[rows.refused == ""]
    if tested.empty:
        return f"{nothing}. {refusals(rows)}"
    found = tested[tested.significant]
    return f"{sentence} in {len(found)} of {len(tested)} curves after Holm's correction{curve_names(found)}."


def p_text(p: float) -> str:
    """A p value for a sentence: "p = 0.023", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
