"""Scores of networks that detect everybody in a picture: single people beside the other networks, and scenes."""

from collections.abc import Sequence

import numpy as np

from studykit.pose.scores.coco import coco_results, coco_scores, coco_truth
from studykit.pose.scores.keypoints import SHARED, shared_pck, shared_scores
from studykit.skeletons import convert
from studykit.stills import StillSet

Found = tuple[np.ndarray, np.ndarray]  # people (P, K, 3) of a picture, and their scores (P,); see `grouping.assemble`


def surest_person(found: Sequence[Found], keypoints: int) -> tuple[np.ndarray, np.ndarray]:
    """One person per picture: the surest, or none.

    Parameters
    ----------
    found : sequence of (people (P, K, 3), scores (P,))
        A picture each, as from `openpose.find_people`.
    keypoints : int
        K.

    Returns
    -------
    points : ndarray (N, K, 3)
        NaN, NaN, 0 where nothing was detected.
    scores : ndarray (N,)
        0 where no one was detected.
    """
    none = np.tile([np.nan, np.nan, 0], (keypoints, 1))
    points = np.stack([people[0] if len(people) else none for people, _ in found])
    return points, np.array([scores[0] if len(scores) else 0.0 for _, scores in found])


def guess_missing(points: np.ndarray) -> np.ndarray:
    """People with a place for every keypoint, for COCO's evaluation: the middle of those detected, or the corner.

    Parameters
    ----------
    points : ndarray (N, K, 3)
        NaN where not detected.
    """
    points = np.array(points, dtype=float)
    for person in points:
        lost = np.isnan(person[:, 0])
        person[lost, :2] = 0 if lost.all() else person[~lost, :2].mean(axis=0)
    return points


def single_scores(
    points: np.ndarray,
    found: Sequence[Found],
    stills: StillSet,
    keypoints: Sequence[str],
    heads: np.ndarray | None = None,
) -> dict[str, float]:
    """What `keypoints.shared_scores` gives for one person per picture, and what grouping leaves of it.

    Parameters
    ----------
    points : ndarray (N, K, 3)
        The person of each still, who is known to be alone, as from `openpose.find_one`.
    found : sequence of (people (P, K, 3), scores (P,))
        Whoever `openpose.find_people` detects in each still.
    stills : StillSet
        One person per picture.
    keypoints : sequence of str
        Of the people detected.
    heads : ndarray (N,), optional
        From `keypoints.head_lengths`.

    Returns
    -------
    dict of str to float
        With `pck_grouped`: of the surest of the people detected, where a joint that was not detected is wrong.
    """
    surest, _ = surest_person(found, len(keypoints))
    grouped = shared_pck(surest, stills, keypoints).pck.iloc[-1]
    return shared_scores(points, stills, keypoints, heads=heads) | {"pck_grouped": grouped}


def scene_scores(
    found: Sequence[Found], stills: StillSet, keypoints: Sequence[str], names: Sequence[str] = SHARED
) -> dict[str, float]:
    """COCO's figures for everybody in pictures of several people.

    Parameters
    ----------
    found : sequence of (people (P, K, 3), scores (P,))
        A picture each, in the order of `stills.by_scene()`.
    stills : StillSet
        One still per person; may be empty.
    keypoints : sequence of str
        Of the people detected.
    names : sequence of str
        Joints that are scored.

    Returns
    -------
    dict of str to float
        `coco.COCO_FIGURES`, and `people_per_person`: people detected over people there; both NaN without scenes.
    """
    if not len(stills):
        return {"AP": np.nan, "people_per_person": np.nan}
    images = [n + 1 for n, (people, _) in enumerate(found) for _ in people]
    people, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    results = coco_results(images, guess_missing(convert(people, keypoints, names)), scores) if images else []
    return coco_scores(coco_truth(stills, names), results) | {"people_per_person": len(people) / len(stills)}
