import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_walk
from lab_walk import lab_walk, oriented, stored_trial

from studykit.gait import cycles as gait
from studykit.gait import views
from studykit.gait.align import align_trial
from studykit.gait.analysis import analyse_study, analyse_trial, load_gait, save_arrays
from studykit.gait.events import LANDED, LEFT, find_events, heel_strikes, speed_changes, toe_offs
from studykit.gaitlab import nominal_cameras
from studykit.plots.gait import draw_curves, draw_spatiotemporal
from studykit.truth import errors as truth_errors
from studykit.truth import gait as truth_gait
from studykit.truth.reference import true_events, true_walk

FPS = 25.0


@pytest.fixture
def near(walk):
    return views.near_leg(views.orient(walk, "R2L"))


@pytest.fixture(scope="module")
def lab():
    """Perfect and slightly noisy tracks of both views of four walks of two people, aligned, with their truths."""
    trials = []
    for person, trial in ((1, 1), (1, 2), (2, 1), (2, 2)):
        truth, rows = lab_walk(person, trial, moved_cameras=True)
        for noise in (0.0, 1.5):
            tracks = stored_trial(truth, rows, noise_px=noise)
            trials.append((noise, truth, align_trial(rows, tracks, cameras=nominal_cameras())[0]))
    return trials


@pytest.mark.parametrize("phase", [0.0, 0.3, 1.1, 2.0])
def test_heel_strikes_of_a_cosine_are_its_maxima(phase):
    time = np.arange(150) / FPS
    body = 100 * time
    ankle = body + 50 * np.cos(2 * np.pi * time / 1.1 - phase)
    true = (phase / (2 * np.pi) + np.arange(7)) * 1.1
    inside = true[(true > 1 / FPS) & (true < time[-1] - 1 / FPS)]
    np.testing.assert_allclose(heel_strikes(ankle, body, FPS), inside, atol=0.001)
    halves = true + 0.55
    halves = np.r_[halves[0] - 1.1, halves]
    inside = halves[(halves > 1 / FPS) & (halves < time[-1] - 1 / FPS)]
    np.testing.assert_allclose(toe_offs(ankle, body, FPS), inside, atol=0.001)


def test_no_strike_is_told_where_positions_are_missing():
    time = np.arange(150) / FPS
    ankle = 50 * np.cos(2 * np.pi * time / 1.1 - 1)
    ankle[56:63] = np.nan  # over the strike at 2.4 s
    found = heel_strikes(ankle, 0 * time, FPS)
    true = (1 / (2 * np.pi) + np.array([0, 1, 3, 4, 5])) * 1.1
    np.testing.assert_allclose(found, true[true < time[-1]], atol=0.001)


def test_a_track_that_goes_over_to_the_other_leg_tells_no_strike():
    time = np.arange(150) / FPS
    ankle = 50 * np.cos(2 * np.pi * time / 1.1)
    lost = (time > 2 * 1.1 - 0.25) & (time < 2 * 1.1 + 0.3)  # from where the legs pass to where they pass again
    found = heel_strikes(np.where(lost, -ankle, ankle), 0 * time, FPS)
    np.testing.assert_allclose(found, 1.1 * np.array([1, 3, 4, 5]), atol=0.001)


def test_events_refuse_tracks_of_different_length_and_too_little():
    with pytest.raises(ValueError, match="expected ankle and reference of one length, got"):
        heel_strikes(np.zeros(10), np.zeros(9), FPS)
    with pytest.raises(ValueError, match="expected at least one stride"):
        heel_strikes(np.full(100, np.nan), np.zeros(100), FPS)


def test_foot_stops_and_starts_where_its_speed_passes_a_share_of_the_walking_speed():
    # Speed falls linearly from 2 to 0 between 1.0 and 1.2 s, walking speed 2.
    time = np.arange(60) / FPS
    slope = np.clip((time - 1) / 0.2, 0, 1)
    x = np.where(time < 1, 2 * time, 2 + 0.4 * (slope - slope**2 / 2))
    found = speed_changes(x, FPS, np.array([1.08]), stops=True, speed=2.0, before_s=0.1, after_s=0.16)
    np.testing.assert_allclose(found, 1 + 0.2 * (1 - LANDED), atol=0.003)
    near = time[-1] - np.array([1.08])
    back = speed_changes(-x[::-1], FPS, near, stops=False, speed=2.0, before_s=0.16, after_s=0.1)
    np.testing.assert_allclose(back, time[-1] - (1 + 0.2 * (1 - LEFT)), atol=0.003)


