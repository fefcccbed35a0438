"""Every keypoint network on one scale: the twelve joints that all skeletons share, on the same people."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from studykit.notebook import require
from studykit.pose.scores.coco import COCO_FIGURES, coco_results, coco_scores, coco_truth, image_ids, precision_curves
from studykit.pose.scores.pck import head_length_px, mse_normalised, pck, torso_distances, torso_length_px
from studykit.skeletons import SKELETONS, convert
from studykit.stills import StillSet, with_skeleton

SHARED = SKELETONS["coco17"].keypoints[5:]  # shoulders, elbows, wrists, hips, knees, ankles
COMPARED = {  # columns in which networks are compared, and what a page calls them
    "network": "network",
    "parameters": "parameters, M",
    "multiply_adds": "mult.-adds, M",
    "training_s": "training, s",
    "ms_per_image": "ms",
    "pck": "PCK",
    "pckh": "PCKh",
    "mse": "1000 MSE",
    "AP": "AP",
    "AR": "AR",
}


def truth_points(stills: StillSet) -> np.ndarray:
    """Keypoints of all stills, (N, K, 3)."""
    return np.stack([still.keypoints for still in stills])


def head_lengths(stills: StillSet) -> np.ndarray:
    """Length of each still's head (N,), px, for PCKh; NaN where the data do not have it."""
    return head_length_px(truth_points(stills), stills.keypoints, lacking=True)


def shared_pck(
    points: np.ndarray, stills: StillSet, keypoints: Sequence[str], names: Sequence[str] = SHARED
) -> pd.DataFrame:
    """PCK@0.2 by joint of people (N, K, 3), NaN where not detected, over the shared joints, or others."""
    truth = truth_points(with_skeleton(stills, names))
    torso = torso_length_px(truth_points(with_skeleton(stills, SHARED)), SHARED)
    return pck(convert(points, keypoints, names), truth, torso, 0.2, names)


def shared_scores(
    found: np.ndarray, stills: StillSet, keypoints: Sequence[str], heads: np.ndarray | None = None
) -> dict[str, float]:
    """PCK@0.2, PCKh, mean squared error and COCO's figures over the twelve shared joints.

    Parameters
    ----------
    found : ndarray (N, K, 3)
        One person per still, x and y in its px, confidence; COCO's score of a person is their mean.
    stills : StillSet
        Of any skeleton that has the twelve.
    keypoints : sequence of str
        Of `found`.
    heads : ndarray (N,), optional
        From `head_lengths`; without it PCKh is unknown.

    Returns
    -------
    dict of str to float
        pck, pckh (within half a head; NaN where unknown), mse (of coordinates as shares of the picture's sides) and
        `coco.COCO_FIGURES`, 0 to 1.
    """
    near = shared_pck(found, stills, keypoints).pck.iloc[-1]
    stills = with_skeleton(stills, SHARED)
    points, truth = convert(found, keypoints, SHARED), truth_points(stills)
    size = np.array([still.image.shape[1::-1] for still in stills])
    nearer = pck(points, truth, np.full(len(stills), np.nan) if heads is None else heads, 0.5).pck.iloc[-1]
    results = coco_results(image_ids(stills), points, found[..., 2].mean(axis=1))
    figures = coco_scores(coco_truth(stills, SHARED), results)
    return {"pck": float(near), "pckh": float(nearer), "mse": mse_normalised(points, truth, size)} | figures


