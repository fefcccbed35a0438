import numpy as np
import pytest
from lab_walk import lab_walk, oriented

from studykit.gait import views
from studykit.gait.cleaning import Rules, clean, clean_paper, local_parabola, longest_path
from studykit.truth.keypoints import on_wrong_limb


@pytest.fixture(scope="module")
def two_legs():
    """One view's near leg, exact, and the far leg as the opposite camera tells it."""
    truth, rows = lab_walk(moved_cameras=True)
    first, second = (oriented(truth, row) for row in rows)
    first = first.assign(confidence=first.confidence * 0 + 0.9)
    return first, views.opposite_as_far(first, second), oriented(truth, rows[0], "far")


def put(tracks, keypoint, frames, values):
    position = tracks.position.copy()
    position.loc[{"keypoints": keypoint}][frames] = values
    return tracks.assign(position=position)


def off(tracks, true, keypoint):
    difference = (tracks.position - true.position).sel(keypoints=keypoint).isel(individuals=0)
    return np.linalg.norm(difference.values, axis=1)


def test_paper_interpolates_a_spike_in_x_only():
    x = np.array([0.0, 10, 300, 30, 40])
    y = np.array([5.0, 5, 300, 5, 5])
    out, counts = clean_paper(np.stack([x, y], 1), np.full((5, 2), np.nan), Rules())
    np.testing.assert_array_equal(out[:, 0], [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(out[:, 1], y)
    assert counts == {"n_interpolated": 1, "n_extrapolated": 0}


def test_paper_extrapolates_a_jump_to_the_other_leg():
    # Three frames in a row on the other leg: none is a spike until the last one's previous frames are mended.
    x = np.array([0.0, 10, 120, 125, 130, 50, 60])
    other = np.stack([np.full(7, 125.0), np.zeros(7)], 1)
    out, counts = clean_paper(np.stack([x, np.zeros(7)], 1), other, Rules())
    np.testing.assert_array_equal(out[:, 0], [0, 10, 20, 30, 40, 50, 60])
    assert counts == {"n_interpolated": 1, "n_extrapolated": 2}


def test_paper_keeps_a_jump_that_is_not_near_the_other_leg():
    x = np.array([0.0, 10, 120, 125, 130])
    out, counts = clean_paper(np.stack([x, x], 1), np.full((5, 2), np.nan), Rules())
    np.testing.assert_array_equal(out[:, 0], x)
    assert sum(counts.values()) == 0


def test_perfect_tracks_are_left_alone(two_legs):
    near, other, _ = two_legs
    cleaned, counts = clean(near, other)
    assert counts[["n_outlier", "n_swap", "n_left_missing"]].to_numpy().sum() <= 0.005 * counts.n_frames.sum()
    # What remains is the low-pass filter, which rounds off a heel strike at 25 Hz by a few pixels.
    assert max(np.median(off(cleaned, near, name)) for name in views.GAIT6) < 0.5


@pytest.mark.parametrize("keypoint", ["ankle", "heel", "toe"])
def test_limb_swaps_are_found_and_mended(two_legs, keypoint):
    near, other, far = two_legs
    gap = np.abs((near.position - far.position).sel(keypoints=keypoint, space="x").values[:, 0])
    frames = np.flatnonzero(gap > 60)[[8, 9, 10, 30]]  # a run of three and a single one, legs well apart
    wrong = put(near, keypoint, frames, far.position.sel(keypoints=keypoint).values[frames])
    cleaned, counts = clean(wrong, other)
    counted = counts.set_index("keypoint").loc[keypoint]
    assert counted.n_swap >= len(frames) - 1
    assert counted.n_interpolated >= counted.n_swap
    assert off(cleaned, near, keypoint)[frames].max() < 12 < off(wrong, near, keypoint)[frames].min()


def test_swaps_without_another_leg_are_outliers(two_legs):
    near, _, far = two_legs
    gap = np.abs((near.position - far.position).sel(keypoints="heel", space="x").values[:, 0])
    frames = np.flatnonzero(gap > 60)[[10]]
    wrong = put(near, "heel", frames, far.position.sel(keypoints="heel").values[frames])
    counted = clean(wrong)[1].set_index("keypoint").loc["heel"]
    assert (counted.n_swap, counted.n_outlier) == (0, 1)


def test_outliers_in_y_are_found_too(two_legs):
    near, other, _ = two_legs
    wrong = put(near, "knee", [60], near.position.sel(keypoints="knee").values[[60]] + [[[0], [25.0]]])
    robust, counts = clean(wrong, other)
    assert counts.set_index("keypoint").n_outlier["knee"] == 1
    assert off(robust, near, "knee")[60] < 3
    paper, _ = clean(wrong, other, Rules("paper"))
    assert off(paper, near, "knee")[60] == pytest.approx(25)  # the thesis looks at x only


def test_points_of_low_confidence_are_filled(two_legs):
    near, other, _ = two_legs
    confidence = near.confidence.copy()
    confidence.loc[{"keypoints": "hip"}][50:53] = 0.1
    wrong = put(near, "hip", slice(50, 53), 7.0).assign(confidence=confidence)
    cleaned, counts = clean(wrong, other)
    counted = counts.set_index("keypoint").loc["hip"]
    assert (counted.n_low_confidence, counted.n_interpolated, counted.n_left_missing) == (3, 3, 0)
    assert off(cleaned, near, "hip")[50:53].max() < 3


def test_tracks_without_confidence_skip_that_step(two_legs):
    near, other, _ = two_legs
    cleaned, counts = clean(near.assign(confidence=near.confidence * np.nan), other)
    assert counts.n_low_confidence.sum() == 0
    np.testing.assert_array_equal(cleaned.position, clean(near, other)[0].position)


def test_long_gaps_stay_open_and_short_ones_close(two_legs):
    near, other, _ = two_legs
    holes = put(put(near, "toe", slice(30, 35), np.nan), "toe", slice(60, 80), np.nan)
    cleaned, counts = clean(holes, other, Rules(max_gap_s=0.4))
    gone = np.isnan(cleaned.position.sel(keypoints="toe", space="x").values[:, 0])
    np.testing.assert_array_equal(np.flatnonzero(gone), np.arange(60, 80))
    assert counts.set_index("keypoint").n_left_missing["toe"] == 20


def test_all_missing_stays_missing(two_legs):
    near, other, _ = two_legs
    cleaned, counts = clean(put(near, "toe", slice(None), np.nan), other)
    assert np.isnan(cleaned.position.sel(keypoints="toe")).all()
    assert counts.set_index("keypoint").n_left_missing["toe"] == len(near.time)


def test_low_pass_halves_the_power_at_its_cut_off_without_lag(two_legs):
    near, _, _ = two_legs
    time = near.time.values
    for frequency, gain in ((6.0, np.sqrt(0.5)), (1.0, 1.0)):
        wave = 3 * np.sin(2 * np.pi * frequency * time)
        flat = near.assign(position=near.position * 0 + wave[:, None, None, None])
        out = clean(flat)[0].position.values[20:-20, 0, 0, 0]
        fit = np.linalg.lstsq(
            np.stack([np.sin(2 * np.pi * frequency * time), np.cos(2 * np.pi * frequency * time)], 1)[20:-20],
            out,
            rcond=None,
        )[0]
        np.testing.assert_allclose(fit, [3 * gain, 0], atol=0.06)


def test_longest_path_leaves_the_shorter_branch():
    x = np.arange(20.0)
    x[8:12] += 100
    points = np.stack([x, np.zeros(20)], 1)
    kept = longest_path(points, np.arange(20), 15.0, np.ones(20))
    np.testing.assert_array_equal(np.flatnonzero(~kept), np.arange(8, 12))


def test_longest_path_does_not_leave_right_frames_to_reach_wrong_ones():
    # Five wrong frames at the start could be reached by leaving out three right ones.
    x = np.arange(30.0)
    x[:5] += 60
    points = np.stack([x, np.zeros(30)], 1)
    near_other = np.where(np.arange(30) < 5, 0.5, 1.0)
    kept = longest_path(points, np.arange(30), 18.0, near_other)
    np.testing.assert_array_equal(np.flatnonzero(kept), np.arange(5, 30))


def test_local_parabola_is_exact_for_parabolas_and_ignores_the_frame_itself():
    t = np.arange(30.0)
    values = 3 - 2 * t + 0.5 * t**2
    spiked = values.copy()
    spiked[15] += 50
    np.testing.assert_allclose(local_parabola(values, 4)[2:-2], values[2:-2], atol=1e-4)
    np.testing.assert_allclose(local_parabola(spiked, 4)[15], values[15], atol=1e-4)


def test_false_positives_are_points_nearer_to_the_wrong_limb():
    own, other = np.zeros((4, 2)), np.full((4, 2), [100.0, 0])
    position = np.array([[2.0, 0], [98, 0], [30, 0], [np.nan, np.nan]])
    away = (np.linalg.norm(position - place, axis=1) for place in (own, other))
    np.testing.assert_array_equal(on_wrong_limb(*away), [False, True, False, False])


def test_unknown_rules_and_other_clocks_are_refused(two_legs):
    near, other, _ = two_legs
    with pytest.raises(ValueError, match="expected cleaning one of"):
        clean(near, other, Rules("thorough"))
    with pytest.raises(ValueError, match="on the same clock"):
        clean(near, other.isel(time=slice(1, None)))
