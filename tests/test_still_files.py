"""Stills on disk: what is written comes back, splits share nobody, and broken files are named."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from studykit.datasets import stills as datasets_stills
from studykit.datasets.still_files import (
    kept_stills,
    load_split,
    load_stills,
    read_image,
    read_mask,
    save_stills,
)
from studykit.datasets.stills import stills_of, visibility_table
from studykit.gaitlab import simulate_scenes, simulate_stills
from studykit.notebook import save_table
from studykit.stills import Still, StillSet
from studykit.study import SETS, split_people


@pytest.fixture(scope="module")
def people():
    return simulate_stills(8, seed=6, size=64, skeleton="all", people=8)


@pytest.fixture
def saved(people, tmp_path):
    save_stills(people, tmp_path / "people")
    return tmp_path


def same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_allclose(a.keypoints, b.keypoints, rtol=1e-6)
    assert (a.mask is None) == (b.mask is None) and (a.mask is None or (a.mask == b.mask).all())
    assert (a.box, a.participant, a.source, a.scene) == (b.box, b.participant, b.source, b.scene)


def test_stills_come_back_as_they_were(people, saved):
    loaded = load_stills(saved / "people")
    assert loaded.keypoints == people.keypoints and loaded.participants == people.participants
    for before, after in zip(people, loaded, strict=True):
        same(before, after)


def test_scenes_share_their_image_and_odd_names_survive(tmp_path):
    scenes = simulate_scenes(5, seed=6, size=64, groups=[range(8)])
    table = save_stills(scenes, tmp_path / "scenes")
    assert table.image.nunique() == 5 == len(list((tmp_path / "scenes" / "images").iterdir()))
    loaded = load_stills(tmp_path / "scenes")
    assert loaded.by_scene() == scenes.by_scene()
    for before, after in zip(scenes, loaded, strict=True):
        same(before, after)
    plain = Still(np.zeros((4, 5, 3), np.uint8), np.zeros((1, 3), np.float32), participant="007", source='a, "b"')
    save_stills(StillSet([plain], ["nose"]), tmp_path / "scenes")
    same(load_stills(tmp_path / "scenes")[0], plain)


def test_some_are_kept_and_nothing_is_written_where_none_is(people, tmp_path):
    hidden = people[1].keypoints * [1, 1, 0]
    some = people.map(lambda still: replace(still, keypoints=hidden) if still.participant == "person-0001" else still)
    table = save_stills(some, tmp_path / "few", known_joints=0.01, most=3)
    assert table.participant.tolist() == ["person-0000", "person-0002", "person-0003"]
    with pytest.raises(ValueError, match="expected stills to save, got none of 8"):
        save_stills(people, tmp_path / "none", known_joints=1.01)
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


def test_stills_are_made_again_only_if_anything_changed_or_is_lost(people, tmp_path):
    calls = []

    def made(depends, **options):
        before = len(calls)
        table = kept_stills(tmp_path / "people", depends, lambda: calls.append(1) or people[:3], **options)
        assert len(table) == len(load_stills(tmp_path / "people")) and table.attrs.get("made", False) == (
            len(calls) > before
        )
        return len(calls) > before

    assert made({"seed": 1}) and not made({"seed": 1})
    assert made({"seed": 2}) and made({"seed": 2}, most=2) and not made({"seed": 2}, most=2)
    next((tmp_path / "people" / "images").iterdir()).unlink()
    assert made({"seed": 2}, most=2)
    (tmp_path / "people" / ".made_from").unlink()  # as after a kill
    assert made({"seed": 2}, most=2)
    assert kept_stills(tmp_path / "people", {}, lambda: people[:0]).empty and not (tmp_path / "people").exists()


def test_sets_are_those_of_the_split(people, saved):
    split = split_people(people.participants, (0.5, 0.25, 0.25), seed=0)
    save_table(split, saved / "split")
    sets = load_split(saved)
    assert list(sets) == list(SETS) and [len(part) for part in sets.values()] == [4, 2, 2]
    for name, part in sets.items():
        assert set(part.participants) == set(split.participant[split["set"] == name])
    with pytest.raises(ValueError, match="expected scenes of several people, got none"):
        load_split(saved, "scenes")
    save_table(split.replace("test", "train"), saved / "split")
    with pytest.raises(ValueError, match="expected people in every set, got none for test"):
        load_split(saved)


def test_folders_that_are_none_of_stills_are_named(saved):
    with pytest.raises(FileNotFoundError, match="notebook 01_stills makes it"):
        load_stills(saved / "nowhere")
    next((saved / "people" / "masks").iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match=r"expected 16 images and masks as .* names them, got 1 less"):
        load_stills(saved / "people")
    path = saved / "people" / "stills.csv"
    pd.read_csv(path).drop(columns="scene").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"stills\.csv: expected columns image, mask"):
        load_stills(saved / "people")


def test_pictures_that_are_not_as_expected_are_named(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    write = {
        "grey.png": colours[..., 0],
        "deep.png": colours.astype(np.uint16),
        "clear.png": np.dstack([colours] * 2)[..., :4],
    }
    for name, image in (write | {"whole.jpg": colours}).items():
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-300])
    (tmp_path / "empty.png").write_bytes(b"")
    assert (read_image(tmp_path / "grey.png") == colours[..., :1]).all()  # as some images of COCO are
    for name, fault in {
        "deep.png": "expected 8 bits a channel, got uint16",
        "clear.png": "expected one or three channels, got 4",
        "cut.jpg": "expected a whole image",
        "empty.png": "expected a whole image, got 0 bytes",
    }.items():
        with pytest.raises(ValueError, match=f"{name}: {fault}"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.png: expected an image file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="expected a mask of one channel, got 3"):
        read_mask(tmp_path / "whole.jpg")


def test_stills_of_a_study_are_rendered_once(tmp_path, monkeypatch):
    chosen = {"seed": 1, "count": 12, "scenes": 3, "bodies": 12, "size_px": 48, "known_joints": 0.5, "most_people": 2}
    first = stills_of("gaitlab", tmp_path, **chosen)
    assert first.attrs["made"] == ["people", "scenes"]
    pictures = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert first.groupby("kind").picture.nunique().to_dict() == {"people": 12, "scenes": 3}
    assert first.masked.all() and not first.pseudo.any()
    whose = first.groupby("participant").set.nunique()
    assert whose.eq(1).all()

    def never(*_, **__):
        raise AssertionError("rendered again")

    monkeypatch.setattr(datasets_stills, "simulate_stills", never)
    again = stills_of("gaitlab", tmp_path, **chosen)
    assert again.attrs["made"] == []
    pd.testing.assert_frame_equal(again, first)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == pictures
    fewer = stills_of("gaitlab", tmp_path, **chosen | {"scenes": 0})  # people are kept, scenes go
    assert fewer.kind.eq("people").all() and not (tmp_path / "scenes").exists()
    with pytest.raises(AssertionError, match="rendered again"):
        stills_of("gaitlab", tmp_path, **chosen | {"turned_deg": 90.0})


def test_what_is_seen_is_a_share_of_people_by_kind_of_picture():
    everybody = pd.DataFrame({"kind": ["people", "people", "scenes", "scenes"], "nose_v": [2, 1, 0, 0]})
    seen = visibility_table(everybody, ["nose"])
    assert seen.to_numpy().tolist() == [["nose", 0.5, 0.5, 0.0, "people"], ["nose", 0.0, 0.0, 1.0, "scenes"]]
