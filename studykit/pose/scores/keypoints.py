"""Every keypoint network on one scale: the twelve joints that all skeletons share, on the same people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import read_json, refuse
from studykit.notebook import require
from studykit.pose.scores.metrics import (
    coco_results,
    coco_scores,
    coco_truth,
    head_length_px,
    image_ids,
    mse_normalised,
    pck,
    torso_length_px,
)
from studykit.skeletons import SKELETONS, convert
from studykit.stills import StillSet, with_skeleton

SHARED = SKELETONS["coco17"].keypoints[5:]  # shoulders, elbows, wrists, hips, knees, ankles
COMPARED = {  # columns in which networks are compared, and what a page calls them
    "network": "network",
    "parameters": "parameters, M",
    "multiply_adds": "mult.-adds, M",
    "training_s": "training, s",
    "ms_per_image": "ms",
    "pck": "PCK",
    "pckh": "PCKh",
    "mse": "1000 MSE",
    "AP": "AP",
    "AR": "AR",
}


def truth_points(stills):
    """Keypoints of all stills, (N, K, 3)."""
    return np.stack([still.keypoints for still in stills])


def head_lengths(stills):
    """Length of each still's head (N,), px, for PCKh; NaN where the data do not tell it."""
    return head_length_px(truth_points(stills), stills.keypoints, lacking=True)


def shared_pck(points, stills, keypoints, names=SHARED):
    """PCK@0.2 by joint of people (N, K, 3), NaN where not found, over the joints that all networks share, or others."""
    truth = truth_points(with_skeleton(stills, names))
    torso = torso_length_px(truth_points(with_skeleton(stills, SHARED)), SHARED)
    return pck(convert(points, keypoints, names), truth, torso, 0.2, names)


def shared_scores(found, stills, keypoints, heads=None):
    """PCK@0.2, PCKh, mean squared error and COCO's figures over the twelve shared joints.

    Parameters
    ----------
    found : ndarray (N, K, 3)
        One person a still, x and y in its px, confidence; COCO's score of a person is their mean.
    stills : StillSet
        Of any skeleton that has the twelve.
    keypoints : sequence of str
        Of `found`.
    heads : ndarray (N,), optional
        From `head_lengths`; without it PCKh is unknown.

    Returns
    -------
    dict of str to float
        pck, pckh (within half a head; NaN where unknown), mse (of coordinates as shares of the picture's sides) and
        `metrics.COCO_FIGURES`, 0 to 1.
    """
    near = shared_pck(found, stills, keypoints).pck.iloc[-1]
    stills = with_skeleton(stills, SHARED)
    points, truth = convert(found, keypoints, SHARED), truth_points(stills)
    size = np.array([still.image.shape[1::-1] for still in stills])
    nearer = pck(points, truth, np.full(len(stills), np.nan) if heads is None else heads, 0.5).pck.iloc[-1]
    results = coco_results(image_ids(stills), points, found[..., 2].mean(axis=1))
    figures = coco_scores(coco_truth(stills, SHARED), results)
    return {"pck": float(near), "pckh": float(nearer), "mse": mse_normalised(points, truth, size)} | figures


def read_detections(path, truth):
    """Boxes that a person detector found, from a COCO results file (image_id, category_id, bbox, score).

    Parameters
    ----------
    path : path-like
    truth : dict
        Content of the annotation file whose images were searched, such as `metrics.coco_truth`'s.

    Returns
    -------
    list of (int, tuple, float)
        Image, box (x, y, width, height) in px, score; people only (category 1).

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file: half-written, of another schema, unknown images, boxes without area.
    """
    path = Path(path)
    rows = read_json(require(path, made_by="of a person detector"), "write it again")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: expected a list of detections, got {type(rows).__name__}; see cocodataset.org")
    images = {image["id"] for image in truth["images"]}
    faults, found = [], []
    for number, row in enumerate(rows):
        absent = [key for key in ("image_id", "category_id", "bbox", "score") if key not in row]
        if absent:
            faults.append(f"row {number}: expected {', '.join(absent)}, got none")
        elif row["category_id"] != 1:
            continue
        elif row["image_id"] not in images:
            faults.append(f"row {number}: expected an image of the truth, got {row['image_id']}")
        elif len(row["bbox"]) != 4 or not np.isfinite(row["bbox"]).all() or min(row["bbox"][2:]) <= 0:
            faults.append(f"row {number}: expected a box (x, y, width, height) with an area, got {row['bbox']}")
        else:
            found.append((row["image_id"], tuple(map(float, row["bbox"])), float(row["score"])))
    refuse(path, faults)
    return found


