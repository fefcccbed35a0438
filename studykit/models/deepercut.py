"""DeepLabCut's network: score maps and location refinement on a residual backbone.

Insafutdinov et al. 2016 (DeeperCut) as used by Mathis et al. 2018 (DeepLabCut). For each keypoint a score map at
stride 8 says in which cells it lies, and two location-refinement maps say how far it is from each cell's centre.
Sizes in px are those of the image that enters the network.
"""

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops
from keras.initializers import TruncatedNormal

from studykit.models.backbones import build_backbone, load_backbone

STRIDE = 8  # of score maps and location refinement, px a cell


def deepercut(
    keypoints: int,
    backbone: str = "resnet50",
    *,
    width: float | None = None,
    output_stride: int = 16,
    decoder: int = 0,
    skip: bool = False,
    batch_momentum: float = 0.99,
    weights: str | Path | None = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    name: str = "deepercut",
) -> keras.Model:
    """Score maps and location refinement for K keypoints of one person.

    Parameters
    ----------
    keypoints : int
        K.
    backbone : {"resnet18", "resnet50", "resnet101", "mobilenet_v2"}
    width : int or float, optional
        See `backbones.build_backbone`.
    output_stride : {16, 32}
        Of the backbone; 16 as published, 32 is cheaper and sees farther.
    decoder : int
        Filters of the layers between backbone and maps; 0 as published: the maps are deconvolved from the backbone.
    skip : bool
        Whether each deconvolution also sees the backbone's map of its own stride.
    batch_momentum : float
        Of the running means of batch normalisation.
    weights : str or path-like or None
        Of the backbone: None (random), "imagenet" (downloaded), or a local file.
    input_shape : tuple
        (height, width, 3); None where free. Heights and widths must be multiples of `output_stride`.

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> {"scores": (batch, H/8, W/8, K) logits,
        "offsets": (batch, H/8, W/8, 2 K) in units of 7.2801 px (`locref_stdev`): x of all keypoints, then y}.
    """
    if output_stride not in (16, 32):
        raise ValueError(f"output_stride: expected 16 or 32, got {output_stride}")
    image = keras.Input(input_shape, name="image")
    maps = build_backbone(backbone, image, width=width, output_stride=output_stride, batch_momentum=batch_momentum)
    x, stride = maps[output_stride], output_stride
    while stride > 2 * STRIDE or (decoder and stride > STRIDE):
        stride //= 2
        filters = decoder or x.shape[-1] // 2
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False, name=f"up{stride}_deconv")(x)
        if skip:
            side = layers.Conv2D(filters, 1, use_bias=False, name=f"up{stride}_skip")(maps[stride])
            x = layers.Add(name=f"up{stride}_add")([x, side])
        x = layers.BatchNormalization(momentum=batch_momentum, name=f"up{stride}_bn")(x)
        x = layers.ReLU(name=f"up{stride}_relu")(x)
    outputs = {}
    for head, filters in (("scores", keypoints), ("offsets", 2 * keypoints)):
        small, last = TruncatedNormal(stddev=0.01), {"dtype": "float32", "name": head}
        if stride == STRIDE:
            y = layers.Conv2D(filters, 1, kernel_initializer=small, **last)(x)
        elif skip:
            y = layers.Conv2DTranspose(filters, 3, 2, "same", kernel_initializer=small, name=f"{head}_deconv")(x)
            small = TruncatedNormal(stddev=0.01)
            side = layers.Conv2D(filters, 1, kernel_initializer=small, name=f"{head}_skip")(maps[STRIDE])
            y = layers.Add(**last)([y, side])
        else:
            y = layers.Conv2DTranspose(filters, 3, 2, "same", kernel_initializer=small, **last)(x)
        outputs[head] = y
    model = keras.Model(image, outputs, name=name)
    load_backbone(model, backbone, weights, width)
    return model


def score_loss(target: Any, scores: Any) -> Any:
    """Sigmoid cross entropy of the score maps, mean over cells and keypoints.

    Parameters
    ----------
    target : tensor (batch, h, w, 2 K)
        1 in cells near the keypoint, otherwise 0; then weights, 0 where nothing is known.
    scores : tensor (batch, h, w, K)
        Logits.
    """
    target, weight = ops.split(target, 2, -1)
    loss = ops.maximum(scores, 0) - scores * target + ops.log1p(ops.exp(-ops.abs(scores)))
    return ops.sum(loss * weight) / ops.maximum(ops.sum(weight), 1)


def offset_loss(target: Any, offsets: Any, weight: float = 0.05, delta: float = 1.0) -> Any:
    """Huber loss of the location refinement over cells near a keypoint, times its share in the whole loss.

    Parameters
    ----------
    target : tensor (batch, h, w, 4 K)
        Offsets, then their weights: 1 in cells near the keypoint, otherwise 0.
    offsets : tensor (batch, h, w, 2 K)
    weight : float
        DeepLabCut's `locref_loss_weight`.
    delta : float
        Where the loss turns from quadratic to linear.
    """
    target, inside = ops.split(target, 2, -1)
    error = ops.abs(offsets - target)
    loss = ops.where(error < delta, 0.5 * error * error, delta * (error - 0.5 * delta))
    return weight * ops.sum(loss * inside) / ops.maximum(ops.sum(inside), 1)
