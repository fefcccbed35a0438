"""Feature extractors of pose networks: residual networks and MobileNetV2, down to a chosen output stride.

Each function adds its layers to an image tensor and returns the feature maps by their stride, so that a decoder may
take more than the last. Residual networks carry the layer names of `keras.applications`, whose weights therefore fit.
"""

from pathlib import Path

import keras
from keras import layers, ops

RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
RESNET_BLOCKS |= {"resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
BACKBONES = (*RESNET_BLOCKS, "mobilenet_v2")
_IMAGENET = {"resnet50": ("ResNet50", None), "resnet101": ("ResNet101", None), "resnet152": ("ResNet152", None)}
_IMAGENET |= {"mobilenet_v2": ("MobileNetV2", 0.35), "mobilenet_v1": ("MobileNet", 1.0), "vgg19": ("VGG19", None)}
_EPSILON = 1.001e-5  # of batch normalisation, as in keras.applications


def build_backbone(
    name: str,
    image: keras.KerasTensor,
    *,
    width: float | None = None,
    output_stride: int = 16,
    batch_momentum: float = 0.99,
) -> dict[int, keras.KerasTensor]:
    """Feature maps of a backbone by name.

    Parameters
    ----------
    name : {"resnet18", "resnet50", "resnet101", "resnet152", "mobilenet_v2"}
    image : KerasTensor (batch, height, width, 3)
        RGB, 0 to 255; each backbone normalises it as its ImageNet weights expect.
    width : int or float, optional
        Filters of a residual network's first stage (64), or MobileNet's multiplier (0.35).
    output_stride : {8, 16, 32}
        Of the deepest map. Stages that would go beyond keep their resolution and dilate their filters instead
        (Insafutdinov et al. 2016, section 3.1).
    batch_momentum : float
        Of the running means of batch normalisation; short trainings need less than 0.99.

    Returns
    -------
    dict of int to KerasTensor
        Feature maps by stride.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride: expected 8, 16 or 32, got {output_stride}")
    if name in RESNET_BLOCKS:
        return resnet(name, image, width or 64, output_stride, batch_momentum)
    if name == "mobilenet_v2":
        return mobilenet_v2(image, width or 0.35, output_stride)
    raise ValueError(f"backbone: expected one of {', '.join(BACKBONES)}, got {name!r}")


def resnet(
    name: str, image: keras.KerasTensor, width: int = 64, output_stride: int = 16, batch_momentum: float = 0.99
) -> dict[int, keras.KerasTensor]:
    """Residual network (He et al. 2016, table 1): basic blocks for 18 layers, bottlenecks for 50 and more."""
    bottleneck = name != "resnet18"

    def convolve(x, filters, kernel, stride, dilation, layer):
        padding = "same" if stride == 1 else "valid"
        if stride > 1 and kernel > 1:  # the same on all sides, where padding="same" would shift the grid
            x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{layer}_pad")(x)
        options = {"dilation_rate": dilation, "kernel_initializer": "he_normal", "name": f"{layer}_conv"}
        # A bias before the normalisation: keras.applications' bottlenecks have one.
        x = layers.Conv2D(filters, kernel, stride, padding, use_bias=bottleneck, **options)(x)
        return layers.BatchNormalization(epsilon=_EPSILON, momentum=batch_momentum, name=f"{layer}_bn")(x)

    def block(x, filters, stride, dilation, shortcut, layer):
        out = filters * 4 if bottleneck else filters
        skip = convolve(x, out, 1, stride, 1, f"{layer}_0") if shortcut else x
        if bottleneck:
            x = layers.ReLU(name=f"{layer}_1_relu")(convolve(x, filters, 1, stride, 1, f"{layer}_1"))
            x = layers.ReLU(name=f"{layer}_2_relu")(convolve(x, filters, 3, 1, dilation, f"{layer}_2"))
            x = convolve(x, out, 1, 1, 1, f"{layer}_3")
        else:
            x = layers.ReLU(name=f"{layer}_1_relu")(convolve(x, filters, 3, stride, dilation, f"{layer}_1"))
            x = convolve(x, out, 3, 1, dilation, f"{layer}_2")
        x = layers.Add(name=f"{layer}_add")([skip, x])
        return layers.ReLU(name=f"{layer}_out")(x)

    mean, scale = (123.68, 116.779, 103.939), 1 / 58.0
    if bottleneck:  # these saw blue first (`keras.applications.resnet.preprocess_input`)
        image, mean, scale = ops.flip(image, axis=-1), mean[::-1], 1.0
    x = layers.Rescaling(scale, offset=[-scale * m for m in mean], name="normalise")(image)
    x = layers.ReLU(name="conv1_relu")(convolve(x, width, 7, 2, 1, "conv1"))
    found = {2: x}
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    at, dilation = 4, 1
    for stage, blocks in enumerate(RESNET_BLOCKS[name]):
        stride, first = (1 if stage == 0 else 2), dilation
        if at * stride > output_stride:
            stride, dilation = 1, dilation * 2  # from the second block on
        at *= stride
        for n in range(blocks):
            layer, shortcut = f"conv{stage + 2}_block{n + 1}", n == 0 and (bottleneck or stage > 0)
            x = block(x, width * 2**stage, stride if n == 0 else 1, first if n == 0 else dilation, shortcut, layer)
        found[at] = x
    return found


def mobilenet_v2(
    image: keras.KerasTensor, width: float = 0.35, output_stride: int = 16
) -> dict[int, keras.KerasTensor]:
    """MobileNetV2 of `keras.applications` (Sandler et al. 2018), cut before the first stage beyond the stride."""
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    network = keras.applications.MobileNetV2(input_tensor=x, alpha=width, include_top=False, weights=None)
    last = {4: "block_3_expand_relu", 8: "block_6_expand_relu", 16: "block_13_expand_relu", 32: "out_relu"}
    return {stride: network.get_layer(name).output for stride, name in last.items() if stride <= output_stride}


def load_backbone(model: keras.Model, name: str, weights: str | Path | None, width: float | None = None) -> None:
    """Give a model's backbone layers trained weights, by layer name.

    Parameters
    ----------
    model : keras.Model
        Built on `build_backbone(name, ...)`.
    name : str
        Of the backbone.
    weights : str, path-like or None
        "imagenet" (downloaded by Keras; ResNet-50, -101, -152 and MobileNetV2), or a file: `.keras` or a
        `.weights.h5` that this model wrote. None leaves the model as it is.
    width : float, optional
        MobileNet's multiplier.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, no such ImageNet weights, or no layer of the file fits.
    """
    if weights is None:
        return
    if str(weights) == "imagenet":
        if name not in _IMAGENET:
            known = ", ".join(_IMAGENET)
            raise ValueError(f"weights: expected imagenet weights for one of {known}, got {name}")
        architecture, alpha = _IMAGENET[name]
        options = {"alpha": width or alpha} if alpha else {}
        trained = getattr(keras.applications, architecture)(include_top=False, **options)
        _copy_layers(trained, model, f"imagenet weights of {name}")
        return
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: expected a file of weights or "imagenet", got none')
    if path.suffix == ".keras":
        _copy_layers(keras.saving.load_model(path, compile=False), model, path)
    else:
        model.load_weights(path)


def _copy_layers(source, target, what):
    """Weights of all layers that both models have, by name and shape."""
    theirs = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    ours = [layer for layer in target.layers if layer.weights and layer.name in theirs]
    fit = [n for n in ours if [w.shape for w in n.get_weights()] == [w.shape for w in theirs[n.name]]]
    if not fit:
        raise ValueError(f"{what}: expected layers named and shaped like {target.name}'s, got none that fit")
    for layer in fit:
        layer.set_weights(theirs[layer.name])
