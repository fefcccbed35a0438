"""Labelled frames and errors, on a study whose videos carry a bright dot on the near ankle."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_walk

from studykit import gaitlab
from studykit.datasets.labels import GAIT6, draw_labels, label_points, labelled_stills, save_labels
from studykit.gait.views import mirror
from studykit.skeletons import POINTS
from studykit.study import Recording, recordings
from studykit.tracks import save_tracks, select_side
from studykit.truth.keypoints import error_table, study_errors, wrong_leg_table
from studykit.truth.reference import keypoints_of
from studykit.video import write_video

FRAMES = 12


def film(tracks, side, path):
    """Frames that show nothing but the ankle of one side."""
    ankle = select_side(tracks, side).position.sel(keypoints="ankle").values[..., 0]

    def frames():
        for x, y in ankle.round().astype(int):
            image = np.zeros((540, 960, 3), np.uint8)
            image[y - 4 : y + 5, x - 4 : x + 5] = 255
            yield image

    write_video(frames(), path, 25)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three people; C1 sees them walk to the left, C3 sees exactly the mirror image, which is their other side."""
    folder = tmp_path_factory.mktemp("study")
    rows = []
    for n in (1, 2, 3):
        walk = make_walk(seconds=FRAMES / 25, speed_px_s=150 + 20 * n)
        for view, direction, tracks in (("C1", "R2L", walk), ("C3", "L2R", mirror(walk).assign_attrs(mirrored=0))):
            row = {"participant": f"sub-0{n}", "sex": "", "trial": 1, "direction": direction, "view": view}
            row |= {"fps": 25.0, "mirrored": False, "truth": ""}
            name = Recording(**row).name
            row |= {"video": str(folder / f"{name}.mp4"), "tracks": str(folder / f"{name}.nc")}
            save_tracks(tracks, row["tracks"])
            film(tracks, Recording(**row).near_side, row["video"])
            rows.append(row)
    return pd.DataFrame(rows)


DRAWING = {"videos": 3, "frames": 4, "test_fraction": 0.34, "test_videos": 2, "seed": 5}


def test_frames_are_drawn_from_people_of_one_part_only(study):
    train, test, split = draw_labels(study, "tracks", **DRAWING)
    people = {name: set(split.participant[split.part == name]) for name in ("train", "test")}
    assert len(people["train"]) == 2 and len(people["test"]) == 1
    for name, part in (("train", train), ("test", test)):
        assert {recording[:6] for recording in part.recording} <= people[name]
    assert (train.groupby("recording").size() == 4).all() and train.recording.nunique() == 3 and len(test) == 8
    again, _, _ = draw_labels(study, "tracks", **DRAWING)
    pd.testing.assert_frame_equal(train, again)
    other, _, _ = draw_labels(study, "tracks", **DRAWING | {"seed": 6})
    assert not train.equals(other)


def test_every_still_walks_to_the_left_with_labels_on_its_picture(study):
    train, _, _ = draw_labels(study, "tracks", **DRAWING | {"videos": 4})
    assert train.recording.str.contains("L2R").any() and train.recording.str.contains("R2L").any()
    stills = labelled_stills(train, study)
    for still, label in zip(stills, label_points(train), strict=True):
        y, x = np.nonzero(still.image[..., 0] > 128)
        ankle = still.keypoints[GAIT6.index("ankle")]
        assert np.hypot(x.mean() - ankle[0], y.mean() - ankle[1]) < 1.5
        toe = still.keypoints[GAIT6.index("toe")]
        assert toe[0] < ankle[0]  # walking to the left, the toes point there
        flipped = "L2R" in still.source
        np.testing.assert_allclose(still.keypoints[:, 0], 959 - label[:, 0] if flipped else label[:, 0], rtol=1e-6)


def test_labels_come_back_from_a_deeplabcut_file(study, tmp_path):
    train, test, _ = draw_labels(study, "tracks", **DRAWING | {"videos": 99, "test_videos": 99})
    save_labels(pd.concat([train, test]), tmp_path / "CollectedData_me.csv", (960, 540))
    back, back_test, split = draw_labels(study, tmp_path / "CollectedData_me.csv", **DRAWING)
    for given, got in ((train, back), (test, back_test)):
        np.testing.assert_allclose(label_points(got), label_points(given), atol=1e-6)
        assert list(got.recording) == list(given.recording) and list(got.frame) == list(given.frame)
    assert set(split.part) == {"train", "test"}


