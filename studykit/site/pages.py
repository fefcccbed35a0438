"""The study as a site: a page for each notebook and one that tells the whole; no script, no network, from a file."""

import json
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import nbformat
import pandas as pd
import yaml

from studykit.files import resolve, write_text
from studykit.site.notebooks import about, figure_of, notebook_page, opening, render, to_html
from studykit.site.wording import table_html
from studykit.wording import label
from studykit.workflow.benchmarks import read_results, table_rows
from studykit.workflow.configuration import StudyConfig
from studykit.workflow.parameters import read_cells
from studykit.workflow.plan import plan
from studykit.workflow.provenance import busy_seconds

_SHOWN_ROWS = 24
_TEXTS = Path(__file__).with_name("front.yaml")


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
    runs, texts = plan(config), yaml.safe_load(_TEXTS.read_text(encoding="utf-8"))
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
    chapters = _chapters(parts.values(), texts["chapters"])
    digits = {chapter["digit"] for chapter in chapters}
    networks, gait = bool(digits & set("123")) and config.stills != "none", "4" in digits
    shown = ["networks"] * networks + ["walks"] * gait
    page = render(
        "index.html.j2",
        title=f"Study {config.name}: {texts['titles'][' and '.join(shown)]}",
        story=_story(config, networks, gait, texts["story"]),
        data=[texts["data"][config.dataset]] * (gait or not networks) + [texts["stills"].get(config.stills)] * networks,
        scale_note=texts["notes"].get(config.name),
        failures=failures,
        study={name: value for name, value in summary["study"].items() if value is not None},
        chapters=chapters,
        records=list(records.values()),
        pages={name: part["page"] for name, part in parts.items()},
        benchmarks=benchmarks,
    )
    write_text(reports / "index.html", page + "\n")
    return summary


def _read_each(runs, reports, kind):
    paths = {name: reports / kind / f"{name}.json" for name in runs}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def _setup_seconds():
    """How long `make` took to set up this environment, s; None where it was made otherwise."""
    noted = Path(sys.prefix) / "setup_seconds"
    return float(noted.read_text()) if noted.is_file() else None


def _story(config, networks, gait, texts):
    """What the study is about, in paragraphs."""
    some, pose = texts["some"].format(only=", ".join(config.only)), texts[config.pose]
    walks = texts["walks"].format(pose=pose, truth=texts["truth"] * config.truth)
    return [some] * bool(config.only) + [texts["five"]] * networks + [walks] * gait


def _write_notebook_pages(parts, reports, records):
    for before, part, after in zip([None, *parts], parts, [*parts[1:], None], strict=False):
        notebook = nbformat.read(reports / "notebooks" / f"{part['run']}.ipynb", 4)
        page = notebook_page(notebook, part["run"], reports, records.get(part["run"]), before, after)
        write_text(reports / part["page"], page)


def _write_benchmark_page(reports):
    """The page of the benchmarks, from the folder of reports; None where none has run."""
    results, page = read_results(), "html/benchmarks.html"
    if not results:
        return None
    write_text(reports / "benchmarks.json", json.dumps(results, indent=1) + "\n")
    text = render("benchmarks.html.j2", title="Benchmarks", rows=table_rows(results), results=results)
    write_text(reports / page, text)
    return page


def _part(run, reports, numbers, record):
    """All that the study's page shows of one run."""
    executed = reports / "notebooks" / f"{run.name}.ipynb"
    there = executed.is_file()
    cells = read_cells(executed if there else run.notebook)
    title, intro = opening(cells, run.name)
    variant = run.name.partition("/")[2] or None
    captions = _captions(cells)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    left = [path for output in outputs for name in about(output).get("files", ()) if (path := reports / name).is_file()]
    return {
        "run": run.name,
        "variant": variant,
        "title": title,
        "short": f"{title.partition(':')[0]}{f' ({variant})' if variant else ''}",
        "page": f"html/{run.name}.html" if there else None,
        "intro": to_html(intro),
        "conclusion": to_html(_conclusion(cells)),
        "numbers": numbers,
        "figures": [figure_of(p, reports, title, captions.get(p.stem, "")) for p in left if p.suffix == ".png"],
        "tables": [_table(p, reports) for p in left if p.suffix == ".csv" and p.is_relative_to(reports / "tables")],
        "seconds": record and record["seconds"],
    }


def _chapters(parts, texts):
    """The runs in chapters; those of one notebook together."""
    groups = [_group(name, list(own)) for name, own in groupby(parts, lambda part: part["run"].partition("/")[0])]
    chapters = []
    for digit, (title, story) in texts.items():
        if own := [group for group in groups if group["id"].startswith(digit)]:
            chapters.append({"digit": digit, "title": title, "story": story, "groups": own})
    return chapters


def _group(name, parts):
    """One notebook with its runs, and the names of the numbers that any of them has."""
    title, numbers = parts[0]["title"], dict.fromkeys(key for part in parts for key in part["numbers"])
    short = title.partition(":")[0]
    return {"id": name, "title": title, "short": short, "intro": parts[0]["intro"], "parts": parts, "numbers": numbers}


def _captions(cells):
    """What the text before a figure says of it, by the figure's name: the first two sentences, without Markdown."""
    captions, said = {}, ""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            lines = "".join(cell["source"]).splitlines()
            said = " ".join(line for line in lines if not line.startswith(("#", "-", "|")))
        for name in (about(output).get("figure") for output in cell.get("outputs", [])):
            if name is not None:
                captions[name] = " ".join(re.split(r"(?<=[.!?])\s+", re.sub(r"[*`]", "", said).strip())[:2])
                said = ""
    return captions


def _conclusion(cells):
    """What the last cell said in words."""
    data = [output.get("data", {}) for output in (cells[-1].get("outputs", []) if cells else [])]
    return "\n\n".join("".join(shown["text/markdown"]) for shown in data if "text/markdown" in shown)


def _table(path, reports):
    table = pd.read_csv(path)
    return {
        "label": label(path.stem),
        "html": table_html(table.head(_SHOWN_ROWS), label(path.stem)),
        "rows": len(table),
        "shown": min(len(table), _SHOWN_ROWS),
        "path": path.relative_to(reports).as_posix(),
    }
