"""How good the masks and joints of one network are: Dice, the losses that paper 003 tabulates, PCK."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import replacing
from studykit.notebook import save_table
from studykit.pose.network import Network, Schedule
from studykit.pose.segmentation import mask_origin, predict, score
from studykit.stills import StillSet

_LOSSES = {"joint_map_loss": "squared_error", "joints_loss": "cross_entropy"}  # what tables call them
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
    table = pd.DataFrame(found).T.rename_axis("set").reset_index().rename(columns=_LOSSES)
    table = table.assign(dice=1 - table.mask_loss).filter(["set", "dice", *_LOSSES.values()])
    images, seconds = len(sets["train"]), network.seconds_per_image
    return table.assign(
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

    def make():
        settings, masks, found, rows = network.settings, [None] * len(stills), np.zeros(len(stills)), []
        for n, maps in predict(network.model, settings, stills):
            person, points, places = settings.decode(maps)
            masks[n], found[n] = np.round(255 * person).astype(np.uint8), dice(stills[n].mask, person)
            if settings.joints != "none":
                rows.append(_joints(stills[n], settings.keypoints, points, places, about.head_px[n]))
        return masks, about.assign(dice=found), pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()

    return network.kept("judge", [stills, about], make)


def _joints(still, keypoints, points, places, head_px):
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
    points = points.assign(pck=points.error_px <= limit, pck_any=points.nearest_px <= limit)
    points = points.assign(n=1, median_px=points.error_px)
    whole = points.assign(keypoint="all")
    how = {"n": "sum", "pck": "mean", "pck_any": "mean", "median_px": "median"}
    table = pd.concat([part.groupby("keypoint", sort=False).agg(how) for part in (points, whole)]).reset_index()
    table.loc[table.median_px.isna(), "pck"] = np.nan
    return table


def pck_text(joints: str, pck: pd.DataFrame | None) -> str:
    """How many joints a network with this encoding detects, in words, from `pck_table`."""
    if joints == "none":
        return ""
    if joints == "regression":
        return "The regression says where joints are, not which."
    share = 100 * pck.pck.iloc[-1]
    return f"{share:.0f} % of their joints, occluded ones too, lie within half a head of the ground truth."
