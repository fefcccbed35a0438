"""Training: the same seed gives the same weights, killed or not."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from studykit.pose.network import Network, Schedule, load
from studykit.pose.network import train as train_network
from studykit.pose.training import LossNotFinite, compile_model, fit, save_model
from studykit.pose.views import Settings, predictor, still_errors
from studykit.stills import Still, StillSet

TINY = Settings(backbone="resnet18", width=4, crop_width_px=32, crop_height_px=32)
STEPS = 12


class RandomBatches:
    """Batch n from seed n; may fail at a step, as a kill does."""

    def __init__(self, stop_at=None, broken_at=None):
        self.stop_at, self.broken_at = stop_at, broken_at

    def __getitem__(self, n):
        if n == self.stop_at:
            raise KeyboardInterrupt
        rng = np.random.default_rng(n)
        inputs = rng.normal(0, 1, (4, 6)).astype(np.float32)
        targets = inputs[:, :2] * (np.nan if n == self.broken_at else 1)
        return inputs, targets


def tiny_model(seed=1):
    """Everything that has a state: weights, running means, moments of the optimizer, a random stream."""
    keras.utils.set_random_seed(seed)
    parts = [layers.Dense(8), layers.BatchNormalization(momentum=0.5), layers.Dropout(0.3), layers.Dense(2)]
    return compile_model(keras.Sequential([layers.Input((6,)), *parts]), "mse", steps=STEPS, learning_rate=0.1)


def train(folder, batches, **options):
    model = tiny_model()
    history = fit(model, batches, STEPS, folder / "c.npz", every=4, log_every=2, progress=False, **options)
    assert (history.pop("seconds") > 0).all()
    return model, history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    model, history = train(tmp_path_factory.mktemp("whole"), RandomBatches())
    return model.get_weights(), history


def test_same_seed_same_weights(whole, tmp_path):
    model, history = train(tmp_path, RandomBatches())
    assert history.equals(whole[1])
    for again, first in zip(model.get_weights(), whole[0], strict=True):
        np.testing.assert_array_equal(again, first)


def test_stopped_training_ends_as_if_it_had_not_been(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RandomBatches(stop_at=10))
    assert (tmp_path / "c.npz").is_file()
    model, history = train(tmp_path, RandomBatches())
    assert history.equals(whole[1])
    for resumed, straight in zip(model.get_weights(), whole[0], strict=True):
        np.testing.assert_array_equal(resumed, straight)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_of_other_settings_is_not_continued(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RandomBatches(stop_at=10), settings={"labels": "others"})
    _, history = train(tmp_path, RandomBatches())
    assert history.equals(whole[1])


@pytest.mark.parametrize("damage", ["emptied", "cut off", "a bit turned", "no archive"])
def test_damaged_checkpoint_is_not_continued(whole, tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RandomBatches(stop_at=10))
    content = bytearray((tmp_path / "c.npz").read_bytes())
    place = content.index(b"v3.npy") + 200  # in the numbers of an array
    turned = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    damaged = {"emptied": b"", "cut off": content[:-100], "a bit turned": turned, "no archive": b"hello"}
    (tmp_path / "c.npz").write_bytes(damaged[damage])
    model, history = train(tmp_path, RandomBatches())
    assert history.equals(whole[1])
    for again, first in zip(model.get_weights(), whole[0], strict=True):
        np.testing.assert_array_equal(again, first)


def test_loss_that_is_not_a_number_stops_at_its_step(tmp_path):
    with pytest.raises(LossNotFinite, match=r"step 10: expected a finite loss.*the weights of step 8 are kept"):
        train(tmp_path, RandomBatches(broken_at=9))
    with np.load(tmp_path / "c.npz") as kept:
        assert int(kept["step"]) == 8
        assert all(np.isfinite(kept[name]).all() for name in kept.files if name.startswith("v"))


def test_history_holds_the_mean_loss_of_its_steps(tmp_path):
    model = tiny_model()
    losses = [float(model.train_on_batch(*RandomBatches()[n], return_dict=True)["loss"]) for n in range(4)]
    _, history = train(tmp_path, RandomBatches())
    assert list(history.step) == [2, 4, 6, 8, 10, 12]
    np.testing.assert_allclose(history.loss[:2], np.mean(np.reshape(losses, (2, 2)), axis=1), rtol=1e-5)


def test_watch_is_noted_where_it_was_asked(tmp_path):
    _, history = train(tmp_path, RandomBatches(), watch=lambda model: {"test_error_px": 3.0})
    assert list(history.step[history.test_error_px.notna()]) == [4, 8, 12]


def test_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="recipe: expected one of adamw, adam, sgd, deeplabcut, got 'lion'"):
        compile_model(tiny_model(), "mse", steps=10, recipe="lion")


def test_published_learning_rates():
    # DeepLabCut, pose_cfg.yaml: multi_step [[0.005, 10000], [0.02, 430000], [0.002, 730000], [0.001, 1030000]].
    model = compile_model(tiny_model(), "mse", steps=200_000, recipe="deeplabcut")
    rate = model.optimizer._learning_rate
    wanted = {1: 0.005, 9_999: 0.005, 10_001: 0.02, 429_999: 0.02, 430_001: 0.002, 900_000: 0.001}
    np.testing.assert_allclose([float(rate(step)) for step in wanted], list(wanted.values()), rtol=1e-6)


def test_saved_network_predicts_the_same(tmp_path):
    stills = StillSet(two_legs(), TINY.keypoints)
    schedule = Schedule(steps=2, batch_size=2, recipe="adam")
    trained = train_network(TINY, {"train": stills, "test": stills}, tmp_path, schedule, progress=False)
    network = load(tmp_path, made_by="40_train_views")
    assert network.settings == TINY and set(trained.history) >= {"scores_loss", "train_error_px", "test_error_px"}
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    for name, maps in trained.model.predict_on_batch(images).items():
        np.testing.assert_allclose(network.model.predict_on_batch(images)[name], maps, atol=1e-5)
    assert predictor(network).key != predictor(network, candidates=2).key == predictor(trained, candidates=2).key


def test_failed_saving_keeps_the_old_file(tmp_path):
    save_model(TINY.build(), tmp_path / "model.keras")
    before = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(AttributeError):
        save_model(None, tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_settings_name_what_does_not_fit():
    with pytest.raises(ValueError, match=r"crop_width_px: expected a multiple of 16, got 150; crop_height_px: .* 200"):
        Settings(crop_width_px=150, crop_height_px=200)


def two_legs():
    """One picture twice, with the labels of one leg and of the other."""
    image = np.random.default_rng(4).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    near = np.array([[80, 20], [82, 60], [70, 80], [60, 100], [64, 104], [52, 105]])
    far = near.copy()
    far[2:, 0] = 164 - near[2:, 0]  # the other leg: same neck and hip, feet on the other side
    return [Still(image, np.column_stack([p, np.full(6, 2)]).astype(np.float32)) for p in (near, far)]


def test_crops_do_not_tell_which_leg_is_labelled():
    # Were they centred on the labelled leg, the network could find it without looking at the picture.
    names, stills = TINY.keypoints, two_legs()
    move = Settings(crop_width_px=64, crop_height_px=64).augmentation()
    for seed in range(5):
        one, other = (move(still, names, np.random.default_rng(seed)).image for still in stills)
        np.testing.assert_array_equal(one, other)
    found = np.stack([still.keypoints * [1, 1, 0.45] for still in stills])[:, None]
    network = Network(Path(), TINY, "key", "tiny", 0)
    centres = predictor(network).centre(found)
    np.testing.assert_array_equal(centres[0], centres[1])
    errors = still_errors(TINY.build(), TINY, StillSet(stills, names))
    np.testing.assert_allclose(*errors[["x_px", "y_px"]].to_numpy().reshape(2, 6, 2), atol=1e-4)


class Watched:
    """Says what it is told to, and remembers the weights that it saw."""

    def __init__(self, *errors):
        self.errors, self.seen = list(errors), []

    def __call__(self, model):
        self.seen.append(model.get_weights())
        return {"validation_loss": self.errors[len(self.seen) - 1]}


def test_the_model_ends_with_the_weights_of_the_lowest_watched_number(tmp_path):
    watch = Watched(0.5, 0.2, 0.3)
    model, history = train(tmp_path, RandomBatches(), watch=watch, best="validation_loss")
    for ended, lowest, last in zip(model.get_weights(), *watch.seen[1:], strict=True):
        np.testing.assert_array_equal(ended, lowest)
        assert not np.array_equal(ended, last)
    assert list(history.step) == [2, 4, 6, 8, 10, 12]


def test_a_resumed_training_still_knows_its_best_weights(tmp_path):
    before, after = Watched(0.1, 0.2), Watched(0.3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RandomBatches(stop_at=10), watch=before, best="validation_loss")
    model, _ = train(tmp_path, RandomBatches(), watch=after, best="validation_loss")
    for ended, lowest in zip(model.get_weights(), before.seen[0], strict=True):
        np.testing.assert_array_equal(ended, lowest)


def test_training_stops_once_patience_is_over(tmp_path):
    watch = Watched(0.1, 0.2, 0.3)
    model, history = train(tmp_path, RandomBatches(), watch=watch, best="validation_loss", patience=1)
    assert history.step.max() == 8
    for ended, lowest in zip(model.get_weights(), watch.seen[0], strict=True):
        np.testing.assert_array_equal(ended, lowest)


def test_phases_of_harmonic_filters_do_not_decay():
    # A phase is an angle: no value of it is simpler than another.
    from studykit.models.harmonic_layers import HarmonicConv2D

    keras.utils.set_random_seed(1)
    layer = HarmonicConv2D(2, real_input=True)
    model = keras.Sequential([layers.Input((8, 8, 3)), layer])
    compile_model(model, "mse", steps=10, learning_rate=0.1)
    excluded = {v.name: not model.optimizer._use_weight_decay(v) for v in layer.trainable_weights}
    assert excluded == {name: name.startswith("phase") for name in excluded} and any(excluded.values())
