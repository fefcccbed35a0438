"""Simple Baselines (Xiao et al. 2018), the network of paper 001: a residual network and three deconvolutions."""

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from studykit.models.backbones import build_backbone, load_backbone

STRIDE = 4  # of the heat maps, px a cell


def simple_baseline(
    keypoints: int = 17,
    backbone: str = "resnet50",
    *,
    width: int | None = None,
    deconvolutions: tuple[int, ...] = (256, 256, 256),
    skip: bool = False,
    batch_momentum: float = 0.9,
    weights: str | Path | None = None,
    input_shape: tuple[int, ...] = (256, 192, 3),
    name: str = "simple_baseline",
) -> keras.Model:
    """Heat maps of one person's keypoints (Xiao et al. 2018, section 2; paper 001, figure 2).

    Parameters
    ----------
    keypoints : int
        K.
    backbone : {"resnet18", "resnet50", "resnet101", "resnet152", "mobilenet_v2"}
    width : int or float, optional
        See `backbones.build_backbone`.
    deconvolutions : sequence of int
        Filters of the three 4x4 deconvolutions, stride 2, each with batch normalisation and ReLU.
    skip : bool
        Whether each deconvolution also sees the backbone's map of its own stride, through a 1x1 convolution. Not in
        the paper; learns from fewer pictures.
    batch_momentum : float
        Of the running means of batch normalisation.
    weights : str or path-like or None
        Of the backbone: None (random), "imagenet" (downloaded), or a local file.
    input_shape : tuple
        (height, width, 3), multiples of 32; None where free.
    name : str

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> {"heatmaps": (batch, H/4, W/4, K), about 1 at the keypoint}.
    """
    image = keras.Input(input_shape, name="image")
    maps = build_backbone(backbone, image, width=width, output_stride=32, batch_momentum=batch_momentum)
    sides = [maps[stride] for stride in (16, 8, 4)] if skip else ()
    outputs = {"heatmaps": heatmap_head(maps[32], keypoints, deconvolutions, sides, batch_momentum)}
    model = keras.Model(image, outputs, name=name)
    load_backbone(model, backbone, weights, width)
    return model


def heatmap_head(
    x: keras.KerasTensor,
    keypoints: int,
    deconvolutions: Sequence[int],
    sides: Sequence = (),
    batch_momentum: float = 0.9,
) -> keras.KerasTensor:
    """Deconvolutions that double the features' resolution each, then a 1x1 convolution to K maps.

    `sides` are features at each new resolution, to be added to it.
    """
    narrow = keras.initializers.RandomNormal(stddev=0.001)  # of the authors' published code
    for n, filters in enumerate(deconvolutions, start=1):
        layer = f"deconv{n}"
        options = {"use_bias": False, "kernel_initializer": "he_normal", "name": layer}
        x = layers.Conv2DTranspose(filters, 4, 2, "same", **options)(x)
        if sides:
            side = layers.Conv2D(filters, 1, use_bias=False, name=f"{layer}_skip")(sides[n - 1])
            x = layers.Add(name=f"{layer}_add")([x, side])
        x = layers.BatchNormalization(momentum=batch_momentum, epsilon=1e-5, name=f"{layer}_bn")(x)
        x = layers.ReLU(name=f"{layer}_relu")(x)
    return layers.Conv2D(keypoints, 1, kernel_initializer=narrow, dtype="float32", name="heatmaps")(x)
