"""Reference numbers: what is kept of finished studies, and what is said of another one."""

import json
from pathlib import Path

import numpy as np
import pytest

from studykit.cli import main
from studykit.workflow.configuration import load_config
from studykit.workflow.expected import expect, moved, read_expected, read_numbers, widen
from studykit.workflow.plan import plan

SEEDS = [
    {
        "41_pose_two_views": {"median_error_px": median, "frames_per_s": 70.0 + median},
        "43_gait_cycles": {"n_cycles_kept": kept, "event_mae_s": 0.02, "speed_mae_m_s": speed},
        "study": {"study_s": 1000.0 * median, "peak_memory_gb": 2.0},
    }
    for median, kept, speed in ((2.0, 130, None), (2.6, 134, None), (2.3, 132, None))
]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project whose reports hold a finished study of each seed."""
    monkeypatch.setenv("STUDYKIT_ROOT", str(tmp_path))
    for name, summary in zip(("default", "default-seed2", "default-seed3"), SEEDS, strict=True):
        write_summary(tmp_path, name, summary)
    return tmp_path


def write_summary(root, name, summary):
    (root / "reports" / name).mkdir(parents=True, exist_ok=True)
    (root / "reports" / name / "summary.json").write_text(json.dumps(summary))


def test_tolerance_is_twice_the_range_of_the_seeds_or_the_floor(root):
    numbers = [read_numbers(path) for path in sorted(root.glob("reports/*/summary.json"))]
    table = expect(numbers).set_index("number")
    assert list(table.index) == ["median_error_px", "n_cycles_kept", "event_mae_s", "speed_mae_m_s"]  # no times
    assert table.loc["median_error_px", ["expected", "tolerance"]].tolist() == pytest.approx([2.3, 1.2])
    assert table.loc["n_cycles_kept", ["expected", "tolerance"]].tolist() == [132, 8]
    assert table.loc["event_mae_s", ["expected", "tolerance"]].tolist() == [0.02, 0.001]  # 5 %
    one = expect(numbers[:1]).set_index("number")
    assert one.tolerance["n_cycles_kept"] == 6.5 and one.seeds.eq(1).all()  # 5 % of 130


def test_every_seed_is_within_what_it_helped_to_expect():
    rng = np.random.default_rng(1)
    for _ in range(20):
        studies = [{("a", "b"): rng.normal(), ("a", "n"): float(rng.integers(9))} for _ in range(3)]
        assert [moved(study, expect(studies)) for study in studies] == [[]] * 3


def test_another_study_widens_what_is_expected_and_lies_within(root, capsys):
    numbers = [read_numbers(root / "reports" / name / "summary.json") for name in ("default", "default-seed2")]
    far = {key: 1.4 * value for key, value in numbers[1].items()}
    table, (_, whole) = expect(numbers), (expect(numbers), expect([*numbers, far]))
    wider = widen(table, far)
    known = wider.expected.notna()
    np.testing.assert_allclose(wider.expected, whole.expected)
    assert (wider.tolerance >= table.tolerance)[known].all() and (wider.tolerance <= whole.tolerance + 1e-12)[
        known
    ].all()
    assert moved(far, table) and moved(far, wider) == [] and (wider.seeds == 3).all()
    with pytest.raises(ValueError, match="on one side only"):
        widen(table, {})
    assert main(["expect", "default"]) == main(["expect", "default", "--add"]) == 0
    assert "numbers of 2 studies" in capsys.readouterr().out
    assert main(["expect", "default", "default-seed2", "--add"]) == 1


def test_what_only_some_seeds_measured_may_be_anything():
    studies = [{("a", "b"): value, ("a", "c"): np.nan} for value in (1.0, np.nan)]
    for value in (5.0, np.nan):
        assert moved({("a", "b"): value, ("a", "c"): np.nan}, expect(studies)) == []
    said = moved({("a", "b"): 1.0, ("a", "c"): 1.0}, expect(studies))
    assert said == ["a c: expected nan ± nan, got 1, moved by +nan"]


def test_commands_keep_and_compare(root, capsys):
    assert main(["expect", "default", "default-seed2", "default-seed3"]) == 0
    path = root / "reports/expected/default.csv"
    assert capsys.readouterr().out == f"{path}: 4 numbers of 3 studies\n"
    assert read_expected(path).seeds.tolist() == [3] * 4
    assert main(["check-results", "default"]) == 0
    assert capsys.readouterr().out == "default: 0 numbers have moved, 4 were expected\n"
    other = json.loads(json.dumps(SEEDS[0]))
    other["41_pose_two_views"] = {"median_error_px": 4.0, "within_8px": 0.5}
    del other["43_gait_cycles"]["event_mae_s"]
    write_summary(root, "default", other)
    assert main(["check-results"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "41_pose_two_views median_error_px: expected 2.3 ± 1.2, got 4, moved by +1.7",
        "43_gait_cycles event_mae_s: expected 0.02, got no such number",
        "41_pose_two_views within_8px: expected no such number, got 0.5",
        "default: 3 numbers have moved, 4 were expected",
    ]


def test_what_is_missing_is_said(root, capsys):
    assert main(["check-results", "smoke"]) == 1
    assert "smoke.csv: expected reference numbers, got none; `studykit expect smoke` writes them" in (
        capsys.readouterr().err
    )
    assert main(["expect", "smoke"]) == 1
    assert "summary.json: expected a finished study, got none" in capsys.readouterr().err
    write_summary(root, "default-seed2", {name: SEEDS[1][name] for name in ("43_gait_cycles", "study")})
    assert main(["expect", "default", "default-seed2"]) == 1
    assert "got 41_pose_two_views median_error_px (and 0 more) in some only" in capsys.readouterr().err


def test_what_is_expected_of_the_default_study_are_numbers_of_its_runs():
    root = Path(__file__).parents[1]
    table = read_expected(root / "reports/expected/default.csv")
    assert set(table.run) == set(plan(load_config(root / "config/default.yaml")))
    assert table.seeds.ge(3).all() and (table.tolerance.isna() == table.expected.isna()).all()
