"""Training of any network: steps with seeds, checkpoints, resuming, best weights, history, a halt at losses of NaN.

A run that was killed goes on from its last checkpoint with the same weights, optimizer state, step and batches, so it
ends with the weights that it would have had.
"""

import hashlib
import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from studykit.files import replacing

RECIPES = ("adamw", "adam", "sgd", "deeplabcut")
# Learning rates of DeepLabCut (Mathis et al. 2018; pose_cfg.yaml, `multi_step`) and the step up to which each holds.
_DEEPLABCUT_RATES = {10_000: 0.005, 430_000: 0.02, 730_000: 0.002, 1_030_000: 0.001}


class LossNotFinite(RuntimeError):
    """The loss became infinite or not a number; the message names the step, the last good weights are kept."""


def compile_model(
    model, losses, *, steps, recipe="adamw", learning_rate=2e-3, warmup_steps=50, weight_decay=0.01, loss_weights=None
):
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
        1 each if not given.

    Returns
    -------
    keras.Model
        The same, compiled; on TensorFlow without XLA, which is slower on CPUs.
    """
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
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, loss=losses, loss_weights=loss_weights, jit_compile=jit)
    return model


def fit(
    model,
    batches,
    steps,
    checkpoint,
    *,
    settings=None,
    watch=None,
    best=None,
    patience=None,
    every=200,
    log_every=20,
    ahead=3,
    progress=True,
):
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
    settings : dict, optional
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
        History: step, the mean losses since the last row, and what `watch` said.

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
    with bar, ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(batches.__getitem__, n) for n in range(first, min(first + ahead, steps)))
        window = []
        for step in range(first, steps):
            if step + ahead < steps:
                coming.append(pool.submit(batches.__getitem__, step + ahead))
            losses = model.train_on_batch(*coming.popleft().result(), return_dict=True)
            window.append({name: float(value) for name, value in losses.items()})
            if not np.isfinite(window[-1]["loss"]):
                _stop(model, checkpoint, key, step)
            done = step + 1
            bar.update()
            if done % log_every == 0 or done == steps:
                row = {"step": done} | {name: float(np.mean([one[name] for one in window])) for name in window[0]}
                bar.set_postfix(loss=f"{row['loss']:.4g}")
                window = []
                if watch is not None and (done % every == 0 or done == steps):
                    row |= watch(model)
                history.append(row)
                if best in row and row[best] < lowest.value:
                    lowest = _Lowest(row[best], done, model.get_weights())
            if patience is not None and lowest.weights and done - lowest.step >= patience * every:
                break
            if done % every == 0 and done < steps:
                _save(model, checkpoint, key, done, history, lowest)
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
    shapes = [(v.name, list(v.shape)) for v in model.trainable_variables]
    text = json.dumps([shapes, steps, settings, keras.backend.backend()], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _variables(model):
    """Everything that a step reads or changes: weights, running means, random states, moments, the step's number."""
    model.optimizer.build(model.trainable_variables)
    metrics = {id(v) for v in model.metrics_variables}
    return [v for v in (*model.variables, *model.optimizer.variables) if id(v) not in metrics]


def _save(model, checkpoint, key, step, history, lowest):
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


def save_model(model, path):
    """Write a model as `.keras`, whole or not at all, without the optimizer's state."""
    with replacing(path) as temporary:
        keras.saving.save_model(model, temporary, include_optimizer=False)
