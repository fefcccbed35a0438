"""Whole studies through Snakemake and papermill: a tiny one for the machinery, the real one at smoke scale."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tiny_study import ROOT, make_tiny_study, write_config

from studykit.provenance import file_digest

NOTEBOOKS = {"00_data", "40_train_views", "41_pose_two_views", "42_mirror_align", "43_gait_cycles"}
NOTEBOOKS |= {"44_perspective_anova", "50_known_truth"}


def study(root, *options, name="tiny", start=subprocess.run):
    """The command a user types, in a project folder."""
    command = [sys.executable, "-m", "studykit.cli", "study", name, "--cores", "2", *options]
    environment = os.environ | {"STUDYKIT_ROOT": str(root)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return start(command, env=environment, cwd=root.parent, start_new_session=True, **pipes)


def ran(finished):
    """Notebooks that were executed."""
    return re.findall(r"(\S+): running", finished.stderr)


def tables(root, name="tiny"):
    """Fingerprints of everything a study found, without its times."""
    reports = root / "reports" / name
    return {
        path.relative_to(reports).as_posix(): file_digest(path)
        for kind in ("tables", "figures")
        for path in sorted((reports / kind).rglob("*.csv"))
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiny study, run once in a folder with a space in its name."""
    root = make_tiny_study(tmp_path_factory.mktemp("place") / "a study")
    result = study(root)
    assert result.returncode == 0, result.stderr
    assert ran(result) == ["10_numbers", "20_doubles", "30_sum"]
    (root / "first.json").write_text(json.dumps(tables(root)))
    return root


def test_report_tells_what_was_found(finished):
    reports = finished / "reports/tiny"
    summary = json.loads((reports / "summary.json").read_text())
    doubles = [float(line) for line in (finished / "data/derived/tiny/doubles.csv").read_text().split()[1:]]
    assert summary["10_numbers"] == {"numbers_count": 5}
    assert summary["30_sum"]["total_m"] == pytest.approx(sum(doubles), rel=1e-9)
    assert summary["study"]["study_s"] > 1 and summary["study"]["peak_memory_gb"] > 0.01
    page = (reports / "index.html").read_text()
    assert "Simulated data." in page and "<strong>known</strong>" in page
    assert "They &lt;b&gt;mean&lt;/b&gt; nothing." in page
    assert not re.search(r"<script|(src|href)=\"(https?:)?//|@import", page)
    for link in re.findall(r"(?:href|src)=\"([^\"#]+)\"", page):
        assert (reports / link).is_file(), link


def test_second_run_does_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished / "reports").rglob("*.*")}
    start = time.perf_counter()
    result = study(finished)
    assert time.perf_counter() - start < 60
    assert result.returncode == 0 and result.stderr == ""
    assert {path: path.stat().st_mtime_ns for path in (finished / "reports").rglob("*.*")} == before


def test_only_what_changed_runs_again(finished):
    (finished / "data/derived/tiny/doubles.csv").unlink()
    write_config(finished, **{"10_numbers": {"count": 4}})
    dry = study(finished, "--dry-run")
    assert "10_numbers" in dry.stdout + dry.stderr and ran(dry) == []
    assert ran(study(finished)) == ["10_numbers", "20_doubles", "30_sum"]
    write_config(finished, **{"10_numbers": {"count": 4}, "20_doubles": {"wait_s": 0.1}})
    result = study(finished)
    assert ran(result) == ["20_doubles"]  # its doubles are the same, so their sum stays
    assert "30_sum: nothing it depends on has changed" in result.stderr


def test_wrong_parameter_stops_before_anything_runs(finished):
    write_config(finished, **{"20_doubles": {"facotr": 2}})
    result = study(finished)
    assert result.returncode == 1 and ran(result) == []
    assert result.stderr.startswith("studykit study: study tiny: 20_doubles.ipynb: facotr: unknown parameter")
    assert result.stderr.count("\n") == 1


