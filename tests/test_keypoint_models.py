"""The networks of papers 001 and 004: every row of the published table, counts of parameters, shapes, refusals."""

import keras
import numpy as np
import pytest

from studykit.models.cost import layer_table
from studykit.models.hourglass import hourglass
from studykit.models.regression_cnn import regression_cnn
from studykit.models.simple_baseline import simple_baseline
from studykit.models.vit import vit

# Paper 004, Table 01, layer by layer: output (channels, height, width) or units, and trainable parameters.
TABLE_01 = [
    ("Conv2D", (64, 224, 224), 1_792),
    ("BatchNormalization", (64, 224, 224), 128),
    ("ReLU", (64, 224, 224), 0),
    ("Conv2D", (64, 224, 224), 36_928),
    ("BatchNormalization", (64, 224, 224), 128),
    ("ReLU", (64, 224, 224), 0),
    ("MaxPooling2D", (64, 112, 112), 0),
    ("Conv2D", (128, 112, 112), 73_856),
    ("BatchNormalization", (128, 112, 112), 256),
    ("ReLU", (128, 112, 112), 0),
    ("Conv2D", (128, 112, 112), 147_584),
    ("BatchNormalization", (128, 112, 112), 256),
    ("ReLU", (128, 112, 112), 0),
    ("MaxPooling2D", (128, 56, 56), 0),
    ("Conv2D", (256, 56, 56), 295_168),
    ("BatchNormalization", (256, 56, 56), 512),
    ("ReLU", (256, 56, 56), 0),
    ("Conv2D", (256, 56, 56), 590_080),
    ("BatchNormalization", (256, 56, 56), 512),
    ("ReLU", (256, 56, 56), 0),
    ("Conv2D", (256, 56, 56), 590_080),
    ("BatchNormalization", (256, 56, 56), 512),
    ("ReLU", (256, 56, 56), 0),
    ("MaxPooling2D", (256, 28, 28), 0),
    ("Conv2D", (512, 28, 28), 1_180_160),
    ("BatchNormalization", (512, 28, 28), 1_024),
    ("ReLU", (512, 28, 28), 0),
    ("Conv2D", (512, 28, 28), 2_359_808),
    ("BatchNormalization", (512, 28, 28), 1_024),
    ("ReLU", (512, 28, 28), 0),
    ("Conv2D", (512, 28, 28), 2_359_808),
    ("BatchNormalization", (512, 28, 28), 1_024),
    ("ReLU", (512, 28, 28), 0),
    ("MaxPooling2D", (512, 14, 14), 0),
    ("Conv2D", (512, 14, 14), 2_359_808),
    ("BatchNormalization", (512, 14, 14), 1_024),
    ("ReLU", (512, 14, 14), 0),
    ("Conv2D", (512, 14, 14), 2_359_808),
    ("BatchNormalization", (512, 14, 14), 1_024),
    ("ReLU", (512, 14, 14), 0),
    ("Conv2D", (512, 14, 14), 2_359_808),
    ("BatchNormalization", (512, 14, 14), 1_024),
    ("ReLU", (512, 14, 14), 0),
    ("MaxPooling2D", (512, 7, 7), 0),
    ("Dropout", (25_088,), 0),
    ("Dense", (512,), 12_845_568),
    ("ReLU", (512,), 0),
    ("Dense", (28,), 14_364),
]


def trainable(layer):
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)


@pytest.fixture(scope="module")
def table_network():
    return regression_cnn()


@pytest.mark.parametrize("row", range(len(TABLE_01)))
def test_regression_cnn_has_the_layer_of_table_01(table_network, row):
    beside = ("InputLayer", "Rescaling", "Flatten")  # what PyTorch does outside the network
    layer = [layer for layer in table_network.layers if type(layer).__name__ not in beside][row]
    kind, shape, parameters = TABLE_01[row]
    out = layer.output.shape[1:]
    assert (type(layer).__name__, (*out[2:], *out[:2]), trainable(layer)) == (kind, shape, parameters)


def test_regression_cnn_has_the_published_number_of_parameters(table_network):
    assert sum(trainable(layer) for layer in table_network.layers) == 27_583_068  # paper 004, Table 01
    assert len(table_network.get_layer("conv3_3").trainable_weights) == 2


