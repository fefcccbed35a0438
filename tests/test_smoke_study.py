"""The real study at smoke scale: killed, resumed, drawn again in another colour."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import nbformat
import pytest
from tiny_study import ROOT, ran, study, tables

from studykit.files import file_digest
from studykit.workflow.configuration import load_config
from studykit.workflow.plan import plan

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The study in a project of its own, killed while notebook 41 runs, then resumed; what ran, what had to again."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("notebooks", "config", "workflow"):
        shutil.copytree(ROOT / folder, root / folder)
    running = study(root, name="smoke", start=subprocess.Popen)
    for line in running.stderr:
        print(line, end="", flush=True)
        if "41_pose_two_views: running" in line:
            break
    time.sleep(8)  # into its work
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    records = root / "reports/smoke/runs"
    done = [path.relative_to(records).with_suffix("").as_posix() for path in records.rglob("[!.]*.json")]
    result = study(root, name="smoke")
    print(result.stderr)
    assert result.returncode == 0, result.stderr
    return root, done, ran(result)


@pytest.fixture(scope="module")
def runs():
    return set(plan(load_config(ROOT / "config/smoke.yaml")))


def test_resumes_where_it_was_killed(smoke, runs):
    root, done, resumed = smoke
    assert {"00_data", "40_train_views"} <= set(done)
    assert set(resumed) >= {"41_pose_two_views", "44_perspective_anova"}
    assert sorted([*done, *resumed]) == sorted(runs)
    again = study(root, name="smoke")
    assert again.returncode == 0 and ran(again) == []


def test_reports_every_run(smoke, runs):
    reports = smoke[0] / "reports/smoke"
    summary = json.loads((reports / "summary.json").read_text())
    assert set(summary) - {"study"} == runs
    assert summary["study"]["peak_memory_gb"] < 6
    for path in [reports / "index.html", *sorted((reports / "html").rglob("*.html"))]:
        page = path.read_text(encoding="utf-8")
        assert not re.search(r"<script|src=\"(https?:)?//|<link|@import", page), path
        for link in re.findall(r"(?:href|src)=\"([^\"#:]+)\"", page):
            assert (path.parent / link).is_file(), f"{path}: {link}"


def said(reports):
    """What the notebooks of a study said and printed while they ran."""
    for path in sorted((reports / "notebooks").rglob("[!.]*.ipynb")):
        for output in (output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])):
            yield output.text if output.output_type == "stream" else output.get("data", {}).get("text/markdown", "")


def test_another_colour_draws_again_and_neither_trains_nor_renders_nor_changes_a_table(smoke, tmp_path):
    root, reports = smoke[0], smoke[0] / "reports/smoke"
    shutil.copytree(ROOT / "studykit", tmp_path / "studykit", ignore=shutil.ignore_patterns("__pycache__"))
    style = tmp_path / "studykit/plots/style.py"
    style.write_text(style.read_text().replace("#0072B2", "#0072B3"))
    shutil.rmtree(root / "data/derived/smoke/tracks")  # all that is to be predicted again
    before, drawn = tables(root, "smoke"), file_digest(reports / "figures/42_mirror_align/views_overlaid.png")
    assert len(before) > 20
    result = study(root, name="smoke", PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert set(ran(result)) >= {"00_data", "10_train_segmentation/unet-none", "42_mirror_align"}
    assert file_digest(reports / "figures/42_mirror_align/views_overlaid.png") != drawn
    told = "\n".join(said(reports))
    assert "kept: " in told and not re.search(r"^trained: ", told, flags=re.MULTILINE), told
    assert "No frames were rendered now" in told and "Made now: none" in told
    backends = {path: json.loads(path.read_text())["backend"] for path in (reports / "runs").rglob("[!.]*.json")}
    assert {path.stem for path, backend in backends.items() if backend} == {"41_pose_two_views"}  # others need no Keras
    after = tables(root, "smoke")
    assert [name for name in before if after.get(name) != before[name]] == []
