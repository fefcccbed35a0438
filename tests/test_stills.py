"""Stills: what moves together must move together."""

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from studykit.gaitlab.stills import mask_box
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.batches import Batches
from studykit.skeletons import SKELETONS
from studykit.stills import (
    Still,
    StillSet,
    available_keypoints,
    crop_person,
    flip,
    known_share,
    limit_size,
    rescale,
    warp,
    with_skeleton,
    zoom_matrix,
)

NAMES = SKELETONS["gait11"].keypoints


def dotted_still(seed=0, width=160, height=120, participant="sub-01"):
    """A still whose keypoints are bright blobs of its image, so that the image itself tells where they are."""
    rng = np.random.default_rng([seed, 5])
    points = np.column_stack([rng.uniform(30, width - 30, len(NAMES)), rng.uniform(30, height - 30, len(NAMES))])
    points = np.column_stack([points, np.full(len(NAMES), 2)]).astype(np.float32)
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.clip(255 * np.exp(-((x - points[0, 0]) ** 2 + (y - points[0, 1]) ** 2) / 18), 0, 255)
    mask = (x - points[0, 0]) ** 2 + (y - points[0, 1]) ** 2 < 20**2
    return Still(image, points, mask, (points[0, 0] - 20, points[0, 1] - 20, 40, 40), participant, f"blob {seed}")


def brightest(image):
    """Centre of mass of the blob, px."""
    weight = image[..., 0].astype(float) ** 2
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(5))
def test_augmented_keypoints_stay_on_their_image(seed):
    still = dotted_still(seed)
    move = Augmentation(200, 180, scale=(0.4, 1.6), rotation_deg=40, shift=0.1, flip=0.5, colour=0, blur_px=0, noise=0)
    out = move(still, NAMES, np.random.default_rng(seed))
    assert out.image.shape == (180, 200, 3) and out.mask.shape == (180, 200)
    if out.keypoints[0, 2]:
        assert np.linalg.norm(brightest(out.image) - out.keypoints[0, :2]) < 0.3
        y, x = np.nonzero(out.mask)
        edge = (out.keypoints[0, :2] < 35).any() or (out.keypoints[0, :2] > [164, 144]).any()
        assert edge or np.hypot(x.mean() - out.keypoints[0, 0], y.mean() - out.keypoints[0, 1]) < 0.5


def test_flip_exchanges_left_and_right_and_twice_is_the_identity():
    still = dotted_still()
    once = flip(still, NAMES)
    left, right = NAMES.index("left_knee"), NAMES.index("right_knee")
    np.testing.assert_allclose(once.keypoints[right, 0], 159 - still.keypoints[left, 0])
    np.testing.assert_allclose(brightest(once.image), once.keypoints[0, :2], atol=0.1)
    twice = flip(once, NAMES)
    np.testing.assert_array_equal(twice.image, still.image)
    np.testing.assert_array_equal(twice.mask, still.mask)
    np.testing.assert_allclose(twice.keypoints, still.keypoints, atol=1e-4)
    np.testing.assert_allclose(twice.box, still.box, atol=1e-4)
    boxed = flip(replace(still, box=mask_box(still.mask)), NAMES)
    assert boxed.box == mask_box(boxed.mask)


def test_zoom_and_back_is_the_identity_for_keypoints():
    still = dotted_still()
    matrix = zoom_matrix(0.6, (79.5, 59.5), 96, 96)
    boxed = warp(still, matrix, 96, 96)
    assert boxed.image.shape == (96, 96, 3)
    back = cv2.invertAffineTransform(matrix)
    np.testing.assert_allclose(boxed.keypoints[:, :2] @ back[:, :2].T + back[:, 2], still.keypoints[:, :2], atol=1e-3)


def test_keypoints_that_leave_the_image_become_unknown():
    out = warp(dotted_still(), [[1, 0, -500], [0, 1, 0]], 160, 120)
    assert (out.keypoints[:, 2] == 0).all() and np.isfinite(out.keypoints).all()


def count_known(still):
    return int((still.keypoints[:, 2] > 0).sum())


@pytest.mark.parametrize("seed", range(4))
def test_augmentation_that_keeps_the_person_loses_no_joint(seed):
    still, loses = dotted_still(seed), []
    far = {"scale": (0.8, 4.0), "rotation_deg": 180, "shift": 0.5, "flip": 0.5, "colour": 0, "blur_px": 0, "noise": 0}
    for number in range(12):
        rng = np.random.default_rng([seed, number])
        out = Augmentation(90, 110, keep_person=True, **far)(still, NAMES, rng)
        assert count_known(out) == len(NAMES)
        free = Augmentation(90, 110, **far)(still, NAMES, np.random.default_rng([seed, number]))
        loses.append(count_known(free) < len(NAMES))
    assert any(loses)


