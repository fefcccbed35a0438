"""How good masks and joints are: Dice, the losses that paper 003 tabulates, PCK, and what becomes of turned images."""

import numpy as np
import pandas as pd

from studykit.joint_maps import TOP, peaks, read_joints
from studykit.segmentation import dice, predict

SCORES = {"joint_map": "squared_error", "joints": "cross_entropy"}  # what the other losses are called in tables
ANY_JOINT = 0.2  # a map this high (of 1) says that some joint is here


def scores_table(found):
    """Scores as the paper gives them: a row a set with dice, and squared_error and cross_entropy where they apply.

    Parameters
    ----------
    found : dict of str to dict
        From `score`, by set.
    """
    rows = []
    for name, losses in found.items():
        others = {label: losses[f"{output}_loss"] for output, label in SCORES.items() if f"{output}_loss" in losses}
        rows.append({"set": name, "dice": 1 - losses["mask_loss"]} | others)
    return pd.DataFrame(rows)


def judge(model, settings, stills, about):
    """Every still's mask and joints, held against the truth.

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet
    about : pandas.DataFrame
        Of the same stills, as from `prepare`.

    Returns
    -------
    list of ndarray (height, width) uint8
        The person's probability, 255 for 1.
    pandas.DataFrame
        A row a still: source, participant, head_px, dice.
    pandas.DataFrame
        A row a still and known joint: source, keypoint, x_px, y_px, confidence (NaN where the encoding names no
        joints), error_px, nearest_px (from the nearest peak of any joint) and head_px; empty without joints.
    """
    masks, found, rows = [None] * len(stills), np.zeros(len(stills)), []
    for n, maps in predict(model, settings, stills):
        person = maps["mask"][..., -1]
        masks[n] = np.round(255 * person).astype(np.uint8)
        found[n] = dice(stills[n].mask, person)
        rows += _joint_rows(stills[n], maps, settings.keypoints, about.head_px[n])
    return masks, about.assign(dice=found), pd.DataFrame(rows)


def _joint_rows(still, maps, keypoints, head_px):
    if set(maps) == {"mask"}:
        return
    points = np.full((len(keypoints), 3), np.nan)
    if "joints" in maps:
        points = read_joints(maps["joints"][None])[0]
        places = peaks(1 - maps["joints"][..., 0], ANY_JOINT)
    if "joint_map" in maps:
        places = peaks(maps["joint_map"][..., 0], ANY_JOINT * TOP)
    for name, (x, y, confidence), (u, v, known) in zip(keypoints, points, still.keypoints, strict=True):
        if known:
            yield {
                "source": still.source,
                "keypoint": name,
                "x_px": x,
                "y_px": y,
                "confidence": confidence,
                "error_px": np.hypot(x - u, y - v),
                "nearest_px": np.hypot(*(places - (u, v)).T).min(initial=np.inf),
                "head_px": head_px,
            }


def pck_table(points, fraction=0.5):
    """Share of joints found within a fraction of the head's length, by joint and over all ("all").

    Parameters
    ----------
    points : pandas.DataFrame
        As from `judge`; people whose head is not known do not count.
    fraction : float

    Returns
    -------
    pandas.DataFrame
        keypoint, n, pck (NaN where the encoding names no joints), pck_any (some joint, of whatever name, was found
        that near), median_px.
    """
    points = points[points.head_px.notna()]
    limit = fraction * points.head_px
    points = points.assign(
        pck=points.error_px <= limit, pck_any=points.nearest_px <= limit, n=1, median_px=points.error_px
    )
    whole = points.assign(keypoint="all")
    how = {"n": "sum", "pck": "mean", "pck_any": "mean", "median_px": "median"}
    table = pd.concat([part.groupby("keypoint", sort=False).agg(how) for part in (points, whole)]).reset_index()
    table.loc[table.median_px.isna(), "pck"] = np.nan
    return table
