import json
import subprocess
import sys

import nbformat
import pytest
from tiny_study import SHARED, make_tiny_study, write_config, write_notebook

from studykit.files import file_digest
from studykit.kept import keras_backend
from studykit.site.notebooks import notebook_page
from studykit.workflow.configuration import load_config
from studykit.workflow.execution import NotebookFailed, execute, peak_memory
from studykit.workflow.lock import alone
from studykit.workflow.plan import forget_lost, plan
from studykit.workflow.provenance import busy_seconds, code_digest, modules_used


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tiny project; paths resolve from it."""
    monkeypatch.setenv("STUDYKIT_ROOT", str(tmp_path / "a study"))
    return make_tiny_study(tmp_path / "a study")


def config(root, **notebooks):
    return load_config(write_config(root, **notebooks))


def test_notebook_leaves_its_copy_and_record(root, monkeypatch):
    look = "import os, sys\nprint(sys.executable, os.environ['OMP_NUM_THREADS'], os.environ['PYTHONHASHSEED'])"
    write_notebook(
        root / "notebooks/10_numbers.ipynb",
        "# Numbers",
        SHARED,
        'write_text(run.derived / "numbers/a.txt", str(seed))',
        look,
        "import time\nblob = np.ones(50_000_000)\ntime.sleep(0.5)",  # 0.4 GB
    )
    monkeypatch.setenv("JUPYTER_PATH", str(root))  # no kernelspec of another environment may take over
    record = execute(config(root), "10_numbers")
    reports = root / "reports/tiny"
    said = [
        output.text
        for cell in nbformat.read(reports / "notebooks/10_numbers.ipynb", 4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    assert said == [f"{sys.executable} 2 0\n"]
    assert json.loads((reports / "runs/10_numbers.json").read_text()) == record
    assert record["parameters"] == {"seed": 1, "derived": "data/derived/tiny", "reports": "reports/tiny"}
    left = ["data/derived/tiny/numbers", "reports/tiny/notebooks/10_numbers.ipynb"]
    assert record["outputs"] == {path: file_digest(root / path) for path in left}
    assert record["threads"] == 2 and record["backend"] is None and record["versions"]["numpy"]
    assert 0.4 < record["peak_memory_gb"] < 1.5  # and the interpreter
    assert 0.5 < record["seconds"] < 120


def test_failed_notebook_names_the_cell_and_keeps_earlier_results(root):
    execute(config(root), "10_numbers")
    before = {path: file_digest(path) for path in sorted((root / "reports").rglob("*.*"))}
    (root / "numbers.txt").write_text("1\nthree\n")
    with pytest.raises(NotebookFailed) as caught:
        execute(config(root, **{"10_numbers": {"source": "numbers.txt"}}), "10_numbers")
    said = str(caught.value)
    assert said.startswith("10_numbers: cell [4] `numbers = np.random.default_rng(seed)")
    assert "stopped, ValueError: could not convert string 'three'" in said
    assert said.endswith("see reports/tiny/failed/10_numbers.ipynb")
    failed = nbformat.read(root / "reports/tiny/failed/10_numbers.ipynb", 4)
    assert any(o.output_type == "error" for cell in failed.cells for o in cell.get("outputs", []))
    assert {path: file_digest(path) for path in before} == before
    execute(config(root), "10_numbers")
    assert not list((root / "reports/tiny/failed").iterdir())


def test_a_kernel_that_dies_is_said_so(root):
    write_notebook(root / "notebooks/10_numbers.ipynb", "# Numbers", SHARED, "# leave\nimport os\nos._exit(9)", "1 + 1")
    with pytest.raises(NotebookFailed, match=r"cell \[4\] `import os` stopped, the kernel was stopped from outside"):
        execute(config(root), "10_numbers")


def test_a_notebook_that_does_not_write_what_it_must_has_failed(root):
    write_notebook(root / "notebooks/10_numbers.ipynb", "# Numbers", SHARED, "1 + 1")
    with pytest.raises(NotebookFailed, match=r"10_numbers: ran, but did not write numbers"):
        execute(config(root), "10_numbers")
    assert not (root / "reports/tiny/runs/10_numbers.json").exists()


def test_every_fault_of_the_plan_is_said_before_anything_starts(root):
    wrong = {"10_numbers": {"cuont": 3}, "20_doubles": {"factor": "2"}, "99_last": {}}
    with pytest.raises(ValueError, match=r"study tiny: ") as caught:
        plan(config(root, **wrong))
    said = str(caught.value)
    assert "notebooks: expected one of 10_numbers, 20_doubles, 30_sum, got '99_last'" in said
    assert "10_numbers.ipynb: cuont: unknown parameter, expected one of seed, derived, reports, count" in said
    assert "20_doubles.ipynb: factor: expected float, got '2' (str)" in said


def test_plan_leaves_out_what_the_configuration_does_not_need(root):
    settings = config(root).model_copy(update={"truth": False})
    assert list(plan(settings)) == ["10_numbers", "20_doubles"]


def test_files_that_parameters_name_are_inputs(root):
    (root / "numbers.txt").write_text("1\n")
    runs = plan(config(root, **{"10_numbers": {"source": "numbers.txt"}}))
    assert runs["10_numbers"].files() == [root / "numbers.txt"]


def test_recordings_of_a_study_table_are_inputs(root):
    (root / "mine").mkdir()
    (root / "mine/study.csv").write_text("participant,video,tracks\nsub-01,a.mp4,\nsub-01,b.mp4,\n")
    (root / "mine/a.mp4").touch()
    runs = plan(config(root, **{"10_numbers": {"source": "mine/study.csv"}}))
    assert runs["10_numbers"].files() == [root / "mine/study.csv", root / "mine/a.mp4"]


def test_a_lost_result_makes_its_run_anew(root):
    runs = plan(config(root))
    (run := runs["20_doubles"]).record.parent.mkdir(parents=True)
    run.record.touch()
    assert forget_lost(runs) == ["20_doubles: doubles.csv is no longer there; it will be made again"]
    assert not run.record.exists() and forget_lost(runs) == []


def test_a_damaged_file_makes_its_run_anew(root):
    settings = config(root)
    for name in (runs := plan(settings)):
        execute(settings, name)
    assert forget_lost(runs) == []
    left = {
        "numbers.json": (root / "data/derived/tiny/numbers/numbers.json", "10_numbers: numbers is not as it was left"),
        "doubles.csv": (root / "reports/tiny/tables/20_doubles/doubles.csv", "20_doubles: 20_doubles is not as it was"),
        "notebook": (root / "reports/tiny/notebooks/30_sum.ipynb", "30_sum: 30_sum.ipynb is not as it was left"),
        "headline": (root / "reports/tiny/headline/30_sum.json", "30_sum: 30_sum.json is not as it was left"),
        "record": (root / "reports/tiny/runs/30_sum.json", "30_sum: its record is damaged"),
    }
    for path, sentence in left.values():
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        said = forget_lost(runs)
        assert len(said) == 1 and said[0].startswith(sentence)
        run = runs[said[0].partition(":")[0]]
        assert not run.record.exists()
        execute(settings, run.name)
        assert path.is_file() and run.record.exists() and forget_lost(runs) == []


def test_modules_are_followed_through_every_kind_of_import(tmp_path):
    package = tmp_path / "kit"
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from kit.deep import leaf",
        "b.py": "import kit.c as c, numpy",
        "c.py": "from . import d",
        "d.py": "",
        "unused.py": "",
        "deep/__init__.py": "from .leaf import x",
        "deep/leaf.py": "from ..b import y",
    }
    for name, source in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(source)
    used = [path.relative_to(package).as_posix() for path in modules_used("from kit.a import f", package)]
    assert used == ["__init__.py", "a.py", "b.py", "c.py", "d.py", "deep/__init__.py", "deep/leaf.py"]
    assert modules_used("import kitchen, numpy", package) == []


def test_code_counts_by_what_it_does(tmp_path):
    package = tmp_path / "kit"
    package.mkdir()
    (package / "__init__.py").write_text("")
    notebook = tmp_path / "a.ipynb"
    write_notebook(notebook, "# A", SHARED, "%matplotlib inline\nfrom kit.mesh import area")

    def digest(source):
        (package / "mesh.py").write_text(source)
        return code_digest(notebook, package)

    first = digest('"""A mesh."""\ndef area(x):\n    return x * 2\n')
    assert digest('"""The mesh."""\n\n\ndef area(x):\n    "Twice."\n    return (x * 2)  # why\n') == first
    assert digest("def area(x):\n    return x * 3\n") != first
    (package / "other.py").write_text("x = 1")
    assert digest("def area(x):\n    return x * 2\n") == first
    write_notebook(notebook, "# A, but told better", SHARED, "from kit.mesh import area")
    assert code_digest(notebook, package) != first


def test_backend_counts_where_keras_may_be_loaded(tmp_path, monkeypatch):
    package = tmp_path / "kit"
    package.mkdir()
    (package / "train.py").write_text("import keras")
    (package / "view.py").write_text("def show():\n    import keras")
    (package / "count.py").write_text("import json")
    for module, counts in (("train", True), ("view", True), ("count", False)):
        write_notebook(tmp_path / "a.ipynb", "# A", SHARED, f"import kit.{module}")
        digests = set()
        for backend in ("tensorflow", "jax"):
            monkeypatch.setenv("KERAS_BACKEND", backend)
            digests.add(code_digest(tmp_path / "a.ipynb", package))
        assert len(digests) == 1 + counts
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert keras_backend() == "jax"


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    lock = tmp_path / "locks/a"
    refused = pytest.raises(RuntimeError, match=r"study tiny is already running \(process \d+ since")
    with alone(lock, "study tiny"), refused, alone(lock, "study tiny"):
        pass
    with alone(lock, "study tiny"):
        pass


def test_peak_memory_counts_children(tmp_path):
    with peak_memory() as peak:
        subprocess.run([sys.executable, "-c", "import time; b = b'1' * 400_000_000; time.sleep(0.6)"], check=True)
    assert 0.4 < peak.gb < 0.6


def test_busy_time_counts_overlap_once_and_pauses_never():
    records = [
        {"start": "2026-01-01T12:00:00+00:00", "seconds": 60},
        {"start": "2026-01-01T12:00:30+00:00", "seconds": 60},
        {"start": "2026-01-01T12:00:40+00:00", "seconds": 10},
        {"start": "2026-01-01T15:00:00+00:00", "seconds": 5},
    ]
    assert busy_seconds(records) == 95
    assert busy_seconds([]) is None


def test_page_folds_code_and_escapes_titles():
    cell = nbformat.v4.new_code_cell("x = '<b>'", metadata={"tags": ["injected-parameters"]})
    noise = nbformat.v4.new_output("stream", name="stderr", text="half\rwhole\n")
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "0% done"}
    outputs = [noise, nbformat.v4.new_output("display_data", widget)]
    cells = [nbformat.v4.new_markdown_cell("# A < B"), cell, nbformat.v4.new_code_cell("y", outputs=outputs)]
    page = notebook_page(nbformat.v4.new_notebook(cells=cells), "10_a/b")
    assert "<title>A &lt; B</title>" in page and 'href="../../index.html"' in page
    assert "<summary>Parameters of this run</summary>" in page and "<summary>Messages</summary>" in page
    assert "whole" in page and "half" not in page and "0% done" not in page
    assert page.count("<details>") == 3 and "&lt;b&gt;" in page
