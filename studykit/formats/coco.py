"""COCO's keypoint results: one JSON list."""

from pathlib import Path

import numpy as np
import xarray as xr

from studykit.formats.coco_json import results_of
from studykit.formats.values import stack_people, tracks_of
from studykit.skeletons import SKELETONS


def read_coco(
    path: str | Path, fps: float, width_px: int, height_px: int, *, person: str = "best", gaps: str = "refuse"
) -> xr.Dataset:
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
    people, names = results_of(path), SKELETONS["coco17"].keypoints
    wrong = {len(row.keypoints) for row in people} - {3 * len(names)}
    if wrong or not people:
        raise ValueError(f"{path}: expected 51 numbers per person (coco17), got {sorted(wrong) or 'no one'}")
    flags = any(v > 1 for row in people for v in row.keypoints[2::3])
    frames = {}
    for row in sorted(people, key=lambda row: -row.score):
        points = np.reshape(row.keypoints, (-1, 3))
        points[points[:, 2] == 0, :2] = np.nan
        if flags:
            points[:, 2] = np.where(points[:, 2] > 0, row.score, 0)
        frames.setdefault(row.image_id, []).append(points)
    images = sorted(frames)
    values = stack_people([frames[image][: 1 if person == "best" else None] for image in images])
    individuals = ["person"] if person == "best" else [f"person_{i}" for i in range(values.shape[1])]
    size = (fps, width_px, height_px)
    return tracks_of(path, values, np.array(images), names, individuals, size, "COCO results", gaps)
