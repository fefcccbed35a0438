"""Masks of people, alone or with their joints (paper 003): stills in, a trained U-Net and its predictions out.

Settings in one place, from which the network, its training examples, its losses and its file are made.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from studykit.models.harmonic import harmonic_unet
from studykit.models.joint_heads import mask_and_joints_head
from studykit.models.losses import MaskedMeanSquaredError, PixelCrossEntropy, SoftDice
from studykit.models.unet import unet
from studykit.pose import saved_networks
from studykit.pose.codecs import joint_maps
from studykit.pose.codecs.joint_maps import JOINTS
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.batches import Batches
from studykit.pose.examples.buckets import Buckets, padded_size
from studykit.pose.scores.pck import head_length_px
from studykit.pose.training import compile_model, fit, start_from
from studykit.skeletons import SKELETONS
from studykit.stills import StillSet, known_share, rescale, warp, with_skeleton, zoom_matrix

ARCHITECTURES = {"unet": unet, "harmonic": harmonic_unet}
LOSSES = {"mask": SoftDice, "joint_map": MaskedMeanSquaredError, "joints": PixelCrossEntropy}


ROOM = 1.15  # side of a square around a person, of the longer side of the person's box


@dataclass(frozen=True)
class Settings:
    """Everything that the network, its examples and its reading depend on.

    Attributes
    ----------
    architecture : str
        Key of `ARCHITECTURES`.
    joints : str
        Encoding of the joints, one of `joint_maps.JOINTS`.
    keypoints : tuple of str
        Skeleton of the joints.
    widths, kernel_size, dropout, batch_normalization
        See `models.unet` and `models.harmonic`; the harmonic network is normalised always.
    batch_momentum : float
        Of the running means of batch normalization; 0.99 is too slow for a training of a few hundred steps.
    size_px : int
        Shorter edge of the images.
    augmented : bool
        Train on random square crops, scaled, shifted, mirrored and recoloured; otherwise on the images as they are.
    bucket_px : int
        Images that differ in size share a batch once padded to multiples of this (see `Buckets`).
    sigma_px : float
        Of the joints' Gaussians.
    """

    architecture: str = "unet"
    joints: str = "none"
    keypoints: tuple = SKELETONS["body25"].keypoints
    widths: tuple = (16, 32, 64, 128, 256)
    kernel_size: int = 3
    dropout: float = 0.3
    batch_normalization: bool = True
    batch_momentum: float = 0.9
    size_px: int = 128
    augmented: bool = True
    bucket_px: int = 16
    sigma_px: float = 1.0

    def __post_init__(self):
        faults = []
        if self.architecture not in ARCHITECTURES:
            faults.append(f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}")
        if self.joints not in JOINTS:
            faults.append(f"joints: expected one of {', '.join(JOINTS)}, got {self.joints!r}")
        for name in ("bucket_px", *(["size_px"] if self.augmented else [])):
            if getattr(self, name) % self.factor:
                faults.append(
                    f"{name}: expected a multiple of {self.factor}, since {len(self.widths) - 1} poolings halve the "
                    f"image, got {getattr(self, name)}"
                )
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def factor(self):
        """Heights and widths that the network takes are multiples of this."""
        return 2 ** (len(self.widths) - 1)

    @property
    def name(self):
        """Such as unet-softmax."""
        return f"{self.architecture}-{self.joints}"

    def build(self):
        """The network, its weights drawn from Keras's seed."""
        options = {"momentum": self.batch_momentum} if self.architecture == "harmonic" else {}
        model = ARCHITECTURES[self.architecture](
            widths=self.widths,
            kernel_size=self.kernel_size,
            dropout=self.dropout,
            batch_normalization=self.batch_normalization or self.architecture == "harmonic",
            head=mask_and_joints_head(self.joints, len(self.keypoints)),
            **options,
        )
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = self.batch_momentum
        return model

    def augmentation(self):
        """How training examples are drawn; upright people stay upright."""
        return Augmentation(
            self.size_px,
            self.size_px,
            scale=(0.9, 1.15),
            rotation_deg=0.0,
            shift=0.05,
            flip=0.5,
            colour=0.4,
            blur_px=0.0,
            noise=0.0,
        )

    def encode_images(self, stills):
        """Images of a batch (N, height, width, 3), padded to a common size by black, values from 0 to 1."""
        size = np.max([padded_size(still.image.shape[:2], self.bucket_px) for still in stills], axis=0)
        images = np.zeros((len(stills), *size, 3), np.float32)
        for n, still in enumerate(stills):
            height, width = still.image.shape[:2]
            images[n, :height, :width] = still.image / np.float32(255)
        return images

    def encode(self, stills):
        """Stills as one batch, as `encode_images`, with target maps that are NaN in the padding."""
        images, targets = self.encode_images(stills), {}
        for n, still in enumerate(stills):
            height, width = still.image.shape[:2]
            maps = {"mask": np.stack([~still.mask, still.mask], axis=-1)}
            maps |= joint_maps.encode(still.keypoints, height, width, self.joints, sigma_px=self.sigma_px)
            for name, one in maps.items():
                if name not in targets:
                    targets[name] = np.full((*images.shape[:3], one.shape[-1]), np.nan, np.float32)
                targets[name][n, :height, :width] = one
        return images, targets

    def batches(self, stills, batch_size, seed):
        """Training batches without end: batch n depends on `seed` and n alone; a pass is `len` of them."""
        if self.augmented:
            return Batches(stills, self.encode, batch_size, augmentation=self.augmentation(), seed=seed)
        return Buckets(stills, self.encode, batch_size, self.bucket_px, seed=seed)


