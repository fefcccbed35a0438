"""The one contract for networks: settings in, a saved network out, trained only if anything changed.

A family of networks is one module of this room with a frozen dataclass `Settings(Family)`, registered by
``@family("its module's name")``. Its fields (numbers, texts and tuples of them) are everything that the network, its
examples and its reading depend on, and it has

- `keypoints`: names;
- `build(weights=None) -> keras.Model`, weights drawn from Keras's seed, the backbone's from `weights`;
- `encode(stills) -> (inputs, targets)` and `decode(outputs, ...)`;
- `losses`: one loss, or a dict by output;
- `augmentation()`: random examples from stills, or None;
- `batches(stills, batch_size, seed)` and `look(model, sets) -> dict of numbers` where `Family`'s do not fit.

::

    network = train(settings, {"train": ..., "validation": ...}, folder, Schedule(epochs=8))
    network = load(folder, made_by="20_train_keypoints")
    found = network.kept("test", test, lambda: predict_stills(network.model, network.settings, test))

Keras is imported only where a network is trained, or asked something that it has not been asked before: this module
and those of the families import `keras` and `studykit.models` inside functions.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from studykit.files import file_digest, read_json, write_text
from studykit.kept import code_digest, fingerprint, kept, keras_backend
from studykit.notebook import require, save_table
from studykit.pose.examples.batches import Batches
from studykit.stills import StillSet

if TYPE_CHECKING:
    import keras

CONTRACT = 2  # of the files in a network's folder; version 1 of the study wrote no number
_FAMILIES: dict[str, type] = {}


def network_code(*modules: str) -> str:
    """Fingerprint of the code that a trained network depends on, and of more modules.

    Scores are left out, and with them the sentences that conclusions are made of: they judge networks, and make none.
    """
    return code_digest("pose", "models", "stills", "skeletons", without="pose/scores") + code_digest(*modules)


class Family:
    """What the settings of all families share; a family overrides what differs."""

    family: ClassVar[str]

    def batches(self, stills: StillSet, batch_size: int, seed: int) -> Batches:
        """Training batches without end: batch n depends on `seed` and n alone; a pass over the stills is `len`."""
        return Batches(stills, self.encode, batch_size, augmentation=self.augmentation(), seed=seed)

    def look(self, model: "keras.Model", sets: dict[str, StillSet]) -> dict[str, float]:
        """Numbers for the history, such as `validation_loss`, taken of a network in training."""
        return {}


def family(name: str) -> Callable[[type], type]:
    """Register a class of settings under its module's name."""

    def register(settings: type) -> type:
        settings.family, _FAMILIES[name] = name, settings
        return settings

    return register


@dataclass(frozen=True)
class Schedule:
    """How a network is trained; everything that its weights depend on beside settings, stills and code.

    Attributes
    ----------
    epochs, steps : int
        One of the two: passes over the training stills, or batches.
    batch_size, seed : int
    recipe, learning_rate
        See `training.compile_model`.
    loss_weights : dict of float by output, optional
        1 where not given; names that the network does not have are left out.
    look_epochs : int
        With `epochs`: passes from one look to the next; the history has a row a pass.
    look_steps : int
        With `steps`: steps from one look to the next; the history has a row for every 20.
    best : bool
        End with the weights of the lowest `validation_loss` of all looks, otherwise with the last ones.
    patience : int
        Stop after so many looks without a lower one, and end with the best weights; 0: never.
    weights : str
        Of the backbone: "" drawn at random, "imagenet", or a file.
    start_from : str
        A `model.keras` of the same architecture to start from; "" starts anew.
    """

    epochs: int = 0
    steps: int = 0
    batch_size: int = 8
    seed: int = 1
    recipe: str = "adamw"
    learning_rate: float = 2e-3
    loss_weights: dict[str, float] | None = None
    look_epochs: int = 1
    look_steps: int = 200
    best: bool = False
    patience: int = 0
    weights: str = ""
    start_from: str = ""

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.steps > 0):
            raise ValueError(f"schedule: expected either epochs or steps, got epochs={self.epochs}, steps={self.steps}")


