"""Settings of the keypoint networks, training on people, the cascade, scores over the shared joints."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from studykit.gaitlab import simulate_stills
from studykit.models.cost import count_parameters, multiply_adds
from studykit.models.regression_cnn import regression_cnn
from studykit.models.vit import vit
from studykit.plots.keypoints import draw_overfitting, draw_training
from studykit.pose.cascade import JointCrop, refine, second_stage
from studykit.pose.examples.batches import Batches
from studykit.pose.saved_networks import save_network
from studykit.pose.scores.keypoints import COMPARED, head_lengths, in_short, network_scores, shared_scores, truth_points
from studykit.pose.topdown import Settings, in_memory, load_network, predict_stills, validate
from studykit.pose.training import compile_model, fit
from studykit.skeletons import SKELETONS
from studykit.stills import with_skeleton

LSP = SKELETONS["lsp14"].keypoints
TINY = {"keypoints": LSP, "width": 8, "head_width": 8, "stacks": 1, "crop_width_px": 64, "crop_height_px": 64}


class Oracle:
    """Gives back the targets in place of a network's outputs."""

    def __init__(self, outputs):
        self.outputs = outputs

    def predict_on_batch(self, images):
        return self.outputs


@pytest.fixture(scope="module")
def people():
    return in_memory(simulate_stills(6, seed=8, size=128))


@pytest.mark.parametrize("model", ["regression_cnn", "simple_baseline", "vit"])
def test_reading_the_targets_gives_back_the_keypoints(people, model):
    settings = Settings(model=model, **TINY)
    crops = [settings.crop(still)[0] for still in people]
    _, targets = settings.encode(crops)
    outputs = targets["heatmaps"] if settings.heatmaps else targets
    found = settings.decode(np.nan_to_num(outputs))
    for still, points in zip(crops, found, strict=True):
        known = still.keypoints[:, 2] > 0
        np.testing.assert_allclose(points[known, :2], still.keypoints[known, :2], atol=0.02)


def test_a_network_trains_predicts_and_is_read_again(people, tmp_path):
    settings = Settings(model="simple_baseline", **TINY | {"width": 4})
    network = settings.build()
    batches = Batches(people, settings.encode, 4, augmentation=settings.augmentation(), seed=1, steps=2)
    compile_model(network, settings.losses(network), steps=2)
    history = fit(
        network,
        batches,
        2,
        tmp_path / "checkpoint.npz",
        watch=lambda model: validate(model, settings, people),
        every=1,
        log_every=1,
        progress=False,
    )
    assert np.isfinite(history[["loss", "validation_loss"]]).all(axis=None)
    found = predict_stills(network, settings, people)
    assert found.shape == (6, 14, 3) and np.isfinite(found).all()
    save_network(network, settings, tmp_path)
    again, read = load_network(tmp_path)
    assert read == settings
    for ours, theirs in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("model", ["hourglass", "vit"])
def test_targets_fit_the_outputs(people, model):
    settings = Settings(model=model, **TINY | {"stacks": 2})
    network = settings.build()
    images, targets = settings.encode([settings.crop(still)[0] for still in people])
    assert network.input_shape[1:] == images.shape[1:]
    assert {name: output.shape[1:] for name, output in network.output.items()} == {
        name: target.shape[1:] for name, target in targets.items()
    }
    assert len(targets) == (2 if model == "hourglass" else 1)  # intermediate supervision
    assert set(settings.losses(network)) == set(targets)


def test_flip_test_averages_with_the_mirror_image():
    # A network that always says the same of both: its mirror image's left is the right one.
    settings = Settings(model="regression_cnn", **TINY)
    rng = np.random.default_rng(0)
    shares = rng.uniform(-0.4, 0.4, (1, 28)).astype(np.float32)
    found = settings.predict(Oracle(shares), np.zeros((1, 64, 64, 3)))[0, :, :2]
    left, right = LSP.index("left_knee"), LSP.index("right_knee")
    np.testing.assert_allclose(found[left] + found[right] * [1, -1], [63, 0], atol=1e-4)


def test_unknown_model_is_told():
    with pytest.raises(ValueError, match=r"model: expected one of regression_cnn, .*, got 'resnet'"):
        Settings(model="resnet")


def test_second_stage_of_a_true_network_gives_back_the_keypoints(people):
    settings = Settings(model="regression_cnn", **TINY)
    rough = truth_points(people) + np.array([2.0, -1.5, 0])
    joint_crop = second_stage(settings, rough, people, size_px=48)
    assert joint_crop.settings.size == (48, 48)
    # Each joint lies (-2, 1.5) px from the middle of its own sub-image.
    shares = np.stack([np.tile(joint_crop.scale(still) * np.array([-2.0, 1.5]) / 48, 14) for still in people])
    found = np.stack(
        [
            refine(Oracle(np.repeat(shares[n : n + 1], 14, axis=0)), joint_crop, people[n : n + 1], rough[n : n + 1])[0]
            for n in range(len(people))
        ]
    )
    np.testing.assert_allclose(found[..., :2], truth_points(people)[..., :2], atol=1e-3)


def test_sub_images_show_one_joint(people):
    settings = replace(Settings(model="regression_cnn", **TINY), noise=0.0, blur_px=0.0)
    drawn = JointCrop(settings, share=0.4, off=0.2)
    rng = np.random.default_rng(3)
    for still in people:
        points = drawn(still, LSP, rng).keypoints
        assert (points[:, 2] > 0).sum() == 1
        joint = points[points[:, 2] > 0, :2][0]
        assert np.abs(joint - 31.5).max() <= 0.2 * 64 + 0.1


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


def test_multiply_adds_are_the_published_ones():
    # VGG-16's thirteen convolutions at 224 px: 15.35 G of its 15.47 (Simonyan & Zisserman 2015); paper 004 takes them.
    assert multiply_adds(regression_cnn()) / 1e9 == pytest.approx(15.35, rel=0.005)


def test_multiply_adds_of_attention():
    # 4 projections of (T, D) x (D, D), scores and sum of (T, T, D), two dense layers of 4 D; patches; the head.
    tokens, width = 8 * 8, 8
    network = vit(3, patch=8, width=width, depth=1, heads=2, deconvolution=4, input_shape=(64, 64, 3))
    encoder = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * 4 * width**2
    head = tokens * 16 * width * 4 + 16 * 16 * 4 * 3
    assert multiply_adds(network) == tokens * 8 * 8 * 3 * width + encoder + head
    assert count_parameters(network) == sum(np.prod(w.shape) for w in network.trainable_weights)


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


@pytest.mark.parametrize("draw", [draw_training, partial(draw_overfitting, best_epoch=4)])
def test_losses_are_drawn_where_somebody_looked(draw):
    looks = pd.DataFrame({"epoch": range(1, 7), "loss": 0.1, "validation_loss": [np.nan, 0.3] * 3})
    fig, _ = draw(looks.assign(validation_pck=looks.validation_loss))
    drawn = {line.get_label(): line.get_xydata() for line in fig.axes[0].lines}
    assert drawn["validation"].tolist() == [[2, 0.3], [4, 0.3], [6, 0.3]] and len(drawn["training"]) == 6