def test_failure_is_named_and_the_rest_goes_on(finished):
    (finished / "numbers.txt").write_text("")
    write_config(finished, **{"10_numbers": {"source": "numbers.txt"}})
    path = finished / "notebooks/30_sum.ipynb"
    whole = path.read_text()
    path.write_text(whole.replace("doubles.double.sum()", "doubles.single.sum()"))
    result = study(finished, "--keep-going")
    path.write_text(whole)
    assert result.returncode == 1
    assert (
        'studykit execute: 30_sum: cell [5] `headline("30_sum"' in result.stderr and "AttributeError" in result.stderr
    )
    assert result.stderr.strip().endswith("Stopped: 30_sum; what follows from it has not run")
    assert "<b>Stopped.</b> 30_sum: cell [5]" in (finished / "reports/tiny/index.html").read_text()
    assert set(tables(finished)) == set(json.loads((finished / "first.json").read_text()))


def test_killed_study_resumes_with_the_same_tables(finished, tmp_path):
    root = make_tiny_study(tmp_path / "a study")
    write_config(root, **{"20_doubles": {"wait_s": 60.0}})
    running = study(root, start=subprocess.Popen)
    waiting = root / "data/derived/tiny/waiting"
    deadline = time.monotonic() + 60
    while not waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    second = study(root)
    assert second.returncode == 1
    assert re.match(r"studykit study: study tiny is already running \(process \d+ since", second.stderr)
    os.killpg(running.pid, signal.SIGKILL)  # no chance to clean up
    running.communicate()
    write_config(root, **{"20_doubles": {"wait_s": 0.0}})
    result = study(root)
    assert result.returncode == 0, result.stderr
    assert ran(result) == ["20_doubles", "30_sum"]
    assert tables(root) == json.loads((finished / "first.json").read_text()) != {}


needs_all = pytest.mark.skipif(
    not {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} >= NOTEBOOKS,
    reason="not all notebooks of the two-camera study are there",
)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The real study at smoke scale in a project of its own, killed while notebook 41 runs, then resumed."""
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
    result = study(root, name="smoke")
    print(result.stderr)
    assert result.returncode == 0, result.stderr
    return root, ran(result)


@needs_all
@pytest.mark.study
def test_smoke_study_resumes_where_it_was_killed(smoke):
    root, resumed = smoke
    assert sorted(resumed) == sorted(NOTEBOOKS - {"00_data", "40_train_views"})
    start = time.perf_counter()
    again = study(root, name="smoke")
    assert again.returncode == 0 and ran(again) == [] and time.perf_counter() - start < 20


@needs_all
@pytest.mark.study
def test_smoke_study_reports_every_notebook(smoke):
    reports = smoke[0] / "reports/smoke"
    summary = json.loads((reports / "summary.json").read_text())
    assert set(summary) - {"study"} == NOTEBOOKS
    assert summary["study"]["peak_memory_gb"] < 6
    for path in [reports / "index.html", *sorted((reports / "html").glob("*.html"))]:
        page = path.read_text(encoding="utf-8")
        assert not re.search(r"<script|src=\"(https?:)?//|<link|@import", page), path
        for link in re.findall(r"(?:href|src)=\"([^\"#:]+)\"", page):
            assert (path.parent / link).is_file(), f"{path}: {link}"


@needs_all
@pytest.mark.study
def test_one_seed_gives_the_same_tables(smoke):
    root, _ = smoke
    before = tables(root, "smoke")
    assert len(before) > 20
    for folder in ("reports/smoke/runs", "data/derived/smoke/done"):
        for kept in (root / folder).glob("4[1234]*"):
            kept.unlink()
    shutil.rmtree(root / "data/derived/smoke/tracks")
    result = study(root, name="smoke")
    assert ran(result)[:3] == ["41_pose_two_views", "42_mirror_align", "43_gait_cycles"]
    after = tables(root, "smoke")
    assert [name for name in before if after.get(name) != before[name]] == []
