"""Runs of paper 003 side by side: tables, repeats, curves and conclusions, on small tables."""

import numpy as np
import pandas as pd
import pytest

from studykit.notebook import save_table
from studykit.papers.published import published_by
from studykit.plots import segmentation as figures
from studykit.pose.scores import encodings
from studykit.pose.scores.encodings import read_runs, repeats
from studykit.pose.scores.masks import pck_table, pck_text

ENCODINGS = {"Mask + Reg.": "reg", "Mask + Softmax": "soft", "Mask + Reg. Softmax": "soft", "Triple Model": "soft"}
ARCHITECTURES = {"U-Net": "plain", "harmonic U-Net": "harmonic"}


@pytest.fixture
def paper():
    return published_by("003")


@pytest.fixture
def scores():
    """Four runs, all with Dice 0.9, 0.8 and 0.7; the harmonic network takes three times as long."""
    rows = []
    for run, joints, seconds in (
        ("plain", "none", 1),
        ("harmonic", "none", 3),
        ("reg", "regression", 2),
        ("soft", "softmax", 2),
    ):
        same = {"run": run, "architecture": "harmonic" if run == "harmonic" else "unet", "joints": joints}
        same |= {"images": 60, "seed": 1, "epochs": 4, "joints_weight": 1.0, "masks": "exact"}
        same |= {"parameters": 9 + len(joints) + len(run), "seconds_per_image": seconds, "train_s": 3600 * seconds}
        for part, dice in (("train", 0.9), ("validation", 0.8), ("test", 0.7)):
            rows.append(same | {"set": part, "dice": dice})
            if joints == "regression":
                rows[-1]["squared_error"] = 11.0
            if joints == "softmax":
                rows[-1]["cross_entropy"] = 0.05
    return pd.DataFrame(rows)


def points(error_px, named=True):
    """Neck and nose of two people whose heads are 8 px long, all so far off."""
    rows = [("a", "neck"), ("a", "left_knee"), ("b", "neck"), ("b", "left_knee")]
    table = pd.DataFrame(rows, columns=["source", "keypoint"]).assign(nearest_px=1.0, head_px=8.0)
    return table.assign(error_px=[error_px, 9.0, error_px, 9.0] if named else np.nan)


def test_runs_are_read_from_their_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="notebook 10_train_segmentation makes it"):
        read_runs(tmp_path)
    for run in ("unet-none", "harmonic-none"):
        save_table(pd.DataFrame({"run": [run], "dice": [0.9]}), tmp_path / run / "scores")
    assert sorted(read_runs(tmp_path).run) == ["harmonic-none", "unet-none"]


def test_repeats_differ_in_the_seed_alone():
    same = {"architecture": "unet", "joints": "none", "images": 60, "epochs": 4, "joints_weight": 1.0, "parameters": 9}
    rows = [same | {"run": "a", "seed": 1}, same | {"run": "b", "seed": 2}]
    rows += [same | {"run": key, "seed": 1, key: value} for key, value in (("images", 90), ("parameters", 8))]
    assert list(repeats(pd.DataFrame(rows), "b").run) == ["a", "b"]


def test_table_1_has_the_paper_beside_ours(scores, paper):
    table = encodings.table_1(scores, ARCHITECTURES, paper)
    assert list(table.quantity[:4]) == ["training Dice", "validation Dice", "test Dice", "training time, h"]
    assert list(table.ours) == [0.9, 0.8, 0.7, 1, 0.9, 0.8, 0.7, 3]
    assert table.paper.tolist()[:2] == [0.9711, 0.9192] and table.paper.tolist()[4:6] == [0.964, 0.911]  # Table I
    assert table.paper.isna().tolist() == [False, False, True, False] * 2 and table.paper[7] == 30


