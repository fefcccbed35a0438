import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lab_walk import lab_walk, stored_tracks, stored_trial

from studykit.cameras import calibration_json, read_cameras
from studykit.gait.align import align_study, align_trial, load_trials, save_trials
from studykit.gait.cleaning import total_counts
from studykit.gaitlab import nominal_cameras
from studykit.tracks import load_tracks, save_tracks, validate_tracks
from studykit.truth.file import save_truth
from studykit.truth.keypoints import count_wrong_limb, false_positive_summary, wrong_limb_numbers, wrong_limb_verdict
from studykit.truth.reference import on_clock


@pytest.fixture(scope="module")
def trial():
    truth, rows = lab_walk(moved_cameras=True)
    return truth, rows, stored_trial(truth, rows, noise_px=1.0)


def test_views_show_opposite_legs_on_one_clock(trial, tmp_path):
    _, rows, tracks = trial
    aligned, table, counts = align_trial(rows, tracks, cameras=nominal_cameras())
    assert sorted(aligned.side.values) == ["left", "right"]
    assert aligned.position.dims == ("time", "space", "keypoints", "individuals", "view")
    assert table.lag_frames.abs().max() < 1
    assert (counts.groupby("view").size() == 6).all()
    save_tracks(aligned, tmp_path / "trial.nc")
    loaded = load_tracks(tmp_path / "trial.nc")
    np.testing.assert_array_equal(loaded.position, aligned.position)
    assert list(loaded.side.values) == list(aligned.side.values)


def study_of(rows, **columns):
    return pd.DataFrame(vars(row) for row in rows).assign(**columns)


def test_points_on_the_wrong_limb_are_counted_before_and_after(trial, tmp_path):
    truth, rows, tracks = trial
    save_truth(truth, tmp_path / "truth.nc")
    study, row = study_of(rows, truth=str(tmp_path / "truth.nc")), rows[0]
    right = align_study(study, lambda recording: tracks[recording.view])
    counts = count_wrong_limb(study, right.trials, right.counts)
    assert counts.n_false_positive.sum() == counts.n_false_positive_left.sum() == 0
    both = stored_tracks(truth, row, both_legs=True)
    far = both.position.sel(keypoints=f"{'right' if tracks[row.view].near_side == 'left' else 'left'}_heel")
    near = tracks[row.view].position.sel(keypoints="heel")
    apart = np.flatnonzero(np.abs((near - far).sel(space="x").values[:, 0]) > 50)[10:12]
    position = tracks[row.view].position.copy()
    position.loc[{"keypoints": "heel"}][apart] = far.values[apart]
    swapped = {**tracks, row.view: tracks[row.view].assign(position=position)}
    aligned = align_study(study, lambda recording: swapped[recording.view])
    assert aligned.example[1] == row.view
    counts = count_wrong_limb(study, aligned.trials, aligned.counts)
    heel = counts.set_index(["view", "keypoint"]).loc[(row.view, "heel")]
    assert (heel.n_false_positive, heel.n_false_positive_left) == (2, 0)
    study_m = study.assign(leg_length_m=0.9)
    scaled = align_study(study_m, lambda recording: swapped[recording.view], scaling="leg_length")
    pd.testing.assert_frame_equal(count_wrong_limb(study_m, scaled.trials, scaled.counts), counts)  # whatever the unit
    table = false_positive_summary(total_counts(counts), aligned.detected)
    summary = table.set_index("keypoint")
    assert summary.wrong_limb_percent["heel"] == pytest.approx(100 * 2 / (2 * len(position)))
    assert summary.paper_percent.dropna().to_dict() == {"ankle": 1.2, "heel": 0.8, "knee": 0.9, "toe": 1.6}
    assert wrong_limb_numbers(table)["wrong_limb_heel_percent"] == summary.wrong_limb_percent["heel"]
    assert "0.00 % after" in wrong_limb_verdict(table)


def test_wrong_limbs_are_unknown_without_ground_truth(trial):
    _, rows, tracks = trial
    study = study_of(rows)
    aligned = align_study(study, lambda recording: tracks[recording.view])
    counts = count_wrong_limb(study, aligned.trials, aligned.counts)
    pd.testing.assert_frame_equal(counts, aligned.counts)
    table = false_positive_summary(total_counts(counts), aligned.detected)
    assert table.wrong_limb_percent.isna().all() and table.detected_percent.notna().all()
    assert "cannot be known" in wrong_limb_verdict(table)


def test_a_trial_that_cannot_be_used_is_left_out_with_its_reason(trial, tmp_path):
    _, rows, tracks = trial
    study = pd.concat([study_of(rows), study_of(rows, trial=3)])

    def load(recording):
        if recording.trial == 3:
            raise ValueError("expected tracks, got none")
        return tracks[recording.view]

    aligned = align_study(study, load)
    assert list(aligned.trials) == ["sub-01_trial-1"] and len(aligned.lags) == 1
    assert aligned.excluded.to_dict("list") == {"trial": ["sub-01_trial-3"], "reason": ["expected tracks, got none"]}
    (tmp_path / "sub-09_trial-1.nc").touch()  # of an earlier run
    save_trials(aligned.trials, tmp_path)
    assert list(load_trials(tmp_path)) == ["sub-01_trial-1"]
    with pytest.raises(ValueError, match="expected a trial with usable tracks, got none; the first: expected tracks"):
        align_study(study[study.trial == 3], load)


