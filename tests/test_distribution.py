"""Training shared out among several devices, as docs/cluster.md tells it: two simulated ones on JAX."""

import os
import subprocess
import sys

import numpy as np
import pytest

_TRAIN = """
import sys
import jax, keras, numpy as np
if len(jax.devices()) > 1:
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
from studykit.pose.training import compile_model, fit

class Batches:
    def __getitem__(self, n):
        rng = np.random.default_rng(n)
        return rng.random((8, 8, 8, 3), dtype="float32"), rng.random((8, 2), dtype="float32")

keras.utils.set_random_seed(1)
layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
model = keras.Sequential([keras.layers.Input((8, 8, 3)), *layers])
compile_model(model, "mse", steps=20)
fit(model, Batches(), 20, sys.argv[1] + ".npz", every=20, progress=False)
np.save(sys.argv[1], np.concatenate([weights.ravel() for weights in model.get_weights()]))
print(len(model.layers[0].kernel.value.sharding.device_set))
"""


def test_two_devices_train_to_the_same_weights_as_one(tmp_path):
    pytest.importorskip("jax")
    weights = []
    for devices in (1, 2):
        flags = f"--xla_force_host_platform_device_count={devices}"
        environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        command = [sys.executable, "-c", _TRAIN, str(tmp_path / f"{devices}")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == str(devices)
        weights.append(np.load(tmp_path / f"{devices}.npy"))
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-5)
