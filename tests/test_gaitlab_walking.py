"""The walkers of the laboratory: on the floor, inside the norms, the same every time."""

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from studykit.gaitlab.body import load_body
from studykit.gaitlab.record import participant_sex
from studykit.gaitlab.walking import JOINTS, SIDES, SOLE_M, _foot_points, draw_style, schwartz_curve, walk
from studykit.skeletons import POINTS

PEOPLE = range(1, 9)


@cache
def walker(person, seconds=5.0, fps=25.0, trial=1):
    rng = np.random.default_rng([7, person])
    sex = participant_sex(person)
    figure = load_body().figure(sex, rng)
    style = draw_style(sex, rng)
    trial_rng = np.random.default_rng([7, person, trial])
    return figure, walk(figure, style, round(seconds * fps), fps, trial_rng, -1 if trial % 2 else 1)


def cycles(motion, fps):
    """Mean angles (side, joint, 51) over the gait cycle, by the walk's own heel strikes."""
    time = np.arange(len(motion.angles)) / fps
    out = np.empty((2, len(JOINTS), 51))
    for s, side in enumerate(SIDES):
        strikes = [t for t, where, name in motion.events if where == side and name == "heel_strike"]
        for j in range(len(JOINTS)):
            out[s, j] = np.mean(
                [
                    np.interp(a + (b - a) * np.linspace(0, 1, 51), time, motion.angles[:, s, j])
                    for a, b in pairwise(strikes)
                ],
                axis=0,
            )
    return out


def contact_places(figure, motion):
    """Heel and ball under both shoes (time, side, heel/ball, 3), by the pose of the foot's bone."""
    foot = _foot_points(figure)
    bone = figure.body.bone
    return np.stack(
        [
            np.stack(
                [
                    motion.positions[:, b] + motion.rotations[:, b] @ np.array([0, *foot[name]])
                    for name in ("heel", "ball")
                ],
                axis=1,
            )
            for b in (bone["foot_l"], bone["foot_r"])
        ],
        axis=1,
    )


@pytest.mark.parametrize("person", PEOPLE)
def test_feet_rest_on_the_floor_and_do_not_slide(person):
    figure, motion = walker(person)
    places = contact_places(figure, motion)
    resting = motion.contacts[1:] & motion.contacts[:-1]
    slip = np.linalg.norm(np.diff(places, axis=0), axis=-1)[resting]
    assert resting.sum() > 100
    assert slip.max() < 0.0005
    assert_allclose(places[motion.contacts][:, 1], SOLE_M, atol=0.0003)


@pytest.mark.parametrize("person", PEOPLE)
def test_nothing_of_the_foot_goes_through_the_floor(person):
    figure, motion = walker(person)
    body = figure.body
    for suffix in ("_l", "_r"):
        for bone in ("foot", "ball"):
            b = body.bone[bone + suffix]
            skin = figure.vertices[(body.part == 1) & (body.main_bone == bone + suffix)] - figure.joints[b]
            height = motion.positions[:, b, 1, None] + motion.rotations[:, b, 1] @ skin.T
            assert height.min() > 0  # the bare foot stays above the ground under the shoe's sole of 22 mm


def test_heel_strike_and_toe_off_are_the_ends_of_contact():
    _, motion = walker(1, seconds=6, fps=100.0)
    for s, side in enumerate(SIDES):
        down = motion.contacts[:, s].any(axis=-1)
        edges = np.diff(down.astype(int))
        for name, sign in (("heel_strike", 1), ("toe_off", -1)):
            frames = np.flatnonzero(edges == sign)
            times = np.array([t for t, where, what in motion.events if where == side and what == name])
            assert len(times) >= 3
            assert_array_equal(np.floor(times * 100).astype(int), frames)


@pytest.mark.parametrize("person", PEOPLE)
def test_joint_angles_lie_within_the_norms(person):
    # Schwartz et al. 2008, free speed: mean curves; between-subject SDs 5 to 7 (hip), 5.5 to 9 (knee), 4 to 9.5 deg
    # (ankle). Every mean cycle is to lie within two of the middle SDs.
    _, motion = walker(person, seconds=8.0)
    phase = np.linspace(0, 1, 51)
    for j, (joint, sd) in enumerate((("hip", 6.0), ("knee", 7.0), ("ankle", 6.5))):
        off = cycles(motion, 25)[:, j] - schwartz_curve(joint, phase)
        assert np.abs(off).max() < 2 * sd, joint


@pytest.mark.real_data
def test_joint_angles_lie_within_the_published_bands(real_data):
    norms = json.loads((real_data / "Schwartz2008.json").read_text())["Schwartz2008"]["Free"]
    for person in PEOPLE:
        curves = cycles(walker(person, seconds=8.0)[1], 25)
        for j, name in enumerate(("HipAngles", "KneeAngles", "AnkleAngles")):
            _, low, high = np.array(norms[name]["X"]).T  # one SD around the mean
            assert (np.abs(curves[:, j] - (low + high) / 2) <= high - low).all(), name


