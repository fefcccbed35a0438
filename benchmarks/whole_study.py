"""The whole study on two cores against one, and how its work grows with the number of trials.

Each study runs from scratch in a project of its own. Trials: processor time of the two-camera part with each of the
numbers of trials of a participant. What does not depend on them, such as training, falls out of the differences: where
a further trial costs at many trials what it costs at few, work grows linearly.

python benchmarks/whole_study.py [scale, default: smoke] [trials ..., default: 2 4 8]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def run(place, name, cores, **changes):
    """A study from scratch: its seconds, its processor time, s, its largest memory, GB, and each notebook's seconds."""
    root = Path(place) / f"{name}-{cores}"
    for folder in ("notebooks", "config", "workflow"):
        shutil.copytree(ROOT / folder, root / folder)
    settings = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")) | changes
    (root / "config" / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "studykit.cli", "study", name, "--cores", str(cores)]
    start, before = time.perf_counter(), os.times()
    subprocess.run(command, env=os.environ | {"STUDYKIT_ROOT": str(root)}, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, os.times()
    work = after.children_user - before.children_user + after.children_system - before.children_system
    records = (root / "reports" / name / "runs").glob("*.json")
    records = [json.loads(path.read_text(encoding="utf-8")) for path in records]
    shutil.rmtree(root)
    memory = max(record["peak_memory_gb"] for record in records)
    return seconds, work, memory, {record["run"]: record["seconds"] for record in records}


def main(scale="smoke", *trials):
    trials = [int(count) for count in trials or (2, 4, 8)]
    settings = yaml.safe_load((ROOT / "config" / f"{scale}.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as place:
        work, notebooks = {}, {}
        for count in trials:
            data = settings["notebooks"] | {"00_data": settings["notebooks"].get("00_data", {}) | {"trials": count}}
            _, work[count], _, notebooks[count] = run(place, scale, 2, stills="none", notebooks=data)
            print(f"{count:3d} trials of each participant: {work[count]:7.1f} s of processor time", flush=True)
        whole = {cores: run(place, scale, cores) for cores in (1, 2)}
    for cores, (seconds, *_) in whole.items():
        print(f"whole study, {cores} cores: {seconds:7.1f} s")
    further = {(few, many): (work[many] - work[few]) / (many - few) for few, many in pairwise(trials)}
    for (few, many), seconds in further.items():
        print(f"a further trial of each participant, {few} to {many}: {seconds:7.1f} s of processor time")
    for name in sorted(notebooks[trials[0]], key=lambda name: notebooks[trials[-1]][name], reverse=True):
        print(f"  {name}: " + ", ".join(f"{notebooks[count][name]:.1f} s" for count in trials))
    result = {
        "benchmark": "whole_study",
        "ours": round(whole[2][0], 1),
        "peer": f"scale {scale} on one core",
        "peer_value": round(whole[1][0], 1),
        "unit": "s",
        "peak_memory_gb": whole[2][2],
        "others": {f"processor time, two cameras, {count} trials, s": round(s, 1) for count, s in work.items()}
        | {f"of a further trial, {few} to {many}, s": round(s, 1) for (few, many), s in further.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
