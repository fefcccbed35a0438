"""A training step of the harmonic U-Net against the plain one: 128x128 px, soft Dice, Adam, float32.

Networks take turns, step by step, and the best of each counts, so that other work on the machine disturbs the ratio
little. The plain network is the published one, without batch normalization; it is timed with it too, as the
harmonic one has it. Paper 003 took 30 h against 6.5 h, 4.6 times, on a P100.

python benchmarks/harmonic.py [repeats]
"""

import json
import resource
import sys
import time

import keras
import numpy as np

from studykit.losses import SoftDice
from studykit.models.harmonic import harmonic_unet
from studykit.models.unet import unet

SIZE = 128
PAPER = (64, 128, 256, 512, 1024)
NARROW = (16, 32, 64, 128, 256)


def best_steps(networks, batch, repeats):
    """Seconds of the fastest training step of each network, after a first one."""
    rng = np.random.default_rng(0)
    images = rng.random((batch, SIZE, SIZE, 3), dtype="float32")
    person = rng.integers(0, 2, (batch, SIZE, SIZE, 1))
    masks = np.concatenate([1 - person, person], -1).astype("float32")
    for network in networks.values():
        jit = False if keras.backend.backend() == "tensorflow" else "auto"
        network.compile(keras.optimizers.Adam(2e-5), SoftDice(), jit_compile=jit)
        network.train_on_batch(images, masks)
    seconds = {name: [] for name in networks}
    for _ in range(repeats):
        for name, network in networks.items():
            start = time.perf_counter()
            network.train_on_batch(images, masks)
            seconds[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in seconds.items()}


def main(repeats=5):
    print(f"{keras.backend.backend()}, {SIZE}x{SIZE} px\n")
    print(f"{'channels':>10} {'batch':>5}  {'network':<32} {'ms':>8} {'ratio':>6} {'parameters':>11}")
    ratios = {}
    for widths, batch in ((NARROW, 1), (NARROW, 8), (PAPER, 1), (PAPER, 8)):
        keras.utils.clear_session()
        networks = {
            "plain": unet(widths=widths),
            "plain, batch normalization": unet(widths=widths, batch_normalization=True),
            "harmonic": harmonic_unet(widths=widths),
            "harmonic, dense": harmonic_unet(widths=widths, mode="dense"),
        }
        if batch * widths[0] > 128:
            del networks["harmonic, dense"]  # minutes and gigabytes
        seconds = best_steps(networks, batch, repeats)
        for name, value in seconds.items():
            ratios[widths, batch, name] = value / seconds["plain"]
            print(
                f"{widths[0]:>4}..{widths[-1]:<4} {batch:>5}  {name:<32} {1000 * value:>8.1f} "
                f"{ratios[widths, batch, name]:>6.2f} {networks[name].count_params():>11,}",
                flush=True,
            )
        if (widths, batch) == (PAPER, 1):
            headline = seconds
    result = {
        "benchmark": "harmonic",
        "ratio": round(headline["harmonic"] / headline["plain"], 3),
        "ours": round(1000 * headline["harmonic"], 1),
        "peer": "plain U-Net, 64..1024 channels, batch 1",
        "peer_value": round(1000 * headline["plain"], 1),
        "unit": "ms",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
