"""Labelled single images of people: sets of them, splits by participant, cropping, warping and mirroring."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from studykit.skeletons import SKELETONS, convert, flip_order

Names = Sequence[str]
PSEUDO_MASK = "pseudo-mask"  # in the source of a still whose mask is a network's opinion


@dataclass(frozen=True)
class Still:
    """One image with what is known about the person in it. Pixel centres lie at integers.

    Attributes
    ----------
    image : ndarray (H, W, 3) uint8
        RGB.
    keypoints : ndarray (K, 3) float32
        x, y in px and visibility: 0 unknown or outside the image, 1 occluded, 2 visible.
    mask : ndarray (H, W) bool, or None
        The person's silhouette.
    box : tuple (x, y, width, height) of float, or None
        Around the person, px.
    participant : str
        Whoever shares this name shares a side of every split.
    source : str
        Where the image comes from, such as a file and a frame.
    scene : str
        Name of the picture that several people share, each of them a still of his or her own; "" for one alone.
    """

    image: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray | None = None
    box: tuple | None = None
    participant: str = ""
    source: str = ""
    scene: str = ""

    def __post_init__(self) -> None:
        faults = []
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            faults.append(f"expected an image (H, W, 3) of uint8, got {self.image.shape} of {self.image.dtype}")
        if np.ndim(self.keypoints) != 2 or np.shape(self.keypoints)[1] != 3:
            faults.append(f"expected keypoints (K, 3), got {np.shape(self.keypoints)}")
        elif not np.isfinite(self.keypoints).all():
            faults.append("expected finite keypoints, got NaN or infinity; mark unknown ones by visibility 0")
        if self.mask is not None and self.mask.shape != self.image.shape[:2]:
            faults.append(f"expected a mask of the image's size {self.image.shape[:2]}, got {self.mask.shape}")
        if faults:
            raise ValueError(f"{self.source or 'still'}: " + "; ".join(faults))


class StillSet(Sequence):
    """A sequence of stills that share one skeleton.

    Parameters
    ----------
    stills : sequence of Still
        A list, or anything with a length that gives a Still for a number, such as a reader that loads images late.
    keypoints : sequence of str
        Canonical names of the K keypoints.
    participants, scenes : sequence of str, optional
        One a still; needed when the stills should not be loaded just to know who is in them.
    """

    def __init__(
        self, stills: Sequence[Still], keypoints: Names, participants: Names | None = None, scenes: Names | None = None
    ) -> None:
        """Check that the names, the participants and the first still fit together."""
        self.keypoints = tuple(keypoints)
        loaded = stills if participants is None else [None] * len(stills)
        self.participants = tuple(participants) if participants is not None else tuple(s.participant for s in loaded)
        self.scenes = tuple(scenes) if scenes is not None else tuple(s.scene if s else "" for s in loaded)
        self._stills = stills
        if not len(self.participants) == len(self.scenes) == len(stills):
            got = f"{len(self.participants)} and {len(self.scenes)} for {len(stills)} stills"
            raise ValueError(f"expected a participant and a scene a still, got {got}")
        if len(stills) and (known := len(stills[0].keypoints)) != len(self.keypoints):
            expected = f"{len(self.keypoints)} keypoints {self.keypoints}"
            raise ValueError(f"{stills[0].source or 'stills'}: expected {expected}, got {known}")

    def __len__(self) -> int:
        return len(self.participants)

    def __getitem__(self, index: int | slice) -> "Still | StillSet":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        return self._stills[index]

    def __iter__(self) -> Iterator[Still]:
        return (self._stills[i] for i in range(len(self)))

    def subset(self, indices: Iterable[int]) -> "StillSet":
        """The stills of these numbers, in this order, as a set of their own."""
        indices = list(indices)
        names = ([every[i] for i in indices] for every in (self.participants, self.scenes))
        return StillSet(Made(indices, self._stills.__getitem__), self.keypoints, *names)

    def map(self, change: Callable[[Still], Still], keypoints: Sequence[str] | None = None) -> "StillSet":
        """The set with `change(still)` for each still, made when asked for; `keypoints`: names, if they change."""
        return StillSet(Made(self, change), keypoints or self.keypoints, self.participants, self.scenes)

    def by_scene(self) -> list[list[int]]:
        """Numbers of the stills that share a picture, a list a picture; a still without a scene is alone in its own."""
        groups = {}
        for i, scene in enumerate(self.scenes):
            groups.setdefault(scene or i, []).append(i)
        return list(groups.values())


@dataclass(frozen=True)
class Made(Sequence):
    """What a function makes of each item of a sequence, when asked for."""

    items: Sequence
    make: Callable

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.make(self.items[index])


def available_keypoints(stills: StillSet, names: Sequence[str]) -> tuple[str, ...]:
    """Of some canonical names, such as ``SKELETONS["coco17"].keypoints``, those that `with_skeleton` can fill."""
    probe = convert(np.zeros((len(stills.keypoints), 3)), stills.keypoints, names)
    return tuple(name for name, row in zip(names, probe, strict=True) if not np.isnan(row).any())


def with_skeleton(stills: StillSet, names: Sequence[str], *, lacking: bool = False) -> StillSet:
    """The same stills with other keypoints, found by name or derived as midpoints (`skeletons.convert`).

    Parameters
    ----------
    stills : StillSet
    names : sequence of str
        Canonical names, such as ``SKELETONS["coco17"].keypoints``.
    lacking : bool
        Accept names that the stills do not have; they are unknown (visibility 0) everywhere.

    Returns
    -------
    StillSet

    Raises
    ------
    ValueError
        Naming the keypoints that are lacking, unless `lacking`.
    """
    names = tuple(names)
    absent = sorted(set(names) - set(available_keypoints(stills, names)), key=names.index)
    if absent and not lacking:
        way_out = "choose a skeleton that the data have, or accept that these stay unknown (lacking=True)"
        raise ValueError(f"expected stills with {', '.join(absent)}, got {', '.join(stills.keypoints)}; {way_out}")

    def change(still):
        points = np.nan_to_num(convert(still.keypoints, stills.keypoints, names))
        return replace(still, keypoints=points.astype(np.float32))

    return stills.map(change, names)


def known_share(still: Still, keypoints: Sequence[str]) -> float:
    """Share of a still's keypoints that lie in the picture, seen or occluded; of those that BODY_25 has, 0 to 1.

    Paper 003, section II-A, takes pictures with at least 22 of 25, which is a share of 0.88.
    """
    rows = [k for k, name in enumerate(keypoints) if name in SKELETONS["body25"].keypoints]
    return float((still.keypoints[rows, 2] > 0).mean()) if rows else 0.0


def mark_outside(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Keypoints (K, 3) of which those outside an image of width and height, px, are unknown (visibility 0)."""
    points = np.array(points, dtype=np.float32)
    inside = ((points[:, :2] >= -0.5) & (points[:, :2] < np.array([width, height]) - 0.5)).all(axis=1)
    points[~inside, 2] = 0
    return points


