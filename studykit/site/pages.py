"""The study as a site: a page for each notebook and one that tells the whole; no script, no network, from a file."""

import base64
import json
import re
import sys
from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import mistune
import pandas as pd
from markupsafe import Markup
from traitlets.config import Config

from studykit.files import resolve, write_text
from studykit.site.wording import duration, heading, label, labelled, number, scrolling, table_html, tidy_table
from studykit.workflow.benchmarks import read_results, table_rows
from studykit.workflow.configuration import StudyConfig
from studykit.workflow.parameters import read_cells
from studykit.workflow.plan import plan

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_ROWS = 24
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURES = {"image/png": "png", "image/svg+xml": "svg", "image/jpeg": "jpg"}
_LARGE_SVG = 600_000  # bytes; above it a picture in pixels loads faster
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
_STILLS = {
    "gaitlab": ("Simulated pictures.", "The networks learn from pictures of simulated people in many poses."),
    "lsp": ("Real pictures.", "The networks learn from Leeds Sports Pose."),
    "lspet": ("Real pictures.", "The networks learn from Leeds Sports Pose, extended."),
    "mpii": ("Real pictures.", "The networks learn from MPII Human Pose."),
    "coco": ("Real pictures.", "The networks learn from COCO keypoints."),
}
_CHAPTERS = {  # by the first digit of a notebook's name, in the order of the page
    "9": ("Published and ours", ""),
    "0": ("Data", ""),
    "1": (
        "Masks of people, joints with them",
        "Paper 003 (Altinigne 2019) segments people with a U-Net, tries harmonic convolutions, which turn with the "
        "picture, and lets the network find joints at the same time.",
    ),
    "2": (
        "Joints of one person",
        "Paper 004 (Saha et al.) has a network say the coordinates of all joints at once; paper 001 (Vyshnivskyi et "
        "al. 2023) has it draw a heat map for each joint. Here all learn from the same people.",
    ),
    "3": (
        "Everybody in a picture at once",
        "Paper 000 (Weiss Cohen et al. 2023) finds joints and the limbs between them, then puts people together: "
        "OpenPose, with a small network underneath.",
    ),
    "4": (
        "Walks seen from two sides",
        "Paper 002 (Hiemstra 2021) asks whether two cameras that face each other see the same gait.",
    ),
    "5": ("Every step against the truth", ""),
}
_TITLES = {  # with networks of single pictures, with walks
    (True, True): "five papers on human poses, one question about gait",
    (True, False): "people in pictures",
    (False, True): "gait seen from two opposite sides",
    (False, False): "data",
}
_SCALE_NOTES = {"smoke": "Smoke scale: this run only shows that the whole chain works; its numbers mean nothing."}


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
        Neighbouring pages: path (from this page), title.

    Returns
    -------
    str
    """
    from nbconvert import HTMLExporter  # half a second that the study's page does not need

    title, home = _opening(notebook.cells, run)[0], "../" * (run.count("/") + 1)
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
            cell.outputs = [
                output
                for output, shown in zip(cell.outputs, data, strict=True)
                if _WIDGET not in shown or "image/png" in shown  # a view with its picture: widgets.views
            ]
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
    return _render("notebook.html.j2", **page, before=before, after=after)


def _about(output):
    """What a notebook noted of a figure or a table that it left (`notebook.Run`): its kind with its name, its files."""
    return output.get("metadata", {}).get("studykit", {})


def _show_picture(output, title, reports, home):
    """Put a figure with links to its files in place of a picture that was saved; others carry their data inside."""
    kind = next((kind for kind in _PICTURES if kind in output.get("data", {})), None)
    if kind is None:
        return
    files = [reports / name for name in _about(output).get("files", ())] if reports else []
    png = next((path for path in files if path.suffix == ".png" and path.is_file()), None)
    if png is not None:
        shown = _render("figure.html.j2", figure=_figure(png, reports, title, home=home))
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
        data["text/html"] = _html(data["text/markdown"])


def write_study_page(config: StudyConfig, failures: Iterable[str] = ()) -> dict[str, dict]:
    """Gather the headline numbers in `summary.json`, and write the pages of notebooks and benchmarks and `index.html`.

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
    records = _read_each(runs, reports, "runs")
    summary = _read_each(runs, reports, "headline")
    summary["study"] = {
        "setup_s": _setup_seconds(),
        "study_s": busy_seconds(records.values()),
        "peak_memory_gb": max((record["peak_memory_gb"] for record in records.values()), default=None),
    }
    write_text(reports / "summary.json", json.dumps(summary, indent=1) + "\n")

    parts = {name: _part(run, reports, summary.get(name, {}), records.get(name)) for name, run in runs.items()}
    _write_notebook_pages([part for part in parts.values() if part["page"]], reports, records)
    benchmarks = _write_benchmark_page(reports)
    chapters = _chapters(parts.values())
    digits = {chapter["digit"] for chapter in chapters}
    networks, gait = bool(digits & set("123")) and config.stills != "none", "4" in digits
    page = _render(
        "index.html.j2",
        title=f"Study {config.name}: {_TITLES[networks, gait]}",
        story=_story(config, networks, gait),
        data=([_DATA[config.dataset]] if gait or not networks else []) + ([_STILLS[config.stills]] if networks else []),
        scale_note=_SCALE_NOTES.get(config.name),
        failures=failures,
        study=labelled({name: value for name, value in summary["study"].items() if value is not None}),
        chapters=chapters,
        records=_records_table(records.values(), parts),
        benchmarks=benchmarks,
        last=next(reversed(records.values()), None),
    )
    write_text(reports / "index.html", page + "\n")
    return summary


