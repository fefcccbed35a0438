"""Which people and scenes of a data set the study takes, and how large."""

from dataclasses import replace

import numpy as np

from studykit.stills import StillSet, crop_person, limit_size


def single_people(stills, longest_px, seed):
    """Everyone in a picture of his or her own, in random order; made when asked for.

    Who shares a picture with others is cut out, with a quarter of his or her size around; others may still look in.

    Parameters
    ----------
    stills : StillSet
    longest_px : int
        Larger pictures are made smaller, px of the longer edge.
    seed : int

    Returns
    -------
    StillSet
    """
    shuffled = stills.subset(np.random.default_rng([seed, 1]).permutation(len(stills)).tolist())

    def alone(still):
        return replace(crop_person(still), scene="") if still.scene else still

    people = shuffled.map(lambda still: limit_size(alone(still), longest_px))
    return StillSet(people, people.keypoints, people.participants, [""] * len(people))


def several_people(stills, count, longest_px, seed):
    """Some of the pictures that show several people, whole.

    Parameters
    ----------
    stills : StillSet
    count : int
        Pictures, fewer where there are not so many.
    longest_px : int
        Larger pictures are made smaller, px of the longer edge.
    seed : int

    Returns
    -------
    StillSet
        Of all annotated people in them.
    """
    groups = [group for group in stills.by_scene() if len(group) > 1]
    chosen = np.random.default_rng([seed, 2]).permutation(len(groups))[:count]
    return stills.subset([i for n in sorted(chosen) for i in groups[n]]).map(
        lambda still: limit_size(still, longest_px)
    )
