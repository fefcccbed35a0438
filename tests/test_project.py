"""Rules that hold for the project as a whole."""

import ast
import json
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from studykit.workflow.configuration import load_config

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "studykit"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = sorted(PACKAGE.rglob("*.py"))
_LOGIC = (ast.For, ast.While, ast.If, ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.Try, ast.With)  # have rooms
DEEP_LEARNING = {"keras", "tensorflow", "torch", "jax"}
CONDA_NAMES = {
    "jupyter_client": "jupyter-client",
    "matplotlib-base": "matplotlib",
    "seaborn-base": "seaborn",
    "pytables": "tables",
}


def code_of(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_analysis_notebooks_start_without_deep_learning():
    code = "\n".join(code_of(path) for path in NOTEBOOKS if "42" <= path.stem[:2] <= "44")
    lines = {ast.unparse(n) for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import | ast.ImportFrom)}
    check = f"import sys; found = {DEEP_LEARNING!r} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", "\n".join([*sorted(lines), check])], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_stripped_and_only_tell_the_story(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert content["cells"][0]["cell_type"] == "markdown" and content["cells"][0]["source"][0].startswith("# ")
    for cell in content["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        if cell["cell_type"] == "markdown":  # pages have no script that could set a formula: write it in Unicode
            assert not re.search(r"\$[^$\n]*[\\^_{][^$\n]*\$|\\[(\[]|\\frac", "".join(cell["source"]))
            continue
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= 15 or "parameters" in cell["metadata"].get("tags", []), source
        statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, _LOGIC)]
        assert not statements, ast.unparse(statements[0])


def declared():
    """Requirements of pyproject.toml by name: what the study needs, then what its development needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def test_conda_environment_asks_for_the_same_packages():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_conda = [line for line in listed if isinstance(line, str)]
    by_pip = next(line["pip"] for line in listed if isinstance(line, dict))
    by_conda.remove("pip"), by_conda.remove("make"), by_conda.remove("python=3.11")
    environment = {}
    for requirement in map(Requirement, by_conda + by_pip):
        environment[CONDA_NAMES.get(requirement.name, requirement.name)] = str(requirement.specifier)
    assert environment == {name: str(requirement.specifier) for name, requirement in declared().items()}


def test_lock_satisfies_every_requirement_with_hashes_and_without_addresses():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
    wrong = [str(r) for name, r in declared().items() if not r.specifier.contains(locked.get(name, "0"))]
    assert wrong == []
    assert "://" not in text and "--index-url" not in text
    entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_command_line_answers_at_once():
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "studykit.cli", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5


def test_configurations_are_named_as_their_files():
    for path in (ROOT / "config").glob("*.yaml"):
        assert load_config(path).name == path.name.split(".")[0]


def test_ci_runs_the_command_of_the_readme():
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_modules_are_of_a_size_to_read():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path.relative_to(PACKAGE).as_posix(): n for path, n in lengths.items() if n > 400} == {}
    assert len(list(PACKAGE.glob("*.py"))) <= 12
