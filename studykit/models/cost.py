"""What a network costs: parameters, multiply-adds, time for one image."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers

from studykit.models.harmonic_layers import HarmonicConv2D


def count_parameters(model: keras.Model | layers.Layer) -> int:
    """Trainable parameters."""
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def multiply_adds(model: keras.Model, input_shape: tuple[int, int, int] | None = None) -> int:
    """Multiplications with an addition in one pass over one image: convolutions, dense layers and attention.

    Parameters
    ----------
    model : keras.Model
    input_shape : (height, width, 3), optional
        Where the model leaves it free.

    Returns
    -------
    int
    """
    if input_shape is not None:
        model = keras.models.clone_model(model, input_tensors=keras.Input(input_shape))
    return int(sum(_layer(layer, _shape(layer.input), _shape(layer.output)) for layer in model.layers if layer.weights))


def _shape(tensors):
    """Shape of a layer's (first) input or output."""
    return (tensors[0] if isinstance(tensors, list | tuple) else tensors).shape


def _layer(layer, given, made):
    if isinstance(layer, layers.MultiHeadAttention):
        tokens, width = given[1:]
        inner = layer.num_heads * layer.key_dim
        return 4 * tokens * width * inner + 2 * tokens * tokens * inner
    if isinstance(layer, layers.Conv2DTranspose):
        return np.prod(layer.kernel.shape) * np.prod(given[1:-1])  # every input value meets the whole kernel
    if isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D | layers.Dense):
        return np.prod(layer.kernel.shape) * np.prod(made[1:-1], initial=1)
    if isinstance(layer, HarmonicConv2D):
        return layer.multiply_adds() * np.prod(made[1:-1])
    return 0


def ms_per_image(model: keras.Model, image_shape: tuple[int, int, int], repeats: int = 7, batch_size: int = 1) -> float:
    """Milliseconds that the network needs for an image, best of several passes after a first one.

    Parameters
    ----------
    model : keras.Model
    image_shape : (height, width, 3)
    repeats : int
    batch_size : int
    """
    images = np.zeros((batch_size, *image_shape), np.uint8)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.predict_on_batch(images)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:]) / batch_size


def layer_table(model: keras.Model) -> pd.DataFrame:
    """Every layer with its kind, output and trainable parameters, as papers print them.

    Returns
    -------
    pandas.DataFrame
        layer, kind, output (channels first, as in paper 004's Table 01) and parameters.
    """
    rows = []
    for layer in model.layers:
        shape = _shape(layer.output)[1:]
        output = " x ".join(map(str, (*shape[2:], *shape[:2])))
        rows.append((layer.name, type(layer).__name__, output, count_parameters(layer)))
    return pd.DataFrame(rows, columns=["layer", "kind", "output", "parameters"])


def memory_mb(run: Callable[[], Any]) -> float:
    """Memory that a call takes at its peak beyond what was in use before, MB (10^6 bytes); NaN except on Linux.

    Parameters
    ----------
    run : callable
        Called without arguments.
    """
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        run()
        return float("nan")
    reset.write_text("5")  # the peak starts anew (man 5 proc)
    before = _kib(status, "VmRSS")
    run()
    return max(0.0, (_kib(status, "VmHWM") - before) * 1024 / 1e6)


def _kib(status, name):
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