@pytest.mark.parametrize("method", ["distance", "velocity"])
def test_both_walking_directions_give_the_same_events(walk, near, method):
    back = views.near_leg(views.orient(views.mirror(walk), "L2R"))
    pd.testing.assert_frame_equal(find_events(near, method=method), find_events(back, method=method))


@pytest.mark.parametrize("reference", ["neck", "mid_hip"])
def test_strides_of_the_analytic_walk(near, reference):
    strikes = find_events(near, reference=reference, method="distance").query("event == 'heel_strike'").time_s
    np.testing.assert_allclose(np.diff(strikes), 1.1, atol=0.002)


def test_events_of_a_record_that_is_too_short_or_blind_are_none(near):
    assert find_events(near.isel(time=slice(10))).empty
    assert find_events(near.assign(position=near.position * np.nan)).empty
    with pytest.raises(ValueError, match="expected reference one of"):
        find_events(near, reference="nose")
    with pytest.raises(ValueError, match="expected method one of"):
        find_events(near, method="guess")


def test_incomplete_cycles_are_dropped_with_their_reason(near):
    events = find_events(near, method="distance")
    cycles = gait.find_cycles(near, events)
    assert cycles.kept.sum() == (events.event == "heel_strike").sum() - 1
    assert cycles.reason[~cycles.kept].tolist() == ["outside the record"] * 2
    start = cycles.start_s[cycles.kept].iloc[0]
    hole = near.position.copy()
    hole.loc[{"keypoints": "toe"}][int(start * FPS) + 8] = np.nan
    assert gait.find_cycles(near.assign(position=hole), events).reason[1] == "positions missing"
    assert "lasts less" in gait.find_cycles(near, events, min_stride_s=1.2).reason[1]
    without = gait.find_cycles(near, events[events.event == "heel_strike"])
    assert without.kept.sum() == cycles.kept.sum()
    assert without.toe_off_s.isna().all()


def test_a_record_without_strikes_is_one_dropped_cycle(near):
    cycles = gait.find_cycles(near, find_events(near.isel(time=slice(8))))
    assert cycles.reason.tolist() == ["no heel strike"]
    nothing = gait.over_cycles(near.position, cycles)
    assert np.isnan(nothing.mean("cycle")).all()
    np.testing.assert_array_equal(nothing.indexes["percent"], gait.PERCENT)  # so that it stands beside other trials


def test_a_straight_line_stays_straight_over_101_points():
    time = np.arange(50) / FPS
    values = xr.DataArray(3 + 2 * time, dims="time", coords={"time": time})
    cycles = pd.DataFrame({"start_s": [0.21], "end_s": [1.31], "kept": [True]})
    curve = gait.over_cycles(values, cycles).isel(cycle=0)
    np.testing.assert_allclose(curve, 3 + 2 * np.linspace(0.21, 1.31, 101))
    np.testing.assert_array_equal(curve.percent, np.arange(101))


def test_curves_are_relative_to_the_reference(near):
    cycles = gait.find_cycles(near, find_events(near, method="distance"))
    since, place = (gait.keypoint_curves(near, cycles, neck_origin=o) for o in ("heel_strike", "frame"))
    neck = {"keypoints": "neck", "space": "x"}
    assert float(np.abs(since.sel(**neck, percent=0)).max()) < 1e-9
    np.testing.assert_allclose(since.sel(**neck, percent=100), 180 * 1.1, atol=0.5)  # px/s times s
    np.testing.assert_allclose(place.sel(**neck, percent=100) - place.sel(**neck, percent=0), 198, atol=0.5)
    xr.testing.assert_equal(since.drop_sel(keypoints="neck"), place.drop_sel(keypoints="neck"))
    hip = gait.keypoint_curves(near, cycles, reference="mid_hip")
    np.testing.assert_allclose(hip.sel(keypoints="hip", space="x", percent=0), 0, atol=1e-9)


