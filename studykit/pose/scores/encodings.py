"""Runs of paper 003 side by side: its Tables I and II, repeats with other seeds, learning curves, weights of losses.

`scores` are those of all runs, as `read_runs` reads them; `runs` are names of runs by what the paper calls them;
`paper` are its published numbers, such as those named "training Dice, U-Net".
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.notebook import require
from studykit.pose.network import Network, load
from studykit.pose.scores.masks import pck_table
from studykit.pose.segmentation import in_order
from studykit.stills import StillSet

MADE_BY = "10_train_segmentation"
_ALIKE = ["architecture", "joints", "images", "epochs", "joints_weight", "parameters"]
_SETS = {"train": "training", "validation": "validation", "test": "test"}  # as the paper calls them
_QUANTITIES = {"dice": "Dice", "squared_error": "MSE", "cross_entropy": "cross entropy"}  # as the paper calls them


def read_runs(folder: Path | str) -> pd.DataFrame:
    """Scores of all runs of notebook 10 under `<derived>/segmentation`, a row per run and set.

    Raises
    ------
    FileNotFoundError
        If there is none, naming the notebook that makes them.
    """
    paths = sorted(Path(folder).glob("*/scores.csv"))
    require(paths[0] if paths else Path(folder) / "unet-none" / "scores.csv", made_by=MADE_BY)
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def read_tables(folder: Path | str, runs: Mapping[str, str], name: str) -> dict[str, pd.DataFrame]:
    """One table of each run, such as "history" or "points".

    Raises
    ------
    FileNotFoundError
        If one is missing, naming the notebook that makes it.
    """
    paths = {label: require(Path(folder) / run / f"{name}.csv", made_by=MADE_BY) for label, run in runs.items()}
    return {label: pd.read_csv(path) for label, path in paths.items()}


def load_runs(folder: Path | str, runs: Mapping[str, str]) -> dict[str, Network]:
    """The networks of the runs; see `network.load`."""
    return {label: load(Path(folder) / run, made_by=MADE_BY) for label, run in runs.items()}


def predict_maps(network: Network, stills: StillSet) -> list[dict[str, np.ndarray]]:
    """Maps (height, width, channels) of a few stills by output, kept."""
    return network.kept("maps", stills, lambda: in_order(network, stills))


def predict_masks(network: Network, stills: StillSet) -> list[np.ndarray]:
    """The person's probability in a few stills, (height, width) uint8, 255 for 1, kept."""
    return [(255 * maps["mask"][..., -1]).astype(np.uint8) for maps in predict_maps(network, stills)]


def repeats(scores: pd.DataFrame, run: str) -> pd.DataFrame:
    """Scores of a run and of those that differ from it in the seed alone."""
    own = scores.loc[scores.run == run, _ALIKE].iloc[0]
    return scores[(scores[_ALIKE] == own).all(axis=1)]


def table_1(scores: pd.DataFrame, runs: Mapping[str, str], paper: Mapping[str, float]) -> pd.DataFrame:
    """Table I: Dice and training time of each network; columns quantity, network, paper, ours."""
    rows = []
    for name, run in runs.items():
        own = scores[scores.run == run].set_index("set")
        ours = {f"{theirs} Dice": own.dice[part] for part, theirs in _SETS.items()}
        ours["training time"] = own.train_s.iloc[0] / 3600
        short = name.removesuffix(" U-Net")
        rows += [(quantity, name, paper.get(f"{quantity}, {short}"), value) for quantity, value in ours.items()]
    table = pd.DataFrame(rows, columns=["quantity", "network", "paper", "ours"])
    return table.replace({"quantity": {"training time": "training time, h"}})


def learning_curve(scores: pd.DataFrame, runs: Mapping[str, str]) -> pd.DataFrame:
    """Dice of test people by number of training images: every run of these two networks, whatever its name and seed."""
    same = scores.parameters[scores.run.isin(runs.values())]
    curve = scores[(scores.set == "test") & (scores.joints == "none") & scores.parameters.isin(same)]
    curve = curve.assign(network=curve.architecture.replace({"unet": "U-Net", "harmonic": "harmonic U-Net"}))
    return curve.sort_values(["network", "images", "seed"])[["network", "images", "seed", "dice", "run"]]


def table_2(scores: pd.DataFrame, runs: Mapping[str, str], paper: Mapping[str, float]) -> pd.DataFrame:
    """Table II: scores of each encoding in training and validation; columns set, quantity, encoding, paper, ours."""
    long = scores.reindex(columns=["run", "set", *_QUANTITIES]).melt(["run", "set"], None, "quantity", "ours")
    table = pd.DataFrame(runs.items(), columns=["encoding", "run"]).merge(long[long.set != "test"])
    table["paper"] = [
        paper.get(f"{_SETS[part]} {_QUANTITIES[quantity]}, {name}")
        for part, quantity, name in table[["set", "quantity", "encoding"]].itertuples(index=False)
    ]
    table = table[["set", "quantity", "encoding", "paper", "ours"]].dropna(how="all", subset=["paper", "ours"])
    return table.sort_values(["quantity", "set"], kind="stable", ignore_index=True)


def seeds_table(scores: pd.DataFrame, runs: Mapping[str, str]) -> pd.DataFrame:
    """Dice of validation and test people for every seed of each encoding: encoding, set, seed, dice, run."""
    there = {name: run for name, run in runs.items() if run in set(scores.run)}
    table = pd.concat([repeats(scores, run).assign(encoding=name) for name, run in there.items()])
    return table.loc[table.set != "train", ["encoding", "set", "seed", "dice", "run"]]


def pck_by_encoding(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of `masks.pck_table` side by side: keypoint, and "<encoding> n" and so on."""
    wide = pd.concat({name: table.set_index("keypoint") for name, table in found.items()}, axis=1)
    wide.columns = [" ".join(column) for column in wide.columns]
    return wide.reset_index()


def weights_table(scores: pd.DataFrame, folder: Path | str, fraction: float) -> pd.DataFrame:
    """Every run of Mask + Softmax by the weight of its cross entropy: joints_weight, dice, pck, cross_entropy, run."""
    weighed = scores[(scores.joints == "softmax") & (scores.set == "validation")].sort_values("joints_weight")
    points = read_tables(folder, dict(zip(weighed.run, weighed.run, strict=True)), "points")
    weighed = weighed.assign(pck=[pck_table(points[run], fraction).pck.iloc[-1] for run in weighed.run])
    return weighed[["joints_weight", "dice", "pck", "cross_entropy", "run"]]


def joints_text(found: Mapping[str, pd.DataFrame], fraction: float) -> str:
    """Which encoding detects most joints, and which joints, in words."""
    shares = {name: table.set_index("keypoint").pck for name, table in found.items()}
    named = {name: share["all"] for name, share in shares.items() if np.isfinite(share["all"])}
    if not named:
        return "The length of a head is not known in these data, so the share of joints detected cannot be given."
    best = max(named, key=named.get)
    share = shares[best].drop("all")
    return (
        f"{best} detects most joints of unseen people, {100 * named[best]:.0f} % within {fraction:g} of a head, "
        f"occluded ones included; {share.idxmax()} best, {share.idxmin()} worst."
    ).replace("_", " ")
