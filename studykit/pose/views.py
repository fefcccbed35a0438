"""The network of thesis 002: one leg and the neck of a walking person, found as DeepLabCut finds them.

Settings in one place, from which the network, its training examples, its reading of maps and its file are made.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from studykit.models.deepercut import deepercut, offset_loss, score_loss
from studykit.pose import saved_networks
from studykit.pose.codecs import score_maps
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.prediction import Predictor
from studykit.skeletons import SKELETONS
from studykit.stills import warp, zoom_matrix


@dataclass(frozen=True)
class Settings:
    """Everything that the network, its examples and its reading depend on.

    Attributes
    ----------
    keypoints : tuple of str
    backbone, width, output_stride, decoder, skip, batch_momentum
        See `models.deepercut`.
    scale : float
        Network px a px of the video (`scale_for`).
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

    keypoints: tuple = SKELETONS["gait6"].keypoints
    backbone: str = "resnet18"
    width: float | None = 32
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

    def __post_init__(self):
        faults = [
            f"{name}: expected a multiple of {self.output_stride}, got {getattr(self, name)}"
            for name in ("crop_width_px", "crop_height_px")
            if getattr(self, name) % self.output_stride
        ]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def losses(self):
        """Losses by output, for `training.compile_model`."""

        def offsets(target, found):
            return offset_loss(target, found, self.offset_weight)

        return {"scores": score_loss, "offsets": offsets}

    def build(self, weights=None):
        """The network, its weights drawn from Keras's seed, or the backbone's from `weights`."""
        return deepercut(
            len(self.keypoints),
            self.backbone,
            width=self.width,
            output_stride=self.output_stride,
            decoder=self.decoder,
            skip=self.skip,
            batch_momentum=self.batch_momentum,
            weights=weights,
        )

    def augmentation(self):
        """How training examples are drawn from labelled frames."""
        return Augmentation(
            self.crop_width_px,
            self.crop_height_px,
            scale=(self.scale / self.zoom, self.scale * self.zoom),
            rotation_deg=self.rotation_deg,
            stretch=self.stretch,
            shift=self.shift,
            centre=self.anchor,
            anywhere=self.anywhere,
            colour=self.colour,
            blur_px=self.blur_px,
            noise=self.noise,
        )

    def encode(self, stills):
        """Stills of the crop's size as the network's inputs and targets."""
        height, width = self.crop_height_px, self.crop_width_px
        maps = [score_maps.encode(still.keypoints, height, width, radius_px=self.radius_px) for still in stills]
        targets = {name: np.stack([one[name] for one in maps]) for name in maps[0]}
        return np.stack([still.image for still in stills]), targets

    def decode(self, outputs, candidates=1):
        """The network's maps as keypoints (N, candidates, K, 3): x, y in its image, px, and confidence."""
        return score_maps.decode(outputs["scores"], outputs["offsets"], candidates=candidates)

    def predictor(self, model, candidates=1):
        """The trained network, ready for `predict`."""
        return Predictor(
            model,
            self.keypoints,
            partial(self.decode, candidates=candidates),
            scale=self.scale,
            crop=(self.crop_width_px, self.crop_height_px),
            multiple=self.output_stride,
            anchor=self.anchor,
            limbs=tuple(limb for limb in SKELETONS["gait6"].limbs if set(limb) <= set(self.keypoints)),
        )


def scale_for(stills, body_px):
    """Scale at which people, from the highest to the lowest labelled keypoint, are `body_px` tall in the median."""
    heights = [np.ptp(still.keypoints[still.keypoints[:, 2] > 0, 1]) for still in stills]
    return float(np.round(body_px / np.median(heights), 4))


def load_network(folder, candidates=1):
    """Predictor and settings of a saved network.

    Parameters
    ----------
    folder : path-like
    candidates : int
        Peaks of each score map that a video's path may choose from.

    Raises
    ------
    FileNotFoundError
        Naming the command that trains it.
    """
    model, settings = saved_networks.load_network(folder, Settings, made_by="40_train_views")
    return settings.predictor(model, candidates), settings


def still_errors(model, settings, stills, batch_size=16):
    """Errors on labelled frames, each cropped around its labelled anchor (`Settings.anchor`).

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet
        As from `labels.labelled_stills`.

    Returns
    -------
    pandas.DataFrame
        A row a frame and labelled keypoint: source, participant, keypoint, x_px, y_px (found), label_x_px,
        label_y_px, error_px (px of the video) and confidence.
    """
    rows = []
    size = settings.crop_width_px, settings.crop_height_px
    for start in range(0, len(stills), batch_size):
        some = [stills[n] for n in range(start, min(start + batch_size, len(stills)))]
        maps = [_around_anchor(still, settings, *size) for still in some]
        images = np.stack([warp(still, matrix, *size).image for still, matrix in zip(some, maps, strict=True)])
        found = settings.decode(model.predict_on_batch(images))[:, 0]
        for still, matrix, points in zip(some, maps, found, strict=True):
            xy = (points[:, :2] - matrix[:, 2]) / settings.scale
            for name, (x, y), confidence, (u, v, known) in zip(
                settings.keypoints, xy, points[:, 2], still.keypoints, strict=True
            ):
                if known:
                    error = np.hypot(x - u, y - v)
                    rows.append((still.source, still.participant, name, x, y, u, v, error, confidence))
    columns = ["source", "participant", "keypoint", "x_px", "y_px", "label_x_px", "label_y_px", "error_px"]
    return pd.DataFrame(rows, columns=[*columns, "confidence"])


def _around_anchor(still, settings, width, height):
    """Crop (2, 3) that brings the anchor to the middle; without its label, the middle of the others."""
    x, y, known = still.keypoints[settings.keypoints.index(settings.anchor)]
    if not known:
        x, y = np.median(still.keypoints[still.keypoints[:, 2] > 0, :2], axis=0)
    return zoom_matrix(settings.scale, (x, y), width, height)
