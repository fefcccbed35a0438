"""OpenPose's maps and their reading: what is drawn is found again, whoever crosses whom."""

import numpy as np
import pytest

from studykit.gaitlab import simulate_stills
from studykit.pose.codecs.affinity import affinity_fields, confidence_maps
from studykit.pose.codecs.peaks import local_peaks
from studykit.pose.grouping import assemble, connect, group, limb_numbers
from studykit.skeletons import POINTS, SKELETONS, convert

WIDTH, HEIGHT = 656, 368
APART_PX = 24.0  # three cells: nearer peaks of one map are not two


@pytest.fixture(scope="module")
def poses():
    """Simulated poses, every keypoint known: {skeleton: (10, K, 2)}, 1 high or wide."""
    stills = [still.keypoints[:, :2] for still in simulate_stills(10, seed=3, size=64, skeleton="all")]
    return {
        name: convert(np.stack(stills) / np.ptp(stills, axis=1).max(axis=1)[:, None, None], POINTS, skeleton.keypoints)
        for name, skeleton in SKELETONS.items()
        if name in ("openpose18", "mpii15", "body25")
    }


def within(point, first, last, reach_px=8.0):
    """Whether a point lies in the field of a limb."""
    along = last - first
    length = np.linalg.norm(along)
    t, beside = (point - first) @ along / length, np.cross(along, point - first) / length
    return -reach_px <= t <= length + reach_px and abs(beside) <= reach_px


def covered(people, limbs):
    """Whether somebody's limb lies all in the field of the same limb of somebody else."""
    pairs = [(i, j) for i in range(len(people)) for j in range(len(people)) if i != j]
    return any(
        all(within(people[i, end, :2], people[j, a, :2], people[j, b, :2]) for end in (a, b))
        for a, b in limbs
        for i, j in pairs
    )


def scene(rng, poses, count, limbs):
    """People (P, K, 3) who cross one another; no keypoint on another of its kind, no limb within another."""
    while True:
        shapes = poses[rng.integers(len(poses), size=count)] * rng.uniform(150, 320, (count, 1, 1))
        low, high = shapes.min(axis=1), shapes.max(axis=1)
        place = rng.uniform(0, 1, (count, 2)) * ([WIDTH - 1, HEIGHT - 1] - (high - low))
        points = shapes + (place - low)[:, None]
        between = np.linalg.norm(points[:, None] - points[None], axis=-1)
        between[np.arange(count), np.arange(count)] = np.inf
        apart = between.min() >= APART_PX and not covered(points, limbs)
        if apart and (high - low < [WIDTH, HEIGHT]).all() and (count == 1 or crossings(points, limbs)):
            return np.concatenate([points, np.full((*points.shape[:2], 1), 2.0)], axis=-1)


def crossings(people, limbs):
    """How many pairs of limbs of different people cross."""
    first, last = (people[:, [limb[end] for limb in limbs], :2].reshape(-1, 2) for end in (0, 1))
    owner = np.repeat(np.arange(len(people)), len(limbs))

    def side(points):  # of each limb's line (rows), on which each point (columns) lies
        along, away = (last - first)[:, None], points[None] - first[:, None]
        return along[..., 0] * away[..., 1] > along[..., 1] * away[..., 0]

    parted = side(first) != side(last)
    return int((parted & parted.T & (owner[:, None] < owner)).sum())


@pytest.mark.parametrize("name", ["openpose18", "mpii15", "body25"])
def test_people_are_found_again_exactly_and_whole(poses, name):
    limbs = limb_numbers(SKELETONS[name])
    for count in (1, 2, 3, 4, 5, 6):
        people = scene(np.random.default_rng([count, 4]), poses[name], count, limbs)
        maps = confidence_maps(people, HEIGHT, WIDTH)
        found, scores = group(maps, affinity_fields(people, limbs, HEIGHT, WIDTH), limbs)
        assert len(found) == count and (np.diff(scores) <= 0).all()
        apart = np.linalg.norm(found[:, None, :, :2] - people[None, :, :, :2], axis=-1).max(axis=-1)
        assert sorted(apart.argmin(axis=1)) == list(range(count))
        assert apart.min(axis=1).max() < 0.25