def prepare(stills, size_px, framing="whole", *, joint_share=0.88):
    """Stills as paper 003 made them: one person with nearly all joints in a small picture.

    Parameters
    ----------
    stills : StillSet
        With masks.
    size_px : int
        px.
    framing : {"whole", "person"}
        "whole": the picture, its shorter edge `size_px` (paper: 128). "person": a square of `size_px` around the
        person's box, in which a person is larger.
    joint_share : float
        At least this share of the joints is in the picture (paper: 22 of 25).

    Returns
    -------
    StillSet
        In memory, with BODY_25's joints where the stills have them all, else with their own.
    pandas.DataFrame
        A row a still that was kept: source, participant, head_px (upper neck or neck to head top; NaN where unknown).
    dict of str to int
        How many were left out, by reason.

    Raises
    ------
    ValueError
        If none is left.
    """
    names = SKELETONS["body25"].keypoints
    try:
        chosen = with_skeleton(stills, names)
    except ValueError:
        names, chosen = stills.keypoints, stills
    kept, rows, left_out = [], [], {"no mask": 0, "nobody in the mask": 0, "too few joints": 0}
    for still, own in zip(stills, chosen, strict=True):
        if still.mask is None:
            left_out["no mask"] += 1
        elif not still.mask.any():
            left_out["nobody in the mask"] += 1
        elif known_share(still, stills.keypoints) < joint_share:
            left_out["too few joints"] += 1
        else:
            head = head_length_px(still.keypoints[None], stills.keypoints, lacking=True)
            framed, scale = _whole(own, size_px) if framing == "whole" else _square(own, size_px)
            kept.append(framed)
            rows.append((still.source, still.participant, scale * head[0]))
    if not kept:
        reasons = ", ".join(f"{name}: {count}" for name, count in left_out.items())
        raise ValueError(f"expected pictures of one person with mask and joints, got none of {len(stills)} ({reasons})")
    return StillSet(kept, names), pd.DataFrame(rows, columns=["source", "participant", "head_px"]), left_out


def _whole(still, size_px):
    return rescale(still, size_px), size_px / min(still.image.shape[:2])


def _square(still, size_px):
    x, y, width, height = still.box
    scale = size_px / (ROOM * max(width, height))
    matrix = zoom_matrix(scale, (x + (width - 1) / 2, y + (height - 1) / 2), size_px, size_px)
    return warp(still, matrix, size_px, size_px), scale


