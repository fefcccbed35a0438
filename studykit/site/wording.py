"""Names and numbers of results as a reader of the site should meet them."""

import math
import re

from markupsafe import Markup

_UNITS = {  # of two that fit, the first one counts
    "frames_per_s": "frames/s",
    "s_per_image": "s/image",
    "ms_per_image": "ms/image",
    "ms_per_frame": "ms/frame",
    "steps_min": "steps/min",
    "percent": "%",
    "m_s": "m/s",
    "ms": "ms",
    "s": "s",
    "m": "m",
    "mm": "mm",
    "px": "px",
    "deg": "°",
    "gb": "GB",
    "hz": "Hz",
}
_WORDS = {
    "n": "",
    "mae": "mean absolute error",
    "rms": "root mean square",
    "sd": "SD",
    "std": "SD",
    "fps": "frames/s",
    **{name: name.upper() for name in ("p", "pck", "ap", "ar", "mse", "rmse", "spm", "anova", "df", "f", "id", "csv")},
    "p": "p",
    "x": "x",
    "y": "y",
}
_DISTANCE = re.compile(r"(\d)(px|mm|m|s)$")


def label(name):
    """A name in words: `n_trials` is "Trials", `event_mae_s` "Event mean absolute error" (its unit is for `unit`)."""
    stem = name.removesuffix(_suffix(name)) or ("speed" if name.startswith("frames") else "time")
    words = re.sub(r"[_\-\s]+", " ", stem).split()
    said = " ".join(_DISTANCE.sub(r"\1 \2", _WORDS.get(word, word)) for word in words).strip() or name
    return said if len(said) == 1 else said[0].upper() + said[1:]


def unit(name):
    """The unit that a name ends in, as it is printed; "" if it names none."""
    return _UNITS.get(_suffix(name), "")


def heading(name):
    """A name in words with its unit: `event_mae_s` is "Event mean absolute error (s)"."""
    return f"{label(name)} ({unit(name)})" if unit(name) else label(name)


def labelled(numbers):
    """Headline numbers as (label, value with unit); a dash for what could not be measured."""
    return [(label(name), number(value, unit(name))) for name, value in numbers.items()]


def number(value, measured_in=""):
    """Four digits with a unit, thousands apart; a dash for None, infinity by its sign."""
    if value is None:
        return "–"
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "-∞"
    whole = isinstance(value, int) or abs(value) >= 10_000 or (abs(value) >= 1000 and value == int(value))
    shown = f"{round(value):,}".replace(",", "\u202f") if whole else f"{value:.4g}"
    return f"{shown}\u00a0{measured_in}".strip()


def duration(seconds):
    """Seconds or minutes, whichever says more."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def table_html(table, about):
    """A table of results: headings in words with their units, four digits, and a region that scrolls by keyboard.

    Parameters
    ----------
    table : pandas.DataFrame
    about : str
        What it shows, for those who hear the page.

    Returns
    -------
    markupsafe.Markup
    """
    heads = {name: heading(str(name)) for name in table}
    return scrolling(Markup(readable(table).rename(columns=heads).to_html(index=False, border=0)), about)


def readable(table):
    """A table with its floats as `number` writes them, and nothing where a value is missing."""
    if table.empty:  # pandas maps no empty columns of text
        return table
    shown = table.map(lambda cell: number(cell) if isinstance(cell, float) and cell == cell else cell)
    return shown.where(table.notna(), "")


def scrolling(html, about):
    """A wide thing in a box of its own, so that the page itself never moves sideways."""
    box = Markup('<div class="wide" tabindex="0" role="region" aria-label="{}">').format(about)
    return box + html + Markup("</div>")


def tidy_table(html):
    """A table as a notebook shows it, without pandas' style and count of rows; numbers of over five digits cut to four.

    The CSV file beside it has all digits.
    """
    html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
    counted = re.findall(r"<tr>\s*<th>(\d+)</th>", html)
    if counted == [str(n) for n in range(html.count("<tr>"))]:
        html = re.sub(r"(<tr[^>]*>\s*)<th>\d*</th>", r"\1", html)
    return re.sub(r"(?<=<td>)-?\d+\.\d+(?:e[+-]?\d+)?(?=</td>)", _four_digits, html)


def _four_digits(found):
    digits = re.sub(r"\D|e.*", "", found[0]).lstrip("0")
    return found[0] if len(digits) < 6 else f"{float(found[0]):.4g}"


def _suffix(name):
    """The unit in a name; a name may be nothing else, as `frames_per_s` is."""
    return next((unit for unit in _UNITS if name.endswith(f"_{unit}") or (name == unit and "_per_" in name)), "")
