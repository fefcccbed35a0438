"""The labelling widget: without a browser, and with one where there is one."""

import numpy as np
import pytest
from browser import lab, notebook, page  # noqa: F401

from studykit.datasets.labels import draw_frames, draw_labels, label_points, read_collected
from studykit.formats import read_deeplabcut
from studykit.study import read_study
from studykit.video import write_video
from studykit.widgets.labeller import Labeller


def make_study(folder, recordings=2):
    """Short grey films, two recordings of a trial each, and their table."""
    rows = ["participant,sex,trial,direction,view,video,tracks,fps,mirrored"]
    for n in range(recordings):
        name = f"sub-{n // 2 + 1:02d}_trial-1_dir-{('R2L', 'L2R')[n % 2]}_cam-C{1 + 2 * (n % 2)}"
        write_video((np.full((120, 160, 3), 8 * k, np.uint8) for k in range(12)), folder / f"{name}.mp4", 25)
        rows.append(f"sub-{n // 2 + 1:02d},f,1,{('R2L', 'L2R')[n % 2]},C{1 + 2 * (n % 2)},{name}.mp4,,25,false")
    (folder / "study.csv").write_text("\n".join(rows) + "\n")
    return read_study(folder / "study.csv")


@pytest.fixture
def study(tmp_path):
    return make_study(tmp_path)


@pytest.fixture
def labeller(study, tmp_path):
    return Labeller(study, draw_frames(study, videos=2, frames=3, seed=1), tmp_path / "CollectedData_me.csv")


def test_frames_are_drawn_once_and_the_same_for_a_seed(study):
    frames = draw_frames(study, videos=2, frames=3, seed=1)
    assert len(frames) == 6 and not frames.duplicated(["recording", "frame"]).any()
    assert frames.frame.between(0, 11).all()
    assert frames.equals(draw_frames(study, videos=2, frames=3, seed=1))
    assert not frames.equals(draw_frames(study, videos=2, frames=3, seed=2))
    assert len(draw_frames(study, videos=9, frames=99, seed=1)) == 24


def test_clicks_set_the_keypoints_in_order_and_are_saved_as_deeplabcut_reads_them(labeller, study):
    for k in range(6):
        labeller.click(10.5 * k, 20 + k)
    expected = np.array([[10.5 * k, 20 + k] for k in range(6)])
    np.testing.assert_allclose(labeller.points, expected)
    assert labeller.path.read_text().startswith("scorer,,,me,me")
    back = read_deeplabcut(labeller.path, 25, 160, 120)
    assert back.attrs["first_frame"] == labeller.frames.frame[0]
    assert list(back.keypoints.values) == ["neck", "hip", "knee", "ankle", "heel", "toe"]
    np.testing.assert_allclose(back.position[0, :, :, 0].T, expected)
    labeller.click(1, 1)  # one click too many
    np.testing.assert_allclose(labeller.points, expected)


def test_undo_skip_choose_and_outside(labeller):
    labeller.click(1, 1), labeller.click(2, 2)
    labeller.undo()
    assert labeller.points == [[1, 1], None, None, None, None, None] and labeller.current == 1
    labeller.skip()
    labeller.click(5, 5)
    assert labeller.points == [[1, 1], None, [5, 5], None, None, None]
    labeller.choose(0)
    labeller.click(7, 7)
    assert labeller.points[0] == [7, 7] and labeller.current == 1
    labeller.click(500, 5)
    assert labeller.points[1] is None and labeller.current == 1
    for _ in range(6):
        labeller.undo()
    assert labeller.current == 0 and labeller.labels.recording.tolist() == [labeller.frames.recording[0]]


def test_labels_are_still_there_after_a_restart(labeller, study):
    labeller.click(3, 4), labeller.click(5, 6)
    labeller.show(2)
    assert labeller.progress("mine.csv").startswith("1 of 6 frames have labels, in `mine.csv`")
    labeller.click(7, 8)
    again = Labeller(study, labeller.frames, labeller.path)
    assert again.index == 1  # the first frame without any
    again.show(0)
    assert again.points[:3] == [[3, 4], [5, 6], None]
    other = Labeller(study, draw_frames(study, videos=1, frames=1, seed=9), labeller.path)
    np.testing.assert_allclose(label_points(other.labels)[:, 0], [[3, 4], [7, 8]])


def test_notebook_40_takes_the_labels(tmp_path):
    study = make_study(tmp_path, recordings=4)
    labeller = Labeller(study, draw_frames(study, videos=4, frames=2, seed=1), tmp_path / "CollectedData_me.csv")
    for index in range(8):
        labeller.show(index)
        [labeller.click(10 * k + index, 20) for k in range(6)]
    options = {"videos": 1, "frames": 1, "test_fraction": 0.5, "test_videos": 1, "seed": 1}
    train, test, split = draw_labels(study, str(labeller.path), **options)
    assert (len(train), len(test)) == (4, 4) and set(split.part) == {"train", "test"}
    assert np.isfinite(label_points(train)).all()


CODE = """\
from studykit.datasets.labels import draw_frames
from studykit.study import read_study
from studykit.widgets.labeller import Labeller
study = read_study("study.csv")
Labeller(study, draw_frames(study, videos=2, frames=3, seed=1), "CollectedData_me.csv")
"""


@pytest.mark.lab
def test_in_a_browser_clicks_are_saved(lab, page):  # noqa: F811
    study = make_study(lab.folder)
    notebook(lab.folder / "label.ipynb", CODE)
    lab.open(page, "label.ipynb")
    lab.run_all(page)
    canvas = page.locator(".studykit-labeller canvas")
    canvas.wait_for(timeout=60_000)
    page.get_by_text("click the neck").wait_for()
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})  # fitted: the middle of the frame
    page.get_by_text("click the hip").wait_for()
    page.get_by_role("button", name="skip").click()
    page.get_by_text("click the knee").wait_for()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -100)
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})  # zoomed about the middle, it stays there
    page.get_by_text("click the ankle").wait_for()
    page.keyboard.press("u")
    page.get_by_text("click the knee").wait_for()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.get_by_text("click the ankle").wait_for()
    lab.screenshot(page, "labeller")
    page.get_by_role("button", name="next").click()
    page.get_by_text("Frame 2 of 6").wait_for()
    points = label_points(read_collected(lab.folder / "CollectedData_me.csv", study))
    np.testing.assert_allclose(points[0, [0, 2]], [[79.5, 59.5]] * 2, atol=0.5)
    assert np.isnan(points[0, [1, 3, 4, 5]]).all()