def test_one_participant_is_split_by_frames(study):
    one = study[study.participant == "sub-01"].reset_index(drop=True)
    train, test, split = draw_labels(one, "tracks", **DRAWING)
    assert list(split.part) == ["both"] and len(train) > len(test) > 0
    frames = [set(zip(part.recording, part.frame, strict=True)) for part in (train, test)]
    assert not frames[0] & frames[1]


def test_what_is_missing_is_told(study, tmp_path):
    with pytest.raises(ValueError, match=r'sub-0\d_trial-1.*: expected a truth file for labels="truth", got none'):
        draw_labels(study, "truth", **DRAWING)
    with pytest.raises(ValueError, match='labels: expected "truth", "tracks" or a CollectedData csv file, got'):
        draw_labels(study, "trth", **DRAWING)
    (tmp_path / "c.csv").write_text(
        "scorer,,,me,me\nbodyparts,,,knee,knee\ncoords,,,x,y\nlabeled-data,a,img1.png,1,2\n"
    )
    with pytest.raises(
        ValueError, match=r"c.csv: expected body parts neck, hip, .*, got no neck, hip, ankle, heel, toe"
    ):
        draw_labels(study, tmp_path / "c.csv", **DRAWING)


@pytest.mark.parametrize("mirrored", [False, True])
def test_truth_is_of_the_near_side_in_the_stored_image(study, tmp_path, mirrored):
    position = np.random.default_rng(3).uniform([-1, 0.2, -0.3], [1, 1.6, 0.3], (5, len(POINTS), 3))
    truth = gaitlab.build_truth(position, gaitlab.nominal_cameras(), 25.0, participant="sub-01", trial=1)
    gaitlab.save_truth(truth, tmp_path / "truth.nc")
    recording = recordings(study.assign(truth=str(tmp_path / "truth.nc"), mirrored=mirrored))[0]
    known, side = keypoints_of(recording, "truth"), recording.near_side
    assert side == ("right" if mirrored else "left")  # R2L in the stored image, which may be flipped
    wanted = truth.keypoints.sel(view="C1", point=f"{side}_knee").values.copy()
    if mirrored:
        wanted[:, 0] = 959 - wanted[:, 0]
    np.testing.assert_allclose(known.position.sel(keypoints="knee").values[..., 0], wanted)


def test_errors_are_distances_and_name_the_wrong_leg(study, tmp_path):
    row = recordings(study)[0]
    known = keypoints_of(row, "tracks", far_leg=True)
    found = known.sel(keypoints=list(GAIT6)).copy(deep=True)
    found.position.loc[{"keypoints": "heel", "space": "y"}] += 3
    found.position.loc[{"keypoints": "knee"}] = known.position.sel(keypoints="far_knee")
    save_tracks(found, tmp_path / f"{row.name}.nc")
    errors = study_errors(study, tmp_path).set_index(["keypoint", "frame"])
    assert len(errors) == FRAMES * 6 and set(errors.reference) == {"tracks"}
    np.testing.assert_allclose(errors.loc["heel"].error_px, 3)
    np.testing.assert_allclose(errors.loc[["neck", "hip", "ankle", "toe"]].error_px, 0)
    apart = known.position.sel(keypoints="knee") - known.position.sel(keypoints="far_knee")
    distance = np.linalg.norm(apart.values[..., 0], axis=1)
    np.testing.assert_allclose(errors.loc["knee"].error_px, distance)
    np.testing.assert_array_equal(errors.loc["knee"].wrong_leg, distance > 20)
    table = wrong_leg_table(errors.reset_index()).set_index("keypoint")
    assert table.wrong_leg_percent["knee"] == pytest.approx(100 * np.mean(distance > 20)) and distance.max() > 20
    assert table.wrong_leg_percent[["hip", "ankle", "heel", "toe"]].eq(0).all()


def test_error_table_counts_what_the_cut_off_keeps():
    errors = pd.DataFrame({"keypoint": "knee", "error_px": [1.0, 2.0, 3.0, 30.0], "confidence": [0.9, 0.9, 0.9, 0.1]})
    table = error_table(errors, ["knee", "hip"]).set_index("keypoint")
    knee = table.loc["knee"]
    assert (knee.median_px, knee.within_percent, knee.median_px_cut, knee.within_percent_cut) == (2.5, 75, 2, 100)
    assert knee.kept_percent == 75 and knee.mean_px == 9 and knee.rmse_px == pytest.approx(np.sqrt(914 / 4))
    assert table.loc["hip"].points == 0 and np.isnan(table.loc["hip"].median_px) and table.loc["all"].points == 4


def test_nothing_known_gives_no_errors(study, tmp_path):
    assert study_errors(study.assign(tracks=""), tmp_path).empty