def test_regression_cnn_has_no_rows_beyond_table_01(table_network):
    beside = ("InputLayer", "Rescaling", "Flatten")
    assert len([1 for layer in table_network.layers if type(layer).__name__ not in beside]) == len(TABLE_01)


def test_simple_baseline_has_the_published_number_of_parameters():
    # Xiao et al. 2018, github.com/microsoft/human-pose-estimation.pytorch, README: 34.0 M for ResNet-50.
    network = simple_baseline(17, "resnet50")
    count = sum(trainable(layer) for layer in network.layers)
    # Keras's ResNets carry a bias before each normalisation, which adds under 0.2 %.
    assert count / 1e6 == pytest.approx(34.0, rel=0.005)
    assert network.output["heatmaps"].shape == (None, 64, 48, 17)


def test_simple_baseline_deconvolutions_are_those_of_the_paper():
    # Xiao et al. 2018, section 2: three 4x4 deconvolutions, stride 2, 256 filters, batch norm, ReLU; 1x1 head.
    network = simple_baseline(17, "resnet18")
    for n, channels in ((1, 512), (2, 256), (3, 256)):
        layer = network.get_layer(f"deconv{n}")
        assert layer.kernel.shape == (4, 4, 256, channels) and layer.strides == (2, 2)
        assert isinstance(network.get_layer(f"deconv{n}_bn"), keras.layers.BatchNormalization)
    assert network.get_layer("heatmaps").kernel.shape == (1, 1, 256, 17)


NETWORKS = {
    "simple_baseline": lambda: simple_baseline(
        5, "resnet18", width=4, deconvolutions=(4, 4, 4), input_shape=(64, 96, 3)
    ),
    "skips": lambda: simple_baseline(
        5, "resnet18", width=4, deconvolutions=(4, 4, 4), skip=True, input_shape=(64, 96, 3)
    ),
    "hourglass": lambda: hourglass(5, stacks=2, width=8, depth=2, input_shape=(64, 96, 3)),
    "vit": lambda: vit(5, patch=8, width=8, depth=1, heads=2, deconvolution=4, input_shape=(64, 96, 3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_have_stride_four(name):
    network = NETWORKS[name]()
    assert {tuple(value.shape) for value in network.output.values()} == {(None, 16, 24, 5)}
    assert len(network.output) == (2 if name == "hourglass" else 1)  # intermediate supervision


def test_positions_survive_saving(tmp_path):
    network = NETWORKS["vit"]()
    picture = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(again(picture)["heatmaps"], network(picture)["heatmaps"], atol=1e-6)


def test_hourglass_has_about_the_published_number_of_parameters():
    # Sun et al. 2019 (HRNet), table 1: the hourglass of 8 stacks has 25.1 M parameters; all stacks but the last alike.
    one, two = (hourglass(16, stacks=n).count_params() for n in (1, 2))
    assert (one + 7 * (two - one)) / 1e6 == pytest.approx(25.1, rel=0.05)


def test_vit_has_the_published_number_of_parameters():
    # ViT-S/16: 22.05 M with class token and a classifier of 1000 classes at 224 px (Touvron et al. 2021, table 1: 22M).
    network = vit(input_shape=(224, 224, 3))
    head = ("deconv1", "deconv1_bn", "deconv2", "deconv2_bn", "heatmaps")
    encoder = sum(trainable(layer) for layer in network.layers if layer.name not in head)
    assert encoder == 22_050_664 - 2 * 384 - 1000 * 385  # without class token, its position, and the classifier


def test_wrong_sizes_are_told():
    with pytest.raises(ValueError, match=r"at least 32 px, got \(224, 16\); enlarge the crops"):
        regression_cnn(input_shape=(224, 16, 3))
    with pytest.raises(ValueError, match=r"sides are multiples of 64, got 256 and \(256, 200\)"):
        hourglass(input_shape=(256, 200, 3))
    with pytest.raises(ValueError, match=r"expected a patch of 8, 16 or 32 px that divides"):
        vit(input_shape=(256, 200, 3))


def test_layer_table_prints_table_01(table_network):
    table = layer_table(table_network)
    assert table.parameters.sum() == 27_583_068
    row = table.set_index("layer").loc["conv5_3"]
    assert (row.kind, row.output, row.parameters) == ("Conv2D", "512 x 14 x 14", 2_359_808)
