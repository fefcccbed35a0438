"""Training of any network: steps with seeds, checkpoints, resuming, best weights, history, a halt at losses of NaN.

A run that was killed goes on from its last checkpoint with the same weights, optimizer state, step and batches, so it
ends with the weights that it would have had.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from studykit.files import replacing
from studykit.kept import fingerprint
from studykit.pose.examples.batches import ahead as made_ahead

if TYPE_CHECKING:
    import keras

RECIPES = ("adamw", "adam", "sgd", "deeplabcut")
# Learning rates of DeepLabCut (Mathis et al. 2018; pose_cfg.yaml, `multi_step`) and the step up to which each holds.
_DEEPLABCUT_RATES = {10_000: 0.005, 430_000: 0.02, 730_000: 0.002, 1_030_000: 0.001}


class LossNotFinite(RuntimeError):
    """The loss became infinite or not a number; the message names the step, the last good weights are kept."""


def compile_model(
    model: "keras.Model",
    losses: Any,
    *,
    steps: int,
    recipe: str = "adamw",
    learning_rate: float = 2e-3,
    warmup_steps: int = 50,
    weight_decay: float = 0.01,
    loss_weights: dict[str, float] | None = None,
) -> "keras.Model":
    """Give a model its losses and its optimizer.

    Parameters
    ----------
    model : keras.Model
    losses : loss or dict of losses by output
    steps : int
        Length of the training; the learning rate falls to a hundredth of its peak along half a cosine.
    recipe : {"adamw", "adam", "sgd", "deeplabcut"}
        "adam": Adam at `learning_rate` throughout (papers 001 and 003). "sgd": stochastic gradient descent with
        momentum 0.9, likewise. "deeplabcut": the same with the published steps of the learning rate; the other
        parameters are then not used.
    learning_rate : float
        Peak.
    warmup_steps : int
        Steps of its linear rise; at most a tenth of all.
    weight_decay : float
        On kernels only.
    loss_weights : dict of float by output, optional
        See `compile_losses`.

    Returns
    -------
    keras.Model
        The same, compiled.
    """
    import keras

    if recipe == "deeplabcut":
        rates = keras.optimizers.schedules.PiecewiseConstantDecay(
            list(_DEEPLABCUT_RATES)[:-1], list(_DEEPLABCUT_RATES.values())
        )
        optimizer = keras.optimizers.SGD(rates, momentum=0.9)
    elif recipe == "adam":
        optimizer = keras.optimizers.Adam(learning_rate)
    elif recipe == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9)
    elif recipe == "adamw":
        warmup_steps = max(1, min(warmup_steps, steps // 10))
        rates = keras.optimizers.schedules.CosineDecay(
            learning_rate / 20, steps - warmup_steps, alpha=0.01, warmup_target=learning_rate, warmup_steps=warmup_steps
        )
        optimizer = keras.optimizers.AdamW(rates, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "phase"])
    else:
        raise ValueError(f"recipe: expected one of {', '.join(RECIPES)}, got {recipe!r}")
    return compile_losses(model, losses, loss_weights, optimizer)


def compile_losses(
    model: "keras.Model", losses: Any, loss_weights: dict[str, float] | None = None, optimizer: Any = "rmsprop"
) -> "keras.Model":
    """Give a model its losses, for its examination; on TensorFlow without XLA, which is slower on CPUs.

    Parameters
    ----------
    model : keras.Model
    losses : loss or dict of losses by output
    loss_weights : dict of float by output, optional
        1 where not given; names that the model does not have are left out.
    """
    import keras

    if loss_weights:
        loss_weights = {name: loss_weights.get(name, 1.0) for name in model.output}
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, loss=losses, loss_weights=loss_weights or None, jit_compile=jit)
    return model


def fit(
    model: "keras.Model",
    batches: Any,
    steps: int,
    checkpoint: Path | str,
    *,
    settings: Any = None,
    watch: Callable[["keras.Model"], dict[str, float]] | None = None,
    best: str | None = None,
    patience: int | None = None,
    every: int = 200,
    log_every: int = 20,
    ahead: int = 3,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a compiled model for a number of steps, resuming a run that was stopped.

    Parameters
    ----------
    model : keras.Model
        Compiled, its weights drawn from a seed.
    batches : sequence
        ``batches[n] -> (inputs, targets)`` for step n, always the same, such as `batches.Batches`.
    steps : int
    checkpoint : path-like
        Where to keep weights, optimizer and step; removed when the training is complete.
    settings : anything that `kept.fingerprint` takes, optional
        Whatever else the weights depend on; a checkpoint of other settings is not continued.
    watch : callable, optional
        ``watch(model) -> dict of numbers``, such as errors on the test set, taken down every `every` steps.
    best : str, optional
        One of these numbers, such as "validation_loss": the model ends with the weights for which it was lowest,
        otherwise with those of the last step.
    patience : int, optional
        Stop once `best` has not fallen in so many looks.
    every : int
        Steps between checkpoints and looks of `watch`, a multiple of `log_every`.
    log_every : int
        Steps over which a loss is averaged for the history.
    ahead : int
        Batches prepared beside the training.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        History: step, the mean losses since the last row, what `watch` said, and the seconds of these steps alone.

    Raises
    ------
    LossNotFinite
        Naming the step; the model has the weights of the last checkpoint.
    """
    if every % log_every:
        raise ValueError(f"every: expected a multiple of log_every = {log_every}, got {every}")
    checkpoint = Path(checkpoint)
    key = _fingerprint(model, steps, settings)
    first, history, lowest = _restore(model, checkpoint, key)
    bar = tqdm(total=steps, initial=first, desc="train", unit="step", disable=not progress)
    with bar:
        window, clock = [], time.perf_counter()
        for step, batch in enumerate(made_ahead(map(batches.__getitem__, range(first, steps)), ahead), first):
            losses = model.train_on_batch(*batch, return_dict=True)
            window.append({name: float(value) for name, value in losses.items()})
            if not np.isfinite(window[-1]["loss"]):
                _stop(model, checkpoint, key, step)
            done = step + 1
            bar.update()
            if done % log_every == 0 or done == steps:
                row = {"step": done} | {name: float(np.mean([one[name] for one in window])) for name in window[0]}
                bar.set_postfix(loss=f"{row['loss']:.4g}")
                row["seconds"], window = time.perf_counter() - clock, []
                if watch is not None and (done % every == 0 or done == steps):
                    row |= watch(model)
                history.append(row)
                if best in row and row[best] < lowest.value:
                    lowest = _Lowest(row[best], done, model.get_weights())
            if patience is not None and lowest.weights and done - lowest.step >= patience * every:
                break
            if done % every == 0 and done < steps:
                _save(model, checkpoint, key, done, history, lowest)
            if not window:
                clock = time.perf_counter()
    checkpoint.unlink(missing_ok=True)
    if lowest.weights:
        model.set_weights(lowest.weights)
    return pd.DataFrame(history)