def test_person_is_cropped_with_room_and_within_the_picture():
    still = dotted_still(1)
    crop = crop_person(still, margin=0.1)
    assert count_known(crop) == len(NAMES) and crop.image.shape != still.image.shape
    offset = still.keypoints[0, :2] - crop.keypoints[0, :2]
    assert (offset == np.rint(offset)).all() and (offset >= 0).all()
    np.testing.assert_allclose(brightest(crop.image), crop.keypoints[0, :2], atol=0.3)
    np.testing.assert_array_equal(crop_person(still, margin=9).image, still.image)
    with pytest.raises(ValueError, match="blob 1: expected a person's box or a known keypoint"):
        crop_person(Still(still.image, still.keypoints * [1, 1, 0], source="blob 1"))


@pytest.mark.parametrize("shorter", [45, 240])
def test_rescaled_pictures_keep_their_shape_and_everything_in_place(shorter):
    still = dotted_still(2)
    out = rescale(still, shorter)
    assert min(out.image.shape[:2]) == shorter and out.mask.shape == out.image.shape[:2]
    assert out.image.shape[1] / out.image.shape[0] == pytest.approx(160 / 120, rel=0.02)
    np.testing.assert_allclose(brightest(out.image), out.keypoints[0, :2], atol=0.25)
    y, x = np.nonzero(out.mask)
    inside = (still.keypoints[0, :2] > 21).all() and (still.keypoints[0, :2] < [138, 98]).all()
    assert not inside or np.hypot(x.mean() - out.keypoints[0, 0], y.mean() - out.keypoints[0, 1]) < 0.5
    assert max(limit_size(still, 80).image.shape) == 80 and limit_size(still, 200) is still


def test_other_skeletons_are_found_by_name_or_as_midpoints():
    points = np.column_stack([np.arange(14), np.arange(14) ** 2, np.full(14, 2)]).astype(np.float32)
    lsp = SKELETONS["lsp14"].keypoints
    points[lsp.index("left_hip"), 2] = 1
    stills = StillSet([Still(np.zeros((9, 9, 3), np.uint8), points)], lsp)
    names = ("mid_hip", "left_wrist", "nose")
    with pytest.raises(ValueError, match="expected stills with nose, got right_ankle"):
        with_skeleton(stills, names)
    assert available_keypoints(stills, names) == names[:2]
    other = with_skeleton(stills, names, lacking=True)
    assert other.keypoints == names and other[0].keypoints.dtype == np.float32
    middle = points[[lsp.index("left_hip"), lsp.index("right_hip"), lsp.index("left_wrist")]]
    expected = [[*middle[:2, :2].mean(0), 1], middle[2], [0, 0, 0]]
    np.testing.assert_allclose(other[0].keypoints, expected)
    assert known_share(other[0], names) == pytest.approx(2 / 3)


def test_scenes_group_stills_and_stay_with_subsets():
    scenes = ["", "a", "b", "a", ""]
    stills = StillSet([Still(np.zeros((4, 4, 3), np.uint8), np.zeros((1, 3)), scene=s) for s in scenes], ["nose"])
    assert stills.by_scene() == [[0], [1, 3], [2], [4]]
    assert stills.subset([3, 2, 1]).by_scene() == [[0, 2], [1]]
    assert stills[1:].map(lambda still: still).scenes == ("a", "b", "a", "")


def test_batches_repeat_exactly_and_take_every_still_once_a_pass():
    stills = StillSet([dotted_still(n) for n in range(6)], NAMES)
    shake = Augmentation(64, 64)

    def encode(chosen):
        return np.stack([s.image for s in chosen]), [s.source for s in chosen]

    whole, resumed = (Batches(stills, encode, 4, augmentation=shake, seed=7) for _ in range(2))
    seen = [source for n in range(6) for source in whole[n][1]]
    assert all(sorted(seen[k : k + 6]) == [f"blob {n}" for n in range(6)] for k in range(0, 24, 6))
    assert len(whole) == 2 and [still.source for still in whole.first(5)] == seen[:5]
    for n in range(3, 6):
        np.testing.assert_array_equal(whole[n][0], resumed[n][0])


def test_faults_of_a_still_are_told_together():
    with pytest.raises(ValueError, match=r"one: expected an image \(H, W, 3\).*; expected keypoints \(K, 3\)"):
        Still(np.zeros((4, 4), np.uint8), np.zeros((2, 2)), source="one")


def test_stills_need_no_keras():
    code = "import sys, studykit.pose.examples.augmentation, studykit.stills; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
