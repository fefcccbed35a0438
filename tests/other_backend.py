"""The same network on another backend of Keras, in a process of its own."""

import os
import subprocess
import sys

import numpy as np

_PREDICT = """
import keras, numpy as np
import studykit.models.harmonic  # layers of ours that a file may name
model = keras.saving.load_model("model.keras", compile=False)
found = model.predict_on_batch(np.load("x.npy"))
found = found if isinstance(found, dict) else {"output": found}
np.savez("found.npz", **{name: keras.ops.convert_to_numpy(maps) for name, maps in found.items()})
print(keras.backend.backend())
"""


def predict_on(backend, model, x, folder):
    """Outputs of a model by name ("output" where it has one) for a batch, computed by another backend.

    XLA compiles without optimizing, which takes half the time and is as exact.
    """
    model.save(folder / "model.keras")
    np.save(folder / "x.npy", x)
    environment = os.environ | {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    command = [sys.executable, "-c", _PREDICT]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == backend
    with np.load(folder / "found.npz") as found:
        return dict(found)
