"""OpenPose: confidence maps and part affinity fields in two branches, refined stage by stage, at stride 8.

Two forms. With VGG-19 it is that of Cao et al. 2017 (CVPR, section 2.1): its first ten layers, two narrowing ones, then
six stages in which each branch sees the image's features and both branches of the stage before. With MobileNet it is
that which paper 000 describes and takes over from Osokin 2018 (lightweight OpenPose, arXiv 1811.12004): MobileNetV1
whose last strides are replaced by a dilation, one shared trunk a stage with two heads, and a refinement stage of
residual blocks.
"""

from pathlib import Path

import keras
from keras import layers, ops

from studykit.models.backbones import load_backbone

STRIDE = 8  # px a cell
BACKBONES = ("vgg19", "mobilenet")
STAGES = {"vgg19": 6, "mobilenet": 2}  # as published
# Filters and stride of MobileNetV1's separable layers (Howard et al. 2017, table 1) up to the last that is kept.
_SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), *6 * [(512, 1)])
_DILATED = 7  # the separable layer with the dilation, counted from 1
_VGG = ((64, 2), (128, 2), (256, 4), (512, 2))  # filters and layers of each block


def openpose(
    keypoints: int = 18,
    limbs: int = 19,
    backbone: str = "vgg19",
    *,
    width: float = 1.0,
    features: int = 128,
    stages: int | None = None,
    normalise_all: bool = False,
    batch_momentum: float = 0.99,
    weights: str | Path | None = None,
    input_shape: tuple = (None, None, 3),
    name: str = "openpose",
) -> keras.Model:
    """Confidence maps of K keypoints and the background, and fields of L limbs, after every stage.

    Parameters
    ----------
    keypoints, limbs : int
        K and L; 18 and 19 for COCO's people.
    backbone : {"vgg19", "mobilenet"}
    width : float
        Multiplies the backbone's filters.
    features : int
        Channels of the image's features and of the stages; 1x1 layers before the heads have four times as many.
    stages : int, optional
        6 with VGG-19, 2 with MobileNet.
    normalise_all : bool
        Batch normalisation after every layer that has a ReLU, which helps where weights are drawn at random; as
        published VGG-19's form has none, MobileNet's only in the backbone and in the refinement stage's residuals.
    batch_momentum : float
        Of the running means of batch normalisation.
    weights : str or path-like or None
        Of the backbone: None (random), "imagenet" (downloaded), or a local file.
    input_shape : tuple
        (height, width, 3); None where free. Heights and widths must be multiples of 8.

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> {"maps": (batch, H/8, W/8, K + 1), "pafs": (batch, H/8, W/8, 2 L): x of each
        limb's field, then y}, and the same of the stages before as "maps1", "pafs1", ...

    Raises
    ------
    ValueError
        If the backbone is unknown, or there are no stages.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone: expected one of {', '.join(BACKBONES)}, got {backbone!r}")
    stages = STAGES[backbone] if stages is None else stages
    if stages < 1:
        raise ValueError(f"stages: expected at least 1, got {stages}")
    image = keras.Input(input_shape, name="image")
    outputs, light = {}, backbone == "mobilenet"
    everywhere = batch_momentum if normalise_all else None
    seen = (_mobilenet if light else _vgg19)(image, width, features, batch_momentum, everywhere)
    stage = _light_stage if light else _branches
    x = seen
    for n in range(1, stages + 1):
        number = "" if n == stages else n
        heads = {f"maps{number}": keypoints + 1, f"pafs{number}": 2 * limbs}
        found = stage(x, n, features, heads, batch_momentum, everywhere)
        outputs |= found
        if n < stages:
            x = layers.Concatenate(name=f"stage{n + 1}_input")([seen, *found.values()])
    model = keras.Model(image, outputs, name=name)
    load_backbone(model, "mobilenet_v1" if light else "vgg19", weights, width)
    return model


def final_maps(model: keras.Model) -> keras.Model:
    """The same network, giving "maps" and "pafs" of its last stage only."""
    return keras.Model(model.input, {name: model.output[name] for name in ("maps", "pafs")}, name=model.name)


def _vgg19(image, width, features, _, everywhere):
    """First ten layers of VGG-19 (Simonyan & Zisserman 2015), named as keras.applications', and two that narrow."""
    bgr = ops.flip(image, axis=-1)
    x = layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], name="normalise")(bgr)
    for block, (filters, count) in enumerate(_VGG, start=1):
        for n in range(1, count + 1):
            x = _relu_conv(x, round(filters * width), 3, f"block{block}_conv{n}", everywhere)
        if block < len(_VGG):
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = _relu_conv(x, 2 * features, 3, "narrow1", everywhere)
    return _relu_conv(x, features, 3, "narrow2", everywhere)


