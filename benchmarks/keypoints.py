"""A training step of the regression CNN and of Simple Baselines against the same networks in plain PyTorch.

Paper size (224 x 224, and ResNet-50 on 256 x 192) or that of the default study, float32, squared error, Adam. Networks
take turns, step by step, and the best of each counts, so that other work on the machine disturbs the ratio little.
PyTorch is optional and not part of the environment:
    .venv/bin/uv pip install --target /tmp/torch torch==2.13.0
    PYTHONPATH=/tmp/torch .venv/bin/python benchmarks/keypoints.py [paper|default] [repeats] [batch]
"""

import json
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
    import keras

    from studykit.models.backbones import RESNET_BLOCKS
    from studykit.models.cost import count_parameters
    from studykit.models.losses import MaskedMeanSquaredError
    from studykit.models.regression_cnn import regression_cnn
    from studykit.models.simple_baseline import simple_baseline

SIZES = {
    "paper": {
        "regression_cnn": ((224, 224), {}),
        "simple_baseline": ((256, 192), {"backbone": "resnet50", "width": 64, "deconvolutions": (256, 256, 256)}),
    },
    "default": {
        "regression_cnn": ((96, 96), {"widths": (16, 32, 64, 128, 128), "hidden": 256}),
        "simple_baseline": ((128, 96), {"backbone": "resnet18", "width": 32, "deconvolutions": (64, 64, 64)}),
    },
}


def keras_step(name, size, options, images, targets):
    """A training step of ours."""
    build = {"regression_cnn": regression_cnn, "simple_baseline": simple_baseline}[name]
    model = build(14, input_shape=(*size, 3), **options)
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    losses = MaskedMeanSquaredError() if name == "regression_cnn" else {"heatmaps": MaskedMeanSquaredError()}
    model.compile(keras.optimizers.Adam(1e-4), losses, jit_compile=jit)
    return lambda: model.train_on_batch(images, targets), count_parameters(model)


def torch_step(name, size, options, images, targets):
    """A training step of the same network written plainly in PyTorch; it tells the number of parameters."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    nn = torch.nn
    net = torch_regression(nn, size, **options) if name == "regression_cnn" else torch_baseline(torch, **options)
    parameters = sum(p.numel() for p in net.parameters())
    x = torch.tensor(images.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
    y = torch.tensor(targets if name == "regression_cnn" else targets.transpose(0, 3, 1, 2).copy())
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
        return parameters

    return step


def torch_regression(nn, size, widths=(64, 128, 256, 512, 512), hidden=512):
    rows, before = [], 3
    for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            rows += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            before = width
        rows.append(nn.MaxPool2d(2))
    cells = before * (size[0] // 32) * (size[1] // 32)
    rows += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(cells, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 28)]
    return nn.Sequential(*rows)


def torch_baseline(torch, blocks, bottleneck, width, deconvolutions):
    nn = torch.nn

    def conv(before, after, kernel, stride=1):
        made = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(made, nn.BatchNorm2d(after))

    class Block(nn.Module):
        def __init__(self, before, filters, stride, shortcut):
            super().__init__()
            after = filters * 4 if bottleneck else filters
            relu = nn.ReLU(inplace=True)
            if bottleneck:
                parts = [conv(before, filters, 1, stride), relu, conv(filters, filters, 3), relu]
                parts.append(conv(filters, after, 1))
            else:
                parts = [conv(before, filters, 3, stride), relu, conv(filters, after, 3)]
            self.body, self.skip = nn.Sequential(*parts), conv(before, after, 1, stride) if shortcut else nn.Identity()

        def forward(self, x):
            return torch.relu(self.body(x) + self.skip(x))

    rows, before = [conv(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], width
    for stage, count in enumerate(blocks):
        for n in range(count):
            filters, stride = width * 2**stage, 2 if stage and n == 0 else 1
            rows.append(Block(before, filters, stride, n == 0 and (bottleneck or stage > 0)))
            before = filters * 4 if bottleneck else filters
    for filters in deconvolutions:
        made = nn.ConvTranspose2d(before, filters, 4, 2, 1, bias=False)
        rows += [made, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
        before = filters
    return nn.Sequential(*rows, nn.Conv2d(before, 14, 1))


def main(scale="paper", repeats=5, batch=8):
    if not find_spec("torch"):
        sys.exit("PyTorch is not installed; how to add it stands at the head of this file")
    rng, ratios, rows = np.random.default_rng(0), {}, {}
    print(f"Keras on {keras.backend.backend()}, PyTorch beside it, batches of {batch}, {scale} size\n")
    print(f"{'network':<18} {'ours, ms':>10} {'PyTorch, ms':>12} {'ratio':>7} {'parameters':>12} {'PyTorch':>12}")
    for name, (size, options) in SIZES[scale].items():
        images = rng.integers(0, 255, (batch, *size, 3), dtype=np.uint8)
        shape = (batch, 28) if name == "regression_cnn" else (batch, size[0] // 4, size[1] // 4, 14)
        targets = rng.random(shape, dtype=np.float32)
        ours, count = keras_step(name, size, options, images, targets)
        peer = dict(options)
        if backbone := peer.pop("backbone", None):
            peer |= {"blocks": RESNET_BLOCKS[backbone], "bottleneck": backbone != "resnet18"}
        theirs = in_own_process(torch_step, name, size, peer, images, targets)
        peer_count = theirs()
        seconds = {"ours": [], "peer": []}
        for _ in range(repeats + 1):
            for who, step in (("ours", ours), ("peer", theirs)):
                start = time.perf_counter()
                step()
                seconds[who].append(time.perf_counter() - start)
        best = {who: min(values[1:]) for who, values in seconds.items()}
        ratios[name], rows[name] = best["ours"] / best["peer"], best
        print(
            f"{name:<18} {1000 * best['ours']:>10.1f} {1000 * best['peer']:>12.1f} {ratios[name]:>7.2f} {count:>12,} "
            f"{peer_count:>12,}",
            flush=True,
        )
    worst = max(ratios, key=ratios.get)
    result = {
        "benchmark": "keypoints",
        "ours": round(1000 * rows[worst]["ours"], 1),
        "peer": f"{worst} in plain PyTorch, {scale} size, batch {batch}",
        "peer_value": round(1000 * rows[worst]["peer"], 1),
        "unit": "ms",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "others": {f"{name} to PyTorch": round(value, 3) for name, value in ratios.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
