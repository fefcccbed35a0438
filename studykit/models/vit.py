"""Vision transformer with a heat-map head, which paper 001 reviews: patches as tokens, every one sees every other.

Dosovitskiy et al. 2021 for the transformer, Xu et al. 2022 (ViTPose, section 3.1, the classic decoder) for the head.
"""

import math
from typing import Any

import keras
from keras import layers

from studykit.models.simple_baseline import heatmap_head

STRIDE = 4  # of the heat maps, px a cell


@keras.saving.register_keras_serializable(package="studykit")
class PositionEmbedding(layers.Layer):
    """Adds a learnt vector to the token of each place, (batch, tokens, width)."""

    def build(self, input_shape: tuple) -> None:
        """One vector a token."""
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.embedding = self.add_weight(shape=input_shape[1:], initializer=small, name="embedding")

    def call(self, x: keras.KerasTensor) -> Any:
        """Same shape out."""
        return x + self.embedding


def vit(
    keypoints: int = 17,
    *,
    patch: int = 16,
    width: int = 384,
    depth: int = 12,
    heads: int = 6,
    deconvolution: int = 256,
    dropout: float = 0.0,
    batch_momentum: float = 0.9,
    input_shape: tuple[int, ...] = (256, 192, 3),
    name: str = "vit",
) -> keras.Model:
    """Transformer encoder on patches of the image, then deconvolutions to heat maps at stride 4.

    The defaults are those of ViT-S (Touvron et al. 2021, table 1). No class token: there is no class.

    Parameters
    ----------
    keypoints : int
        K.
    patch : int
        Side of a patch, px: 8, 16 or 32; log2(patch / 4) deconvolutions follow.
    width, depth, heads : int
        Of the encoder; `width` is a multiple of `heads`.
    deconvolution : int
        Filters of each 4x4 deconvolution.
    dropout : float
        Rate within the encoder.
    batch_momentum : float
    input_shape : tuple
        (height, width, 3), multiples of `patch`, fixed: each place has its own vector.
    name : str

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> {"heatmaps": (batch, H/4, W/4, K), about 1 at the keypoint}.

    Raises
    ------
    ValueError
        If patches do not tile the image, or heads do not share the width.
    """
    if patch not in (8, 16, 32) or width % heads or any(size % patch for size in input_shape[:2]):
        raise ValueError(
            f"{name}: expected a patch of 8, 16 or 32 px that divides the image's sides, and heads that divide the "
            f"width, got {patch}, {tuple(input_shape[:2])}, {heads} and {width}"
        )
    rows, columns = (size // patch for size in input_shape[:2])
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    x = layers.Conv2D(width, patch, patch, name="patches")(x)
    x = layers.Reshape((rows * columns, width), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    for n in range(1, depth + 1):
        layer = f"block{n}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{layer}_norm1")(x)
        y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"{layer}_attention")(y, y)
        x = layers.Add(name=f"{layer}_add1")([x, y])
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{layer}_norm2")(x)
        y = layers.Dense(4 * width, activation="gelu", name=f"{layer}_dense1")(y)
        y = layers.Dropout(dropout, name=f"{layer}_dropout")(y)
        y = layers.Dense(width, name=f"{layer}_dense2")(y)
        x = layers.Add(name=f"{layer}_add2")([x, y])
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.Reshape((rows, columns, width), name="grid")(x)
    deconvolutions = [deconvolution] * round(math.log2(patch / STRIDE))
    outputs = {"heatmaps": heatmap_head(x, keypoints, deconvolutions, batch_momentum=batch_momentum)}
    return keras.Model(image, outputs, name=name)
