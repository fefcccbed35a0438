"""Prediction: a network that finds coloured dots, given its weights by hand, on videos that tell where the dots are."""

import threading
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from studykit.gait.views import mirror
from studykit.pose.codecs import score_maps
from studykit.pose.examples.batches import ahead
from studykit.pose.prediction import (
    Predictor,
    person_centre,
    predict_frames,
    predict_study,
    predict_video,
)
from studykit.pose.tracked import confidence_table, frames_per_s, moments, walks_to_show
from studykit.skeletons import SKELETONS
from studykit.study import recordings
from studykit.tracks import load_tracks
from studykit.video import write_video

NAMES = SKELETONS["gait6"].keypoints
WIDTH, HEIGHT = 480, 240
REACH = 16  # half a square's side: one cell of 8 network px, 16 px of the frame, is always filled
# One pure colour a keypoint, and the plane that parts it from black and from the others.
COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) * 230
PLANES = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
LIMITS = np.array([0.4, 0.4, 0.4, 1.4, 1.4, 1.4])


def dot_network(gain=40.0, bias=0.0):
    """Score maps at stride 8 of six colours; no location refinement."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.AveragePooling2D(8)(image)
    scores = layers.Conv2D(6, 1, name="scores")
    model = keras.Model(image, scores(x), name="dots")
    scores.set_weights([gain * PLANES.T[None, None] / 230, bias - gain * LIMITS])
    return model


def named(model):
    return SimpleNamespace(model=model, name=model.name)


def decode(scores):
    return score_maps.decode(scores, np.zeros((*scores.shape[:3], 12), np.float32))


@pytest.fixture(scope="module")
def dots():
    return Predictor(named(dot_network()), NAMES, decode, key="one", scale=0.5, crop=(112, 112), multiple=8)


def dots_at(n, step_px=4.0, enters=0):
    """Where the six dots are in frame n, (6, 2); they come into the picture at frame `enters`."""
    offsets = np.array([[0, 0], [44, 4], [-46, 20], [4, 74], [50, 70], [-44, 90]])
    return np.array([WIDTH - 90 - step_px * (n - enters), 60]) + offsets


def walk_of_dots(frames=24, step_px=4.0, enters=0):
    """Frames in which six coloured squares move to the left."""
    for n in range(frames):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        if n >= enters:
            for (x, y), colour in zip(dots_at(n, step_px, enters).round().astype(int), COLOURS, strict=True):
                image[y - REACH : y + REACH, x - REACH : x + REACH] = colour
        yield image


def truth_of_dots(frames=24, step_px=4.0, enters=0):
    # A square from x - 16 to x + 15 has its centre at x - 0.5.
    return np.stack([dots_at(n, step_px, enters).round() - 0.5 for n in range(frames)])


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "dots.mp4"
    write_video(walk_of_dots(), path, 25, quality=1)
    return path


def found_in(predictor, frames, **options):
    return np.concatenate(list(predict_frames(predictor, frames, **options)))[:, 0]


@pytest.mark.parametrize("step_px", [0.0, 4.0, 11.0])
def test_crop_follows_and_finds_what_whole_frames_find(dots, step_px):
    count = 20
    cropped = found_in(dots, walk_of_dots(count, step_px))
    error = np.linalg.norm(cropped[..., :2] - truth_of_dots(count, step_px), axis=-1)
    everywhere = found_in(Predictor(dots.network, NAMES, decode, 0.5, None, 8), walk_of_dots(count, step_px))
    assert error.max() < 8  # half a cell of the network, 16 px of the frame
    whole_error = np.linalg.norm(everywhere[..., :2] - truth_of_dots(count, step_px), axis=-1)
    assert error.mean() < whole_error.mean() + 0.5
    assert (cropped[..., 2] > 0.5).all()


def test_person_who_enters_late_is_found(dots):
    found = found_in(dots, walk_of_dots(30, enters=13))
    assert (found[:13, :, 2] < 0.01).all()
    error = np.linalg.norm(found[13:, :, :2] - truth_of_dots(30, enters=13)[13:], axis=-1)
    assert error.max() < 8 and (found[13:, :, 2] > 0.5).all()


def test_network_that_is_never_sure_is_followed_too(dots):
    # As after a short training: right places, confidences below one half.
    shy = Predictor(named(dot_network(gain=6.0, bias=-4.4)), NAMES, decode, scale=0.5, crop=(112, 112), multiple=8)
    found = found_in(shy, walk_of_dots(20))
    assert found[..., 2].min() > 0.1 and found[..., 2].max() < 0.5
    assert np.linalg.norm(found[..., :2] - truth_of_dots(20), axis=-1).max() < 8


def test_person_is_where_most_of_the_keypoints_are():
    around = np.array([[100, 50, 0.4], [110, 90, 0.5], [95, 130, 0.3], [90, 170, 0.4], [105, 175, 0.3]])
    stray, unsure = [700, 300, 0.5], [300, 20, 0.05]
    found = np.array([[*around, stray], [*around, unsure], [[*xy, 0.01] for xy in [*around[:, :2], stray[:2]]]])
    centres = person_centre(found, reach=np.array([100, 150]))
    np.testing.assert_allclose(centres, [[100, 112.5], [100, 112.5], [np.nan, np.nan]])


def test_batches_do_not_change_what_is_found(dots):
    everywhere = Predictor(dots.network, NAMES, decode, 0.5, None, 8)
    one, many = (found_in(everywhere, walk_of_dots(20), batch_size=n) for n in (1, 7))
    np.testing.assert_allclose(one, many, atol=1e-3)


def test_predicting_on_the_mirror_image_equals_mirroring(dots, video, tmp_path):
    # Lossless, so that both videos hold the very same pixels.
    frames = list(walk_of_dots(12))
    for name, images in (("there", frames), ("back", [np.ascontiguousarray(f[:, ::-1]) for f in frames])):
        write_video(images, tmp_path / f"{name}.mp4", 25, quality=0)
    there = predict_video(dots, tmp_path / "there.mp4")
    back = predict_video(dots, tmp_path / "back.mp4", flip=True)
    np.testing.assert_allclose(mirror(back).position, there.position, atol=1e-4)
    np.testing.assert_allclose(back.confidence, there.confidence, atol=1e-5)
    assert float(back.position.sel(space="x").diff("time").median()) > 0 > float(there.position.diff("time").min())


def test_tracks_tell_rate_size_and_source(dots, video):
    seen = []
    tracks = predict_video(dots, video, on_frames=seen.append, mirrored=True)
    assert tracks.attrs["fps"] == 25 and tracks.sizes["time"] == 24 and sum(seen) == 24
    assert (tracks.attrs["width_px"], tracks.attrs["height_px"], tracks.attrs["mirrored"]) == (WIDTH, HEIGHT, 1)
    assert tracks.attrs["source_file"] == "dots.mp4"


@pytest.fixture
def study(video, tmp_path):
    """Two views of one trial: one walks to the left, the other, mirrored, to the right."""
    opposite = tmp_path / "opposite.mp4"
    write_video((np.ascontiguousarray(f[:, ::-1]) for f in walk_of_dots()), opposite, 25, quality=1)
    common = {"participant": "sub-01", "sex": "", "trial": 1, "fps": 25.0, "mirrored": False, "tracks": ""}
    rows = [{"direction": "R2L", "view": "C1", "video": str(video)}]
    rows += [{"direction": "L2R", "view": "C3", "video": str(opposite)}]
    return pd.DataFrame([common | row for row in rows])


def test_study_is_resumed_where_it_was_stopped(dots, study, tmp_path):
    folder = tmp_path / "tracks"
    first = predict_study(dots, study, folder, progress=False)
    assert first.predicted.all() and list(first.frames) == [24, 24]
    names = [recording.name for recording in recordings(study)]
    before = load_tracks(folder / f"{names[1]}.nc")
    assert before.attrs["near_side"] == "right"
    error = before.position.isel(individuals=0, space=0).values - (WIDTH - 1 - truth_of_dots()[..., 0])
    assert np.abs(error).max() < 8
    (folder / f"{names[1]}.nc").unlink()
    (folder / "sub-99_trial-1_dir-R2L_cam-C1.nc").write_text("of an earlier study")
    again = predict_study(dots, study, folder, progress=False)
    assert again.predicted.tolist() == [False, True] and again.seconds[0] == first.seconds[0]
    assert frames_per_s(again) == pytest.approx(48 / again.seconds.sum())
    assert load_tracks(folder / f"{names[1]}.nc").identical(before)
    assert sorted(path.stem for path in folder.glob("*.nc")) == sorted(names)
    other = predict_study(replace(dots, key="another network"), study, folder, progress=False)
    assert other.predicted.all()


def test_a_walk_is_shown_in_all_its_views(dots, study, tmp_path):
    both = pd.concat([study, study.assign(participant="sub-02", trial=3)])
    predict_study(dots, both, tmp_path, progress=False)
    walks = walks_to_show(both, seen=["sub-01"])
    assert [[one.name for one in views] for views in walks] == [
        [f"{who}_dir-{way}_cam-{view}" for way, view in (("R2L", "C1"), ("L2R", "C3"))]
        for who in ("sub-02_trial-3", "sub-01_trial-1")
    ]
    pictures = moments(walks[0], tmp_path, shares=(0, 1))
    assert [title for title, _, _ in pictures] == ["C1, 0.00 s", "C1, 0.92 s", "C3, 0.00 s", "C3, 0.92 s"]
    for title, frame, points in pictures[:2]:
        wanted = truth_of_dots()[0 if "0.00" in title else -1]
        assert frame.shape == (HEIGHT, WIDTH, 3) and np.abs(points[:, :2] - wanted).max() < 8
    table = confidence_table(both, tmp_path, NAMES, p_cutoff=0.5)
    assert list(table) == ["view", *NAMES, "not_highest_percent"] and list(table.view) == ["C1", "C3"]
    assert table[list(NAMES)].eq(100).all(axis=None) and table.not_highest_percent.eq(0).all()


def test_faulty_videos_are_all_named_before_any_work(dots, study, tmp_path):
    write_video(walk_of_dots(20), study.video[1], 25)
    late = study.assign(trial=2, fps=30.0, video=[study.video[0], str(tmp_path / "none.mp4")])
    with pytest.raises(ValueError) as caught:
        predict_study(dots, pd.concat([study, late]), tmp_path / "tracks", progress=False)
    for said in (
        r"none.mp4: expected a video file, got none",
        "expected 30 frames/s as the Study table says, got 25",
        "expected the same number of frames in both views, got 24 (C1) and 20 (C3)",
    ):
        assert said in str(caught.value)
    assert not (tmp_path / "tracks").exists()


def test_memory_does_not_grow_with_the_video(dots):
    def peak(frames):
        tracemalloc.start()
        found_in(dots, ahead(walk_of_dots(frames, 0.0), 16), batch_size=4)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory

    peak(10)
    frame = WIDTH * HEIGHT * 3
    assert peak(240) < peak(60) + 10 * frame


def test_ahead_keeps_order_raises_errors_and_ends_its_thread():
    threads = threading.active_count()
    assert list(ahead(iter(range(50)), 3)) == list(range(50))

    def broken():
        yield 1
        raise ValueError("a broken frame")

    items = ahead(broken(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="a broken frame"):
        next(items)
    endless = ahead(iter(int, 1), 3)
    assert next(endless) == 0
    endless.close()
    assert threading.active_count() == threads
