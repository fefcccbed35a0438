"""Frames/s from video to keypoints: predict.py against a plain loop of model.predict and against plain PyTorch.

The video and the network are those of a study (default: the default scale's; random weights, which no crop can follow,
where none has been trained, said so). PyTorch is optional and not part of the environment; for its rows:
    python -m venv /tmp/with-torch && /tmp/with-torch/bin/pip install torch==2.13.0
    PYTHONPATH=/tmp/with-torch/lib/python3.11/site-packages .venv/bin/python benchmarks/inference.py
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from peers import in_own_process

if multiprocessing.parent_process() is None:
    import keras

    from studykit.files import resolve
    from studykit.gaitlab import simulate_study
    from studykit.models.backbones import RESNET_BLOCKS
    from studykit.pose.network import load
    from studykit.pose.prediction import predict_frames
    from studykit.pose.views import Settings, predictor
    from studykit.video import read_frames

WARM_UP = 16  # frames, so that no row pays for building its graph


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="data/derived/default/view_network", help="folder of a trained network")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the video, s")
    options = parser.parse_args()
    folder = resolve(options.network)
    trained = (folder / "model.keras").is_file()
    if trained:
        network = load(folder, made_by="40_train_views")
    else:
        untrained = {"settings": Settings(), "model": Settings().build(), "name": "random weights", "asked": list}
        network = SimpleNamespace(**untrained)
        print(f"{folder}: no trained network; random weights on whole frames")
    with tempfile.TemporaryDirectory() as place:
        simulate_study(place, participants=1, trials=1, seconds=options.seconds, seed=7, progress=False)
        video = next(Path(place).glob("videos/*R2L*.mp4"))
        rows, found = measure(predictor(network, dynamic_crop=trained), network.settings, video)
    report(rows, found, trained)


def measure(ours, settings, video):
    whole = replace(ours, crop=None)
    ways = {
        "model.predict, frame by frame": (whole, lambda: loop(model_predict(whole), whole, video)),
        "predict.py, whole frames": (whole, lambda: stream(whole, video)),
        "predict.py": (ours, lambda: stream(ours, video)),
    }
    if find_spec("torch"):
        twin = TorchTwin(ours.network.model, settings)
        check_twin(ours.network.model, twin)
        network = SimpleNamespace(model=twin)
        torch_whole = replace(whole, network=network)
        ways["PyTorch, frame by frame"] = (torch_whole, lambda: loop(torch_whole, torch_whole, video))
        ways["PyTorch inside predict.py"] = (None, lambda: stream(replace(ours, network=network), video))
    else:
        print("PyTorch is not installed; how to add it stands at the head of this file")
    rows, found = {}, {}
    for name, (_, run) in ways.items():
        start = time.perf_counter()
        found[name], warm_s = run()
        rows[name] = (len(found[name]) - WARM_UP) / (time.perf_counter() - start - warm_s)
    return rows, found


def stream(predictor, video):
    """All keypoints by predict.py, and the time of the warm-up."""
    start, warm_s, found, seen = time.perf_counter(), 0.0, [], 0
    for points in predict_frames(predictor, read_frames(video), batch_size=8):
        found.append(points[:, 0])
        seen += len(points)
        if seen == WARM_UP:
            warm_s = time.perf_counter() - start
    return np.concatenate(found), warm_s


def loop(asked, predictor, video):
    """One whole frame after the other, as in a first script."""
    start, warm_s, found = time.perf_counter(), 0.0, []
    for frame in read_frames(video):
        found.append(asked.whole([frame])[0, 0])
        if len(found) == WARM_UP:
            warm_s = time.perf_counter() - start
    return np.stack(found), warm_s


class Plain:
    """A Keras model asked through model.predict."""

    def __init__(self, model):
        self.model = model

    def predict_on_batch(self, images):
        return self.model.predict(images, verbose=0)


def model_predict(predictor):
    return replace(predictor, network=SimpleNamespace(model=Plain(predictor.network.model)))


class TorchTwin:
    """The same network written plainly in PyTorch, with the same weights, asked like a Keras model."""

    def __init__(self, model, settings):
        if settings.backbone != "resnet18" or settings.decoder or settings.skip or settings.output_stride != 16:
            raise ValueError("expected resnet18 with the published head, the only one written in PyTorch here")
        layers = [layer for layer in model.layers if layer.weights]
        weights = {layer.name: layer.get_weights() for layer in layers}
        epsilon = {layer.name: layer.epsilon for layer in layers if layer.name.endswith("_bn")}
        self.predict_on_batch = in_own_process(torch_maps, weights, epsilon, RESNET_BLOCKS["resnet18"])


def torch_maps(weights, epsilon, blocks_of_stages):
    """A function from a batch of images to the maps of the twin."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    nn = torch.nn

    def conv(name, stride=1, dilation=1):
        kernel, *bias = weights[f"{name}_conv"]
        k = kernel.shape[0]
        made = nn.Conv2d(kernel.shape[2], kernel.shape[3], k, stride, dilation * (k // 2), dilation, bias=bool(bias))
        made.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
        gamma, beta, mean, variance = map(torch.tensor, weights[f"{name}_bn"])
        norm = nn.BatchNorm2d(len(gamma), eps=epsilon[f"{name}_bn"])
        norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var = gamma, beta, mean, variance
        return nn.Sequential(made, norm)

    def head(name):
        kernel, bias = weights[name]
        made = nn.ConvTranspose2d(kernel.shape[3], kernel.shape[2], 3, 2)
        made.weight.data, made.bias.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy()), torch.tensor(bias)
        return made

    class Block(nn.Module):
        def __init__(self, name, stride, dilation, first):
            super().__init__()
            self.a, self.b = conv(f"{name}_1", stride, first), conv(f"{name}_2", 1, first)
            self.skip = conv(f"{name}_0", stride) if f"{name}_0_conv" in weights else nn.Identity()

        def forward(self, x):
            return torch.relu(self.b(torch.relu(self.a(x))) + self.skip(x))

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, blocks = conv("conv1", 2), []
            for stage, count in enumerate(blocks_of_stages):
                stride = 2 if stage in (1, 2) else 1  # the last stage keeps stride 16
                for n in range(count):
                    dilation = 2 if stage == 3 and n else 1
                    blocks.append(Block(f"conv{stage + 2}_block{n + 1}", stride if n == 0 else 1, dilation, dilation))
            self.blocks, self.scores, self.offsets = nn.Sequential(*blocks), head("scores"), head("offsets")
            self.register_buffer("mean", torch.tensor([123.68, 116.779, 103.939])[:, None, None])

        def forward(self, images):
            x = (images.permute(0, 3, 1, 2).float() - self.mean) / 58.0
            x = nn.functional.max_pool2d(nn.functional.pad(torch.relu(self.stem(x)), (1, 1, 1, 1)), 3, 2)
            x = self.blocks(x)
            # Keras's padding="same" drops the last row and column of the full transposed convolution.
            return [made(x)[..., :-1, :-1].permute(0, 2, 3, 1) for made in (self.scores, self.offsets)]

    network = Twin().eval()

    def maps(images):
        with torch.inference_mode():
            scores, offsets = network(torch.from_numpy(images))
        return {"scores": scores.numpy(), "offsets": offsets.numpy()}

    return maps


def check_twin(model, twin):
    images = np.random.default_rng(0).integers(0, 255, (2, 96, 64, 3), dtype=np.uint8)
    theirs = twin.predict_on_batch(images)
    for name, ours in model.predict_on_batch(images).items():
        np.testing.assert_allclose(theirs[name], ours, atol=1e-3 * np.abs(ours).max())


def report(rows, found, trained):
    print(f"{len(next(iter(found.values())))} frames of 960 x 540 px, Keras on {keras.backend.backend()}")
    ours = rows["predict.py"]
    for name, frames_per_s in rows.items():
        apart = np.median(np.linalg.norm(found[name][..., :2] - found["predict.py"][..., :2], axis=-1))
        print(f"{name:32s} {frames_per_s:8.1f} frames/s   {ours / frames_per_s:6.2f}   {apart:6.2f} px")
    print("(columns: speed, how many times faster predict.py is, median distance from its points)")
    peer = "model.predict, frame by frame"
    others = {f"ratio to {name}": round(ours / value, 3) for name, value in rows.items() if name != "predict.py"}
    result = {
        "benchmark": "inference",
        "ours": round(ours, 2),
        "peer": peer,
        "peer_value": round(rows[peer], 2),
        "unit": "frames/s",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        "others": others,
        "trained": trained,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