def busy_seconds(records: Iterable[dict]) -> float | None:
    """Seconds during which at least one notebook ran: side by side counts once, a pause between does not count."""
    spans = sorted((datetime.fromisoformat(r["start"]).timestamp(), r["seconds"]) for r in records)
    busy, until = 0.0, float("-inf")
    for start, seconds in spans:
        busy += max(0.0, start + seconds - max(start, until))
        until = max(until, start + seconds)
    return round(busy, 1) if spans else None


def _read_each(runs, reports, kind):
    paths = {name: reports / kind / f"{name}.json" for name in runs}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def _setup_seconds():
    """How long `make` took to set up this environment, s; None where it was made otherwise."""
    noted = Path(sys.prefix) / "setup_seconds"
    return float(noted.read_text()) if noted.is_file() else None


def _story(config, networks, gait):
    """What the study is about, in paragraphs."""
    pose = (
        "A network learns from a few labelled frames to find neck, hip, knee, ankle, heel and toe, and finds them in "
        "every frame of both views."
        if config.pose == "network"
        else "The keypoints of both views come with the study."
    )
    truth = " At the end every step is measured against the known truth." if config.truth else ""
    walks = (
        f"People walk past two cameras that face each other. {pose} The opposite view is mirrored and aligned, steps "
        f"are cut into gait cycles, and statistics ask whether the view changes what is measured.{truth}"
    )
    five = (
        "Five papers look for people's bodies in pictures: their outline, their joints one by one or all at once, one "
        "person or everybody, and at last how a person walks. Each network is trained here on the same people, so that "
        "they can be compared, and put beside what its paper printed."
    )
    some = "A part of the study of five papers on human poses: " + ", ".join(config.only) + ", and all that they read."
    return [some] * bool(config.only) + [five] * networks + [walks] * gait


def _write_notebook_pages(parts, reports, records):
    import nbformat

    for place, part in enumerate(parts):
        up = "../" * part["run"].count("/")
        before, after = (
            {"path": f"{up}{parts[n]['run']}.html", "title": parts[n]["short"]} if 0 <= n < len(parts) else None
            for n in (place - 1, place + 1)
        )
        notebook = nbformat.read(reports / "notebooks" / f"{part['run']}.ipynb", 4)
        page = notebook_page(notebook, part["run"], reports, records.get(part["run"]), before, after)
        write_text(reports / part["page"], page)


def _write_benchmark_page(reports):
    """The page of the benchmarks, from the folder of reports; None where none has run."""
    results, page = read_results(), "html/benchmarks.html"
    if not results:
        return None
    write_text(reports / "benchmarks.json", json.dumps(results, indent=1) + "\n")
    rows = [row | {"Script": _link(f"#{row['Script']}", row["Script"])} for row in table_rows(results)]
    content = {"title": "Benchmarks", "table": _rows_html(rows, "Benchmarks"), "results": results}
    write_text(reports / page, _render("benchmarks.html.j2", **content))
    return page


