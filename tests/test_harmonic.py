"""Harmonic convolutions turn with the image; every way to compute them is the same function."""

import importlib.util

import keras
import numpy as np
import pytest
from other_backend import predict_on
from scipy.ndimage import rotate

from studykit.models.complex_layers import ComplexConcatenate, ComplexDropout, ComplexReLU, Magnitude
from studykit.models.cost import multiply_adds
from studykit.models.harmonic import harmonic_unet
from studykit.models.harmonic_layers import MODES, HarmonicConv2D, ring_filters
from studykit.models.losses import SoftDice
from studykit.models.unet import unet


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(1)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def complex_maps(x):
    """Channels of a layer as complex maps of order 0 and of order 1."""
    x0r, x0i, x1r, x1i = np.split(np.asarray(x), 4, -1)
    return x0r + 1j * x0i, x1r + 1j * x1i


def quarter_turn(x):
    """Counter-clockwise."""
    return np.rot90(x, 1, (1, 2)).copy()


def difference(a, b):
    """Relative to the second."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def settle(model, x):
    """Give batch normalization the statistics of a batch (of networks built with momentum 0)."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(x, training=True)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(("kernel_size", "bound"), [(3, 0.004), (5, 0.003)])
def test_rings_answer_waves_of_every_direction_alike(order, kernel_size, bound):
    half = kernel_size // 2
    y, x = np.mgrid[half : -half - 1 : -1, -half : half + 1]
    direction = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    waves = np.exp(1j * (np.multiply.outer(np.cos(direction), x) + np.multiply.outer(np.sin(direction), y)))
    answer = (
        np.einsum("dyx,yxr->dr", waves, ring_filters(kernel_size, order)) * np.exp(-1j * order * direction)[:, None]
    )
    assert np.linalg.norm(answer - answer.mean(0)) < bound * np.linalg.norm(answer)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "dense"])
