"""The keypoint networks of papers 001 and 004: one person per crop, as heat maps or as coordinates.

A person's box is cropped from the picture; what the network gives for the crop becomes points of the picture again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studykit.files import resolve, write_text
from studykit.kept import code_digest, kept
from studykit.pose.codecs import coordinates, heatmaps
from studykit.pose.codecs.peaks import METHODS
from studykit.pose.examples.crops import CropSettings, uncrop
from studykit.pose.network import Family, Network, family, stills_digest
from studykit.pose.scores import coco
from studykit.pose.scores.keypoints import shared_scores
from studykit.pose.scores.pck import pck, torso_length_px
from studykit.skeletons import SKELETONS, flip_order
from studykit.stills import StillSet, available_keypoints, with_skeleton

if TYPE_CHECKING:
    import keras

MODELS = ("regression_cnn", "simple_baseline", "hourglass", "vit")


@family("topdown")
@dataclass(frozen=True)
class Settings(Family, CropSettings):
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
    keypoints: tuple[str, ...] = SKELETONS["coco17"].keypoints
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

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {self.model!r}")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the crop, px."""
        return self.crop_width_px, self.crop_height_px

    @property
    def heatmaps(self) -> bool:
        """Whether the network gives heat maps; otherwise coordinates."""
        return self.model != "regression_cnn"

    def build(self, weights: str | None = None) -> "keras.Model":
        """The network, its weights drawn from Keras's seed, or the backbone's from `weights`."""
        from studykit.models.hourglass import hourglass
        from studykit.models.regression_cnn import regression_cnn
        from studykit.models.simple_baseline import simple_baseline
        from studykit.models.vit import vit

        count, width, large = len(self.keypoints), self.width, min(self.size) >= 192
        common = {"batch_momentum": self.batch_momentum, "input_shape": (*self.size[::-1], 3)}
        if self.model == "regression_cnn":
            widths = tuple(width * factor for factor in (1, 2, 4, 8, 8))
            return regression_cnn(count, widths=widths, hidden=self.head_width, dropout=self.dropout, **common)
        if self.model == "hourglass":
            return hourglass(count, stacks=self.stacks, width=width, depth=4 if large else 3, **common)
        if self.model == "vit":
            patch, depth, heads = (16, 12, 6) if large else (8, 6, 4)
            common |= {"deconvolution": self.head_width, "width": width}
            return vit(count, patch=patch, depth=depth, heads=heads, **common)
        common |= {"deconvolutions": (self.head_width,) * 3, "skip": self.skip, "weights": weights}
        return simple_baseline(count, self.backbone, width=width, **common)

    @property
    def _outputs(self) -> list[str]:
        """Names of the heat maps, those of the last stage at the end."""
        stacks = self.stacks if self.model == "hourglass" else 1
        return [*(f"heatmaps{n}" for n in range(1, stacks)), "heatmaps"]

    @property
    def losses(self) -> Any:
        """Squared error over known keypoints, one per output (intermediate supervision)."""
        from studykit.models.losses import MaskedMeanSquaredError

        if not self.heatmaps:
            return MaskedMeanSquaredError()
        return {name: MaskedMeanSquaredError() for name in self._outputs}

    def encode(self, stills: list) -> tuple[np.ndarray, Any]:
        """Stills of the crop's size as the network's inputs and targets."""
        images = np.stack([still.image for still in stills])
        if not self.heatmaps:
            return images, np.stack([coordinates.encode(still.keypoints, *self.size[::-1]) for still in stills])
        width, height = self.size
        maps = [heatmaps.encode(still.keypoints, height, width, sigma_px=self.sigma_px) for still in stills]
        return images, dict.fromkeys(self._outputs, np.stack(maps))

    def decode(self, outputs: np.ndarray, method: str = "parabola") -> np.ndarray:
        """Heat maps, or shares of the crop, as keypoints (N, K, 3); see `predict`."""
        if self.heatmaps:
            return heatmaps.decode(outputs, method)
        return coordinates.decode(outputs, *self.size[::-1])

    def predict(
        self, model: "keras.Model", images: np.ndarray, flip_test: bool = True, method: str = "parabola"
    ) -> np.ndarray:
        """Keypoints in crops.

        Parameters
        ----------
        model : keras.Model
        images : ndarray (N, crop_height_px, crop_width_px, 3)
        flip_test : bool
            Average with the keypoints of the mirror image.
        method : str
            Of `peaks.highest_peaks`.

        Returns
        -------
        ndarray (N, K, 3)
            x, y in px of the crop, and confidence; coordinates come without one: 1.
        """
        found, codec = self._last(model, images), heatmaps if self.heatmaps else coordinates
        if flip_test:
            found = codec.merge_flipped(found, self._last(model, images[:, :, ::-1]), flip_order(self.keypoints))
        return self.decode(found, method)

    def _last(self, model: "keras.Model", images: np.ndarray) -> np.ndarray:
        """Heat maps of the last stage (N, h, w, K), or shares of the crop (N, K, 2)."""
        outputs = model.predict_on_batch(images)
        return np.asarray(outputs["heatmaps"]) if self.heatmaps else np.asarray(outputs).reshape(len(images), -1, 2)

    def look(self, model: "keras.Model", sets: dict[str, StillSet], batch_size: int = 32) -> dict[str, float]:
        """Loss and PCK@0.2 of plain crops of the validation people, without a flip test.

        Returns
        -------
        dict
            validation_loss and validation_pck; nothing without validation people.
        """
        from studykit.models.losses import MaskedMeanSquaredError

        if "validation" not in sets:
            return {}
        crops = [self.crop(still)[0] for still in sets["validation"]]
        losses, found = [], []
        for start in range(0, len(crops), batch_size):
            some = crops[start : start + batch_size]
            images, targets = self.encode(some + some[:1] * (batch_size - len(some)))  # one size, compiled once
            outputs = model.predict_on_batch(images)
            last, target = (outputs["heatmaps"], targets["heatmaps"]) if self.heatmaps else (outputs, targets)
            last, target = np.asarray(last)[: len(some)], target[: len(some)]
            losses.append(len(some) * float(MaskedMeanSquaredError()(target, last)))
            found.append(self.decode(last))
        truth = np.stack([still.keypoints for still in crops])
        correct = pck(np.concatenate(found), truth, torso_length_px(truth, self.keypoints), 0.2)
        return {"validation_loss": sum(losses) / len(crops), "validation_pck": float(correct.pck.iloc[-1])}


