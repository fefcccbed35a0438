"""OpenPose: decoding against plain Python loops, a second picture of a new size, a training step against PyTorch.

Decoding reads the maps of a scene of six people, drawn from the truth, 656 x 368 px at stride 8. The loops do the same,
step by step, and find the same people. A step is that of the default study, on one thread as there, and one of the
paper's size on all cores. Ways take turns and the best of each counts. PyTorch is optional and not part of the
environment; for its rows:
    python -m venv /tmp/with-torch && /tmp/with-torch/bin/pip install torch==2.13.0
    PYTHONPATH=/tmp/with-torch/lib/python3.11/site-packages .venv/bin/python benchmarks/paf.py
"""

import json
import math
import multiprocessing
import os
import resource
import sys
import time
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from peers import in_own_process

if multiprocessing.parent_process() is None:
    from studykit.gaitlab import simulate_stills
    from studykit.models.openpose import final_maps
    from studykit.pose.codecs.affinity import affinity_fields, confidence_maps
    from studykit.pose.grouping import group, limb_numbers
    from studykit.pose.openpose import Settings, multi_scale_maps
    from studykit.skeletons import SKELETONS
    from studykit.workflow.execution import thread_limits

    BODY = SKELETONS["openpose18"]
    LIMBS = limb_numbers(BODY)
    DEFAULT = Settings(width=0.25, features=32, size_px=128)

WIDTH, HEIGHT, PEOPLE = 656, 368, 6
STEPS = {  # width, features, size in px, pictures in a batch, threads; without the default study's added normalisation
    "default": (0.25, 32, 128, 8, 1),
    "paper": (1.0, 128, 368, 4, os.cpu_count()),
}


