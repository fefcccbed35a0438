"""An executed notebook as a page of the site: no script, no network, from a file."""

import base64
import re
from copy import deepcopy
from html import unescape
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import mistune
from markupsafe import Markup
from traitlets.config import Config

from studykit.site.wording import duration, scrolling, tidy_table
from studykit.wording import heading, label, number, unit

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent / "templates"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURES = {"image/png": "png", "image/svg+xml": "svg", "image/jpeg": "jpg"}
_LARGE_SVG = 600_000  # bytes; above it a picture in pixels loads faster


def notebook_page(
    notebook: "NotebookNode",
    run: str,
    reports: str | Path | None = None,
    record: dict | None = None,
    before: dict | None = None,
    after: dict | None = None,
) -> str:
    """An executed notebook as one HTML page: contents, code folded away, provenance, the way to its neighbours.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    run : str
        Its run, for the way back to the study's page.
    reports : path-like, optional
        The study's folder of reports: figures that are saved there are shown from there, with links to their files.
        Without it, the page carries its pictures inside.
    record : dict, optional
        What is known about how it was made, as in `runs/<run>.json`.
    before, after : dict, optional
        Neighbouring pages: page (from the folder of reports), short (title).

    Returns
    -------
    str
    """
    from nbconvert import HTMLExporter  # half a second that the study's page does not need

    title, home = opening(notebook.cells, run)[0], "../" * (run.count("/") + 1)
    priority = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain"]
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": priority}}),
        template_name="notebook",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_anchor_links=True,
    )
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", enabled=True)
    notebook = deepcopy(notebook)
    for cell in notebook.cells:
        if "outputs" in cell:  # a progress bar is a widget; without its script only its first moment would be left
            data = [output.get("data", {}) for output in cell.outputs]
            kept = [_WIDGET not in shown or "image/png" in shown for shown in data]  # a view: widgets.views
            cell.outputs = list(compress(cell.outputs, kept))
            for output in cell.outputs:
                _show_picture(output, title, reports and Path(reports), home)
                _show_text(output, title)
    contents = []

    def numbered(heading):
        contents.append((f"part-{len(contents) + 1}", unescape(re.sub("<[^>]+>", "", heading[1]))))
        return f'<h2 id="{contents[-1][0]}">{heading[1]}</h2>'

    body = re.sub(r"<h2[^>]*>(.*?)</h2>", numbered, exporter.from_notebook_node(notebook)[0], flags=re.DOTALL)
    parts = dict(zip(("opening", "body"), map(Markup, re.split("(?<=</h1>)", body, maxsplit=1)), strict=False))
    page = {"title": title, "contents": contents, "record": record, "home": home} | parts
    return render("notebook.html.j2", **page, before=before, after=after)


def about(output: dict) -> dict:
    """What a notebook noted of a figure or a table that it left (`notebook.Run`): its kind with its name, its files."""
    return output.get("metadata", {}).get("studykit", {})


def _show_picture(output, title, reports, home):
    """Put a figure with links to its files in place of a picture that was saved; others carry their data inside."""
    kind = next((kind for kind in _PICTURES if kind in output.get("data", {})), None)
    if kind is None:
        return
    files = [reports / name for name in about(output).get("files", ())] if reports else []
    png = next((path for path in files if path.suffix == ".png" and path.is_file()), None)
    if png is not None:
        shown = render("figure.html.j2", figure=figure_of(png, reports, title, home=home))
    else:
        data = output.data[kind]
        data = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else data.strip()
        shown = Markup('<figure><img src="data:{};base64,{}" alt="{}"></figure>').format(kind, data, title)
    output.data = {"text/html": shown}


def _show_text(output, title):
    """Tables in boxes that scroll; sentences without HTML of their own, for they may quote a file's name."""
    data = output.get("data", {})
    if "<table" in data.get("text/html", ""):
        data["text/html"] = scrolling(Markup(tidy_table(data["text/html"])), f"Table of: {title}")
    elif "text/markdown" in data:
        data["text/html"] = to_html(data["text/markdown"])


def opening(cells: list, otherwise: str) -> tuple[str, str]:
    """Title and introduction, from the first cell."""
    first = "".join(cells[0]["source"]).strip() if cells else ""
    title, _, introduction = first.partition("\n")
    return title.lstrip("# ") or otherwise, introduction


def to_html(markdown: str) -> Markup | str:
    """Markdown without HTML of its own as HTML."""
    return Markup(mistune.create_markdown(escape=True, plugins=["table"])(markdown)) if markdown else ""


def figure_of(png: Path, reports: Path, title: str, caption: str = "", home: str = "") -> dict:
    """A figure of a page that is `home` away from the folder of reports."""
    files = [path for kind in ("svg", "png", "csv") if (path := png.with_suffix(f".{kind}")).is_file()]
    best = next((path for path in files if path.suffix == ".svg" and path.stat().st_size < _LARGE_SVG), png)
    return {
        "src": home + best.relative_to(reports).as_posix(),
        "label": label(png.stem),
        "alt": f"{label(png.stem)}, a figure of: {title}",
        "caption": caption,
        "files": [(path.suffix[1:].upper(), home + path.relative_to(reports).as_posix()) for path in files],
    }


def render(template: str, **content: Any) -> str:
    """A page from its template."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True)
    environment.globals |= {"duration": duration, "label": label, "number": number, "unit": unit}
    environment.filters["heading"] = heading
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **content)