def _part(run, reports, numbers, record):
    """All that the study's page shows of one run."""
    executed = reports / "notebooks" / f"{run.name}.ipynb"
    there = executed.is_file()
    cells = read_cells(executed if there else run.notebook)
    title, intro = _opening(cells, run.name)
    variant = run.name.partition("/")[2] or None
    captions = _captions(cells)
    noted = [reports / name for cell in cells for output in cell.get("outputs", []) for name in _files(output)]
    left = [path for path in noted if path.is_file()]
    return {
        "run": run.name,
        "variant": variant,
        "title": title,
        "short": f"{title.partition(':')[0]}{f' ({variant})' if variant else ''}",
        "page": f"html/{run.name}.html" if there else None,
        "intro": _html(intro),
        "conclusion": _html(_conclusion(cells)),
        "headline": numbers,
        "numbers": labelled(numbers),
        "figures": [_figure(p, reports, title, captions.get(p.stem, "")) for p in left if p.suffix == ".png"],
        "tables": [_table(p, reports) for p in left if p.suffix == ".csv" and p.is_relative_to(reports / "tables")],
        "seconds": record and duration(record["seconds"]),
    }


def _chapters(parts):
    """The runs in chapters; those of one notebook together."""
    groups = {}
    for part in parts:
        groups.setdefault(part["run"].partition("/")[0], []).append(part)
    chapters = []
    for digit, (title, story) in _CHAPTERS.items():
        own = [_group(name, parts) for name, parts in groups.items() if name.startswith(digit)]
        if own:
            chapters.append({"digit": digit, "title": title, "story": story, "groups": own})
    return chapters


def _group(name, parts):
    """One notebook with its runs; several stand in one table, a row a run."""
    first = parts[0]
    group = {key: first[key] for key in ("title", "intro")}
    group |= {"id": name, "short": first["title"].partition(":")[0], "parts": parts}
    if first["variant"] is not None:
        heads = {key: heading(key) for part in parts for key in part["headline"]}
        rows = [
            {"Run": _link(part["page"], part["variant"])}
            | {heads[key]: number(part["headline"][key]) if key in part["headline"] else "" for key in heads}
            | {"Time": part["seconds"] or "not run yet"}
            for part in parts
        ]
        group["runs"] = _rows_html(rows, f"Runs of: {first['title']}")
    return group


def _records_table(records, parts):
    rows = [
        {
            "Notebook": _link(parts[record["run"]]["page"], record["run"]),
            "Started": record["start"][:16].replace("T", " "),
            "Time": duration(record["seconds"]),
            "Peak memory": f"{record['peak_memory_gb']:.1f} GB",
            "Threads": record["threads"],
            "Backend": " ".join([record["backend"] or "", ", ".join(record["devices"])]).strip(),
        }
        for record in records
    ]
    return _rows_html(rows, "How each notebook ran")


def _rows_html(rows, about):
    return scrolling(Markup(pd.DataFrame(rows).map(Markup.escape).to_html(index=False, border=0, escape=False)), about)


def _link(path, text):
    return Markup('<a href="{}">{}</a>').format(path, text) if path else text


def _opening(cells, otherwise):
    """Title and introduction, from the first cell."""
    first = "".join(cells[0]["source"]).strip() if cells else ""
    title, _, introduction = first.partition("\n")
    return title.lstrip("# ") or otherwise, introduction


def _files(output):
    return _about(output).get("files", ())


def _captions(cells):
    """What the text before a figure says of it, by the figure's name: the first two sentences, without Markdown."""
    captions, said = {}, ""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            lines = "".join(cell["source"]).splitlines()
            said = " ".join(line for line in lines if not line.startswith(("#", "-", "|")))
        for name in (_about(output).get("figure") for output in cell.get("outputs", [])):
            if name is not None:
                captions[name] = " ".join(re.split(r"(?<=[.!?])\s+", re.sub(r"[*`]", "", said).strip())[:2])
                said = ""
    return captions


def _conclusion(cells):
    """What the last cell said in words."""
    data = [output.get("data", {}) for output in (cells[-1].get("outputs", []) if cells else [])]
    return "\n\n".join("".join(shown["text/markdown"]) for shown in data if "text/markdown" in shown)


def _html(markdown):
    return Markup(mistune.create_markdown(escape=True, plugins=["table"])(markdown)) if markdown else ""


def _figure(png, reports, title, caption="", home=""):
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


def _table(path, reports):
    table = pd.read_csv(path)
    return {
        "label": label(path.stem),
        "html": table_html(table.head(_SHOWN_ROWS), label(path.stem)),
        "rows": len(table),
        "shown": min(len(table), _SHOWN_ROWS),
        "path": path.relative_to(reports).as_posix(),
    }


def _render(template, **content):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True)
    environment.globals["duration"] = duration
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **content)
