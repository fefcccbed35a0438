"""How good the masks and joints of one network are: Dice, the losses that paper 003 tabulates, PCK."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studykit.files import replacing
from studykit.notebook import save_table
from studykit.pose.network import Network, Schedule
from studykit.pose.segmentation import Settings, mask_origin, predict, score
from studykit.stills import Still, StillSet

SCORES = {"joint_map": "squared_error", "joints": "cross_entropy"}  # what the other losses are called in tables
_SCORED = 150  # training stills that are scored, or up to twice as many


def dice(mask: np.ndarray, predicted: np.ndarray) -> float:
    """2 |X . Y| / (|X| + |Y|) of one image, with probabilities as they are (soft), 1 if both are empty.

    Parameters
    ----------
    mask : ndarray (height, width) of bool
    predicted : ndarray (height, width)
        Bool, or probabilities from 0 to 1.
    """
    mask, predicted = np.asarray(mask, float), np.asarray(predicted, float)
    if mask.shape != predicted.shape:
        raise ValueError(f"expected a prediction of the mask's size {mask.shape}, got {predicted.shape}")
    total = mask.sum() + predicted.sum()
    return float(2 * (mask * predicted).sum() / total) if total else 1.0


def training_text(network: Network, schedule: Schedule, images: int) -> str:
    """What was trained, for how long, and how far that is from the paper's training.

    Parameters
    ----------
    network : Network
    schedule : Schedule
    images : int
        Training stills.
    """
    settings, history = network.settings, network.history
    published = (schedule.epochs, schedule.learning_rate, schedule.batch_size) == (100, 2e-5, 1)
    return (
        f"{network.name}, {settings.widths[0]} to {settings.widths[-1]} channels, {network.parameters / 1e6:.2f} "
        f"million parameters; {schedule.epochs} epochs of {images} images of {settings.size_px} px in batches of "
        f"{schedule.batch_size} with {schedule.recipe} at {schedule.learning_rate:g} "
        f"{'(as the paper)' if published else '(the paper: 100 epochs, batches of 1, adam at 2e-05)'}. "
        f"Lowest validation loss in epoch {history.epoch[history.validation_loss.idxmin()]:.0f}; "
        f"{1000 * network.seconds_per_image:.0f} ms per image in training."
    )


def score_sets(network: Network, sets: dict[str, StillSet], schedule: Schedule, run: str) -> pd.DataFrame:
    """Scores as the paper gives them, without augmentation and dropout, and what they are scores of.

    Parameters
    ----------
    network : Network
    sets : dict of str to StillSet
        "train" (a part of them is scored), "validation" and "test".
    schedule : Schedule
    run : str
        Name of the run.

    Returns
    -------
    pandas.DataFrame
        A row per set: set, dice, squared_error and cross_entropy where they apply, and what `encodings` compares.
    """
    some = sets | {"train": sets["train"][:: max(1, len(sets["train"]) // _SCORED)]}
    found = network.kept(
        "scores", some, lambda: {name: score(network.model, network.settings, part) for name, part in some.items()}
    )
    images, seconds = len(sets["train"]), network.seconds_per_image
    return scores_table(found).assign(
        run=run,
        architecture=network.settings.architecture,
        joints=network.settings.joints,
        images=images,
        seed=schedule.seed,
        epochs=schedule.epochs,
        joints_weight=schedule.loss_weights["joints"],
        parameters=network.parameters,
        seconds_per_image=seconds,
        train_s=seconds * images * schedule.epochs,
        masks=mask_origin(sets["validation"]),
    )


def scores_table(found: dict[str, dict[str, float]]) -> pd.DataFrame:
    """A row per set with dice, and squared_error and cross_entropy where they apply, from `segmentation.score`."""
    rows = []
    for name, losses in found.items():
        others = {label: losses[f"{output}_loss"] for output, label in SCORES.items() if f"{output}_loss" in losses}
        rows.append({"set": name, "dice": 1 - losses["mask_loss"]} | others)
    return pd.DataFrame(rows)


def judge(
    network: Network, stills: StillSet, about: pd.DataFrame
) -> tuple[list[np.ndarray], pd.DataFrame, pd.DataFrame]:
    """Every still's mask and joints, compared with the ground truth.

    Parameters
    ----------
    network : Network
    stills : StillSet
    about : pandas.DataFrame
        Of the same stills, as from `segmentation.prepare`.

    Returns
    -------
    list of ndarray (height, width) uint8
        The person's probability, 255 for 1.
    pandas.DataFrame
        A row per still: source, participant, head_px, dice.
    pandas.DataFrame
        A row per still and known joint: source, keypoint, x_px, y_px, confidence (NaN where the encoding names no
        joints), error_px, nearest_px (from the nearest peak of any joint) and head_px; empty without joints.
    """
    return network.kept("judge", [stills, about], lambda: _judge(network.model, network.settings, stills, about))


def _judge(model: Any, settings: Settings, stills: StillSet, about: pd.DataFrame) -> tuple:
    masks, found, rows = [None] * len(stills), np.zeros(len(stills)), []
    for n, maps in predict(model, settings, stills):
        person, points, places = settings.decode(maps)
        masks[n], found[n] = np.round(255 * person).astype(np.uint8), dice(stills[n].mask, person)
        if settings.joints != "none":
            rows.append(_joints(stills[n], settings.keypoints, points, places, about.head_px[n]))
    return masks, about.assign(dice=found), pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _joints(
    still: Still, keypoints: Sequence[str], points: np.ndarray, places: np.ndarray, head_px: float
) -> pd.DataFrame:
    known = still.keypoints[:, 2] > 0
    (x, y, confidence), truth = points[known].T, still.keypoints[known, :2]
    numbers = {"x_px": x, "y_px": y, "confidence": confidence, "error_px": np.hypot(*(points[known, :2] - truth).T)}
    numbers["nearest_px"] = np.hypot(*(places - truth[:, None]).transpose(2, 0, 1)).min(axis=1, initial=np.inf)
    about = {"source": still.source, "keypoint": np.array(keypoints)[known]}
    return pd.DataFrame(about | {name: value.astype(float) for name, value in numbers.items()}).assign(head_px=head_px)


def keep_judged(folder: Path, masks: Sequence[np.ndarray], judged: pd.DataFrame, points: pd.DataFrame) -> None:
    """Write what `judge` found as predictions.npz, stills.csv and, with joints, points.csv."""
    with replacing(folder / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **{f"{n:06d}": mask for n, mask in enumerate(masks)})
    save_table(judged, folder / "stills")
    if not points.empty:
        save_table(points, folder / "points")


def best_to_worst(judged: pd.DataFrame, count: int) -> np.ndarray:
    """Numbers of so many stills, from the best mask to the worst in even steps."""
    from_best = judged.dice.argsort().to_numpy()[::-1]
    return from_best[np.linspace(0, len(judged) - 1, min(count, len(judged))).round().astype(int)]


def pck_table(points: pd.DataFrame, fraction: float = 0.5) -> pd.DataFrame | None:
    """Share of joints detected within a fraction of the head's length, by joint and over all ("all").

    Parameters
    ----------
    points : pandas.DataFrame
        As from `judge`; people whose head is not known do not count, which in COCO is everybody.
    fraction : float

    Returns
    -------
    pandas.DataFrame or None
        keypoint, n, pck (NaN where the encoding names no joints), pck_any (some joint, of whatever name, was detected
        that near), median_px; None for a network without joints.
    """
    if points.empty:
        return None
    points = points[points.head_px.notna()]
    if points.empty:
        return pd.DataFrame({"keypoint": ["all"], "n": 0, "pck": np.nan, "pck_any": np.nan, "median_px": np.nan})
    limit = fraction * points.head_px
    points = points.assign(
        pck=points.error_px <= limit, pck_any=points.nearest_px <= limit, n=1, median_px=points.error_px
    )
    whole = points.assign(keypoint="all")
    how = {"n": "sum", "pck": "mean", "pck_any": "mean", "median_px": "median"}
    table = pd.concat([part.groupby("keypoint", sort=False).agg(how) for part in (points, whole)]).reset_index()
    table.loc[table.median_px.isna(), "pck"] = np.nan
    return table


def score_headline(scores: pd.DataFrame, pck: pd.DataFrame | None) -> dict[str, float]:
    """The numbers that a run is judged by, from `score_sets` and `pck_table`."""
    own = scores.set_index("set").dice
    return {
        "validation_dice": own["validation"],
        "test_dice": own["test"],
        "train_dice": own["train"],
        "pck_half_head": np.nan if pck is None else pck.pck.iloc[-1],
        "train_s_per_image": scores.seconds_per_image.iloc[0],
    }


def score_text(scores: pd.DataFrame, pck: pd.DataFrame | None) -> str:
    """The same in words."""
    numbers, (masks, joints) = score_headline(scores, pck), scores[["masks", "joints"]].iloc[0]
    text = (
        f"Masks ({masks}) of unseen people reach a Dice coefficient of {numbers['validation_dice']:.3f} (validation) "
        f"and {numbers['test_dice']:.3f} (test), those of people trained on {numbers['train_dice']:.3f}."
    )
    if joints == "none":
        return text
    if joints == "regression":
        return f"{text} The regression says where joints are, not which."
    share = 100 * numbers["pck_half_head"]
    return f"{text} {share:.0f} % of their joints, occluded ones too, lie within half a head of the ground truth."