@pytest.mark.parametrize(("kernel_size", "filters"), [(3, 6), (5, 2), (1, 3)])
@pytest.mark.parametrize("up_sampling", [1, 2])
def test_every_mode_is_the_dense_one(rng, mode, kernel_size, filters, up_sampling):
    x = normal(rng, 2, 12, 9, 4 * 4)
    dense = HarmonicConv2D(filters, kernel_size, mode="dense")
    other = HarmonicConv2D(filters, kernel_size, up_sampling=up_sampling, mode=mode)
    expected = np.asarray(dense(keras.layers.UpSampling2D(up_sampling)(x)))
    other(x)
    other.set_weights(dense.get_weights())
    np.testing.assert_allclose(other(x), expected, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the graph that is counted is TensorFlow's")
@pytest.mark.parametrize("mode", MODES)
def test_multiply_adds_of_the_layers_are_those_of_the_graph(mode):
    import tensorflow as tf

    harmonic = [harmonic_unet(widths=(4, 8, 8), kernel_size=5, up_kernel_size=size, mode=mode) for size in (1, 5)]
    for model in (*harmonic, unet(widths=(4, 8, 8))):
        graph = tf.function(model).get_concrete_function(tf.TensorSpec((1, 32, 32, 3), tf.float32)).graph
        counted = 0
        for operation in graph.get_operations():
            if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
                height, width, channels, _ = operation.inputs[1].shape
                each = height * width * (channels if operation.type == "Conv2D" else 1)
                counted += np.prod(operation.outputs[0].shape) * each
        assert multiply_adds(model, (32, 32, 3)) == counted


def test_auto_chooses_by_width():
    assert HarmonicConv2D(8).computed_as() == "factored_last"
    assert HarmonicConv2D(128).computed_as() == "factored"
    assert HarmonicConv2D(128, up_sampling=2).computed_as() == "factored_last"
    assert HarmonicConv2D(128, real_input=True).computed_as() == "dense"


def test_maps_turn_with_their_own_phase(rng):
    x = normal(rng, 1, 12, 12, 3)
    first, second = HarmonicConv2D(4, real_input=True), HarmonicConv2D(5)
    before, after = (complex_maps(second(first(image))) for image in (x, quarter_turn(x)))
    np.testing.assert_allclose(after[0], quarter_turn(before[0]), atol=1e-5)
    np.testing.assert_allclose(after[1], 1j * quarter_turn(before[1]), atol=1e-5)


def test_network_turns_by_90_degrees_where_the_plain_one_does_not(rng):
    x = normal(rng, 2, 32, 32, 3)
    model = harmonic_unet(widths=(4, 8, 8), momentum=0.0)
    settle(model, x)
    features = keras.Model(model.input, model.get_layer("features").output)
    assert difference(features(quarter_turn(x)), quarter_turn(features(x))) < 1e-5
    np.testing.assert_allclose(model(quarter_turn(x)), quarter_turn(model(x)), atol=1e-5)

    plain = unet(widths=(4, 8, 8), batch_normalization=True)
    settle(plain, x)
    assert np.abs(plain(quarter_turn(x)) - quarter_turn(plain(x))).max() > 0.05


def blobs(size, angle, width_px=24.0):
    """A smooth image turned counter-clockwise by an angle, degrees: exact, not interpolated."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    turn = np.exp(1j * np.deg2rad(angle))
    place = 0.17 * size * np.sqrt(rng.random(40)) * np.exp(2j * np.pi * rng.random(40)) * turn
    image = sum(
        height * np.exp(-(np.abs(x - 1j * y - at) ** 2) / (2 * width_px**2))
        for height, at in zip(rng.standard_normal(40), place, strict=True)
    )
    return (image / image.std()).astype("float32")[None, ..., None]


def turn_error(model, layer, size=256, angle=30, width_px=24.0):
    """Relative change of a layer's maps that turning does not explain, and the mean change of the mask's probability.

    Inside a circle, since a turned square loses its corners.
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    inside = np.hypot(x, y) < 0.4 * size
    maps = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    straight, turned = ([np.asarray(part)[0] for part in maps(blobs(size, a, width_px))] for a in (0, angle))
    expected = [rotate(part, angle, reshape=False, order=3) for part in straight]
    return (
        difference(turned[0][inside], expected[0][inside]),
        np.abs(turned[1] - expected[1])[inside].mean(),
    )


def test_network_turns_by_30_degrees_where_the_plain_one_does_not():
    def network(levels):
        return harmonic_unet((None, None, 1), widths=(8,) * levels, kernel_size=5, momentum=0.0)

    features, _ = turn_error(network(5), "features")
    assert features < 0.01
    # With the batch's own statistics C-ReLU cuts many values off, and what is left is smooth on the coarsest grid only
    # if blobs are wide there: 24 px are 6 points of the third level's grid, but 1.5 of the fifth's; 48 px are again 6
    # of the fourth's.
    for levels, size, width_px, bound in ((3, 256, 24.0, 0.01), (5, 256, 24.0, 0.06), (4, 512, 48.0, 0.01)):
        model = network(levels)
        settle(model, blobs(size, 0, width_px))
        features, probability = turn_error(model, "features", size, width_px=width_px)
        assert features < bound
        assert probability < bound / 5

    plain = unet((None, None, 1), widths=(8,) * 3, kernel_size=5, batch_normalization=True)
    settle(plain, blobs(256, 0))
    features, probability = turn_error(plain, "up1_conv2_relu")
    assert features > 0.2
    assert probability > 0.02


def test_1x1_convolution_commutes_with_upsampling(rng):
    x = normal(rng, 2, 8, 8, 4 * 3)
    convolution, relu, up = HarmonicConv2D(2, 1), ComplexReLU(momentum=0.0), keras.layers.UpSampling2D(2)
    for training in (True, False):
        late = relu(convolution(up(x)), training=training)
        np.testing.assert_allclose(up(relu(convolution(x), training=training)), late, atol=1e-5)


def test_normalization_is_of_magnitudes(rng):
    x = normal(rng, 3, 8, 8, 4 * 2)
    layer = ComplexReLU(momentum=0.0)
    out = np.stack(complex_maps(layer(x, training=True)), -2)
    z = np.stack(complex_maps(x), -2)
    magnitude = np.abs(z)
    mean, variance = magnitude.mean((0, 1, 2)), magnitude.var((0, 1, 2))
    expected = np.maximum((magnitude - mean) / np.sqrt(variance + 1e-3), 0) * z / magnitude
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_allclose(layer(x), layer(x, training=True), atol=1e-5)


def test_bias_without_normalization(rng):
    # Worrall et al. 2017: C-ReLU_b(X e^{i theta}) = ReLU(X + b) e^{i theta}
    x = normal(rng, 1, 8, 8, 4)
    layer = ComplexReLU(batch_normalization=False)
    layer.build(x.shape)
    layer.set_weights([np.array([[-0.5], [0.2]])])
    for z, out, bias in zip(complex_maps(x), complex_maps(layer(x)), (-0.5, 0.2), strict=True):
        np.testing.assert_allclose(out, np.maximum(np.abs(z) + bias, 0) * z / np.abs(z), atol=1e-5)


def test_dropout_drops_whole_complex_numbers(rng):
    x = normal(rng, 2, 16, 16, 4 * 4)
    kept = np.asarray(ComplexDropout(0.3, seed=1)(x, training=True)) / x
    real0, imaginary0, real1, imaginary1 = np.split(kept, 4, -1)
    np.testing.assert_array_equal(real0 == 0, imaginary0 == 0)
    np.testing.assert_array_equal(real1 == 0, imaginary1 == 0)
    assert (kept == 0).mean() == pytest.approx(0.3, abs=0.04)
    np.testing.assert_allclose(kept[kept > 0], 1 / 0.7, rtol=1e-5)
    np.testing.assert_array_equal(ComplexDropout(0.3)(x), x)


def test_half_the_neurons_are_maps_of_each_order():
    # Paper 003, II-C2: 64 neurons become 32 maps of order 0 and 32 of order 1; 3x3 filters of two rings for equal
    # orders, one between them, and one phase a filter.
    layer = HarmonicConv2D(32)
    layer.build((None, None, None, 4 * 32))
    assert layer.count_params() == 2 * 32 * 32 * (2 + 1) + 2 * 32 * 32 * (1 + 1)
    model = harmonic_unet(widths=(64, 128))
    assert model.get_layer("down1_conv1").filters == 32
    assert model.get_layer("features").output.shape[-1] == 64


def test_saved_network_gives_the_same_output(rng, tmp_path):
    model = harmonic_unet((16, 16, 3), widths=(4, 8, 8), radii=(0, 1))
    x = normal(rng, 2, 16, 16, 3)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_backends_agree(rng, tmp_path, backend):
    if backend == keras.backend.backend() or importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed, or runs these tests")
    inputs = keras.Input((16, 16, 3))
    maps = HarmonicConv2D(3, real_input=True)(inputs)
    for mode in MODES:
        maps = ComplexReLU()(HarmonicConv2D(3, mode=mode)(maps))
    coarse = keras.layers.UpSampling2D(2)(keras.layers.AveragePooling2D(2)(maps))
    model = keras.Model(inputs, Magnitude()(ComplexConcatenate()([maps, coarse])))
    x = normal(rng, 2, 16, 16, 3)
    model(x, training=True)
    found = predict_on(backend, model, x, tmp_path)["output"]
    np.testing.assert_allclose(found, model(x), rtol=0, atol=1e-4)


def test_learns_a_mask(rng):
    y, x = np.mgrid[:16, :16]
    disc = (np.hypot(x - 6, y - 9) < 4.5).astype("float32")
    image = (disc[..., None] + 0.3 * normal(rng, 16, 16, 3))[None]
    target = np.stack([1 - disc, disc], -1)[None]
    model = harmonic_unet(widths=(4, 8), dropout=0.1)
    model.compile(keras.optimizers.Adam(0.03), SoftDice(), jit_compile=False)
    losses = [float(model.train_on_batch(image, target)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def test_refuses_even_filters_odd_widths_and_unknown_modes():
    with pytest.raises(ValueError, match="expected an odd kernel_size, got 2"):
        HarmonicConv2D(4, 2)
    with pytest.raises(ValueError, match=r"expected mode one of .*, got 'fast'"):
        HarmonicConv2D(4, mode="fast")
    with pytest.raises(ValueError, match=r"expected even widths, half for each order, got \(5, 8\)"):
        harmonic_unet(widths=(5, 8))
    with pytest.raises(ValueError, match="expected 4 n channels"):
        HarmonicConv2D(4).build((None, 8, 8, 3))
