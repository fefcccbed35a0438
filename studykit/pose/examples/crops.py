"""Top-down: from a person's box to the network's crop, and from points of the crop back to the picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from studykit.pose.examples.augmentation import Augmentation
from studykit.stills import Still, warp, zoom_matrix

PADDING = 1.25  # room around the box (Xiao et al. 2018, published code, `lib/dataset/coco.py`)


def person_box(still: Still, margin: float = 0.15) -> tuple[float, float, float, float]:
    """The person's box, or where there is none one around the known keypoints.

    Parameters
    ----------
    still : Still
    margin : float
        Room that is added on each side of the keypoints, as a share of their longer extent: heads, hands and feet
        reach beyond them.

    Returns
    -------
    tuple (x, y, width, height) of float, px

    Raises
    ------
    ValueError
        If the box has no area, or there is neither a box nor two known keypoints.
    """
    where = still.source or "still"
    if still.box is not None:
        if not (np.isfinite(still.box).all() and min(still.box[2:]) > 0):
            raise ValueError(f"{where}: expected a box (x, y, width, height) with an area, got {still.box}; remove it")
        return still.box
    known = still.keypoints[still.keypoints[:, 2] > 0, :2]
    if len(known) < 2 or np.ptp(known, axis=0).max() < 1:
        raise ValueError(f"{where}: expected a box or known keypoints apart from each other, got {len(known)} known")
    low, high = known.min(axis=0), known.max(axis=0)
    room = margin * (high - low).max()
    return tuple(float(v) for v in (*(low - room), *(high - low + 2 * room + 1)))


def crop_matrix(
    box: tuple[float, float, float, float], width: int, height: int, padding: float = PADDING
) -> np.ndarray:
    """Affine map (2, 3) from px of the picture to a crop that holds the box, its aspect kept, the box in the middle.

    Parameters
    ----------
    box : tuple (x, y, width, height), px
    width, height : int
        Of the crop, px.
    padding : float
        The crop shows this many times the box, along the side that decides.
    """
    x, y, w, h = box
    scale = min(width / w, height / h) / padding
    return zoom_matrix(scale, (x + (w - 1) / 2, y + (h - 1) / 2), width, height)


def crop(still: Still, width: int, height: int, padding: float = PADDING) -> tuple[Still, np.ndarray]:
    """A still's person in a crop of a given size.

    Returns
    -------
    Still, and the matrix (2, 3) from px of the still to px of the crop.
    """
    matrix = crop_matrix(person_box(still), width, height, padding)
    return warp(still, matrix, width, height), matrix


def uncrop(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points of a crop in px of the picture.

    Parameters
    ----------
    points : ndarray (..., K, 2 or more)
        x, y in px of the crop; whatever follows them, such as confidence, stays.
    matrix : ndarray (..., 2, 3)
        From the picture to the crop.
    """
    points = np.array(points, dtype=float)
    matrix = np.asarray(matrix, dtype=float)
    back = np.linalg.inv(matrix[..., :2])
    points[..., :2] = np.einsum("...ij,...kj->...ki", back, points[..., :2] - matrix[..., None, :, 2])
    return points


@dataclass(frozen=True)
class PersonCrop:
    """Random crops around a person's box; takes the place of an `Augmentation` in `batches.Batches`.

    Attributes
    ----------
    augmentation : Augmentation
        Its size is the crop's; its range of scales is relative to the crop of `crop_matrix`, its centre is the box.
    padding : float
    """

    augmentation: Augmentation
    padding: float = PADDING

    def __call__(self, still: Still, keypoints: Sequence[str], rng: np.random.Generator) -> Still:
        """One random crop of a still; `keypoints` are the names, `rng` a numpy Generator."""
        box = person_box(still)
        fit = crop_matrix(box, self.augmentation.width, self.augmentation.height, self.padding)[0, 0]
        low, high = self.augmentation.scale
        drawn = replace(self.augmentation, scale=(fit * low, fit * high), centre="box")
        return drawn(replace(still, box=box, mask=None), keypoints, rng)


@dataclass(frozen=True)
class CropSettings:
    """How training crops are drawn; the part that the settings of networks share, whose `size` is the crop's, px.

    Attributes
    ----------
    padding : float
        The crop shows this many times the box: the person's, or the one around everybody in the picture.
    zoom : float
        Crops are enlarged or shrunk by up to this factor.
    rotation_deg, shift, flip, colour, blur_px, noise
        See `augmentation.Augmentation`.
    """

    padding: float = PADDING
    zoom: float = 1.3
    rotation_deg: float = 30.0
    shift: float = 0.05
    flip: float = 0.5
    colour: float = 0.5
    blur_px: float = 0.5
    noise: float = 4.0

    def crop(self, still: Still) -> tuple[Still, np.ndarray]:
        """A still's person as the network sees him or her, and the matrix; see `crop`."""
        return crop(still, *self.size, self.padding)

    def augmentation(self) -> PersonCrop:
        """How training crops are drawn."""
        drawn = Augmentation(
            *self.size,
            scale=(1 / self.zoom, self.zoom),
            rotation_deg=self.rotation_deg,
            shift=self.shift,
            flip=self.flip,
            colour=self.colour,
            blur_px=self.blur_px,
            noise=self.noise,
        )
        return PersonCrop(drawn, self.padding)
