"""Single pictures of simulated people."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from studykit.gaitlab import simulate_stills
from studykit.gaitlab.body import load_body
from studykit.gaitlab.poses import _KINDS, follow, random_pose
from studykit.skeletons import POINTS, SKELETONS


@pytest.fixture(scope="module")
def stills():
    return simulate_stills(24, seed=2, size=128, skeleton="mpii16", people=6)


def test_people_are_different_bodies_in_pictures_of_their_own(stills):
    assert len(stills) == 24 and len(set(stills.participants)) == 6
    assert stills[5].participant == stills.participants[5]


def test_keypoints_inside_the_picture_lie_on_the_person(stills):
    hits = []
    for still in stills:
        assert still.image.shape == (128, 128, 3) and still.keypoints.shape == (16, 3)
        x, y, seen = still.keypoints.T
        outside = (x < -0.5) | (y < -0.5) | (x >= 127.5) | (y >= 127.5)
        assert_array_equal(seen == 0, outside)
        rows, columns = np.nonzero(still.mask)
        assert still.box == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        for column, row in np.rint(still.keypoints[~outside, :2]).astype(int):
            hits.append(still.mask[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].any())
    assert np.mean(hits) > 0.99


def test_a_still_depends_on_seed_and_number_alone(stills):
    other = simulate_stills(24, seed=2, size=128, skeleton="lsp14", people=6)
    assert_array_equal(other[17].image, stills[17].image)
    shared = [name for name in SKELETONS["lsp14"].keypoints if name in SKELETONS["mpii16"].keypoints]
    for name in shared:
        a = stills[17].keypoints[SKELETONS["mpii16"].keypoints.index(name)]
        assert_array_equal(a, other[17].keypoints[SKELETONS["lsp14"].keypoints.index(name)])
    assert (simulate_stills(24, seed=3, size=128, people=6)[17].image != stills[17].image).any()


def test_poses_are_of_many_kinds():
    figure = load_body().figure("f", np.random.default_rng(0))
    rng = np.random.default_rng(1)
    kinds, knees = set(), []
    for _ in range(150):
        rotations, positions, kind = random_pose(figure, rng)
        kinds.add(kind)
        assert np.allclose(rotations @ rotations.swapaxes(-1, -2), np.eye(3), atol=1e-9)
        points = figure.named_points(rotations, positions)[0]
        hip, knee, ankle = (points[POINTS.index(f"left_{name}")] for name in ("hip", "knee", "ankle"))
        cosine = (knee - hip) @ (ankle - knee) / np.linalg.norm(knee - hip) / np.linalg.norm(ankle - knee)
        knees.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    assert kinds == set(_KINDS)
    assert min(knees) < 10 and max(knees) > 90


def test_without_variety_all_stand_and_face_the_camera():
    stills = simulate_stills(8, seed=2, size=96, skeleton="lsp14", people=8, turned_deg=0, variety=0)
    for still in stills:
        at = dict(zip(stills.keypoints, still.keypoints[:, :2], strict=True))
        assert at["left_shoulder"][0] > at["right_shoulder"][0] + 5
        for joint in ("knee", "ankle"):
            assert abs(at[f"left_{joint}"] - at["left_hip"])[0] < 0.25 * abs(at["left_ankle"] - at["left_hip"])[1]
    with pytest.raises(ValueError, match="variety from 0 to 1, got 30 and 2"):
        simulate_stills(8, turned_deg=30, variety=2)


def test_a_figure_that_follows_itself_is_itself():
    figure = load_body().figure("m", np.random.default_rng(0))
    rest = np.tile(np.eye(3), (2, len(figure.body.bones), 1, 1))
    heads = figure.bone_positions(rest, np.repeat(figure.joints[:1], 2, axis=0))
    points = figure.named_points(rest, heads)
    # The toe's direction is that of the big toe, which is what a recording's toe end is.
    names = ["left_toe" if n == "left_big_toe" else "right_toe" if n == "right_big_toe" else n for n in POINTS]
    keep = [k for k, name in enumerate(POINTS) if name not in ("left_toe", "right_toe")]
    rotations, positions = follow(figure, points[:, keep], [names[k] for k in keep])
    np.testing.assert_allclose(rotations, rest, atol=1e-6)
    np.testing.assert_allclose(positions - positions[:, :1], heads - heads[:, :1], atol=1e-6)


def test_ill_numbers_are_refused():
    with pytest.raises(ValueError, match="people from 1 to n"):
        simulate_stills(4, people=5)
    with pytest.raises(ValueError, match="skeleton: expected one of"):
        simulate_stills(4, skeleton="gait6")
    with pytest.raises(ValueError, match="expected joints"):
        follow(load_body().figure("m", np.random.default_rng(0)), np.zeros((2, 1, 3)), ["left_knee"])
