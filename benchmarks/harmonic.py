"""A training step of the harmonic U-Net against the plain one: soft Dice, Adam, float32.

The networks of the default study (8..128 channels, 64x64 px; on one thread too, as the study trains them) and those of
paper 003 (64..1024 channels, 128x128 px).

The peer is the fastest plain U-Net of the same run: ours or, where PyTorch is installed (extra `torch`), the same
network written plainly in it. Networks take turns, step by step, and the best of each counts, so that other work on
the machine disturbs the ratio little. Paper 003 took 30 h against 6.5 h, 4.6 times, on a P100.

python benchmarks/harmonic.py [repeats]      the table of ratios
python benchmarks/harmonic.py modes          what each way to compute a harmonic convolution costs, level by level
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
from peers import in_own_process

if multiprocessing.parent_process() is None:
    import keras

    from studykit.models.harmonic import harmonic_unet
    from studykit.models.harmonic_layers import MODES, HarmonicConv2D
    from studykit.models.losses import SoftDice
    from studykit.models.unet import unet
    from studykit.workflow.execution import thread_limits

NARROW, PAPER = "8..128", "64..1024"
WIDTHS = {NARROW: (8, 16, 32, 64, 128), PAPER: (64, 128, 256, 512, 1024)}
SIZES = {NARROW: 64, PAPER: 128}  # px
# channels, batch, threads (0: as many as there are cores)
CASES = ((NARROW, 1, 1), (NARROW, 8, 1), (NARROW, 1, 0), (NARROW, 8, 0), (PAPER, 1, 0), (PAPER, 8, 0))
HARMONIC = "harmonic"


def keras_step(network, images, masks):
    """One training step of a Keras network, as a function of nothing."""
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    network.compile(keras.optimizers.Adam(2e-5), SoftDice(), jit_compile=jit)
    return lambda: network.train_on_batch(images, masks)


def torch_step(widths, images, masks, channels_last):
    """One training step of the plain U-Net in PyTorch, as a function of nothing."""
    import torch
    from torch import nn

    def convolution(inside, outside, size):
        return nn.Sequential(nn.Conv2d(inside, outside, size, padding="same"), nn.ReLU())

    def pair(inside, outside):
        return nn.Sequential(convolution(inside, outside, 3), convolution(outside, outside, 3))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList(pair(*ends) for ends in zip((3, *widths), widths, strict=False))
            ends = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
            self.shrink = nn.ModuleList(convolution(*end, 2) for end in ends)
            self.up = nn.ModuleList(pair(*end) for end in ends)
            self.scores = nn.Conv2d(widths[0], 2, 1)
            self.pool, self.upsample, self.dropout = nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Dropout(0.3)

        def forward(self, x):
            skips = []
            for level, block in enumerate(self.down):
                x = block(x if level == 0 else self.pool(x))
                skips.append(x)
                x = self.dropout(x) if level else x
            skips.pop()
            for level, (shrink, block) in enumerate(zip(self.shrink, self.up, strict=True), start=1):
                x = block(torch.cat([skips.pop(), shrink(self.upsample(x))], 1))
                x = self.dropout(x) if level < len(self.up) else x
            return self.scores(x).softmax(1)

    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, masks = (torch.tensor(a).permute(0, 3, 1, 2).contiguous(memory_format=layout) for a in (images, masks))
    network = UNet().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 2e-5)

    def step():
        optimizer.zero_grad()
        probability = network(images)
        overlap, total = (probability * masks).sum((1, 2, 3)), (probability + masks).sum((1, 2, 3))
        loss = (1 - 2 * overlap / total).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def best_seconds(steps, repeats):
    """Seconds of the fastest call of each function, after a first one."""
    for step in steps.values():
        step()
    seconds = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in seconds.items()}


def training_steps(channels, batch):
    """A training step of each network, by its name."""
    rng = np.random.default_rng(0)
    size, widths = SIZES[channels], WIDTHS[channels]
    images = rng.random((batch, size, size, 3), dtype="float32")
    person = rng.integers(0, 2, (batch, size, size, 1))
    masks = np.concatenate([1 - person, person], -1).astype("float32")
    networks = {
        "plain": unet(widths=widths),
        "plain, batch normalization": unet(widths=widths, batch_normalization=True),
        HARMONIC: harmonic_unet(widths=widths),
        "harmonic, 1x1 after up-sampling": harmonic_unet(widths=widths, up_kernel_size=1),
    }
    steps = {name: keras_step(network, images, masks) for name, network in networks.items()}
    if find_spec("torch"):
        for name, channels_last in (("plain, PyTorch", False), ("plain, PyTorch, channels last", True)):
            steps[name] = in_own_process(torch_step, widths, images, masks, channels_last)
    return steps


def print_seconds(channels, batch, repeats):
    """What `seconds_of_case` reads."""
    seconds = best_seconds(training_steps(channels, batch), repeats)
    print(json.dumps({"seconds": seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))


def seconds_of_case(channels, batch, threads, repeats):
    """Seconds of each network's step and peak memory of all, GB, from a process of its own."""
    environment = os.environ | (thread_limits(threads) if threads else {})
    command = [sys.executable, __file__, "case", channels, str(batch), str(repeats)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def print_modes(channels):
    """The mode of each harmonic convolution, one line a mode."""
    chosen = {}
    for layer in harmonic_unet(widths=WIDTHS[channels]).layers:
        if isinstance(layer, HarmonicConv2D):
            chosen.setdefault(layer.computed_as(), []).append(layer.name)
    print(f"\n{channels} channels are computed")
    for mode, names in chosen.items():
        print(f"  {mode}: {' '.join(names)}")


def print_ratios(repeats):
    print(f"{keras.backend.backend()}; ratio: to the fastest plain network without normalization")
    if not find_spec("torch"):
        print("PyTorch is not installed: no peer but our own plain network")
    for channels in WIDTHS:
        print_modes(channels)
    print(f"\n{'channels':>8} {'batch':>5} {'threads':>7}  {'network':<32} {'ms':>8} {'ratio':>6} {'peak, GB':>9}")
    headline, others = None, {}
    for channels, batch, threads in CASES:
        case = seconds_of_case(channels, batch, threads, repeats)
        seconds = case["seconds"]
        peer = min((name for name in seconds if name == "plain" or "PyTorch" in name), key=seconds.get)
        for name, value in seconds.items():
            print(
                f"{channels:>8} {batch:>5} {threads or 'all':>7}  {name:<32} {1000 * value:>8.1f} "
                f"{value / seconds[peer]:>6.2f} {case['peak_gb']:>9.2f}",
                flush=True,
            )
        place = f"{channels} channels, batch {batch}" + (", one thread" if threads else "")
        others[f"harmonic to plain, {place}"] = round(seconds[HARMONIC] / seconds[peer], 3)
        if theirs := [value for name, value in seconds.items() if "PyTorch" in name]:
            others[f"our plain to PyTorch, {place}"] = round(seconds["plain"] / min(theirs), 3)
        if (channels, batch) == (PAPER, 1):
            headline = seconds[HARMONIC], peer, seconds[peer], case["peak_gb"]
    ours, peer, peer_value, peak_gb = headline
    result = {
        "benchmark": "harmonic",
        "ours": round(1000 * ours, 1),
        "peer": f"U-Net ({peer}), 64..1024 channels, batch 1",
        "peer_value": round(1000 * peer_value, 1),
        "unit": "ms",
        "peak_memory_gb": round(peak_gb, 2),
        "others": others,
    }
    print(json.dumps(result))


def print_mode_costs(batch, repeats=5):
    """Forward and backward through the second convolution of each level's pair, ms, TensorFlow."""
    import tensorflow as tf

    def step(layer, x):
        @tf.function
        def gradients(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x) ** 2)
            return tape.gradient(loss, [x, *layer.trainable_variables])

        return lambda: [np.asarray(g[..., :1]) for g in gradients(x)]

    for channels, widths in WIDTHS.items():
        print(f"\nbatch {batch}, {'px':>4} {'channels':>8} {'plain':>8}" + "".join(f"{mode:>15}" for mode in MODES))
        for level, width in enumerate(widths):
            shape = (batch, SIZES[channels] >> level, SIZES[channels] >> level)
            x = tf.random.normal((*shape, 2 * width))
            layers = {mode: HarmonicConv2D(width // 2, mode=mode) for mode in MODES}
            steps = {mode: step(layer, x) for mode, layer in layers.items()}
            plain = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)
            steps["plain"] = step(plain, x[..., :width])
            ms = {name: 1000 * value for name, value in best_seconds(steps, repeats).items()}
            chosen = HarmonicConv2D(width // 2).computed_as()
            costs = "".join(f"{ms[mode]:>14.1f}{'*' if mode == chosen else ' '}" for mode in MODES)
            print(f"{'':>8} {shape[1]:>4} {width:>8} {ms['plain']:>8.1f}{costs}", flush=True)
    print("* chosen")


if __name__ == "__main__":
    if sys.argv[1:] == ["modes"]:
        for batch in (1, 8):
            print_mode_costs(batch)
    elif sys.argv[1:2] == ["case"]:
        print_seconds(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        print_ratios(*map(int, sys.argv[1:] or ["3"]))