def main(repeats=20):
    maps, fields = scene()
    ours_ms, loops_ms = decoding(maps, fields, repeats)
    print(f"decoding {PEOPLE} people: {ours_ms:.2f} ms, loops {loops_ms:.0f} ms, {loops_ms / ours_ms:.0f} times faster")
    first, second, seen = new_size()
    print(f"picture of a new size: first {first:.1f} ms, second {second:.1f} ms, sizes seen before {seen:.1f} ms")
    others = {
        "picture of a new size to sizes seen before": round(second / seen, 3),
        "first picture of a new size, ms": round(first, 1),
    }
    if not find_spec("torch"):
        print("PyTorch is not installed; how to add it stands at the head of this file")
    else:
        for name, options in STEPS.items():
            keras_ms, torch_ms = training_step(*options, max(3, repeats // 4))
            print(f"training step of {name} size: {keras_ms:.0f} ms, PyTorch {torch_ms:.0f} ms")
            others[f"training step of {name} size to PyTorch"] = round(keras_ms / torch_ms, 3)
    result = {
        "benchmark": "paf",
        "ours": round(ours_ms, 3),
        "peer": "plain Python loops",
        "peer_value": round(loops_ms, 1),
        "unit": "ms",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "others": others,
    }
    print(json.dumps(result))


def scene():
    """Maps and fields of six people beside one another, some of them crossing."""
    rng = np.random.default_rng(0)
    bodies = [still.keypoints for still in simulate_stills(PEOPLE, 3, 64, BODY.name, people=PEOPLE)]
    for n, points in enumerate(bodies):
        points[:, 2] = 2
        points[:, :2] -= points[:, :2].min(axis=0)
        points[:, :2] *= rng.uniform(200, 300) / np.ptp(points[:, :2], axis=0).max()
        points[:, :2] += [5 + n * 85, rng.uniform(5, 60)]
    return confidence_maps(bodies, HEIGHT, WIDTH), affinity_fields(bodies, LIMBS, HEIGHT, WIDTH)


def best_ms(run, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def decoding(maps, fields, repeats):
    ours, _ = group(maps, fields, LIMBS, matching="greedy", smooth_px=0)
    theirs = loops(maps, fields)
    assert len(ours) == len(theirs) == PEOPLE
    for person in ours:  # NaN alike
        assert any(np.allclose(person, other, atol=1e-3, equal_nan=True) for other in theirs)
    return best_ms(lambda: group(maps, fields, LIMBS), repeats), best_ms(lambda: loops(maps, fields), 3)


def loops(maps, fields, stride=8, samples=10):
    """Peaks, line integrals, the best pair first and merging, as one would write them down; not smoothed."""
    h, w, k = maps.shape[0], maps.shape[1], maps.shape[2] - 1
    maps, fields = maps.tolist(), fields.tolist()
    peaks = []
    for key in range(k):
        for r in range(h):
            for c in range(w):
                value = maps[r][c][key]
                around = [
                    maps[r + i][c + j][key]
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                    if (i or j) and 0 <= r + i < h and 0 <= c + j < w
                ]
                if value > 0.1 and value > max(around):
                    x = vertex([maps[r][min(max(c, 1), w - 2) + j][key] for j in (-1, 0, 1)], c, w)
                    y = vertex([maps[min(max(r, 1), h - 2) + j][c][key] for j in (-1, 0, 1)], r, h)
                    peaks.append((key, x * stride + 3.5, y * stride + 3.5, value))
    connections = []
    for n, (a, b) in enumerate(LIMBS):
        pairs = []
        for i, one in enumerate(peaks):
            for j, other in enumerate(peaks):
                if one[0] == a and other[0] == b:
                    score = integral(one, other, n, fields, h, w, stride, samples)
                    if score > 0:
                        pairs.append((score, i, j))
        used = set()
        for score, i, j in sorted(pairs, reverse=True):
            if i not in used and j not in used:
                used |= {i, j}
                connections.append((score, i, j))
    persons = []
    for _, i, j in sorted(connections, reverse=True):
        owners = [person for person in persons if i in person.values() or j in person.values()]
        if not owners:
            persons.append({peaks[i][0]: i, peaks[j][0]: j})
        elif len(owners) == 1:
            for end in (i, j):
                owners[0].setdefault(peaks[end][0], end)
        elif not owners[0].keys() & owners[1].keys():
            owners[0].update(owners[1])
            persons.remove(owners[1])
    people = np.full((len(persons), k, 3), np.nan)
    people[..., 2] = 0
    for number, person in enumerate(persons):
        for key, peak in person.items():
            people[number, key] = peaks[peak][1:]
    return people


def vertex(values, best, size):
    low, middle, high = (math.log(max(value, 1e-6)) for value in values)
    bend = low - 2 * middle + high
    at = min(max(best, 1), size - 2) + (low - high) / (2 * bend) if bend < 0 else best
    return min(max(at, best - 0.5), best + 0.5)


def integral(one, other, limb, fields, h, w, stride, samples):
    dx, dy = other[1] - one[1], other[2] - one[2]
    length = max(math.hypot(dx, dy), 1e-6)
    total, agreeing = 0.0, 0
    for n in range(samples):
        t = n / (samples - 1)
        x = min(max((one[1] + t * dx - 3.5) / stride, 0), w - 1)
        y = min(max((one[2] + t * dy - 3.5) / stride, 0), h - 1)
        c, r = min(int(x), w - 2), min(int(y), h - 2)
        value = 0.0
        for channel, part in ((limb, dx / length), (limb + len(LIMBS), dy / length)):
            upper = (1 - x + c) * fields[r][c][channel] + (x - c) * fields[r][c + 1][channel]
            lower = (1 - x + c) * fields[r + 1][c][channel] + (x - c) * fields[r + 1][c + 1][channel]
            value += part * ((1 - y + r) * upper + (y - r) * lower)
        total += value
        agreeing += value > 0.05
    relative = length / (0.5 * h * stride)
    score = total / samples + min(1 / relative - 1, 0) - 0.1 * relative**2
    return score if agreeing >= 0.8 * samples else 0.0


def new_size():
    """ms of the first and of later pictures of a size never seen, and of sizes seen before, same number of cells."""
    model = final_maps(DEFAULT.build())
    pictures = {width: np.zeros((368, width, 3), np.uint8) for width in (480, 496, 488)}

    def ask(width):
        return best_ms(lambda: multi_scale_maps(model, pictures[width], box_size=184, scales=(1.0,)), 1)

    for width in (480, 496, 480, 496):
        ask(width)
    first = ask(488)
    turns = [(ask(488), ask(496), ask(480)) for _ in range(10)]
    second, *seen = np.min(turns, axis=0)
    return first, second, float(np.mean(seen))


def training_step(width, features, size, batch, threads, repeats):
    """ms of the fastest training step of the study's network and of the same one written plainly in PyTorch."""
    os.environ |= thread_limits(threads)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (batch, size, size, 3)).astype("float32")
    targets = {
        name: rng.random((batch, size // 8, size // 8, channels), dtype="float32")
        for name, channels in (("maps1", 19), ("pafs1", 38), ("maps", 19), ("pafs", 38))
    }
    ours, twin = (in_own_process(make, width, features, images, targets) for make in (keras_step, torch_step))
    assert ours() == twin()
    turns = np.array([(best_ms(ours, 1), best_ms(twin, 1)) for _ in range(repeats + 1)])
    return turns[1:].min(axis=0)


def keras_step(width, features, images, targets):
    """A training step of ours; it tells the number of parameters."""
    from studykit.models.openpose import openpose
    from studykit.pose.openpose import Settings
    from studykit.pose.training import compile_model

    model = openpose(18, 19, "mobilenet", width=width, features=features, input_shape=images.shape[1:])
    compile_model(model, Settings().losses, steps=1000)
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)

    def step():
        model.train_on_batch(images, targets)
        return parameters

    return step


def torch_step(width, features, images, targets):
    """A training step of the twin; it tells the number of parameters."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    twin = torch_twin(torch, width, features)
    optimizer = torch.optim.AdamW(twin.parameters(), 1e-3)
    arrays = (images, *targets.values())
    inputs, *wanted = (torch.from_numpy(one).permute(0, 3, 1, 2).contiguous() for one in arrays)

    def step():
        optimizer.zero_grad()
        loss = sum(torch.nn.functional.mse_loss(found, one) for found, one in zip(twin(inputs), wanted, strict=True))
        loss.backward()
        optimizer.step()
        return sum(p.numel() for p in twin.parameters())

    return step


def torch_twin(torch, width, features):
    """The light network written plainly in PyTorch (Osokin 2018)."""
    nn = torch.nn

    def conv(inside, outside, kernel=1, relu=True, **options):
        made = nn.Conv2d(inside, outside, kernel, padding=options.get("dilation", 1) * (kernel // 2), **options)
        return nn.Sequential(made, nn.ReLU(inplace=True)) if relu else made

    def separable(inside, outside, stride=1, dilation=1):
        return nn.Sequential(
            nn.Conv2d(inside, inside, 3, stride, dilation, dilation, groups=inside, bias=False),
            nn.BatchNorm2d(inside),
            nn.ReLU(inplace=True),
            nn.Conv2d(inside, outside, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        )

    def elu_separable():
        deep = nn.Conv2d(features, features, 3, 1, 1, groups=features, bias=False)
        return nn.Sequential(deep, nn.ELU(), nn.Conv2d(features, features, 1, bias=False), nn.ELU())

    def refined(dilation):
        made = nn.Conv2d(features, features, 3, 1, dilation, dilation)
        return nn.Sequential(made, nn.BatchNorm2d(features), nn.ReLU(inplace=True))

    class Block(nn.Module):
        def __init__(self, inside):
            super().__init__()
            self.first, self.rest = conv(inside, features), nn.Sequential(refined(1), refined(2))

        def forward(self, x):
            x = self.first(x)
            return x + self.rest(x)

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [round(n * width) for n in (32, 64, 128, 128, 256, 256, *(512,) * 6)]
            strides, dilations = (1, 2, 1, 2, *(1,) * 7), (*(1,) * 6, 2, *(1,) * 4)
            stem = nn.Conv2d(3, sizes[0], 3, 2, 1, bias=False)
            layers = zip(sizes[:-1], sizes[1:], strides, dilations, strict=True)
            deep = [separable(*layer) for layer in layers]
            self.base = nn.Sequential(stem, nn.BatchNorm2d(sizes[0]), nn.ReLU(inplace=True), *deep)
            self.narrow, self.trunk = conv(sizes[-1], features), nn.Sequential(*(elu_separable() for _ in range(3)))
            self.features = conv(features, features, 3)
            self.initial = nn.Sequential(*(conv(features, features, 3) for _ in range(3)))
            self.refine = nn.Sequential(*(Block(features + 57 if n == 0 else features) for n in range(5)))
            self.heads = nn.ModuleList(
                nn.Sequential(conv(features, many), conv(many, channels, relu=False))
                for many in (4 * features, features)
                for channels in (19, 38)
            )

        def forward(self, x):
            x = self.narrow(self.base(x / 127.5 - 1))
            seen = self.features(x + self.trunk(x))
            x = self.initial(seen)
            early = [head(x) for head in self.heads[:2]]
            x = self.refine(torch.cat([seen, *early], 1))
            return [*early, *(head(x) for head in self.heads[2:])]

    return Twin()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
