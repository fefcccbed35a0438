"""The real study at smoke scale: killed, resumed, repeated."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from tiny_study import ROOT, ran, study, tables

from studykit.workflow.configuration import load_config
from studykit.workflow.plan import plan

pytestmark = pytest.mark.study
# One of each kind that draws at random or computes in parallel; what follows from them has not changed.
REPEATED = ["41_pose_two_views", "44_perspective_anova", "50_known_truth"]


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
    marks = root / "data/derived/smoke/done"
    done = [path.relative_to(marks).as_posix() for path in marks.rglob("[!.]*") if path.is_file()]
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


def test_one_seed_gives_the_same_tables(smoke):
    root = smoke[0]
    before = tables(root, "smoke")
    assert len(before) > 20
    for name in REPEATED:
        (root / f"reports/smoke/runs/{name}.json").unlink()
        (root / "data/derived/smoke/done" / name).unlink()
    shutil.rmtree(root / "data/derived/smoke/tracks")
    result = study(root, name="smoke")
    again = set(ran(result))
    assert again >= set(REPEATED) and not again & {"42_mirror_align", "43_gait_cycles"}  # they found the same tracks
    after = tables(root, "smoke")
    assert [name for name in before if after.get(name) != before[name]] == []
