"""U-Net (Ronneberger et al. 2015, MICCAI) as paper 003 trained it for the masks and joints of one person.

The paper's text gives 4 levels down and up, 64 to 1024 channels, up-sampling and dropout 0.3; what it leaves open (2x2
convolutions after up-sampling, no batch normalization, where the dropouts stand) is taken from its author's published
code, github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection.
"""

from collections.abc import Callable

import keras
from keras import layers


def mask_head(features: keras.KerasTensor) -> keras.KerasTensor:
    """Softmax over background and person in each pixel, as paper 003, section II-C1; the output is named `mask`."""
    scores = layers.Conv2D(2, 1, name="mask_scores")(features)
    return layers.Softmax(dtype="float32", name="mask")(scores)


def unet(
    input_shape: tuple = (None, None, 3),
    *,
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
    kernel_size: int = 3,
    up_kernel_size: int = 2,
    dropout: float = 0.3,
    batch_normalization: bool = False,
    head: Callable = mask_head,
    name: str = "unet",
) -> keras.Model:
    """U-Net: pairs of 3x3 convolutions, max pooling, up-sampling, skip connections.

    Layers are named by level and place, level 1 at full resolution: `down1_conv1`, `bottom_conv2`, `up4_upsample`.
    Weights and dropout draw from Keras's global state; `keras.utils.set_random_seed` makes them repeat.

    Parameters
    ----------
    input_shape : (height, width, channels)
        Image values from 0 to 1. None: any size. Height and width are multiples of 2 ** (len(widths) - 1), px.
    widths : sequence of int
        Channels of each level, the bottom last.
    kernel_size, up_kernel_size : int
        Of the pairs, and of the convolution after each up-sampling, px.
    dropout : float
        Rate after each pair of the lower levels: not at level 1; skip connections leave before it.
    batch_normalization : bool
        Between each convolution of a pair and its ReLU; the paper's network has none.
    head : callable
        From the features (batch, height, width, widths[0]) to one output tensor or a dict of several by name.
    name : str
        Of the model.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ValueError
        If the image size cannot be halved at every level.
    """
    check_input_size(input_shape, len(widths), name)

    def pair(x, width, place):
        for i in (1, 2):
            x = convolution(x, width, kernel_size, f"{place}_conv{i}", batch_normalization)
        return x

    inputs = layers.Input(input_shape, name="image")
    x = inputs
    skips = []
    for level, width in enumerate(widths[:-1], start=1):
        x = pair(x, width, f"down{level}")
        skips.append(x)
        if level > 1:
            x = layers.Dropout(dropout, name=f"down{level}_dropout")(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = pair(x, widths[-1], "bottom")
    x = layers.Dropout(dropout, name="bottom_dropout")(x)
    for level in range(len(widths) - 1, 0, -1):
        width = widths[level - 1]
        x = layers.UpSampling2D(2, name=f"up{level}_upsample")(x)
        x = convolution(x, width, up_kernel_size, f"up{level}_conv0", batch_normalization)
        x = layers.Concatenate(name=f"up{level}_concatenate")([skips.pop(), x])
        x = pair(x, width, f"up{level}")
        if level > 1:
            x = layers.Dropout(dropout, name=f"up{level}_dropout")(x)
    return keras.Model(inputs, head(x), name=name)


def convolution(
    x: keras.KerasTensor, width: int, kernel_size: int, name: str, batch_normalization: bool
) -> keras.KerasTensor:
    """Convolution and ReLU, normalised between when asked."""
    x = layers.Conv2D(
        width,
        kernel_size,
        padding="same",
        use_bias=not batch_normalization,
        kernel_initializer="he_normal",
        activation=None if batch_normalization else "relu",
        name=name,
    )(x)
    if not batch_normalization:
        return x
    x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def check_input_size(input_shape: tuple, levels: int, name: str) -> None:
    """Refuse sizes that pooling and up-sampling would not bring back."""
    factor = 2 ** (levels - 1)
    if any(size is not None and size % factor for size in input_shape[:2]):
        raise ValueError(
            f"{name}: expected height and width to be multiples of {factor}, got {tuple(input_shape[:2])}; "
            "pad the images or take fewer levels"
        )