def train(
    settings,
    sets,
    folder,
    *,
    epochs,
    batch_size,
    seed,
    recipe,
    learning_rate,
    look_epochs=1,
    loss_weights=None,
    start=None,
):
    """Train a network; it ends with the weights of the lowest validation loss.

    Parameters
    ----------
    settings : Settings
    sets : dict of str to StillSet
        "train" and "validation", as from `prepare`.
    folder : path-like
        For the checkpoint, from which a stopped training goes on.
    epochs : int
        Passes over the training stills.
    batch_size, seed : int
    recipe, learning_rate
        See `training.compile_model`.
    look_epochs : int
        From one look at the validation stills to the next.
    loss_weights : dict of float by output, optional
        1 each if not given, as in the paper.
    start : path-like, optional
        Network to start from, a `model.keras`.

    Returns
    -------
    keras.Model
    pandas.DataFrame
        History, a row an epoch: step, epoch, losses in training (augmented, with dropout), the same of the validation
        stills as validation_..., and seconds_per_image of the training alone; these are NaN where nobody looked.
    """
    keras.utils.set_random_seed(seed)
    model = settings.build()
    if start is not None:
        start_from(model, start)
    batches = settings.batches(sets["train"], batch_size, seed)
    steps = epochs * len(batches)
    weights = {name: (loss_weights or {}).get(name, 1.0) for name in model.output}
    losses = {name: LOSSES[name]() for name in model.output}
    compile_model(model, losses, steps=steps, recipe=recipe, learning_rate=learning_rate, loss_weights=weights)
    resumed, every = time.perf_counter(), look_epochs * len(batches)

    def watch(model):
        nonlocal resumed
        since = int(model.optimizer.iterations) % every or every  # steps; fewer after the last look
        seconds = (time.perf_counter() - resumed) / (since * batch_size)
        found = score(model, settings, sets["validation"], batch_size)
        resumed = time.perf_counter()
        return {f"validation_{name}": value for name, value in found.items()} | {"seconds_per_image": seconds}

    depends = {"settings": settings, "seed": seed, "batch": batch_size, "recipe": recipe, "rate": learning_rate}
    depends |= {"weights": weights, "start": str(start), "stills": [len(sets["train"]), sets["train"][0].source]}
    history = fit(
        model,
        batches,
        steps,
        Path(folder) / "checkpoint.npz",
        settings=depends,
        watch=watch,
        best="validation_loss",
        every=every,
        log_every=len(batches),
    )
    history.insert(1, "epoch", history.step // len(batches))
    return model, history


def score(model, settings, stills, batch_size=8):
    """Losses of a compiled model over stills as they are, means over images; `loss` and one an output.

    Returns
    -------
    dict of str to float
    """
    batches = Buckets(stills, settings.encode, batch_size, settings.bucket_px)
    parts = [model.test_on_batch(*batches[n], return_dict=True) for n in range(len(batches))]
    counts = [len(batches.numbers(n)) for n in range(len(batches))]
    means = {name: float(np.average([part[name] for part in parts], weights=counts)) for name in parts[0]}
    return {"mask_loss": means["loss"]} | means  # a network with the mask alone has one loss


def predict(model, settings, stills, batch_size=8):
    """Maps of each still, one after the other.

    Yields
    ------
    int
        Number of the still.
    dict of ndarray (height, width, channels)
        Outputs, of the still's own size.
    """
    batches = Buckets(stills, settings.encode_images, batch_size, settings.bucket_px)
    for n in range(len(batches)):
        outputs = model.predict_on_batch(batches[n])
        for place, number in enumerate(batches.numbers(n)):
            height, width = stills[number].image.shape[:2]
            yield number, {name: maps[place, :height, :width] for name, maps in outputs.items()}


def dice(mask, predicted):
    """2 |X . Y| / (|X| + |Y|) of one image, with probabilities as they are (soft), 1 if both are empty.

    Parameters
    ----------
    mask : ndarray (height, width) of bool
    predicted : ndarray (height, width)
        Bool, or probabilities from 0 to 1.
    """
    mask, predicted = np.asarray(mask, float), np.asarray(predicted, float)
    if mask.shape != predicted.shape:
        raise ValueError(f"expected a prediction of the mask's size {mask.shape}, got {predicted.shape}")
    total = mask.sum() + predicted.sum()
    return float(2 * (mask * predicted).sum() / total) if total else 1.0


def load_network(folder):
    """Model and settings of a network of notebook 10_train_segmentation; see `saved_networks.load_network`."""
    return saved_networks.load_network(folder, Settings, made_by="10_train_segmentation")
