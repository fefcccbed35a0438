"""A notebook's parameters: read from its `parameters` cell, which is their only home, and checked before it runs."""

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NUMBER = r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?<![\w.])({_NUMBER}) to ({_NUMBER})(?![\w.]*\w)")
_CHOICE = re.compile(rf"\"[^\"]*\"|'[^']*'|True|False|None|{_NUMBER}")
_TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "None": type(None)}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: its type, default and, from its comment, range or choices."""

    name: str
    types: tuple
    default: Any
    comment: str
    bounds: tuple | None = None  # lowest and highest value allowed, both included
    choices: tuple | None = None


def read_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Parameters that a notebook declares in the cell tagged `parameters`.

    Each is one line, `name: type = literal  # meaning, unit; range or choices`. A range reads `1 to 100`, choices read
    `one of "neck" (paper), "mid_hip"`; both hold for each element of a list.

    Parameters
    ----------
    notebook : path-like

    Returns
    -------
    dict of str to Parameter

    Raises
    ------
    ValueError
        If there is not exactly one such cell, or a line of it is not in that form; names every such line.
    """
    notebook = Path(notebook)
    cells = [cell for cell in read_cells(notebook) if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{notebook.name}: expected one cell tagged `parameters`, got {len(cells)}")
    source = "".join(cells[0]["source"])
    comments = _comments(source)
    parameters, faults = {}, []
    for line in ast.parse(source).body:
        try:
            parameter = _parameter(line, comments)
        except ValueError as error:
            faults.append(f"line {line.lineno} of its parameters cell: {error}")
        else:
            parameters[parameter.name] = parameter
    faults += [fault for p in parameters.values() for fault in _faults(p, p.default, "its default")]
    _refuse(notebook, faults)
    return parameters


def read_cells(notebook: str | Path) -> list[dict]:
    """Cells of a notebook file, as they stand in its JSON."""
    try:
        return json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{notebook}: expected a notebook of format 4, got {type(error).__name__}") from error


def validate(notebook: str | Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of one run: the notebook's own, those of `overrides` replaced, checked.

    Parameters
    ----------
    notebook : path-like
    overrides : mapping of str to value
        A whole number is accepted for a float; nothing else is converted.

    Returns
    -------
    dict of str to value

    Raises
    ------
    ValueError
        Naming the notebook and every override that is unknown, ill-typed, out of range or not a choice.
    """
    parameters = read_parameters(notebook)
    values = {name: parameter.default for name, parameter in parameters.items()}
    faults = []
    for name, value in overrides.items():
        if name not in parameters:
            faults.append(f"{name}: unknown parameter, expected one of {', '.join(parameters)}")
            continue
        faults += _faults(parameters[name], value, "")
        values[name] = _as_float(parameters[name], value)
    _refuse(Path(notebook), faults)
    return values


def _refuse(notebook, faults):
    if faults:
        raise ValueError(f"{notebook.name}: " + "; ".join(faults))


def _comments(source):
    """Comment of each line of code."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _parameter(line, comments):
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None):
        raise ValueError(f"expected `name: type = literal`, got `{ast.unparse(line)}`")
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise ValueError(f"{line.target.id}: expected a literal, got `{ast.unparse(line.value)}`") from None
    comment = " ".join(comments[n] for n in range(line.lineno, line.end_lineno + 1) if n in comments)
    return Parameter(line.target.id, _annotated_types(line), default, comment, _bounds(comment), _choices(comment))


def _annotated_types(line):
    names = [part.strip().partition("[")[0] for part in ast.unparse(line.annotation).split("|")]
    unknown = [name for name in names if name not in _TYPES]
    if unknown:
        raise ValueError(f"{line.target.id}: expected a type of {', '.join(_TYPES)}, got `{unknown[0]}`")
    return tuple(_TYPES[name] for name in names)


def _bounds(comment):
    found = _RANGE.search(comment)
    if found is None or "one of" in comment:
        return None
    return tuple(float(end) for end in found.groups())


def _choices(comment):
    _, found, listed = comment.partition("one of ")
    if not found:
        return None
    listed = re.sub(r"\([^)]*\)", "", listed).partition(";")[0]
    return tuple(ast.literal_eval(choice) for choice in _CHOICE.findall(listed)) or None


def _as_float(parameter, value):
    """Whole numbers given for a float become one, so that a run does not depend on how its number was typed."""
    if isinstance(value, int) and not isinstance(value, bool) and float in parameter.types:
        return value if int in parameter.types else float(value)
    return value


def _faults(parameter, value, what):
    """What is wrong with a value, in words."""
    where = f"{parameter.name}: {what} " if what else f"{parameter.name}: "
    value = _as_float(parameter, value)
    if not any(type(value) is kind for kind in parameter.types):
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in parameter.types)
        return [f"{where}expected {names}, got {value!r} ({type(value).__name__})"]
    faults = []
    for element in value if isinstance(value, list) else [value]:
        if parameter.choices is not None and element is not None and element not in parameter.choices:
            faults.append(f"{where}expected one of {', '.join(map(repr, parameter.choices))}, got {element!r}")
        elif parameter.bounds is not None and isinstance(element, int | float):
            low, high = parameter.bounds
            if not low <= element <= high:  # NaN fails too
                faults.append(f"{where}expected {low:g} to {high:g}, got {element!r}")
    return faults
