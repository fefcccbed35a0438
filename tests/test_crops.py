"""From boxes to crops and back."""

import numpy as np
import pytest

from studykit.gaitlab import simulate_stills
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.crops import PersonCrop, crop, crop_matrix, person_box, uncrop
from studykit.skeletons import SKELETONS
from studykit.stills import Still

LSP = SKELETONS["lsp14"].keypoints


@pytest.fixture(scope="module")
def stills():
    return list(simulate_stills(4, seed=8, size=96))


def test_points_come_back_from_the_crop(stills):
    for still in stills:
        inside, matrix = crop(still, 96, 128)
        np.testing.assert_allclose(uncrop(inside.keypoints, matrix)[:, :2], still.keypoints[:, :2], atol=1e-4)


def test_stacked_points_and_matrices_go_together(stills):
    made = [crop(still, 48, 64) for still in stills]
    together = uncrop(np.stack([c.keypoints for c, _ in made]), np.stack([m for _, m in made]))
    for one, (inside, matrix) in zip(together, made, strict=True):
        np.testing.assert_allclose(one, uncrop(inside.keypoints, matrix))


def test_box_fills_its_share_of_the_crop():
    # 1 / 1.25 of the side that decides (Xiao et al. 2018), centred, aspect kept.
    matrix = crop_matrix((10, 20, 40, 160), 192, 256, padding=1.25)
    top, bottom = matrix @ [29.5, 19.5, 1], matrix @ [29.5, 179.5, 1]  # middle of the box's upper and lower edge
    assert bottom[1] - top[1] == pytest.approx(256 / 1.25)
    np.testing.assert_allclose((top + bottom) / 2, [95.5, 127.5])
    assert matrix[0, 0] == matrix[1, 1] and matrix[0, 1] == 0


def test_box_around_keypoints_where_there_is_none():
    points = np.zeros((14, 3), np.float32)
    points[:3] = [[10, 20, 2], [30, 100, 1], [20, 50, 2]]
    still = Still(np.zeros((128, 64, 3), np.uint8), points)
    assert person_box(still, margin=0.1) == pytest.approx((2, 12, 37, 97))  # the unknown ones at 0 do not count


@pytest.mark.parametrize("box", [(5, 5, 0, 10), (5, 5, 10, -1), (np.nan, 5, 10, 10)])
def test_a_box_without_area_is_refused(box):
    still = Still(np.zeros((32, 32, 3), np.uint8), np.zeros((14, 3)), None, box, source="a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg: expected a box .* with an area"):
        crop(still, 96, 128)


def test_nobody_is_refused():
    still = Still(np.zeros((32, 32, 3), np.uint8), np.zeros((14, 3)), source="a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg: expected a box or known keypoints .*, got 0 known"):
        crop(still, 96, 128)


def test_random_crops_without_changes_are_the_crop(stills):
    plain = Augmentation(96, 128, scale=(1, 1), rotation_deg=0, shift=0, colour=0, blur_px=0, noise=0)
    drawn = PersonCrop(plain)(stills[0], LSP, np.random.default_rng(0))
    wanted, _ = crop(stills[0], 96, 128)
    np.testing.assert_allclose(drawn.keypoints, wanted.keypoints, atol=1e-4)
    assert np.abs(drawn.image.astype(int) - wanted.image).max() <= 1


def test_random_crops_keep_the_person(stills):
    drawn = PersonCrop(Augmentation(96, 128, scale=(0.75, 1.0), rotation_deg=30, shift=0.02, flip=0.5))
    rng = np.random.default_rng(1)
    for still in stills * 5:
        known = still.keypoints[:, 2] > 0
        kept = drawn(still, LSP, rng).keypoints[:, 2] > 0
        assert kept.sum() >= 0.8 * known.sum()
