"""Losses of paper 003: values by hand, and what NaN targets do."""

import keras
import numpy as np
import pytest

from studykit.models.losses import MaskedMeanSquaredError, PixelCrossEntropy, SoftDice

LOSSES = (SoftDice, MaskedMeanSquaredError, PixelCrossEntropy)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def batch(rng):
    """Two images of two channels: one-hot targets and softmax outputs."""
    foreground = rng.random((2, 8, 6)) < 0.4
    predicted = rng.random((2, 8, 6))
    target = np.stack([~foreground, foreground], -1).astype("float32")
    return target, np.stack([1 - predicted, predicted], -1).astype("float32")


def test_soft_dice_is_equation_1_of_each_image(batch):
    # Paper 003, equation 1, on the foreground channel
    target, predicted = batch
    x, y = predicted[..., 1], target[..., 1]
    expected = np.mean([1 - 2 * (x[i] * y[i]).sum() / (x[i].sum() + y[i].sum()) for i in range(2)])
    assert float(SoftDice()(target, predicted)) == pytest.approx(expected, abs=1e-6)
    assert float(SoftDice()(target[..., 1:], predicted)) == pytest.approx(expected, abs=1e-6)


def test_soft_dice_of_right_wrong_and_empty_masks(batch):
    target, _ = batch
    empty = np.zeros_like(target)
    assert float(SoftDice()(target, target)) == pytest.approx(0, abs=1e-6)
    assert float(SoftDice()(target, target[..., ::-1])) == pytest.approx(1, abs=1e-6)
    assert float(SoftDice()(empty, empty)) == 0


def test_cross_entropy_and_squared_error_are_those_of_keras(batch):
    target, predicted = batch
    entropy = keras.losses.CategoricalCrossentropy()(target, predicted)
    assert float(PixelCrossEntropy()(target, predicted)) == pytest.approx(float(entropy), rel=1e-5)
    squared = keras.losses.MeanSquaredError()(100 * target, 100 * predicted)
    assert float(MaskedMeanSquaredError()(100 * target, 100 * predicted)) == pytest.approx(float(squared), rel=1e-5)


def test_cross_entropy_takes_targets_that_are_no_distribution():
    # Mask + regression softmax (paper 003, II-D3c): the Gaussian's value 0.5 in the joint's channel, nothing elsewhere
    target = np.array([0, 0.5, 0], "float32").reshape(1, 1, 1, 3)
    predicted = np.array([0.5, 0.25, 0.25], "float32").reshape(1, 1, 1, 3)
    assert float(PixelCrossEntropy()(target, predicted)) == pytest.approx(-0.5 * np.log(0.25), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_padding_changes_nothing(batch, rng, loss):
    target, predicted = batch
    padded = np.pad(target, [(0, 0), (0, 4), (0, 2), (0, 0)], constant_values=np.nan)
    output = rng.random(padded.shape).astype("float32")
    output[:, :8, :6] = predicted
    assert float(loss()(padded, output)) == pytest.approx(float(loss()(target, predicted)), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_serializes(loss):
    own = loss()
    again = keras.losses.deserialize(keras.losses.serialize(own))
    assert type(again) is loss and again.get_config() == own.get_config()
