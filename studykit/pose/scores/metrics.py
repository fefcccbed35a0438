"""How good found keypoints are: PCK, PCKh, mean squared error, and COCO's average precision and recall."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import read_json, refuse, write_text
from studykit.skeletons import SKELETONS, Skeleton
from studykit.stills import known_box, with_skeleton

COCO_FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
_COCO17 = SKELETONS["coco17"].keypoints


def pck(predicted, truth, length, fraction, keypoints=None):
    """Percentage of correct keypoints, as a share: found within a fraction of a body length (Yang & Ramanan 2013).

    PCK@0.2 takes `torso_length_px` and 0.2, PCKh `head_length_px` and 0.5 (Andriluka et al. 2014).

    Parameters
    ----------
    predicted : ndarray (N, K, 2 or 3)
        x, y in px, and anything; NaN where nothing was found, which counts as wrong.
    truth : ndarray (N, K, 3)
        x, y and visibility; unknown keypoints (0) don't count, occluded ones do.
    length : ndarray (N,)
        px; people of unknown (NaN) length don't count.
    fraction : float
    keypoints : sequence of str, optional
        Names; numbers if not given.

    Returns
    -------
    pandas.DataFrame
        keypoint, n, pck (NaN where n is 0); the last row, "all", is over all points.

    Raises
    ------
    ValueError
        If shapes do not fit, or a length is not above 0.
    """
    predicted, truth, length = _checked(predicted, truth), np.asarray(truth, float), np.asarray(length, float)
    if length.shape != truth.shape[:1] or (length <= 0).any():
        raise ValueError(
            f"expected a length above 0 px a person ({len(truth)}), got {length.shape}, smallest "
            f"{np.nanmin(length, initial=np.inf):g}; mark unknown ones by NaN"
        )
    counts = (truth[..., 2] > 0) & np.isfinite(length)[:, None]
    distance = np.linalg.norm(predicted - truth[..., :2], axis=2)
    correct = counts & (distance <= fraction * length[:, None])  # NaN is never correct
    n, hits = counts.sum(axis=0), correct.sum(axis=0)
    n, hits = np.append(n, n.sum()), np.append(hits, hits.sum())
    share = np.divide(hits, n, out=np.full(len(n), np.nan), where=n > 0)
    names = [*(keypoints if keypoints is not None else range(truth.shape[1])), "all"]
    return pd.DataFrame({"keypoint": names, "n": n, "pck": share})


def _checked(predicted, truth):
    """x and y of the predictions (N, K, 2), once their shape is that of the truth."""
    predicted, shape = np.asarray(predicted, float), np.shape(truth)
    if len(shape) != 3 or shape[2] != 3 or predicted.shape[:2] != shape[:2] or predicted.shape[2:] not in [(2,), (3,)]:
        raise ValueError(
            f"expected predictions (N, K, 2 or 3) of a truth (N, K, 3), got {predicted.shape} and {shape}; bring both "
            "to the same people and skeleton"
        )
    return predicted[..., :2]


def torso_length_px(points, keypoints):
    """Left shoulder to right hip (N,) of points (N, K, 3), px, as usual for LSP; NaN where unknown or zero."""
    return _segment(points, keypoints, "left_shoulder", "right_hip")


def head_length_px(points, keypoints, *, lacking=False):
    """Upper neck, or neck where there is none such, to head top (N,) of points (N, K, 3), px; NaN where unknown.

    A skeleton without them, such as COCO's, is an error unless `lacking`; then nobody's head is known.
    """
    neck = "upper_neck" if "upper_neck" in keypoints else "neck"
    if lacking and not {neck, "head_top"} <= set(keypoints):
        return np.full(len(points), np.nan)
    return _segment(points, keypoints, neck, "head_top")


def _segment(points, keypoints, first, last):
    names = list(keypoints)
    lacking = [name for name in (first, last) if name not in names]
    if lacking:
        raise ValueError(
            f"expected a skeleton with {' and '.join(lacking)}, got {', '.join(names)}; choose another length"
        )
    a, b = (np.asarray(points, float)[:, names.index(name)] for name in (first, last))
    length = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    return np.where((a[:, 2] > 0) & (b[:, 2] > 0) & (length > 0), length, np.nan)


def mse_normalised(predicted, truth, size):
    """Mean squared error of coordinates as shares of the image's width and height, over known keypoints.

    Parameters
    ----------
    predicted : ndarray (N, K, 2 or 3)
    truth : ndarray (N, K, 3)
    size : (width, height), or ndarray (N, 2)
        Of the images, px.

    Returns
    -------
    float
        Mean over x and y; NaN if a known keypoint was not found, or none is known.
    """
    predicted, truth = _checked(predicted, truth), np.asarray(truth, float)
    size = np.broadcast_to(np.asarray(size, float), (len(truth), 2))
    known = ((predicted - truth[..., :2]) / size[:, None])[truth[..., 2] > 0]
    return float(np.mean(known**2)) if known.size else float("nan")


def coco_truth(stills, keypoints=_COCO17):
    """Stills as the content of a COCO annotation file: annotation i is still i, people of a scene share an image.

    Parameters
    ----------
    stills : StillSet
    keypoints : sequence of str
        What to score: COCO's 17, or those of them that the stills have.

    Returns
    -------
    dict
        images, annotations, categories. The area is the mask's, or the box's where there is no mask, or that of the
        known keypoints' box.
    """
    images, annotations = {}, []
    for number, (image, still) in enumerate(zip(image_ids(stills), with_skeleton(stills, keypoints), strict=True)):
        height, width = still.image.shape[:2]
        images[image] = {"id": image, "file_name": still.scene or still.source, "width": width, "height": height}
        points = np.where(still.keypoints[:, 2:] > 0, still.keypoints, 0)
        box = still.box or known_box(points) or (0, 0, 0, 0)
        area = box[2] * box[3] if still.mask is None else still.mask.sum()
        annotations.append(
            {
                "id": number + 1,
                "image_id": image,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [float(v) for v in box],
                "area": float(area),
                "num_keypoints": int((points[:, 2] > 0).sum()),
                "keypoints": points.ravel().tolist(),
            }
        )
    categories = [{"id": 1, "name": "person", "keypoints": list(keypoints)}]
    return {"images": list(images.values()), "annotations": annotations, "categories": categories}


def image_ids(stills):
    """The image's number of each still in `coco_truth`, from 1."""
    numbers = {i: n + 1 for n, group in enumerate(stills.by_scene()) for i in group}
    return [numbers[i] for i in range(len(stills))]