def detected_stills(stills, detections):
    """A still for each detected box, with the picture it was found in and nothing known but the box.

    Parameters
    ----------
    stills : StillSet
    detections : list of (int, tuple, float)
        From `read_detections`; images numbered as in `metrics.image_ids`.

    Returns
    -------
    StillSet, ndarray (N,) of int, ndarray (N,) of float
        The stills, their images' numbers and their scores.
    """
    first = {}
    for number, image in enumerate(image_ids(stills)):
        first.setdefault(image, number)
    unknown = np.zeros((len(stills.keypoints), 3), np.float32)

    def still_of(detection):
        shown = stills[first[detection[0]]]
        return replace(shown, keypoints=unknown, mask=None, box=detection[1], participant="")

    found = StillSet([still_of(one) for one in detections], stills.keypoints)
    return found, np.array([one[0] for one in detections]), np.array([one[2] for one in detections])


def mse_units(found, truth, mean_pose, spread, size_px):
    """The mean squared error of coordinates in every unit that an unnamed one could have.

    Parameters
    ----------
    found : ndarray (N, K, 2 or 3)
        px of pictures `size_px` wide and high.
    truth : ndarray (N, K, 3)
    mean_pose : ndarray (K, 2)
        Mean of the training people: what a network says that has learnt nothing from the picture.
    spread : ndarray (K, 2)
        Standard deviation of the training people's joints, px.
    size_px : int

    Returns
    -------
    pandas.DataFrame
        unit, network, mean_pose: the error of each.
    """
    known = truth[..., 2] > 0
    units = {
        "px of a picture of 224 px, squared": np.full_like(spread, size_px / 224),
        "shares of the picture's sides, 0 to 1": np.full_like(spread, size_px),
        "shares of half the sides, -1 to 1": np.full_like(spread, size_px / 2),
        "standard deviations of each joint": spread,
    }
    off = np.stack([found[..., :2], np.broadcast_to(mean_pose, (*truth.shape[:2], 2))]) - truth[..., :2]
    rows = [(unit, *((off / scale)[:, known] ** 2).mean(axis=(1, 2))) for unit, scale in units.items()]
    table = pd.DataFrame(rows, columns=["unit", "network", "mean_pose"])
    distance = np.linalg.norm(off, axis=-1)[:, known] / size_px
    table.loc[len(table)] = ["distance of found and true joint as a share of the picture", *distance.mean(axis=1)]
    return table


def known_moments(truth):
    """Mean (K, 2) and standard deviation (K, 2) of known keypoints (N, K, 3)."""
    points = np.where(truth[..., 2:] > 0, truth[..., :2], np.nan)
    return np.nanmean(points, axis=0), np.nanstd(points, axis=0)


def network_scores(*folders):
    """Rows of `scores.csv` of every run below folders, best PCK first; none there is told.

    Parameters
    ----------
    *folders : path-like
        Where the runs of a notebook are: `keypoints` (20) and `openpose` (30) in the study's derived folder.

    Returns
    -------
    pandas.DataFrame
        `COMPARED`, network and what it costs and what `shared_scores` says of it, and more where a notebook says more.
    """
    paths = sorted(path for folder in folders for path in Path(folder).glob("*/scores.csv"))
    if not paths:
        names = ", ".join(map(str, folders))
        raise FileNotFoundError(f"{names}: expected runs with scores.csv, got none; run 20_train_keypoints first")
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    return table.sort_values("pck", ascending=False, ignore_index=True)


def in_short(table):
    """`network_scores` for a page: columns `COMPARED` by their short names, in units that need few digits."""
    units = {"parameters": 1e-6, "multiply_adds": 1e-6, "mse": 1000}
    scaled = {name: unit * table[name] for name, unit in units.items()}
    return table.assign(**scaled)[list(COMPARED)].rename(columns=COMPARED).round(3)
