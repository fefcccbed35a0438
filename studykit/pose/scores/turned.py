"""Rotation equivariance of networks for masks: turned pictures, features of untrained networks, and what it costs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from studykit.kept import kept
from studykit.pose.network import Network, backend, network_code
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


def _rotations(network: Network, stills: Sequence[Still], angles: list[float]) -> pd.DataFrame:
    def make() -> pd.DataFrame:
        upright, rows = _people(network, stills), []
        for angle in angles:
            turned = [turn(still, angle) for still in stills]
            found = _people(network, turned)
            quality = np.mean([dice(still.mask, person) for still, person in zip(turned, found, strict=True)])
            pairs = zip(upright, found, strict=True)
            rows.append((angle, quality, np.mean([_difference(a[..., None], b[..., None], angle) for a, b in pairs])))
        return pd.DataFrame(rows, columns=["angle_deg", "dice", "equivariance_error"])

    return network.kept("rotations", [stills, angles], make)


def _people(network: Network, stills: Sequence[Still]) -> list[np.ndarray]:
    """The person's probability in each still."""
    return [maps["mask"][..., -1] for maps in in_order(network, stills)]


def _difference(upright: np.ndarray, found: np.ndarray, angle: float, radius: float = 0.45) -> float:
    """Relative difference of two maps (size, size, channels) within a circle, the first one turned by an angle, deg."""
    size = len(upright)
    middle = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    channels = [cv2.warpAffine(c, matrix, (size, size), flags=cv2.INTER_CUBIC) for c in np.moveaxis(upright, -1, 0)]
    expected = np.stack(channels, axis=-1)
    y, x = np.mgrid[:size, :size] - middle
    inside = np.hypot(x, y) < radius * size
    return float(np.linalg.norm((found - expected)[inside]) / np.linalg.norm(expected[inside]))


def dice_lost(turned: pd.DataFrame) -> pd.Series:
    """Dice at the best angle less that at the worst, by network, from `rotation_table`."""
    return turned.groupby("network", sort=False).dice.agg(lambda dice: dice.max() - dice.min())


def equivariance_error(turned: pd.DataFrame) -> pd.Series:
    """Mean error between multiples of 90 deg, by network, from `rotation_table`."""
    return turned[turned.angle_deg % 90 != 0].groupby("network").equivariance_error.mean()


def rotation_text(turned: pd.DataFrame, people: int) -> str:
    """What turning costs each network, in words."""
    lost = dice_lost(turned)
    return (
        f"Mean of {people} test people. Between its best and its worst angle the U-Net loses {lost['U-Net']:.3f}, the "
        f"harmonic U-Net {lost['harmonic U-Net']:.3f}."
    )


def turner(
    networks: dict[str, Network], still: Still, first_deg: float = 30.0
) -> Callable[[float], tuple[np.ndarray, dict[str, np.ndarray]]]:
    """What `widgets.TurnView` asks; the answer for the first angle is kept, others need the networks.

    Returns
    -------
    callable
        From an angle, deg, to the turned image (H, W, 3) and the person's probability (H, W) by network.
    """
    first = turn(still, first_deg)
    kept_masks = {
        name: network.kept("turned", first, lambda network=network: _people(network, [first])[0])
        for name, network in networks.items()
    }

    def look(angle: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if angle == first_deg:
            return first.image, kept_masks
        turned = turn(still, angle)
        return turned.image, {name: _people(network, [turned])[0] for name, network in networks.items()}

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
    return kept(path, [seed, size, network_code("pose/scores/turned"), backend()], lambda: _feature_errors(seed, size))


def _feature_errors(seed: int, size: int) -> pd.DataFrame:
    import keras

    from studykit.models.harmonic import harmonic_unet
    from studykit.models.unet import unet

    rows, widths = [], (8, 8, 8, 8, 8)

    def measure(network: str, state: str, layer: str, build: Callable, **options: Any) -> None:
        keras.utils.set_random_seed(seed)
        model = build(widths=widths, **options)
        model = settle(model, size) if state == "settled" else model
        errors = {f"{angle} deg": feature_turn_error(model, layer, angle, size) for angle in (30, 90)}
        rows.append({"network": network, "batch normalization": state} | errors)

    for pixels in (3, 5):
        for state in ("as initialised", "settled"):
            measure(f"harmonic U-Net {pixels}x{pixels}", state, "features", harmonic_unet, kernel_size=pixels)
    measure("U-Net 3x3", "none", "up1_conv2", unet)
    return pd.DataFrame(rows)


def feature_text(errors: pd.DataFrame) -> str:
    """Whether 5x5 filters turn by 30 deg to 1 %, from `feature_errors`."""
    five = errors[errors.network == "harmonic U-Net 5x5"].set_index("batch normalization")["30 deg"]
    met = {state: "met" if error <= 0.01 else "missed" for state, error in five.items()}
    return (
        f"With 5x5 filters and a turn by 30 deg the error is {100 * five['as initialised']:.2f} % as initialised and "
        f"{100 * five['settled']:.2f} % with settled statistics: the bar of 1 % is {met['as initialised']} by the "
        f"former and {met['settled']} by the latter. By 90 deg, where the pixel grid is no obstacle, what is left is "
        "rounding."
    )


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


def _smooth_picture(size: int, angle: float, width_px: float = 24.0) -> np.ndarray:
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
        rows.append({"network": name, "parameters": network.parameters} | _cost(network))
        rows[-1]["train_ms_per_image"] = 1000 * network.seconds_per_image
    return pd.DataFrame(rows)


def _cost(network: Network) -> dict[str, float]:
    def make() -> dict[str, float]:
        from studykit.models.cost import ms_per_image, multiply_adds

        shape = (network.settings.size_px, network.settings.size_px, 3)
        work = multiply_adds(network.model, shape)
        return {"multiply_adds": work, "predict_ms_per_image": ms_per_image(network.model, shape)}

    return network.kept("cost", [], make)