def test_table_2_has_what_either_the_paper_or_ours_knows(scores, paper):
    table = encodings.table_2(scores, ENCODINGS, paper).set_index(["quantity", "set", "encoding"])
    assert list(table) == ["paper", "ours"] and list(table.index.levels[0]) == [
        "cross_entropy",
        "dice",
        "squared_error",
    ]
    assert tuple(table.loc["dice", "validation", "Mask + Softmax"]) == (0.922, 0.8)
    assert tuple(table.loc["squared_error", "train", "Mask + Reg."]) == (11.35, 11.0)
    assert table.paper["cross_entropy", "train", "Mask + Reg. Softmax"] == 0.007
    assert np.isnan(table.ours["squared_error", "train", "Triple Model"])
    assert ("cross_entropy", "train", "Mask + Reg.") not in table.index and len(table) == 2 * (4 + 2 + 3)


def test_learning_curve_has_every_run_of_these_two_networks(scores):
    more = scores[scores.run == "plain"].assign(run="fewer", images=30, seed=2, dice=0.6)
    other = scores[scores.run == "plain"].assign(run="wider", parameters=99)
    curve = encodings.learning_curve(pd.concat([scores, more, other]), ARCHITECTURES)
    assert list(curve.run) == ["fewer", "plain", "harmonic"] and list(curve.dice) == [0.6, 0.7, 0.7]
    assert figures.draw_curves(curve[curve.images == 60], "images", "dice", "", "") is None


def test_seeds_and_their_means_leave_out_a_run_that_is_missing(scores):
    second = scores[scores.run == "soft"].assign(run="soft-2", seed=2, dice=0.6)
    seeds = encodings.seeds_table(pd.concat([scores, second]), {"mask alone": "nowhere", "Mask + Softmax": "soft"})
    assert set(seeds.set) == {"validation", "test"} and sorted(seeds.run) == ["soft", "soft", "soft-2", "soft-2"]
    assert list(seeds.dice[seeds.set == "validation"]) == [0.8, 0.6] and set(seeds.encoding) == {"Mask + Softmax"}


def test_weights_are_compared_by_their_joints_and_masks(scores, tmp_path):
    heavy = scores[scores.run == "soft"].assign(run="heavy", joints_weight=4.0, dice=0.75)
    for run, error in (("soft", 5.0), ("heavy", 1.0)):
        save_table(points(error), tmp_path / run / "points")
    table = encodings.weights_table(pd.concat([heavy, scores]), tmp_path, 0.5)
    assert list(table.joints_weight) == [1, 4] and list(table.pck) == [0, 0.5] and list(table.dice) == [0.8, 0.75]


def test_joints_of_the_best_encoding_are_named():
    errors = {"Mask + Reg.": (9.0, False), "Mask + Softmax": (1.0, True), "Mask + Reg. Softmax": (5.0, True)}
    found = {name: pck_table(points(*how)) for name, how in errors.items()}
    found["Triple Model"] = found["Mask + Softmax"]
    assert encodings.joints_text(found, 0.5) == (
        "Mask + Softmax detects most joints of unseen people, 50 % within 0.5 of a head, occluded ones included; neck "
        "best, left knee worst."
    )
    wide = encodings.pck_by_encoding(found)
    assert list(wide.keypoint) == ["neck", "left_knee", "all"] and wide["Mask + Reg. pck"].isna().all()
    whole = wide.set_index("keypoint").loc["all"]
    assert whole["Mask + Softmax pck"] == 0.5 and whole["Mask + Reg. Softmax pck"] == 0
    assert whole["Mask + Reg. pck_any"] == 1 and whole["Mask + Softmax median_px"] == 5
    unknown = {name: pck_table(points(1.0).assign(head_px=np.nan)) for name in found}
    assert "length of a head is not known" in encodings.joints_text(unknown, 0.5)


def test_joints_of_one_run_in_words():
    assert pck_table(pd.DataFrame()) is None and pck_text("none", None) == ""
    assert pck_text("softmax", pck_table(points(1.0))).startswith("50 % of their joints")
    assert pck_text("regression", pck_table(points(1, False))).endswith("where joints are, not which.")