def test_matching_takes_the_best_sum_or_the_best_pair_first():
    # Two people side by side, the left one's neck nearer: the best pair leaves the others a bad one.
    agreement = {(0, 2): 0.9, (0, 3): 0.8, (1, 2): 0.8, (1, 3): 0.1}
    peaks = np.array([[0, 40.0, 20, 1], [0, 80, 20, 1], [1, 20, 100, 1], [1, 100, 100, 1]])
    fields = np.zeros((16, 16, 2))
    for (a, b), value in agreement.items():
        along = (peaks[b] - peaks[a])[1:3]
        for at in np.linspace(0.45, 1, 30):  # lines part by then
            x, y = np.rint((peaks[a, 1:3] + at * along - 3.5) / 8).astype(int)
            fields[y, x] = value * along / np.linalg.norm(along)
    optimal = connect(peaks, fields, [(0, 1)], share=0.3)
    greedy = connect(peaks, fields, [(0, 1)], share=0.3, matching="greedy")
    assert optimal[:, 3].sum() >= greedy[:, 3].sum() and greedy[:, 3].max() >= optimal[:, 3].max()


def test_fields_are_unit_vectors_of_the_limb_and_means_where_limbs_overlap():
    # Cao et al. 2017, equations 8 to 10: v on the limb, the mean over the people whose limbs cover the cell.
    across = np.array([[20.0, 32, 2], [100, 32, 2]])
    down = np.array([[60.0, 4, 2], [60, 60, 2]])
    alone = affinity_fields([across], [(0, 1)], 64, 128)
    np.testing.assert_allclose(alone[3, 5], [1, 0])
    assert (alone[0] == 0).all() and alone[3, 15, 0] == 0
    both = affinity_fields([across, down], [(0, 1)], 64, 128)
    np.testing.assert_allclose(both[3, 7], [0.5, 0.5])  # where they cross
    np.testing.assert_allclose(both[1, 7], [0, 1])
    unknown = across * [[1, 1, 1], [1, 1, 0]]
    assert not affinity_fields([unknown], [(0, 1)], 64, 128).any()


def test_confidence_is_the_greatest_of_all_people_and_background_the_rest():
    # Cao et al. 2017, equations 6 and 7.
    people = np.array([[[27.5, 35.5, 2]], [[51.5, 35.5, 1]], [[90.0, 10, 0]]])
    maps = confidence_maps(people, 64, 128, sigma_px=7.0)
    alone = [confidence_maps(person[None], 64, 128)[..., 0] for person in people]
    np.testing.assert_allclose(maps[..., 0], np.maximum(alone[0], alone[1]))
    assert maps[4, 3, 0] == maps[4, 6, 0] == 1 and not alone[2].any()
    np.testing.assert_allclose(maps[4, 4, 0], np.exp(-64 / 98), rtol=1e-6)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, atol=1e-6)


def test_a_part_without_a_partner_stays_out_and_two_of_a_kind_never_make_one_person():
    limbs = limb_numbers(SKELETONS["mpii15"])
    peaks = np.array([[0, 10, 10, 0.9], [1, 10, 20, 0.8], [1, 90, 20, 0.7], [5, 50, 50, 0.9]])
    connections = np.array([[0, 0, 1, 0.9], [0, 0, 2, 0.8]])
    people, scores = assemble(peaks, connections, 15, least_parts=2)
    assert len(people) == 1 and np.isfinite(people[0, :, 0]).sum() == 2
    np.testing.assert_allclose(people[0, 1], [10, 20, 0.8])
    np.testing.assert_allclose(scores, [0.9 + 0.8 + 0.9])
    assert len(limbs) == 14 and len(assemble(peaks, connections, 15)[0]) == 0


def test_nobody_is_found_where_nobody_is():
    limbs = limb_numbers(SKELETONS["openpose18"])
    people, scores = group(np.zeros((8, 9, 19)), np.zeros((8, 9, 38)), limbs)
    assert people.shape == (0, 18, 3) and scores.shape == (0,)
    some = local_peaks(np.pad(np.ones((1, 1, 18)), ((3, 4), (3, 4), (0, 0))), smooth_px=0)
    assert len(some) == 18 and len(connect(some, np.zeros((8, 8, 38)), limbs)) == 0


def test_equal_neighbours_are_one_peak():
    maps = np.zeros((7, 7, 1))
    maps[2:4, 2:5] = 0.6
    assert len(local_peaks(maps, smooth_px=0)) == 1


def test_maps_that_do_not_fit_are_refused():
    limbs = limb_numbers(SKELETONS["openpose18"])
    with pytest.raises(ValueError, match="expected at least 3 x 3 cells without NaN"):
        local_peaks(np.full((4, 4, 2), np.nan))
    with pytest.raises(ValueError, match="two maps a limb, 38, got 28"):
        connect(np.zeros((0, 4)), np.zeros((4, 4, 28)), limbs)
    with pytest.raises(ValueError, match="matching: expected one of optimal, greedy, got 'best'"):
        connect(np.zeros((0, 4)), np.zeros((4, 4, 38)), limbs, matching="best")