def coco_results(image_ids, points, scores, path=None):
    """Found people as the content of a COCO results file.

    Parameters
    ----------
    image_ids : sequence of int
        The image of each found person.
    points : ndarray (N, K, 2 or 3)
        In the order of the truth's keypoints; each must have a place, for COCO's evaluation ignores confidences.
    scores : ndarray (N,)
        Of each person; their order decides average precision.
    path : path-like, optional
        JSON file to write, whole or not at all.

    Returns
    -------
    list of dict
    """
    points = np.asarray(points, float).reshape(len(image_ids), -1, np.shape(points)[-1])
    if not np.isfinite(points[..., :2]).all():
        raise ValueError(
            "expected a place for every keypoint of a found person, got NaN; put a guess where none is found"
        )
    rows = [
        {
            "image_id": int(image),
            "category_id": 1,
            "keypoints": np.column_stack([person[:, :2], np.ones(len(person))]).ravel().tolist(),
            "score": float(score),
        }
        for image, person, score in zip(image_ids, points, scores, strict=True)
    ]
    if path is not None:
        write_text(path, json.dumps(rows) + "\n")
    return rows


def coco_scores(truth, results):
    """COCO's ten keypoint figures (cocodataset.org, "Keypoint Evaluation"), by faster-coco-eval.

    Parameters
    ----------
    truth : dict or path-like
        Annotation file, as COCO's or from `coco_truth`; crowd regions and people without keypoints are ignored.
    results : list of dict or path-like
        Results file, as from `coco_results`.

    Returns
    -------
    dict of str to float
        `COCO_FIGURES`, 0 to 1; NaN where the truth has nobody of that size.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and what is wrong: half-written or of another schema, people of zero area, nobody annotated,
        unknown images, another number of keypoints.
    """
    stats = _evaluate(truth, results).stats
    return {name: float(value) if value >= 0 else float("nan") for name, value in zip(COCO_FIGURES, stats, strict=True)}


