"""MPII Human Pose (Andriluka et al. 2014): people in everyday activities, 16 joints, often several in a picture.

The annotation file is `mpii_human_pose_v1_u12_1.mat` (its structure: human-pose.mpi-inf.mpg.de, "Annotation
description"), the images lie in `images/`. Only training images have annotations. There are no masks.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from studykit.datasets.fetch import read_mat, require_images, require_source
from studykit.datasets.still_files import read_image
from studykit.skeletons import SKELETONS
from studykit.stills import Made, Still, StillSet, known_box, mark_outside

FILE = "mpii_human_pose_v1_u12_1.mat"


def mpii_stills(folder: str | Path) -> StillSet:
    """Annotated people of MPII; an image is read when a still of it is asked for.

    People of one picture share `scene`. A picture's participant is the video that it was taken from, so that frames of
    one video share a side of every split. The box encloses the joints.

    Parameters
    ----------
    folder : path-like
        With `images/` and the annotation file.

    Returns
    -------
    StillSet

    Raises
    ------
    FileNotFoundError
        If the folder, the annotations or an image is missing.
    ValueError
        If the annotations have another structure, or nobody is annotated.
    """
    folder = require_source("mpii", folder, "images", FILE)
    people = _people(folder / FILE)
    names = Counter(name for name, *_ in people)
    require_images(folder / "images", names, f"{len(names)} annotated images")
    scenes = [name if names[name] > 1 else "" for name, *_ in people]

    def read(number):
        name, video, place, points = people[number]
        image = read_image(folder / "images" / name)
        points = mark_outside(points, image.shape[1], image.shape[0])
        return Still(image, points, None, known_box(points), video, f"mpii {name}, person {place}", scenes[number])

    videos = [video for _, video, *_ in people]
    return StillSet(Made(range(len(people)), read), SKELETONS["mpii16"].keypoints, videos, scenes)


def _people(path):
    """Image, video, place in the image and keypoints (16, 3) of every annotated person."""
    release = read_mat(path, "RELEASE", struct_as_record=False, squeeze_me=True)
    try:
        images = np.atleast_1d(release.annolist)
        people = [
            (str(image.image.name), _video(image), place, _keypoints(person.annopoints))
            for image, train in zip(images, np.atleast_1d(release.img_train), strict=True)
            for place, person in enumerate(np.atleast_1d(image.annorect))
            if train and np.size(getattr(person, "annopoints", ()))
        ]
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: expected the structure RELEASE of MPII, got something else ({error})") from error
    if not people:
        raise ValueError(f"{path}: expected annotated people in training images, got none; is it the whole file?")
    return people


def _video(image):
    number = np.ravel(getattr(image, "vidx", ()))
    return f"mpii-video-{int(number[0]):04d}" if len(number) else f"mpii-{image.image.name}"


def _keypoints(annotation):
    """x, y, counted from 0, and visibility (16, 3); points that say nothing of it (those of the head) count as seen."""
    points = np.zeros((16, 3), np.float32)
    for point in np.atleast_1d(annotation.point):
        flag = np.ravel(getattr(point, "is_visible", ()))
        seen = 2 if not len(flag) or float(flag[0]) > 0 else 1
        points[int(point.id)] = (point.x - 1, point.y - 1, seen)
    return points
