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


def mask_and_joints_head(joints: str, count: int) -> Callable[[keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """A head for a mask and joints at once (paper 003, section II-D3).

    Parameters
    ----------
    joints : str
        Encoding, one of `joint_maps.JOINTS`.
    count : int
        Joints of the skeleton.

    Returns
    -------
    callable
        From features to outputs by name: `mask`, two channels of a softmax; `joint_map`, one linear channel, with
        "regression" and "triple"; `joints`, 1 + count channels of a softmax, with all encodings but "regression".
    """

    def head(features):
        outputs = {"mask": mask_head(features)}
        if joints in ("regression", "triple"):
            outputs["joint_map"] = layers.Conv2D(1, 1, dtype="float32", name="joint_map")(features)
        if joints in ("softmax", "regression_softmax", "triple"):
            scores = layers.Conv2D(1 + count, 1, name="joint_scores")(features)
            outputs["joints"] = layers.Softmax(dtype="float32", name="joints")(scores)
        return outputs

    return head


def unet(
    input_shape: tuple = (None, None, 3),
    *,
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
    kernel_size: int = 3,
    up_kernel_size: int = 2,
    dropout: float = 0.3,
    batch_normalization: bool = False,
    momentum: float = 0.99,
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
    momentum : float
        Of the running means of batch normalization.
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

    def convolution(x, width, size, place):
        options = {"padding": "same", "kernel_initializer": "he_normal", "name": place}
        if not batch_normalization:
            return layers.Conv2D(width, size, activation="relu", **options)(x)
        x = layers.Conv2D(width, size, use_bias=False, **options)(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"{place}_normalization")(x)
        return layers.ReLU(name=f"{place}_relu")(x)

    def pair(x, width, place):
        x = convolution(x, width, kernel_size, f"{place}_conv1")
        return convolution(x, width, kernel_size, f"{place}_conv2")

    def up(x, width, place):
        x = layers.UpSampling2D(2, name=f"{place}_upsample")(x)
        return convolution(x, width, up_kernel_size, f"{place}_conv0")

    kinds = layers.MaxPooling2D, layers.Dropout, layers.Concatenate
    image, features = u_shape(input_shape, widths, dropout, pair, up, kinds, name)
    return keras.Model(image, head(features), name=name)


def u_shape(
    input_shape: tuple, widths: tuple[int, ...], dropout: float, pair: Callable, up: Callable, kinds: tuple, name: str
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Image and features of a network that goes down and up again, with skip connections; see `unet`.

    Parameters
    ----------
    input_shape, widths, dropout, name
        As `unet`.
    pair, up : callable
        From a tensor, a width and a place to the tensor after two convolutions, and after up-sampling with one.
    kinds : tuple
        Layers that pool, drop out and join.

    Raises
    ------
    ValueError
        If the image size cannot be halved at every level.
    """
    factor = 2 ** (len(widths) - 1)
    if any(size is not None and size % factor for size in input_shape[:2]):
        raise ValueError(
            f"{name}: expected height and width to be multiples of {factor}, got {tuple(input_shape[:2])}; "
            "pad the images or take fewer levels"
        )
    pool, drop, join = kinds
    x = image = layers.Input(input_shape, name="image")
    skips = []
    for level, width in enumerate(widths[:-1], start=1):
        x = pair(x, width, f"down{level}")
        skips.append(x)
        if level > 1:
            x = drop(dropout, name=f"down{level}_dropout")(x)
        x = pool(2, name=f"down{level}_pool")(x)
    x = pair(x, widths[-1], "bottom")
    x = drop(dropout, name="bottom_dropout")(x)
    for level in range(len(widths) - 1, 0, -1):
        x = up(x, widths[level - 1], f"up{level}")
        x = join(name=f"up{level}_concatenate")([skips.pop(), x])
        x = pair(x, widths[level - 1], f"up{level}")
        if level > 1:
            x = drop(dropout, name=f"up{level}_dropout")(x)
    return image, x
