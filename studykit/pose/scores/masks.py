"""How good masks and joints are: Dice, the losses that paper 003 tabulates, PCK, and what becomes of turned images."""

from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd

from studykit.notebook import require
from studykit.pose.codecs.joint_maps import TOP, any_joints, decode
from studykit.pose.segmentation import dice, predict
from studykit.stills import PSEUDO_MASK

SCORES = {"joint_map": "squared_error", "joints": "cross_entropy"}  # what the other losses are called in tables
_ALIKE = ["architecture", "joints", "images", "epochs", "joints_weight", "parameters"]
ANY_JOINT = 0.2  # a map this high (of 1) says that some joint is here


def scores_table(found):
    """Scores as the paper gives them: a row a set with dice, and squared_error and cross_entropy where they apply.

    Parameters
    ----------
    found : dict of str to dict
        From `score`, by set.
    """
    rows = []
    for name, losses in found.items():
        others = {label: losses[f"{output}_loss"] for output, label in SCORES.items() if f"{output}_loss" in losses}
        rows.append({"set": name, "dice": 1 - losses["mask_loss"]} | others)
    return pd.DataFrame(rows)


def judge(model, settings, stills, about):
    """Every still's mask and joints, held against the truth.

    Parameters
    ----------
    model : keras.Model
    settings : Settings
    stills : StillSet
    about : pandas.DataFrame
        Of the same stills, as from `prepare`.

    Returns
    -------
    list of ndarray (height, width) uint8
        The person's probability, 255 for 1.
    pandas.DataFrame
        A row a still: source, participant, head_px, dice.
    pandas.DataFrame
        A row a still and known joint: source, keypoint, x_px, y_px, confidence (NaN where the encoding names no
        joints), error_px, nearest_px (from the nearest peak of any joint) and head_px; empty without joints.
    """
    masks, found, rows = [None] * len(stills), np.zeros(len(stills)), []
    for n, maps in predict(model, settings, stills):
        person = maps["mask"][..., -1]
        masks[n] = np.round(255 * person).astype(np.uint8)
        found[n] = dice(stills[n].mask, person)
        rows += _joint_rows(stills[n], maps, settings.keypoints, about.head_px[n])
    return masks, about.assign(dice=found), pd.DataFrame(rows)


def _joint_rows(still, maps, keypoints, head_px):
    if set(maps) == {"mask"}:
        return
    points = np.full((len(keypoints), 3), np.nan)
    if "joints" in maps:
        points = decode(maps["joints"][None])[0]
        places = any_joints(1 - maps["joints"][..., 0], ANY_JOINT)
    if "joint_map" in maps:
        places = any_joints(maps["joint_map"][..., 0], ANY_JOINT * TOP)
    for name, (x, y, confidence), (u, v, known) in zip(keypoints, points, still.keypoints, strict=True):
        if known:
            yield {
                "source": still.source,
                "keypoint": name,
                "x_px": x,
                "y_px": y,
                "confidence": confidence,
                "error_px": np.hypot(x - u, y - v),
                "nearest_px": np.hypot(*(places - (u, v)).T).min(initial=np.inf),
                "head_px": head_px,
            }


def pck_table(points, fraction=0.5):
    """Share of joints found within a fraction of the head's length, by joint and over all ("all").

    Parameters
    ----------
    points : pandas.DataFrame
        As from `judge`; people whose head is not known do not count, which in COCO is everybody.
    fraction : float

    Returns
    -------
    pandas.DataFrame
        keypoint, n, pck (NaN where the encoding names no joints), pck_any (some joint, of whatever name, was found
        that near), median_px.
    """
    points = points[points.head_px.notna()]
    if points.empty:
        return pd.DataFrame({"keypoint": ["all"], "n": 0, "pck": np.nan, "pck_any": np.nan, "median_px": np.nan})
    limit = fraction * points.head_px
    points = points.assign(
        pck=points.error_px <= limit, pck_any=points.nearest_px <= limit, n=1, median_px=points.error_px
    )
    whole = points.assign(keypoint="all")
    how = {"n": "sum", "pck": "mean", "pck_any": "mean", "median_px": "median"}
    table = pd.concat([part.groupby("keypoint", sort=False).agg(how) for part in (points, whole)]).reset_index()
    table.loc[table.median_px.isna(), "pck"] = np.nan
    return table