def test_aligning_imports_few_modules_and_no_judge():
    code = "import sys, studykit.gait.align; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    own = [name for name in loaded if name.partition(".")[0] == "studykit"]
    assert len(own) <= 10, own
    assert not {"matplotlib", "keras", "seaborn", "tensorflow"} & set(loaded)
    assert not {"studykit.truth", "studykit.papers", "studykit.gaitlab", "studykit.datasets"} & set(own)


def test_scalings_share_the_raw_and_cleaned_scale(trial):
    _, rows, tracks = trial
    pixels = align_trial(rows, tracks)[0]
    assert pixels.unit == "px"
    for scaling in ("leg_length", "homography"):
        metres = align_trial(rows, tracks, cameras=nominal_cameras(), scaling=scaling)[0]
        assert metres.unit == "m"
        apart = np.abs(metres.position - metres.position_raw)
        assert float(apart.median()) < 0.02
        np.testing.assert_allclose(
            float(np.abs(metres.position.sel(keypoints="neck", space="x").diff("time")).median()) * 25, 1.0, atol=0.3
        )


def test_same_limb_needs_both_legs(trial):
    truth, rows, tracks = trial
    with pytest.raises(ValueError, match="sub-01_trial-1, C3: expected both legs, got the near leg only"):
        align_trial(rows, tracks, limb="same")
    both = {row.view: stored_tracks(truth, row, both_legs=True) for row in rows}
    aligned = align_trial(rows, both, limb="same")[0]
    assert len(set(aligned.side.values)) == 1
    # One leg in both views moves alike; two different legs take turns.
    forward = (aligned.position.sel(keypoints="ankle") - aligned.position.sel(keypoints="neck")).sel(space="x")
    a, b = forward.isel(individuals=0).dropna("time").values.T
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_exchanged_views_are_refused(trial):
    _, rows, tracks = trial
    exchanged = dict(zip(tracks, reversed(tracks.values()), strict=True))
    with pytest.raises(ValueError, match="sub-01_trial-1, C1: expected tracks of the near leg"):
        align_trial(rows, exchanged)
    for one in exchanged.values():
        one.attrs.pop("near_side")
    with pytest.raises(ValueError, match=r"sub-01_trial-1, C1: expected a walk .* exchange the files"):
        align_trial(rows, exchanged)


def test_wrong_rate_and_several_people_are_refused(trial):
    truth, rows, _ = trial
    tracks = stored_trial(truth, rows)
    with pytest.raises(ValueError, match="expected 30 frames per second"):
        align_trial([replace(row, fps=30.0) for row in rows], tracks)


def test_different_lengths_are_refused_or_cut(trial):
    truth, rows, _ = trial
    tracks = stored_trial(truth, rows)
    tracks["C3"] = tracks["C3"].isel(time=slice(4, None)).assign_coords(time=tracks["C3"].time[:-4])
    with pytest.raises(ValueError, match="expected the same number of frames in all views"):
        align_trial(rows, tracks)
    aligned = align_trial(rows, tracks, align="lag")[0]
    assert dict(zip(aligned.view.values, aligned.first_frame.values, strict=True)) == {"C1": 4, "C3": 0}


def test_truth_follows_a_later_clock(trial):
    truth, _, _ = trial
    later = on_clock(truth, 5)
    np.testing.assert_allclose(later.event_time, truth.event_time - 0.2)
    np.testing.assert_array_equal(later.position_3d, truth.position_3d[5:])
    assert float(later.time[0]) == 0


def test_repeated_frames_are_refused(trial):
    truth, rows, _ = trial
    tracks = stored_trial(truth, rows)["C1"]
    time = tracks.time.values.copy()
    time[10] = time[9]
    with pytest.raises(ValueError, match="repeated or earlier time at frame 10"):
        validate_tracks(tracks.assign_coords(time=time))


def test_one_view_alone_goes_on(trial):
    _, rows, tracks = trial
    aligned, table, _ = align_trial(rows[:1], {"C1": tracks["C1"]})
    assert list(aligned.view.values) == ["C1"]
    assert table.lag_s.tolist() == [0.0]


def test_cameras_are_read_with_their_faults_named(tmp_path, trial):
    _, rows, _ = trial
    path = tmp_path / "calibration.json"
    path.write_text(calibration_json(nominal_cameras()))
    assert read_cameras(rows) == {}
    rows = [replace(row, calibration=str(path)) for row in rows]
    np.testing.assert_array_equal(read_cameras(rows)["C1"].matrix, nominal_cameras()["C1"].matrix)
    path.write_text(json.dumps({"C1": {"K": [], "t": []}}))
    with pytest.raises(ValueError, match=r"calibration.json: expected R of view C1"):
        read_cameras(rows)
