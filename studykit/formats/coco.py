"""COCO's keypoint results: one JSON list."""

from pathlib import Path

import numpy as np

from studykit.formats.coco_json import results_of
from studykit.formats.values import tracks_of
from studykit.skeletons import SKELETONS


def read_coco(path, fps, width_px, height_px, *, person="best", gaps="refuse"):
    """COCO keypoint results: a JSON list with `image_id`, `keypoints` (17 times x, y, v) and `score`.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    person : {"best", "all"}
        Of several people in an image: the one with the highest score, or all by falling score.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`; image ids are the frame numbers, so results on single photographs need "close".

    Returns
    -------
    xarray.Dataset
        Confidence is v where it runs from 0 to 1; where v is the visibility flag (0, 1, 2) it is the person's score.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    path = Path(path)
    if person not in ("best", "all"):
        raise ValueError(f"person: expected 'best' or 'all', got {person!r}")
    people = [(row.image_id, row.score, np.array(row.keypoints)) for row in results_of(path)]
    names = SKELETONS["coco17"].keypoints
    wrong = {len(points) for _, _, points in people} - {3 * len(names)}
    if wrong or not people:
        raise ValueError(f"{path}: expected 51 numbers a person (coco17), got {sorted(wrong) or 'nobody'}")
    flags = any((points[2::3] > 1).any() for _, _, points in people)
    images = sorted({image for image, _, _ in people})
    ranked = [sorted((p for p in people if p[0] == image), key=lambda p: -p[1]) for image in images]
    most = 1 if person == "best" else max(map(len, ranked))
    values = np.full((len(images), most, len(names), 3), np.nan)
    for i, frame in enumerate(ranked):
        for k, (_, score, points) in enumerate(frame[:most]):
            values[i, k] = points.reshape(-1, 3)
            values[i, k, values[i, k, :, 2] == 0, :2] = np.nan
            if flags:
                values[i, k, :, 2] = np.where(values[i, k, :, 2] > 0, score, 0)
    individuals = ["person"] if person == "best" else [f"person_{i}" for i in range(most)]
    size = (fps, width_px, height_px)
    return tracks_of(path, values, np.array(images), names, individuals, size, "COCO results", gaps)
