"""Whole sets of recordings become a Study table."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_walk

from studykit.datasets.gather import gather_study, understand
from studykit.datasets.table import check_recordings, describe, table_study
from studykit.formats import import_tracks, read_trc, write_deeplabcut
from studykit.gait.views import mirror
from studykit.study import read_study
from studykit.tracks import load_tracks, save_tracks, select_side
from studykit.video import write_video

SIZE = (960, 540)


def write_trc(tracks, path, *, z=0.0, scale=1.0, rate=25):
    """A TRC file as the OpenSim documentation has it ("Marker (.trc) Files"): names above three columns each."""
    names = [str(name) for name in tracks.keypoints.values]
    xy = tracks.position.isel(individuals=0).transpose("time", "keypoints", "space").values * scale
    depth = np.full((*xy.shape[:2], 1), z) * np.arange(len(xy))[:, None, None]
    rows = np.concatenate([xy, depth], axis=-1).reshape(len(xy), -1)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{len(xy)}\t{len(names)}\tpx\t{rate}\t1\t{len(xy)}",
        "Frame#\tTime\t" + "".join(f"{name}\t\t\t" for name in names),
        "\t\t" + "\t".join(f"{axis}{i + 1}" for i in range(len(names)) for axis in "XYZ"),
        "",
        *("\t".join(map(str, [i + 1, i / rate, *row])) for i, row in enumerate(rows)),
    ]
    path.write_text("\n".join(lines).replace("nan", "") + "\n")
    return path


def openpose_folder(tracks, folder):
    """One JSON file a frame with BODY_25's points; those that the tracks lack are not found (0, 0, 0)."""
    places = {"neck": 1, "right_hip": 9, "right_knee": 10, "right_ankle": 11, "left_hip": 12, "left_knee": 13}
    places |= {"left_ankle": 14, "left_toe": 19, "left_heel": 21, "right_toe": 22, "right_heel": 24}
    folder.mkdir(parents=True)
    for n in range(len(tracks.time)):
        points = np.zeros((25, 3))
        for name, k in places.items():
            points[k] = [*tracks.position.sel(keypoints=name)[n, :, 0].values, 0.9]
        points[8] = (points[9] + points[12]) / 2
        points[20], points[23] = points[19], points[22]
        people = [{"pose_keypoints_2d": points.ravel().tolist()}]
        (folder / f"clip_{n:012d}_keypoints.json").write_text(json.dumps({"people": people}))


@pytest.fixture
def folder(tmp_path, walk):
    """Two views of a trial: OpenPose's and DeepLabCut's files; a video without keypoints; things that do not belong."""
    raw = tmp_path / "raw"
    openpose_folder(walk, raw / "sub-01_trial-1_cam-A_json")
    left = select_side(walk, "left")
    write_deeplabcut(mirror(left).assign_attrs(mirrored=0), raw / "sub-01_trial-1_cam-BDLC_resnet50_gait.h5")
    write_deeplabcut(mirror(left).assign_attrs(mirrored=0), raw / "sub-01_trial-1_cam-BDLC_resnet50_gait.csv")
    write_video((np.full((32, 48, 3), n, np.uint8) for n in range(5)), raw / "sub-02_trial-1_dir-R2L_cam-A.mp4", 50)
    (raw / "notes.txt").write_text("hello")
    (raw / "anna1_left.csv").write_text("a,b\n")
    return raw


def test_names_say_whose_a_file_is_and_what_is_missing():
    assert understand("x/sub-07_trial-2_dir-R2L_cam-C1.mp4") == {"sub": "07", "trial": "2", "dir": "R2L", "cam": "C1"}
    assert understand("sub-07_trial-2_cam-C1DLC_resnet50_gait.h5") == {"sub": "07", "trial": "2", "cam": "C1"}
    with pytest.raises(
        ValueError, match=r"anna1_left.csv: expected a name such as .*, got no sub-, no trial-, no cam-"
    ):
        understand("anna1_left.csv")
    with pytest.raises(ValueError, match=r"got trial-b .*, dir-left \(R2L or L2R is wanted\)"):
        understand("sub-1_trial-b_dir-left_cam-A.mp4")


def test_folder_becomes_a_study(folder, tmp_path, walk):
    written, left_out = gather_study([folder], tmp_path / "study.csv", fps=25, size=SIZE)
    assert len(left_out) == 1 and "anna1_left.csv: expected a name such as" in left_out[0]
    study = read_study(tmp_path / "study.csv")
    assert study["view"].tolist() == ["A", "B", "A"] and study.fps.tolist() == [25, 25, 50]
    assert study.direction.tolist() == ["R2L", "L2R", "R2L"]  # the first two from the keypoints
    assert study.width_px.tolist() == [960, 960, 48] and len(written) == 3
    a, b = (load_tracks(path) for path in study.tracks[:2])
    np.testing.assert_allclose(a.position.sel(keypoints="left_heel"), walk.position.sel(keypoints="left_heel"))
    assert list(b.keypoints.values) == list(select_side(walk, "left").keypoints.values)
    table = check_recordings(study)
    assert table.fault.tolist() == ["", "", ""] and table.keypoints.tolist()[:2] == [25, 6]
    again, _ = gather_study([tmp_path], tmp_path / "study.csv", fps=25, size=SIZE)
    pd.testing.assert_frame_equal(again, written)


