"""What a further trial costs at many trials against what it costs at few: 1 where work grows linearly.

Processor time of the two-camera part of the study with each of three numbers of trials of a participant, but for the
training, which does not depend on them. What else does not falls out of the differences. The network looks at whole
frames: with dynamic cropping, how often it loses the person, and so the time of a frame, is different for each network.

python benchmarks/trials.py [scale, default: smoke] [trials ..., default: 2 5 8]
"""

import json
import sys

from whole_study import run, settings


def main(scale="smoke", *trials):
    trials, notebooks = [int(count) for count in trials or (2, 5, 8)], settings(scale)["notebooks"]
    work, records = {}, {}
    for count in trials:
        changed = {"00_data": {"trials": count}, "41_pose_two_views": {"dynamic_crop": False}}
        changed = {name: notebooks.get(name, {}) | values for name, values in changed.items()}
        _, total, records[count] = run(scale, 2, stills="none", notebooks=notebooks | changed)
        work[count] = total - records[count]["40_train_views"]["seconds"]
        print(f"{count:3d} trials of each participant: {work[count]:7.1f} s of processor time", flush=True)
    for name in sorted(records[trials[0]]):
        print(f"  {name}: " + ", ".join(f"{records[count][name]['seconds']:.1f} s" for count in trials))
    few, some, many = trials
    result = {
        "benchmark": "trials",
        "ours": round((work[many] - work[some]) / (many - some), 1),
        "peer": f"a further trial of each participant from {few} to {some}, not from {some} to {many}",
        "peer_value": round((work[some] - work[few]) / (some - few), 1),
        "unit": "s",
        "peak_memory_gb": max(record["peak_memory_gb"] for record in records[many].values()),
        "others": {f"processor time, {count} trials, s": round(seconds, 1) for count, seconds in work.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
