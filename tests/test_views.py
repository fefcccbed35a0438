import numpy as np
import pytest
import xarray as xr
from lab_walk import lab_walk, oriented

from studykit.gait import views
from studykit.gaitlab import nominal_cameras
from studykit.tracks import build_tracks


def single(walk):
    """As a network gives positions: single precision."""
    return walk.assign(position=walk.position.astype(np.float32).astype(float))


def test_mirroring_twice_is_the_identity(walk):
    walk = single(walk)
    xr.testing.assert_identical(views.mirror(views.mirror(walk)), walk)


def test_mirroring_exchanges_left_and_right_and_turns_x(walk):
    flipped = views.mirror(walk)
    was, is_now = walk.position.sel(keypoints="left_knee"), flipped.position.sel(keypoints="right_knee")
    np.testing.assert_allclose(is_now.sel(space="x"), 959 - was.sel(space="x"))
    np.testing.assert_array_equal(is_now.sel(space="y"), was.sel(space="y"))
    assert (flipped.attrs["mirrored"], walk.attrs["mirrored"]) == (1, 0)


def test_the_mirror_image_shows_what_mirrored_tracks_say():
    image = np.zeros((5, 8, 3), np.uint8)
    image[2, 1] = 255
    tracks = build_tracks(np.array([[[1.0], [2.0]]]), None, ["neck"], 25, width_px=8, height_px=5)
    x, y = views.mirror(tracks).position.values[0, :, 0, 0]
    assert (image[:, ::-1][int(y), int(x)] == 255).all()


def test_mirror_refuses_a_side_without_its_partner():
    tracks = build_tracks(np.zeros((2, 2, 1)), None, ["left_knee"], 25, width_px=8, height_px=5)
    with pytest.raises(ValueError, match="right_knee"):
        views.mirror(tracks)


def test_walking_coordinates_grow_along_the_walk_and_upward(walk):
    walked = views.orient(walk, "R2L")
    assert (np.diff(walked.position.sel(keypoints="neck", space="x").values[:, 0]) > 0).all()
    height = walked.position.sel(space="y").mean("time").isel(individuals=0)
    assert float(height.sel(keypoints="neck")) > float(height.sel(keypoints="left_ankle"))
    # The image's bottom right pixel is the origin.
    corner = build_tracks(np.array([[[959.0], [539.0]]]), None, ["neck"], 25, width_px=960, height_px=540)
    np.testing.assert_array_equal(views.to_walk(corner).position.values.ravel(), [0, 0])


def test_both_directions_are_the_same_after_orienting(walk):
    walk = single(walk)
    there, back = views.orient(walk, "R2L"), views.orient(views.mirror(walk), "L2R")
    xr.testing.assert_equal(there.position, back.position)


def test_speed_of_the_analytic_walk(walk):
    assert views.forward_speed(views.orient(walk, "R2L").sel(keypoints=["neck"])) == pytest.approx(180)


def test_swapped_view_is_refused_by_name(walk):
    with pytest.raises(ValueError, match=r"sub-01, C3: expected a walk L2R, got one that moves .* set its direction"):
        views.orient(walk, "L2R", "sub-01, C3")


def test_near_leg_is_the_one_towards_the_camera():
    # The near leg looks larger than the far one, in either view.
    truth, rows = lab_walk()
    for row in rows:
        near, far = oriented(truth, row), oriented(truth, row, "far")
        assert views.leg_path(near) > 1.01 * views.leg_path(far)


def test_both_legs_are_told_apart_by_looks(walk):
    for tracks, direction in ((walk, "R2L"), (views.mirror(walk), "L2R")):
        near = views.near_leg(views.orient(tracks, direction))
        left = 959 - walk.position.sel(keypoints="left_toe", space="x")
        np.testing.assert_allclose(near.position.sel(keypoints="toe", space="x"), left)


def test_far_leg_of_one_legged_tracks_is_refused(walk):
    near = views.near_leg(views.orient(walk, "R2L"))
    with pytest.raises(ValueError, match="C1: expected both legs, got the near leg only"):
        views.far_leg(near, "C1")


def test_wrong_skeleton_is_refused_by_name():
    tracks = build_tracks(np.zeros((9, 2, 2)), None, ["nose", "tail"], 25, width_px=8, height_px=5)
    with pytest.raises(ValueError, match=r"C1: expected keypoints .* got"):
        views.near_leg(views.to_walk(tracks), "C1")


