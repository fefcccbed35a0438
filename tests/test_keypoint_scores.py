"""Scores over the shared joints, comparisons of networks, figures."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from studykit.files import write_text
from studykit.gaitlab import simulate_stills
from studykit.plots import keypoints as plots
from studykit.pose.scores import keypoints as scores
from studykit.pose.scores.coco import COCO_FIGURES, coco_results, coco_truth
from studykit.pose.scores.keypoints import (
    COMPARED,
    SHARED,
    head_lengths,
    in_short,
    network_scores,
    shared_scores,
    truth_points,
)
from studykit.skeletons import SKELETONS
from studykit.stills import with_skeleton

LSP = SKELETONS["lsp14"].keypoints


@pytest.fixture(scope="module")
def people():
    return simulate_stills(6, seed=8, size=128)


def test_perfect_points_score_full_marks(people):
    truth = truth_points(people)
    scores = shared_scores(truth, people, LSP)
    assert scores["pck"] == 1 and scores["mse"] == 0 and scores["AP"] == pytest.approx(1)
    assert np.isnan(scores["pckh"])


def test_pckh_counts_within_half_a_head(people):
    heads, off = head_lengths(people), truth_points(people)
    assert (heads > 0).all() and np.isnan(head_lengths(with_skeleton(people, SKELETONS["coco17"].keypoints[5:]))).all()
    for share, right in ((0.49, 1), (0.51, 0)):
        moved = off + share * heads[:, None, None] * [1, 0, 0]
        assert shared_scores(moved, people, LSP, heads=heads)["pckh"] == right


def test_runs_are_compared_best_first(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.75)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scores.csv").write_text(f"network,pck\n{name},{value}\n")
    assert network_scores(tmp_path).network.tolist() == ["b", "a"]
    (tmp_path / "other/c").mkdir(parents=True)
    (tmp_path / "other/c/scores.csv").write_text("network,pck\nc,0.6\n")
    assert network_scores(tmp_path, tmp_path / "other").network.tolist() == ["b", "c", "a"]
    with pytest.raises(FileNotFoundError, match=r"expected runs with scores\.csv, got none"):
        network_scores(tmp_path / "a")
    short = in_short(pd.DataFrame([dict.fromkeys(COMPARED, 2e6) | {"mse": 2e-4, "epochs": 3}])).iloc[0].to_dict()
    assert short == dict.fromkeys(COMPARED.values(), 2e6) | {"parameters, M": 2, "mult.-adds, M": 2, "1000 MSE": 0.2}


@pytest.fixture
def runs(people, tmp_path):
    """A folder of two runs with predictions, off by 0 and by 3 px; one of them scored on scenes."""
    truth = truth_points(people)
    for n, name in enumerate(("b", "a")):
        (tmp_path / name).mkdir()
        np.savez(
            tmp_path / name / "predictions.npz", keypoints=LSP, truth=truth, **{name: truth + np.array([3 * n, 0, 5])}
        )
    shared = with_skeleton(people, SHARED)
    write_text(tmp_path / "a/truth.json", json.dumps(coco_truth(shared, SHARED)))
    coco_results(range(1, 7), truth_points(shared), np.ones(6), tmp_path / "a/results.json")
    return tmp_path


def test_predictions_of_all_runs_are_compared_on_the_shared_joints(people, runs):
    everything = scores.all_predictions(runs)
    assert list(everything.stages) == ["a", "b"] and everything.keypoints == list(SHARED)
    assert everything.pck()["b"].pck.iloc[-1] == 1
    off = everything.torso_distances()
    assert (off["b"] == 0).all() and (off["a"] > 0).all() and len(off["a"]) == everything.pck()["a"].n.iloc[-1]
    own = scores.read_predictions(runs / "a")
    assert own.keypoints == list(LSP) and list(own.stages) == ["a"]
    fig, shares = plots.draw_error_shares(off)
    assert shares[shares.network == "b"].share_percent.eq(100).all() and len(fig.axes[0].lines) == 3
    fig, long = plots.draw_pck_by_joint(everything.pck())
    assert set(long.keypoint) == set(SHARED) and len(fig.axes[0].get_xticks()) == 12
    plt.close("all")


def test_runs_on_scenes_stand_beside_the_paper(runs):
    published = pd.Series(0.7, COCO_FIGURES)
    table = scores.coco_table(runs, published)
    assert table.network.tolist() == ["a", "paper 001"] and table.AP.tolist() == pytest.approx([1, 0.7])
    fig, curves = plots.draw_precision(scores.coco_curves(runs))
    assert len(fig.axes) == 2 and set(curves.oks.round(2)) == {0.5, 0.75} and (curves.precision == 1).all()
    assert scores.coco_table(runs / "b", published).network.tolist() == ["paper 001"]
    assert plots.draw_precision(scores.coco_curves(runs / "b")) is None
    plt.close("all")


@pytest.fixture
def history():
    """Losses that part: validation every second epoch, least at epoch 4."""
    epochs = np.arange(1.0, 9)
    loss = 1 / epochs
    validation = np.where(epochs % 2, np.nan, loss * np.array([0, 1, 0, 1.1, 0, 2, 0, 4]))
    return pd.DataFrame({"step": 5 * epochs, "epoch": epochs, "loss": loss, "validation_loss": validation}).assign(
        validation_pck=validation / 2
    )


def test_losses_part_where_the_validation_loss_leaves(history):
    rows, parted = scores.find_parting(history, 5)
    assert rows.epoch.tolist() == [8, 4, 4] and parted == 6  # last, best, next to the paper's
    assert rows.ratio.tolist() == pytest.approx([4, 1.1, 1.1])
    assert rows.weights.tolist()[:2] == ["training to the end", "early stopping, best epoch"]
    assert scores.find_parting(history[:4], 25)[1] is None


@pytest.mark.parametrize("draw", [plots.draw_training, plots.draw_overfitting])
def test_losses_are_drawn_in_epochs_with_validation(draw, history):
    options = [4, 5] if draw is plots.draw_overfitting else []
    fig, data = draw(history, *options)
    drawn = {line.get_label(): line.get_xydata() for line in fig.axes[0].lines}
    assert drawn["validation"][:, 0].tolist() == [2, 4, 6, 8] and len(drawn["training"]) == 8
    np.testing.assert_allclose(drawn["validation"][:, 1], history.validation_loss.dropna())
    assert list(data)[:2] == ["epoch", "step"]
    plt.close(fig)


def test_gains_of_flip_test_and_parabola():
    methods = ["cell", "cell", "quarter", "quarter", "parabola", "parabola"]
    pcks = [0.7, 0.74, 0.7, 0.75, 0.77, 0.8]
    reading = pd.DataFrame({"method": methods, "flip_test": [False, True] * 3, "pck": pcks})
    assert scores.reading_gains(reading).to_dict() == pytest.approx({"flip_test": 0.03, "parabola": 0.06})


def test_people_are_drawn_from_the_best_to_the_worst(people):
    found = truth_points(people) + np.arange(6.0)[::-1, None, None] * [1, 0, 0]
    fig, data = plots.draw_best_to_worst(people, found)
    assert list(dict.fromkeys(data.picture)) == [f"mean {n}.0 px" for n in range(6)]
    np.testing.assert_allclose(data[["x_px", "y_px", "confidence"]].to_numpy()[:14], found[5])
    assert plots.draw_scenes(people[:0], found[:0]) is None
    plt.close(fig)
