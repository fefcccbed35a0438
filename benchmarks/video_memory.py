"""Memory of predicting a video four times as long, against that of the short one: it should not grow.

Frames are read, followed by the crop and asked in batches as the study does; a network of the study's size with random
weights looks at whole frames. Each length in a process of its own, whose largest memory counts.

python benchmarks/video_memory.py [seconds of the short video]
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

FPS, TIMES = 25, 4


def peak_gb(video):
    """Largest memory of this process once it has found the keypoints of a video, GB; and its number of frames."""
    from studykit.pose.prediction import predict_frames
    from studykit.pose.views import Settings, predictor
    from studykit.video import read_frames

    settings = Settings()
    untrained = {"settings": settings, "model": settings.build(), "name": "random weights", "asked": list}
    whole = predictor(SimpleNamespace(**untrained), dynamic_crop=False)
    frames = sum(len(points) for points in predict_frames(whole, read_frames(video), batch_size=8))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, frames


def main(seconds=30.0):
    from studykit.gaitlab import simulate_study
    from studykit.video import read_frames, write_video

    found = {}
    with tempfile.TemporaryDirectory() as place:
        simulate_study(place, participants=1, trials=1, seconds=2.0, seed=7, progress=False)
        walk = list(read_frames(next(Path(place).glob("videos/*R2L*.mp4"))))
        for times in (1, TIMES):
            count = times * round(seconds * FPS / len(walk))
            video = Path(place) / f"{times}.mp4"
            write_video(chain.from_iterable(repeat(walk, count)), video, FPS)
            with multiprocessing.get_context("spawn").Pool(1) as own:
                found[times], frames = own.apply(peak_gb, (video,))
            print(f"{frames:6d} frames {found[times]:7.3f} GB", flush=True)
    result = {
        "benchmark": "video_memory",
        "ours": round(found[TIMES], 3),
        "peer": f"a video of {seconds:g} s, 1/{TIMES} as long",
        "peer_value": round(found[1], 3),
        "unit": "GB",
        "peak_memory_gb": round(max(found.values()), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