@pytest.mark.real_data
def test_coefficients_are_those_of_the_published_curves(real_data):
    norms = json.loads((real_data / "Schwartz2008.json").read_text())["Schwartz2008"]["Free"]
    for joint, name, tolerance in (
        ("hip", "HipAngles", 0.3),
        ("knee", "KneeAngles", 0.3),
        ("ankle", "AnkleAngles", 1.3),
    ):
        percent, low, high = np.array(norms[name]["X"]).T
        assert_allclose(schwartz_curve(joint, percent / 100), (low + high) / 2, atol=tolerance)


def test_strides_vary_and_speed_is_that_of_a_short_laboratory():
    speeds = [walker(person)[1].speed_m_s for person in PEOPLE]
    assert min(speeds) > 0.8 and max(speeds) < 1.35
    assert np.std(speeds) > 0.03
    _, motion = walker(1, seconds=10.0)
    strikes = [t for t, side, name in motion.events if side == "left" and name == "heel_strike"]
    assert 0.005 < np.std(np.diff(strikes)) < 0.08


def test_odd_trials_walk_to_the_left_through_the_middle():
    for trial, sign in ((1, -1), (2, 1)):
        _, motion = walker(1, trial=trial)
        x = motion.positions[:, 0, 0]
        assert np.sign(x[-1] - x[0]) == sign
        assert_allclose(x[0] + x[-1], 0, atol=0.01)
        assert_allclose(abs(x[-1] - x[0]), motion.speed_m_s * (len(x) - 1) / 25, rtol=0.01)


def test_frame_rate_changes_the_walk_little():
    # The same person and trial, solved at 25 and at 50 Hz: everything random is drawn before time is cut in frames.
    slow, fast = (walker(2, seconds=4.0, fps=fps)[1] for fps in (25.0, 50.0))
    off = fast.angles[::2] - slow.angles
    assert np.sqrt(np.mean(off**2)) < 1 and np.abs(off).max() < 5
    assert [e[1:] for e in fast.events] == [e[1:] for e in slow.events]
    assert_allclose([e[0] for e in fast.events], [e[0] for e in slow.events], atol=1e-9)
    assert_allclose(fast.speed_m_s, slow.speed_m_s, rtol=0.05)


def test_bones_keep_their_lengths():
    figure, motion = walker(3)
    points = figure.named_points(motion.rotations, motion.positions)
    at = {name: points[:, POINTS.index(name)] for name in POINTS}
    for side in SIDES:
        thigh = np.linalg.norm(at[f"{side}_hip"] - at[f"{side}_knee"], axis=1)
        shank = np.linalg.norm(at[f"{side}_knee"] - at[f"{side}_ankle"], axis=1)
        assert_allclose(thigh + shank, figure.leg_length_m, rtol=0.01)
        assert np.ptp(thigh) < 1e-9 and np.ptp(shank) < 1e-9
    assert_allclose(at["neck"], (at["left_shoulder"] + at["right_shoulder"]) / 2)
    assert_allclose(at["left_toe"], (at["left_big_toe"] + at["left_small_toe"]) / 2)


def test_left_and_right_are_where_they_belong():
    figure = load_body().figure("m", np.random.default_rng(0))
    rest = np.tile(np.eye(3), (1, len(figure.body.bones), 1, 1))
    points = figure.named_points(rest, figure.bone_positions(rest, figure.joints[:1]))[0]
    for k, name in enumerate(POINTS):
        side = name.split("_")[0]
        assert np.sign(points[k, 0]) == {"left": 1, "right": -1}.get(side, 0) or abs(points[k, 0]) < 0.002, name
    toe, heel, ankle = (points[POINTS.index(f"left_{part}")] for part in ("big_toe", "heel", "ankle"))
    assert toe[2] > ankle[2] > heel[2]  # facing +z
    assert points[:, 1].max() == points[POINTS.index("head_top"), 1]


def test_the_same_walk_every_time():
    figure, motion = walker(4)
    rng = np.random.default_rng([7, 4])
    load_body().figure(figure.sex, rng)
    again = walk(figure, draw_style(figure.sex, rng), 125, 25.0, np.random.default_rng([7, 4, 1]), -1)
    assert_array_equal(again.rotations, motion.rotations)
    assert again.events == motion.events


def test_ten_of_thirty_two_people_are_women():
    # Kwolek et al. 2019: 10 women and 22 men.
    assert sum(participant_sex(number) == "f" for number in range(1, 33)) == 10
    assert sum(participant_sex(number) == "f" for number in range(1, 13)) == 4
