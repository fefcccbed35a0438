"""A tiny study through Snakemake and papermill: what runs, what does not run again, what stops."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from tiny_study import make_tiny_study, ran, study, tables, write_config


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
    result = study(finished)
    assert result.returncode == 0 and result.stderr == ""
    assert {path: path.stat().st_mtime_ns for path in (finished / "reports").rglob("*.*")} == before


def test_only_what_changed_runs_again(finished):
    (finished / "data/derived/tiny/doubles.csv").unlink()
    write_config(finished, **{"10_numbers": {"count": 4}})
    dry = study(finished, "--dry-run")
    assert "10_numbers" in dry.stdout + dry.stderr and ran(dry) == []
    assert ran(study(finished, "--cores", "1")) == ["10_numbers", "20_doubles", "30_sum"]
    record = json.loads((finished / "reports/tiny/runs/10_numbers.json").read_text())
    assert record["threads"] == 2  # tables must not depend on the number of cores
    write_config(finished, **{"10_numbers": {"count": 4}, "20_doubles": {"wait_s": 0.1}})
    result = study(finished)
    assert ran(result) == ["20_doubles", "30_sum"]


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
    assert "studykit execute: 30_sum: cell [5] `run.headline(total_m=" in result.stderr
    assert "AttributeError" in result.stderr
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


def test_a_cluster_is_asked_for_what_a_notebook_uses(tmp_path):
    root = make_tiny_study(tmp_path / "a study")
    table = root / "workflow/notebooks.yaml"
    table.write_text(
        table.read_text().replace("20_doubles: {", "20_doubles: {memory_gb: 2.5, minutes: 10, gpu: true, ")
    )
    path = root / "config/tiny.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"uses": {"30_sum": {"memory_gb": 8.0}}}))

    def asked(*options):
        rules = re.split(r"^(?:local)?rule ", study(root, "--dry-run", *options).stdout, flags=re.MULTILINE)[1:]
        found = {rule.partition(":")[0]: re.findall(r"(mem_mb|runtime|gpu)=(\d+)", rule) for rule in rules}
        return {name: {key: int(value) for key, value in pairs} for name, pairs in found.items() if pairs}

    assert asked("--gpus", "1") == {
        "10_numbers": {"mem_mb": 3000, "runtime": 13, "gpu": 0},
        "20_doubles": {"mem_mb": 6000, "runtime": 40, "gpu": 1},
        "30_sum": {"mem_mb": 17000, "runtime": 13, "gpu": 0},
    }
    assert asked()["20_doubles"]["gpu"] == 0
