import json

import numpy as np
import pandas as pd
import pytest

from studykit.files import write_text
from studykit.notebook import Run, save_table
from studykit.papers import findings, published, thesis
from studykit.plots.papers import draw_ratios
from studykit.pose.scores.coco import COCO_FIGURES


@pytest.fixture
def reports(tmp_path):
    """What three notebooks of a study would have reported."""
    Run("10_train_segmentation/unet-none", tmp_path, tmp_path).headline(train_dice=0.9711, validation_dice=0.9)
    Run("10_train_segmentation/unet-softmax", tmp_path, tmp_path).headline(validation_dice=0.93)
    Run("10_train_segmentation/unet-regression", tmp_path, tmp_path).headline(validation_dice=0.95)
    Run("21_regression_cnn", tmp_path, tmp_path).headline(parameters_at_paper_size=27583068, mse_shares=None)
    return tmp_path


def verdicts(reports, **sources):
    sources = {"dataset": "gaitlab", "stills": "gaitlab"} | sources
    return findings.beside(reports, **sources).set_index(["paper", "quantity"]).verdict


def test_every_number_of_the_papers_tables_is_listed_once():
    table = published.printed("values")
    assert not table.duplicated(["paper", "quantity"]).any() and np.isfinite(table.published).all()
    counts = table.groupby(["paper", "where"]).size()
    # Paper 001: the ten figures of Table 1; 003: two rows by two networks and two times, then Table II's 18 numbers.
    assert counts["001", "Table 1"] == 10 and counts["003", "Table I"] == 6 and counts["003", "Table II"] == 18
    assert len(table[table.paper == "Stenum"]) == len(published.STENUM) == 8
    assert set(table.paper) | set(published.printed("findings").paper) == set(published.printed("papers").paper)
    assert table.paper.is_monotonic_increasing


def test_numbers_that_code_needs_are_those_printed():
    # Thesis 002, section 2.4; Stenum et al. 2021; paper 003, Table I.
    assert published.FALSE_POSITIVES_PERCENT == {"knee": 0.9, "ankle": 1.2, "heel": 0.8, "toe": 1.6}
    assert published.STENUM["speed", "m_s"] == 0.10 and published.STENUM["ankle", "deg"] == 7.4
    assert published.published_by("003")["validation Dice, U-Net"] == 0.9192
    values = published.published_by("002")
    assert values["walks analysed"] == thesis.SUBJECTS
    assert values["curves with a perspective effect, of 12"] == thesis.SIGNIFICANT["perspective"]


def test_numbers_come_from_headlines_and_from_tables(reports):
    rows = {"network": ["vit", "simple_baseline-resnet18"]} | {name: [0.1, 0.352] for name in COCO_FIGURES}
    save_table(pd.DataFrame(rows), reports / "tables/22_simple_baselines/table_1")
    table = findings.beside(reports, "gaitlab", "gaitlab").set_index(["paper", "quantity"])
    assert table.ours["003", "training Dice, U-Net"] == 0.9711
    assert table.ours["001", "AP"] == pytest.approx(35.2) and table.ratio["001", "AP"] == pytest.approx(0.5)


def test_verdicts_are_computed_and_claim_nothing_from_simulated_people(reports):
    simulated, real = verdicts(reports), verdicts(reports, stills="lsp")
    assert simulated["003", "training Dice, U-Net"] == "the same, simulated: no replication"
    assert real["003", "training Dice, U-Net"] == "the same"
    assert real["003", "validation Dice, U-Net"] == "2 % lower"  # 0.9 of 0.9192 is 2.09 % less
    assert simulated["004", "parameters"] == "the same"  # whatever the data
    assert simulated["004", "test MSE, unit not printed"] == "not measured in this study"
    assert simulated["001", "AR"] == "not part of this study"


def test_findings_compare_what_is_there(reports):
    found = findings.findings(reports, "gaitlab", "gaitlab").set_index("finding")
    assert found.verdict["joints in channels make better masks"] == "seen here too"
    assert found.verdict["joints in one map make worse masks"] == "not seen here"
    assert found.verdict["MobileNet gives more accurate skeletons than VGG"] == "not part of this study"
    assert found.data["joints in channels make better masks"] == "simulated"


def test_networks_trained_otherwise_are_not_compared(reports):
    for backbone, epochs in (("mobilenet", 20), ("vgg19", 4)):
        Run(f"30_train_openpose/{backbone}-coco18", reports, reports).headline(pck=epochs / 20)
        record = json.dumps({"parameters": {"epochs": epochs, "backbone": backbone, "width": 0.5}})
        write_text(reports / f"runs/30_train_openpose/{backbone}-coco18.json", record)
    found = findings.findings(reports, "gaitlab", "gaitlab").set_index("finding")
    assert found.verdict["MobileNet gives more accurate skeletons than VGG"] == "not comparable: other epochs"


def test_conclusion_counts_and_warns(reports):
    def said(dataset, stills):
        tables = findings.beside(reports, dataset, stills), findings.findings(reports, dataset, stills)
        return findings.conclusion(findings.counts(*tables), dataset, stills)

    assert "5 have one of ours beside them; 3 of these" in said("gaitlab", "gaitlab")
    assert "this study can look for 2; seen here too: 1, each" in said("gaitlab", "gaitlab")
    assert "None of this replicates a paper" in said("gaitlab", "lsp")
    assert "None of this replicates" not in said("table", "lsp")


def test_ratios_leave_out_counts(reports):
    table = findings.beside(reports, "gaitlab", "gaitlab")
    fig, drawn = draw_ratios(table)
    assert len(drawn) == len(fig.axes[0].get_yticks()) == 4
    assert "parameters" not in set(drawn.quantity)


def test_headlines_are_named_by_run(reports):
    numbers = findings.headlines(reports)
    assert list(numbers)[-1] == "21_regression_cnn" and "10_train_segmentation/unet-none" in numbers
    assert numbers["21_regression_cnn"] == json.loads((reports / "headline/21_regression_cnn.json").read_text())


def test_table_1_is_read_back_as_notebook_44_left_it(reports):
    assert thesis.table_1(reports).empty
    for effect in ("time", "perspective"):
        row = {"body part": ["x-value of hip"], "F (ours)": [2.0], "refused": [""]}
        save_table(pd.DataFrame(row), reports / f"tables/44_perspective_anova/table_1_{effect}")
    assert thesis.table_1(reports).to_numpy().tolist() == [[e, "x-value of hip", 2.0] for e in ("perspective", "time")]
