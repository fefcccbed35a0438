"""Tables and numbers of results as the site shows them."""

import re

import pandas as pd
from markupsafe import Markup

from studykit.wording import heading, readable


def duration(seconds: float) -> str:
    """Seconds or minutes, whichever says more."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def table_html(table: pd.DataFrame, about: str) -> Markup:
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


def scrolling(html: Markup, about: str) -> Markup:
    """A wide thing in a box of its own, so that the page itself never moves sideways."""
    box = Markup('<div class="wide" tabindex="0" role="region" aria-label="{}">').format(about)
    return box + html + Markup("</div>")


def tidy_table(html: str) -> str:
    """A table as a notebook shows it, without pandas' style and count of rows; numbers of over five digits cut to four.

    The CSV file beside it has all digits.
    """
    html = re.sub(r"<style scoped>.*?</style>", "", html, flags=re.DOTALL)
    counted = re.findall(r"<tr>\s*<th>(\d+)</th>", html)
    if counted == [str(n) for n in range(html.count("<tr>"))]:
        html = re.sub(r"(<tr[^>]*>\s*)<th>[^<]*</th>", r"\1", html)
    return re.sub(r"(?<=<td>)-?\d+\.\d+(?:e[+-]?\d+)?(?=</td>)", _four_digits, html)


def _four_digits(found):
    digits = re.sub(r"\D|e.*", "", found[0]).lstrip("0")
    return found[0] if len(digits) < 6 else f"{float(found[0]):.4g}"
