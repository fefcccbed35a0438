"""Reference numbers of a scale: what finished studies of several seeds found, and how far another one is from it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

# Times and memory belong to a machine.
_OF_A_MACHINE = re.compile(r"_per_(image|frame|s)(_|$)|^training_s$|time_ratio$")
RELATIVE_FLOOR = 0.05
COLUMNS = ("run", "number", "expected", "tolerance", "seeds")


def read_numbers(summary: str | Path) -> dict[tuple[str, str], float]:
    """Headline numbers of a study that do not depend on the machine.

    Parameters
    ----------
    summary : path-like
        A study's `summary.json`.

    Returns
    -------
    dict of (run, number) to float
        NaN for what could not be measured.

    Raises
    ------
    FileNotFoundError
        Naming the command that writes it.
    """
    summary = Path(summary)
    if not summary.is_file():
        raise FileNotFoundError(f"{summary}: expected a finished study, got none; type `make study SCALE=<its name>`")
    runs = json.loads(summary.read_text(encoding="utf-8"))
    return {
        (run, name): np.nan if value is None else float(value)
        for run, numbers in runs.items()
        for name, value in numbers.items()
        if run != "study" and not _OF_A_MACHINE.search(name)
    }


def expect(studies: Sequence[dict[tuple[str, str], float]]) -> pd.DataFrame:
    """What to expect of a study, from studies of the same scale with other seeds.

    The tolerance is twice the distance between the lowest and the highest seed, and at least 5 % of the number. What
    only some seeds could measure may be anything.

    Parameters
    ----------
    studies : sequence of dict
        As from `read_numbers`, with the same keys.

    Returns
    -------
    pandas.DataFrame
        Columns run, number, expected (the mean), tolerance, seeds (how many).

    Raises
    ------
    ValueError
        If the studies do not have the same numbers; names one that some lack.
    """
    lacking = sorted(set.union(*map(set, studies)) - set.intersection(*map(set, studies)))
    if lacking:
        raise ValueError(
            f"expected studies with the same numbers, got {' '.join(lacking[0])} (and {len(lacking) - 1} more) in some "
            "only; run all with the same code and configuration but for the seed"
        )
    values = np.array([list(map(study.get, studies[0])) for study in studies])
    middle, unknown = values.mean(0), np.isnan(values)
    tolerance = np.maximum(2 * np.ptp(values, 0), RELATIVE_FLOOR * abs(middle))
    tolerance[unknown.any(0) & ~unknown.all(0)] = np.inf
    found = {"expected": middle, "tolerance": tolerance, "seeds": len(studies)}
    return pd.DataFrame(list(studies[0]), columns=["run", "number"]).assign(**found)


def widen(expected: pd.DataFrame, study: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Take one more study into what is expected, such as one from another kind of processor.

    The values of the earlier ones are not kept, but their lowest and highest lie at least range / number from their
    mean, so that the range with the new one is at least its distance from that mean and so much more.

    Parameters
    ----------
    expected : pandas.DataFrame
        As from `expect`.
    study : dict
        As from `read_numbers`, with the same keys.

    Returns
    -------
    pandas.DataFrame
        As from `expect`, tolerances nowhere smaller.

    Raises
    ------
    ValueError
        If the study does not have the same numbers.
    """
    keys = list(expected[["run", "number"]].itertuples(index=False, name=None))
    if lacking := sorted(set(keys) ^ study.keys()):
        raise ValueError(f"expected a study with the same numbers, got {' '.join(lacking[0])} on one side only")
    value, n = pd.Series([study[key] for key in keys]), expected.seeds
    middle, tolerance = expected.expected, expected.tolerance
    ranges = (tolerance / 2).where(tolerance > 1.01 * RELATIVE_FLOOR * middle.abs(), 0)  # under the floor: unknown
    tolerance = np.fmax(tolerance, 2 * ((value - middle).abs() + ranges / n))
    tolerance = tolerance.mask(value.isna() != middle.isna(), np.inf)
    return expected.assign(expected=(n * middle + value) / (n + 1), tolerance=tolerance, seeds=n + 1)


def read_expected(path: str | Path) -> pd.DataFrame:
    """Read a table of `expect` from a CSV file.

    Raises
    ------
    FileNotFoundError
        Naming the command that writes it.
    ValueError
        If it has other columns.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: expected reference numbers, got none; `studykit expect {path.stem}` writes them"
        )
    table = pd.read_csv(path)
    if tuple(table) != COLUMNS:
        raise ValueError(f"{path}: expected columns {', '.join(COLUMNS)}, got {', '.join(table)}; write it anew")
    return table


def moved(numbers: dict[tuple[str, str], float], expected: pd.DataFrame) -> list[str]:
    """Which numbers of a study lie farther from what was expected than they may, and by how much.

    Parameters
    ----------
    numbers : dict
        As from `read_numbers`.
    expected : pandas.DataFrame
        As from `expect`.

    Returns
    -------
    list of str
        One sentence each; numbers that came or went are named too.
    """
    reference = expected.set_index(["run", "number"])
    said = []
    for key, (value, tolerance, _) in reference.iterrows():
        got = numbers.get(key)
        if got is None:
            said.append(f"{' '.join(key)}: expected {value:.4g}, got no such number")
        elif (tolerance != np.inf and np.isnan(value) != np.isnan(got)) or abs(got - value) > tolerance:
            said.append(
                f"{' '.join(key)}: expected {value:.4g} ± {tolerance:.2g}, got {got:.4g}, moved by {got - value:+.2g}"
            )
    new = [key for key in numbers if key not in reference.index]
    return said + [f"{' '.join(key)}: expected no such number, got {numbers[key]:.4g}" for key in new]
