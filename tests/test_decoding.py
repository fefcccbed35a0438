"""Heat maps of keypoints, and keypoints from heat maps."""

import numpy as np
import pytest

from studykit.pose.codecs import coordinates, heatmaps
from studykit.pose.codecs.heatmaps import decode, merge_flipped
from studykit.skeletons import SKELETONS, flip_order

LSP = SKELETONS["lsp14"].keypoints


def people(count, width, height, seed=0, known=2):
    """Random keypoints anywhere in an image, its edges included."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-0.5, width - 0.5, (count, 14)), rng.uniform(-0.5, height - 0.5, (count, 14))
    return np.stack([x, y, np.full_like(x, known)], axis=-1)


def encode(points, width, height, **options):
    return np.stack([heatmaps.encode(one, height, width, **options) for one in points])


@pytest.mark.parametrize("width, height, sigma", [(192, 256, 8.0), (96, 128, 6.0), (96, 96, 4.0)])
def test_sub_pixel_decoding_is_exact_on_truth(width, height, sigma):
    points = people(50, width, height)
    found = decode(encode(points, width, height, sigma_px=sigma))
    distance = np.linalg.norm(found[..., :2] - points[..., :2], axis=-1)
    assert distance.max() < 0.01  # the bar is 0.25 px; the logarithm of a Gaussian is a parabola, at the edges too


@pytest.mark.parametrize("method, cells", [("cell", 0.5), ("quarter", 0.25)])
def test_coarser_decoding_errs_by_its_share_of_a_cell(method, cells):
    points = people(200, 192, 256)
    points[..., :2] = points[..., :2].clip(8, 180)  # a quarter step needs both neighbours
    found = decode(encode(points, 192, 256), method=method)
    off = np.abs(found[..., :2] - points[..., :2]).max()
    assert 0.9 * 4 * cells < off <= 4 * cells + 1e-3


def test_confidence_is_the_height_of_the_peak():
    maps = 0.7 * encode(people(2, 96, 96), 96, 96, sigma_px=20.0)
    np.testing.assert_allclose(decode(maps)[..., 2], maps.max(axis=(1, 2)))


def test_an_empty_map_gives_a_point_in_the_image_of_no_confidence():
    found = decode(np.zeros((1, 8, 6, 2)))
    assert np.isfinite(found).all() and (found[..., 2] == 0).all()


def test_target_is_one_at_the_keypoint_and_falls_with_sigma():
    points = np.array([[9.5, 17.5, 2], [9.5, 17.5, 0]])  # centre of the cell in row 4, column 2
    maps = heatmaps.encode(points, 64, 32, sigma_px=8.0)
    assert maps.shape == (16, 8, 2) and maps[4, 2, 0] == 1
    np.testing.assert_allclose(maps[4, 4, 0], np.exp(-0.5), rtol=1e-6)  # two cells of 4 px are one sigma
    np.testing.assert_allclose(maps[6, 4, 0], np.exp(-1), rtol=1e-6)
    assert np.isnan(maps[..., 1]).all()  # unknown: no target at all


def test_flip_test_on_truth_changes_nothing():
    points = people(4, 96, 128)
    mirrored = points[:, flip_order(LSP)] * [-1, 1, 1] + [95, 0, 0]
    maps = encode(points, 96, 128)
    merged = merge_flipped(maps, encode(mirrored, 96, 128), flip_order(LSP))
    np.testing.assert_allclose(merged, maps, atol=1e-6)


def test_what_cannot_be_decoded_is_told():
    with pytest.raises(ValueError, match="method: expected one of cell, quarter, parabola, got 'dark'"):
        decode(np.zeros((1, 8, 6, 2)), method="dark")
    with pytest.raises(ValueError, match=r"without NaN, got \(1, 8, 6, 2\)"):
        decode(np.full((1, 8, 6, 2), np.nan))


def test_coordinates_come_back_and_so_do_those_of_the_mirror_image():
    points = people(3, 96, 128).astype(np.float32)
    shares = np.stack([coordinates.encode(one, 128, 96) for one in points])
    np.testing.assert_allclose(coordinates.decode(shares, 128, 96), points * [1, 1, 0.5], atol=1e-4)
    mirrored = points[:, flip_order(LSP)] * [-1, 1, 1] + [95, 0, 0]
    flipped = np.stack([coordinates.encode(one, 128, 96) for one in mirrored])
    merged = coordinates.merge_flipped(shares, flipped, flip_order(LSP))
    np.testing.assert_allclose(merged.reshape(3, -1), shares, atol=1e-6)
    assert np.isnan(coordinates.encode(points[0] * [1, 1, 0], 128, 96)).all()  # unknown: no target at all
