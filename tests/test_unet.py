"""U-Net of paper 003."""

import numpy as np
import pytest

from studykit.models.unet import unet


def test_parameters_are_those_of_the_published_network():
    # The author's code prints 31,033,500 with a second head of 26 joint channels, (64 + 1) * 26 = 1,690
    # (canaltinigne/Human-Pose-Estimation-Joint-Detection, Exp3-UNet-Mask-SoftmaxRegression.ipynb).
    assert unet().count_params() == 31_033_500 - 1_690


def test_takes_images_of_any_size_and_gives_probabilities(rng):
    model = unet(widths=(4, 8, 16))
    for size in ((16, 24), (32, 20)):
        mask = np.asarray(model(rng.random((2, *size, 3))))
        assert mask.shape == (2, *size, 2)
        np.testing.assert_allclose(mask.sum(-1), 1, rtol=1e-6)


def test_layers_are_named_by_what_they_are():
    names = {layer.name for layer in unet(widths=(4, 8, 16)).layers}
    assert {"down1_conv1", "down2_dropout", "bottom_conv2", "up2_upsample", "up1_concatenate", "mask"} <= names
    assert "down1_dropout" not in names


def test_refuses_a_size_that_does_not_halve():
    with pytest.raises(ValueError, match=r"expected height and width to be multiples of 16, got \(128, 100\)"):
        unet((128, 100, 3))


@pytest.fixture
def rng():
    return np.random.default_rng(0)
