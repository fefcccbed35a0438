"""Rotation equivariance of networks for masks: turned pictures, features of untrained networks, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from studykit.kept import kept, keras_backend
from studykit.pose.network import Network, network_code
from studykit.pose.scores.masks import dice
from studykit.pose.segmentation import in_order
from studykit.stills import Still


def turn(still: Still, angle: float) -> Still:
    """A still turned counter-clockwise about its middle by an angle, deg; beyond its border it is mirrored."""
    height, width = still.image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    image, mask = (
        cv2.warpAffine(part, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for part in (still.image, still.mask.astype(np.float32))
    )
    return replace(still, image=image, mask=mask > 0.5)


def rotation_table(networks: dict[str, Network], stills: Sequence[Still], angles: Sequence[float]) -> pd.DataFrame:
    """Dice and equivariance of networks on turned pictures.

    Parameters
    ----------
    networks : dict of str to Network
    stills : StillSet
        Squares.
    angles : sequence of float
        deg.

    Returns
    -------
    pandas.DataFrame
        network, angle_deg, dice (mean over the stills) and equivariance_error: how far the person's probability in the
        turned picture is from the turned probability of the upright one, relative, within the circle that all angles
        share. Turning a picture smooths it, so that no network reaches 0 between multiples of 90 deg.
    """
    parts = [_rotations(network, stills, list(angles)).assign(network=name) for name, network in networks.items()]
    return pd.concat(parts, ignore_index=True)[["network", "angle_deg", "dice", "equivariance_error"]]


def _rotations(network, stills, angles):
    def make():
        upright, rows = _people(network, stills), []
        for angle in angles:
            turned = [turn(still, angle) for still in stills]
            found = _people(network, turned)
            quality = [dice(still.mask, person) for still, person in zip(turned, found, strict=True)]
            error = [_difference(a[..., None], b[..., None], angle) for a, b in zip(upright, found, strict=True)]
            rows.append((angle, np.mean(quality), np.mean(error)))
        return pd.DataFrame(rows, columns=["angle_deg", "dice", "equivariance_error"])

    return network.kept("rotations", [stills, angles], make)


def _people(network, stills):
    """The person's probability in each still."""
    return [maps["mask"][..., -1] for maps in in_order(network, stills)]


def _person(network, still):
    return _people(network, [still])[0]


def _difference(upright, found, angle, radius=0.45):
    """Relative difference of two maps (size, size, channels) within a circle, the first one turned by an angle, deg."""
    size = len(upright)
    middle = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    channels = [cv2.warpAffine(c, matrix, (size, size), flags=cv2.INTER_CUBIC) for c in np.moveaxis(upright, -1, 0)]
    expected = np.stack(channels, axis=-1)
    y, x = np.mgrid[:size, :size] - middle
    inside = np.hypot(x, y) < radius * size
    return float(np.linalg.norm((found - expected)[inside]) / np.linalg.norm(expected[inside]))


def turner(networks: dict[str, Network], still: Still, first_deg: float = 30.0) -> Callable[[float], tuple]:
    """What `widgets.TurnView` asks; the answer for the first angle is kept, others need the networks.

    Returns
    -------
    callable
        From an angle, deg, to the turned image (H, W, 3) and the person's probability (H, W) by network.
    """
    first, kept_masks = turn(still, first_deg), {}
    for name, network in networks.items():
        kept_masks[name] = network.kept("turned", first, partial(_person, network, first))

    def look(angle):
        turned = turn(still, angle)
        asked = angle != first_deg
        return turned.image, {name: _person(net, turned) for name, net in networks.items()} if asked else kept_masks

    return look


def feature_errors(path: Path | str, seed: int, size: int) -> pd.DataFrame:
    """Turn errors of untrained networks' features on a smooth picture, kept in a file.

    Parameters
    ----------
    path : path-like
        `.npz`.
    seed : int
        Of the weights.
    size : int
        Of the picture, px.

    Returns
    -------
    pandas.DataFrame
        network, batch normalization ("as initialised", "settled" on one picture, or "none"), 30 deg, 90 deg.
    """
    return kept(
        path, [seed, size, network_code("pose/scores/turned"), keras_backend()], lambda: _feature_errors(seed, size)
    )


def _feature_errors(seed, size):
    import keras

    from studykit.models.harmonic import harmonic_unet
    from studykit.models.unet import unet

    rows, widths = [], (8, 8, 8, 8, 8)
    for pixels, state in [(3, "as initialised"), (3, "settled"), (5, "as initialised"), (5, "settled"), (3, "none")]:
        keras.utils.set_random_seed(seed)
        build, name, layer = harmonic_unet, "harmonic U-Net", "features"
        if state == "none":
            build, name, layer = unet, "U-Net", "up1_conv2"
        model = build(widths=widths, kernel_size=pixels)
        model = settle(model, size) if state == "settled" else model
        errors = {f"{angle} deg": feature_turn_error(model, layer, angle, size) for angle in (30, 90)}
        rows.append({"network": f"{name} {pixels}x{pixels}", "batch normalization": state} | errors)
    return pd.DataFrame(rows)


def feature_turn_error(model: Any, layer: str, angle: float, size: int = 256) -> float:
    """Relative change of a network's features that turning does not explain, on a smooth picture.

    The picture is computed at each angle, not interpolated; features within 0.4 of its size from the middle count.

    Parameters
    ----------
    model : keras.Model
    layer : str
        Whose features turn with the picture, such as "features" of the harmonic U-Net.
    angle : float
        deg.
    size : int
        px.
    """
    import keras

    maps = keras.Model(model.input, model.get_layer(layer).output)
    upright, found = (keras.ops.convert_to_numpy(maps(_smooth_picture(size, a)))[0] for a in (0, angle))
    return _difference(upright, found, angle, radius=0.4)


def _smooth_picture(size, angle, width_px=24.0):
    """Gaussian blobs (1, size, size, 3), turned counter-clockwise by an angle, deg: exact, not interpolated."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    place = 0.17 * size * np.sqrt(rng.random(40)) * np.exp(2j * np.pi * rng.random(40) + 1j * np.deg2rad(angle))
    heights = rng.standard_normal((3, 40))
    blobs = [np.exp(-(np.abs(x - 1j * y - at) ** 2) / (2 * width_px**2)) for at in place]
    picture = np.tensordot(heights, blobs, 1)
    return np.moveaxis(picture / picture.std(), 0, -1)[None].astype("float32")


def settle(model: Any, size: int = 256) -> Any:
    """Give batch normalization the statistics of one smooth picture, as training would."""
    for layer in model.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    model(_smooth_picture(size, 0), training=True)
    return model


def cost_table(networks: dict[str, Network]) -> pd.DataFrame:
    """What each network costs.

    Returns
    -------
    pandas.DataFrame
        network, parameters, multiply_adds (of one picture), predict_ms_per_image and train_ms_per_image.
    """
    rows = []
    for name, network in networks.items():
        measured = network.kept("cost", [], partial(_cost, network))
        rows.append({"network": name, "parameters": network.parameters} | measured)
        rows[-1]["train_ms_per_image"] = 1000 * network.seconds_per_image
    return pd.DataFrame(rows)


def _cost(network):
    from studykit.models.cost import ms_per_image, multiply_adds

    shape = (network.settings.size_px, network.settings.size_px, 3)
    work = multiply_adds(network.model, shape)
    return {"multiply_adds": work, "predict_ms_per_image": ms_per_image(network.model, shape)}
