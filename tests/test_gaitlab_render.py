"""Pictures of the laboratory against what geometry says they must show."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from studykit.cameras import depth
from studykit.gaitlab import nominal_cameras, project
from studykit.gaitlab.body import load_body, rotation
from studykit.gaitlab.cameras import look_at, moved
from studykit.gaitlab.clothing import draw_outfit, dress
from studykit.gaitlab.film import point_visibility
from studykit.gaitlab.render import FAR_M, Light, composite, draw_person
from studykit.gaitlab.room import build_room, photograph
from studykit.gaitlab.walking import draw_style, walk
from studykit.skeletons import POINTS


@pytest.fixture(scope="module")
def person():
    """A dressed man and a second of his walk."""
    rng = np.random.default_rng(5)
    figure = load_body().figure("m", rng)
    style = draw_style("m", rng)
    return dress(figure, draw_outfit("m", rng), rng), walk(figure, style, 25, 25.0, rng, -1)


def drawn(person, frame, camera, **options):
    dressed, motion = person
    posed = dressed.pose(motion.rotations[frame], motion.positions[frame])
    return draw_person(dressed, *posed, camera, Light(), **options)


@pytest.mark.parametrize("view", ["C1", "C3"])
@pytest.mark.parametrize("frame", [0, 8, 16])
def test_masks_agree_with_eight_times_finer_ones(person, view, frame):
    camera = nominal_cameras()[view]
    mask = drawn(person, frame, camera).mask
    reference = drawn(person, frame, camera, supersample=8).coverage >= 0.5
    assert (mask & reference).sum() / (mask | reference).sum() >= 0.998


def test_the_same_pose_is_drawn_the_same(person):
    camera = nominal_cameras()["C1"]
    first, second = (drawn(person, 3, camera) for _ in range(2))
    assert_array_equal(first.colour, second.colour)
    assert_array_equal(first.depth, second.depth)


def test_depth_is_that_of_the_nearest_surface(person):
    # Every vertex in front lies on the drawn surface: at its pixel nothing is farther than it, bar the slope within
    # half a pixel; and many vertices are seen, at their own depth.
    dressed, motion = person
    camera = nominal_cameras()["C1"]
    vertices, _ = dressed.pose(motion.rotations[3], motion.positions[3])
    layer = drawn(person, 3, camera)
    column, row = np.rint(project(camera, vertices) - [layer.left, layer.top]).astype(int).T
    there = layer.depth[row, column]
    on_person = there < FAR_M
    behind = depth(camera, vertices)[on_person] - there[on_person]
    assert on_person.mean() > 0.9
    assert np.percentile(behind, 2) > -0.02
    assert (np.abs(behind) < 0.004).mean() > 0.2


def test_the_person_moves_with_the_camera_to_the_subpixel(person):
    # Shifting the principal point shifts the picture; by whole even pixels exactly.
    camera = nominal_cameras()["C1"]
    shifted = camera.K.copy()
    shifted[0, 2] += 10
    other = drawn(person, 3, type(camera)(shifted, camera.R, camera.t, camera.width_px, camera.height_px))
    layer = drawn(person, 3, camera)
    assert other.left - layer.left == 10
    assert (other.mask != layer.mask).mean() < 0.001


def test_a_person_cut_by_the_edge_is_the_same_where_still_seen(person):
    camera = nominal_cameras()["C1"]
    whole = np.zeros((540, 960), bool)
    layer = drawn(person, 3, camera)
    whole[layer.slices] = layer.mask
    middle = layer.left + layer.mask.shape[1] // 4 * 2
    K = camera.K.copy()
    K[0, 2] -= middle  # the person's left half lies outside now
    cut = np.zeros((540, 960), bool)
    layer = drawn(person, 3, type(camera)(K, camera.R, camera.t, 960, 540))
    cut[layer.slices] = layer.mask
    assert layer.left == 0
    assert (cut[:, : 960 - middle] != whole[:, middle:]).sum() <= 3
    K[0, 2] -= 2000
    assert drawn(person, 3, type(camera)(K, camera.R, camera.t, 960, 540)) is None


def test_a_person_behind_the_camera_is_refused(person):
    with pytest.raises(ValueError, match=r"at least 0\.1 m before the camera"):
        drawn(person, 3, look_at((0.0, 1.0, 0.1), (0.0, 1.0, -5.0), 500.0, 320, 180))


def test_what_lies_behind_the_body_is_occluded(person):
    dressed, motion = person
    figure = dressed.figure
    camera = nominal_cameras()["C1"]
    points = figure.named_points(motion.rotations, motion.positions)[3]
    seen = dict(zip(POINTS, point_visibility(drawn(person, 3, camera), camera, points), strict=True))
    # Walking to the left of C1, the left side faces the camera.
    near = ("left_shoulder", "left_elbow", "left_hip", "left_knee", "left_ankle", "left_ear", "nose")
    assert [seen[name] for name in near] == [2] * len(near)
    assert seen["right_shoulder"] == seen["right_hip"] == seen["right_ear"] == 1
    opposite = nominal_cameras()["C3"]
    seen = dict(zip(POINTS, point_visibility(drawn(person, 3, opposite), opposite, points), strict=True))
    assert seen["right_shoulder"] == seen["right_knee"] == 2
    assert seen["left_shoulder"] == seen["left_hip"] == 1


def test_two_views_give_back_the_points(person):
    # Linear triangulation (Hartley & Zisserman 2004, section 12.2) from exact image places.
    dressed, motion = person
    points = dressed.figure.named_points(motion.rotations, motion.positions)
    rng = np.random.default_rng(1)
    cameras = [moved(camera, 0.01, 0.3, rng) for camera in nominal_cameras().values()]
    rows = []
    for camera in cameras:
        x = project(camera, points)
        rows += [x[..., k, None] * camera.matrix[2] - camera.matrix[k] for k in (0, 1)]
    homogeneous = np.linalg.svd(np.stack(rows, axis=-2))[2][..., -1, :]
    assert_allclose(homogeneous[..., :3] / homogeneous[..., 3:], points, atol=1e-8)


def test_cameras_face_each_other_and_keep_the_world_upright():
    cameras = nominal_cameras()
    axes = {view: camera.R[2] for view, camera in cameras.items()}
    angle = np.degrees(np.arccos(axes["C1"] @ axes["C3"]))
    assert angle > 175
    left, right = (
        project(cameras["C1"], [[-1.0, 1, 0], [1.0, 1, 0]]),
        project(cameras["C3"], [[-1.0, 1, 0], [1.0, 1, 0]]),
    )
    assert left[0, 0] < left[1, 0] and right[0, 0] > right[1, 0]
    low, high = project(cameras["C1"], [[0.0, 0, 0], [0.0, 2, 0]])
    assert high[1] < low[1]
    assert np.isnan(project(cameras["C1"], [0.0, 1, 20])).all()  # behind it
    for camera in cameras.values():
        assert_allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-12)
        assert_allclose(camera.R @ camera.position + camera.t, 0, atol=1e-12)


def test_a_camera_is_moved_by_as_much_as_asked():
    camera = nominal_cameras()["C1"]
    rng = np.random.default_rng(0)
    others = [moved(camera, 0.02, 0.5, rng) for _ in range(400)]
    shift = np.array([other.position - camera.position for other in others])
    assert_allclose(shift.std(0), 0.02, rtol=0.15)
    turn = [np.degrees(np.arccos(np.clip((np.trace(o.R @ camera.R.T) - 1) / 2, -1, 1))) for o in others]
    assert_allclose(np.sqrt(np.mean(np.square(turn))), 0.5 * np.sqrt(3), rtol=0.15)
    assert_array_equal(moved(camera, 0, 0, rng).R, camera.R)


def test_unknown_views_are_refused():
    with pytest.raises(ValueError, match=r"views: expected some of \('C1', 'C3'\), got \['C2'\]"):
        nominal_cameras(["C2"])


def test_the_room_stays_where_it_is_when_the_camera_turns():
    # A wall point's colour is found again where the turned camera sees that point.
    room = build_room(np.random.default_rng(3))
    camera = nominal_cameras()["C1"]
    turned = type(camera)(camera.K, rotation("y", np.radians(1.0)) @ camera.R, camera.t, 960, 540)
    turned = type(camera)(turned.K, turned.R, -turned.R @ camera.position, 960, 540)
    first, second = (photograph(room, "C1", c) for c in (camera, turned))
    rng = np.random.default_rng(0)
    wall = np.column_stack([rng.uniform(-2, 2, 500), rng.uniform(0.4, 2.2, 500), np.full(500, -3.4)])
    a, b = (np.rint(project(c, wall)).astype(int) for c in (camera, turned))
    off = np.abs(first[a[:, 1], a[:, 0]] - second[b[:, 1], b[:, 0]]).mean(1)
    assert np.abs(a - b).max() > 15
    assert np.median(off) < 2.5


def test_the_picture_is_background_where_nobody_is(person):
    camera = nominal_cameras()["C1"]
    layer = drawn(person, 3, camera)
    background = np.random.default_rng(0).integers(0, 255, (540, 960, 3), dtype=np.uint8)
    picture = composite(background, layer)
    assert_array_equal(picture[layer.coverage == 0], background[layer.slices][layer.coverage == 0])
    assert (picture[layer.coverage == 1] != background[layer.slices][layer.coverage == 1]).any(axis=-1).mean() > 0.95
