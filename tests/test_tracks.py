import numpy as np
import pytest
import xarray as xr

from studykit.skeletons import LEG, SKELETONS
from studykit.tracks import build_tracks, load_tracks, log_step, save_tracks, select_side, stack_views, validate_tracks


def test_round_trip_through_netcdf_is_identical(walk, tmp_path):
    save_tracks(log_step(walk, "made"), tmp_path / "walk.nc")
    xr.testing.assert_identical(load_tracks(tmp_path / "walk.nc"), log_step(walk, "made"))
    assert [p.name for p in tmp_path.iterdir()] == ["walk.nc"]


def test_clock_counts_frames_in_seconds(walk):
    np.testing.assert_allclose(walk.time, np.arange(walk.sizes["time"]) / 25.0)


def test_one_leg_is_taken_by_name(walk):
    leg = select_side(walk, "right")
    assert tuple(leg.keypoints.values) == SKELETONS["gait6"].keypoints
    assert leg.attrs["side"] == "right"
    for part in LEG:
        np.testing.assert_array_equal(
            leg.position.sel(keypoints=part), walk.position.sel(keypoints=f"right_{part}").drop_vars("keypoints")
        )


def test_neck_and_toe_are_derived_from_body25b_with_the_weaker_confidence():
    # BODY_25B has no neck and no centre of the toes.
    names = SKELETONS["body25b"].keypoints
    rng = np.random.default_rng(1)
    position, confidence = rng.uniform(0, 500, (4, 2, 25)), rng.uniform(0.2, 1, (4, 25))
    leg = select_side(build_tracks(position, confidence, names, 60, width_px=640, height_px=480), "left")
    ends = [names.index("left_big_toe"), names.index("left_small_toe")]
    np.testing.assert_allclose(leg.position.sel(keypoints="toe")[..., 0], position[:, :, ends].mean(-1))
    np.testing.assert_allclose(leg.confidence.sel(keypoints="toe")[:, 0], confidence[:, ends].min(-1))


def test_a_skeleton_without_feet_is_refused():
    names = SKELETONS["coco17"].keypoints
    tracks = build_tracks(np.zeros((3, 2, 17)), None, names, 25, width_px=10, height_px=10)
    with pytest.raises(ValueError, match="left_heel"):
        select_side(tracks, "left")


def test_all_faults_are_told_at_once(walk):
    broken = walk.drop_vars("confidence")
    del broken.attrs["fps"]
    with pytest.raises(ValueError, match=r"trial\.csv: .*'confidence'.*'fps'"):
        validate_tracks(broken, "trial.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.isel(time=[0, 1, 1, 2]), "repeated or earlier time at frame 2"),
        (lambda t: t.isel(time=[0, 1, 3]), "expected frames every 0.0400 s"),
        (lambda t: t.isel(time=slice(0, 0)), "at least one frame"),
        (lambda t: t.assign(confidence=t.confidence * 2), "confidence from 0 to 1"),
        (lambda t: t.assign(position=t.position.where(t.time > 0, np.inf)), "finite positions"),
        (lambda t: t.assign_attrs(coordinate_system="polar"), "polar"),
    ],
)
def test_faulty_tracks_are_refused(walk, change, message):
    with pytest.raises(ValueError, match=message):
        validate_tracks(change(walk))


def test_missing_and_unreadable_files_name_themselves(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.nc: expected a tracks file"):
        load_tracks(tmp_path / "gone.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(ValueError, match=r"text\.nc: expected a netCDF file"):
        load_tracks(tmp_path / "text.nc")


def test_views_stack_only_on_equal_clocks(walk):
    both = stack_views({"C1": walk, "C3": walk})
    assert both.position.dims == ("time", "space", "keypoints", "individuals", "view")
    xr.testing.assert_equal(both.sel(view="C3", drop=True), walk)
    with pytest.raises(ValueError, match=r"got 100 \(C1\) and 99 \(C3\)"):
        stack_views({"C1": walk, "C3": walk.isel(time=slice(0, 99))})
    with pytest.raises(ValueError, match="same time"):
        stack_views({"C1": walk, "C3": walk.assign_coords(time=walk.time + 0.01)})