def network_scores(*folders: str | Path, needed: bool = True) -> pd.DataFrame:
    """Rows of `scores.csv` of every run below folders, best PCK first.

    Parameters
    ----------
    *folders : path-like
        Where the runs of a notebook are: `keypoints` (20) and `openpose` (30) in the study's derived folder.
    needed : bool
        Whether there must be one; otherwise the table may have no rows.

    Returns
    -------
    pandas.DataFrame
        `COMPARED`: network, its costs and its `shared_scores`; and further columns that one of the notebooks writes.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    paths = sorted(path for folder in folders for path in Path(folder).glob("*/scores.csv"))
    if not (paths or needed):
        return pd.DataFrame(columns=list(COMPARED), dtype=float)
    if not paths:
        names = ", ".join(map(str, folders))
        raise FileNotFoundError(f"{names}: expected runs with scores.csv, got none; run 20_train_keypoints first")
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    return table.sort_values("pck", ascending=False, ignore_index=True)


def in_short(table: pd.DataFrame) -> pd.DataFrame:
    """`network_scores` for a page: columns `COMPARED` by their short names, in units that need few digits."""
    units = {"parameters": 1e-6, "multiply_adds": 1e-6, "mse": 1000}
    scaled = {name: unit * table[name] for name, unit in units.items()}
    return table.assign(**scaled)[list(COMPARED)].rename(columns=COMPARED).round(3)


def say_detection(name: str, train: StillSet, test: StillSet, scores: pd.DataFrame, joints: pd.DataFrame) -> str:
    """Conclusion of notebook 20.

    Parameters
    ----------
    name : str
        Of the network.
    train, test : StillSet
    scores : pandas.DataFrame
        One row per stage, from `cascade.score_stages`.
    joints : pandas.DataFrame
        PCK by joint of the last stage, from `shared_pck`.
    """
    whole, worst = scores.iloc[-1], joints.iloc[:-1].dropna().set_index("keypoint").pck.idxmin()
    second = ""
    if len(scores) > 1:
        second = f" The second stage took PCK@0.2 from {100 * scores.pck[0]:.1f} to {100 * whole.pck:.1f} %."
    return (
        f"{name}, trained on {len(train)} pictures of {len(set(train.participants))} people in {whole.training_s:.0f} "
        f"s, detects {100 * whole.pck:.1f} % of the shared joints of {len(set(test.participants))} unseen people "
        f"within a fifth of the torso's length; hardest is the {worst}.{second}"
    )


class Predictions(NamedTuple):
    """What the stages of a network detected in the test people: `predictions.npz` of notebook 20.

    Attributes
    ----------
    keypoints : list of str
    truth : ndarray (N, K, 3)
        x, y, px, and visibility.
    stages : dict of str to ndarray (N, K, 3)
        x, y, px, and confidence, by the stage's name; the last is the best.
    """

    keypoints: list[str]
    truth: np.ndarray
    stages: dict[str, np.ndarray]

    def pck(self) -> dict[str, pd.DataFrame]:
        """PCK@0.2 by joint, by stage."""
        torso = torso_length_px(self.truth, self.keypoints)
        return {name: pck(points, self.truth, torso, 0.2, self.keypoints) for name, points in self.stages.items()}

    def torso_distances(self) -> dict[str, np.ndarray]:
        """Distances of all known joints from the ground truth, in torso lengths, by stage."""
        return {name: torso_distances(points, self.truth, self.keypoints) for name, points in self.stages.items()}


def read_predictions(folder: str | Path, keypoints: Sequence[str] | None = None) -> Predictions:
    """What `predictions.npz` of a run of notebook 20 holds, of all its keypoints or of some."""
    with np.load(require(Path(folder) / "predictions.npz", made_by="20_train_keypoints")) as kept:
        names = kept["keypoints"].tolist()
        wanted = names if keypoints is None else list(keypoints)
        stages = {name: kept[name] for name in kept.files if name not in ("keypoints", "truth")}
        stages = {name: convert(points, names, wanted) for name, points in stages.items()}
        return Predictions(wanted, convert(kept["truth"], names, wanted), stages)


def all_predictions(folder: str | Path) -> Predictions:
    """The shared joints as every run of notebook 20 below a folder detects them, by network; same people in all."""
    runs = [read_predictions(path.parent, SHARED) for path in sorted(Path(folder).glob("*/predictions.npz"))]
    stages = {name: points for run in runs for name, points in run.stages.items()}
    return Predictions(list(SHARED), runs[0].truth, {name: stages[name] for name in sorted(stages)})


def coco_table(folder: str | Path, published: pd.Series) -> pd.DataFrame:
    """COCO's figures of each run below a folder that was scored on scenes, and the published ones.

    Parameters
    ----------
    folder : path-like
        Each run has `results.json` and `truth.json`.
    published : pandas.Series
        `coco.COCO_FIGURES` of paper 001, 0 to 1, in this order.

    Returns
    -------
    pandas.DataFrame
        network and `coco.COCO_FIGURES`; the last row is "paper 001".
    """
    rows = [{"network": name} | coco_scores(*files) for name, files in _scored(folder).items()]
    rows.append({"network": "paper 001"} | dict(zip(COCO_FIGURES, published, strict=True)))
    return pd.DataFrame(rows, columns=["network", *COCO_FIGURES])


def coco_curves(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Precision against recall of each run below a folder that was scored on scenes, by its name."""
    return {name: precision_curves(*files) for name, files in _scored(folder).items()}


def _scored(folder: str | Path) -> dict[str, tuple[Path, Path]]:
    """`truth.json` and `results.json` of each run that has them."""
    found = sorted(Path(folder).glob("*/results.json"))
    return {path.parent.name: (path.with_name("truth.json"), path) for path in found}


class Parting(NamedTuple):
    """Where the validation loss of a long training leaves the training loss.

    Attributes
    ----------
    best, last, published : pandas.Series
        Rows of the history with a validation loss: its least, the last one, the one next to the paper's epoch.
    ratio_published, ratio_last : float
        Validation loss over training loss there.
    epoch : float or None
        The first at which the ratio exceeds `APART`.
    """

    best: pd.Series
    last: pd.Series
    published: pd.Series
    ratio_published: float
    ratio_last: float
    epoch: float | None

    def table(self) -> pd.DataFrame:
        """Losses with early stopping and without."""
        rows = {"training to the end": self.last, "early stopping, best epoch": self.best}
        columns = ["epoch", "loss", "validation_loss", "validation_pck"]
        return pd.DataFrame([{"weights": name} | row[columns].to_dict() for name, row in rows.items()])


