"""Errors against a truth that is exactly known, and a decomposition that must add up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from studykit.gait import cycles as gait
from studykit.gaitlab import build_truth, nominal_cameras
from studykit.skeletons import POINTS, SKELETONS
from studykit.study import Recording
from studykit.tracks import stack_views
from studykit.truth import errors, keypoints, perspective, reference
from studykit.truth.gait import angle_curves, true_cycles

NAMES = SKELETONS["gait11"].keypoints
FPS, STRIDE_S, SPEED = 25.0, 1.1, 1.2


def make_truth(legs_differ_m=0.0, moved_m=0.0, half_width_m=0.1, seconds=5.0):
    """A walk towards -x: smooth curves, legs half a cycle apart, two opposite cameras, all as truth files have it."""
    time = np.arange(round(seconds * FPS)) / FPS
    swing = {"hip": 0.0, "knee": 0.12, "ankle": 0.28, "heel": 0.29, "toe": 0.27}
    height = {"hip": 0.9, "knee": 0.5, "ankle": 0.1, "heel": 0.05, "toe": 0.03}
    ahead = {"heel": 0.05, "toe": -0.16}
    body = SPEED * (seconds / 2 - time)
    points = np.zeros((len(time), len(NAMES), 3))
    for k, name in enumerate(NAMES):
        side, _, part = name.partition("_")
        if not part:
            points[:, k] = np.stack([body, 1.45 + 0.02 * np.cos(4 * np.pi * time / STRIDE_S), 0 * time], 1)
            continue
        angle = 2 * np.pi * time / STRIDE_S + (np.pi if side == "right" else 0)
        extra = legs_differ_m if side == "right" and part in ("knee", "ankle") else 0.0
        points[:, k, 0] = body + ahead.get(part, 0) - (swing[part] + extra) * np.cos(angle)
        points[:, k, 1] = height[part] + 0.1 * swing[part] * np.clip(-np.sin(angle), 0, None)
        points[:, k, 2] = -half_width_m if side == "right" else half_width_m
    cameras = nominal_cameras()
    higher = np.array([0, moved_m, 0])
    cameras["C3"] = replace(cameras["C3"], t=-cameras["C3"].R @ (cameras["C3"].position + higher))
    starts = [("left", n * STRIDE_S) for n in range(5)] + [("right", (n + 0.5) * STRIDE_S) for n in range(5)]
    events = [(start, side, "heel_strike") for side, start in starts]
    events += [(start + 0.62 * STRIDE_S, side, "toe_off") for side, start in starts]
    events = sorted(event for event in events if event[0] <= time[-1])
    every = np.full((len(time), len(POINTS), 3), np.nan)
    every[:, [POINTS.index(name) for name in NAMES]] = points
    return build_truth(every, cameras, FPS, participant="sub-01", trial=1, events=events)


def recordings():
    return [Recording("sub-01", 1, view, way, FPS) for view, way in (("C1", "R2L"), ("C3", "L2R"))]


NEAR = {"C1": "left", "C3": "right"}  # of a walk towards -x, which C1 sees from right to left


@pytest.fixture(scope="module")
def truth():
    return make_truth()


def near_tracks(truth):
    views = {r.view: reference.true_leg(truth, r, NEAR[r.view]) for r in recordings()}
    # What a network gives: nothing outside the image.
    stacked = stack_views({view: t.assign(position=t.position.where(t.confidence > 0)) for view, t in views.items()})
    return stacked.assign_coords(side=("view", list(NEAR.values())))


def parts_of(truth, tracks, cycles, **options):
    pieces = perspective.perspective_curves(recordings(), truth, tracks, cycles, **options)
    measured = xr.concat(
        [
            gait.keypoint_curves(tracks.sel(view=view, drop=True), cycles[view]).mean("cycle")
            for view in tracks.view.values
        ],
        tracks.view,
    ).rename(keypoints="keypoint")
    return perspective.decompose_perspective(measured, **pieces.data_vars), measured


def cycles_at(truth, tracks, late_s=0.0):
    """Cycles found late in the first view; what is late in both cancels."""
    cycles = {}
    for view, side in NEAR.items():
        events = reference.true_events(truth, side)
        own = tracks.sel(view=view, drop=True)
        cycles[view] = gait.find_cycles(own, events.assign(time_s=events.time_s + late_s * (view == "C1")))
    return cycles


def test_perfect_tracks_are_the_keypoints_of_the_truth_file(truth):
    record = recordings()[1]  # walks to the right, so it is mirrored: x from the right edge is x itself
    walk = reference.true_leg(truth, record, "right")
    expected = truth.keypoints.sel(view="C3", point="right_ankle")
    ankle = walk.position.sel(keypoints="ankle").isel(individuals=0)
    np.testing.assert_allclose(ankle.sel(space="x"), expected.sel(space="x"), atol=1e-9)
    np.testing.assert_allclose(ankle.sel(space="y"), 539 - expected.sel(space="y"), atol=1e-9)


def test_a_mirrored_file_gives_the_same_walk(truth):
    record = recordings()[0]
    flipped = replace(record, mirrored=True, direction="L2R")
    a, b = (reference.true_leg(truth, r, "left") for r in (record, flipped))
    np.testing.assert_allclose(a.position, b.position, atol=1e-9)


def test_truth_against_itself_has_no_error(truth):
    perfect = reference.true_leg(truth, recordings()[0], "left")
    pixels = keypoints.keypoint_errors(perfect, perfect)
    assert (pixels.distance == 0).all()
    assert len(pixels) == int((perfect.confidence > 0).sum())
    events = reference.true_events(truth, "left")
    found = errors.event_errors(events, events)
    assert (found.outcome == "matched").all()
    assert (found.error_s == 0).all()
    walk = reference.true_walk(truth, "left")
    cycles = gait.find_cycles(walk, events)
    parameters = gait.cycle_parameters(walk, cycles, reference.true_walk(truth, "right"))
    steps = errors.spatiotemporal_errors(parameters, parameters)
    assert (steps.error == 0).all()
    assert len(steps) == 6 * cycles.kept.sum()
    angles = gait.over_cycles(gait.joint_angles(walk.position.isel(individuals=0)), cycles)
    assert (errors.angle_errors(angles, angles)[["bias_deg", "mae_deg", "rmse_deg"]] == 0).all(axis=None)


def test_known_shifts_come_back(truth):
    perfect = reference.true_leg(truth, recordings()[0], "left")
    shift = xr.DataArray([3.0, -4.0], dims="space", coords={"space": ["x", "y"]})
    moved = perfect.assign(position=(perfect.position + shift).transpose(*perfect.position.dims))
    summary = keypoints.pixel_summary(keypoints.keypoint_errors(moved, perfect), ["keypoint"], within_px=4.9)
    np.testing.assert_allclose(summary[["median_px", "p95_px"]], 5.0)
    np.testing.assert_allclose(summary[["bias_along_px", "bias_up_px"]], [[3.0, -4.0]] * 6)
    assert (summary["within_4.9px_percent"] == 0).all()

    events = reference.true_events(truth, "left")
    late = errors.event_errors(events.assign(time_s=events.time_s + 0.03), events)
    np.testing.assert_allclose(errors.timing_table(late, ["event"])[["bias_s", "mae_s"]], 0.03)

    angles = xr.DataArray(np.zeros((3, 101)), dims=("joint", "percent"), coords={"joint": list(gait.JOINTS)})
    found = errors.angle_errors(angles - 2.0, angles)
    np.testing.assert_allclose(found[["bias_deg", "mae_deg", "rmse_deg"]], [[-2.0, 2.0, 2.0]] * 3)


def test_points_that_were_not_found_count_as_not_within():
    truth = make_truth()
    perfect = reference.true_leg(truth, recordings()[0], "left")
    half = perfect.assign(position=perfect.position.where(perfect.time < perfect.time[len(perfect.time) // 2]))
    summary = keypoints.pixel_summary(keypoints.keypoint_errors(half, perfect), ["keypoint"])
    np.testing.assert_array_equal(summary.found_percent, summary.within_8px_percent)
    assert summary.found_percent.between(30, 70).all()
    assert (summary.median_px == 0).all()


def test_tracks_of_another_clock_are_refused(truth):
    perfect = reference.true_leg(truth, recordings()[0], "left")
    with pytest.raises(ValueError, match="on one clock, got 124 and 125 frames"):
        keypoints.keypoint_errors(perfect.isel(time=slice(1, None)), perfect)


def test_missed_and_spurious_events_are_counted():
    def strikes(*times):
        return pd.DataFrame({"event": "heel_strike", "time_s": times})

    found = errors.event_errors(strikes(0.1, 1.12, 1.3, 4.9), strikes(0.1, 1.1, 2.1, 3.1, 6.1), span_s=(1.0, 6.0))
    # 1.12 and 1.3 both lie near 1.1: only the nearer one is a pair. 4.9 is more than half a stride from any.
    assert found.outcome.value_counts().to_dict() == {"matched": 2, "spurious": 2, "missed": 2}
    np.testing.assert_allclose(found.error_s.dropna(), [0.0, 0.02])
    # A missed event outside the span in which the leg was seen is nobody's fault.
    assert 6.1 not in found.true_s[found.outcome == "missed"].to_list()


def test_no_events_at_all_are_all_missed():
    none = pd.DataFrame({"event": pd.Series(dtype=str), "time_s": pd.Series(dtype=float)})
    true = pd.DataFrame({"event": ["heel_strike", "toe_off"], "time_s": [1.0, 1.6]})
    assert errors.event_errors(none, true).outcome.to_list() == ["missed", "missed"]
    assert errors.event_errors(true, none).outcome.to_list() == ["spurious", "spurious"]


def test_true_cycles_are_those_behind_the_measured_ones(truth):
    tracks = near_tracks(truth)
    measured = cycles_at(truth, tracks, late_s=0.05)["C1"]
    measured.loc[measured.index[measured.kept][0], "kept"] = False
    true = true_cycles(measured, tracks.sel(view="C1", drop=True), reference.true_events(truth, "left"))
    np.testing.assert_allclose(true.start_s, measured.start_s[measured.kept] - 0.05)


def test_terms_add_up_to_the_measured_difference():
    # With every source of difference there is: legs, a moved camera, noise in the tracks, events found late.
    truth = make_truth(legs_differ_m=0.03, moved_m=0.05)
    tracks = near_tracks(truth)
    noise = np.random.default_rng(3).normal(0, 2, tracks.position.shape)
    tracks = tracks.assign(position=tracks.position + noise)
    cycles = cycles_at(truth, tracks, late_s=0.04)
    terms, measured = parts_of(truth, tracks, cycles, cameras=nominal_cameras())
    difference = measured.isel(view=0, drop=True) - measured.isel(view=1, drop=True)
    assert np.isfinite(difference).all()
    xr.testing.assert_allclose(terms.sum("term"), difference.transpose(*terms.dims[1:]), atol=1e-9)
    assert (np.abs(terms).max([d for d in terms.dims if d != "term"]) > 0.5).all()


def test_each_cause_lands_in_its_own_term():
    def largest(noise_px=0.0, late_s=0.0, **causes):
        truth = make_truth(**causes)
        tracks = near_tracks(truth)
        noise = np.random.default_rng(3).normal(0, noise_px, tracks.position.shape)
        tracks = tracks.assign(position=tracks.position + noise)
        terms, _ = parts_of(truth, tracks, cycles_at(truth, tracks, late_s), cameras=nominal_cameras())
        return np.abs(terms).max([d for d in terms.dims if d != "term"]).to_series()

    nothing = largest()
    np.testing.assert_allclose(nothing[["moved cameras", "tracking", "events"]], 0, atol=1e-9)
    for term, cause in {
        "moved cameras": {"moved_m": 0.1},
        "limb": {"legs_differ_m": 0.05},
        "tracking": {"noise_px": 3.0},
        "events": {"late_s": 0.06},
    }.items():
        assert largest(**cause)[term] > nothing[term] + 1
    # A steady camera, exact events: noise in the tracks is no other term's.
    noisy = largest(noise_px=3.0)
    np.testing.assert_allclose(noisy.drop("tracking"), nothing.drop("tracking"), atol=1e-9)


def test_limb_term_is_the_difference_of_the_legs():
    # Knees and ankles of the right leg swing 5 cm wider: at heel strike they are 5 cm further ahead of the neck,
    # which at 7.2 m and 1022 px of focal length is 7.1 px, the same seen by either camera.
    same, wider = (
        parts_of(truth := make_truth(legs_differ_m=by), tracks := near_tracks(truth), cycles_at(truth, tracks))[0]
        for by in (0.0, 0.05)
    )
    change = (wider - same).sel(term="limb", keypoint="ankle", space="x", percent=0)
    assert float(change) == pytest.approx(-0.05 * 1022 / 7.2, abs=0.2)


def test_the_order_of_the_views_only_changes_the_sign():
    truth = make_truth(legs_differ_m=0.03, moved_m=0.05)
    tracks = near_tracks(truth)
    cycles = cycles_at(truth, tracks, 0.03)
    pieces = perspective.perspective_curves(recordings(), truth, tracks, cycles, cameras=nominal_cameras())
    turned = perspective.perspective_curves(recordings()[::-1], truth, tracks, cycles, cameras=nominal_cameras())
    terms = perspective.decompose_perspective(pieces.timed, **pieces.data_vars)
    other = perspective.decompose_perspective(turned.timed, **turned.data_vars)
    xr.testing.assert_allclose(terms, -other, atol=1e-9)


def test_views_that_do_not_fit_are_refused(truth):
    tracks = near_tracks(truth)
    pieces = perspective.perspective_curves(recordings(), truth, tracks, cycles_at(truth, tracks))
    with pytest.raises(ValueError, match="expected two views"):
        perspective.decompose_perspective(pieces.timed.isel(view=[0]), **pieces.data_vars)
    none = {view: c.assign(kept=False) for view, c in cycles_at(truth, tracks).items()}
    with pytest.raises(ValueError, match="both measured and true in each view, got none in C1"):
        perspective.perspective_curves(recordings(), truth, tracks, none)


def test_shares_of_the_terms_sum_to_one():
    rng = np.random.default_rng(5)
    dims = ("term", "participant", "trial", "space", "keypoint", "percent")
    terms = xr.DataArray(rng.normal(size=(5, 6, 2, 2, 3, 101)), dims=dims)
    terms = terms.assign_coords(term=list(perspective.TERMS), space=["x", "y"], keypoint=["hip", "knee", "ankle"])
    terms[:, 2, 1] = np.nan  # one trial is missing
    sizes = perspective.term_sizes(terms)
    assert len(sizes) == 2 * 3 * 6
    whole = sizes.term == "measured difference"
    np.testing.assert_allclose(sizes[~whole].groupby(["keypoint", "space"]).share.sum(), 1)
    np.testing.assert_allclose(sizes.share[whole], 1)
    # Standard normal numbers: terms have the variance 1, their sum 5; a mean over two trials half of it.
    np.testing.assert_allclose(sizes.rms_trials[~whole], 1, atol=0.1)
    np.testing.assert_allclose(sizes.rms_trials[whole], np.sqrt(5), atol=0.2)
    np.testing.assert_allclose(sizes.rms_participants[~whole], np.sqrt((5 / 2 + 1) / 6), atol=0.1)
    text = perspective.verdict(terms, "px")
    assert text.count("root mean square") == 2
    assert all(text.count(term) >= 2 for term in perspective.TERMS)


def test_errors_stand_beside_those_of_stenum_2021():
    # Stenum et al. 2021: step length 0.049 m, knee 5.6 deg.
    parameters = pd.DataFrame(
        {"parameter": ["step_length_m", "step_length_m", "speed_px_s"], "error": [-0.02, 0.04, 9.0]}
    )
    joints = pd.DataFrame({"joint": ["knee"], "mae_deg": [2.8]})
    events = pd.DataFrame({"event": ["toe_off"], "error_s": [np.nan]})
    table = errors.beside_stenum(events, parameters, joints).set_index("quantity")
    assert table.index.to_list() == ["step_length", "knee"]  # pixels a second and missed events have no place there
    np.testing.assert_allclose(table.ratio, [0.03 / 0.049, 0.5])
    assert table.n.to_list() == [2, 1]


def test_a_study_is_decomposed_trial_by_trial_and_says_what_it_left_out():
    truth = make_truth(legs_differ_m=0.03)
    tracks = near_tracks(truth).assign_coords(first_frame=("view", [0, 0]))
    cycles = cycles_at(truth, tracks, late_s=0.04)
    _, measured = parts_of(truth, tracks, cycles)
    study = pd.DataFrame([vars(r) | {"trial": trial} for trial in (1, 2) for r in recordings()])
    curves = xr.concat([measured, measured], xr.Variable("trial", [1, 2])).expand_dims(participant=["sub-01"])
    curves = curves.assign_attrs(unit="px", reference="neck", neck_origin="heel_strike")
    rows = pd.concat([c.assign(participant="sub-01", trial=1, view=view) for view, c in cycles.items()])
    terms, excluded = perspective.decompose_study(
        study, {"sub-01_trial-1": truth}, {"sub-01_trial-1": tracks}, rows, curves
    )
    difference = measured.isel(view=0, drop=True) - measured.isel(view=1, drop=True)
    found = terms.sel(participant="sub-01", trial=1, drop=True).sum("term", skipna=False)
    xr.testing.assert_allclose(found, difference.transpose(*found.dims), atol=1e-9)
    assert excluded.trial.to_list() == ["sub-01_trial-2"]
    assert not np.isfinite(terms.sel(trial=2)).any()
    assert "px" in perspective.verdict(terms, "px")
    assert "no known cause" in perspective.verdict(terms.sel(trial=[2]), "px")


def test_true_angles_are_those_of_the_true_points():
    truth = make_truth()
    tracks = near_tracks(truth)
    cycles = cycles_at(truth, tracks)
    rows = pd.concat([c.assign(view=view) for view, c in cycles.items()])
    rows, walk = rows.assign(participant="sub-01", trial=1), "sub-01_trial-1"
    tracks = tracks.assign_attrs(participant="sub-01", trial=1)
    measured = gait.over_cycles(gait.joint_angles(tracks.position), cycles["C1"]).mean("cycle")
    measured = measured.expand_dims(participant=["sub-01", "sub-02"], trial=[1])
    found, true = angle_curves({walk: tracks}, {walk: truth}, rows, measured)
    assert found.dims == true.dims and list(true.participant) == ["sub-01"]
    # At heel strike the knee of make_truth lies 0.12 m ahead of the hip and 0.4 m below it.
    hip = true.sel(joint="hip", percent=0)
    np.testing.assert_allclose(hip, np.degrees(np.arctan2(0.12, 0.4)), atol=0.2)


def test_the_leg_is_visible_while_all_of_it_is_in_the_image(truth):
    seen = truth.assign(visibility=truth.visibility.copy())
    seen.visibility.loc[{"view": "C1", "point": "left_toe"}] = 0
    seen.visibility.loc[{"view": "C1", "point": "left_toe", "time": slice(1.0, 3.0)}] = 1
    assert reference.visible_span(seen, "C1", "left") == (1.0, 3.0)
    assert reference.visible_span(seen.isel(time=slice(5)), "C1", "left") == (np.inf, -np.inf)


def test_tracks_of_the_truth_are_its_keypoints_and_nothing_outside_the_image():
    truth, record = make_truth(seconds=8.0), recordings()[0]
    tracks = reference.truth_tracks(truth, record)
    inside = tracks.confidence.isel(individuals=0).sel(keypoints="left_knee") > 0
    expected = truth.keypoints.sel(view="C1", point="left_knee").where(inside.values[:, None])
    found = tracks.position.isel(individuals=0).sel(keypoints="left_knee").values
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert 0 < inside.mean() < 1
    with pytest.raises(ValueError, match=r"cam-C2: expected a view of \['C1', 'C3'\] as in its truth file, got 'C2'"):
        reference.truth_tracks(truth, replace(record, view="C2"))