def pose(**points):
    names = list(points)
    return xr.DataArray(
        np.array([points[n] for n in names], float).T,
        dims=("space", "keypoints"),
        coords={"space": ["x", "y"], "keypoints": names},
    )


@pytest.mark.parametrize(
    ("points", "angles"),
    [
        # Standing: all zero.
        ({"hip": (0, 9), "knee": (0, 5), "ankle": (0, 1), "heel": (-1, 0), "toe": (2, 0)}, (0, 0, 0)),
        # Thigh level in front, shank hanging: sitting.
        ({"hip": (0, 5), "knee": (4, 5), "ankle": (4, 1), "heel": (3, 0), "toe": (6, 0)}, (90, 90, 0)),
        # Leg straight and 45 deg behind, toes pointing down along it: plantar flexed by 90.
        ({"hip": (4, 8), "knee": (2, 6), "ankle": (0, 4), "heel": (0, 4), "toe": (-2, 2)}, (-45, 0, -90)),
    ],
)
def test_joint_angles_of_known_postures(points, angles):
    found = gait.joint_angles(pose(**points))
    np.testing.assert_allclose(found, angles, atol=1e-9)
    np.testing.assert_allclose(gait.joint_angles(7 + 3 * pose(**points)), angles, atol=1e-9)


def test_joint_angles_agree_with_the_laboratorys_own():
    # Knee flexion of the walker's skeleton; its hip is measured against the pelvis, not the vertical, so only the
    # knee and the range of the thigh can be compared. Sagittal projection of a leg that is a little out of plane.
    truth, _ = lab_walk()
    angles = gait.joint_angles(true_walk(truth, "left").position.isel(individuals=0))
    knee = angles.sel(joint="knee")
    assert 0 < float(knee.min()) < 15 < 50 < float(knee.max()) < 75  # Schwartz et al. 2008: 5 to 64 deg
    thigh = angles.sel(joint="hip")
    assert 30 < float(thigh.max() - thigh.min()) < 55


def test_one_leg_tells_strides_but_no_steps(near):
    cycles = gait.find_cycles(near, find_events(near, method="distance"))
    table = gait.cycle_parameters(near, cycles)
    assert table.step_length_px.isna().all()
    np.testing.assert_allclose(table.stride_length_px, 180 * 1.1, atol=0.5)
    np.testing.assert_allclose(table.speed_px_s, 180, atol=0.5)
    np.testing.assert_allclose(table.cadence_steps_min, 120 / 1.1, atol=0.3)


def test_step_length_of_the_other_leg_from_the_opposite_view():
    # Ankles are 55 cos(...) px ahead of and behind the neck half a stride apart, plus 4 px between the two legs.
    walk = make_walk()
    left, right = (views.orient(walk, "R2L").pipe(pick) for pick in (views.near_leg, views.far_leg))
    table = gait.cycle_parameters(left, gait.find_cycles(left, find_events(left, method="distance")), right)
    np.testing.assert_allclose(table.step_length_px, 114, atol=1)


def errors(lab, noise):
    picked = [(truth, trial) for level, truth, trial in lab if level == noise]
    truths, trials = ({str(n): pair[i] for n, pair in enumerate(picked)} for i in (0, 1))
    cycles = analyse_study(trials).cycles
    timing = truth_gait.method_timing(trials, truths, reference="neck", min_stride_s=0.6)
    steps = truth_gait.parameter_errors(trials, truths, cycles)
    return cycles, timing, steps, truth_gait.joint_errors(trials, truths, cycles)


@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_errors_against_the_truth_are_within_those_of_stenum_2021(lab, noise):
    # Stenum et al. 2021, PLoS Comput Biol 17:e1008935: 0.02 s, 0.049 m, 0.10 m/s, 4.0, 5.6 and 7.4 deg.
    cycles, timing, steps, joints = errors(lab, noise)
    assert cycles.kept.sum() >= 16
    ours = timing[timing.method == "velocity"]
    strikes = ours[ours.event == "heel_strike"].error_s.abs().mean()
    assert strikes < 0.02
    mae = steps.assign(error=steps.error.abs()).groupby("parameter").error.mean()
    assert mae["step_length_m"] < 0.049 / 2
    assert mae["speed_m_s"] < 0.10 / 2
    angle = joints.groupby("joint").mae_deg.mean()
    assert angle["hip"] < 4.0 / 2
    assert angle["knee"] < 5.6 / 2
    assert angle["ankle"] < 7.4 / 2


