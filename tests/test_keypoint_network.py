"""The keypoint networks and the cascade as families of the contract: targets and their reading, training, answers."""

from dataclasses import replace

import numpy as np
import pytest

from studykit.gaitlab import simulate_stills
from studykit.models.cost import count_parameters, multiply_adds
from studykit.models.regression_cnn import regression_cnn
from studykit.models.vit import vit
from studykit.pose import cascade, topdown
from studykit.pose.network import Schedule, load, train
from studykit.pose.scores.keypoints import head_lengths, read_predictions, shared_pck, truth_points
from studykit.pose.topdown import Settings, in_memory
from studykit.skeletons import SKELETONS
from studykit.stills import StillSet

LSP = SKELETONS["lsp14"].keypoints
TINY = {"keypoints": LSP, "width": 8, "head_width": 8, "stacks": 1, "crop_width_px": 64, "crop_height_px": 64}
QUICK = Schedule(epochs=1, batch_size=3)


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
    assert set(settings.losses) == set(targets)


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


def test_second_stage_of_a_true_network_gives_back_the_keypoints(people):
    settings = Settings(model="regression_cnn", **TINY)
    rough = truth_points(people) + np.array([2.0, -1.5, 0])
    second = cascade.second_settings(settings, rough, people, size_px=48)
    assert second.size == (48, 48) and (second.first_width_px, second.first_height_px) == settings.size
    # Each joint lies (-2, 1.5) px from the middle of its own sub-image.
    shares = np.stack([np.tile(second.scale(still) * np.array([-2.0, 1.5]) / 48, 14) for still in people])
    found = np.stack(
        [
            second.refine(Oracle(np.repeat(shares[n : n + 1], 14, axis=0)), people[n : n + 1], rough[n : n + 1])[0]
            for n in range(len(people))
        ]
    )
    np.testing.assert_allclose(found[..., :2], truth_points(people)[..., :2], atol=1e-3)


def test_sub_images_show_one_joint(people):
    size = {"crop_width_px": 64, "crop_height_px": 64}
    drawn = cascade.Settings(model="regression_cnn", **TINY | size, share=0.4, off=0.2, noise=0.0, blur_px=0.0)
    rng = np.random.default_rng(3)
    for still in people:
        points = drawn.augmentation()(still, LSP, rng).keypoints
        assert (points[:, 2] > 0).sum() == 1
        joint = points[points[:, 2] > 0, :2][0]
        assert np.abs(joint - 31.5).max() <= 0.2 * 64 + 0.1


@pytest.fixture(scope="module")
def network(people, tmp_path_factory):
    """The regression CNN, narrow, after two steps."""
    sets = {"train": people, "validation": people[:3]}
    settings = Settings(model="regression_cnn", **TINY | {"width": 4})
    return train(settings, sets, tmp_path_factory.mktemp("network"), QUICK, progress=False)


def test_both_stages_are_trained_asked_and_kept(network, people, monkeypatch):
    assert np.isfinite(network.history[["loss", "validation_loss"]]).all(axis=None)
    sets = {"train": people, "validation": people[:3]}
    stages = cascade.train_stages(network, sets, QUICK, 2, size_px=32)
    first, second = (stage.model.get_layer("conv1_1").get_weights()[0] for stage in stages)
    assert not np.allclose(first, second, atol=0.05)  # they do not start from the same numbers
    predicted = cascade.detect_stages(stages, "net", people)
    found, tables = predicted.stages, predicted.pck()
    scores = cascade.score_stages(stages, found, people, head_lengths(people))
    assert scores.network.tolist() == ["net", "net-stage2"]
    costs = [topdown.network_cost(stages[0]), topdown.network_cost(stages[1], 14)]
    expected = [costs[0]["multiply_adds"], costs[0]["multiply_adds"] + 14 * costs[1]["multiply_adds"]]
    assert scores.multiply_adds.tolist() == expected
    assert scores.parameters.tolist() == [stages[0].parameters, stages[0].parameters + stages[1].parameters]
    assert list(tables) == ["net", "net-stage2"] and tables["net"].keypoint.tolist() == [*LSP, "all"]
    shared = shared_pck(found["net"], people, LSP, LSP)
    np.testing.assert_array_equal(tables["net"].pck, shared.pck)
    written = read_predictions(network.folder)
    np.testing.assert_array_equal(written.stages["net-stage2"], found["net-stage2"])
    np.testing.assert_array_equal(written.truth, truth_points(people))

    def refuse(self):
        raise AssertionError("asked again")

    monkeypatch.setattr(type(network), "model", property(refuse))
    again = [load(network.folder, "a notebook"), load(network.folder / "stage2", "a notebook")]
    assert [stage.settings for stage in again] == [stage.settings for stage in stages]
    kept = cascade.detect_stages(again, "net", people).stages
    np.testing.assert_array_equal(kept["net-stage2"], found["net-stage2"])
    assert cascade.score_stages(again, kept, people, head_lengths(people)).equals(scores)
    with pytest.raises(AssertionError, match="asked again"):
        topdown.predict_stills(again[0], people, flip_test=False)


def test_one_stage_is_no_second_network(network, people):
    assert cascade.train_stages(network, {}, QUICK, 1) == [network]
    found = cascade.detect_stages([network], "net", people).stages
    assert list(found) == ["net"] and found["net"].shape == (6, 14, 3) and np.isfinite(found["net"]).all()
    table, pictures, _ = topdown.score_scenes(network, people[:0])
    assert table is None and not pictures and not (network.folder / "results.json").exists()
    crowd = StillSet([replace(still, scene=f"scene {n // 2}") for n, still in enumerate(people)], LSP)
    table, pictures, _ = topdown.score_scenes(network, crowd)
    assert len(table) == 1 and pictures[0][0] == "scene 0, one of its people"
    assert (network.folder / "results.json").exists() and (network.folder / "truth.json").exists()
    reading = topdown.compare_readings(network, people)
    assert reading.method.tolist() == ["cell"] * 2 + ["quarter"] * 2 + ["parabola"] * 2


def test_examples_are_those_of_the_first_batches(people):
    settings = Settings(**TINY)
    examples = topdown.first_examples(settings, people, Schedule(epochs=1, batch_size=3, seed=5))
    batches = settings.batches(people, 3, 5)
    for ours, theirs in zip(examples, [*batches.examples(0), batches.examples(1)[0]], strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
