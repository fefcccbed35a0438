"""Pictures of several simulated people."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from studykit.gaitlab import simulate_scenes, simulate_stills
from studykit.skeletons import SKELETONS

GROUPS = (range(6), range(6, 9))


@pytest.fixture(scope="module")
def scenes():
    return simulate_scenes(18, seed=3, size=128, skeleton="coco17", groups=GROUPS)


def test_stills_of_a_scene_share_the_picture_and_nobody_of_another_group(scenes):
    sizes = set()
    for members in scenes.by_scene():
        people = [scenes[i] for i in members]
        sizes.add(len(people))
        assert len({person.scene for person in people}) == 1 and people[0].scene == scenes.scenes[members[0]]
        assert len({person.participant for person in people}) == len(people)
        assert [person.participant for person in people] == [scenes.participants[i] for i in members]
        numbers = {int(person.participant.removeprefix("person-")) for person in people}
        assert any(numbers <= set(group) for group in GROUPS)
        for other in people[1:]:
            assert_array_equal(other.image, people[0].image)
            assert not (other.mask & people[0].mask).any()
    assert len(scenes.by_scene()) == 18 and sizes == {1, 2, 3, 4}
    assert {name for name in scenes.participants} == {f"person-{n:04d}" for n in range(9)}


def test_seen_points_lie_on_their_own_person_and_those_behind_another_are_occluded(scenes):
    on_own, behind = [], []
    for members in scenes.by_scene():
        people = [scenes[i] for i in members]
        for person in people:
            y, x = np.nonzero(person.mask)
            assert len(x) > 50 and person.box == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
            others = np.any([p.mask for p in people if p is not person], axis=0) & np.ones((128, 128), bool)
            for column, row, seen in np.rint(person.keypoints).astype(int):
                assert (0 <= column < 128 and 0 <= row < 128) == (seen > 0)
                if seen:
                    near, nearer = (
                        (slice(max(row - d, 0), row + d + 1), slice(max(column - d, 0), column + d + 1)) for d in (2, 1)
                    )
                    if seen == 2:
                        on_own.append(person.mask[near].any())
                    if others[nearer].all():
                        behind.append(seen == 1)
    assert np.mean(on_own) > 0.98
    assert len(behind) > 15 and np.mean(behind) > 0.9  # a point may be nearer than the other's surface by its radius


def test_a_scene_depends_on_seed_and_number_and_shows_the_bodies_of_the_stills(scenes):
    again = simulate_scenes(18, seed=3, size=128, skeleton="lsp14", groups=GROUPS)
    assert_array_equal(again[7].image, scenes[7].image)
    shared = [name for name in SKELETONS["coco17"].keypoints if name in SKELETONS["lsp14"].keypoints]
    rows = [[SKELETONS[s].keypoints.index(name) for name in shared] for s in ("coco17", "lsp14")]
    assert_array_equal(again[7].keypoints[rows[1]], scenes[7].keypoints[rows[0]])
    assert set(simulate_stills(9, seed=3, size=64, people=9).participants) == set(scenes.participants)


def test_ill_numbers_are_refused():
    with pytest.raises(ValueError, match="no empty group, got n=3"):
        simulate_scenes(3, groups=[[1], []])
    with pytest.raises(ValueError, match="skeleton: expected one of"):
        simulate_scenes(3, skeleton="gait6")
