"""COCO's average precision and recall of keypoints: files of annotated and found people, scores, detected boxes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import refuse, write_text
from studykit.formats.coco_json import Detection, annotations_of, results_of, source_name
from studykit.notebook import require
from studykit.skeletons import SKELETONS, Skeleton
from studykit.stills import StillSet, known_box, with_skeleton

COCO_FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
_COCO17 = SKELETONS["coco17"].keypoints


def coco_names(keypoints: Sequence[str]) -> tuple[str, ...]:
    """Those of COCO's 17 keypoints that a skeleton has."""
    return tuple(name for name in _COCO17 if name in keypoints)


def coco_truth(stills: StillSet, keypoints: Sequence[str] = _COCO17) -> dict[str, list]:
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
        about = {"id": number + 1, "image_id": image, "category_id": 1, "iscrowd": 0}
        about |= {"bbox": [float(v) for v in box], "area": float(area)}
        labels = {"num_keypoints": int((points[:, 2] > 0).sum()), "keypoints": points.ravel().tolist()}
        annotations.append(about | labels)
    categories = [{"id": 1, "name": "person", "keypoints": list(keypoints)}]
    return {"images": list(images.values()), "annotations": annotations, "categories": categories}


def image_ids(stills: StillSet) -> list[int]:
    """The image's number of each still in `coco_truth`, from 1."""
    numbers = {i: n + 1 for n, group in enumerate(stills.by_scene()) for i in group}
    return [numbers[i] for i in range(len(stills))]


def coco_results(
    image_ids: Sequence[int], points: np.ndarray, scores: np.ndarray, path: str | Path | None = None
) -> list[dict]:
    """Found people as the content of a COCO results file.

    Parameters
    ----------
    image_ids : sequence of int
        The image of each found person.
    points : ndarray (N, K, 2 or 3)
        In the order of the ground truth's keypoints; each needs a place, for COCO's evaluation ignores confidences.
    scores : ndarray (N,)
        Of each person; their order decides average precision.
    path : path-like, optional
        JSON file to write, atomically.

    Returns
    -------
    list of dict
    """
    points = np.asarray(points, float).reshape(len(image_ids), -1, np.shape(points)[-1])
    if not np.isfinite(points[..., :2]).all():
        fault = "expected a place for every keypoint of a found person, got NaN; put a guess where none is found"
        raise ValueError(fault)
    rows = []
    for image, person, score in zip(image_ids, points, scores, strict=True):
        placed = np.column_stack([person[:, :2], np.ones(len(person))]).ravel().tolist()
        rows.append({"image_id": int(image), "category_id": 1, "keypoints": placed, "score": float(score)})
    if path is not None:
        write_text(path, json.dumps(rows) + "\n")
    return rows


def coco_scores(truth: dict | str | Path, results: list[dict] | str | Path) -> dict[str, float]:
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
        `COCO_FIGURES`, 0 to 1; NaN where the ground truth has nobody of that size.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file and what is wrong: half-written or of another schema, people of zero area, nobody annotated,
        unknown images, another number of keypoints.
    """
    stats = _evaluate(truth, results).stats
    return {name: float(value) if value >= 0 else float("nan") for name, value in zip(COCO_FIGURES, stats, strict=True)}


def precision_curves(truth: dict | str | Path, results: list[dict] | str | Path) -> pd.DataFrame:
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

    known, found = annotations_of(truth), results_of(results)
    _refuse_unscorable(source_name(truth, "annotations"), known)
    numbers, faults = 3 * len(known.keypoints), _unknown_images(found, known)
    for n, row in enumerate(found):
        if len(row.keypoints) != numbers:
            faults.append(f"row {n}: expected {numbers} numbers for keypoints, got {len(row.keypoints)}")
    refuse(source_name(results, "results"), faults)
    sigmas = Skeleton("", known.keypoints, ()).sigmas
    known = COCO(known.model_dump())
    found = known.loadRes([row.model_dump() for row in found])
    evaluation = COCOeval_faster(known, found, "keypoints", kpt_oks_sigmas=sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _refuse_unscorable(name, truth):
    if np.isnan(Skeleton("", truth.keypoints, ()).sigmas).any():
        wanted, got = ", ".join(_COCO17), ", ".join(truth.keypoints)
        raise ValueError(f"{name}: expected keypoints that COCO has constants for ({wanted}), got {got}")
    faults = []
    for row in filter(lambda row: row.labelled, truth.annotations):
        if row.num_keypoints is None:
            faults.append(f"annotation {row.id}: expected the number of its known keypoints (num_keypoints), got none")
        if not (row.area or 0) > 0:
            faults.append(
                f"annotation {row.id}: expected an area above 0 px, got {row.area}; OKS is undefined without it"
            )
    refuse(name, faults)


def _unknown_images(rows, truth):
    images, wanted = {image.id for image in truth.images}, "expected an image of the truth"
    return [f"row {n}: {wanted}, got {row.image_id}" for n, row in enumerate(rows) if row.image_id not in images]


def read_detections(path: str | Path, truth: dict) -> list[tuple[int, tuple[float, ...], float]]:
    """Boxes that a person detector found, from a COCO results file (image_id, category_id, bbox, score).

    Parameters
    ----------
    path : path-like
    truth : dict
        Content of the annotation file whose images were searched, such as `coco_truth`'s.

    Returns
    -------
    list of (int, tuple, float)
        Image, box (x, y, width, height) in px, score; people only (category 1).

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file: half-written, of another schema, unknown images, boxes without area.
    """
    path = require(path, made_by="of a person detector")
    rows = results_of(path, Detection)
    refuse(str(path), _unknown_images(rows, annotations_of(truth)))
    return [(row.image_id, row.bbox, row.score) for row in rows if row.category_id == 1]


def detected_stills(stills: StillSet, detections: list) -> tuple[StillSet, np.ndarray, np.ndarray]:
    """A still for each detected box, with the picture it was found in and nothing known but the box.

    Parameters
    ----------
    stills : StillSet
    detections : list of (int, tuple, float)
        From `read_detections`; images numbered as in `image_ids`.

    Returns
    -------
    StillSet, ndarray (N,) of int, ndarray (N,) of float
        The stills, their images' numbers and their scores.
    """
    shown = [stills[people[0]] for people in stills.by_scene()]
    unknown = np.zeros((len(stills.keypoints), 3), np.float32)
    images, boxes, scores = zip(*detections, strict=True) if detections else ((), (), ())
    blank = {"keypoints": unknown, "mask": None, "participant": ""}
    made = [replace(shown[image - 1], box=box, **blank) for image, box in zip(images, boxes, strict=True)]
    return StillSet(made, stills.keypoints), np.array(images, int), np.array(scores, float)
