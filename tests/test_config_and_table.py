import pandas as pd
import pytest
import yaml

from studykit.study import read_study, recordings, split_people, write_study
from studykit.workflow.configuration import StudyConfig, load_config

CONFIG = {"version": 1, "name": "mine", "seed": 3, "dataset": "table"}


@pytest.fixture
def table(tmp_path):
    """A Study table of two views with empty video files beside it."""
    rows = []
    for view, direction in (("C1", "R2L"), ("C3", "L2R")):
        video = tmp_path / f"sub-01_trial-1_dir-{direction}_cam-{view}.mp4"
        video.write_bytes(b"")
        rows.append(
            {
                "participant": "sub-01",
                "sex": "f",
                "trial": 1,
                "direction": direction,
                "view": view,
                "video": str(video),
                "tracks": "",
                "fps": 25.0,
                "mirrored": False,
            }
        )
    return pd.DataFrame(rows)


def write_config(folder, **changes):
    content = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_config_is_read_with_its_defaults(tmp_path):
    assert load_config(write_config(tmp_path)) == StudyConfig(**CONFIG, pose="network", truth=False, notebooks={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, r"mine\.yaml: expected version 1, got 2"),
        ({"version": None}, "expected version 1, got None"),
        ({"seed": "seven"}, "seed: .*got 'seven'"),
        ({"dataset": "kinect"}, "dataset: expected 'gaitlab', 'table'.*got 'kinect'"),
        ({"sed": 1}, "sed: expected one of .*'seed'.* got an unknown key"),
        ({"name": "a/b"}, "name: .*got 'a/b'"),
        ({"notebooks": {"43_gait_cycles": 3}}, "notebooks.43_gait_cycles: .*got 3"),
    ],
)
def test_faulty_config_is_refused_in_one_sentence(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_config(write_config(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_missing_config_names_those_that_are_there(tmp_path):
    write_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there are \['mine.yaml'\]"):
        load_config(tmp_path / "other.yaml")


def test_table_round_trip_with_relative_paths(table, tmp_path):
    write_study(table, tmp_path / "study.csv")
    assert str(tmp_path) not in (tmp_path / "study.csv").read_text()
    back = read_study(tmp_path / "study.csv")
    pd.testing.assert_frame_equal(back[table.columns], table, check_dtype=False)


def test_table_as_a_spreadsheet_saves_it(table, tmp_path):
    path = tmp_path / "study.csv"
    write_study(table, path)
    plain = read_study(path)
    for text in (
        "\ufeff" + path.read_text().replace("\n", "\r\n"),
        "".join(f"{line},,\n" for line in path.read_text().splitlines()) + "\n" + 10 * "," + "\n",
        path.read_text().replace(",", ", "),
        plain.to_csv(sep=";", decimal=",", index=False).replace("False", "FALSE"),
    ):
        path.write_text(text, encoding="utf-8")
        pd.testing.assert_frame_equal(read_study(path), plain)


@pytest.mark.parametrize("content", [b"", b"participant,sex\n\xfc,f\n", b'participant,sex\n"a,f\n'])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "study.csv").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"study.csv: expected a table as CSV in UTF-8, got none \(.*\); save it as that"
    ):
        read_study(tmp_path / "study.csv")


def test_names_are_bids_like_and_the_near_side_follows_the_walk(table):
    first, second = recordings(table)
    assert first.name == "sub-01_trial-1_dir-R2L_cam-C1"
    assert second.walk == first.walk == "sub-01_trial-1"
    assert (first.near_side, second.near_side) == ("left", "right")
    flipped = table.assign(direction=["L2R", "R2L"], mirrored=True, weight_kg=70)
    assert [recording.near_side for recording in recordings(flipped)] == ["left", "right"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(wieght=70), "unknown column 'wieght'"),
        (lambda t: t.drop(columns="fps"), "expected a column 'fps', got none"),
        (lambda t: t.assign(view="C1"), "line 3: expected each participant, trial and view once"),
        (lambda t: t.assign(direction="left"), "line 2: expected R2L or L2R in 'direction', got 'left'"),
        (lambda t: t.assign(fps=0), "frames per second above 0"),
        (lambda t: t.assign(mirrored="maybe"), "true or false in 'mirrored', got 'maybe'"),
        (lambda t: t.assign(video=""), "a video or a tracks file, got neither"),
        (lambda t: t.assign(video=t.video + "x"), r"video: expected a file, got none at .*cam-C1\.mp4x"),
        (lambda t: t.iloc[:0], "at least one recording"),
    ],
)
def test_faulty_table_is_refused(table, tmp_path, change, message):
    path = tmp_path / "study.csv"
    change(table).to_csv(path, index=False)
    with pytest.raises(ValueError, match=message) as caught:
        read_study(path)
    assert str(caught.value).startswith(str(path))


def test_nobody_is_trained_and_tested_on():
    people = [f"sub-{i:02d}" for i in range(12)]
    split = split_people(people, (2 / 3, 1 / 3), seed=4)
    # as drawn for notebook 40 ever since
    assert split.participant[split.set == "test"].tolist() == ["sub-01", "sub-09", "sub-10", "sub-11"]
    assert split.participant.tolist() == people
    pd.testing.assert_frame_equal(split_people(reversed(people), (2 / 3, 1 / 3), seed=4), split)
    assert split_people(people[:2], (1, 0), seed=0).set.tolist().count("test") == 1  # at least one
    with pytest.raises(ValueError, match=r"expected people for each of train, test, got \[1, 0\] of 1"):
        split_people(["sub-01"] * 3, (0.5, 0.5), seed=0)


def test_split_shares_nobody_and_has_the_fractions():
    names = [f"p{n}" for n in range(40)]
    split = split_people(names, (0.7, 0.15, 0.15), seed=1)
    assert split["set"].value_counts().to_dict() == {"train": 28, "validation": 6, "test": 6}
    assert split.participant.tolist() == sorted(names)
    assert (split_people(names[::-1] * 2, (0.7, 0.15, 0.15), seed=1)["set"] == split["set"]).all()
    assert (split_people(names, (0.7, 0.15, 0.15), seed=2)["set"] != split["set"]).any()
    with pytest.raises(ValueError, match="that make 1, got"):
        split_people(names, (0.7, 0.7, 0.15), seed=1)
    with pytest.raises(ValueError, match=r"expected people for each of train, validation, test, got \[2, 1, 0\] of 3"):
        split_people(names[:3], (0.7, 0.15, 0.15), seed=1)