@dataclass(frozen=True)
class Network:
    """A trained network in its folder.

    Attributes
    ----------
    folder : Path
    settings : Family
        Of its family.
    key : str
        Fingerprint of all that the weights depend on.
    name : str
        Of the Keras model.
    parameters : int
        Trainable ones.
    loss_weights : dict or None
        Of its training.
    """

    folder: Path
    settings: Any
    key: str
    name: str
    parameters: int
    loss_weights: dict[str, float] | None = None

    @cached_property
    def model(self) -> "keras.Model":
        """The Keras model, read at first use; compiled with its losses, without an optimizer."""
        from studykit.pose.training import compile_losses, load_model

        return compile_losses(load_model(self.folder / "model.keras"), self.settings.losses, self.loss_weights)

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row a pass, or for every 20 steps: step, epoch, mean losses, and the numbers of `look` where one was."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def _times(self) -> dict[str, float]:
        return read_json(self.folder / "times.json", "train it again")

    @property
    def seconds(self) -> float:
        """Time of the training, s, looks excluded, all parts of a training that was stopped and resumed."""
        return self._times["seconds"]

    @property
    def seconds_per_image(self) -> float:
        """Time of the training for one image, s: the median over the rows of the history."""
        return self._times["seconds_per_image"]

    def kept(self, name: str, depends: Any, make: Callable[[], Any]) -> Any:
        """An answer of this network, made once: read again while the network, the code and `depends` are the same.

        Parameters
        ----------
        name : str
            Of the file, unique among what this network is asked.
        depends : anything that `kept.fingerprint` takes, and StillSets
            What was asked: the stills, options.
        make : callable
            Gives arrays, tables, numbers, lists or dicts of them; see `studykit.kept.kept`. It is what loads `model`.
        """
        # Hidden: what another notebook asks does not change the results of the one that trained the network.
        return kept(self.folder / "kept" / f".{name}.npz", self.asked(depends, make), make)

    def asked(self, depends: Any, make: Callable | None = None) -> list:
        """What an answer depends on: network, code (the module that asks, too), Keras's backend, and what was asked."""
        module = [make.__module__.removeprefix("studykit.").replace(".", "/")] if make else []
        return [self.key, network_code(*module), keras_backend(), _told(depends)]


