"""COCO keypoints (Lin et al. 2014): people in everyday scenes, 17 keypoints, masks.

The official layout: `annotations/person_keypoints_<part>.json` and the images in `<part>/`, such as `train2017`.
"""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from studykit.datasets.fetch import require_images, require_source
from studykit.datasets.still_files import read_image
from studykit.files import refuse
from studykit.formats.coco_json import annotations_of
from studykit.skeletons import SKELETONS
from studykit.stills import Made, Still, StillSet, mark_outside


def coco_stills(folder: str | Path, part: str = "train2017") -> StillSet:
    """Annotated people of COCO; an image is read when a still of it is asked for.

    Crowd regions and people without keypoints are left out, and people whose box is empty too, which a warning says.
    People of one picture share `scene`; its participant is the picture itself, for who is who is not known.

    Parameters
    ----------
    folder : path-like
    part : str
        Name of the images' folder and of the annotations.

    Returns
    -------
    StillSet

    Raises
    ------
    FileNotFoundError
        If the folder, the annotations or an image is missing.
    ValueError
        If the annotations are of another schema, or nobody is annotated.
    """
    file = f"annotations/person_keypoints_{part}.json"
    folder = require_source("coco", folder, part, file)
    images, people = _people(folder / file)
    files = [images[row.image_id].file_name for row in people]
    require_images(folder / part, files, "the images of all annotated people")
    count = Counter(row.image_id for row in people)
    names = [f"coco-{row.image_id:012d}" for row in people]
    scenes = [name if count[row.image_id] > 1 else "" for name, row in zip(names, people, strict=True)]

    def read(number):
        row, path = people[number], folder / part / files[number]
        known, image = images[row.image_id], read_image(path)
        height, width = image.shape[:2]
        if (known.width, known.height) != (width, height):
            raise ValueError(
                f"{path}: expected {known.width} x {known.height} px as annotated, got {width} x {height}; "
                "take the original image"
            )
        points = mark_outside(np.reshape(row.keypoints, (-1, 3)).astype(np.float32), width, height)
        mask = _mask(row.segmentation, height, width)
        return Still(
            image, points, mask, row.bbox, names[number], f"coco {path.name}, annotation {row.id}", scenes[number]
        )

    return StillSet(Made(range(len(people)), read), SKELETONS["coco17"].keypoints, names, scenes)


def _people(path):
    """Images by id, and the annotations of people with keypoints and an area."""
    content = annotations_of(path)
    if content.keypoints != SKELETONS["coco17"].keypoints:
        raise ValueError(f"{path}: expected COCO's 17 keypoints, got {content.keypoints}; take person_keypoints_*.json")
    people = [row for row in content.annotations if row.labelled and any(row.keypoints[2::3])]
    refuse(path, [f"annotation {row.id}: expected a box, got none" for row in people if row.bbox is None])
    empty = [row.id for row in people if min(row.bbox[2:]) <= 0]
    if empty:
        warnings.warn(
            f"{path}: {len(empty)} people of zero area are left out, such as annotation {empty[0]}", stacklevel=3
        )
    return {image.id: image for image in content.images}, [row for row in people if min(row.bbox[2:]) > 0]


def _mask(segmentation, height, width):
    """Mask (height, width) of polygons, or of a run-length encoding, whole or compressed; None where there is none."""
    if not segmentation:
        return None
    from faster_coco_eval.core import mask

    if isinstance(segmentation, list):
        encoded = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = mask.frPyObjects(segmentation, height, width)
    else:
        encoded = segmentation
    return mask.decode(encoded).astype(bool)
