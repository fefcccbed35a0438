"""How far detected keypoints are from the true ones: PCK, PCKh, body lengths, squared errors and their units."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def pck(
    predicted: np.ndarray,
    truth: np.ndarray,
    length: np.ndarray,
    fraction: float,
    keypoints: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Percentage of correct keypoints, as a share: detected within a fraction of a body length (Yang & Ramanan 2013).

    PCK@0.2 takes `torso_length_px` and 0.2, PCKh `head_length_px` and 0.5 (Andriluka et al. 2014).

    Parameters
    ----------
    predicted : ndarray (N, K, 2 or 3)
        x, y in px, and anything; NaN where nothing was detected, which counts as wrong.
    truth : ndarray (N, K, 3)
        x, y and visibility; unknown keypoints (0) don't count, occluded ones do.
    length : ndarray (N,)
        px; people of unknown (NaN) length don't count.
    fraction : float
    keypoints : sequence of str, optional
        Names; numbers if not given.

    Returns
    -------
    pandas.DataFrame
        keypoint, n, pck (NaN where n is 0); the last row, "all", is over all points.

    Raises
    ------
    ValueError
        If shapes do not fit, or a length is not above 0.
    """
    predicted, truth, length = _checked(predicted, truth), np.asarray(truth, float), np.asarray(length, float)
    if length.shape != truth.shape[:1] or (length <= 0).any():
        got = f"{length.shape}, smallest {np.nanmin(length, initial=np.inf):g}"
        raise ValueError(f"expected a length above 0 px per person ({len(truth)}), got {got}; mark unknown ones by NaN")
    counts = (truth[..., 2] > 0) & np.isfinite(length)[:, None]
    distance = np.linalg.norm(predicted - truth[..., :2], axis=2)
    correct = counts & (distance <= fraction * length[:, None])  # NaN is never correct
    n, hits = counts.sum(axis=0), correct.sum(axis=0)
    n, hits = np.append(n, n.sum()), np.append(hits, hits.sum())
    share = np.divide(hits, n, out=np.full(len(n), np.nan), where=n > 0)
    names = [*(keypoints if keypoints is not None else range(truth.shape[1])), "all"]
    return pd.DataFrame({"keypoint": names, "n": n, "pck": share})


def _checked(predicted, truth):
    """x and y of the predictions (N, K, 2), once their shape is that of the ground truth."""
    predicted, shape = np.asarray(predicted, float), np.shape(truth)
    if len(shape) != 3 or shape[2] != 3 or predicted.shape[:2] != shape[:2] or predicted.shape[2:] not in [(2,), (3,)]:
        got = f"{predicted.shape} and {shape}; bring both to the same people and skeleton"
        raise ValueError(f"expected predictions (N, K, 2 or 3) of a truth (N, K, 3), got {got}")
    return predicted[..., :2]


def torso_length_px(points: np.ndarray, keypoints: Sequence[str]) -> np.ndarray:
    """Left shoulder to right hip (N,) of points (N, K, 3), px, as usual for LSP; NaN where unknown or zero."""
    return _segment(points, keypoints, "left_shoulder", "right_hip")


def head_length_px(points: np.ndarray, keypoints: Sequence[str], *, lacking: bool = False) -> np.ndarray:
    """Upper neck, or neck where there is no upper neck, to head top (N,) of points (N, K, 3), px; NaN where unknown.

    A skeleton without them, such as COCO's, is an error unless `lacking`; then all head lengths are NaN.
    """
    neck = "upper_neck" if "upper_neck" in keypoints else "neck"
    if lacking and not {neck, "head_top"} <= set(keypoints):
        return np.full(len(points), np.nan)
    return _segment(points, keypoints, neck, "head_top")


def _segment(points, keypoints, first, last):
    names = list(keypoints)
    lacking = [name for name in (first, last) if name not in names]
    if lacking:
        got = f"{', '.join(names)}; choose another length"
        raise ValueError(f"expected a skeleton with {' and '.join(lacking)}, got {got}")
    a, b = (np.asarray(points, float)[:, names.index(name)] for name in (first, last))
    length = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    return np.where((a[:, 2] > 0) & (b[:, 2] > 0) & (length > 0), length, np.nan)


