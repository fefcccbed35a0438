"""Stacked hourglass (Newell et al. 2016), which paper 001 reviews: each stack sees all scales and is supervised."""

import keras
from keras import layers

STRIDE = 4  # of the heat maps, px a cell


def hourglass(
    keypoints: int = 16,
    *,
    stacks: int = 8,
    width: int = 256,
    depth: int = 4,
    batch_momentum: float = 0.9,
    input_shape: tuple[int, ...] = (256, 256, 3),
    name: str = "hourglass",
) -> keras.Model:
    """Stacked hourglass network (Newell et al. 2016, sections 3.1 to 3.3).

    Parameters
    ----------
    keypoints : int
        K.
    stacks : int
    width : int
        Features throughout; a multiple of 4.
    depth : int
        Poolings in each hourglass.
    batch_momentum : float
        Of the running means of batch normalisation.
    input_shape : tuple
        (height, width, 3), multiples of 4 * 2 ** depth; None where free.
    name : str

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> {"heatmaps1": ..., "heatmaps": the last stack's}, each (batch, H/4, W/4, K):
        the same target for every stack is the intermediate supervision.

    Raises
    ------
    ValueError
        If the image size cannot be halved that often, or the width not be quartered.
    """
    factor = STRIDE * 2**depth
    if width % 4 or any(size is not None and size % factor for size in input_shape[:2]):
        raise ValueError(
            f"{name}: expected a width that is a multiple of 4 and an image whose sides are multiples of {factor}, "
            f"got {width} and {tuple(input_shape[:2])}; pad the crops or lessen the depth"
        )

    def convolve(x, filters, kernel, layer, strides=1):
        x = layers.BatchNormalization(momentum=batch_momentum, epsilon=1e-5, name=f"{layer}_bn")(x)
        x = layers.ReLU(name=f"{layer}_relu")(x)
        return layers.Conv2D(filters, kernel, strides, "same", kernel_initializer="he_normal", name=f"{layer}_conv")(x)

    def residual(x, filters, layer):
        """Bottleneck with normalisation first (He et al. 2016b), figure 4 left."""
        skip = x if x.shape[-1] == filters else layers.Conv2D(filters, 1, name=f"{layer}_skip")(x)
        x = convolve(x, filters // 2, 1, f"{layer}_1")
        x = convolve(x, filters // 2, 3, f"{layer}_2")
        x = convolve(x, filters, 1, f"{layer}_3")
        return layers.Add(name=f"{layer}_add")([skip, x])

    def module(x, level, stack):
        """One hourglass: down, (the next level), up, and a side branch at each resolution."""
        layer = f"{stack}_level{level}"
        side = residual(x, width, f"{layer}_side")
        x = layers.MaxPooling2D(2, name=f"{layer}_pool")(x)
        x = residual(x, width, f"{layer}_down")
        x = module(x, level + 1, stack) if level < depth else residual(x, width, f"{layer}_bottom")
        x = residual(x, width, f"{layer}_up")
        x = layers.UpSampling2D(2, name=f"{layer}_upsample")(x)
        return layers.Add(name=f"{layer}_add")([side, x])

    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    x = layers.Conv2D(width // 4, 7, 2, "same", kernel_initializer="he_normal", name="stem_conv")(x)
    x = residual(x, width // 2, "stem_residual1")
    x = layers.MaxPooling2D(2, name="stem_pool")(x)
    x = residual(x, width // 2, "stem_residual2")
    x = residual(x, width, "stem_residual3")
    outputs = {}
    for n in range(1, stacks + 1):
        stack, output = f"stack{n}", "heatmaps" if n == stacks else f"heatmaps{n}"
        features = residual(module(x, 1, stack), width, f"{stack}_residual")
        features = convolve(features, width, 1, f"{stack}_features")
        maps = layers.Conv2D(keypoints, 1, dtype="float32", name=output)(features)
        outputs[output] = maps
        if n < stacks:  # predictions go on into the next stack
            back = layers.Conv2D(width, 1, name=f"{stack}_from_maps")(maps)
            forth = layers.Conv2D(width, 1, name=f"{stack}_from_features")(features)
            x = layers.Add(name=f"{stack}_add")([x, forth, back])
    return keras.Model(image, outputs, name=name)
