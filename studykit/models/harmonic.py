"""Harmonic U-Net: the U-Net of paper 003 with every convolution harmonic, so that its answer turns with the image.

Paper 003, section II-C2, after Worrall et al. 2017 (CVPR). Batch normalization in front of each non-linearity and a
3x3 harmonic convolution after each up-sampling are as in the author's published code (see `unet`); C-ReLU on
magnitudes is that of Worrall et al., where the author's library gates them.
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from studykit.models.complex_layers import ComplexConcatenate, ComplexDropout, ComplexReLU, Magnitude
from studykit.models.harmonic_layers import HarmonicConv2D
from studykit.models.unet import check_input_size, mask_head


def harmonic_unet(
    input_shape: tuple = (None, None, 3),
    *,
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
    kernel_size: int = 3,
    up_kernel_size: int | None = None,
    radii: Sequence[float] | None = None,
    ring_width: float = 0.5,
    dropout: float = 0.3,
    batch_normalization: bool = True,
    momentum: float = 0.99,
    mode: str = "auto",
    head: Callable = mask_head,
    name: str = "harmonic_unet",
) -> keras.Model:
    """Harmonic U-Net of rotation orders 0 and 1.

    Between the layers stand complex maps, half of each width for each order (64 neurons: 32 + 32 complex maps). The
    head sees the magnitudes of the last maps, `features`, which turn with the image whatever the order; so any head
    of the plain U-Net fits.

    Parameters
    ----------
    input_shape, widths, head, name
        As `unet`; widths are even.
    kernel_size : int
        Odd, px. 5x5 filters, with more rings, follow the angles between multiples of 90 degrees better than 3x3.
    up_kernel_size : int or None
        Of the convolution after each up-sampling, odd, px. None: as `kernel_size`; 1 saves time
        (`docs/harmonic.md`).
    radii, ring_width
        See `harmonic_layers.ring_filters`.
    dropout : float
        Rate, at the same places as in `unet`.
    batch_normalization : bool
        Of magnitudes.
    momentum : float
        Of the running means of batch normalization.
    mode : str
        How convolutions are computed, see `HarmonicConv2D`.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    ValueError
        If a width is odd, or the image size cannot be halved at every level.
    """
    check_input_size(input_shape, len(widths), name)
    if any(width % 2 for width in widths):
        raise ValueError(f"{name}: expected even widths, half for each order, got {tuple(widths)}")

    up_kernel_size = kernel_size if up_kernel_size is None else up_kernel_size

    def convolution(x, width, size, place, **arguments):
        rings = {"radii": radii if size == kernel_size else None, "ring_width": ring_width}
        x = HarmonicConv2D(width // 2, size, mode=mode, name=place, **rings, **arguments)(x)
        return ComplexReLU(batch_normalization, momentum, name=f"{place}_relu")(x)

    def pair(x, width, place, real_input=False):
        x = convolution(x, width, kernel_size, f"{place}_conv1", real_input=real_input)
        return convolution(x, width, kernel_size, f"{place}_conv2")

    inputs = layers.Input(input_shape, name="image")
    x = inputs
    skips = []
    for level, width in enumerate(widths[:-1], start=1):
        x = pair(x, width, f"down{level}", real_input=level == 1)
        skips.append(x)
        if level > 1:
            x = ComplexDropout(dropout, name=f"down{level}_dropout")(x)
        x = layers.AveragePooling2D(2, name=f"down{level}_pool")(x)
    x = pair(x, widths[-1], "bottom")
    x = ComplexDropout(dropout, name="bottom_dropout")(x)
    for level in range(len(widths) - 1, 0, -1):
        width = widths[level - 1]
        if up_kernel_size == 1:  # point by point: the same before up-sampling, at a quarter of the cost
            x = convolution(x, width, 1, f"up{level}_conv0")
            x = layers.UpSampling2D(2, name=f"up{level}_upsample")(x)
        else:
            x = convolution(x, width, up_kernel_size, f"up{level}_conv0", up_sampling=2)
        x = ComplexConcatenate(name=f"up{level}_concatenate")([skips.pop(), x])
        x = pair(x, width, f"up{level}")
        if level > 1:
            x = ComplexDropout(dropout, name=f"up{level}_dropout")(x)
    return keras.Model(inputs, head(Magnitude(name="features")(x)), name=name)