def train(
    settings: Any, sets: dict[str, StillSet], folder: Path | str, schedule: Schedule, *, progress: bool = True
) -> Network:
    """A trained network: the one in the folder while all that it depends on is the same, otherwise a new one.

    Parameters
    ----------
    settings : Family
    sets : dict of str to StillSet
        "train", and those that `look` wants.
    folder : path-like
        Gets model.keras, settings.json, history.csv and times.json, and a checkpoint from which a training that was
        stopped goes on.
    schedule : Schedule
    progress : bool
        Show a progress bar.

    Returns
    -------
    Network

    Raises
    ------
    LossNotFinite
        See `training.fit`.
    FileNotFoundError, ValueError
        If `start_from` is missing, or of another architecture.
    """
    folder = Path(folder)
    given = {name: file_digest(path) or path for name in ("weights", "start_from") if (path := getattr(schedule, name))}
    depends = [CONTRACT, settings.family, settings, asdict(schedule) | given, network_code(), keras_backend()]
    key = fingerprint([*depends, _told(sets)])
    saved, files = folder / "settings.json", ("model.keras", "history.csv", "times.json")
    with suppress(OSError, ValueError):  # missing or damaged: trained again
        about = json.loads(saved.read_text(encoding="utf-8"))
        if about.get("key") == key and about["files"] == [file_digest(folder / name) for name in files]:
            print(f"kept: {folder}", file=sys.stderr)
            return _network(folder, settings, about)

    import keras

    from studykit.models.cost import count_parameters
    from studykit.pose.training import compile_model, fit, save_model, start_from

    keras.utils.set_random_seed(schedule.seed)
    model = settings.build(schedule.weights or None)
    if schedule.start_from:
        start_from(model, schedule.start_from)
    batches = settings.batches(sets["train"], schedule.batch_size, schedule.seed)
    steps = schedule.steps or schedule.epochs * len(batches)
    recipe = {"recipe": schedule.recipe, "learning_rate": schedule.learning_rate}
    compile_model(model, settings.losses, steps=steps, loss_weights=schedule.loss_weights, **recipe)
    history = fit(
        model,
        batches,
        steps,
        folder / "checkpoint.npz",
        settings=key,
        watch=lambda model: settings.look(model, sets),
        best="validation_loss" if schedule.best or schedule.patience else None,
        patience=schedule.patience or None,
        every=schedule.look_epochs * len(batches) if schedule.epochs else schedule.look_steps,
        log_every=len(batches) if schedule.epochs else 20,
        progress=progress,
    )
    seconds = history.pop("seconds")
    images = schedule.batch_size * np.diff(history.step, prepend=0)
    if schedule.epochs:
        history.insert(1, "epoch", history.step / len(batches))
    saved.unlink(missing_ok=True)  # what lies there is of another network from here on
    shutil.rmtree(folder / "kept", ignore_errors=True)
    save_model(model, folder / "model.keras")
    save_table(history, folder / "history")
    times = {"seconds": float(seconds.sum()), "seconds_per_image": float((seconds / images).median())}
    _write(folder / "times.json", times)
    about = {"contract": CONTRACT, "family": settings.family, "key": key, "name": model.name}
    about |= {"parameters": count_parameters(model), "settings": asdict(settings), "schedule": asdict(schedule)}
    about["files"] = [file_digest(folder / name) for name in files]
    _write(saved, about)
    print(f"trained: {folder}, {times['seconds']:.0f} s", file=sys.stderr)
    network = _network(folder, settings, about)
    network.__dict__["model"] = model
    return network


def load(folder: Path | str, made_by: str) -> Network:
    """The network of any family that `train` left in a folder.

    Parameters
    ----------
    folder : path-like
    made_by : str
        Notebook that trains it.

    Raises
    ------
    FileNotFoundError
        Naming the notebook that trains it.
    ValueError
        If it is of another version of the contract.
    """
    path = require(Path(folder) / "settings.json", made_by=made_by)
    require(Path(folder) / "model.keras", made_by=made_by)
    mend = f"run notebook {made_by} again"
    about = read_json(path, mend)
    if about.get("contract") != CONTRACT:
        got = f"of contract {about['contract']}" if "contract" in about else "of version 1 of the study"
        raise ValueError(f"{path}: expected a network of contract {CONTRACT}, got one {got}; {mend}")
    name, values = about["family"], about["settings"]
    try:
        if name not in _FAMILIES and name.isidentifier():
            import_module(f"studykit.pose.{name}")
        tuples = {field: tuple(value) for field, value in values.items() if isinstance(value, list)}
        settings = _FAMILIES[name](**values | tuples)
    except (ImportError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected settings of a family of networks, got others ({error}); {mend}") from error
    return _network(Path(folder), settings, about)


@lru_cache(maxsize=32)
def stills_digest(stills: StillSet) -> str:
    """Fingerprint of all that is known of stills: pictures, keypoints, masks, boxes, who they are."""
    return fingerprint([stills.keypoints, *(fingerprint(still) for still in stills)])


def _told(depends: Any) -> Any:
    """The same with digests in place of StillSets."""
    if isinstance(depends, StillSet):
        return stills_digest(depends)
    if isinstance(depends, dict):
        return {name: _told(value) for name, value in depends.items()}
    return [_told(one) for one in depends] if isinstance(depends, list | tuple) else depends


def _network(folder: Path, settings: Any, about: dict) -> Network:
    values = (about[name] for name in ("key", "name", "parameters"))
    return Network(folder, settings, *values, about["schedule"]["loss_weights"])


def _write(path: Path, values: dict) -> None:
    write_text(path, json.dumps(values, indent=1) + "\n")
