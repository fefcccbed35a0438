"""Layers of harmonic networks (Worrall et al. 2017, CVPR, pp. 5028-5037): convolutions that turn with the image.

A harmonic filter is R(r) e^{i(m phi + beta)}: a learnt radial profile R, a learnt phase beta, a fixed rotation order m.
A feature map of order m answers a rotation of the image by theta with a rotation of itself and a phase of m theta, so
that its magnitude just rotates. A filter that leads from maps of order p to maps of order q has order q - p. Orders 0
and 1 are kept, as in paper 003.

How complex maps are stored: a layer with `n` maps of each order holds 4 n real channels, in the sequence
order 0 real, order 0 imaginary, order 1 real, order 1 imaginary. So pooling, up-sampling and every other thing that
treats channels alike is a plain Keras layer. (Split with `ops.split`, not with slices: the gradient of a slice pads
and adds whole tensors, which made these layers two to three times slower.)

Importing this module registers the layers, so that `keras.saving.load_model` finds them.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

MODES = ("dense", "gauss", "factored", "factored_last")


def ring_filters(
    kernel_size: int, order: int, radii: Sequence[float] | None = None, ring_width: float = 0.5
) -> np.ndarray:
    """Sampled rings: e^{i order phi} on circles, the fixed part of a harmonic filter.

    A ring of radius r is resampled to the pixel grid by a Gaussian of standard deviation `ring_width`
    (Worrall et al. 2017). On the pixel grid filters turn exactly by 90 degrees only. Between, the default radii serve
    best: over spatial frequencies up to 1 rad/px the response of 5x5 filters varies with direction by 0.13 %
    (3x3: 0.24 %), with radii 0, 1, 2 by 1.2 %.

    Parameters
    ----------
    kernel_size : int
        Odd, px.
    order : int
        Rotation order; a ring of radius 0 has order 0 alone and is left out of others.
    radii : sequence of float or None
        Radii of the rings, px. None: 0, 0.75, 1.5 ... one ring a pixel of half the kernel.
    ring_width : float
        Standard deviation of the Gaussian, px.

    Returns
    -------
    ndarray (kernel_size, kernel_size, rings)
        Complex, each of unit energy; angles run counter-clockwise as seen on screen.
    """
    half = (kernel_size - 1) / 2
    radii = default_radii(kernel_size) if radii is None else radii
    y, x = np.mgrid[half : -half - 1 : -1, -half : half + 1][..., None]
    angle = 2 * np.pi * (np.arange(256) + 0.5) / 256
    rings = []
    for radius in radii:
        if order and not radius:
            continue
        distance2 = (x - radius * np.cos(angle)) ** 2 + (y - radius * np.sin(angle)) ** 2
        ring = (np.exp(-distance2 / (2 * ring_width**2)) * np.exp(1j * order * angle)).sum(-1)
        rings.append(ring / np.linalg.norm(ring))
    return np.stack(rings, -1) if rings else np.zeros((kernel_size, kernel_size, 0), complex)


def default_radii(kernel_size: int) -> tuple[float, ...]:
    """Radii of the rings of a filter, px: 0, 0.75, 1.5 ..., one a pixel of half the kernel."""
    return tuple(0.75 * ring for ring in range(kernel_size // 2 + 1))


@keras.saving.register_keras_serializable(package="studykit")
class HarmonicConv2D(keras.layers.Layer):
    """Harmonic convolution of orders 0 and 1, stride 1, zero padding, no bias.

    The same function is computed in one of several ways (equal to rounding; see `MODES`):

    - "dense": one real convolution with the synthesised kernel; the plain reference, 4 times the multiply-adds of an
      ordinary convolution with as many real maps as this one has complex ones.
    - "gauss": complex product by three real convolutions, 3 times.
    - "factored": the fixed rings as depthwise convolutions, then 1x1 convolutions with the learnt numbers; 0.7 times
      (3x3). The fastest for wide layers.
    - "factored_last": 1x1 convolutions first, then the rings, 0.9 times; touches less memory where layers are narrow
      or have more maps in than out. Enlarging by `up_sampling` comes between the two: the 1x1 convolutions see the
      few pixels.
    - "auto": "factored_last" below 128 maps out and wherever maps are enlarged, otherwise "factored"; "dense" for a
      real input or a 1x1 filter.

    Parameters
    ----------
    filters : int
        Maps of each order that come out.
    kernel_size : int
        Odd, px.
    real_input : bool
        True: the input is an image of real maps (order 0); otherwise 4 n channels as the module says.
    up_sampling : int
        The input is enlarged so many times along both axes first, by repeating pixels.
    radii, ring_width
        See `ring_filters`.
    mode : str
        One of "auto" and `MODES`.

    Raises
    ------
    ValueError
        If the filter is not of odd size, the mode unknown, or the input's channels are no multiple of 4.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        real_input: bool = False,
        up_sampling: int = 1,
        radii: Sequence[float] | None = None,
        ring_width: float = 0.5,
        mode: str = "auto",
        **kwargs: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(**kwargs)
        if kernel_size % 2 != 1:
            raise ValueError(f"{self.name}: expected an odd kernel_size, got {kernel_size}; rings need a centre pixel")
        if mode not in ("auto", *MODES):
            raise ValueError(f"{self.name}: expected mode one of {('auto', *MODES)}, got {mode!r}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.real_input = real_input
        self.up_sampling = up_sampling
        self.radii = default_radii(kernel_size) if radii is None else tuple(float(r) for r in radii)
        self.ring_width = ring_width
        self.mode = mode

    def build(self, input_shape: tuple) -> None:
        """Radial profiles (order in, maps in, rings, maps out) and phases; rings that keep the order stand first."""
        channels = input_shape[-1]
        if not self.real_input and channels % 4:
            raise ValueError(f"{self.name}: expected 4 n channels (see the module), got {channels}; or real_input=True")
        maps = channels if self.real_input else channels // 4
        round_ = ring_filters(self.kernel_size, 0, self.radii, self.ring_width).real
        turning = ring_filters(self.kernel_size, 1, self.radii, self.ring_width)
        self.rings = {"round": round_, "cosine": turning.real, "sine": turning.imag}
        orders, keep, step = 1 if self.real_input else 2, round_.shape[-1], turning.shape[-1]
        # He initialization of unit-energy rings (Weiler et al. 2018, CVPR)
        self.radial = self.add_weight(
            shape=(orders, maps, keep + step, self.filters),
            initializer=keras.initializers.RandomNormal(stddev=math.sqrt(2 / (maps * (keep + (orders - 1) * step)))),
            name="radial",
        )
        self.phase = self.add_weight(
            shape=(orders, maps, 2 if step else 1, self.filters),
            initializer=keras.initializers.RandomUniform(0, 2 * math.pi),
            name="phase",
        )

    def computed_as(self) -> str:
        """The mode in use: the given one, or the choice of "auto"."""
        if self.real_input or self.kernel_size == 1:
            return "dense"
        if self.mode != "auto":
            return self.mode
        return "factored" if self.filters >= 128 and self.up_sampling == 1 else "factored_last"

    def multiply_adds(self) -> int:
        """Multiplications with an addition a pixel out, in the mode in use; making the kernels does not count."""
        square, maps = self.kernel_size**2, self.radial.shape[1]
        keep, step = (self.rings[kind].shape[-1] for kind in ("round", "cosine"))
        return {
            "dense": 4 * square * self.filters * (maps if self.real_input else 4 * maps),
            "gauss": 12 * square * self.filters * maps,
            "factored": 4 * maps * (square * (keep + 2 * step) + 2 * self.filters * (keep + step)),
            "factored_last": 4 * self.filters * (square + 2 * maps / self.up_sampling**2) * (keep + 2 * step),
        }[self.computed_as()]

    def call(self, x: keras.KerasTensor) -> Any:
        """(batch, height, width, channels) to (batch, height, width, 4 filters), height and width enlarged."""
        mode = self.computed_as()
        return getattr(self, "_" + mode)(x if mode == "factored_last" else self._enlarge(x))

    def _enlarge(self, x):
        if self.up_sampling == 1:
            return x
        return ops.repeat(ops.repeat(x, self.up_sampling, 1), self.up_sampling, 2)

    def _matrices(self):
        """R e^{i beta} of each ring as the real matrix of a product, parts being real and imaginary.

        Of the rings that keep the order, and of those that step to the other; each (order in, parts in, maps in, rings,
        parts out, maps out).
        """
        matrices = []
        radial = ops.split(ops.convert_to_tensor(self.radial), [self.rings["round"].shape[-1]], 2)
        phase = ops.split(ops.convert_to_tensor(self.phase), [1], 2)
        for r, beta in zip(radial, phase, strict=True):
            real, imaginary = r * ops.cos(beta), r * ops.sin(beta)
            rows = ops.stack([real, imaginary], 3), ops.stack([-imaginary, real], 3)
            matrices.append(ops.stack(rows, 1))
        return matrices

    def _terms(self):
        """As `_matrices`, with rings of cosines and of sines apart: e^{+-i phi} = cos phi +- i sin phi."""
        same, step = self._matrices()
        signs = np.array([[1, -1], [-1, 1]])[: step.shape[0], :, None, None, None, None]  # of +-i
        turned = ops.flip(step, 1) * ops.convert_to_tensor(signs, dtype=step.dtype)
        return same, ops.concatenate([step, turned], 3)

    def _kernel(self):
        """All filters as one real kernel, (height, width, channels in, channels out)."""
        kinds = [self.rings["round"], np.concatenate([self.rings["cosine"], self.rings["sine"]], -1)]
        same, step = (
            ops.einsum("yxt,spmtcf->syxpmcf", ops.convert_to_tensor(rings, dtype=matrices.dtype), matrices)
            for rings, matrices in zip(kinds, self._terms(), strict=True)
        )
        rows = [
            ops.concatenate([step[source], same[source]] if source else [same[source], step[source]], -2)
            for source in range(same.shape[0])
        ]
        if self.real_input:
            rows = [rows[0][:, :, :1]]
        return ops.reshape(ops.stack(rows, 2), (self.kernel_size, self.kernel_size, -1, 4 * self.filters))

    def _dense(self, x):
        return ops.conv(x, self._kernel(), padding="same")

    def _gauss(self, x):
        # (xr + i xi)(kr + i ki): with t = (xr + xi) kr, real = t - xi (kr + ki), imaginary = t + xr (ki - kr)
        maps = x.shape[-1] // 4
        kernel = ops.reshape(self._kernel(), (self.kernel_size, self.kernel_size, 2, 2, maps, 2, 2, self.filters))
        real, imaginary = (
            ops.reshape(kernel[:, :, :, 0, :, :, part], (self.kernel_size, self.kernel_size, 2 * maps, -1))
            for part in (0, 1)
        )
        x0r, x0i, x1r, x1i = ops.split(x, 4, -1)
        xr, xi = ops.concatenate([x0r, x1r], -1), ops.concatenate([x0i, x1i], -1)
        t = ops.conv(xr + xi, real, padding="same")
        y0r, y1r = ops.split(t - ops.conv(xi, real + imaginary, padding="same"), 2, -1)
        y0i, y1i = ops.split(t + ops.conv(xr, imaginary - real, padding="same"), 2, -1)
        return ops.concatenate([y0r, y0i, y1r, y1i], -1)

    def _ring_convolutions(self, x, kind, signs=None):
        """x filtered by each ring of a kind, one depthwise convolution a ring (several at once are slower)."""
        signs = np.ones(x.shape[-1]) if signs is None else signs
        filters = self.rings[kind][:, :, :, None, None] * signs[:, None]  # (height, width, rings, channels, 1)
        return [
            ops.depthwise_conv(x, ops.convert_to_tensor(filters[:, :, ring], dtype=x.dtype), padding="same")
            for ring in range(filters.shape[2])
        ]

    def _factored(self, x):
        maps = x.shape[-1] // 4
        # i x for the step from order 0 up (ring cos + i sin), -i x for the step from order 1 down (ring cos - i sin)
        x0r, x0i, x1r, x1i = ops.split(x, 4, -1)
        swapped = ops.concatenate([x0i, x0r, x1i, x1r], -1)
        signs = np.repeat([-1.0, 1.0, 1.0, -1.0], maps)
        turned = zip(self._ring_convolutions(x, "cosine"), self._ring_convolutions(swapped, "sine", signs), strict=True)
        same = [ops.split(ring, 2, -1) for ring in self._ring_convolutions(x, "round")]
        step = [ops.split(cosine + sine, 2, -1) for cosine, sine in turned]
        size = 2, 2 * maps, 2 * self.filters
        kernels = [
            ops.unstack(ops.reshape(ring, size)) for kind in self._matrices() for ring in ops.unstack(kind, axis=3)
        ]
        out = []
        for target in (0, 1):
            features = [ring[target] for ring in same] + [ring[1 - target] for ring in step]
            kernel = [ring[target if n < len(same) else 1 - target] for n, ring in enumerate(kernels)]
            kernel = ops.concatenate(kernel, 0)[None, None]
            out.append(ops.conv(ops.concatenate(features, -1), kernel, padding="same"))
        return ops.concatenate(out, -1)

    def _factored_last(self, x):
        rings = np.concatenate([self.rings[kind] for kind in ("round", "cosine", "sine")], -1)
        terms, keep = rings.shape[-1], self.rings["round"].shape[-1]
        size = 2, x.shape[-1] // 2, terms * 2 * self.filters
        kernels = ops.unstack(ops.reshape(ops.concatenate(self._terms(), 3), size))
        out = [[], []]
        for source, (part, kernel) in enumerate(zip(ops.split(x, 2, -1), kernels, strict=True)):
            mixed = self._enlarge(ops.conv(part, kernel[None, None], padding="same"))
            for term, maps in enumerate(ops.split(mixed, terms, -1)):
                ring = np.tile(rings[:, :, term, None, None], (2 * self.filters, 1))
                maps = ops.depthwise_conv(maps, ops.convert_to_tensor(ring, dtype=x.dtype), padding="same")
                out[source if term < keep else 1 - source].append(maps)
        return ops.concatenate([sum(terms[1:], terms[0]) for terms in out], -1)

    def compute_output_shape(self, input_shape: tuple) -> tuple | list:
        """Height and width of the enlarged input, 4 filters channels."""
        batch, *size, _ = input_shape
        return (batch, *(length and length * self.up_sampling for length in size), 4 * self.filters)
