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
# Columns in which networks are compared, and what a page calls them.
COMPARED = {"network": "network", "parameters": "parameters, M", "multiply_adds": "mult.-adds, M"}
COMPARED |= {"training_s": "training, s", "ms_per_image": "ms", "pck": "PCK", "pckh": "PCKh"}
COMPARED |= {"mse": "1000 MSE", "AP": "AP", "AR": "AR"}
APART = 1.2  # validation loss over training loss; two curves that differ by a fifth visibly part


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


def find_parting(history: pd.DataFrame, published_epoch: float) -> tuple[pd.DataFrame, float | None]:
    """How a long training overfits (paper 004, Fig. 4).

    Parameters
    ----------
    history : pandas.DataFrame
        That of `training.fit`.
    published_epoch : float
        At which the paper's losses part.

    Returns
    -------
    rows : pandas.DataFrame
        weights, epoch, loss, validation_loss, validation_pck and ratio of the two losses: of the last epoch with a
        validation loss, the one where it is least, and the one next to the paper's.
    parted : float or None
        First epoch whose validation loss exceeds `APART` times the training loss.
    """
    known = history.dropna(subset=["validation_loss"])
    known = known.assign(ratio=known.validation_loss / known.loss)
    near = (known.epoch - published_epoch).abs().idxmin()
    rows = known.loc[[known.index[-1], known.validation_loss.idxmin(), near]]
    rows.insert(0, "weights", ["training to the end", "early stopping, best epoch", "the paper's epoch"])
    apart = known.epoch[known.validation_loss > APART * known.loss]
    columns = ["weights", "epoch", "loss", "validation_loss", "validation_pck", "ratio"]
    return rows[columns], None if apart.empty else apart.iloc[0]


def reading_gains(reading: pd.DataFrame) -> pd.Series:
    """What the flip test (with the parabola) and the parabola (with the flip test) bring, PCK@0.2, 0 to 1."""
    pcks = reading.set_index(["method", "flip_test"]).pck
    whole = pcks["parabola", True]
    return pd.Series({"flip_test": whole - pcks["parabola", False], "parabola": whole - pcks["cell", True]})
