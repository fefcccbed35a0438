"""The whole study on two cores against one, from scratch.

python benchmarks/whole_study.py [scale, default: smoke]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def run(scale, cores, **changes):
    """A study in a project of its own: its seconds, its processor time, s, and the records of its notebooks by name."""
    with tempfile.TemporaryDirectory() as root:
        for folder in ("notebooks", "config", "workflow"):
            shutil.copytree(ROOT / folder, Path(root) / folder)
        config = Path(root) / "config" / f"{scale}.yaml"
        config.write_text(yaml.safe_dump(settings(scale) | changes), encoding="utf-8")
        command = [sys.executable, "-m", "studykit.cli", "study", scale, "--cores", str(cores)]
        start, before = time.perf_counter(), os.times()
        subprocess.run(command, env=os.environ | {"STUDYKIT_ROOT": root}, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - start, os.times()
        files = (Path(root) / "reports" / scale / "runs").rglob("*.json")
        records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    work = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, work, {record["run"]: record for record in records}


def settings(scale):
    """A study's configuration."""
    return yaml.safe_load((ROOT / "config" / f"{scale}.yaml").read_text(encoding="utf-8"))


def main(scale="smoke"):
    (alone, _, _), (shared, _, records) = run(scale, 1), run(scale, 2)
    result = {
        "benchmark": "whole_study",
        "ours": round(shared, 1),
        "peer": f"scale {scale} on one core",
        "peer_value": round(alone, 1),
        "unit": "s",
        "peak_memory_gb": max(record["peak_memory_gb"] for record in records.values()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
