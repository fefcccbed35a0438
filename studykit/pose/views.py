"""The network of thesis 002: one leg and the neck of a walking person, detected as DeepLabCut does.

Settings in one place, from which the network, its training examples, its reading of maps and its file follow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from studykit.kept import fingerprint
from studykit.pose.codecs import score_maps
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.network import Family, Network, family
from studykit.pose.prediction import Predictor
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet, warp, zoom_matrix

if TYPE_CHECKING:
    import keras


@family("views")
@dataclass(frozen=True)
class Settings(Family):
    """Everything that the network, its examples and its reading depend on.

    Attributes
    ----------
    keypoints : tuple of str
    backbone, output_stride, decoder, skip, batch_momentum
        See `models.deepercut`.
    width : float
        Filters of the first stage, or below 1 MobileNet's multiplier; 0: as published.
    scale : float
        Network px per px of the video (`scale_for`).
    crop_width_px, crop_height_px : int
        What the network sees of the scaled frame, multiples of `output_stride`.
    anchor : str
        Keypoint on which crops are centred, in training, judging and tracking alike. The hip: both are at one place in
        the picture, whereas a box around the labelled leg would tell the network which leg is the near one.
    radius_px : float
        Cells this near to a keypoint count as hits (DeepLabCut's `pos_dist_thresh`, 17), network px.
    offset_weight : float
        Share of location refinement in the loss (DeepLabCut's `locref_loss_weight`).
    zoom : float
        Training examples are enlarged or shrunk by up to this factor.
    rotation_deg, stretch, shift, anywhere, colour, blur_px, noise
        See `augmentation.Augmentation`. Never flipped: near and far leg must stay what they are.
    """

    keypoints: tuple[str, ...] = SKELETONS["gait6"].keypoints
    backbone: str = "resnet18"
    width: float = 32
    output_stride: int = 16
    decoder: int = 0
    skip: bool = False
    batch_momentum: float = 0.95
    scale: float = 0.8
    crop_width_px: int = 176
    crop_height_px: int = 240
    anchor: str = "hip"
    radius_px: float = 12.0
    offset_weight: float = 0.05
    zoom: float = 1.33
    rotation_deg: float = 15.0
    stretch: float = 0.1
    shift: float = 0.15
    anywhere: float = 0.1
    colour: float = 0.5
    blur_px: float = 1.0
    noise: float = 4.0

    def __post_init__(self) -> None:
        faults = [
            f"{name}: expected a multiple of {self.output_stride}, got {getattr(self, name)}"
            for name in ("crop_width_px", "crop_height_px")
            if getattr(self, name) % self.output_stride
        ]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a crop, network px."""
        return self.crop_width_px, self.crop_height_px

    @property
    def losses(self) -> dict[str, Callable]:
        """Losses by output."""
        from studykit.models.deepercut import offset_loss, score_loss

        def offsets(target, found):
            return offset_loss(target, found, self.offset_weight)

        return {"scores": score_loss, "offsets": offsets}

    def build(self, weights: str | None = None) -> "keras.Model":
        """The network, its weights drawn from Keras's seed, or the backbone's from `weights`."""
        from studykit.models.deepercut import deepercut

        return deepercut(
            len(self.keypoints),
            self.backbone,
            width=int(self.width) if self.width >= 1 else self.width or None,
            output_stride=self.output_stride,
            decoder=self.decoder,
            skip=self.skip,
            batch_momentum=self.batch_momentum,
            weights=weights,
        )

    def augmentation(self) -> Augmentation:
        """How training examples are drawn from labelled frames."""
        return Augmentation(
            *self.size,
            scale=(self.scale / self.zoom, self.scale * self.zoom),
            centre=self.anchor,
            **{name: getattr(self, name) for name in _AUGMENTATION},
        )

    def encode(self, stills: list[Still]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Stills of the crop's size as the network's inputs and targets."""
        size = self.crop_height_px, self.crop_width_px
        maps = [score_maps.encode(still.keypoints, *size, radius_px=self.radius_px) for still in stills]
        targets = {name: np.stack([one[name] for one in maps]) for name in maps[0]}
        return np.stack([still.image for still in stills]), targets

    def decode(self, outputs: dict[str, np.ndarray], candidates: int = 1) -> np.ndarray:
        """The network's maps as keypoints (N, candidates, K, 3): x, y in its image, px, and confidence."""
        return score_maps.decode(outputs["scores"], outputs["offsets"], candidates=candidates)

    def look(self, model: "keras.Model", sets: dict[str, StillSet]) -> dict[str, float]:
        """Median errors on every fifth frame trained on and on all test frames, px of the video."""
        errors = {"train": sets["train"][::5], "test": sets["test"]}
        return {f"{name}_error_px": float(still_errors(model, self, e).error_px.median()) for name, e in errors.items()}


_AUGMENTATION = ("rotation_deg", "stretch", "shift", "anywhere", "colour", "blur_px", "noise")


def predictor(network: Network, *, candidates: int = 1, dynamic_crop: bool = True) -> Predictor:
    """A trained network, ready for `prediction`.

    Parameters
    ----------
    network : Network
        Of this family.
    candidates : int
        Peaks of each score map that a video's path may choose from.
    dynamic_crop : bool
        Only the surroundings of the person go through the network; False: whole frames.
    """
    settings = network.settings
    return Predictor(
        network,
        settings.keypoints,
        lambda outputs: settings.decode(outputs, candidates),
        scale=settings.scale,
        crop=settings.size if dynamic_crop else None,
        multiple=settings.output_stride,
        anchor=settings.anchor,
        limbs=tuple(limb for limb in SKELETONS["gait6"].limbs if set(limb) <= set(settings.keypoints)),
        key=fingerprint(network.asked([candidates, dynamic_crop])),
    )


def scale_for(stills: StillSet, body_px: float) -> float:
    """Scale at which people, from the highest to the lowest labelled keypoint, are `body_px` tall in the median."""
    heights = [np.ptp(still.keypoints[still.keypoints[:, 2] > 0, 1]) for still in stills]
    return float(np.round(body_px / np.median(heights), 4))


def label_errors(network: Network, stills: StillSet, name: str) -> pd.DataFrame:
    """`still_errors` of a trained network, kept under a name."""
    return network.kept(f"errors_{name}", stills, lambda: still_errors(network.model, network.settings, stills))


def still_errors(model: "keras.Model", settings: Settings, stills: StillSet, batch_size: int = 16) -> pd.DataFrame:
    """Errors on labelled frames, each cropped around its labelled anchor (`Settings.anchor`).

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet
        As from `labels.labelled_stills`.
    batch_size : int

    Returns
    -------
    pandas.DataFrame
        A row per frame and labelled keypoint: source, participant, keypoint, x_px, y_px (detected), label_x_px,
        label_y_px, error_px (px of the video) and confidence.
    """
    tables = []
    for start in range(0, len(stills), batch_size):
        some = list(stills[start : start + batch_size])
        maps = np.stack([_around_anchor(still, settings) for still in some])
        images = np.stack([warp(still, one, *settings.size).image for still, one in zip(some, maps, strict=True)])
        found = settings.decode(model.predict_on_batch(images))[:, 0].astype(float)
        labels = np.stack([still.keypoints for still in some]).astype(float)
        xy = (found[..., :2] - maps[:, None, :, 2]) / settings.scale
        columns = {"source": [still.source for still in some], "participant": [still.participant for still in some]}
        columns = {name: np.repeat(values, len(settings.keypoints)) for name, values in columns.items()}
        columns["keypoint"] = np.tile(settings.keypoints, len(some))
        values = np.concatenate([xy, labels[..., :2]], axis=-1).reshape(-1, 4)
        columns |= dict(zip(("x_px", "y_px", "label_x_px", "label_y_px"), values.T, strict=True))
        columns |= {"error_px": np.hypot(*(values[:, :2] - values[:, 2:]).T), "confidence": found[..., 2].ravel()}
        tables.append(pd.DataFrame(columns)[labels[..., 2].ravel() > 0])
    return pd.concat(tables, ignore_index=True)


def _around_anchor(still: Still, settings: Settings) -> np.ndarray:
    """Crop (2, 3) that brings the anchor to the middle; without its label, the middle of the others."""
    x, y, known = still.keypoints[settings.keypoints.index(settings.anchor)]
    if not known:
        x, y = np.median(still.keypoints[still.keypoints[:, 2] > 0, :2], axis=0)
    return zoom_matrix(settings.scale, (x, y), *settings.size)


def training_summary(network: Network, batch_size: int) -> str:
    """What was trained, for how long, and what the figure of its history shows."""
    settings, steps = network.settings, network.history.step.iloc[-1]
    return (
        f"{settings.backbone}, {network.parameters / 1e6:.2f} million parameters, {steps} steps of {batch_size} crops "
        f"of {settings.crop_width_px} x {settings.crop_height_px} px at {settings.scale:.2f} of the video's "
        "size. *Left: the two losses, averaged over 20 steps. Right: median error on labelled frames, px of the video.*"
    )


def label_verdict(train: pd.DataFrame, test: pd.DataFrame, *, frames: int, people: int, p_cutoff: float) -> str:
    """How well the network detects the points of unseen people, from two tables of `truth.keypoints.error_table`.

    Parameters
    ----------
    train, test : pandas.DataFrame
        Of the people trained on, and of the others.
    frames, people : int
        Labelled frames to train on, and people in the study.
    p_cutoff : float
    """
    seen, unseen = (table.set_index("keypoint").loc["all"] for table in (train, test))
    worst = test.iloc[:-1].set_index("keypoint").within_percent.idxmin()
    helps = "tells" if unseen.within_percent_cut > unseen.within_percent + 2 else "hardly tells"
    return (
        f"From {frames} labelled frames the network detects points of "
        f"{'unseen people' if people > 1 else 'the same person in other frames'} with a median error of "
        f"{unseen.median_px:.1f} px ({seen.median_px:.1f} px on the frames trained on); "
        f"{unseen.within_percent:.0f} % lie within 8 px, least of them the {worst}. The p-cutoff of {p_cutoff} keeps "
        f"{unseen.kept_percent:.0f} % of the points, {unseen.within_percent_cut:.0f} % of them within 8 px: confidence "
        f"alone {helps} the wrong points from the right ones."
    )
