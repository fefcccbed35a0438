"""The networks of paper 000: settings from which network, examples and reading follow, and people in pictures.

A picture of any size and with any number of people goes through the network at several scales; the maps are averaged
and read as people (`grouping`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from studykit.pose.codecs import affinity
from studykit.pose.codecs.affinity import STRIDE
from studykit.pose.codecs.peaks import highest_peaks
from studykit.pose.examples.crops import CropSettings, person_box
from studykit.pose.grouping import group, limb_numbers
from studykit.pose.network import Family, family
from studykit.pose.scores.keypoints import shared_pck
from studykit.pose.scores.people import Found
from studykit.skeletons import SKELETONS, Skeleton
from studykit.stills import StillSet, available_keypoints, warp_image, with_skeleton

if TYPE_CHECKING:
    import keras

SKELETON_OF = {"coco18": "openpose18", "mpii15": "mpii15", "body25": "body25"}  # as paper 000 names them
SMOOTH_PX = 3.0  # of maps before peaks are looked for, px of the network's image (published code)
PAD_VALUE = 128  # grey beyond the picture's edge (paper 000, section 4)


@family("openpose")
@dataclass(frozen=True)
class Settings(Family, CropSettings):
    """Everything that a network, its examples and its reading depend on.

    Attributes
    ----------
    skeleton : {"coco18", "mpii15", "body25"}
    backbone, width, features, stages, normalise_all, batch_momentum
        See `models.openpose`; stages 0: as published.
    size_px : int
        Width and height of training examples, a multiple of 8 (paper: 368).
    box_px : int
        Height to which pictures are scaled before people are looked for (paper: 368); people should then be about as
        large as in training.
    sigma_px, reach_px : float
        Of the Gaussians, and of the fields to either side of a limb, network px (published: 7 and 8).
    padding, zoom, rotation_deg, shift, flip, colour, blur_px, noise
        See `crops.CropSettings`.
    """

    skeleton: str = "coco18"
    backbone: str = "mobilenet"
    width: float = 1.0
    features: int = 128
    stages: int = 0
    normalise_all: bool = False
    batch_momentum: float = 0.9
    size_px: int = 368
    box_px: int = 368
    padding: float = 1.2
    sigma_px: float = 7.0
    reach_px: float = 8.0

    def __post_init__(self) -> None:
        if self.skeleton not in SKELETON_OF:
            raise ValueError(f"skeleton: expected one of {', '.join(SKELETON_OF)}, got {self.skeleton!r}")
        if self.size_px % STRIDE or self.size_px < 3 * STRIDE:
            raise ValueError(f"size_px: expected a multiple of {STRIDE} from {3 * STRIDE}, got {self.size_px}")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of training examples, px."""
        return self.size_px, self.size_px

    @property
    def body(self) -> Skeleton:
        """The skeleton."""
        return SKELETONS[SKELETON_OF[self.skeleton]]

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the K keypoints."""
        return self.body.keypoints

    @property
    def limbs(self) -> list[tuple[int, int]]:
        """Pairs of keypoint numbers."""
        return limb_numbers(self.body)

    def build(self, weights: str | None = None) -> "keras.Model":
        """The network, its weights drawn from Keras's seed, or the backbone's from `weights`."""
        from studykit.models.openpose import openpose

        options = {name: getattr(self, name) for name in ("width", "features", "normalise_all", "batch_momentum")}
        options |= {"stages": self.stages or None, "weights": weights}
        return openpose(len(self.keypoints), len(self.limbs), self.backbone, **options)

    def _every_stage(self, values: dict[str, Any]) -> dict[str, Any]:
        """What holds for "maps" and "pafs", for the outputs of the stages before the last one, too."""
        from studykit.models.openpose import STAGES

        before = range(1, self.stages or STAGES[self.backbone])
        return {f"{name}{n}": value for n in before for name, value in values.items()} | values

    @property
    def losses(self) -> dict[str, Any]:
        """Squared error of both branches after every stage (Cao et al. 2017, equation 5), as means over cells."""
        from studykit.models.losses import MaskedMeanSquaredError

        return self._every_stage({"maps": MaskedMeanSquaredError(), "pafs": MaskedMeanSquaredError()})

    def targets(self, stills: list) -> dict[str, np.ndarray]:
        """Confidence maps and fields of pictures of the examples' size, as from `pictures`."""
        people = [still.keypoints.reshape(-1, len(self.keypoints), 3) for still in stills]
        height, width = stills[0].image.shape[:2]
        reach = {"sigma_px": self.sigma_px, "reach_px": self.reach_px}
        maps = [affinity.encode(one, self.limbs, height, width, **reach) for one in people]
        return {name: np.stack([one[name] for one in maps]) for name in ("maps", "pafs")}

    def encode(self, stills: list) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Pictures of the examples' size, as from `pictures`, as the network's inputs and targets, by output."""
        return np.stack([still.image for still in stills]), self._every_stage(self.targets(stills))

    def decode(self, maps: np.ndarray, fields: np.ndarray, stride: float, threshold: float = 0.1) -> Found:
        """Everybody in the maps of one picture; see `grouping.group`."""
        smooth_px = SMOOTH_PX * stride / STRIDE
        return group(maps, fields, self.limbs, stride=stride, smooth_px=smooth_px, threshold=threshold)

    def look(self, model: "keras.Model", sets: dict[str, StillSet]) -> dict[str, float]:
        """Loss of the last stage on the validation people, one per picture, and PCK@0.2 as `find_one` reads them.

        Returns
        -------
        dict
            validation_loss and validation_pck, of the joints that all networks share.
        """
        last, stills = last_stage(model), sets["validation"]
        crops = [self.crop(still)[0] for still in with_skeleton(stills, self.keypoints)]
        outputs = last.predict_on_batch(np.stack([crop.image for crop in crops]))
        targets = self.targets(crops)
        loss = sum(float(np.mean((outputs[name] - targets[name]) ** 2)) for name in outputs)
        points = np.stack([find_one(last, self, still.image) for still in stills])
        correct = shared_pck(points, stills, self.keypoints).pck.iloc[-1]
        return {"validation_loss": loss, "validation_pck": float(correct)}


@lru_cache(maxsize=4)  # compiled once
def last_stage(model: "keras.Model") -> "keras.Model":
    """The network without the outputs of earlier stages."""
    from studykit.models.openpose import final_maps

    return final_maps(model)


def with_keypoints(sets: dict[str, StillSet], names: Sequence[str], *, lacking: bool) -> dict[str, StillSet]:
    """Stills by set with other keypoints; see `stills.with_skeleton`."""
    return {name: with_skeleton(stills, names, lacking=lacking) for name, stills in sets.items()}


def pictures(*sets: StillSet, keypoints: Sequence[str], lacking: bool = False) -> StillSet:
    """Stills, one per person, as stills with everybody, one per picture, kept in memory.

    Parameters
    ----------
    *sets : StillSet
        One after the other, such as people alone and scenes.
    keypoints : sequence of str
        Names of the K keypoints that each person shall have.
    lacking : bool
        Accept names that the stills do not have; the network then learns to detect none of them.

    Returns
    -------
    StillSet
        With P K keypoints, those of one person after the other, named `left_knee#0`, ...; P is the greatest number of
        people in a picture, and those of missing people are unknown. The box encloses everybody.

    Raises
    ------
    ValueError
        Naming the keypoints that are lacking, unless `lacking`.
    """
    sets = [with_skeleton(stills, keypoints, lacking=lacking) for stills in sets]
    groups = [[stills[n] for n in numbers] for stills in sets for numbers in stills.by_scene()]
    most = max(map(len, groups))
    names = [f"{name}#{n}" for n in range(most) for name in keypoints]
    return StillSet([_together(people, most) for people in groups], names)


def _together(people, most):
    """One still for the people of one picture."""
    points = np.zeros((most, *people[0].keypoints.shape), np.float32)
    points[: len(people)] = [person.keypoints for person in people]
    boxes = np.array([person_box(person) for person in people])
    low, high = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    box = (*low.tolist(), *(high - low).tolist())
    return replace(people[0], keypoints=points.reshape(-1, 3), box=box, mask=None)


def say_unlabelled(stills: StillSet, keypoints: Sequence[str]) -> str:
    """Which keypoints the data lack, in words; "" if none."""
    absent = sorted(set(keypoints) - set(available_keypoints(stills, keypoints)), key=keypoints.index)
    return f"**No picture has labels of {', '.join(absent)}: the network learns to detect none.**" if absent else ""


def multi_scale_maps(
    model: "keras.Model", image: np.ndarray, box_size: float = 368, scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0)
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean of a network's maps of one picture at several scales (paper 000, section 4: scale search).

    The picture is scaled to a height of `box_size` times each scale and padded to whole cells. The maps are brought to
    the grid of the largest scale by bicubic interpolation. The network is one graph for all sizes.

    Parameters
    ----------
    model : keras.Model
        As from `models.openpose.final_maps`.
    image : ndarray (H, W, 3) uint8
    box_size : float
        px; the height of people that the network was trained with, and some room.
    scales : sequence of float

    Returns
    -------
    maps : ndarray (h, w, K + 1), fields : ndarray (h, w, 2 L)
    stride : float
        px of the picture per cell.
    """
    height, width = image.shape[:2]
    zooms = [scale * box_size / height for scale in scales]
    rows, columns = (max(3, -(-round(size * max(zooms)) // STRIDE)) for size in (height, width))
    total = None
    for zoom in zooms:
        padded = [max(3, -(-round(size * zoom) // STRIDE)) * STRIDE for size in (width, height)]
        matrix = np.array([[zoom, 0, (zoom - 1) / 2], [0, zoom, (zoom - 1) / 2]])
        seen = warp_image(image, matrix, *padded, border=PAD_VALUE)
        found = model.predict_on_batch(seen[None])
        found = np.concatenate([np.asarray(found["maps"])[0], np.asarray(found["pafs"])[0]], axis=-1)
        if zoom != max(zooms):
            ratio = zoom / max(zooms)
            down, right = _between(rows, found.shape[0], ratio), _between(columns, found.shape[1], ratio)
            found = np.einsum("rh,hwk,cw->rck", down, found, right, optimize=True)
        total = found if total is None else total + found
    maps, fields = np.split(total / len(zooms), [model.output["maps"].shape[-1]], axis=-1)
    return maps, fields, STRIDE / max(zooms)


def _between(cells, source_cells, ratio):
    """Matrix (cells, source_cells) that interpolates a line of cells, each `ratio` source cells wide."""
    at = ((np.arange(cells) + 0.5) * ratio - 0.5).astype(np.float32)
    rows, columns = np.meshgrid(at, np.arange(source_cells, dtype=np.float32), indexing="ij")
    one = np.eye(source_cells, dtype=np.float32)
    return cv2.remap(one, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def find_people(
    model: "keras.Model", settings: Settings, image: np.ndarray, *, threshold: float = 0.1, **scaled: Any
) -> Found:
    """Everybody in a picture.

    Parameters
    ----------
    model : keras.Model
        As from `models.openpose.final_maps`.
    settings : Settings
    image : ndarray (H, W, 3) uint8
    threshold : float
        See `grouping.group`.
    **scaled
        box_size (0: the settings') and scales (1 alone if not given), as in `multi_scale_maps`.

    Returns
    -------
    people : ndarray (P, K, 3)
        x, y in px of the picture and score; NaN, NaN, 0 where a keypoint was not detected. The surest person first.
    scores : ndarray (P,)
    """
    return settings.decode(*_maps(model, settings, image, **scaled), threshold)


def find_one(model: "keras.Model", settings: Settings, image: np.ndarray, **scaled: Any) -> np.ndarray:
    """The person of a picture that is known to hold one: the highest peak of each confidence map, without grouping.

    Parameters
    ----------
    model, settings, image, **scaled
        As in `find_people`.

    Returns
    -------
    ndarray (K, 3)
        x, y in px of the picture and height of the peak.
    """
    maps, _, stride = _maps(model, settings, image, **scaled)
    return highest_peaks(maps[None, ..., :-1], stride=stride)[0]


def _maps(model, settings, image, box_size=0, scales=(1.0,)):
    return multi_scale_maps(model, image, box_size or settings.box_px, scales)
