import csv
import json
import re

import h5py
import numpy as np
import pandas as pd
import pytest
import tables
import xarray as xr

from studykit.formats import (
    canonical_name,
    import_tracks,
    read_coco,
    read_deeplabcut,
    read_openpose,
    read_sleap,
    write_deeplabcut,
)
from studykit.skeletons import SKELETONS
from studykit.tracks import build_tracks, select_side

SIZE = (25.0, 640, 480)


def raw_csv(path):
    """Rows of a csv file, read by nothing of ours."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def write_openpose(folder, frames, name="clip"):
    """OpenPose files as its `--write_json` leaves them (doc/02_output.md)."""
    folder.mkdir(exist_ok=True)
    for number, people in frames.items():
        content = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": list(p)} for p in people]}
        (folder / f"{name}_{number:012d}_keypoints.json").write_text(json.dumps(content))
    return folder


def standing(skeleton, x=300.0, scale=1.0):
    """A standing person seen from the front: 25 points with confidence."""
    heights = {"eye": 5, "ear": 5, "shoulder": 60, "elbow": 110, "wrist": 150, "hip": 160, "knee": 250, "ankle": 330}
    heights |= {"heel": 340, "big_toe": 345, "small_toe": 344, "nose": 10, "neck": 60, "mid_hip": 160}
    heights |= {"upper_neck": 50, "head_top": -20}
    points = []
    for name in SKELETONS[skeleton].keypoints:
        side, _, rest = name.partition("_")
        bare = rest if side in ("left", "right") else name
        dx = {"left": 30, "right": -30}.get(side, 0)
        points += [x + scale * dx, 60 + scale * heights[bare], 0.9]
    return points


# ---- DeepLabCut


@pytest.mark.real_data
def test_deeplabcut_labels_keep_their_frames_and_numbers(real_data):
    path = real_data / "formats/deeplabcut/CollectedData_Mackenzie.csv"
    tracks = read_deeplabcut(path, *SIZE)
    rows = raw_csv(path)
    assert rows[1][1::2] == list(tracks.keypoints.values)
    for row in rows[3:]:
        frame = int(re.search(r"img(\d+)\.png", row[0])[1]) - tracks.attrs["first_frame"]
        expected = [float(value or "nan") for value in row[1:]]
        np.testing.assert_allclose(tracks.position[frame, :, :, 0].T.values.ravel(), expected)
    assert int(np.isfinite(tracks.position).any(("space", "keypoints", "individuals")).sum()) == len(rows) - 3
    assert np.isnan(tracks.confidence).all()  # a label has no likelihood
    xr.testing.assert_equal(tracks, read_deeplabcut(path.with_suffix(".h5"), *SIZE))


@pytest.mark.real_data
@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_deeplabcut_predictions_make_the_round_trip(real_data, tmp_path, suffix):
    path = real_data / "formats/deeplabcut/reachingDEMO_2D.h5"
    tracks = read_deeplabcut(path, *SIZE)
    table = pd.read_hdf(path)
    assert tracks.attrs["first_frame"] == table.index[0] == 42150
    assert tracks.sizes["time"] == 800
    wrist = table.xs("Left_wrist", axis=1, level="bodyparts").droplevel("scorer", axis=1)
    ours = tracks.sel(keypoints="left_wrist", individuals="person")
    np.testing.assert_array_equal(ours.position, wrist[["x", "y"]])
    np.testing.assert_array_equal(ours.confidence, wrist["likelihood"])
    write_deeplabcut(tracks, tmp_path / f"again{suffix}")
    again = read_deeplabcut(tmp_path / f"again{suffix}", *SIZE)
    xr.testing.assert_equal(again, tracks)
    assert again.attrs["first_frame"] == 42150


@pytest.mark.real_data
def test_h5_carries_what_deeplabcuts_own_pandas_looks_for(real_data, tmp_path, walk):
    # pandas < 3 takes the layout from `pandas_version`, which pandas 3 no longer writes.
    theirs = h5py.File(real_data / "formats/deeplabcut/reachingDEMO_2D.h5")
    write_deeplabcut(walk, tmp_path / "ours.h5")
    with theirs, h5py.File(tmp_path / "ours.h5") as ours:
        theirs, ours = theirs["df_with_missing"], ours["df_with_missing"]
        for key in ("pandas_version", "pandas_type", "table_type", "nan_rep", "index_cols", "data_columns", "levels"):
            assert ours.attrs[key] == theirs.attrs[key], key
        assert ours["table"].dtype.names == theirs["table"].dtype.names


@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_several_animals_make_the_round_trip(tmp_path, suffix):
    rng = np.random.default_rng(1)
    position, confidence = rng.uniform(0, 400, (6, 2, 3, 2)), rng.uniform(0, 1, (6, 3, 2))
    position[2, :, :, 1] = confidence[2, :, 1] = np.nan  # the second one is lost for a frame
    two = build_tracks(
        position, confidence, ["neck", "hip", "knee"], 25, width_px=640, height_px=480, individuals=["ann", "bob"]
    )
    write_deeplabcut(two, tmp_path / f"two{suffix}", scorer="net")
    xr.testing.assert_equal(read_deeplabcut(tmp_path / f"two{suffix}", *SIZE), two)


def test_csv_of_predictions_is_laid_out_as_deeplabcuts(walk, tmp_path):
    # DeepLabCut docs, standardDeepLabCut_UserGuide "Novel Video Analysis": scorer, bodyparts, coords; x, y, likelihood.
    write_deeplabcut(walk, tmp_path / "walk.csv", scorer="DLC_resnet50_gait")
    rows = raw_csv(tmp_path / "walk.csv")
    assert rows[0][:2] == ["scorer", "DLC_resnet50_gait"]
    assert rows[1][:5] == ["bodyparts", "neck", "neck", "neck", "left_hip"]
    assert rows[2][:4] == ["coords", "x", "y", "likelihood"]
    assert float(rows[3][1]) == walk.position.values[0, 0, 0, 0]
    assert [row[0] for row in rows[3:6]] == ["0", "1", "2"]


@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_labels_name_their_images_in_three_columns(walk, tmp_path, suffix):
    images = [f"labeled-data/walk/img{i:03d}.png" for i in range(20, 23)]
    write_deeplabcut(walk.isel(time=slice(0, 3)), tmp_path / f"labels{suffix}", scorer="me", images=images)
    back = read_deeplabcut(tmp_path / f"labels{suffix}", *SIZE)
    assert back.attrs["first_frame"] == 20
    np.testing.assert_array_equal(back.position, walk.position[:3])
    assert np.isnan(back.confidence).all()
    if suffix == ".csv":
        assert raw_csv(tmp_path / "labels.csv")[3][:3] == ["labeled-data", "walk", "img020.png"]
    with pytest.raises(ValueError, match="expected 100 images"):
        write_deeplabcut(walk, tmp_path / f"labels{suffix}", images=images)


def edited_csv(walk, path, edit):
    write_deeplabcut(walk.isel(time=slice(0, 6)), path)
    rows = raw_csv(path)
    edit(rows)
    path.write_text("\n".join(",".join(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows.insert(5, rows[5]), r"each frame once, got frame 2 again \(1 doubled"),
        (lambda rows: rows.pop(5), r"every frame from 0 to 5, got 1 missing, the first after frame 1; set gaps "),
        (lambda rows: rows[4].__setitem__(1, "oops"), r"numbers for neck/x, got 'oops'"),
        (lambda rows: rows.pop(0), r"header rows scorer, bodyparts, coords"),
        (lambda rows: rows.__delitem__(slice(3, None)), "at least one frame"),
        (lambda rows: rows[0].__setitem__(4, "someone"), "one scorer, got someone, studykit"),
        (lambda rows: rows[2].__setitem__(1, "z"), "coords x, y and likelihood, each once, got likelihood, x, y, z"),
        (lambda rows: rows[2].__setitem__(2, "x"), "each once, got likelihood, x, x.1, y"),
        (
            lambda rows: [row.__setitem__(k, "") for row in rows[3:] for k in range(1, 34)],
            "coordinates, got none in any",
        ),
        (lambda rows: rows[3].__setitem__(0, "first"), "a frame number in each name, got 'first'"),
    ],
)
def test_faulty_deeplabcut_files_are_refused_in_one_sentence(walk, tmp_path, edit, message):
    path = edited_csv(walk, tmp_path / "walk.csv", edit)
    with pytest.raises(ValueError, match=rf"walk\.csv: expected .*{message}") as error:
        read_deeplabcut(path, *SIZE)
    assert "\n" not in str(error.value)


def test_missing_frames_are_filled_or_closed_on_request(walk, tmp_path):
    path = edited_csv(walk, tmp_path / "walk.csv", lambda rows: rows.pop(5))
    filled, closed = (read_deeplabcut(path, *SIZE, gaps=gaps) for gaps in ("nan", "close"))
    assert filled.sizes["time"] == 6
    assert np.isnan(filled.position[2]).all()
    np.testing.assert_array_equal(filled.position[3], walk.position[3])
    assert closed.sizes["time"] == 5
    assert "1 frames without a row, nan" in filled.attrs["log"]


def test_labels_of_two_videos_are_refused(walk, tmp_path):
    images = ["labeled-data/a/img0.png", "labeled-data/b/img1.png"]
    write_deeplabcut(walk.isel(time=[0, 1]), tmp_path / "labels.csv", images=images)
    with pytest.raises(ValueError, match="frames of one video, got 2: labeled-data/a, labeled-data/b"):
        read_deeplabcut(tmp_path / "labels.csv", *SIZE)


def test_export_refuses_walking_coordinates_and_other_suffixes(walk, tmp_path):
    with pytest.raises(ValueError, match="image coordinates, got 'walk'"):
        write_deeplabcut(walk.assign_attrs(coordinate_system="walk"), tmp_path / "walk.csv")
    with pytest.raises(ValueError, match=r"suffix \.csv or \.h5"):
        write_deeplabcut(walk, tmp_path / "walk.txt")
    assert not list(tmp_path.iterdir())


# ---- SLEAP


@pytest.mark.real_data
def test_sleap_file_as_its_own_reader_sees_it(real_data):
    sleap_io = pytest.importorskip("sleap_io", reason="extra `interop` is not installed")
    path = real_data / "formats/sleap/minimal_instance.UNet.centroid_labels_pr.val.slp"
    tracks = read_sleap(path, *SIZE)
    labels = sleap_io.load_slp(str(path), open_videos=False)
    assert list(tracks.keypoints.values) == labels.skeleton.node_names
    for k, instance in enumerate(labels[0].instances):
        np.testing.assert_allclose(tracks.position[0, :, :, k].T, instance.numpy())
        np.testing.assert_allclose(tracks.confidence[0, :, k], instance.points["score"])


def test_sleap_tracks_gaps_and_hand_made_labels(tmp_path):
    sio = pytest.importorskip("sleap_io", reason="extra `interop` is not installed")
    skeleton = sio.Skeleton(["neck", "hip_L"])
    ann, bob = sio.Track("ann"), sio.Track("bob")
    video = sio.Video(filename="walk.mp4", open_backend=False)

    def predicted(x, track):
        points = np.array([[x, 10.0], [x, 20.0]])
        return sio.PredictedInstance.from_numpy(points, skeleton, point_scores=[0.8, 0.6], score=0.9, track=track)

    by_hand = sio.Instance.from_numpy(np.array([[5.0, 6.0], [np.nan, np.nan]]), skeleton, track=bob)
    frames = [
        sio.LabeledFrame(video=video, frame_idx=4, instances=[predicted(100, ann), by_hand, predicted(200, bob)]),
        sio.LabeledFrame(video=video, frame_idx=6, instances=[predicted(110, ann)]),
    ]
    sio.save_slp(sio.Labels(frames), str(tmp_path / "walk.slp"), verbose=False)
    tracks = read_sleap(tmp_path / "walk.slp", *SIZE)
    assert dict(tracks.sizes) == {"time": 3, "space": 2, "keypoints": 2, "individuals": 2}
    assert list(tracks.keypoints.values) == ["neck", "left_hip"]
    assert tracks.attrs["first_frame"] == 4
    np.testing.assert_allclose(tracks.position.sel(individuals="ann", space="x", keypoints="neck"), [100, np.nan, 110])
    np.testing.assert_allclose(tracks.position.sel(individuals="bob", space="x")[0], [5, np.nan])
    np.testing.assert_allclose(tracks.confidence.sel(individuals="ann")[0], [0.8, 0.6])
    with pytest.raises(ValueError, match="labelled frames of video 1, got none"):
        read_sleap(tmp_path / "walk.slp", *SIZE, video=1)
    with pytest.raises(ValueError, match="got 1 missing"):
        read_sleap(tmp_path / "walk.slp", *SIZE, gaps="refuse")


def test_hdf5_that_is_not_sleaps_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.slp", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"other\.slp: expected a SLEAP file"):
        read_sleap(tmp_path / "other.slp", *SIZE)


# ---- OpenPose


@pytest.mark.real_data
def test_openpose_body25_as_written(real_data):
    folder = real_data / "formats/openpose_body25"
    tracks = read_openpose(folder, *SIZE)
    assert tracks.attrs["source_software"] == "OpenPose, body25"
    assert tracks.sizes["time"] == len(list(folder.glob("*.json"))) == 20
    first = json.loads(min(folder.glob("*.json")).read_text())["people"][0]["pose_keypoints_2d"]
    neck = tracks.sel(keypoints="neck", individuals="person").isel(time=0)
    np.testing.assert_array_equal(neck.position, first[3:5])
    assert float(neck.confidence) == first[5]
    lost = tracks.sel(keypoints="left_ankle", individuals="person").isel(time=0)  # (0, 0, 0) in the file
    assert np.isnan(lost.position).all()
    assert float(lost.confidence) == 0


@pytest.mark.real_data
def test_wrong_25_point_skeleton_is_refused(real_data):
    with pytest.raises(ValueError, match="expected body25b, got points that lie as body25's"):
        read_openpose(real_data / "formats/openpose_body25", *SIZE, skeleton="body25b")


@pytest.mark.parametrize("skeleton", ["body25", "body25b"])
def test_both_25_point_skeletons_are_told_apart_by_anatomy(tmp_path, skeleton):
    folder = write_openpose(tmp_path / "json", {i: [standing(skeleton)] for i in range(3)})
    tracks = read_openpose(folder, *SIZE)
    assert tuple(tracks.keypoints.values) == SKELETONS[skeleton].keypoints
    leg = select_side(tracks, "left")  # BODY_25B has no neck: the middle of the shoulders
    np.testing.assert_allclose(leg.position.sel(keypoints="neck")[0, :, 0], [300, 120])


def test_several_people_become_individuals_or_the_largest(tmp_path):
    small, large = standing("body25", 100.0, 0.4), standing("body25", 400.0)
    folder = write_openpose(tmp_path / "json", {0: [small, large], 1: [large, small], 2: []})
    one = read_openpose(folder, *SIZE)
    np.testing.assert_allclose(one.position.sel(keypoints="neck", space="x")[:, 0], [400, 400, np.nan])
    both = read_openpose(folder, *SIZE, person="all")
    np.testing.assert_allclose(
        both.position.sel(keypoints="neck", space="x"), [[100, 400], [400, 100], [np.nan, np.nan]]
    )


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "clip_000000000001_keypoints.json").unlink(), "every frame from 0 to 2, got 1 missing"),
        (lambda f: (f / "clip_1_keypoints.json").write_bytes(next(f.glob("*1_k*")).read_bytes()), "got frame 1 again"),
        (lambda f: next(f.glob("*2_k*")).write_text('{"peo'), "people with pose_keypoints_2d"),
        (lambda f: write_openpose(f, {2: [[1.0] * 54]}), r"one number of points, got \[18, 25\]"),
        (lambda f: write_openpose(f, {5: []}, name="other"), r"files of one video, got 2: clip_\*_keypoints"),
        (lambda f: [p.unlink() for p in f.glob("*.json")], r"OpenPose files \(\.json\), got none"),
        (lambda f: write_openpose(f, {i: [] for i in range(3)}), "got nobody"),
    ],
)
def test_faulty_openpose_folders_are_refused(tmp_path, break_it, message):
    folder = write_openpose(tmp_path / "json", {i: [standing("body25")] for i in range(3)})
    break_it(folder)
    with pytest.raises(ValueError, match=rf"json.*: expected .*{message}"):
        read_openpose(folder, *SIZE)


# ---- COCO results


@pytest.mark.real_data
def test_coco_results_keep_every_person(real_data):
    path = next((real_data / "formats/coco").glob("*.json"))
    rows = json.loads(path.read_text())
    tracks = read_coco(path, *SIZE, person="all", gaps="close")
    assert tracks.sizes["time"] == len({row["image_id"] for row in rows})
    assert int((tracks.confidence.max("keypoints") > 0).sum()) == len(rows) == 125
    first = max((row for row in rows if row["image_id"] == 136), key=lambda row: row["score"])
    np.testing.assert_allclose(tracks.position[0, :, 0, 0], first["keypoints"][:2])
    assert float(tracks.confidence[0, 0, 0]) == first["score"]  # v is a flag here, so the person's score counts
    with pytest.raises(ValueError, match="got 1110 missing"):
        read_coco(path, *SIZE)


def test_coco_confidence_is_taken_where_it_is_one(tmp_path):
    def row(image, score, x):
        return {"image_id": image, "category_id": 1, "score": score, "keypoints": [x, 20.0, 0.7] * 17}

    path = tmp_path / "results.json"
    path.write_text(json.dumps([row(7, 0.3, 50.0), row(7, 0.9, 10.0), row(8, 0.5, 12.0)]))
    tracks = import_tracks(path, *SIZE)
    np.testing.assert_allclose(tracks.position.sel(space="x", keypoints="nose")[:, 0], [10, 12])
    np.testing.assert_allclose(tracks.confidence, 0.7)
    path.write_text(json.dumps([{**row(7, 0.3, 50.0), "keypoints": [1, 2, 3]}]))
    with pytest.raises(ValueError, match=r"51 numbers per person \(coco17\), got \[3\]"):
        read_coco(path, *SIZE)
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(
        ValueError,
        match=r"expected a COCO file of results .*expected a valid list, got dict",
    ):
        read_coco(path, *SIZE)


# ---- names and suffixes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("LAnkle", "left_ankle"),
        ("lankle", "left_ankle"),
        ("ankle_l", "left_ankle"),
        ("Right Big Toe", "right_big_toe"),
        ("RBigToe", "right_big_toe"),
        ("Neck", "neck"),
        ("toes", "toe"),
        ("MidHip", "mid_hip"),
        ("Hand", "Hand"),
        ("left_backofhand", "left_backofhand"),
    ],
)
def test_names_are_recognized(given, expected):
    assert canonical_name(given) == expected


def test_unknown_suffix_and_missing_file(tmp_path):
    (tmp_path / "walk.c3d").write_text("")
    with pytest.raises(ValueError, match=r"walk\.c3d: expected one of \.nc"):
        import_tracks(tmp_path / "walk.c3d", *SIZE)
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        import_tracks(tmp_path / "gone.csv", *SIZE)


class Trap:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("place", ["attribute", "array"])
def test_h5_with_code_in_it_is_refused_unread(tmp_path, place):
    with tables.open_file(tmp_path / "a.h5", "w") as file:
        group = file.create_group("/", "df_with_missing")
        if place == "attribute":
            group._v_attrs.pandas_type = Trap(tmp_path / "sprung")
        else:
            file.create_vlarray(group, "axis0", tables.ObjectAtom()).append(Trap(tmp_path / "sprung"))
    with pytest.raises(ValueError, match=r"a\.h5: expected names and numbers, got Python objects in 'df_with_missing"):
        read_deeplabcut(tmp_path / "a.h5", *SIZE)
    assert not (tmp_path / "sprung").exists()


def test_h5_in_pandas_fixed_format_is_read(tmp_path, walk):
    write_deeplabcut(walk, tmp_path / "table.h5")
    pd.read_hdf(tmp_path / "table.h5").to_hdf(tmp_path / "fixed.h5", key="df_with_missing", mode="w", format="fixed")
    found = read_deeplabcut(tmp_path / "fixed.h5", *SIZE)
    xr.testing.assert_equal(found.position, read_deeplabcut(tmp_path / "table.h5", *SIZE).position)
