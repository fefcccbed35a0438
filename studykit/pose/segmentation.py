"""Masks of people, alone or with their joints (paper 003): a family of networks, see `pose.network`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studykit.pose.codecs import joint_maps
from studykit.pose.codecs.joint_maps import JOINTS, OUTPUTS, TOP, any_joints
from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.batches import Buckets, padded_size
from studykit.pose.network import Family, Network, family
from studykit.pose.scores.pck import head_length_px
from studykit.skeletons import SKELETONS
from studykit.stills import PSEUDO_MASK, Still, StillSet, known_share, rescale, warp, with_skeleton, zoom_matrix

if TYPE_CHECKING:
    import keras

ARCHITECTURES = ("unet", "harmonic")
ANY_JOINT = 0.2  # a map this high (of 1) says that some joint is here
ROOM = 1.15  # side of a square around a person, of the longer side of the person's box
BATCH = 8  # stills that a network is asked about at once


@family("segmentation")
@dataclass(frozen=True)
class Settings(Family):
    """Everything that the network, its examples and its reading depend on.

    Attributes
    ----------
    architecture : str
        One of `ARCHITECTURES`.
    joints : str
        Encoding of the joints, one of `joint_maps.JOINTS`.
    keypoints : tuple of str
        Skeleton of the joints.
    widths, kernel_size, dropout, batch_normalization
        See `models.unet` and `models.harmonic`; the harmonic network is always normalised.
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
    keypoints: tuple[str, ...] = SKELETONS["body25"].keypoints
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    kernel_size: int = 3
    dropout: float = 0.3
    batch_normalization: bool = True
    batch_momentum: float = 0.9
    size_px: int = 128
    augmented: bool = True
    bucket_px: int = 16
    sigma_px: float = 1.0

    def __post_init__(self) -> None:
        faults = []
        for name, known in (("architecture", ARCHITECTURES), ("joints", JOINTS)):
            if getattr(self, name) not in known:
                faults.append(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        factor = 2 ** (len(self.widths) - 1)
        for name in ("bucket_px", *(["size_px"] if self.augmented else [])):
            if getattr(self, name) % factor:
                faults.append(
                    f"{name}: expected a multiple of {factor}, since {len(self.widths) - 1} poolings halve the "
                    f"image, got {getattr(self, name)}"
                )
        if faults:
            raise ValueError("; ".join(faults))

    def build(self, weights: str | None = None) -> "keras.Model":
        """The network, its weights drawn from Keras's seed; it has no backbone that `weights` could fill."""
        from studykit.models.harmonic import harmonic_unet
        from studykit.models.unet import mask_and_joints_head, unet

        head = mask_and_joints_head(self.joints, len(self.keypoints))
        options = {"widths": self.widths, "kernel_size": self.kernel_size, "dropout": self.dropout, "head": head}
        options |= {"momentum": self.batch_momentum}
        if self.architecture == "harmonic":
            return harmonic_unet(**options)
        return unet(batch_normalization=self.batch_normalization, **options)

    @property
    def losses(self) -> dict[str, Any]:
        """One per output: soft Dice of the mask, squared error of the joint map, cross entropy of the joints."""
        from studykit.models.losses import MaskedMeanSquaredError, PixelCrossEntropy, SoftDice

        known = {"mask": SoftDice, "joint_map": MaskedMeanSquaredError, "joints": PixelCrossEntropy}
        return {name: known[name]() for name in ("mask", *OUTPUTS[self.joints])}

    def augmentation(self) -> Augmentation:
        """How training examples are drawn; upright people stay upright."""
        still = {"rotation_deg": 0.0, "blur_px": 0.0, "noise": 0.0}
        return Augmentation(self.size_px, self.size_px, scale=(0.9, 1.15), shift=0.05, flip=0.5, colour=0.4, **still)

    def encode_images(self, stills: Sequence[Still]) -> np.ndarray:
        """Images of a batch (N, height, width, 3), padded to a common size by black, values from 0 to 1."""
        size = np.max([padded_size(still.image.shape[:2], self.bucket_px) for still in stills], axis=0)
        images = np.zeros((len(stills), *size, 3), np.float32)
        for n, still in enumerate(stills):
            height, width = still.image.shape[:2]
            images[n, :height, :width] = still.image / np.float32(255)
        return images

    def encode(self, stills: Sequence[Still]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
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

    def decode(self, maps: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the maps of one image say.

        Parameters
        ----------
        maps : dict of ndarray (height, width, channels)
            Outputs by name, as from `predict`.

        Returns
        -------
        ndarray (height, width) float32
            Probability that a pixel belongs to the person.
        ndarray (K, 3)
            x, y, px, and confidence of each joint; NaN where the encoding does not name joints.
        ndarray (peaks, 2)
            x, y, px, of joints of any name.
        """
        points, places = np.full((len(self.keypoints), 3), np.nan), np.zeros((0, 2))
        if "joints" in maps:
            points = joint_maps.decode(maps["joints"][None])[0]
            places = any_joints(1 - maps["joints"][..., 0], ANY_JOINT)
        if "joint_map" in maps:
            places = any_joints(maps["joint_map"][..., 0], ANY_JOINT * TOP)
        return maps["mask"][..., -1], points, places

    def batches(self, stills: StillSet, batch_size: int, seed: int) -> Sequence:
        """Training batches without end: batch n depends on `seed` and n alone; a pass is `len` of them."""
        if self.augmented:
            return super().batches(stills, batch_size, seed)
        return Buckets(stills, self.encode, batch_size, self.bucket_px, seed=seed)

    def look(self, model: "keras.Model", sets: dict[str, StillSet]) -> dict[str, float]:
        """Losses of the validation stills, as they are: validation_loss, and one per output."""
        return {f"validation_{name}": value for name, value in score(model, self, sets["validation"]).items()}


def score(model: "keras.Model", settings: Settings, stills: StillSet) -> dict[str, float]:
    """Losses of a compiled model over stills as they are, means over images: `loss` and one per output."""
    batches = Buckets(stills, settings.encode, BATCH, settings.bucket_px)
    parts = [model.test_on_batch(*batches[n], return_dict=True) for n in range(len(batches))]
    counts = [len(batches.numbers(n)) for n in range(len(batches))]
    means = {name: float(np.average([part[name] for part in parts], weights=counts)) for name in parts[0]}
    return {"mask_loss": means["loss"]} | means  # a network with the mask alone has one loss


def predict(
    model: "keras.Model", settings: Settings, stills: Sequence[Still], batch_size: int = BATCH
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
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


def in_order(network: Network, stills: Sequence[Still]) -> list[dict[str, np.ndarray]]:
    """Maps of a few stills, as from `predict`, in their order."""
    return [maps for _, maps in sorted(predict(network.model, network.settings, stills), key=lambda pair: pair[0])]


def prepare_sets(
    stills: dict[str, StillSet], size_px: int, framing: str, joint_share: float = 0.88, images: int = 0, seed: int = 0
) -> tuple[dict[str, StillSet], pd.DataFrame, pd.DataFrame]:
    """The sets of a training, each as `prepare` makes it.

    Parameters
    ----------
    stills : dict of str to StillSet
        "train", "validation" and "test".
    size_px, framing, joint_share
        See `prepare`.
    images, seed : int
        Training stills to keep, drawn by the seed; 0: all.

    Returns
    -------
    dict of str to StillSet
    pandas.DataFrame
        A row per validation still; see `prepare`.
    pandas.DataFrame
        set, people, images, how many were left out by reason, and where the masks come from.
    """
    prepared = {name: prepare(part, size_px, framing, joint_share) for name, part in stills.items()}
    sets = {name: part for name, (part, _, _) in prepared.items()}
    chosen = np.random.default_rng(seed).permutation(len(sets["train"]))[: images or None]
    sets["train"] = sets["train"].subset(sorted(chosen))
    counts = {name: {"people": len(set(part.participants)), "images": len(part)} for name, part in sets.items()}
    rows = [{"set": name} | counts[name] | left_out for name, (_, _, left_out) in prepared.items()]
    return sets, prepared["validation"][1], pd.DataFrame(rows).assign(masks=mask_origin(sets["validation"]))


def evenly(stills: StillSet, count: int) -> StillSet:
    """At most so many stills, in even steps."""
    return stills[:: max(1, len(stills) // count)][:count]


def mask_origin(stills: StillSet) -> str:
    """Where the masks of stills come from: "exact" (simulated), "pseudo-masks" (a network's) or "drawn by hand"."""
    sources = {still.source for still in stills}
    if any(PSEUDO_MASK in source for source in sources):
        return "pseudo-masks"
    return "exact" if all(source.startswith("gaitlab") for source in sources) else "drawn by hand"


def prepare(
    stills: StillSet, size_px: int, framing: str = "whole", joint_share: float = 0.88
) -> tuple[StillSet, pd.DataFrame, dict[str, int]]:
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
        In memory, with BODY_25's joints where the stills have them all, otherwise with their own.
    pandas.DataFrame
        A row per still that was kept: source, participant, head_px (upper neck or neck to head top; NaN where unknown).
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
