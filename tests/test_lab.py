"""The study's notebooks in a real JupyterLab, as people run them: open, Run All, look. `make test-lab`."""

import json
import os
import shutil
from pathlib import Path

import pytest
from browser import ROOT, Lab, page  # noqa: F401
from papermill.iorw import load_notebook_node, write_ipynb
from papermill.parameterize import parameterize_notebook

from studykit.workflow.configuration import load_config
from studykit.workflow.parameters import read_parameters
from studykit.workflow.plan import plan

pytestmark = pytest.mark.lab
FINISHED = Path(os.environ.get("STUDYKIT_DERIVED", ROOT / "data/derived/default"))
LIGHT = ("05_label_frames", "42_mirror_align", "43_gait_cycles", "44_perspective_anova")
VIEWS = ("43_gait_cycles", "44_perspective_anova")


def project(folder):
    """A project of its own: the notebooks and what they need, but no data."""
    for name in ("notebooks", "config", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def play(page):  # noqa: F811
    """Use a view's first slider, or else its last menu: another picture comes."""
    picture = page.locator("img.widget-image")
    picture.scroll_into_view_if_needed()
    before = picture.get_attribute("src")
    slider = page.locator(".widget-slider [role=slider], .widget-slider .noUi-handle").first
    if slider.count():
        slider.press("ArrowRight")
    else:
        page.locator(".widget-dropdown select").last.select_option("equivalence")
    page.wait_for_function("old => document.querySelector('img.widget-image').src !== old", arg=before, timeout=60_000)
    page.wait_for_timeout(300)


def run(lab, page, name, timeout_s):  # noqa: F811
    """Run All of a notebook; faults of the saved notebook, and what it looks like as a picture."""
    path = lab.folder / f"{name}.ipynb"
    lab.open(page, path.name)
    lab.run_all(page)
    lab.wait_done(page, timeout_s)
    if name in VIEWS:
        play(page)
    lab.screenshot(page, name)
    figures = page.locator(".jp-RenderedImage img").evaluate_all("all => all.map(i => i.naturalWidth / (i.width || 1))")
    lab.save(page)
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    errors = [(cell, out) for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]
    faults = [f"cell {cell['id']}: {out['ename']}: {out['evalue']}" for cell, out in errors]
    faults += [f"cell {cell['id']}: not run" for cell in cells if cell["source"] and not cell["execution_count"]]
    faults += [f"a figure with {share:.1f} pixels to one of the page" for share in figures if share < 1.9]
    return [f"{name}: {fault}" for fault in faults]


def test_light_notebooks_run_as_they_are(tmp_path, page):  # noqa: F811
    if not (FINISHED / "aligned").is_dir():
        pytest.skip(f"no finished study in {FINISHED}; make study first, or set STUDYKIT_DERIVED to one")
    root = project(tmp_path)
    shutil.copytree(FINISHED, root / "data/derived/default")
    lab = Lab(root / "notebooks", root)
    try:
        faults = [fault for name in LIGHT for fault in run(lab, page, name, 400)]
    finally:
        lab.stop()
    assert faults == []


def test_every_notebook_of_the_smoke_study_from_nothing(tmp_path, page, monkeypatch):  # noqa: F811
    root = project(tmp_path)
    monkeypatch.setenv("STUDYKIT_ROOT", str(root))
    config = load_config(ROOT / "config/smoke.yaml").model_copy(
        update={"name": "default"}
    )  # the notebooks' own folders
    lab, faults = Lab(root / "notebooks", root), []
    try:
        for one in plan(config).values():
            name = one.name.replace("/", "-")
            defaults = {key: parameter.default for key, parameter in read_parameters(one.notebook).items()}
            changed = {key: value for key, value in one.parameters.items() if value != defaults[key]}
            notebook = load_notebook_node(str(one.notebook))
            if changed:
                notebook = parameterize_notebook(notebook, changed)
            write_ipynb(notebook, str(lab.folder / f"{name}.ipynb"))
            faults += run(lab, page, name, 600)
        faults += run(lab, page, "05_label_frames", 120)
    finally:
        lab.stop()
    assert faults == []