def known_box(points: np.ndarray) -> tuple[float, float, float, float] | None:
    """x, y, width and height around the known keypoints of (K, 3), px; None where there are none."""
    known = np.asarray(points)[np.asarray(points)[:, 2] > 0, :2]
    return tuple(float(v) for v in (*known.min(axis=0), *np.ptp(known, axis=0))) if len(known) else None


def rescale(still: Still, shorter_px: int) -> Still:
    """The whole still with a shorter edge of so many px, the longer one in proportion, by bicubic interpolation.

    Paper 003, section II-A, with 128 px. A picture that shrinks more than twofold is smoothed first.
    """
    height, width = still.image.shape[:2]
    scale = shorter_px / min(height, width)
    size = (round(width * scale), round(height * scale))
    image = still.image if scale >= 0.5 else cv2.GaussianBlur(still.image, (0, 0), 0.4 / scale)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    mask, way = still.mask, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    if mask is not None:
        mask = cv2.resize(mask.astype(np.float32), size, interpolation=way) > 0.5
    zoom = np.array(size) / (width, height)
    points = np.array(still.keypoints, dtype=np.float32)
    points[:, :2] = (points[:, :2] + 0.5) * zoom - 0.5
    matrix = np.column_stack([np.diag(zoom), (zoom - 1) / 2])
    return replace(still, image=image, mask=mask, keypoints=points, box=_warp_box(still.box, matrix))


