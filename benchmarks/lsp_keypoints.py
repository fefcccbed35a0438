"""Real people: networks trained on up to 800 pictures of Leeds Sports Pose, tested on 200 others by PCK@0.2.

The curve against the number of training pictures, and what pre-training on simulated stills brings. Pictures 1 to 800
train, 801 to 1000 test; crops around the labelled joints. Every run sees as many crops, however many pictures it has.

    python benchmarks/lsp_keypoints.py [steps] [model ...]
"""

import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from studykit.datasets.fetch import source_folder
from studykit.datasets.lsp import lsp_stills
from studykit.gaitlab import simulate_stills
from studykit.pose.network import Schedule, train
from studykit.pose.scores.keypoints import shared_pck
from studykit.pose.topdown import Settings, in_memory, predict_stills
from studykit.skeletons import SKELETONS

LSP14 = SKELETONS["lsp14"].keypoints
SHARED = {"keypoints": LSP14, "padding": 1.1, "rotation_deg": 30.0}
NETWORKS = {
    "simple_baseline": Settings(model="simple_baseline", sigma_px=7.0, **SHARED),
    "regression_cnn": Settings(
        model="regression_cnn", width=16, head_width=256, crop_width_px=96, crop_height_px=96, **SHARED
    ),
}


def without_box(still):
    """The still, to be cropped around its joints: real and simulated people alike."""
    return replace(still, box=None)


def score(network, stills):
    """PCK@0.2 of all joints."""
    return float(shared_pck(predict_stills(network, stills), stills, LSP14, LSP14).pck.iloc[-1])


def main(steps=1000, names=tuple(NETWORKS)):
    with tempfile.TemporaryDirectory() as place:
        compare(steps, names, Path(place))


def compare(steps, names, place):
    try:
        real = lsp_stills(source_folder("lsp")).map(without_box)
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    train_set, test_set = in_memory(real.subset(range(800))), in_memory(real.subset(range(800, 1000)))
    simulated = in_memory(simulate_stills(800, seed=1, size=192, skeleton="lsp14").map(without_box))
    print(f"{steps} steps of 8 crops a run; test: {len(test_set)} pictures\n")
    print(f"{'network':<16} {'from':<10} {'pictures':>8} {'PCK@0.2':>8} {'s':>6}")
    found = {}
    for name in names:
        settings, folder = NETWORKS[name], place / name
        schedule = Schedule(steps=steps, look_steps=20 * steps)
        begun = train(settings, {"train": simulated}, folder / "simulated", schedule, progress=False)
        found[name, "simulated", 0] = score(begun, test_set)
        print(f"{name:<16} {'simulated':<10} {0:>8} {found[name, 'simulated', 0]:>8.3f}", flush=True)
        for pictures in (100, 400, 800):
            for start, weights in (("random", ""), ("simulated", str(begun.folder / "model.keras"))):
                since, further = time.perf_counter(), replace(schedule, start_from=weights)
                network = train(
                    settings, {"train": train_set[:pictures]}, folder / f"from-{start}", further, progress=False
                )
                found[name, start, pictures] = score(network, test_set)
                print(
                    f"{name:<16} {start:<10} {pictures:>8} {found[name, start, pictures]:>8.3f} "
                    f"{time.perf_counter() - since:>6.0f}",
                    flush=True,
                )
    first = names[0]
    ours, peer = found[first, "simulated", 800], found[first, "random", 800]
    result = {
        "benchmark": "lsp_keypoints",
        "ours": round(ours, 3),
        "peer": f"{first} without pre-training on simulated stills",
        "peer_value": round(peer, 3),
        "unit": "PCK@0.2",
        "seeds": [round(ours / peer, 4)],
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "others": {" ".join(map(str, key)): round(value, 3) for key, value in found.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *([tuple(sys.argv[2:])] if sys.argv[2:] else []))
