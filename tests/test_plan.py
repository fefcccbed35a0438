"""The plan of a study: runs of one notebook, their parameters and results."""

import pytest
import yaml
from tiny_study import make_tiny_study

from studykit.workflow.configuration import load_config
from studykit.workflow.plan import plan


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = make_tiny_study(tmp_path / "study")
    monkeypatch.setenv("STUDYKIT_ROOT", str(root))
    table = yaml.safe_load((root / "workflow/notebooks.yaml").read_text())
    table["20_doubles"] |= {"runs": {"twice": {"factor": 2.0}, "thrice": {"factor": 3.0}}, "writes": ["{variant}.csv"]}
    (root / "workflow/notebooks.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    return root


def planned(root, **changes):
    path = root / "config" / "tiny.yaml"
    content = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump(content))
    return plan(load_config(path))


def test_each_variant_is_a_run_of_its_own(root):
    runs = planned(root)
    assert list(runs) == ["10_numbers", "20_doubles/twice", "20_doubles/thrice", "30_sum"]
    assert runs["20_doubles/thrice"].parameters["factor"] == 3.0
    assert [path.name for path in runs["20_doubles/thrice"].results] == ["thrice.csv"]
    assert runs["30_sum"].reads == ("20_doubles/twice", "20_doubles/thrice")


def test_a_configuration_chooses_and_tunes_the_variants(root):
    tuned = {"20_doubles": {"factor": 1.0}, "20_doubles/half": {"factor": 1.5}}
    runs = planned(root, runs={"20_doubles": {"one": {}, "half": {}}}, notebooks=tuned)
    assert {name: run.parameters.get("factor") for name, run in runs.items() if "/" in name} == {
        "20_doubles/one": 1.0,
        "20_doubles/half": 1.5,
    }


def test_a_parameter_for_all_runs_never_overrules_what_makes_one_of_them(root):
    with pytest.raises(ValueError, match=r"20_doubles/twice: expected one value of factor, got 2.0 as its own and 1.5"):
        planned(root, notebooks={"20_doubles": {"factor": 1.5}})
    runs = planned(root, notebooks={"20_doubles": {"wait_s": 1.0}, "20_doubles/thrice": {"factor": 2.5}})
    assert [(run.parameters["factor"], run.parameters["wait_s"]) for name, run in runs.items() if "/" in name] == [
        (2.0, 1.0),
        (2.5, 1.0),
    ]


def test_a_configuration_limits_the_threads_of_a_run(root):
    table = yaml.safe_load((root / "workflow/notebooks.yaml").read_text())
    table["10_numbers"]["threads"] = 4
    (root / "workflow/notebooks.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    assert [run.threads for run in planned(root).values()] == [4, 1, 1, 1]
    assert [run.threads for run in planned(root, threads=2).values()] == [2, 1, 1, 1]


def test_a_configuration_asks_for_some_notebooks_and_gets_what_they_read(root):
    assert list(planned(root, only=["20_doubles"])) == ["10_numbers", "20_doubles/twice", "20_doubles/thrice"]
    table = yaml.safe_load((root / "workflow/notebooks.yaml").read_text())
    table["30_sum"]["gathers"] = True
    (root / "workflow/notebooks.yaml").write_text(yaml.safe_dump(table, sort_keys=False))
    assert list(planned(root, only=["10_numbers", "30_sum"])) == ["10_numbers", "30_sum"]


def test_unknown_runs_are_named(root):
    with pytest.raises(ValueError, match=r"only: expected some of .*30_sum, got '40_product'"):
        planned(root, only=["40_product"])
    with pytest.raises(ValueError, match=r"notebooks: expected one of .*20_doubles/twice.*, got '20_doubles/once'"):
        planned(root, notebooks={"20_doubles/once": {}})
    with pytest.raises(ValueError, match=r"runs: expected one of .*, got '21_halves'"):
        planned(root, runs={"21_halves": {"a": {}}})