def limit_size(still: Still, longest_px: int) -> Still:
    """The whole still with a longer edge of at most so many px."""
    height, width = still.image.shape[:2]
    longest = max(height, width)
    return still if longest <= longest_px else rescale(still, max(1, round(longest_px * min(height, width) / longest)))


def crop_person(still: Still, margin: float = 0.25) -> Still:
    """The part of a still around its person, in the still's own pixels.

    Parameters
    ----------
    still : Still
    margin : float
        Room on each side of the box and the known keypoints, as a share of their longer extent; less at the border.

    Returns
    -------
    Still

    Raises
    ------
    ValueError
        If there is neither a box nor a known keypoint.
    """
    corners = still.keypoints[still.keypoints[:, 2] > 0, :2]
    if still.box is not None:
        x, y, w, h = still.box
        corners = np.concatenate([corners, [[x, y], [x + w - 1, y + h - 1]]])
    if not len(corners):
        raise ValueError(f"{still.source or 'still'}: expected a person's box or a known keypoint to crop to, got none")
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = margin * (high - low).max()
    limit = np.array(still.image.shape[1::-1])
    x0, y0 = np.clip(np.floor(low - room), 0, limit - 1).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(high + room) + 1, 1, limit).astype(int).tolist()
    points = still.keypoints - np.array([x0, y0, 0], np.float32)
    box = still.box and (still.box[0] - x0, still.box[1] - y0, *still.box[2:])
    mask = None if still.mask is None else still.mask[y0:y1, x0:x1]
    return replace(still, image=still.image[y0:y1, x0:x1], keypoints=points, mask=mask, box=box)


def warp(still: Still, matrix: np.ndarray, width: int, height: int) -> Still:
    """A still seen through an affine map: image, keypoints, mask and box move together.

    Parameters
    ----------
    still : Still
    matrix : ndarray (2, 3)
        From px of the still to px of the result.
    width, height : int
        Size of the result, px. What lies beyond the still is black, and keypoints that leave the result become
        unknown (visibility 0; their coordinates stay).

    Returns
    -------
    Still
    """
    matrix = np.asarray(matrix, dtype=float)
    image = warp_image(still.image, matrix, width, height)
    mask = still.mask
    if mask is not None:
        mask = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR) > 0.5
    points = np.array(still.keypoints, dtype=np.float32)
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points = mark_outside(points, width, height)
    return replace(still, image=image, mask=mask, keypoints=points, box=_warp_box(still.box, matrix))


def warp_image(image: np.ndarray, matrix: np.ndarray, width: int, height: int, border: float = 0) -> np.ndarray:
    """An image (H, W, 3) seen through an affine map (2, 3), of one grey beyond its border, smooth when shrunk."""
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < 0.5:  # bilinear sampling skips pixels beyond a factor of two
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / shrink)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(border,) * 3)


def _warp_box(box, matrix):
    if box is None:
        return None
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]) @ matrix[:, :2].T + matrix[:, 2]
    low, high = corners.min(axis=0), corners.max(axis=0)
    return tuple(float(v) for v in (*low, *(high - low)))


def zoom_matrix(scale: float, centre: Sequence[float], width: int, height: int) -> np.ndarray:
    """Affine map (2, 3) that enlarges by a factor and brings a point, px, to the middle of an image of a given size."""
    middle = (np.array([width, height]) - 1) / 2
    return np.column_stack([scale * np.eye(2), middle - scale * np.asarray(centre, dtype=float)])


def flip(still: Still, keypoints: Sequence[str]) -> Still:
    """The mirror image; left and right keypoints change places.

    Parameters
    ----------
    still : Still
    keypoints : sequence of str
        Names, which say what is left and what is right.
    """
    width = still.image.shape[1]
    points = np.array(still.keypoints, dtype=np.float32)[flip_order(keypoints)]
    points[:, 0] = width - 1 - points[:, 0]
    box = still.box and (width - still.box[0] - still.box[2], *still.box[1:])
    mask = None if still.mask is None else np.ascontiguousarray(still.mask[:, ::-1])
    return replace(still, image=np.ascontiguousarray(still.image[:, ::-1]), keypoints=points, mask=mask, box=box)
