"""Scores of networks that detect everybody in a picture: single people beside the other networks, and scenes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

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


def scene_table(scores: dict[str, float]) -> pd.DataFrame | None:
    """`scene_scores` as a table; None without scenes."""
    return None if np.isnan(scores["AP"]) else pd.DataFrame([scores])


def say_training(
    name: str,
    train: StillSet,
    test: StillSet,
    scores: pd.Series,
    joints: pd.DataFrame,
    scenes_ap: float,
) -> str:
    """Conclusion of notebook 30.

    Parameters
    ----------
    name : str
        Of the network.
    train, test : StillSet
    scores : pandas.Series
        training_s and what `single_scores` gives.
    joints : pandas.DataFrame
        PCK of all keypoints, from `keypoints.shared_pck`.
    scenes_ap : float
        Average precision in scenes, NaN without scenes.
    """
    every = joints.set_index("keypoint").pck
    scenes = "" if np.isnan(scenes_ap) else f" In scenes of several people the average precision is {scenes_ap:.2f}."
    return (
        f"{name}, trained on {len(train)} pictures in {scores.training_s:.0f} s, detects {100 * every['all']:.1f} % of "
        f"all keypoints of {len(set(test.participants))} unseen people within a fifth of the torso's length, "
        f"{100 * scores.pck:.1f} % of the twelve joints that all networks share; hardest is the "
        f"{every.drop('all').dropna().idxmin()}. Grouping, which does not know that there is one person, leaves "
        f"{100 * scores.pck_grouped:.1f} %.{scenes}"
    )


def say_scales(comparison: pd.DataFrame, network: str, cost: pd.DataFrame) -> str:
    """Conclusion of notebook 31.

    Parameters
    ----------
    comparison : pandas.DataFrame
        From `openpose.compare_scales`.
    network : str
        The one that is looked at closely.
    cost : pandas.DataFrame
        From `openpose.published_cost`; may be empty.
    """
    own, best = comparison[comparison.network == network], comparison.loc[comparison.pck.idxmax()]
    one, every = own.iloc[0], own.iloc[-1]
    gain, ratio = 100 * (every.pck - one.pck), every.ms_per_image / one.ms_per_image
    said = f"brings {gain:.1f} points more" if gain > 0.5 else f"changes that by {gain:.1f} points"
    sizes = ""
    if len(cost):
        sizes = f" At the published sizes VGG-19 takes {slowest_to_fastest(cost):.0f} times as long as MobileNet."
    return (
        f"{network} detects {100 * one.pck:.1f} % of the shared joints of unseen people at one scale in "
        f"{one.ms_per_image:.0f} ms; scale search {said} for {ratio:.1f} times the time. Best of all is {best.network} "
        f"at scales {best.scales}, {100 * best.pck:.1f} %.{sizes} The paper's claim that MobileNet is more accurate "
        "rests on pictures; these numbers are of small networks on the study's people and judge the method, not the "
        "published weights."
    )


def slowest_to_fastest(cost: pd.DataFrame) -> float:
    """Ratio of the longest to the shortest `ms_per_image`; NaN of an empty table."""
    return cost.ms_per_image.max() / cost.ms_per_image.min() if len(cost) else np.nan
