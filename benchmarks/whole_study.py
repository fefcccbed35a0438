"""The whole study on two cores against one, and how its time grows with the number of trials.

Each study runs from scratch in a project of its own. Trials: the two-camera part without training, whose time does not
depend on them, with each of the numbers of trials of a participant.

python benchmarks/whole_study.py [scale, default: smoke] [trials ..., default: 2 4 8]
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def run(place, name, cores, **changes):
    """Seconds of a study from scratch, and the records of its notebooks."""
    root = Path(place) / f"{name}-{cores}"
    for folder in ("notebooks", "config", "workflow"):
        shutil.copytree(ROOT / folder, root / folder)
    settings = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")) | changes
    (root / "config" / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "studykit.cli", "study", name, "--cores", str(cores)]
    start = time.perf_counter()
    subprocess.run(command, env=os.environ | {"STUDYKIT_ROOT": str(root)}, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    paths = (root / "reports" / name / "runs").rglob("*.json")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    shutil.rmtree(root)
    return seconds, records


def main(scale="smoke", *trials):
    trials = [int(count) for count in trials or (2, 4, 8)]
    settings = yaml.safe_load((ROOT / "config" / f"{scale}.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        growth = {}
        for count in trials:
            data = settings["notebooks"] | {"00_data": settings["notebooks"].get("00_data", {}) | {"trials": count}}
            _, records = run(place, scale, 2, stills="none", notebooks=data)
            growth[count] = sum(one["seconds"] for one in records if one["run"] != "40_train_views")
            print(f"{count:3d} trials of each participant: {growth[count]:7.1f} s without training", flush=True)
        whole = {cores: run(place, scale, cores) for cores in (1, 2)}
    for cores, (seconds, _) in whole.items():
        print(f"whole study, {cores} cores: {seconds:7.1f} s")
    power = math.log(growth[trials[-1]] / growth[trials[0]]) / math.log(trials[-1] / trials[0])
    print(f"time grows with the number of trials to the power of {power:.2f}")
    result = {
        "benchmark": "whole_study",
        "ours": round(whole[2][0], 1),
        "peer": f"scale {scale} on one core",
        "peer_value": round(whole[1][0], 1),
        "unit": "s",
        "peak_memory_gb": max(one["peak_memory_gb"] for one in whole[2][1]),
        "others": {f"without training, {count} trials, s": round(seconds, 1) for count, seconds in growth.items()}
        | {"grows with trials to the power of": round(power, 3)},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
