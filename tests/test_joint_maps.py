"""Joint maps of paper 003 against the recipe in its text, done with SciPy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from studykit.pose.codecs.joint_maps import JOINTS, any_joints, decode, encode

POINTS = np.array([[5, 7, 2], [8, 8, 1], [20, 3, 2], [0, 15, 2], [11, 11, 0]], np.float32)  # two near ones, a corner
SIZE = 16, 24


def published(points):
    """Section II-D3: ones at joint pixels, a Gaussian filter of sigma 1, normalised between 0 and 1; a map a joint."""
    maps = np.zeros((*SIZE, len(points)))
    for k, (x, y, known) in enumerate(points):
        if known:
            wide = np.zeros((SIZE[0] + 40, SIZE[1] + 40))
            wide[int(y) + 20, int(x) + 20] = 1
            maps[..., k] = gaussian_filter(wide, 1, truncate=10)[20:-20, 20:-20]
    return maps / maps.max()


def test_regression_is_the_published_map_from_0_to_100():
    found = encode(POINTS, *SIZE, "regression")
    assert list(found) == ["joint_map"]
    np.testing.assert_allclose(found["joint_map"][..., 0], 100 * published(POINTS).max(-1), atol=1e-3)


def test_softmax_labels_the_nearest_joint_where_the_gaussian_exceeds_a_hundredth():
    labels = encode(POINTS, *SIZE, "softmax")["joints"]
    assert labels.shape == (*SIZE, 6)
    np.testing.assert_array_equal(labels.sum(-1), 1)
    np.testing.assert_array_equal(labels[..., 0] == 0, published(POINTS).max(-1) > 0.01)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(x[..., None] - POINTS[:4, 0], y[..., None] - POINTS[:4, 1])
    at = labels[..., 0] == 0
    chosen = np.take_along_axis(distance[at], labels[at, 1:5].argmax(-1)[:, None], -1)[:, 0]
    np.testing.assert_allclose(chosen, distance[at].min(-1))
    assert not labels[..., 5].any()  # an unknown joint is not painted


def test_regression_softmax_puts_the_gaussian_in_place_of_the_one():
    ones, values = (encode(POINTS, *SIZE, name)["joints"] for name in ("softmax", "regression_softmax"))
    np.testing.assert_array_equal(values > 0, ones > 0)
    np.testing.assert_array_equal(values[..., 0], ones[..., 0])
    joints = ones[..., 1:].any(-1)
    np.testing.assert_allclose(values[joints].max(-1), published(POINTS).max(-1)[joints], atol=1e-5)


def test_triple_is_regression_and_softmax():
    found = encode(POINTS, *SIZE, "triple")
    np.testing.assert_array_equal(found["joint_map"], encode(POINTS, *SIZE, "regression")["joint_map"])
    np.testing.assert_array_equal(found["joints"], encode(POINTS, *SIZE, "softmax")["joints"])
    assert encode(POINTS, *SIZE, "none") == {}


def test_joints_are_read_where_they_were_painted():
    maps = encode(POINTS, *SIZE, "regression_softmax")["joints"][None]
    found = decode(maps)
    assert found.shape == (1, 5, 3)
    np.testing.assert_array_equal(found[0, :4, :2], POINTS[:4, :2])
    np.testing.assert_allclose(found[0, :4, 2], 1)
    assert found[0, 4, 2] == 0


def test_peaks_are_the_painted_joints():
    joint_map = encode(POINTS, *SIZE, "regression")["joint_map"][..., 0]
    assert {tuple(p) for p in any_joints(joint_map, 10.0)} == {tuple(p) for p in POINTS[:4, :2]}
    assert any_joints(np.zeros(SIZE), 10.0).shape == (0, 2)


@pytest.mark.parametrize("joints", [name for name in JOINTS if name != "none"])
def test_a_joint_between_pixels_or_outside_does_no_harm(joints):
    points = np.array([[2.5, 3.25, 2], [-30, 100, 0], [23.4, 15.4, 1]], np.float32)
    for maps in encode(points, *SIZE, joints).values():
        assert maps.dtype == np.float32 and np.isfinite(maps).all()


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match=r"joints: expected one of none, regression, .*, got 'soft'"):
        encode(POINTS, *SIZE, "soft")
