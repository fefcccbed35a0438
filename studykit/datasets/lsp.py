"""Leeds Sports Pose (Johnson & Everingham 2010) and its extended training set (2011): single people, 14 joints.

Both hold `images/` and `joints.mat`. In LSP the array is (3, 14, N) and its flag 1 means *occluded*; in LSPET it is
(14, 3, N) and 1 means *visible*. Coordinates are taken as they are.
"""

from pathlib import Path

import numpy as np

from studykit.datasets.fetch import read_mat, require_images, require_source
from studykit.datasets.still_files import read_image, read_mask
from studykit.skeletons import SKELETONS
from studykit.stills import PSEUDO_MASK, Made, Still, StillSet, known_box, mark_outside

_SHAPES = {"lsp": (3, 14), "lspet": (14, 3)}
_DIGITS = {"lsp": 4, "lspet": 5}  # of the images' numbers


def lsp_stills(folder: str | Path, name: str = "lsp") -> StillSet:
    """People of LSP or LSPET; an image is read when its still is asked for.

    Masks are read from `masks/<image>.png` where there is one: the data set has none, so these are pseudo-masks of
    some teacher, and `source` says so. The box encloses the joints.

    Parameters
    ----------
    folder : path-like
    name : {"lsp", "lspet"}

    Returns
    -------
    StillSet
        Each still is a participant of its own, for who is who is not known.

    Raises
    ------
    FileNotFoundError
        If the folder, the annotations or an image is missing.
    ValueError
        If the annotations are not those of this data set.
    """
    folder = require_source(name, folder, "images", "joints.mat")
    points = _keypoints(folder / "joints.mat", name)
    names = [f"im{number + 1:0{_DIGITS[name]}d}" for number in range(len(points))]
    expected = f"{len(names)} images as joints.mat has people"
    require_images(folder / "images", [f"{stem}.jpg" for stem in names], expected)

    def read(number):
        stem = names[number]
        image = read_image(folder / "images" / f"{stem}.jpg")
        path = folder / "masks" / f"{stem}.png"
        mask = read_mask(path) if path.is_file() else None
        if mask is not None and mask.shape != image.shape[:2]:
            raise ValueError(
                f"{path}: expected a mask of its image's size {image.shape[:2]}, got {mask.shape}; redo it"
            )
        keypoints = mark_outside(points[number], image.shape[1], image.shape[0])
        source = f"{name} {stem}.jpg" + (f", {PSEUDO_MASK}" if mask is not None else "")
        return Still(image, keypoints, mask, known_box(keypoints), f"{name}-{stem}", source)

    participants = [f"{name}-{stem}" for stem in names]
    return StillSet(Made(range(len(names)), read), SKELETONS["lsp14"].keypoints, participants, [""] * len(names))


def _keypoints(path, name):
    """x, y and visibility (N, 14, 3) float32 of all people."""
    joints = read_mat(path, "joints")
    if joints.ndim != 3 or joints.shape[:2] != _SHAPES[name]:
        other = next((key for key, shape in _SHAPES.items() if joints.shape[:2] == shape), None)
        hint = f"that is {other}, so read it as such" if other else "is this the data set's own file?"
        raise ValueError(f"{path}: expected joints {(*_SHAPES[name], 'N')} of {name}, got {joints.shape}; {hint}")
    if name == "lsp":
        points = joints.transpose(2, 1, 0).astype(np.float32)
        points[..., 2] = np.where(points[..., 2] > 0, 1, 2)
        return points
    points = joints.transpose(2, 0, 1).astype(np.float32)
    given = (points[..., :2] > 0).all(axis=-1)  # joints that nobody placed lie at the corner or beyond it
    points[..., 2] = np.where(points[..., 2] > 0, 2, np.where(given, 1, 0))
    return points
