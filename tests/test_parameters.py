import json
from pathlib import Path

import pytest

from studykit.workflow.configuration import load_config
from studykit.workflow.parameters import read_parameters, validate

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL = """\
steps: int = 700  # training steps, 1 to 1_000_000
rate: float = 1e-3  # learning rate, 1e-6 to 0.1
reference: str = "neck"  # one of "neck" (paper), "mid_hip"
depth: int = 18  # layers, one of 18, 50 (paper); 101 is too deep
flip: bool = True  # mirror frames while training
scales: list = [0.5, 1.0]  # of the image, 0.1 to 4
weights: str | None = None  # a file; None: untrained
seed: int = 1  # any whole number from 0
table: dict = {
    "a": 1,  # 3 to 4 lines
}
"""


def notebook(folder, source, tags=("parameters",)):
    path = folder / "10_tiny.ipynb"
    cell = {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source.splitlines(True)}
    path.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    return path


@pytest.fixture
def tiny(tmp_path):
    return notebook(tmp_path, CELL)


def test_reads_types_ranges_and_choices(tiny):
    parameters = read_parameters(tiny)
    assert parameters["steps"].bounds == (1, 1_000_000)
    assert parameters["rate"].bounds == (1e-6, 0.1)
    assert parameters["reference"].choices == ("neck", "mid_hip")
    assert parameters["depth"].choices == (18, 50)
    assert parameters["depth"].bounds is None
    assert parameters["scales"].default == [0.5, 1.0]
    assert parameters["weights"].types == (str, type(None))
    assert parameters["seed"].bounds is None and parameters["seed"].comment == "any whole number from 0"


def test_overrides_replace_defaults(tiny):
    values = validate(tiny, {"steps": 10, "reference": "mid_hip", "weights": "resnet.h5", "scales": [2]})
    assert values["steps"] == 10 and values["reference"] == "mid_hip" and values["weights"] == "resnet.h5"
    assert values["rate"] == 1e-3 and values["flip"] is True


def test_a_whole_number_serves_as_a_float(tmp_path):
    path = notebook(tmp_path, "cutoff: float = 6.0  # low-pass, Hz, 1 to 12\n")
    value = validate(path, {"cutoff": 8})["cutoff"]
    assert value == 8.0 and type(value) is float


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("stesp", 3, "stesp: unknown parameter, expected one of steps, rate"),
        ("steps", 3.0, r"steps: expected int, got 3.0 \(float\)"),
        ("steps", True, r"steps: expected int, got True \(bool\)"),
        ("steps", "3", r"steps: expected int, got '3' \(str\)"),
        ("steps", 0, "steps: expected 1 to 1e[+]06, got 0"),
        ("rate", float("nan"), "rate: expected 1e-06 to 0.1, got nan"),
        ("rate", True, r"rate: expected float, got True \(bool\)"),
        ("reference", "hip", "reference: expected one of 'neck', 'mid_hip', got 'hip'"),
        ("depth", 101, "depth: expected one of 18, 50, got 101"),
        ("flip", 1, r"flip: expected bool, got 1 \(int\)"),
        ("scales", [1, 9], "scales: expected 0.1 to 4, got 9"),
        ("scales", 1.0, "scales: expected list"),
        ("weights", 3, r"weights: expected str or None, got 3 \(int\)"),
    ],
)
def test_refuses_and_names_notebook_and_parameter(tiny, name, value, fault):
    with pytest.raises(ValueError, match=rf"^10_tiny\.ipynb: {fault}"):
        validate(tiny, {name: value})


def test_all_faults_come_in_one_message(tiny):
    with pytest.raises(ValueError, match=r"stesp: unknown.*; flip: expected bool.*; steps: expected 1 to"):
        validate(tiny, {"stesp": 3, "flip": "no", "steps": 0})


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("steps = 3\n", "line 1 of its parameters cell: expected `name: type = literal`, got `steps = 3`"),
        ("a: int = 1\nb: int = a + 1\n", "line 2 of its parameters cell: b: expected a literal"),
        ("a: array = 1\n", "a: expected a type of int, float"),
        ("a: int = 5  # 1 to 3\n", "a: its default expected 1 to 3, got 5"),
    ],
)
def test_ill_written_parameter_cells_are_named(tmp_path, source, fault):
    with pytest.raises(ValueError, match=fault):
        read_parameters(notebook(tmp_path, source))


def test_a_notebook_without_the_tag_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"10_tiny.ipynb: expected one cell tagged `parameters`, got 0"):
        read_parameters(notebook(tmp_path, CELL, tags=()))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_of_the_study_explain_themselves(path):
    parameters = read_parameters(path)
    assert {"seed", "derived", "reports"} <= set(parameters)
    assert [name for name, parameter in parameters.items() if not parameter.comment] == []


@pytest.mark.parametrize("config", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_fits_the_notebooks(config):
    for name, overrides in load_config(config).notebooks.items():
        validate(ROOT / "notebooks" / f"{name.partition('/')[0]}.ipynb", overrides)


def test_default_configuration_equals_the_notebooks_own_parameters():
    config = load_config(ROOT / "config" / "default.yaml")
    for path in NOTEBOOKS:
        own = {name: parameter.default for name, parameter in read_parameters(path).items()}
        assert own["seed"] == config.seed
        assert own["derived"] == "data/derived/default" and own["reports"] == "reports/default"
        assert {**own, **config.notebooks.get(path.stem, {})} == own
