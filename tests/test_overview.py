import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import make_walk

from studykit.datasets.table import check_recordings, checksums, cohort
from studykit.gaitlab import simulate_study
from studykit.plots.study import draw_cameras, draw_recordings, draw_samples
from studykit.study import read_study, write_study
from studykit.tracks import save_tracks


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Two people, one short walk each, in small pictures."""
    folder = tmp_path_factory.mktemp("laboratory")
    return simulate_study(folder, 2, 1, 0.4, width=320, height=180, workers=1, progress=False)


@pytest.fixture
def bare(tmp_path):
    """One recording of tracks only: no video, calibration, truth or leg length."""
    save_tracks(make_walk(seconds=2.0), tmp_path / "walk.nc")
    row = {"participant": "anna", "sex": "f", "trial": 1, "direction": "R2L", "view": "left", "video": ""}
    row |= {"tracks": str(tmp_path / "walk.nc"), "fps": 25.0, "mirrored": False, "width_px": 960, "height_px": 540}
    write_study(pd.DataFrame([row]), tmp_path / "study.csv")
    return read_study(tmp_path / "study.csv")


def test_cohort_counts_people_walks_and_directions(laboratory):
    people = cohort(laboratory)
    assert people.participant.tolist() == ["sub-01", "sub-02"]
    assert people[["trials", "recordings", "right_to_left"]].to_numpy().tolist() == [[1, 2, 1], [1, 2, 1]]
    assert people.leg_length_m.between(0.6, 1.1).all()


def test_simulated_recordings_are_sound_and_walk_as_the_table_says(laboratory):
    checks = check_recordings(laboratory)
    assert checks.fault.eq("").all(), checks.fault.tolist()
    assert (checks.frames == 10).all()
    assert (checks.speed_px_s > 0).all()
    wrong = laboratory.assign(direction=laboratory.direction.map({"R2L": "L2R", "L2R": "R2L"}))
    assert check_recordings(wrong).fault.str.contains("expected a walk").all()


def test_cameras_stand_where_the_calibration_says(laboratory, bare):
    fig, places = draw_cameras(laboratory)
    assert places["view"].tolist() == ["C1", "C3"]
    assert places.z_m.iloc[0] > 5 > -5 > places.z_m.iloc[1]
    assert places.height_m.between(1, 1.5).all()
    # Focal length 1040 px at a width of 960 (gaitlab.cameras): 2 atan(480 / 1040).
    np.testing.assert_allclose(places.field_of_view_deg.iloc[0], 2 * np.degrees(np.arctan(480 / 1040)))
    plt.close(fig)
    assert draw_cameras(bare) == "No recording names a calibration file."


def test_samples_show_known_points_with_and_without_video(laboratory, bare):
    fig, points = draw_samples(laboratory)
    assert len(fig.axes) == 6
    assert set(points.visibility.dropna()) <= {0, 1, 2}
    assert len(points) == 6 * 11
    plt.close(fig)
    fig, points = draw_samples(bare, shares=(0.5,))
    walk = make_walk(seconds=2.0)
    knee = points[points.keypoint == "left_knee"].iloc[0]
    np.testing.assert_allclose(
        [knee.x_px, knee.y_px], walk.position.sel(keypoints="left_knee")[int(knee.frame), :, 0], atol=1e-9
    )
    plt.close(fig)


def test_every_recording_has_its_dot(laboratory):
    checks = check_recordings(laboratory)
    fig, _ = draw_recordings(checks)
    assert sum(len(dots.get_offsets()) for dots in fig.axes[0].collections) == len(checks)
    plt.close(fig)


def test_checksums_are_of_the_content(laboratory, bare, tmp_path):
    sums = checksums(laboratory)
    assert sums.what.value_counts().to_dict() == {"video": 4, "truth": 2, "calibration": 1}
    assert sums.sha256.is_unique
    before = checksums(bare)
    walk = make_walk(seconds=2.0)
    time.sleep(1)  # HDF5 would note the second
    save_tracks(walk, tmp_path / "walk.nc")
    pd.testing.assert_frame_equal(checksums(bare), before)
    save_tracks(walk.assign(position=walk.position + 1e-9), tmp_path / "walk.nc")
    assert checksums(bare).sha256[0] != before.sha256[0]
