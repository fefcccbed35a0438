"""Trained networks in a folder: `model.keras` and the settings that the network was made from."""

import json
from dataclasses import asdict
from pathlib import Path

import keras

from studykit.files import write_text
from studykit.notebook import require
from studykit.pose.training import save_model


def save_network(model, settings, folder):
    """Write `model.keras` and `settings.json`.

    Parameters
    ----------
    model : keras.Model
    settings : dataclass
        Numbers, texts and tuples of them.
    folder : path-like
    """
    save_model(model, Path(folder) / "model.keras")
    write_text(Path(folder) / "settings.json", json.dumps(asdict(settings), indent=1) + "\n")


def load_network(folder, settings, made_by):
    """Read what `save_network` wrote.

    Parameters
    ----------
    folder : path-like
    settings : type
        Of the settings.
    made_by : str
        Notebook that trains it.

    Returns
    -------
    keras.Model
        Not compiled.
    settings

    Raises
    ------
    FileNotFoundError
        Naming the command that trains it.
    """
    folder = Path(folder)
    path = require(folder / "model.keras", made_by=made_by)
    values = json.loads(require(folder / "settings.json", made_by=made_by).read_text(encoding="utf-8"))
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return keras.saving.load_model(path, compile=False), settings(**values | tuples)
