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

import keras
import numpy as np
from keras import ops

MODES = ("dense", "gauss", "factored", "factored_last")


def ring_filters(kernel_size, order, radii=None, ring_width=0.5):
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


def default_radii(kernel_size):
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
      or have more maps in than out.
    - "auto": "factored_last" below 128 maps out, "factored" from there on, "dense" for a real input or a 1x1 filter.

    Parameters
    ----------
    filters : int
        Maps of each order that come out.
    kernel_size : int
        Odd, px.
    real_input : bool
        True: the input is an image of real maps (order 0); otherwise 4 n channels as the module says.
    radii, ring_width
        See `ring_filters`.
    mode : str
        One of "auto" and `MODES`.

    Raises
    ------
    ValueError
        If the filter is not of odd size, the mode unknown, or the input's channels are no multiple of 4.
    """

    def __init__(self, filters, kernel_size=3, *, real_input=False, radii=None, ring_width=0.5, mode="auto", **kwargs):
        """Keep the arguments."""
        super().__init__(**kwargs)
        if kernel_size % 2 != 1:
            raise ValueError(f"{self.name}: expected an odd kernel_size, got {kernel_size}; rings need a centre pixel")
        if mode not in ("auto", *MODES):
            raise ValueError(f"{self.name}: expected mode one of {('auto', *MODES)}, got {mode!r}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.real_input = real_input
        self.radii = default_radii(kernel_size) if radii is None else tuple(float(r) for r in radii)
        self.ring_width = ring_width
        self.mode = mode

    def build(self, input_shape):
        """Radial profiles and phases, (order in, rings, maps in, maps out); of filters that keep the order, or step."""
        channels = input_shape[-1]
        if not self.real_input and channels % 4:
            raise ValueError(f"{self.name}: expected 4 n channels (see the module), got {channels}; or real_input=True")
        maps = channels if self.real_input else channels // 4
        round_ = ring_filters(self.kernel_size, 0, self.radii, self.ring_width).real
        turning = ring_filters(self.kernel_size, 1, self.radii, self.ring_width)
        self.rings = {"round": round_, "cosine": turning.real, "sine": turning.imag}
        orders = 1 if self.real_input else 2
        # He initialization of unit-energy rings (Weiler et al. 2018, CVPR)
        fan_in = maps * (round_.shape[-1] + (orders - 1) * turning.shape[-1])
        self.radial, self.phase = {}, {}
        for kind, rings in (("same", round_.shape[-1]), ("step", turning.shape[-1])):
            if rings:
                self.radial[kind] = self.add_weight(
                    shape=(orders, rings, maps, self.filters),
                    initializer=keras.initializers.RandomNormal(stddev=math.sqrt(2 / fan_in)),
                    name=f"radial_{kind}",
                )
                self.phase[kind] = self.add_weight(
                    shape=(orders, 1, maps, self.filters),
                    initializer=keras.initializers.RandomUniform(0, 2 * math.pi),
                    name=f"phase_{kind}",
                )

    def computed_as(self):
        """The mode in use: the given one, or the choice of "auto"."""
        if self.real_input or self.kernel_size == 1:
            return "dense"
        if self.mode != "auto":
            return self.mode
        return "factored" if self.filters >= 128 else "factored_last"

    def multiply_adds(self):
        """Multiplications with an addition a pixel, in the mode in use; making the kernels does not count."""
        square, maps = self.kernel_size**2, self.radial["same"].shape[2]
        keep, step = (self.rings[kind].shape[-1] for kind in ("round", "cosine"))
        return {
            "dense": 4 * square * self.filters * (maps if self.real_input else 4 * maps),
            "gauss": 12 * square * self.filters * maps,
            "factored": 4 * maps * (square * (keep + 2 * step) + 2 * self.filters * (keep + step)),
            "factored_last": 4 * self.filters * (square + 2 * maps) * (keep + 2 * step),
        }[self.computed_as()]

    def call(self, x):
        """(batch, height, width, channels) to (batch, height, width, 4 filters)."""
        return getattr(self, "_" + self.computed_as())(x)

    def _coefficients(self):
        """R cos(beta) and R sin(beta), (rings, maps in, maps out) each, by (order in, order out)."""
        coefficients = {}
        for kind in self.radial:
            radial, phase = ops.convert_to_tensor(self.radial[kind]), ops.convert_to_tensor(self.phase[kind])
            parts = ops.unstack(radial * ops.cos(phase)), ops.unstack(radial * ops.sin(phase))
            for source, pair in enumerate(zip(*parts, strict=True)):
                coefficients[source, source if kind == "same" else 1 - source] = pair
        return coefficients

    def _complex_kernel(self, source, target, a, b):
        """Real and imaginary part of a filter, each (height, width, maps in, maps out), from its coefficients."""
        round_, cosine, sine = (
            ops.convert_to_tensor(self.rings[k], dtype=a.dtype) for k in ("round", "cosine", "sine")
        )
        if source == target:
            return ops.tensordot(round_, a, 1), ops.tensordot(round_, b, 1)
        sign = target - source  # the order of the filter: e^{i phi} or e^{-i phi}
        return (
            ops.tensordot(cosine, a, 1) - sign * ops.tensordot(sine, b, 1),
            ops.tensordot(cosine, b, 1) + sign * ops.tensordot(sine, a, 1),
        )

    def _kernels(self):
        """Complex filters of all orders, {(source, target): (real, imaginary)}; zeros where no ring leads."""
        kernels = {orders: self._complex_kernel(*orders, *pair) for orders, pair in self._coefficients().items()}
        zero = ops.zeros_like(kernels[0, 0][0])
        sources = (0,) if self.real_input else (0, 1)
        return {(p, q): kernels.get((p, q), (zero, zero)) for p in sources for q in (0, 1)}

    def _dense(self, x):
        kernels = self._kernels()
        rows = []
        for source in (0,) if self.real_input else (0, 1):
            real_row = [part for target in (0, 1) for part in kernels[source, target]]
            rows.append(ops.concatenate(real_row, -1))
            if not self.real_input:
                turned = [part for target in (0, 1) for part in _times_i(kernels[source, target])]
                rows.append(ops.concatenate(turned, -1))
        return ops.conv(x, ops.concatenate(rows, 2), padding="same")

    def _gauss(self, x):
        # (xr + i xi)(kr + i ki): with t = (xr + xi) kr, real = t - xi (kr + ki), imaginary = t + xr (ki - kr)
        kernels = self._kernels()
        real, imaginary = (
            ops.concatenate([ops.concatenate([kernels[p, q][part] for q in (0, 1)], -1) for p in (0, 1)], 2)
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
        weights = {orders: self._pointwise(*pair) for orders, pair in self._coefficients().items()}
        out = []
        for target in (0, 1):
            features = [ring[target] for ring in same] + [ring[1 - target] for ring in step]
            weights_in = ops.concatenate([weights[target, target], weights[1 - target, target]], 2)
            out.append(ops.conv(ops.concatenate(features, -1), weights_in, padding="same"))
        return ops.concatenate(out, -1)

    def _pointwise(self, a, b):
        """1x1 kernel of a complex product, (1, 1, rings x real and imaginary in, real and imaginary out)."""
        block = ops.concatenate([ops.concatenate([a, b], -1), ops.concatenate([-b, a], -1)], 1)
        return ops.reshape(block, (1, 1, -1, 2 * self.filters))

    def _factored_last(self, x):
        coefficients = self._coefficients()
        out = [[], []]
        for source, part in enumerate(ops.split(x, 2, -1)):
            steps = [
                (target, *step)
                for target in (0, 1)
                for step in self._steps(target - source, *coefficients[source, target])
            ]
            rows = [ops.concatenate([p for *_, weight in steps for p in weight], -1)]
            rows.append(ops.concatenate([p for *_, weight in steps for p in _times_i(weight)], -1))
            mixed = ops.conv(part, ops.concatenate(rows, 0)[None, None], padding="same")
            for maps, (target, ring, _) in zip(ops.split(mixed, len(steps), -1), steps, strict=True):
                ring = ops.convert_to_tensor(np.tile(ring[..., None, None], (2 * self.filters, 1)), dtype=x.dtype)
                out[target].append(ops.depthwise_conv(maps, ring, padding="same"))
        return ops.concatenate([sum(terms[1:], terms[0]) for terms in out], -1)

    def _steps(self, order, a, b):
        """Real ring and complex weight, (maps in, maps out), of every term of a filter of the order."""
        for ring, weight in enumerate(zip(ops.unstack(a), ops.unstack(b), strict=True)):
            if order == 0:
                yield self.rings["round"][..., ring], weight
            else:
                yield self.rings["cosine"][..., ring], weight
                yield self.rings["sine"][..., ring], tuple(order * part for part in _times_i(weight))

    def compute_output_shape(self, input_shape):
        """Same height and width, 4 filters channels."""
        return (*input_shape[:-1], 4 * self.filters)

    def get_config(self):
        """Arguments of the layer."""
        names = ("filters", "kernel_size", "real_input", "radii", "ring_width", "mode")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _times_i(pair):
    """The product of i and a complex number given as (real, imaginary)."""
    real, imaginary = pair
    return -imaginary, real