def test_velocity_is_nearer_to_the_contacts_than_distance(lab):
    table = truth_errors.timing_table(errors(lab, 0.0)[1], ["method", "event"]).set_index(["method", "event"])
    for event in ("heel_strike", "toe_off"):
        assert table.mae_s["velocity", event] < table.mae_s["distance", event]
    assert table.bias_s["distance", "heel_strike"] < 0  # the swing ends before the foot lands


def test_results_of_a_trial_have_the_shape_of_the_study(lab):
    _, truth, trial = lab[0]
    events, cycles, curves, angles = analyse_trial(trial)
    assert curves.dims == ("view", "keypoint", "space", "percent")
    assert angles.dims == ("view", "joint", "percent")
    assert set(events.columns) == {"participant", "trial", "view", "side", "event", "time_s"}
    assert cycles[cycles.kept].filter(like="_m").notna().all(axis=None)
    short = analyse_trial(trial.isel(time=slice(15)))
    assert not short[1].kept.any()
    assert np.isnan(short[2]).all()
    assert true_events(truth.drop_vars(["event_time", "event_side", "event_name"]), "left").empty


def test_a_study_without_ground_truth_has_empty_tables_of_errors(lab):
    trials = {"sub-01_trial-1": lab[0][2]}
    gait_of = analyse_study(trials)
    timing = truth_gait.method_timing(trials, {}, reference="neck", min_stride_s=0.6)
    steps, joints = (f(trials, {}, gait_of.cycles) for f in (truth_gait.parameter_errors, truth_gait.joint_errors))
    assert truth_errors.timing_table(timing, ["method", "event"]).empty
    assert truth_errors.summarise(steps, ["parameter"]).empty
    beside = truth_errors.beside_stenum(timing, steps, joints)
    assert set(truth_errors.mae_numbers(beside, ("hip", "speed"))) == {"hip_mae_deg", "speed_mae_m_s"}
    assert set(truth_errors.mae_numbers(beside).values()) == {None}
    assert "No ground truth" in truth_errors.stenum_verdict(beside)


def test_gait_of_a_study_is_counted_and_comes_back_from_its_files(lab, tmp_path):
    trials = {f"{t.participant}_trial-{t.trial}": t for noise, _, t in lab if noise == 0}
    found = analyse_study(trials, reference="neck", neck_origin="heel_strike")
    assert found.curves.dims == ("participant", "trial", "view", "keypoint", "space", "percent")
    assert found.reasons().set_index("reason").loc["kept"].sum() == len(found.kept) == found.per_recording().sum()
    assert (found.per_recording() > 0).all()
    assert len(found.spatiotemporal()) == 8 and len(found.spatiotemporal_by_view()) == 2 * len(found.quantities)
    save_arrays(found, tmp_path)
    for name in ("events", "cycles"):
        getattr(found, name).to_csv(tmp_path / f"{name}.csv", index=False)
    back = load_gait(tmp_path)
    xr.testing.assert_identical(back.curves, found.curves)
    pd.testing.assert_series_equal(back.per_recording(), found.per_recording())
    blind = analyse_study({"a": lab[0][2].isel(time=slice(15))})
    assert blind.per_recording().tolist() == [0, 0] and "kept" not in blind.reasons().reason.to_list()
    assert list(blind.spatiotemporal_by_view()) == ["quantity"]
    assert "no parameters to draw" in draw_spatiotemporal(blind.spatiotemporal(), blind.quantities)
    assert "(n = 0)" in draw_curves(blind.curves)[0].legends[0].get_texts()[0].get_text()


def test_oriented_walks_of_both_views_walk_forward():
    truth, rows = lab_walk(trial=2)
    for row in rows:
        assert views.forward_speed(oriented(truth, row)) > 50
        assert views.forward_speed(true_walk(truth, "left")) == pytest.approx(1.1, abs=0.4)
