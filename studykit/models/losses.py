"""Losses of paper 003, section II-D: soft Dice for masks, mean squared error for heat maps, cross entropy for labels.

Pixels whose target is NaN do not count: the padding that brings images of different sizes into one batch, and what
nobody labelled. Each loss is averaged over the images of a batch, and serializes with the model. The paper adds
them up; give weights to `model.compile(loss_weights=...)`.
"""

from typing import Any

import keras
from keras import ops

SMOOTH = 1e-6  # added above and below the fraction of Dice


@keras.saving.register_keras_serializable(package="studykit")
class SoftDice(keras.losses.Loss):
    """1 - 2 |X . Y| / (|X| + |Y|) of one image, X the person's probability in each pixel and Y the mask.

    Paper 003, equation 1: X are the softmax outputs of the foreground channel, the last one, Y is 0 or 1, |.| sums over
    pixels. As in the author's published code 1e-6 is added above and below, so that an empty mask predicted empty
    costs nothing. One minus the loss is the soft Dice coefficient of the paper's tables.

    Targets and predictions are (batch, height, width, channels); a target may have the foreground channel alone.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value an image, (batch,)."""
        target, known = _known(y_true[..., -1])
        predicted = y_pred[..., -1] * known
        common = ops.sum(target * predicted, (1, 2))
        return 1 - (2 * common + SMOOTH) / (ops.sum(target, (1, 2)) + ops.sum(predicted, (1, 2)) + SMOOTH)


@keras.saving.register_keras_serializable(package="studykit")
class MaskedMeanSquaredError(keras.losses.Loss):
    """Mean of (y - x)^2 over all that is known of one image: pixels and channels of heat maps (II-D3a), coordinates."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value an image, (batch,)."""
        target, known = _known(y_true)
        return _mean(ops.square(target - y_pred) * known, known, tuple(range(1, len(y_pred.shape))))


@keras.saving.register_keras_serializable(package="studykit")
class PixelCrossEntropy(keras.losses.Loss):
    """Mean of -sum over channels of y log x over the known pixels of one image (II-D3b and c).

    y may be 0 and 1 (the label of the nearest joint) or values between (its Gaussian: they need not add up to 1), x are
    softmax outputs. A pixel with NaN in any channel does not count.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One value an image, (batch,)."""
        target, known = _known(y_true)
        known = ops.min(known, -1)
        entropy = -ops.sum(target * ops.log(ops.maximum(y_pred, keras.config.epsilon())), -1)
        return _mean(entropy * known, known, (1, 2))


def _known(y_true):
    """Target with 0 in place of NaN, and 1 where it was known, else 0."""
    known = ops.logical_not(ops.isnan(y_true))
    return ops.where(known, y_true, ops.zeros_like(y_true)), ops.cast(known, y_true.dtype)


def _mean(values, weights, axes):
    """Weighted mean of values that already carry their weights; 0 where there is no weight."""
    return ops.sum(values, axes) / ops.maximum(ops.sum(weights, axes), 1)
