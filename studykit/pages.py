"""The study as pages: each notebook's, and one that tells the whole; both open from a file, without a network."""

import json
import sys
from copy import deepcopy
from datetime import datetime
from pathlib import Path

import jinja2
import mistune
import pandas as pd
from markupsafe import Markup
from traitlets.config import Config

from studykit.parameters import read_cells
from studykit.plan import plan
from studykit.report import write_text
from studykit.study import resolve

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_ROWS = 24
_WIDGET = "application/vnd.jupyter.widget-view+json"
_LARGE_SVG = 400_000  # bytes; above it a picture in pixels loads faster
_DATA = {
    "gaitlab": (
        "Simulated data.",
        "Nobody was filmed: bodies, clothing, walking and both cameras are a simulated laboratory, so the truth is "
        "known to the pixel. How far its numbers hold for real people only real recordings can tell.",
    ),
    "bvh": (
        "Real walking, simulated cameras.",
        "The movement is motion capture of real people; the two cameras that see it are computed, without pictures.",
    ),
    "pose2sim": ("Real video.", "One person before synchronized cameras, the demonstration recording of Pose2Sim."),
    "table": ("Your recordings.", "As listed in the Study table of this configuration."),
}
_UNITS = {  # of two that fit, the first one counts
    "per_s": "/s",
    "ms_per_frame": "ms/frame",
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
_SCALE_NOTES = {"smoke": "Smoke scale: this run only shows that the whole chain works; its numbers mean nothing."}


def notebook_page(notebook, run):
    """An executed notebook as one HTML page: pictures inside, code folded away, no script.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    run : str
        Its run, for the way back to the study's page.

    Returns
    -------
    str
    """
    from nbconvert import HTMLExporter  # half a second that the study's page does not need

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
            cell.outputs = [output for output in cell.outputs if _WIDGET not in output.get("data", {})]
    page = {
        "title": _opening(notebook.cells, run)[0],
        "run": run,
        "home": "../" * (run.count("/") + 1) + "index.html",
        "style": _style(),
    }
    return exporter.from_notebook_node(notebook, resources={"page": page})[0]


def write_study_page(config, failures=()):
    """Gather the headline numbers in `summary.json` and tell the study in `index.html`.

    Parameters
    ----------
    config : StudyConfig
    failures : sequence of str
        What stopped, in sentences.

    Returns
    -------
    dict
        The summary: headline numbers by run; under "study" the times in s and the largest peak memory in GB.
    """
    runs = plan(config)
    reports = resolve(f"reports/{config.name}")
    records = list(_of_each(runs, reports / "runs").values())
    summary = _of_each(runs, reports / "headline")
    summary["study"] = {
        "setup_s": _setup_seconds(),
        "study_s": busy_seconds(records),
        "peak_memory_gb": max((record["peak_memory_gb"] for record in records), default=None),
    }
    write_text(reports / "summary.json", json.dumps(summary, indent=1) + "\n")

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    seconds = {record["run"]: record["seconds"] for record in records}
    kind, what = _DATA[config.dataset]
    page = environment.get_template("index.html.j2").render(
        name=config.name,
        story=_story(config),
        data={"kind": kind, "what": what},
        scale_note=_SCALE_NOTES.get(config.name),
        failures=failures,
        style=Markup(_style()),
        study=_labelled(summary["study"]),
        parts=[_part(run, reports, summary, seconds.get(run.name)) for run in runs.values()],
        records=records,
    )
    write_text(reports / "index.html", page + "\n")
    return summary


def busy_seconds(records):
    """Seconds during which at least one notebook ran: side by side counts once, a pause between does not count."""
    spans = sorted((datetime.fromisoformat(r["start"]).timestamp(), r["seconds"]) for r in records)
    busy, until = 0.0, float("-inf")
    for start, seconds in spans:
        busy += max(0.0, start + seconds - max(start, until))
        until = max(until, start + seconds)
    return round(busy, 1) if spans else None


def _of_each(runs, folder):
    """What the runs left in a folder of JSON files."""
    paths = {name: folder / f"{name}.json" for name in runs}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def _setup_seconds():
    """How long `make` took to set up this environment, s; None where it was made otherwise."""
    noted = Path(sys.prefix) / "setup_seconds"
    return float(noted.read_text()) if noted.is_file() else None


def _story(config):
    pose = (
        "A network learns from a few labelled frames to find neck, hip, knee, ankle, heel and toe, and finds them in "
        "every frame of both views."
        if config.pose == "network"
        else "The keypoints of both views come with the study."
    )
    truth = " At the end every step is measured against the known truth." if config.truth else ""
    return (
        "People walk past two cameras that face each other. "
        f"{pose} The opposite view is mirrored and aligned, steps are cut into gait cycles, and statistics ask "
        f"whether the view changes what is measured.{truth}"
    )


def _part(run, reports, summary, seconds):
    executed = reports / "notebooks" / f"{run.name}.ipynb"
    there = executed.is_file()
    cells = read_cells(executed if there else run.notebook)
    title, intro = _opening(cells, run.name)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")

    def in_order(paths):
        """Files in the order in which the notebook names them; others (position -1) come last."""
        return sorted(paths, key=lambda path: (code.find(f'"{path.stem}"') % (len(code) + 1), path.stem))

    return {
        "run": run.name,
        "title": title,
        "page": f"html/{run.name}.html" if there else None,
        "intro": _html(intro),
        "conclusion": _html(_conclusion(cells)),
        "numbers": _labelled(summary.get(run.name, {})),
        "figures": [_figure(path, reports) for path in in_order((reports / "figures" / run.name).glob("[!.]*.png"))],
        "tables": [_table(path, reports) for path in in_order((reports / "tables" / run.name).glob("[!.]*.csv"))],
        "seconds": None if seconds is None else _duration(seconds),
    }


def _opening(cells, otherwise):
    """Title and introduction, from the first cell."""
    first = "".join(cells[0]["source"]).strip() if cells else ""
    title, _, introduction = first.partition("\n")
    return title.lstrip("# ") or otherwise, introduction


def _conclusion(cells):
    """What the last cell said in words."""
    data = [output.get("data", {}) for output in (cells[-1].get("outputs", []) if cells else [])]
    return "\n\n".join("".join(shown["text/markdown"]) for shown in data if "text/markdown" in shown)


def _html(markdown):
    return Markup(mistune.create_markdown(escape=True, plugins=["table"])(markdown)) if markdown else ""


def _figure(png, reports):
    svg, data = png.with_suffix(".svg"), png.with_suffix(".csv")
    best = svg if svg.is_file() and svg.stat().st_size < _LARGE_SVG else png
    return {
        "path": best.relative_to(reports).as_posix(),
        "label": _label(png.stem),
        "data": data.relative_to(reports).as_posix() if data.is_file() else None,
    }


def _table(path, reports):
    table = pd.read_csv(path)
    shown = table.head(_SHOWN_ROWS).to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
    return {
        "label": _label(path.stem),
        "html": Markup(shown),
        "rows": len(table),
        "shown": min(len(table), _SHOWN_ROWS),
        "path": path.relative_to(reports).as_posix(),
    }


def _label(name):
    return name.replace("_", " ").replace("-", " ").strip().capitalize()


def _labelled(numbers):
    """Names and numbers as people read them: four digits with their unit, a dash for what could not be measured."""
    labelled = []
    for name, value in numbers.items():
        suffix = next((suffix for suffix in _UNITS if name.endswith(f"_{suffix}")), "")
        label = (name.removesuffix(f"_{suffix}") if suffix else name).replace("_", " ")
        labelled.append((label, "–" if value is None else f"{_shown(value)} {_UNITS.get(suffix, '')}".strip()))
    return labelled


def _shown(value):
    return f"{value:,}" if isinstance(value, int) or (abs(value) >= 1000 and value == int(value)) else f"{value:.4g}"


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _style():
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8")
