"""The second stage of a regression cascade (paper 004, section III; Toshev & Szegedy 2014, section 3.2).

A second network of the same kind sees a sub-image of higher resolution around each joint that the first one detected,
and tells where in it the joint is.
"""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from studykit.pose import topdown
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.crops import person_box, uncrop
from studykit.pose.network import Network, Schedule, family, train
from studykit.pose.scores.keypoints import Predictions, shared_scores, truth_points
from studykit.pose.topdown import network_cost, predict_stills
from studykit.stills import Still, StillSet, flip, warp, zoom_matrix

if TYPE_CHECKING:
    import keras


@family("cascade")
@dataclass(frozen=True)
class Settings(topdown.Settings):
    """A second network, whose crops are sub-images around joints.

    Attributes
    ----------
    share : float
        Side of a sub-image as a share of the longer side of the person's box.
    off : float
        Largest distance of the joint from the middle in training, either way and axis, as a share of the sub-image: as
        far as the first network errs.
    first_width_px, first_height_px : int
        Of the first network's crop.
    """

    share: float = 0.4
    off: float = 0.3
    first_width_px: int = 96
    first_height_px: int = 96

    def build(self, weights: str | None = None) -> "keras.Model":
        """The network; its weights are drawn after those of the first one, lest both start from the same numbers."""
        first = replace(self, crop_width_px=self.first_width_px, crop_height_px=self.first_height_px)
        topdown.Settings.build(first, weights)
        return super().build(weights)

    def scale(self, still: Still) -> float:
        """px of the sub-image per px of the still."""
        return self.crop_width_px / (self.share * max(person_box(still)[2:]))

    def augmentation(self) -> "Settings":
        """Sub-images are drawn by `__call__`."""
        return self

    def __call__(self, still: Still, keypoints: tuple[str, ...], rng: np.random.Generator) -> Still:
        """A random sub-image around one known joint, the only one that stays known."""
        still = replace(still, mask=None)
        if rng.random() < self.flip:
            still = flip(still, keypoints)
        joint = rng.choice(np.flatnonzero(still.keypoints[:, 2] > 0))
        scale = self.scale(still)
        place = {"scale": (scale / self.zoom, scale * self.zoom), "shift": self.off, "centre": keypoints[joint]}
        looks = {"colour": self.colour, "blur_px": self.blur_px, "noise": self.noise}
        drawn = Augmentation(*self.size, rotation_deg=self.rotation_deg, **place, **looks)(still, keypoints, rng)
        points = drawn.keypoints.copy()
        points[np.arange(len(points)) != joint, 2] = 0
        return replace(drawn, keypoints=points)

    def refine(self, model: "keras.Model", stills: StillSet, points: np.ndarray) -> np.ndarray:
        """Keypoints (N, K, 3) of the first network, px of the stills, each detected again in its own sub-image."""
        width, height = self.size
        refined = []
        for still, person in zip(stills, points, strict=True):
            scale = self.scale(still)
            matrices = [zoom_matrix(scale, joint[:2], width, height) for joint in person]
            images = np.stack([warp(replace(still, mask=None), matrix, width, height).image for matrix in matrices])
            found = self.predict(model, images, flip_test=False)
            each = np.arange(len(person))
            own = uncrop(found[each, each][:, None], np.stack(matrices))[:, 0]  # joint k in sub-image k
            refined.append(np.column_stack([own[:, :2], person[:, 2]]))
        return np.stack(refined)


def second_settings(first: topdown.Settings, found: np.ndarray, stills: StillSet, size_px: int = 64) -> Settings:
    """Settings of the second network, from how far the first one errs on the validation people.

    Parameters
    ----------
    first : topdown.Settings
    found : ndarray (N, K, 3)
        What the first network detected in the stills.
    stills : StillSet
    size_px : int
        Side of the second network's input.

    Returns
    -------
    Settings
        Whose largest offset holds nine in ten of the first network's errors, but leaves the joint in the sub-image.
    """
    off = []
    for still, points in zip(stills, found, strict=True):
        known = still.keypoints[:, 2] > 0
        off.append(np.abs(points - still.keypoints)[known, :2] / (Settings.share * max(person_box(still)[2:])))
    largest = float(np.clip(np.quantile(np.concatenate(off), 0.9), 0.05, 0.4))
    closer = {"crop_width_px": size_px, "crop_height_px": size_px, "rotation_deg": first.rotation_deg / 2}
    size = {"first_width_px": first.crop_width_px, "first_height_px": first.crop_height_px}
    return Settings(**asdict(first) | closer | size, off=largest)


def train_stages(
    network: Network, people: dict[str, StillSet], schedule: Schedule, stages: int, size_px: int = 64
) -> list[Network]:
    """The first network alone, or with a second one, trained beside it for as many steps on twice as large batches.

    Parameters
    ----------
    network : Network
    people : dict of str to StillSet
        As the first one was trained on.
    schedule : Schedule
        Of the first one.
    stages : int
        1 or 2.
    size_px : int
        See `second_settings`.
    """
    if stages == 1:
        return [network]
    found = predict_stills(network, people["validation"])
    settings = second_settings(network.settings, found, people["validation"], size_px=size_px)
    steps = schedule.steps or schedule.epochs * -(-len(people["train"]) // schedule.batch_size)
    longer = {"epochs": 0, "steps": steps, "batch_size": 2 * schedule.batch_size, "patience": 0, "weights": ""}
    second = train(settings, {"train": people["train"]}, network.folder / "stage2", replace(schedule, **longer))
    return [network, second]


def detect_stages(stages: list[Network], name: str, test: StillSet) -> Predictions:
    """Keypoints of each still's person after each stage: of `name`, and of `name`-stage2; kept.

    They are also written as `predictions.npz` beside the first stage; see `keypoints.read_predictions`.
    """
    found = {name: predict_stills(stages[0], test)}
    if len(stages) > 1:
        second, first = stages[1], found[name]
        refined = second.kept("refined", [test, first], lambda: second.settings.refine(second.model, test, first))
        found[f"{name}-stage2"] = refined
    predicted = Predictions(list(test.keypoints), truth_points(test), found)
    np.savez(stages[0].folder / "predictions.npz", keypoints=test.keypoints, truth=predicted.truth, **found)
    return predicted


def score_stages(
    stages: list[Network], found: dict[str, np.ndarray], test: StillSet, heads: np.ndarray
) -> pd.DataFrame:
    """One row per stage: network, its costs (the second stage runs once per joint) and its `shared_scores`.

    Parameters
    ----------
    stages : list of Network
    found : dict of str to ndarray (N, K, 3)
        What each of them detected.
    test : StillSet
    heads : ndarray (N,)
        See `keypoints.head_lengths`.
    """
    names, rows, cost = test.keypoints, [], {}
    for network, (name, points) in zip(stages, found.items(), strict=True):
        own = network_cost(network, 1 if not cost else len(names))
        runs = {"parameters": 1, "training_s": 1} if cost else dict.fromkeys(own, 1)
        cost = {key: cost.get(key, 0) + runs.get(key, len(names)) * value for key, value in own.items()}
        rows.append({"network": name} | cost | shared_scores(points, test, names, heads=heads))
    return pd.DataFrame(rows)
