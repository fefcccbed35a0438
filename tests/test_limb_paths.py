"""The path through candidates: one leg is followed although the network prefers the other one for a while."""

import numpy as np
import pytest
from lab_walk import lab_walk, stored_tracks

from studykit.pose.limb_paths import choose_path
from studykit.skeletons import LEG, SKELETONS

FPS = 25.0
LIMBS = [tuple(map(SKELETONS["gait6"].keypoints.index, limb)) for limb in SKELETONS["gait6"].limbs]


def candidates_of(wrong, probability=(0.3, 0.7), noise_px=1.0):
    """Near and far leg (time, 2, 6, 3), the far one more probable in the frames `wrong`; and the near one."""
    truth, rows = lab_walk(person=4)
    recording = rows[0]
    both = stored_tracks(truth, recording, both_legs=True, noise_px=noise_px)
    near = recording.near_side
    legs = [
        both.position.sel(keypoints=["neck", *(f"{side}_{part}" for part in LEG)]).values[..., 0].transpose(0, 2, 1)
        for side in (near, {"left": "right", "right": "left"}[near])
    ]
    points = np.stack(legs, axis=1)
    sure = np.broadcast_to(np.array([0.95, 0.05])[:, None], points.shape[:3]).copy()
    sure[wrong] = np.array(probability)[:, None]
    candidates = np.concatenate([points, sure[..., None]], axis=-1)
    order = np.argsort(-sure, axis=1, kind="stable")
    return np.take_along_axis(candidates, order[..., None], axis=1), points[:, 0]


def off_px(candidates, near):
    """How far the chosen points are from the near leg; a few px where the legs cross and either will do."""
    chosen = choose_path(candidates, LIMBS, FPS)[:, None, :, None]
    return np.linalg.norm(np.take_along_axis(candidates, chosen, axis=1)[:, 0, :, :2] - near, axis=-1)


@pytest.mark.parametrize("length", [1, 3, 8])
@pytest.mark.parametrize("start", [20, 37, 60])
def test_the_leg_is_followed_through_frames_that_show_the_other_one(start, length):
    candidates, near = candidates_of(slice(start, start + length))
    before = np.linalg.norm(candidates[:, 0, :, :2] - near, axis=-1)
    assert before.max() > 20
    assert off_px(candidates, near).max() < 10


def test_time_may_run_backwards():
    candidates, _ = candidates_of(slice(40, 46))
    forwards = choose_path(candidates, LIMBS, FPS)
    np.testing.assert_array_equal(choose_path(candidates[::-1], LIMBS, FPS)[::-1], forwards)


def test_a_right_network_is_believed():
    assert off_px(*candidates_of(slice(0, 0))).max() < 10


def test_missing_candidates_are_never_chosen():
    candidates, _ = candidates_of(slice(30, 36))
    candidates[33:, 1] = np.nan
    assert not choose_path(candidates, LIMBS, FPS)[33:].any()
    assert not choose_path(candidates[:, :1], LIMBS, FPS).any()
    assert choose_path(candidates[:2], LIMBS, FPS).shape == (2, 6)
