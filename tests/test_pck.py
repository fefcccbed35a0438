"""Distances between detected and true keypoints: PCK, body lengths, squared errors."""

import numpy as np
import pytest

from studykit.pose.scores.pck import (
    best_to_worst,
    head_length_px,
    known_moments,
    mse_normalised,
    mse_units,
    pck,
    torso_distances,
    torso_length_px,
)
from studykit.skeletons import SKELETONS

LSP14 = SKELETONS["lsp14"].keypoints


def test_pck_counts_known_points_within_the_fraction():
    truth = np.zeros((2, 3, 3))
    truth[..., 2] = [[2, 1, 0], [2, 2, 2]]
    predicted = truth[..., :2] + np.array([[[3, 0], [0, 0], [99, 0]], [[5, 0], [np.nan, 0], [0, 4]]])
    table = pck(predicted, truth, [20, 20], 0.2, ["a", "b", "c"])
    assert table.keypoint.tolist() == ["a", "b", "c", "all"] and table.n.tolist() == [2, 2, 1, 5]
    np.testing.assert_allclose(table.pck, [0.5, 0.5, 1, 3 / 5])
    one = pck(predicted, truth, [20, np.nan], 0.2)
    assert one.n.tolist() == [1, 1, 0, 2] and np.isnan(one.pck[2]) and one.pck[3] == 1


def test_lengths_and_squared_error_in_units_of_the_image():
    points = np.zeros((2, 14, 3))
    points[..., 2] = 2
    points[:, LSP14.index("left_shoulder"), :2] = [3, 0]
    points[:, LSP14.index("right_hip"), :2] = [0, 4]
    points[:, LSP14.index("head_top"), :2] = [0, -6]
    points[1, LSP14.index("neck"), 2] = 0
    np.testing.assert_allclose(torso_length_px(points, LSP14), [5, 5])
    np.testing.assert_allclose(head_length_px(points, LSP14), [6, np.nan])
    assert mse_normalised(points + np.array([10, 0, 0]), points, (100, 200)) == pytest.approx(0.1**2 / 2)
    with pytest.raises(ValueError, match="expected a skeleton with head_top, got nose"):
        head_length_px(np.zeros((1, 2, 3)), ["nose", "neck"])


def test_ill_shapes_and_lengths_are_refused():
    truth = np.ones((2, 3, 3))
    with pytest.raises(ValueError, match=r"expected predictions \(N, K, 2 or 3\)"):
        pck(truth[:, :2], truth, [1, 1], 0.2)
    with pytest.raises(ValueError, match="expected a length above 0 px"):
        pck(truth, truth, [1, 0], 0.2)


def test_units_of_a_squared_error_follow_from_each_other():
    rng = np.random.default_rng(4)
    truth = np.concatenate([rng.uniform(0, 256, (20, 14, 2)), np.full((20, 14, 1), 2.0)], axis=-1)
    found = truth[..., :2] + rng.normal(0, 5, (20, 14, 2))
    mean_pose, spread = known_moments(truth)
    table = mse_units(found, truth, mean_pose, spread, 256).set_index("unit")
    share = table.loc["shares of the picture's sides, 0 to 1"]
    assert share.network == pytest.approx(mse_normalised(found, truth, (256, 256)))
    np.testing.assert_allclose(table.loc["px of a picture of 224 px, squared"], share * 224**2)
    np.testing.assert_allclose(table.loc["shares of half the sides, -1 to 1"], share * 4)
    # The mean pose of these very people errs by one standard deviation.
    assert table.mean_pose["standard deviations of each joint"] == pytest.approx(1)


def test_people_are_chosen_from_the_best_to_the_worst():
    truth = np.zeros((10, 2, 3))
    truth[:, :, 2] = 1
    truth[3, 1, 2] = 0
    truth[7, :, 2] = 0
    off = np.array([3.0, 1, 2, 5, 4, 9, 8, 0, 7, 6])
    found = truth[..., :2] + np.stack([off, np.zeros(10)], axis=-1)[:, None]
    chosen, mean_px = best_to_worst(found, truth, 4)
    assert chosen.tolist() == [1, 4, 8, 7]  # no joint of person 7 is known
    np.testing.assert_allclose(mean_px, [1, 4, 7, np.nan])
    assert best_to_worst(found[:2], truth[:2])[0].tolist() == [1, 0]


def test_distances_in_torso_lengths_are_what_pck_counts():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 100, (30, 14, 2)), rng.integers(0, 3, (30, 14, 1))], axis=-1)
    found = truth + np.append(rng.normal(0, 10, 2), 0.5)  # a confidence is no coordinate
    share = (torso_distances(found, truth, LSP14) <= 0.2).mean()
    assert share == pytest.approx(pck(found, truth, torso_length_px(truth, LSP14), 0.2).pck.iloc[-1]) and 0 < share < 1
