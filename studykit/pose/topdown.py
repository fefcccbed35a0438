"""The keypoint networks of papers 001 and 004: one set of settings, from which network, examples and reading follow.

A person's box is cropped from the picture; the network gives heat maps, or coordinates at once; both become points of
the picture again.
"""

from dataclasses import dataclass, replace

import numpy as np

from studykit.models.hourglass import hourglass
from studykit.models.losses import MaskedMeanSquaredError
from studykit.models.regression_cnn import regression_cnn
from studykit.models.simple_baseline import STRIDE, simple_baseline
from studykit.models.vit import vit
from studykit.pose import saved_networks
from studykit.pose.codecs import coordinates, heatmaps
from studykit.pose.examples.crops import CropSettings, uncrop
from studykit.pose.scores.pck import pck, torso_length_px
from studykit.skeletons import SKELETONS, flip_order
from studykit.stills import StillSet

MODELS = ("regression_cnn", "simple_baseline", "hourglass", "vit")


@dataclass(frozen=True)
class Settings(CropSettings):
    """Everything that a network, its examples and its reading depend on.

    Attributes
    ----------
    model : {"regression_cnn", "simple_baseline", "hourglass", "vit"}
    keypoints : tuple of str
    backbone : str
        Of simple_baseline.
    width : int
        Channels: of the first level (regression_cnn, paper: 64), of the first residual stage (simple_baseline, 64),
        throughout (hourglass, 256; vit, 384).
    head_width : int
        Filters of each deconvolution (simple_baseline and vit, 256), units of the dense layer (regression_cnn, 512).
    dropout : float
        Of regression_cnn and vit.
    skip : bool
        Of simple_baseline; see there.
    stacks : int
        Of hourglass.
    crop_width_px, crop_height_px : int
    sigma_px : float
        Of the Gaussian targets, px of the crop (Xiao et al.: 8 px of 256 x 192).
    batch_momentum : float
        Of the running means of batch normalisation.
    padding, zoom, rotation_deg, shift, flip, colour, blur_px, noise
        See `crops.CropSettings`.
    """

    model: str = "simple_baseline"
    keypoints: tuple = SKELETONS["coco17"].keypoints
    backbone: str = "resnet18"
    width: int = 32
    head_width: int = 64
    dropout: float = 0.1
    skip: bool = False
    stacks: int = 2
    crop_width_px: int = 96
    crop_height_px: int = 128
    sigma_px: float = 6.0
    batch_momentum: float = 0.9

    def __post_init__(self):
        if self.model not in MODELS:
            raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {self.model!r}")

    @property
    def size(self):
        """Width and height of the crop, px."""
        return self.crop_width_px, self.crop_height_px

    @property
    def heatmaps(self):
        """Whether the network gives heat maps; else coordinates."""
        return self.model != "regression_cnn"

    def build(self, weights=None):
        """The network, its weights drawn from Keras's seed, or the backbone's from `weights`."""
        common = {
            "batch_momentum": self.batch_momentum,
            "input_shape": (self.crop_height_px, self.crop_width_px, 3),
        }
        count, width = len(self.keypoints), self.width
        if self.model == "regression_cnn":
            widths = tuple(width * factor for factor in (1, 2, 4, 8, 8))
            return regression_cnn(count, widths=widths, hidden=self.head_width, dropout=self.dropout, **common)
        if self.model == "hourglass":
            depth = 4 if min(self.size) >= 192 else 3
            return hourglass(count, stacks=self.stacks, width=width, depth=depth, **common)
        if self.model == "vit":
            patch, depth, heads = (16, 12, 6) if min(self.size) >= 192 else (8, 6, 4)
            return vit(
                count, patch=patch, width=width, depth=depth, heads=heads, deconvolution=self.head_width, **common
            )
        common |= {"deconvolutions": (self.head_width,) * 3, "skip": self.skip, "weights": weights}
        return simple_baseline(count, self.backbone, width=width, **common)

    def losses(self, model):
        """Squared error over known keypoints, one a output (intermediate supervision)."""
        return {name: MaskedMeanSquaredError() for name in model.output} if self.heatmaps else MaskedMeanSquaredError()

    def encode(self, stills):
        """Stills of the crop's size as the network's inputs and targets."""
        images = np.stack([still.image for still in stills])
        if not self.heatmaps:
            return images, np.stack([coordinates.encode(still.keypoints, *self.size[::-1]) for still in stills])
        width, height = self.size
        options = {"stride": STRIDE, "sigma_px": self.sigma_px}
        maps = np.stack([heatmaps.encode(still.keypoints, height, width, **options) for still in stills])
        names = [f"heatmaps{n}" for n in range(1, self.stacks)] if self.model == "hourglass" else []
        return images, dict.fromkeys([*names, "heatmaps"], maps)

    def predict(self, model, images, flip_test=True, method="parabola"):
        """Keypoints in crops.

        Parameters
        ----------
        model : keras.Model
        images : ndarray (N, crop_height_px, crop_width_px, 3)
        flip_test : bool
            Mean with what the network finds in the mirror image.
        method : str
            Of `peaks.highest_peaks`.

        Returns
        -------
        ndarray (N, K, 3)
            x, y in px of the crop, and confidence; coordinates come without one: 1.
        """
        order = flip_order(self.keypoints)
        found = self._last(model, images)
        mirrored = self._last(model, images[:, :, ::-1]) if flip_test else None
        if self.heatmaps and flip_test:
            found = heatmaps.merge_flipped(found, mirrored, order)
        elif flip_test:
            found = coordinates.merge_flipped(found, mirrored, order)
        return self.decode(found, method)

    def _last(self, model, images):
        """Heat maps of the last stage (N, h, w, K), or shares of the crop (N, K, 2)."""
        outputs = model.predict_on_batch(images)
        return np.asarray(outputs["heatmaps"]) if self.heatmaps else np.asarray(outputs).reshape(len(images), -1, 2)

    def decode(self, outputs, method="parabola"):
        """Heat maps, or shares of the crop, as keypoints (N, K, 3); see `predict`."""
        if self.heatmaps:
            return heatmaps.decode(outputs, method, stride=STRIDE)
        return coordinates.decode(outputs, *self.size[::-1])


