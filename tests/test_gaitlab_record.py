"""A simulated study on disk: complete, exact, the same for the same seed, and safe against interruption."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from studykit.gaitlab import Recorded, load_masks, load_truth, project, simulate_study
from studykit.gaitlab.walking import JOINTS
from studykit.skeletons import POINTS
from studykit.study import read_study, recordings
from studykit.tracks import select_side
from studykit.truth.reference import truth_tracks

SMALL = {"seconds": 1.0, "width": 320, "height": 180, "workers": 1, "progress": False, "seed": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two people, two trials, two views of 25 frames at 320 x 180."""
    folder = tmp_path_factory.mktemp("study")
    return simulate_study(folder, participants=2, trials=2, **SMALL)


def frames(path):
    with av.open(path) as film:
        return np.array([frame.to_ndarray(format="gray") for frame in film.decode(video=0)])


def content(folder):
    """Digest of every file of a study but the table."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".mp4", ".npz", ".nc", ".json")
    }


def masks_of(recording):
    return load_masks(recording.video.replace("videos", "masks").replace(".mp4", ".npz"), recording.width_px)


def test_the_table_is_a_valid_study(study):
    assert len(study) == 2 * 2 * 2
    assert study.attrs["rendered_frames"] == 8 * 25 and study.attrs["cpu_s"] > 0
    pd.testing.assert_frame_equal(read_study(Path(study.calibration[0]).with_name("study.csv")), study)
    first = study.set_index(["participant", "trial", "view"])
    # Odd trials walk to the left of C1, which is to the right of C3.
    assert first.direction.loc["sub-01"].to_dict() == {
        (1, "C1"): "R2L", (1, "C3"): "L2R", (2, "C1"): "L2R", (2, "C3"): "R2L",
    }  # fmt: skip
    assert list(first.sex.groupby("participant").first()) == ["m", "f"]
    assert (
        first.leg_length_m.between(0.6, 1.1).all() and first.leg_length_m.groupby("participant").nunique().eq(1).all()
    )


def test_videos_have_the_frames_the_table_says(study):
    for recording in study.itertuples():
        with av.open(recording.video) as film:
            stream = film.streams.video[0]
            assert (stream.width, stream.height) == (recording.width_px, recording.height_px) == (320, 180)
            assert stream.average_rate == Fraction(25)
        assert len(frames(recording.video)) == len(masks_of(recording)) == len(load_truth(recording.truth).time) == 25


def test_masks_show_where_the_video_moves(study):
    for recording in study.itertuples():
        film, masks = frames(recording.video).astype(float), masks_of(recording)
        film[:, masks.all(axis=0)] = 0  # covered all the time: nothing is known of the background there
        assert 0.01 < masks.mean() < 0.1
        empty = np.nanmedian(np.where(masks & ~masks.all(axis=0), np.nan, film), axis=0)
        off = np.abs(film - empty)
        assert off[masks].mean() > 5 * off[~masks].mean()


def test_keypoints_are_the_projected_joints(study):
    for path in study.truth.unique():
        truth = load_truth(path)
        assert list(truth.point.values) == list(POINTS) and list(truth.joint.values) == list(JOINTS)
        for view in truth.view.values:
            one = truth.sel(view=view)
            assert_array_equal(project(one.camera_matrix.values, truth.position_3d.values), one.keypoints.values)
            x, y = one.keypoints.values[..., 0], one.keypoints.values[..., 1]
            outside = (x < -0.5) | (x >= 319.5) | (y < -0.5) | (y >= 179.5)
            assert_array_equal(one.visibility.values == 0, outside)


def test_visible_points_lie_on_the_mask(study):
    # Joints lie inside the body, landmarks on it: at most a pixel off its outline.
    for recording in study.itertuples():
        one = load_truth(recording.truth).sel(view=recording.view)
        masks = masks_of(recording)
        for i in (0, 12, 24):
            for point in one.keypoints.values[i][one.visibility.values[i] > 0]:
                column, row = np.rint(point).astype(int)
                assert masks[i, max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].any()


def test_true_angles_follow_from_the_joints(study):
    # Knee flexion in the sagittal plane, from hip, knee and ankle alone; the walk is nearly along x.
    for path in study.truth.unique():
        truth = load_truth(path)
        neck_x = truth.position_3d.sel(point="neck", axis="x").values
        forward = np.sign(neck_x[-1] - neck_x[0])
        for side in ("left", "right"):
            hip, knee, ankle = (
                truth.position_3d.sel(point=f"{side}_{name}").values[:, :2] * [forward, 1]
                for name in ("hip", "knee", "ankle")
            )
            thigh, shank = knee - hip, ankle - knee
            flexion = np.degrees(np.arctan2(thigh[:, 0], -thigh[:, 1]) - np.arctan2(shank[:, 0], -shank[:, 1]))
            assert_allclose(truth.angles.sel(side=side, joint="knee"), flexion, atol=0.5)


def test_truth_becomes_tracks(study):
    recording = recordings(study)[0]
    truth = load_truth(recording.truth)
    known = truth.sel(view=recording.view, point=f"{recording.near_side}_ankle")
    near = select_side(truth_tracks(truth, recording), recording.near_side).sel(keypoints="ankle")
    assert_allclose(near.position.values[:, :, 0], known.keypoints.where(known.visibility > 0).values, atol=1e-9)
    assert_array_equal(2 * near.confidence.values[:, 0], known.visibility.values)


def test_the_near_side_is_the_nearer_one(study):
    for recording in recordings(study):
        truth = load_truth(recording.truth)
        z = truth.position_3d.sel(axis="z")
        left_nearer = (z.sel(point="left_hip") - z.sel(point="right_hip")).mean() * (
            1 if recording.view == "C1" else -1
        ) > 0
        assert recording.near_side == ("left" if left_nearer else "right")


def test_calibration_is_of_the_nominal_cameras_not_of_the_real_ones(study):
    nominal = pd.read_json(study.calibration[0])
    true = load_truth(study.truth[0]).camera_matrix.sel(view="C1").values
    known = np.array(nominal.C1["K"]) @ np.column_stack([nominal.C1["R"], nominal.C1["t"]])
    assert np.abs(true - known).max() > 1e-3
    assert_allclose(true / np.linalg.norm(true[2, :3]), known, rtol=0.2, atol=30)


def test_the_same_seed_gives_the_same_files_however_many_work(study, tmp_path):
    simulate_study(tmp_path, participants=1, trials=2, **SMALL | {"workers": 2})
    before = content(Path(study.calibration[0]).parent)
    assert content(tmp_path) == {path: digest for path, digest in before.items() if "sub-02" not in path}


def test_another_seed_gives_another_study(study, tmp_path):
    other = simulate_study(tmp_path, participants=1, trials=1, **SMALL | {"seed": 5})
    assert not np.allclose(load_truth(other.truth[0]).position_3d, load_truth(study.truth[0]).position_3d)


def test_more_trials_and_people_leave_the_first_ones_as_they_are(study, tmp_path):
    few = simulate_study(tmp_path, participants=1, trials=1, **SMALL)
    xr.testing.assert_identical(load_truth(few.truth[0]), load_truth(study.truth[0]))
    for a, b in zip(few.video, study.video[:2], strict=True):
        assert_array_equal(frames(a), frames(b))


def test_what_is_complete_is_kept_and_what_is_missing_made(study, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(Path(study.calibration[0]).parent, folder)
    before = content(folder)
    assert simulate_study(folder, participants=2, trials=2, **SMALL).attrs["rendered_frames"] == 0
    next((folder / "masks").glob("sub-02_trial-1*")).unlink()
    (folder / "truth" / "sub-01_trial-2.nc").write_bytes(b"cut short")
    (folder / "videos" / ".123.left_behind.mp4").write_bytes(b"half")
    assert simulate_study(folder, participants=2, trials=2, **SMALL).attrs["rendered_frames"] == 2 * 2 * 25
    assert content(folder) == before
    changed = SMALL | {"camera_shift_m": 0.0, "camera_turn_deg": 0.0}
    table = simulate_study(folder, participants=1, trials=1, **changed)
    assert table.attrs["rendered_frames"] == 50
    nominal = pd.read_json(table.calibration[0]).C1
    known = np.array(nominal["K"]) @ np.column_stack([nominal["R"], nominal["t"]])
    assert_allclose(load_truth(table.truth[0]).camera_matrix.sel(view="C1"), known, atol=1e-9)


def test_killed_in_the_middle_it_leaves_nothing_half_and_goes_on(tmp_path):
    call = (
        "from studykit.gaitlab import simulate_study\n"
        f"simulate_study({str(tmp_path)!r}, participants=3, trials=1, seconds=1.0, width=320, height=180, workers=1, "
        "progress=False, seed=4)"
    )
    worker = subprocess.Popen([sys.executable, "-c", call])
    for _ in range(600):
        if list(tmp_path.glob("truth/sub*.nc")) or worker.poll() is not None:
            break
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    for path in tmp_path.glob("videos/sub*.mp4"):
        assert len(frames(str(path))) == 25
    table = simulate_study(tmp_path, participants=3, trials=1, **SMALL)
    assert 0 < table.attrs["rendered_frames"] <= 100  # the first trial was kept
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_failure_while_writing_leaves_no_half_file(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        simulate_study(tmp_path, participants=1, trials=1, **SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith("calibration.json")] == []


def test_ill_parameters_are_refused_together(tmp_path):
    with pytest.raises(ValueError) as error:
        simulate_study(tmp_path / "x", participants=0, width=321, fps=1000, views=("C1", "C2"), progress=False)
    for name in (
        "participants: expected at least 1, got 0",
        "width: expected an even",
        "fps: expected 5 to 240",
        "views",
    ):
        assert name in str(error.value)
    assert not (tmp_path / "x").exists()


def test_one_view_is_enough(tmp_path):
    table = simulate_study(tmp_path, participants=1, trials=1, views=["C3"], **SMALL | {"seconds": 0.2})
    assert list(table.view) == ["C3"] and list(table.direction) == ["L2R"]


@pytest.mark.real_data
def test_people_follow_a_recorded_motion(real_data, tmp_path):
    from studykit.datasets.motion import canonical_points, lay_along, read_bvh, resample, straight_walk

    walk = straight_walk(read_bvh(real_data / "cmu_walks" / "07_01.bvh"))
    walk = resample(lay_along(walk, "L2R"), 25.0)
    points = canonical_points(walk)
    motion = Recorded(np.stack(list(points.values()), axis=1), tuple(points), ((0.4, "left", "heel_strike"),))
    table = simulate_study(tmp_path, motions={(3, 1): motion}, **SMALL)
    assert list(table.direction) == ["L2R", "R2L"] and list(table.participant) == ["sub-03"] * 2
    truth = load_truth(table.truth[0])
    assert len(truth.time) == len(walk.positions) and truth.event_name.values.tolist() == ["heel_strike"]
    # The simulated person is another body with the same directions of the bones.
    for a, b in (("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_shoulder", "left_elbow")):
        bone = truth.position_3d.sel(point=b).values - truth.position_3d.sel(point=a).values
        wanted = points[b] - points[a]
        cosine = (bone * wanted).sum(1) / np.linalg.norm(bone, axis=1) / np.linalg.norm(wanted, axis=1)
        assert_allclose(cosine, 1, atol=1e-6)
    # And it stands on the floor: its lowest sole ever is at 0, and it bends the knee as the real person does.
    assert 0 < truth.position_3d.sel(axis="y").values.min() < 0.08
    hip, knee, ankle = (points[f"left_{name}"][:, :2] for name in ("hip", "knee", "ankle"))
    thigh, shank = knee - hip, ankle - knee
    flexion = np.degrees(np.arctan2(thigh[:, 0], -thigh[:, 1]) - np.arctan2(shank[:, 0], -shank[:, 1]))
    assert_allclose(truth.angles.sel(side="left", joint="knee"), flexion, atol=1e-6)
    gap = Recorded(np.full_like(motion.positions, np.nan), motion.names)
    with pytest.raises(ValueError, match="motion: expected finite positions, got gaps"):
        simulate_study(tmp_path / "gap", motions={(1, 1): gap}, **SMALL)
