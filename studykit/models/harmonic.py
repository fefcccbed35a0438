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
from studykit.models.unet import mask_head, u_shape


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
    if any(width % 2 for width in widths):
        raise ValueError(f"{name}: expected even widths, half for each order, got {tuple(widths)}")
    up_kernel_size = kernel_size if up_kernel_size is None else up_kernel_size

    def convolution(x, width, size, place, **arguments):
        rings = {"radii": radii if size == kernel_size else None, "ring_width": ring_width}
        x = HarmonicConv2D(width // 2, size, mode=mode, name=place, **rings, **arguments)(x)
        return ComplexReLU(batch_normalization, momentum, name=f"{place}_relu")(x)

    def pair(x, width, place):
        x = convolution(x, width, kernel_size, f"{place}_conv1", real_input=place == "down1")
        return convolution(x, width, kernel_size, f"{place}_conv2")

    def up(x, width, place):
        if up_kernel_size == 1:  # point by point: the same before up-sampling, at a quarter of the cost
            return layers.UpSampling2D(2, name=f"{place}_upsample")(convolution(x, width, 1, f"{place}_conv0"))
        return convolution(x, width, up_kernel_size, f"{place}_conv0", up_sampling=2)

    kinds = layers.AveragePooling2D, ComplexDropout, ComplexConcatenate
    image, maps = u_shape(input_shape, widths, dropout, pair, up, kinds, name)
    return keras.Model(image, head(Magnitude(name="features")(maps)), name=name)