@pytest.mark.parametrize("late", [0, 2, -8])
def test_lag_is_found_between_frames(late):
    # One walk filmed at 100 Hz, watched at 25 Hz by two cameras, the second showing everything `late` / 100 s later.
    truth, rows = lab_walk(fps=100.0)
    first, second = (
        oriented(truth, row).isel(time=slice(start, start + 400, 4)).assign_attrs(fps=25.0)
        for row, start in zip(rows, (40, 40 - late), strict=True)
    )
    found, correlation = views.view_lag(first, second)
    assert found == pytest.approx(late / 100, abs=0.008)
    assert correlation > 0.8


def test_lag_of_a_blind_view_is_unknown(walk):
    near = views.near_leg(views.orient(walk, "R2L"))
    blind = near.assign(position=near.position * np.nan)
    assert np.isnan(views.view_lag(near, blind)).all()


def test_different_lengths_are_refused_or_cut(walk):
    a, b = walk, walk.isel(time=slice(None, -1))
    with pytest.raises(ValueError, match=r"trial 2: expected the same number of frames .* 100 \(C1\) and 99 \(C3\)"):
        views.common_clock({"C1": a, "C3": b}, name="trial 2")
    cut = views.common_clock({"C1": a, "C3": b}, "cut")
    assert {len(tracks.time) for tracks in cut.values()} == {99}
    with pytest.raises(ValueError, match="one frame rate"):
        views.common_clock({"C1": a, "C3": b.assign_attrs(fps=30.0)}, "cut")


def test_late_view_is_shifted_onto_the_first():
    truth, rows = lab_walk()
    a, b = (oriented(truth, row) for row in rows)
    late = b.isel(time=slice(3, None)).assign_coords(time=b.time[:-3])
    clock = views.common_clock({"C1": a, "C3": late}, "lag")
    np.testing.assert_array_equal(clock["C1"].position, a.position[3:])
    np.testing.assert_array_equal(clock["C3"].position, b.position[3:])


def test_leg_length_makes_the_leg_as_long_as_it_is(walk):
    near = views.near_leg(views.orient(walk, "R2L"))
    metres = views.to_metres(near, "leg_length", leg_length_m=0.9)
    assert views.leg_path(metres) == pytest.approx(0.9)
    assert metres.attrs["unit"] == "m"


@pytest.mark.parametrize("trial", [1, 2])
def test_homography_gives_points_of_the_walkway_back_in_both_views(trial):
    truth, rows = lab_walk(trial=trial)
    forward = -1 if trial == 1 else 1
    # The true neck moved into the plane of the walkway, seen by both nominal cameras.
    neck = truth.position_3d.sel(point="neck").values * [1, 1, 0]
    for row in rows:
        camera = nominal_cameras()[row.view]
        image = camera.matrix @ np.column_stack([neck, np.ones(len(neck))]).T
        pixel = (image[:2] / image[2]).T[:, :, None]
        tracks = build_tracks(pixel, None, ["neck"], 25, width_px=960, height_px=540)
        walked = views.orient(tracks, row.direction)
        metres = views.to_metres(walked, "homography", camera=camera)
        np.testing.assert_allclose(metres.position.values[:, 0, 0, 0], forward * neck[:, 0], atol=1e-9)
        np.testing.assert_allclose(metres.position.values[:, 1, 0, 0], neck[:, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("how", "message"),
    [("homography", "expected a calibration"), ("leg_length", "expected leg_length_m"), ("feet", "one of")],
)
def test_scaling_without_what_it_needs_is_refused(walk, how, message):
    with pytest.raises(ValueError, match=message):
        views.to_metres(views.near_leg(views.orient(walk, "R2L")), how, name="sub-01, C1")


def test_opposite_camera_tells_where_the_far_leg_is():
    truth, rows = lab_walk(moved_cameras=True)
    first, second = rows
    told = views.opposite_as_far(oriented(truth, first), oriented(truth, second))
    off = np.linalg.norm((told.position - oriented(truth, first, "far").position).values, axis=1)
    # Perspective of 7 m cameras leaves 3 % of the way from the middle of the image.
    assert np.nanmedian(off) < 8
    assert np.nanmax(off) < 25


def test_orienting_twice_is_refused(walk):
    with pytest.raises(ValueError, match="expected tracks in image coordinates"):
        views.to_walk(views.to_walk(walk))