class _Lowest(NamedTuple):
    """The lowest value of what is watched so far, its step, and the weights that had it."""

    value: float = float("inf")
    step: int = 0
    weights: list = ()


def _stop(model, checkpoint, key, step):
    """Back to the last good weights, and say what happened."""
    kept, *_ = _restore(model, checkpoint, key)
    where = f"the weights of step {kept} are kept in {checkpoint}" if kept else "no checkpoint had been written yet"
    raise LossNotFinite(
        f"step {step + 1}: expected a finite loss, got one that is not a number; {where}; lower the learning rate"
    )


def _fingerprint(model, steps, settings):
    import keras

    shapes = [(v.name, list(v.shape)) for v in model.trainable_variables]
    return fingerprint([shapes, steps, settings, keras.backend.backend()])


def _variables(model):
    """Everything that a step reads or changes: weights, running means, random states, moments, the step's number."""
    model.optimizer.build(model.trainable_variables)
    metrics = {id(v) for v in model.metrics_variables}
    return [v for v in (*model.variables, *model.optimizer.variables) if id(v) not in metrics]


def _save(model, checkpoint, key, step, history, lowest):
    import keras

    values = [keras.ops.convert_to_numpy(v) for v in _variables(model)]
    if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
        return  # the coming step will say so
    arrays = {f"v{n}": value for n, value in enumerate(values)}
    arrays |= {f"lowest{n}": value for n, value in enumerate(lowest.weights)}
    arrays |= {"lowest_value": lowest.value, "lowest_step": lowest.step}
    with replacing(checkpoint) as temporary:
        np.savez(temporary, key=key, step=step, history=json.dumps(history), **arrays)


def _restore(model, checkpoint, key):
    """Step, history and lowest of a checkpoint that fits, its state put into the model; else a fresh start."""
    kept = _read(checkpoint)
    if str(kept.get("key")) != key:
        return 0, [], _Lowest()
    for n, variable in enumerate(_variables(model)):
        variable.assign(kept[f"v{n}"])
    count = sum(name.startswith("lowest") for name in kept) - 2
    weights = [kept[f"lowest{n}"] for n in range(count)]
    lowest = _Lowest(float(kept["lowest_value"]), int(kept["lowest_step"]), weights)
    return int(kept["step"]), json.loads(str(kept["history"])), lowest


def _read(checkpoint):
    """Arrays of a checkpoint by name; none if it is missing or damaged, which the archive's own checksums tell."""
    try:
        with np.load(checkpoint) as kept:
            return dict(kept)
    except (OSError, EOFError, ValueError, BadZipFile):
        return {}


def save_model(model: "keras.Model", path: Path | str) -> None:
    """Write a model as `.keras` without the optimizer's state, as `files.replacing` does."""
    import keras

    with replacing(path) as temporary:
        keras.saving.save_model(model, temporary, include_optimizer=False)


def load_model(path: Path | str) -> "keras.Model":
    """Read a `.keras` file, whatever layers of ours it names; not compiled.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, or no network; one that would run code of its own is refused.
    """
    import keras

    import studykit.models.harmonic
    import studykit.models.vit  # noqa: F401 - these register their layers

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a trained network, got no file; train it first or check the name")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(f"{path}: expected a network saved by Keras, got {error}; train it again") from error


def start_from(model: "keras.Model", path: Path | str) -> None:
    """Take over the weights of another network of the same architecture.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, no network, or of another architecture.
    """
    other = load_model(path)
    wanted, found = ([tuple(w.shape) for w in one.weights] for one in (model, other))
    if (other.name, found) != (model.name, wanted):
        raise ValueError(
            f"{path}: expected a checkpoint of {model.name} with {model.count_params():,} weights, got {other.name} "
            f"with {other.count_params():,}; start from a network of the same architecture, widths and joints"
        )
    model.set_weights(other.get_weights())
