"""Masks and joints of real people: paper 003's networks on Leeds Sports Pose, with and without simulated people first.

The masks are pseudo-masks, a network's opinion (MediaPipe Pose on the first 1000 images, kept where most joints fall
inside), so that Dice says how far two networks agree. 80 % of the images train, 20 % judge; narrow networks, squares
around each person. Pre-training takes as many steps on simulated stills as the training itself; without it a network
is trained twice as long, so that both have seen as many images.

python benchmarks/lsp_masks.py [folder of LSP with masks] [seeds] [epochs]
"""

import json
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.datasets.fetch import source_folder
from studykit.datasets.lsp import lsp_stills
from studykit.gaitlab import simulate_stills
from studykit.pose.network import Network, Schedule, train
from studykit.pose.scores.masks import judge, pck_table
from studykit.pose.segmentation import Settings, prepare
from studykit.skeletons import SKELETONS

NARROW = Settings(widths=(8, 16, 32, 64, 128), size_px=64, keypoints=SKELETONS["lsp14"].keypoints)
NETWORKS = {
    "U-Net": NARROW,
    "harmonic U-Net": replace(NARROW, architecture="harmonic"),
    "Mask + Softmax": replace(NARROW, joints="softmax"),
}
RECIPE = {"batch_size": 8, "recipe": "adamw", "learning_rate": 0.005, "best": True}


def split(stills, about, seed):
    """80 % to train, 20 % to validate; each image is a person of its own."""
    order = np.random.default_rng(seed).permutation(len(stills))
    parts = {"train": order[len(order) // 5 :], "validation": order[: len(order) // 5]}
    sets = {name: stills.subset(sorted(numbers)) for name, numbers in parts.items()}
    return sets, about.iloc[sorted(parts["validation"])].reset_index(drop=True)


def judged(network: Network, sets: dict, about: pd.DataFrame) -> dict[str, float]:
    """Dice and PCK@0.5 of the head on the validation images."""
    _, stills, points = judge(network, sets["validation"], about)
    pck = pck_table(points)
    return {"dice": stills.dice.mean(), "pck_half_head": np.nan if pck is None else pck.pck.iloc[-1]}


def main(folder=None, seeds=3, epochs=4):
    try:
        real, about, left_out = prepare(lsp_stills(folder or source_folder("lsp")), 64, "person")
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    simulated, _, _ = prepare(simulate_stills(len(real), seed=3, size=128, skeleton="lsp14"), 64, "person")
    print(f"{len(real)} images of LSP with pseudo-masks ({left_out}), {len(simulated)} simulated\n")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, settings in NETWORKS.items():
            for seed in range(1, seeds + 1):
                sets, people = split(real, about, seed)
                before, first = {"train": simulated, "validation": simulated[:40]}, Path(scratch) / "first"
                train(settings, before, first, Schedule(epochs=epochs, seed=seed, **RECIPE))
                for start in ("", str(first / "model.keras")):
                    longer = epochs if start else 2 * epochs
                    schedule = Schedule(epochs=longer, seed=seed, start_from=start, **RECIPE)
                    scores = judged(train(settings, sets, Path(scratch) / "then", schedule), sets, people)
                    rows.append({"network": name, "simulated first": bool(start), "seed": seed} | scores)
                    print(rows[-1], flush=True)
    found = pd.DataFrame(rows)
    table = found.groupby(["network", "simulated first"], sort=False)[["dice", "pck_half_head"]]
    print("\n" + table.agg(["mean", "min", "max"]).round(3).to_string())
    means = table.mean()
    dice, pck = means.dice, means.pck_half_head
    how = {True: "simulated first", False: "real alone"}
    others = {f"{name}, {how[first]}: Dice": round(value, 3) for (name, first), value in dice.items()}
    others |= {f"{name}, {how[first]}: PCK": round(value, 3) for (name, first), value in pck.dropna().items()}
    ours, peer = dice["U-Net", True], dice["U-Net", False]
    unet = found[found.network == "U-Net"].pivot_table("dice", "seed", "simulated first")
    result = {
        "benchmark": "lsp_masks",
        "ours": round(ours, 4),
        "peer": "the same U-Net without simulated people first",
        "peer_value": round(peer, 4),
        "unit": "Dice",
        "seeds": (unet[True] / unet[False]).round(4).tolist(),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "others": others,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