def single_people(sets: dict[str, StillSet], keypoints: tuple[str, ...], most: int = 0) -> dict[str, StillSet]:
    """Stills by set in memory, with those of some keypoints that the data have; 0, or the most training pictures."""
    names = available_keypoints(sets["train"], keypoints)
    chosen = sets | {"train": sets["train"][: most or None]}
    return {name: in_memory(with_skeleton(stills, names)) for name, stills in chosen.items()}


def in_memory(stills: StillSet) -> StillSet:
    """The stills without masks, their pictures read once."""
    made = [replace(still, mask=None) for still in stills]
    return StillSet(made, stills.keypoints, stills.participants, stills.scenes)


def first_examples(settings: Any, stills: StillSet, schedule: Any, count: int = 4) -> list:
    """The first random examples of a training."""
    batches = settings.batches(stills, schedule.batch_size, schedule.seed)
    return [still for n in range(-(-count // schedule.batch_size)) for still in batches.examples(n)][:count]


def predict_stills(
    network: Network, stills: StillSet, *, flip_test: bool = True, method: str = "parabola", batch_size: int = 32
) -> np.ndarray:
    """Keypoints of each still's person, cropped by its box; kept beside the network.

    Parameters
    ----------
    network : Network
    stills : StillSet
    flip_test, method : see `Settings.predict`
    batch_size : int
        The network sees batches of this size only, so that it is compiled once.

    Returns
    -------
    ndarray (N, K, 3)
        x, y in px of the still, and confidence.
    """
    settings = network.settings

    def predict() -> np.ndarray:
        found = [np.zeros((0, len(settings.keypoints), 3))]
        for start in range(0, len(stills), batch_size):
            some = [settings.crop(stills[n]) for n in range(start, min(start + batch_size, len(stills)))]
            images = np.zeros((batch_size, *settings.size[::-1], 3), np.uint8)
            images[: len(some)] = [still.image for still, _ in some]
            points = settings.predict(network.model, images, flip_test, method)[: len(some)]
            found.append(uncrop(points, np.stack([matrix for _, matrix in some])))
        return np.concatenate(found)

    name = f"stills-{stills_digest(stills)[:8]}-{method}{'-flipped' * flip_test}"
    return network.kept(name, [stills, flip_test, method, batch_size], predict)


def compare_readings(network: Network, stills: StillSet) -> pd.DataFrame:
    """Scores of one network read in several ways.

    Returns
    -------
    pandas.DataFrame
        method (see `peaks.highest_peaks`), flip_test, pck, mse, AP.
    """
    rows = []
    for method, flip_test in product(METHODS, (False, True)):
        found = predict_stills(network, stills, flip_test=flip_test, method=method)
        scores = shared_scores(found, stills, network.settings.keypoints)
        rows.append({"method": method, "flip_test": flip_test} | scores)
    return pd.DataFrame(rows)[["method", "flip_test", "pck", "mse", "AP"]]


def network_cost(
    network: Network, batch_size: int = 1, part: "Callable[[keras.Model], keras.Model] | None" = None
) -> dict[str, float]:
    """What a network of any family costs; kept beside it.

    Parameters
    ----------
    network : Network
        With a `size`, px, in its settings.
    batch_size : int
        Pictures at once while time is measured.
    part : callable, optional
        Gives the part of the model that is timed, such as `openpose.last_stage`.

    Returns
    -------
    dict
        parameters, multiply_adds (of one picture), training_s and ms_per_image.
    """

    def measure() -> tuple[int, float]:
        from studykit.models.cost import ms_per_image, multiply_adds

        shape, timed = (*network.settings.size[::-1], 3), part(network.model) if part else network.model
        return multiply_adds(network.model, shape), ms_per_image(timed, shape, batch_size=batch_size)

    work, ms = network.kept("cost", [batch_size], measure)
    about = {"parameters": network.parameters, "multiply_adds": work}
    return about | {"training_s": network.seconds, "ms_per_image": ms}


def paper_layers(folder: Path) -> pd.DataFrame:
    """Layers of the regression CNN at the size of paper 004, as from `models.cost.layer_table`; kept."""

    def layers() -> pd.DataFrame:
        from studykit.models.cost import layer_table
        from studykit.models.regression_cnn import regression_cnn

        return layer_table(regression_cnn())

    return kept(folder / ".paper_layers.npz", code_digest("models"), layers)


def score_scenes(
    network: Network, scenes: StillSet, detections: str = ""
) -> tuple[pd.DataFrame | None, list[tuple[str, np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Scores of people in scenes, cropped by their boxes; writes `results.json` and `truth.json` beside the network.

    Parameters
    ----------
    network : Network
    scenes : StillSet
        One still per person; may be empty.
    detections : path-like
        Boxes of people, a COCO results file; "": those of the ground truth.

    Returns
    -------
    table : pandas.DataFrame or None
        `coco.COCO_FIGURES`, one row; None without scenes.
    pictures : list of (title, image, points (K, 3))
        Of the first four people.
    keypoints : tuple of str
        Those that COCO defines.
    """
    names = network.settings.keypoints
    boxed, wanted = in_memory(with_skeleton(scenes, names)), coco.coco_names(names)
    if not len(boxed):
        return None, [], wanted
    truth, images, scores = coco.coco_truth(boxed, wanted), coco.image_ids(boxed), np.ones(len(boxed))
    if detections:
        boxed, images, scores = coco.detected_stills(boxed, coco.read_detections(resolve(detections), truth))
    people = predict_stills(network, boxed)[:, [names.index(name) for name in wanted]]
    results = coco.coco_results(images, people, scores * people[..., 2].mean(axis=1), network.folder / "results.json")
    write_text(network.folder / "truth.json", json.dumps(truth))
    shown = zip(boxed[:4], people[:4], strict=True)
    pictures = [(f"{still.scene}, one of its people", still.image, points) for still, points in shown]
    return pd.DataFrame([coco.coco_scores(truth, results)]), pictures, wanted
