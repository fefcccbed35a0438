"""What stands between harmonic convolutions: non-linearity, normalization, dropout, joining and magnitudes.

Complex maps are stored as `harmonic_layers` says. Each layer here changes magnitudes and leaves phases, or treats real
and imaginary part alike, so that what it does turns with the image. Importing the module registers the layers.
"""

from typing import Any

import keras
from keras import ops

EPSILON = 1e-3  # of batch normalization, as Keras has it
TINY = 1e-8  # added to squared magnitudes, so that a map that is zero has a gradient


@keras.saving.register_keras_serializable(package="studykit")
class ComplexReLU(keras.layers.Layer):
    """C-ReLU, ReLU(|z| + b) e^{i arg z} (Worrall et al. 2017), on normalised magnitudes.

    With batch normalization the magnitude becomes ReLU(gamma (|z| - mean) / sqrt(variance + epsilon) + beta), mean and
    variance of each map's magnitudes over batch and pixels; the phase stays. Both are one layer because they share
    the magnitude: z is multiplied once by ReLU(p + q / |z|).

    Parameters
    ----------
    batch_normalization : bool
        Normalise magnitudes first; otherwise only a learnt bias b, initially 0.
    momentum : float
        Of the running means.
    """

    def __init__(self, batch_normalization: bool = True, momentum: float = 0.99, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.batch_normalization = batch_normalization
        self.momentum = momentum

    def build(self, input_shape: tuple) -> None:
        """A gain and a bias a map, and running mean and variance."""
        shape = (2, input_shape[-1] // 4)  # (orders, maps)
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        if self.batch_normalization:
            self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
            self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="moving_mean")
            self.variance = self.add_weight(shape=shape, initializer="ones", trainable=False, name="moving_variance")

    def call(self, x: keras.KerasTensor, training: bool = False) -> Any:
        """(batch, height, width, 4 maps), the same out."""
        real, imaginary = ops.split(_by_order_and_part(x), 2, 2)
        power = ops.squeeze(real * real + imaginary * imaginary, 2) + TINY
        inverse = ops.rsqrt(power)
        scale, shift = 1.0, self.beta
        if self.batch_normalization:
            mean, variance = self._moments(power, inverse, training and self.trainable)
            scale = self.gamma * ops.rsqrt(variance + EPSILON)
            shift = self.beta - mean * scale
            scale, shift = ops.cast(scale, x.dtype), ops.cast(shift, x.dtype)
        gain = ops.relu(scale + shift * inverse)[:, :, None]
        return ops.reshape(ops.concatenate([real * gain, imaginary * gain], 2), ops.shape(x))

    def _moments(self, power, inverse, training):
        """Mean and variance of the magnitudes: of this batch in training, otherwise the running ones."""
        if not training:
            return ops.cast(self.mean, "float32"), ops.cast(self.variance, "float32")
        mean = ops.mean(ops.cast(power * inverse, "float32"), 0)
        variance = ops.maximum(ops.mean(ops.cast(power, "float32"), 0) - mean * mean, 0.0)
        for running, now in ((self.mean, mean), (self.variance, variance)):
            running.assign(running * self.momentum + ops.cast(now, running.dtype) * (1 - self.momentum))
        return mean, variance

    def compute_output_shape(self, input_shape: tuple) -> tuple | list:
        """As the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="studykit")
class ComplexDropout(keras.layers.Layer):
    """Dropout of complex numbers: real and imaginary part fall together, so phases survive.

    Parameters
    ----------
    rate : float
        Share of numbers dropped in training, 0 to 1.
    seed : int or None
        Of the random numbers; None: from Keras's global state.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: keras.KerasTensor, training: bool = False) -> Any:
        """(batch, height, width, 4 maps), the same out."""
        if not training or not self.rate:
            return x
        z = _by_order_and_part(x)
        noise_shape = (None, 2, 1, None)  # one draw for both parts
        return ops.reshape(keras.random.dropout(z, self.rate, noise_shape, self.seed_generator), ops.shape(x))

    def compute_output_shape(self, input_shape: tuple) -> tuple | list:
        """As the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="studykit")
class ComplexConcatenate(keras.layers.Layer):
    """Join the maps of several complex tensors, order by order."""

    def call(self, inputs: Any) -> Any:
        """Tensors (batch, height, width, 4 maps) to one with the sum of their maps."""
        parts = zip(*(ops.split(x, 4, -1) for x in inputs), strict=True)
        return ops.concatenate([part for group in parts for part in group], -1)

    def compute_output_shape(self, input_shape: tuple) -> tuple | list:
        """Channels add up."""
        return (*input_shape[0][:-1], sum(shape[-1] for shape in input_shape))


@keras.saving.register_keras_serializable(package="studykit")
class Magnitude(keras.layers.Layer):
    """Magnitudes of complex maps: real maps that turn with the image, order 0 first."""

    def call(self, x: keras.KerasTensor) -> Any:
        """(batch, height, width, 4 maps) to (batch, height, width, 2 maps)."""
        x0r, x0i, x1r, x1i = ops.split(x, 4, -1)
        power = ops.concatenate([x0r * x0r + x0i * x0i, x1r * x1r + x1i * x1i], -1)
        return ops.sqrt(power + TINY)

    def compute_output_shape(self, input_shape: tuple) -> tuple | list:
        """Half the channels."""
        return (*input_shape[:-1], input_shape[-1] // 2)


def _by_order_and_part(x):
    """(batch, height, width, 4 maps) as (pixels, orders, real and imaginary, maps)."""
    return ops.reshape(x, (-1, 2, 2, x.shape[-1] // 4))