def distances_px(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of each keypoint (N, K) from the ground truth (N, K, 3), px; NaN where one of the two is unknown."""
    return np.where(truth[..., 2] > 0, np.linalg.norm(_checked(predicted, truth) - truth[..., :2], axis=2), np.nan)


def torso_distances(predicted: np.ndarray, truth: np.ndarray, keypoints: Sequence[str]) -> np.ndarray:
    """Distances of known keypoints from the ground truth (N, K, 3), in torso lengths, of people of known torso."""
    torso = torso_length_px(truth, keypoints)
    known = (truth[..., 2] > 0) & np.isfinite(torso)[:, None]
    return (distances_px(predicted, truth) / torso[:, None])[known]


def best_to_worst(predicted: np.ndarray, truth: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some people, evenly from the best detected to the worst, and their mean distances, px."""
    distance = distances_px(predicted, truth)
    known = np.isfinite(distance)
    mean = np.where(known, distance, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    order = np.argsort(mean)  # NaN last
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return chosen, mean[chosen]


def mse_normalised(predicted: np.ndarray, truth: np.ndarray, size: tuple[float, float] | np.ndarray) -> float:
    """Mean squared error of coordinates as shares of the image's width and height, over known keypoints.

    Parameters
    ----------
    predicted : ndarray (N, K, 2 or 3)
    truth : ndarray (N, K, 3)
    size : (width, height), or ndarray (N, 2)
        Of the images, px.

    Returns
    -------
    float
        Mean over x and y; NaN if a known keypoint was not detected, or none is known.
    """
    predicted, truth = _checked(predicted, truth), np.asarray(truth, float)
    size = np.broadcast_to(np.asarray(size, float), (len(truth), 2))
    known = ((predicted - truth[..., :2]) / size[:, None])[truth[..., 2] > 0]
    return float(np.mean(known**2)) if known.size else float("nan")


def mse_units(
    predicted: np.ndarray, truth: np.ndarray, mean_pose: np.ndarray, spread: np.ndarray, size_px: int
) -> pd.DataFrame:
    """The mean squared error of coordinates in every unit that an unnamed one could have.

    Parameters
    ----------
    predicted : ndarray (N, K, 2 or 3)
        px of pictures `size_px` wide and high.
    truth : ndarray (N, K, 3)
    mean_pose : ndarray (K, 2)
        Mean of the training people: what a network predicts that has learnt nothing from the picture.
    spread : ndarray (K, 2)
        Standard deviation of the training people's joints, px.
    size_px : int

    Returns
    -------
    pandas.DataFrame
        unit, network, mean_pose: the error of each.
    """
    known = truth[..., 2] > 0
    units = {
        "px of a picture of 224 px, squared": np.full_like(spread, size_px / 224),
        "shares of the picture's sides, 0 to 1": np.full_like(spread, size_px),
        "shares of half the sides, -1 to 1": np.full_like(spread, size_px / 2),
        "standard deviations of each joint": spread,
    }
    off = np.stack([predicted[..., :2], np.broadcast_to(mean_pose, (*truth.shape[:2], 2))]) - truth[..., :2]
    rows = [(unit, *((off / scale)[:, known] ** 2).mean(axis=(1, 2))) for unit, scale in units.items()]
    table = pd.DataFrame(rows, columns=["unit", "network", "mean_pose"])
    distance = np.linalg.norm(off, axis=-1)[:, known] / size_px
    table.loc[len(table)] = ["distance of found and true joint as a share of the picture", *distance.mean(axis=1)]
    return table


def known_moments(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K, 2) and standard deviation (K, 2) of known keypoints (N, K, 3)."""
    points = np.where(truth[..., 2:] > 0, truth[..., :2], np.nan)
    return np.nanmean(points, axis=0), np.nanstd(points, axis=0)