def mask_origin(stills):
    """Where the masks of stills come from: "exact" (simulated), "pseudo-masks" (a network's) or "drawn by hand"."""
    sources = {still.source for still in stills}
    if any(PSEUDO_MASK in source for source in sources):
        return "pseudo-masks"
    return "exact" if all(source.startswith("gaitlab") for source in sources) else "drawn by hand"


def read_runs(folder):
    """Scores of all runs of notebook 10 under `<derived>/segmentation`, a row a run and set.

    Raises
    ------
    FileNotFoundError
        If there is none, naming the notebook that makes them.
    """
    paths = sorted(Path(folder).glob("*/scores.csv"))
    require(paths[0] if paths else Path(folder) / "unet-none" / "scores.csv", made_by="10_train_segmentation")
    return pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)


def repeats(scores, run):
    """Scores of a run and of those that differ from it in nothing but the seed.

    Parameters
    ----------
    scores : pandas.DataFrame
        As from `read_runs`.
    run : str
    """
    own = scores.loc[scores.run == run, _ALIKE].iloc[0]
    return scores[(scores[_ALIKE] == own).all(axis=1)]


def turn(still, angle):
    """A still turned counter-clockwise about its middle by an angle, deg; beyond its border it is mirrored."""
    height, width = still.image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    image, mask = (
        cv2.warpAffine(part, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for part in (still.image, still.mask.astype(np.float32))
    )
    return replace(still, image=image, mask=mask > 0.5)


def rotation_table(networks, stills, angles):
    """Dice and equivariance of networks on turned pictures.

    Parameters
    ----------
    networks : dict of str to (model, Settings)
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
    rows = []
    for name, (model, settings) in networks.items():
        upright = [maps["mask"][..., -1] for _, maps in predict(model, settings, stills)]
        for angle in angles:
            turned = [turn(still, angle) for still in stills]
            found = [maps["mask"][..., -1] for _, maps in predict(model, settings, turned)]
            quality = np.mean([dice(still.mask, person) for still, person in zip(turned, found, strict=True)])
            errors = [
                _turned_difference(a[..., None], b[..., None], angle) for a, b in zip(upright, found, strict=True)
            ]
            rows.append((name, angle, quality, np.mean(errors)))
    return pd.DataFrame(rows, columns=["network", "angle_deg", "dice", "equivariance_error"])


def _turned_difference(upright, found, angle, radius=0.45):
    """Relative difference of two maps (size, size, channels) within a circle, the first one turned by an angle, deg."""
    size = len(upright)
    middle = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    channels = [cv2.warpAffine(c, matrix, (size, size), flags=cv2.INTER_CUBIC) for c in np.moveaxis(upright, -1, 0)]
    expected = np.stack(channels, axis=-1)
    y, x = np.mgrid[:size, :size] - middle
    inside = np.hypot(x, y) < radius * size
    return float(np.linalg.norm((found - expected)[inside]) / np.linalg.norm(expected[inside]))


def feature_turn_error(model, layer, angle, size=256):
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
    maps = keras.Model(model.input, model.get_layer(layer).output)
    upright, found = (keras.ops.convert_to_numpy(maps(_smooth_picture(size, a)))[0] for a in (0, angle))
    return _turned_difference(upright, found, angle, radius=0.4)


def _smooth_picture(size, angle, width_px=24.0):
    """Gaussian blobs (1, size, size, 3), turned counter-clockwise by an angle, deg: exact, not interpolated."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    place = 0.17 * size * np.sqrt(rng.random(40)) * np.exp(2j * np.pi * rng.random(40) + 1j * np.deg2rad(angle))
    heights = rng.standard_normal((3, 40))
    blobs = [np.exp(-(np.abs(x - 1j * y - at) ** 2) / (2 * width_px**2)) for at in place]
    picture = np.tensordot(heights, blobs, 1)
    return np.moveaxis(picture / picture.std(), 0, -1)[None].astype("float32")


def settle(model, size=256):
    """Give batch normalization the statistics of one smooth picture, as training would."""
    for layer in model.layers:
        if hasattr(layer, "momentum"):
            layer.momentum = 0.0
    model(_smooth_picture(size, 0), training=True)
    return model
