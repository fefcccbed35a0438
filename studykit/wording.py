"""Names and numbers of results as a reader should meet them."""

import math
import re
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from IPython.display import Markdown

# Of two that fit, the first one counts.
_UNITS = {"frames_per_s": "frames/s", "s_per_image": "s/image", "ms_per_image": "ms/image", "ms_per_frame": "ms/frame"}
_UNITS |= {"steps_min": "steps/min", "percent": "%", "m_s": "m/s", "px_s": "px/s", "deg": "°", "gb": "GB", "hz": "Hz"}
_UNITS |= {name: name for name in ("ms", "s", "m", "mm", "px")}
_WORDS = {"n": "", "mae": "mean absolute error", "rms": "root mean square", "sd": "SD", "std": "SD", "fps": "frames/s"}
_WORDS |= {name: name.upper() for name in ("pck", "ap", "ar", "mse", "rmse", "spm", "anova", "df", "f", "id", "csv")}
_DISTANCE = re.compile(r"(\d)(px|mm|m|s)$")


def label(name: str) -> str:
    """A name in words: `n_trials` is "Trials", `event_mae_s` "Event mean absolute error" (its unit is for `unit`)."""
    stem = name.removesuffix(_suffix(name)) or ("speed" if name.startswith("frames") else "time")
    words = re.sub(r"[_\-\s]+", " ", stem).split()
    said = " ".join(_DISTANCE.sub(r"\1 \2", _WORDS.get(word, word)) for word in words).strip() or name
    return said if len(said) == 1 else said[0].upper() + said[1:]


def unit(name: str) -> str:
    """The unit that a name ends in, as it is printed; "" if it names none."""
    return _UNITS.get(_suffix(name), "")


def heading(name: str) -> str:
    """A name in words with its unit: `event_mae_s` is "Event mean absolute error (s)"."""
    return f"{label(name)} ({unit(name)})" if unit(name) else label(name)


def number(value: float | None, measured_in: str = "") -> str:
    """Four digits with a unit, thousands apart; a dash for None, infinity by its sign."""
    if value is None:
        return "–"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "-∞"
    whole = isinstance(value, int) or abs(value) >= 10_000 or (abs(value) >= 1000 and value == int(value))
    shown = f"{round(value):,}".replace(",", "\u202f") if whole else f"{value:.4g}"
    return f"{shown}\u00a0{measured_in}".strip()


def readable(table: pd.DataFrame, empty: str | None = None) -> "pd.DataFrame | Markdown":
    """A table with its floats as `number` writes them, and nothing where a value is missing.

    A table without rows stays as it is, or becomes the sentence `empty`.
    """
    if table.empty:  # pandas maps no empty columns of text
        from IPython.display import Markdown

        return table if empty is None else Markdown(empty)
    shown = table.map(lambda cell: number(cell) if isinstance(cell, float) and cell == cell else cell)
    return shown.where(table.notna(), "")


def _suffix(name: str) -> str:
    """The unit in a name; a name may be nothing else, as `frames_per_s` is."""
    return next((unit for unit in _UNITS if name.endswith(f"_{unit}") or (name == unit and "_per_" in name)), "")