def _branches(x, stage, features, heads, _, everywhere):
    """A stage of Cao et al. 2017, figure 3: both branches see the same and go their own way."""
    found = {}
    for name, channels in heads.items():
        y, layer = x, f"stage{stage}_{name.rstrip('0123456789')}"
        kernels = (3, 3, 3) if stage == 1 else (7,) * 5
        for n, kernel in enumerate(kernels, start=1):
            y = _relu_conv(y, features, kernel, f"{layer}_conv{n}", everywhere)
        y = _relu_conv(y, features * (4 if stage == 1 else 1), 1, f"{layer}_conv{len(kernels) + 1}", everywhere)
        found[name] = _head(y, channels, name)
    return found


def _mobilenet(image, width, features, momentum, everywhere):
    """Dilated MobileNetV1, layers named as keras.applications', then separable layers with a residual connection."""
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    x = layers.Conv2D(round(32 * width), 3, 2, "same", use_bias=False, kernel_initializer="he_normal", name="conv1")(x)
    x = _normalised_relu(x, "conv1", momentum)
    for n, (filters, stride) in enumerate(_SEPARABLE, start=1):
        options = {"use_bias": False, "depthwise_initializer": "he_normal", "name": f"conv_dw_{n}"}
        x = layers.DepthwiseConv2D(3, stride, "same", dilation_rate=2 if n == _DILATED else 1, **options)(x)
        x = _normalised_relu(x, f"conv_dw_{n}", momentum)
        x = _relu_conv(x, round(filters * width), 1, f"conv_pw_{n}", momentum, use_bias=False)
    x = narrow = _relu_conv(x, features, 1, "narrow", everywhere)
    for n in (1, 2, 3):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"trunk{n}_dw")(x)
        x = layers.ELU(name=f"trunk{n}_dw_elu")(x)
        x = layers.Conv2D(features, 1, use_bias=False, kernel_initializer="he_normal", name=f"trunk{n}_pw")(x)
        x = layers.ELU(name=f"trunk{n}_pw_elu")(x)
    return _relu_conv(layers.Add(name="trunk_add")([narrow, x]), features, 3, "features", everywhere)


def _light_stage(x, stage, features, heads, momentum, everywhere):
    """A stage of Osokin 2018, section 3.2: one trunk for both branches; residual blocks from the second stage on."""
    layer = f"stage{stage}"
    if stage == 1:
        for n in (1, 2, 3):
            x = _relu_conv(x, features, 3, f"{layer}_conv{n}", everywhere)
    else:
        for n in range(1, 6):
            x = y = _relu_conv(x, features, 1, f"{layer}_block{n}_in", everywhere)
            for part, dilation in (("a", 1), ("b", 2)):
                y = _relu_conv(y, features, 3, f"{layer}_block{n}{part}", momentum, dilation_rate=dilation)
            x = layers.Add(name=f"{layer}_block{n}_add")([x, y])
    found, wide = {}, features * (4 if stage == 1 else 1)
    for name, channels in heads.items():
        y = _relu_conv(x, wide, 1, f"{layer}_{name.rstrip('0123456789')}_conv", everywhere)
        found[name] = _head(y, channels, name)
    return found


def _relu_conv(x, filters, kernel, layer, momentum, **options):
    """Convolution and ReLU, between them batch normalisation unless its momentum is None."""
    x = layers.Conv2D(filters, kernel, padding="same", kernel_initializer="he_normal", name=layer, **options)(x)
    return _normalised_relu(x, layer, momentum)


def _normalised_relu(x, layer, momentum):
    if momentum is not None:
        x = layers.BatchNormalization(momentum=momentum, name=f"{layer}_bn")(x)
    return layers.ReLU(name=f"{layer}_relu")(x)


def _head(x, channels, name):
    small = keras.initializers.TruncatedNormal(stddev=0.01)
    return layers.Conv2D(channels, 1, kernel_initializer=small, dtype="float32", name=name)(x)
