"""Interactive views, played with from Python; tests/test_lab.py does it in a browser."""

import cv2
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_walk

from studykit.gait.align import align_trial
from studykit.gait.analysis import analyse_trial
from studykit.gait.views import mirror
from studykit.plots.style import LIMB_COLOURS
from studykit.stats import agreement, anova
from studykit.stats import curves as spm
from studykit.study import read_study, recordings
from studykit.tracks import select_side
from studykit.video import write_video
from studykit.widgets.views import TESTS, CurveView, TrialView, TurnView

HEADER = "participant,sex,trial,direction,view,video,tracks,fps,mirrored,width_px,height_px\n"


def shown(view):
    """The picture as it stands, (H, W, 3) uint8."""
    return cv2.imdecode(np.frombuffer(view.picture.value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A study of one trial: the walk's near leg, its mirror image as the other view, black films; tracks by view."""
    folder, walk = tmp_path_factory.mktemp("films"), make_walk(seconds=2.0)
    left = select_side(walk, "left")
    tracks = {"C1": left, "C3": mirror(left).assign_attrs(mirrored=0)}
    lines = []
    for direction, view in (("R2L", "C1"), ("L2R", "C3")):
        write_video((np.zeros((540, 960, 3), np.uint8) for _ in walk.time), folder / f"{view}.mp4", 25)
        lines.append(f"sub-01,f,1,{direction},{view},{view}.mp4,,25,false,960,540\n")
    (folder / "study.csv").write_text(HEADER + "".join(lines))
    study = read_study(folder / "study.csv")
    aligned, _, _ = align_trial(recordings(study), tracks)
    return study, tracks, aligned, analyse_trial(aligned)[0]


def test_trial_is_scrubbed_with_points_where_the_tracks_are(films):
    study, tracks, aligned, events = films
    view = TrialView(study, {"sub-01_trial-1": aligned}, events)
    strikes = events.time_s[events.event == "heel_strike"]
    assert view.frame.value == round(strikes.min() * 25)
    for frame in (view.frame.value, 40, 41):  # the first is read alone, the others from the whole film
        view.frame.value = frame
        picture = shown(view)
        for n, name in enumerate(("C1", "C3")):
            x, y = tracks[name].position.sel(keypoints="toe")[frame, :, 0].values / 2 + (484 * n, 0)
            toe = np.array(matplotlib.colors.to_rgb(LIMB_COLOURS["toe"])) * 255
            assert np.abs(picture[round(y), round(x)] - toe).max() < 40, (frame, name)
    view.frame.value = 10
    assert not np.array_equal(shown(view)[300:], picture[300:])  # the cursor on the curve


def test_trial_without_film_is_drawn_on_black(films):
    study, _, aligned, events = films
    view = TrialView(study.assign(video=""), {"sub-01_trial-1": aligned}, events)
    view.frame.value = 40
    assert shown(view)[:270].any() and shown(view)[0, 200].max() == 0


@pytest.fixture(scope="module")
def curves():
    """Six participants, two trials; the second view lies 2 px lower in y of the heel, and nowhere else."""
    rng = np.random.default_rng(3)
    shape = {"participant": 6, "trial": 2, "view": 2, "keypoint": 2, "space": 2, "percent": 101}
    noise = np.cumsum(rng.normal(0, 0.1, tuple(shape.values())), axis=-1)
    names = {"participant": [f"sub-{n}" for n in range(6)], "trial": [1, 2], "view": ["C1", "C3"]}
    names |= {"keypoint": ["knee", "heel"], "space": ["x", "y"], "percent": np.arange(101)}
    array = xr.DataArray(noise, names, list(shape), attrs={"unit": "px"})
    array.loc[{"view": "C3", "keypoint": "heel", "space": "y"}] -= 2
    array[0, 0, 1] = np.nan  # a trial with one view only
    return array


@pytest.fixture(scope="module")
def tables(curves):
    equal = agreement.equivalence_table(curves, 3.0)
    by_person = anova.perspective_anova(curves, "participant", 0.05)
    paired = spm.paired_t_table(curves, permutations=50)
    return {"anova": by_person, "paired": paired, "equivalence": equal[1], "band": equal[0]}


def test_curve_chosen_is_the_curve_tested(curves, tables):
    view = CurveView(curves, tables, 3.0)
    pictures = {bytes(view.picture.value)}
    for test in TESTS:
        view.test.value = test
        for view.space.value in "xy":
            pictures.add(bytes(view.picture.value))
    assert len(pictures) == 2 * len(TESTS)  # each choice its own picture
    paired = tables["paired"].query("keypoint == 'heel' and space == 'y' and method == 'parametric'").iloc[0]
    view.test.value = "SPM t, parametric"
    fig, axis = plt.subplots()
    said = view._spm(axis)
    t = axis.lines[0].get_ydata()
    plt.close(fig)
    assert t[np.abs(t).argmax()] == pytest.approx(paired.t_max) and f"{paired.t_max:.3g}" in said


def test_curve_that_is_refused_says_why(curves):
    one = curves.isel(participant=[0])
    equal = agreement.equivalence_table(one, 3.0)
    by_person = anova.perspective_anova(one, "participant", 0.05)
    tables = {"anova": by_person, "paired": spm.paired_t_table(one), "equivalence": equal[1], "band": equal[0]}
    view = CurveView(one, tables, 3.0)
    for view.test.value in TESTS:
        fig, axis = plt.subplots()
        said = {"both views": view._both, "equivalence": view._equivalence}.get(view.test.value, view._spm)(axis)
        plt.close(fig)
        assert "participant" in said, said


def test_networks_see_the_turned_picture():
    angles, image = [], np.full((32, 32, 3), 90, np.uint8)

    def look(angle_deg):
        angles.append(angle_deg)
        mask = np.zeros((32, 32))
        mask[8:24, 8:24] = angle_deg > 0
        return image, {"one": mask, "none": np.zeros((32, 32))}

    view = TurnView(look, angle_deg=0)
    before = shown(view)
    view.angle.value = 90
    changed = np.abs(shown(view).astype(int) - before).max(axis=(0, 2)) > 30
    assert angles == [0, 90]
    third = changed.size // 3
    assert changed[third : 2 * third].any() and not changed[2 * third + 40 :].any()  # the mask of the first network


def test_a_view_brings_its_picture_for_pages(curves, tables):
    view = CurveView(curves, tables, 3.0)
    data, _ = view._repr_mimebundle_()
    assert data["image/png"] == bytes(view.picture.value) and "application/vnd.jupyter.widget-view+json" in data


def test_unknown_events_leave_the_curve(films):
    study, _, aligned, _ = films
    none = pd.DataFrame(columns=["participant", "trial", "view", "event", "time_s"])
    view = TrialView(study, {"sub-01_trial-1": aligned}, none)
    assert view.frame.value == 25