APART = 1.2  # validation loss over training loss; two curves that differ by a fifth visibly part


def find_parting(history: pd.DataFrame, published_epoch: float) -> Parting:
    """How a long training overfits (paper 004, Fig. 4); the history is that of `training.fit`."""
    looked = history.dropna(subset=["validation_loss"])
    best, last = looked.loc[looked.validation_loss.idxmin()], looked.iloc[-1]
    near = looked.loc[(looked.epoch - published_epoch).abs().idxmin()]
    apart = looked.epoch[looked.validation_loss > APART * looked.loss].tolist()
    ratios = [row.validation_loss / row.loss for row in (near, last)]
    return Parting(best, last, near, *ratios, apart[0] if apart else None)


def say_units(units: pd.DataFrame, published_mse: float) -> str:
    """What an error of unknown unit can mean, in words.

    Parameters
    ----------
    units : pandas.DataFrame
        From `pck.mse_units`.
    published_mse : float
    """
    sound = units[units.mean_pose > published_mse].unit.tolist()
    better = units[units.network < published_mse].unit.tolist()
    return (
        f"{published_mse} lies below the error of the mean pose, and so shows that something was learnt, in: "
        f"{'; '.join(sound) or 'none'}. Our network's error lies below {published_mse} in: "
        f"{'; '.join(better) or 'none'}. In squared pixels it would be an error of {published_mse**0.5:.1f} px, less "
        "than the uncertainty of the labels themselves, so that is not its unit; in shares of the picture it would be "
        f"{100 * np.sqrt(published_mse):.0f} % of the picture's side per coordinate. The people here are not the "
        "paper's, so the comparison is of units, not of networks."
    )


def say_regression(parting: Parting, pcks: Sequence[float], parameters: int, published: pd.Series) -> str:
    """Conclusion of notebook 21.

    Parameters
    ----------
    parting : Parting
    pcks : sequence of float
        PCK@0.2 of the first stage, and of the second where there is one.
    parameters : int
        Of the network at the paper's size.
    published : pandas.Series
        Of paper 004, by quantity.
    """
    epoch = int(published["epoch after which the losses part"])
    apart = "(none)" if parting.epoch is None else parting.epoch
    second = f", {100 * pcks[1]:.1f} % with the second stage" if len(pcks) > 1 else ""
    return (
        f"At the paper's size the network has {parameters:,} parameters, the paper prints "
        f"{int(published['parameters']):,}. Over {parting.last.epoch:.0f} epochs on few pictures the validation loss "
        f"goes from {parting.ratio_published:.1f} times the training loss at epoch {parting.published.epoch:.0f} to "
        f"{parting.ratio_last:.1f} times (the paper's part after about {epoch}); it is first "
        f"{100 * (APART - 1):.0f} % above the training loss at epoch {apart} and least at epoch "
        f"{parting.best.epoch:.0f}. The network of the study, narrower and on smaller crops, detects "
        f"{100 * pcks[0]:.1f} % of the joints of unseen people within a fifth of the torso{second}."
    )


def say_baselines(comparison: pd.DataFrame, reading: pd.DataFrame, scenes: pd.DataFrame, baseline: str) -> str:
    """Conclusion of notebook 22.

    Parameters
    ----------
    comparison : pandas.DataFrame
        From `network_scores`.
    reading : pandas.DataFrame
        From `topdown.compare_readings`.
    scenes : pandas.DataFrame
        From `coco_table`.
    baseline : str
        The network that is looked at closely.
    """
    best, own = comparison.loc[comparison.pck.idxmax()], comparison.set_index("network").loc[baseline]
    precision = scenes.set_index("network").AP
    there = ""
    if baseline in precision:
        there = f", {precision[baseline]:.2f} in scenes; paper 001 on COCO {precision['paper 001']:.3f}"
    gains = 100 * reading_gains(reading)
    return (
        f"Of {len(comparison)} networks {best.network} detects most joints of unseen people: {100 * best.pck:.1f} % "
        f"within a fifth of the torso's length; {baseline} detects {100 * own.pck:.1f} % (average precision "
        f"{own.AP:.2f} on single people{there}). The flip test changes PCK@0.2 by {gains.flip_test:+.2f} points, the "
        f"parabola against the highest cell by {gains.parabola:+.2f}."
    )


def reading_gains(reading: pd.DataFrame) -> pd.Series:
    """What the flip test (with the parabola) and the parabola (with the flip test) bring, PCK@0.2, 0 to 1."""
    pcks = reading.set_index(["method", "flip_test"]).pck
    whole = pcks["parabola", True]
    return pd.Series({"flip_test": whole - pcks["parabola", False], "parabola": whole - pcks["cell", True]})
