import json

import numpy as np
import pytest

from studykit.skeletons import POINTS, SKELETONS, convert, flip_order


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_limbs_join_keypoints_that_exist_once(skeleton):
    assert len(set(skeleton.keypoints)) == len(skeleton.keypoints)
    assert {name for limb in skeleton.limbs for name in limb} <= set(skeleton.keypoints)


@pytest.mark.parametrize("name", [n for n in SKELETONS if n != "gait6"])
def test_flip_twice_is_the_identity_and_keeps_the_midline(name):
    keypoints = SKELETONS[name].keypoints
    order = flip_order(keypoints)
    np.testing.assert_array_equal(order[order], np.arange(len(keypoints)))
    sided = [keypoint.startswith(("left_", "right_")) for keypoint in keypoints]
    np.testing.assert_array_equal(order != np.arange(len(keypoints)), sided)


def test_flip_refuses_half_a_pair():
    with pytest.raises(ValueError, match="expected 'right_knee' beside 'left_knee'"):
        flip_order(["neck", "left_knee"])


def test_sizes_are_those_of_the_names():
    # Lin 2014: 17; Johnson 2010: 14; Andriluka 2014: 16; OpenPose doc/02_output.md: 18 and 25.
    sizes = {
        "coco17": 17,
        "lsp14": 14,
        "mpii16": 16,
        "openpose18": 18,
        "body25": 25,
        "body25b": 25,
        "gait6": 6,
        "mpii15": 15,
    }
    assert {name: len(SKELETONS[name].keypoints) for name in sizes} == sizes


def test_limbs_of_openpose_are_its_own():
    # OpenPose, poseParameters.cpp (POSE_BODY_PART_PAIRS) and poseParametersRender.hpp for MPI: pairs of part numbers.
    pairs = {
        "openpose18": "1,2 1,5 2,3 3,4 5,6 6,7 1,8 8,9 9,10 1,11 11,12 12,13 1,0 0,14 14,16 0,15 15,17 2,16 5,17",
        "mpii15": "0,1 1,2 2,3 3,4 1,5 5,6 6,7 1,14 14,8 8,9 9,10 14,11 11,12 12,13",
        "body25": "1,8 1,2 1,5 2,3 3,4 5,6 6,7 8,9 9,10 10,11 8,12 12,13 13,14 1,0 0,15 15,17 0,16 16,18 2,17 5,18 "
        "14,19 19,20 14,21 11,22 22,23 11,24",
    }
    for name, text in pairs.items():
        keypoints = SKELETONS[name].keypoints
        theirs = {tuple(keypoints[int(n)] for n in pair.split(",")) for pair in text.split()}
        assert set(SKELETONS[name].limbs) == theirs and len(SKELETONS[name].limbs) == len(theirs)


@pytest.mark.real_data
def test_coco_order_and_limbs_are_those_of_the_official_annotations(real_data):
    path = real_data / "coco_mini/annotations/person_keypoints_train2017.json"
    category = json.loads(path.read_text())["categories"][0]
    coco = SKELETONS["coco17"]
    assert list(coco.keypoints) == category["keypoints"]
    official = {frozenset(category["keypoints"][i - 1] for i in limb) for limb in category["skeleton"]}
    assert {frozenset(limb) for limb in coco.limbs} == official


def test_conversion_takes_names_midpoints_and_the_weaker_confidence():
    source = ("left_hip", "right_hip", "left_knee")
    points = np.array([[0.0, 10, 0.9], [4, 20, 0.3], [1, 2, 0.5]])
    out = convert(points, source, ("mid_hip", "left_knee", "neck"))
    np.testing.assert_allclose(out[0], [2, 15, 0.3])
    np.testing.assert_allclose(out[1], points[2])
    assert np.isnan(out[2]).all()


def test_midpoints_of_midpoints():
    # OpenPose's MPI model: the chest between thorax and pelvis, here of shoulders and hips.
    source = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    points = np.array([[0.0, 0, 2], [10, 0, 1], [2, 40, 2], [8, 40, 2]])
    np.testing.assert_allclose(convert(points, source, ("chest",)), [[5, 20, 1]])


def test_conversion_there_and_back_keeps_shared_points():
    points = np.random.default_rng(0).normal(size=(5, len(POINTS), 2))
    for skeleton in SKELETONS.values():
        if skeleton.name == "gait6":
            continue
        there = convert(points, POINTS, skeleton.keypoints)
        back = convert(there, skeleton.keypoints, skeleton.keypoints)
        np.testing.assert_array_equal(back, there)
        assert not np.isnan(there).any()
