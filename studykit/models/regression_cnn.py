"""The regression network of paper 004: from a picture of a person straight to the coordinates of the joints."""

import keras
from keras import layers


def regression_cnn(
    keypoints: int = 14,
    *,
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3),
    hidden: int = 512,
    dropout: float = 0.5,
    batch_momentum: float = 0.9,
    input_shape: tuple[int, ...] = (224, 224, 3),
    name: str = "regression_cnn",
) -> keras.Model:
    """Thirteen 3x3 convolutions with batch normalisation, five poolings, two dense layers (paper 004, Table 01).

    With the defaults 27,583,068 trainable weights, as the table says. Layers are named by level and place:
    `conv1_1`, `conv1_1_bn`, `conv1_1_relu`, `pool1`. What the table leaves open is as PyTorch, whose print it is, has
    it by default: dropout 0.5, momentum of the running means (0.9 in Keras's sense) and epsilon 1e-5.

    Parameters
    ----------
    keypoints : int
        K.
    widths : sequence of int
        Channels of each level; each ends with a 2x2 pooling.
    convolutions : sequence of int
        How many a level.
    hidden : int
        Units of the first dense layer.
    dropout : float
        Rate before it.
    batch_momentum : float
    input_shape : tuple
        (height, width, 3), fixed: the dense layers know every place; each at least 2 ** len(widths) px.
    name : str

    Returns
    -------
    keras.Model
        (batch, H, W, 3) RGB 0 to 255 -> (batch, 2 K): x, y of each keypoint from the image's centre, as a share of
        its width and height, so that the whole image is -0.5 to 0.5.

    Raises
    ------
    ValueError
        If the image vanishes before the last pooling.
    """
    if min(input_shape[:2]) < 2 ** len(widths):
        raise ValueError(
            f"{name}: expected height and width of at least {2 ** len(widths)} px, got {tuple(input_shape[:2])}; "
            "enlarge the crops or take fewer levels"
        )
    image = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    for level, (width, count) in enumerate(zip(widths, convolutions, strict=True), start=1):
        for n in range(1, count + 1):
            layer = f"conv{level}_{n}"
            x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal", name=layer)(x)
            x = layers.BatchNormalization(momentum=batch_momentum, epsilon=1e-5, name=f"{layer}_bn")(x)
            x = layers.ReLU(name=f"{layer}_relu")(x)
        x = layers.MaxPooling2D(2, name=f"pool{level}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(hidden, kernel_initializer="he_normal", name="dense")(x)
    x = layers.ReLU(name="dense_relu")(x)
    small = keras.initializers.TruncatedNormal(stddev=0.01)  # begins at the mean of all people: the centre
    joints = layers.Dense(2 * keypoints, kernel_initializer=small, dtype="float32", name="joints")(x)
    return keras.Model(image, joints, name=name)