def predict_stills(model, settings, stills, *, flip_test=True, method="parabola", batch_size=32):
    """Keypoints of each still's person, who is cropped by his or her box.

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet
    flip_test, method : see `Settings.predict`
    batch_size : int
        The network sees batches of this size only, so that it is compiled once.

    Returns
    -------
    ndarray (N, K, 3)
        x, y in px of the still, and confidence.
    """
    found = []
    for start in range(0, len(stills), batch_size):
        some = [settings.crop(stills[n]) for n in range(start, min(start + batch_size, len(stills)))]
        images = np.zeros((batch_size, settings.crop_height_px, settings.crop_width_px, 3), np.uint8)
        images[: len(some)] = [still.image for still, _ in some]
        points = settings.predict(model, images, flip_test, method)[: len(some)]
        found.append(uncrop(points, np.stack([matrix for _, matrix in some])))
    return np.concatenate(found)


def validate(model, settings, stills, batch_size=32):
    """Loss and PCK@0.2 of plain crops, without a flip test; for `training.fit`'s `watch`.

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet

    Returns
    -------
    dict
        validation_loss and validation_pck.
    """
    crops = [settings.crop(still)[0] for still in stills]
    losses, found = [], []
    for start in range(0, len(crops), batch_size):
        some = crops[start : start + batch_size]
        images, targets = settings.encode(some + some[:1] * (batch_size - len(some)))  # one size, compiled once
        outputs = model.predict_on_batch(images)
        last, target = (outputs["heatmaps"], targets["heatmaps"]) if settings.heatmaps else (outputs, targets)
        last, target = np.asarray(last)[: len(some)], target[: len(some)]
        losses.append(len(some) * float(MaskedMeanSquaredError()(target, last)))
        found.append(settings.decode(last))
    truth = np.stack([still.keypoints for still in crops])
    correct = pck(np.concatenate(found), truth, torso_length_px(truth, settings.keypoints), 0.2)
    return {"validation_loss": sum(losses) / len(crops), "validation_pck": float(correct.pck.iloc[-1])}


def in_memory(stills):
    """The stills without masks, their pictures read once."""
    return StillSet(
        [replace(still, mask=None) for still in stills], stills.keypoints, stills.participants, stills.scenes
    )


def load_network(folder):
    """Model and settings of a network of notebook 20_train_keypoints; see `saved_networks.load_network`."""
    return saved_networks.load_network(folder, Settings, made_by="20_train_keypoints")