def test_a_second_import_keeps_what_people_wrote_into_the_table(folder, tmp_path):
    given = {"fps": 25, "size": SIZE}
    first, _ = gather_study([folder], tmp_path / "study.csv", **given)
    (tmp_path / "cameras.json").write_text("{}")
    text = first.assign(sex="f", leg_length_m=0.82, calibration="cameras.json").to_csv(
        index=False, sep=";", decimal=","
    )
    (tmp_path / "study.csv").write_text("\ufeff" + text + ";;;;;;\n", encoding="utf-8")  # as a spreadsheet saves it
    (folder / "sub-02_trial-1_dir-R2L_cam-A.mp4").rename(folder / "sub-03_trial-1_dir-R2L_cam-A.mp4")
    gather_study([folder], tmp_path / "study.csv", **given)
    study = read_study(tmp_path / "study.csv").set_index("participant")
    assert study.sex.to_dict() == {"sub-01": "f", "sub-03": ""}
    assert study.leg_length_m["sub-01"].tolist() == [0.82, 0.82] and np.isnan(study.leg_length_m["sub-03"])
    assert study.calibration["sub-01"].tolist() == 2 * [str(tmp_path / "cameras.json")]


def test_another_table_is_not_written_over(folder, tmp_path):
    (tmp_path / "grades.csv").write_text("name,grade\nanna,1\n")
    with pytest.raises(ValueError, match=r"grades.csv: expected a Study table to write again, got no column 'partici"):
        gather_study([folder], tmp_path / "grades.csv", fps=25, size=SIZE)
    assert (tmp_path / "grades.csv").read_text() == "name,grade\nanna,1\n"


def test_faults_of_a_folder_are_told_together(folder, tmp_path):
    (folder / "sub-02_trial-1_dir-L2R_cam-A.avi").write_bytes(b"")
    (folder / "sub-03_trial-1_cam-A.mp4").write_bytes((folder / "sub-02_trial-1_dir-R2L_cam-A.mp4").read_bytes())
    with pytest.raises(ValueError) as fault:
        gather_study([folder], tmp_path / "study.csv", size=SIZE, mirrored=["D"])
    for sentence in (
        "mirrored: expected views, A, B, got D",
        "cam-A_json: expected a video beside it, got none; give --fps and --size",
        "expected one file of video, got sub-02_trial-1_dir-L2R_cam-A.avi too; keep one of them",
        "sub-03_trial-1_cam-A.mp4: expected keypoints, or dir-R2L or dir-L2R in the name",
    ):
        assert sentence in str(fault.value)
    assert not (tmp_path / "study.csv").exists()


def test_nothing_understood_is_refused(tmp_path):
    (tmp_path / "walk.mp4").touch()
    with pytest.raises(ValueError, match=r"expected files named as sub-07.*walk.mp4"):
        gather_study([tmp_path], tmp_path / "study.csv")
    with pytest.raises(FileNotFoundError, match="none: expected a file or a folder"):
        gather_study([tmp_path / "none"], tmp_path / "study.csv")


def test_trc_in_pixels(tmp_path, walk):
    walk.position[3, :, 2] = np.nan
    path = write_trc(walk, tmp_path / "sub-01_trial-1_cam-A_px_person00.trc")
    tracks = import_tracks(path, 25, *SIZE)
    xr.testing.assert_allclose(tracks.position, walk.position)
    assert np.isnan(tracks.confidence).all()
    study, _ = gather_study([path], tmp_path / "study.csv", fps=25, size=SIZE)
    with pytest.raises(ValueError, match="set assumed_confidence"):
        table_study(tmp_path / "study.csv", tmp_path / "a")
    table_study(tmp_path / "study.csv", tmp_path / "b", assumed_confidence=0.9)
    assert study.direction.tolist() == ["R2L"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": 0.1}, "expected points in the image .* got points in space"),
        ({"scale": 0.01}, "expected pixels, got coordinates below 20"),
        ({"rate": 50}, "expected 25 frames/s, got a DataRate of 50"),
    ],
)
def test_trc_in_metres_or_space_is_refused(tmp_path, walk, change, message):
    with pytest.raises(ValueError, match=message):
        read_trc(write_trc(walk, tmp_path / "walk.trc", **change), 25, *SIZE)


def test_what_is_no_trc_is_refused(tmp_path):
    (tmp_path / "walk.trc").write_text("hello\n")
    with pytest.raises(ValueError, match="expected a TRC file, got something else"):
        read_trc(tmp_path / "walk.trc", 25, *SIZE)


def test_a_study_is_told_what_it_cannot_give(tmp_path):
    rows = []
    for participant, trial, view in [("ann", 1, "A"), ("ann", 1, "B"), ("bob", 1, "A")]:
        save_tracks(make_walk(seconds=1.0), tmp_path / "walk.nc")
        rows.append([participant, "f", trial, "R2L", view, "", "walk.nc", 25, False])
    columns = ["participant", "sex", "trial", "direction", "view", "video", "tracks", "fps", "mirrored"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "study.csv", index=False)
    told = describe(read_study(tmp_path / "study.csv"))
    assert told[0] == "2 participants, 2 trials, 3 recordings, views A, B"
    assert "1 trials have one view only and are left out of the comparison: bob trial 1" in told
    assert any("in pixels" in sentence for sentence in told)
