"""The site that a study makes, or the one in the folder that STUDYKIT_SITE names."""

import json
import os
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tiny_study import SHARED, make_tiny_study, write_config, write_notebook

from studykit.files import write_text
from studykit.notebook import Run, save_figure, save_table
from studykit.site.notebooks import notebook_page
from studykit.site.pages import write_study_page
from studykit.site.wording import table_html, tidy_table
from studykit.wording import label, number, readable, unit
from studykit.workflow.configuration import load_config
from studykit.workflow.plan import plan
from studykit.workflow.provenance import machine, versions

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LONG_TABLE = "<table border='1'><thead><tr><th></th>" + "<th>a_long_heading_of_a_column</th>" * 9 + "</tr></thead>"
LONG_TABLE += "<tbody><tr><th>0</th>" + "<td>94.1473441</td>" * 9 + "</tr></tbody></table>"


def write_run(run, reports, number):
    """What a run of a notebook would leave, with everything that a page must cope with."""
    fig, axis = plt.subplots(figsize=(2, 1))
    axis.plot([1, 2])
    table = pd.DataFrame({"median_px": [1 / 3], "a <b>name</b> & more": ["<i>"]})
    save_figure(fig, reports / "figures" / run.name / "first_look", table)
    save_table(table, reports / "tables" / run.name / "by_view")
    Run(run.name, reports, reports).headline(n_people=number, error_mae_s=0.0123456, **{"pck_0.2": None})
    files = [f"figures/{run.name}/first_look.{kind}" for kind in ("csv", "png", "svg")]
    noted = {"studykit": {"figure": "first_look", "files": files}}
    shown = [new_output("display_data", {"image/png": PIXEL, "text/plain": "Figure"}, metadata=noted)]
    cells = [
        new_markdown_cell(f"# Title {number}: of <b>{run.name}</b>\n\nAn *introduction*."),
        new_code_cell(SHARED, metadata={"tags": ["parameters"]}),
        new_markdown_cell("## Parts & points\n\nLook at the line. It rises. It ends."),
        new_code_cell('run.figure("first_look", draw())', outputs=shown),
        new_code_cell("x = 'a very long line of code " + "that goes on " * 12 + "'"),
        new_code_cell("table", outputs=[new_output("execute_result", {"text/html": LONG_TABLE})]),
        new_code_cell("draw()", outputs=[new_output("display_data", {"image/png": PIXEL})]),
        new_markdown_cell("## Conclusion"),
        new_code_cell("1", outputs=[new_output("execute_result", {"text/markdown": f"It is **{number}** <script>"})]),
    ]
    write_text(reports / "notebooks" / f"{run.name}.ipynb", nbformat.writes(new_notebook(cells=cells)))
    start = {"start": f"2026-01-01T12:0{number}:00.000+00:00", "seconds": 17.9, "peak_memory_gb": 0.31, "threads": 1}
    record = {"run": run.name, "code": "c0de" * 8, "inputs": {"data/study": "1234567890abcdef"}, "seed": 1}
    record |= {"git_commit": "f00d" * 10, "lock": "10c4" * 8, "versions": versions(), "machine": machine()} | start
    write_text(reports / "runs" / f"{run.name}.json", json.dumps(record | {"backend": None, "devices": []}))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folder of a site of four notebooks, the first with two runs, one of them not yet done, and one failure."""
    root = make_tiny_study(tmp_path_factory.mktemp("site") / "a study & more")
    variants = "{runs: {small-a: {count: 1}, large: {count: 2}, later: {count: 3}}}"
    (root / "workflow/notebooks.yaml").write_text(f"10_numbers: {variants}\n20_doubles:\n30_sum:\n90_last:\n")
    write_notebook(root / "notebooks/90_last.ipynb", "# Last", SHARED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDYKIT_ROOT", str(root))
        config = load_config(write_config(root)).model_copy(update={"stills": "gaitlab"})
        for number, run in enumerate(plan(config).values()):
            if run.name != "10_numbers/later":
                write_run(run, root / "reports/tiny", number)
        benchmark = {"about": "Ours & theirs", "ratio": 0.5, "ratios": [0.4, 0.6], "ours": 1.0, "peer_value": 2.0}
        benchmark |= {
            "unit": "ms",
            "peer": "<loops>",
            "peak_memory_gb": 0.1,
            "machine": machine(),
            "others": {"a_loop_of_ours, ms": 1.25},
            "git_commit": "f00d" * 10,
            "start": "2026-01-01",
            "seconds": 12.0,
        }
        write_text(root / "reports/benchmarks.json", json.dumps({"anova": benchmark}))
        write_study_page(config, ["20_doubles: cell [1] `a < b` stopped"])
    return root / "reports/tiny"


@pytest.fixture(scope="module")
def site(tiny):
    """The site under test."""
    return Path(os.environ.get("STUDYKIT_SITE", tiny)).resolve()


class Page(HTMLParser):
    """What a page is made of: tags with their attributes, in order, and its ids."""

    def __init__(self, path):
        super().__init__()
        self.tags = []
        self.feed(path.read_text(encoding="utf-8"))
        self.ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def pages(site):
    return {path: Page(path) for path in [site / "index.html", *sorted((site / "html").rglob("*.html"))]}


def test_every_link_leads_somewhere(site):
    read, broken = pages(site), []
    for path, page in read.items():
        for tag, attributes in page.tags:
            link = attributes.get("href") or attributes.get("src")
            if link is None or link.startswith("data:"):
                continue
            file, _, part = unquote(link).partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.is_file() or (part and part not in (read.get(target) or Page(target)).ids):
                broken.append(f"{path.name}: <{tag}> {link}")
    assert broken == []
    linked = {
        (path.parent / unquote(attributes["href"].partition("#")[0])).resolve()
        for path, page in read.items()
        for tag, attributes in page.tags
        if tag == "a"
    }
    assert set(read) <= linked | {site / "index.html"}


def test_pages_need_no_script_and_no_network(site):
    for path in pages(site):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script|<link|<iframe|@import|url\(|\son\w+=|(src|href)=\"(\w+:)?//", text), path


def test_pages_can_be_read_by_ear(site):
    for path, page in pages(site).items():
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1, path
        assert all(after <= before + 1 for before, after in pairwise(levels)), (path, levels)
        assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img"), path
        assert len(page.ids) == len(set(page.ids)), path
        assert page.tags[0] == ("html", {"lang": "en"}) or page.tags[1] == ("html", {"lang": "en"})
        first_link = next(attributes for tag, attributes in page.tags if tag == "a")
        assert first_link == {"class": "skip", "href": "#content"} and "content" in page.ids


def test_site_is_small_enough_to_publish(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 30e6


def test_pages_lead_to_their_neighbours(tiny):
    order = ["10_numbers/small-a", "10_numbers/large", "20_doubles", "30_sum", "90_last"]
    for place, run in enumerate(order):
        path = tiny / "html" / f"{run}.html"
        links = {a["rel"]: a["href"] for tag, a in Page(path).tags if "rel" in a}
        found = {rel: (path.parent / link).resolve().relative_to(tiny / "html") for rel, link in links.items()}
        neighbours = {"prev": place - 1, "next": place + 1}
        expected = {rel: Path(f"{order[n]}.html") for rel, n in neighbours.items() if 0 <= n < len(order)}
        assert found == expected


def test_page_has_contents_provenance_and_files_of_its_figures(tiny):
    text = (tiny / "html/10_numbers/large.html").read_text()
    contents = re.search(r'<nav class="contents".*?</nav>', text, re.DOTALL)[0]
    assert re.findall(r">([^<\n]+)</a>", contents) == ["Parts &amp; points", "Conclusion", "How this was made"]
    made = text[text.index('id="provenance"') :]
    for said in ("2026-01-01 12:01 (UTC+00:00), 18 s, up to 0.3 GB", "<dd>1</dd>", "f00d" * 10, "data/study"):
        assert said in made
    assert "1234567890ab<" in made and f"numpy {versions()['numpy']}" in made
    saved = [a["href"] for tag, a in Page(tiny / "html/10_numbers/large.html").tags if "/figures/" in a.get("href", "")]
    assert saved == [f"../../figures/10_numbers/large/first_look.{kind}" for kind in ("svg", "png", "csv")]
    assert text.count(PIXEL) == 1  # the figure that no file holds; the other is shown from its file
    assert "94.15" in text and "94.1473441" not in text


def test_benchmarks_have_a_page_with_ratio_spread_and_machine(tiny):
    text = (tiny / "html/benchmarks.html").read_text()
    for said in ("Ours &amp; theirs", "&lt;loops&gt;", "0.4 to 0.6, 2 runs", machine()["processor"]):
        assert said in text
    assert '<a href="#anova">anova</a>' in text and '<h2 id="anova">' in text
    assert "<dt>a loop of ours, ms</dt><dd>1.25</dd>" in text
    assert '<a href="html/benchmarks.html">' in (tiny / "index.html").read_text()


def test_a_page_alone_carries_its_pictures(tiny):
    notebook = nbformat.read(tiny / "notebooks/30_sum.ipynb", 4)
    assert notebook_page(notebook, "30_sum").count(PIXEL) == 2


def test_index_puts_runs_of_a_notebook_in_one_table(tiny):
    text = (tiny / "index.html").read_text()
    assert re.findall(r'<section id="([^"]+)"', text) == ["90_last", "10_numbers", "20_doubles", "30_sum", "provenance"]
    section = text[text.index('<section id="10_numbers"') : text.index('<section id="20_doubles"')]
    heads, rows = re.findall(r"<th>(.*?)</th>", section)[:5], re.findall(r"<tr>\s*<td>(.*?)</td>", section)
    assert heads == ["Run", "People", "Error mean absolute error (s)", "PCK 0.2", "Time"]
    assert [re.sub("<.*?>", "", row) for row in rows[:3]] == ["small-a", "large", "later"]
    assert "not run yet" in section and section.count("<h3>") == 1
    assert "Look at the line. It rises." in section and "It ends." not in section
    assert "`a &lt; b` stopped" in text and "It is <strong>3</strong> &lt;script&gt;" in text


def test_names_and_numbers_are_written_for_people():
    numbers = {"n_participants": 12, "within_8px": 0.91597, "event_mae_s": 0.0225662, "parameters": 27583068}
    numbers |= {"frames_per_s": 76.11, "ap": None}
    assert [(label(name), number(value, unit(name))) for name, value in numbers.items()] == [
        ("Participants", "12"),
        ("Within 8 px", "0.916"),
        ("Event mean absolute error", "0.02257\u00a0s"),
        ("Parameters", "27\u202f583\u202f068"),
        ("Speed", "76.11\u00a0frames/s"),
        ("AP", "–"),
    ]
    table = pd.DataFrame({"a": [1 / 3, float("nan")], "b": [7, 8]})
    assert number(float("-inf"), "px") == "-∞"
    assert readable(table).values.tolist() == [["0.3333", 7], ["", 8]]
    assert "Trial" in table_html(pd.DataFrame({"trial": [], "reason": []}, dtype=str), "left out")
    shown = tidy_table(table.assign(c=1.25).to_html())
    assert "<th>0</th>" not in shown and "<td>0.3333</td>" in shown and "<td>1.25</td>" in shown
    assert "<th>5</th>" in tidy_table(table.set_index(pd.Index([5, 7])).to_html())
    assert "view" not in tidy_table(table.rename_axis(columns="view").to_html())  # the name of a pivot's columns


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("expected Chromium to look at the pages with, found none")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_pages_fit_a_phone(site, browser):
    view = browser.new_page(viewport={"width": 380, "height": 800})
    for path in pages(site):
        view.goto(path.as_uri())
        view.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert view.evaluate("document.documentElement.scrollWidth") <= 380, path
    view.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(site, browser, scheme):
    axe = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
    if not axe.is_file():
        pytest.skip("expected axe-core in node_modules or where AXE_CORE says, found none; `npm install axe-core`")
    view = browser.new_page(viewport={"width": 380, "height": 800}, color_scheme=scheme)
    for path in pages(site):
        view.goto(path.as_uri())
        view.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        view.add_script_tag(path=axe)
        found = view.evaluate("axe.run().then(found => found.violations)")
        serious = [
            f"{fault['id']}: {fault['nodes'][0]['html']}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
    view.close()
