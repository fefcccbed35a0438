"""What a notebook leaves for the report: its headline numbers and its tables; and what it needs from others."""

import json
import math
from numbers import Real
from pathlib import Path

from studykit.files import replacing


def headline(run, reports, **values):
    """Keep the few numbers that a run is judged by, in `<reports>/headline/<run>.json`.

    `reports/<scale>/summary.json` collects them, so that each number has one home.

    Parameters
    ----------
    run : str
        The notebook's name, or `notebook/variant` where one notebook runs several times.
    reports : path-like
        The study's folder of reports.
    **values : number or None
        Named with their unit (`event_mae_s`). None and NaN mean that it could not be measured.

    Returns
    -------
    dict
        The values as they were written, 10 significant digits.

    Raises
    ------
    TypeError
        If a value is not a single number.
    """
    numbers = {name: _number(run, name, value) for name, value in values.items()}
    write_text(Path(reports) / "headline" / f"{run}.json", json.dumps(numbers, indent=1) + "\n")
    return numbers


def _number(run, name, value):
    if value is None:
        return None
    value = value.item() if getattr(value, "ndim", None) == 0 else value  # NumPy and xarray scalars
    if not isinstance(value, Real):
        raise TypeError(f"{run}: expected a number for the headline {name!r}, got {type(value).__name__}")
    if isinstance(value, int):
        return int(value)
    return float(f"{value:.10g}") if math.isfinite(value) else None


def save_table(table, path_without_suffix):
    """Write a table as CSV: 10 significant digits, the same bytes on every system.

    Parameters
    ----------
    table : pandas.DataFrame
        A meaningful index must have been reset; it is not written.
    path_without_suffix : path-like
        Such as `<reports>/tables/<run>/<name>`.

    Returns
    -------
    pandas.DataFrame
        The table itself, to be shown in the notebook.
    """
    path = Path(path_without_suffix)
    text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_text(path.with_name(path.name + ".csv"), text)
    return table


def require(path, made_by):
    """The path of an input, once it is certain that it exists.

    Parameters
    ----------
    path : path-like
    made_by : str
        Name of the notebook that writes it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        Naming the command that makes the input.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: not there yet; notebook {made_by} makes it: type `make study`, or run {made_by}.ipynb first"
        )
    return path


def write_text(path, text):
    """Write a text file whole or not at all, with its folders."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