def precision_curves(truth, results):
    """Precision against recall at each OKS threshold, people of all sizes; parameters as of `coco_scores`.

    Returns
    -------
    pandas.DataFrame
        oks, recall, precision.
    """
    evaluation = _evaluate(truth, results)
    precision = evaluation.eval["precision"][:, :, 0, 0, -1]
    oks, recall = np.meshgrid(evaluation.params.iouThrs, evaluation.params.recThrs, indexing="ij")
    return pd.DataFrame({"oks": oks.ravel(), "recall": recall.ravel(), "precision": precision.ravel()})


def _evaluate(truth, results):
    from faster_coco_eval import COCO, COCOeval_faster

    name, truth = _content(truth, "truth")
    found_name, results = _content(results, "results")
    names = _check_truth(name, truth)
    _check_results(found_name, results, truth, len(names))
    known = COCO({**truth, "annotations": [dict(row) for row in truth["annotations"]]})
    found = known.loadRes([dict(row) for row in results])
    evaluation = COCOeval_faster(known, found, "keypoints", kpt_oks_sigmas=Skeleton("", tuple(names), ()).sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _content(source, name):
    """What to call a source in messages, and its content, read if it is a file."""
    if isinstance(source, dict | list):
        return name, source
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a COCO JSON file with the {name}, got none; check its name")
    return path, read_json(path, "write it again")


def _check_truth(name, truth):
    """Names of the keypoints, once the content is one that can be scored against."""
    lacking = [key for key in ("images", "annotations", "categories") if key not in truth]
    if lacking:
        raise ValueError(
            f"{name}: expected {', '.join(lacking)} of a COCO annotation file, got none; see cocodataset.org"
        )
    names = next((category["keypoints"] for category in truth["categories"] if "keypoints" in category), None)
    if names is None:
        raise ValueError(f"{name}: expected a category with keypoints, got none; take a person_keypoints file")
    if np.isnan(Skeleton("", tuple(names), ()).sigmas).any():
        raise ValueError(f"{name}: expected keypoints that COCO has constants for ({', '.join(_COCO17)}), got {names}")
    images = {image["id"] for image in truth["images"]}
    faults, people = [], 0
    for row in truth["annotations"]:
        who = f"annotation {row.get('id')}"
        absent = [key for key in ("id", "image_id", "keypoints", "num_keypoints", "area", "iscrowd") if key not in row]
        if absent:
            faults.append(f"{who}: expected {', '.join(absent)}, got none")
        elif row["image_id"] not in images:
            faults.append(f"{who}: expected one of the file's images, got {row['image_id']}")
        elif row["num_keypoints"] and not row["iscrowd"]:
            people += 1
            if len(row["keypoints"]) != 3 * len(names):
                faults.append(f"{who}: expected {3 * len(names)} numbers for keypoints, got {len(row['keypoints'])}")
            if not row["area"] > 0:
                faults.append(f"{who}: expected an area above 0 px, got {row['area']}; OKS is undefined for it")
    if not faults and not people:
        faults.append("expected at least one person with keypoints, got none, so there is nothing to score against")
    refuse(name, faults)
    return names


def _check_results(name, results, truth, keypoints):
    if not isinstance(results, list):
        raise ValueError(f"{name}: expected a list of found people, got {type(results).__name__}; see coco_results")
    images = {image["id"] for image in truth["images"]}
    faults = []
    for number, row in enumerate(results):
        absent = [key for key in ("image_id", "category_id", "keypoints", "score") if key not in row]
        if absent:
            faults.append(f"row {number}: expected {', '.join(absent)}, got none")
        elif row["image_id"] not in images:
            faults.append(f"row {number}: expected an image of the truth, got {row['image_id']}")
        elif len(row["keypoints"]) != 3 * keypoints:
            faults.append(f"row {number}: expected {3 * keypoints} numbers for keypoints, got {len(row['keypoints'])}")
        elif not np.isfinite([*row["keypoints"], row["score"]]).all():
            faults.append(f"row {number}: expected finite keypoints and score, got NaN or infinity")
    refuse(name, faults)
