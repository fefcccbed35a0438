"""Scores of networks that find everybody in a picture: single people beside the other networks, and scenes."""

import time

import numpy as np

from studykit.pose.scores.keypoints import SHARED, shared_pck, shared_scores
from studykit.pose.scores.metrics import coco_results, coco_scores, coco_truth
from studykit.skeletons import SKELETONS, convert


def surest_person(found, keypoints):
    """One person a picture: the surest, or nobody.

    Parameters
    ----------
    found : sequence of (people (P, K, 3), scores (P,))
        A picture each, as from `openpose_network.find_people`.
    keypoints : int
        K.

    Returns
    -------
    points : ndarray (N, K, 3)
        NaN, NaN, 0 where nothing was found.
    scores : ndarray (N,)
        0 where nobody was found.
    """
    nobody = np.tile([np.nan, np.nan, 0], (keypoints, 1))
    points = np.stack([people[0] if len(people) else nobody for people, _ in found])
    return points, np.array([scores[0] if len(scores) else 0.0 for _, scores in found])


def guess_missing(points):
    """People with a place for every keypoint, as COCO's evaluation needs it: the middle of those found, or the corner.

    Parameters
    ----------
    points : ndarray (N, K, 3)
        NaN where not found.
    """
    points = np.array(points, dtype=float)
    for person in points:
        lost = np.isnan(person[:, 0])
        person[lost, :2] = 0 if lost.all() else person[~lost, :2].mean(axis=0)
    return points


def single_scores(points, found, stills, keypoints, heads=None):
    """What `keypoint_scores.shared_scores` gives for one person a picture, and what grouping leaves of it.

    Parameters
    ----------
    points : ndarray (N, K, 3)
        The person of each still, who is known to be alone, as from `openpose_network.find_one`.
    found : sequence of (people (P, K, 3), scores (P,))
        Whoever `openpose_network.find_people` finds in each still.
    stills : StillSet
        One person a picture.
    keypoints : sequence of str
        Of the people found.
    heads : ndarray (N,), optional
        From `keypoint_scores.head_lengths`.

    Returns
    -------
    dict of str to float
        With `pck_grouped`: of the surest of the people found, where a joint that was not found is wrong.
    """
    surest, _ = surest_person(found, len(keypoints))
    grouped = shared_pck(surest, stills, keypoints).pck.iloc[-1]
    return shared_scores(points, stills, keypoints, heads=heads) | {"pck_grouped": grouped}


def scene_scores(found, stills, keypoints, names=SHARED):
    """COCO's figures for everybody in pictures of several people.

    Parameters
    ----------
    found : sequence of (people (P, K, 3), scores (P,))
        A picture each, in the order of `stills.by_scene()`.
    stills : StillSet
        One still a person.
    keypoints : sequence of str
        Of the people found.
    names : sequence of str
        Joints that are scored.

    Returns
    -------
    dict of str to float
        `metrics.COCO_FIGURES`, and `people_per_person`: people found over people there.
    """
    images = [n + 1 for n, (people, _) in enumerate(found) for _ in people]
    people, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    results = coco_results(images, guess_missing(convert(people, keypoints, names)), scores) if images else []
    return coco_scores(coco_truth(stills, names), results) | {"people_per_person": len(people) / len(stills)}


def coco_names(keypoints):
    """Those of COCO's 17 keypoints that a skeleton has."""
    return tuple(name for name in SKELETONS["coco17"].keypoints if name in keypoints)


def measure(find, find_one, singles, scenes, keypoints):
    """What a way to find people brings, and what it costs.

    Parameters
    ----------
    find : callable
        ``find(image) -> (people (P, K, 3), scores (P,))``, such as `openpose_network.find_people` at some scales.
    find_one : callable
        ``find_one(image) -> (K, 3)``, such as `openpose_network.find_one`.
    singles, scenes : StillSet
        Test pictures of one person, and of several (a still a person), which may be empty.
    keypoints : sequence of str
        Of the people found.

    Returns
    -------
    dict
        pck and pck_grouped (see `single_scores`), ap (the same joints, scenes), people_per_person and ms_per_image
        (network and reading, median).
    """
    images = [still.image for still in singles] + [scenes[numbers[0]].image for numbers in scenes.by_scene()]
    found, times = [], []
    for image in images:
        start = time.perf_counter()
        found.append(find(image))
        times.append(time.perf_counter() - start)
    alone = np.stack([find_one(still.image) for still in singles])
    single = single_scores(alone, found[: len(singles)], singles, keypoints)
    crowd = {"AP": np.nan, "people_per_person": np.nan}
    if len(scenes):
        crowd = scene_scores(found[len(singles) :], scenes, keypoints)
    return {
        "pck": single["pck"],
        "pck_grouped": single["pck_grouped"],
        "ap": crowd["AP"],
        "people_per_person": crowd["people_per_person"],
        "ms_per_image": 1000 * np.median(times),
    }
