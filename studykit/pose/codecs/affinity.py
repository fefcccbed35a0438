"""OpenPose's maps: where the keypoints of all people in a picture lie, and which way their limbs point.

`peaks.local_peaks` and `grouping` read them again.
"""

from collections.abc import Sequence

import numpy as np

from studykit.pose.codecs.heatmaps import cell_centres

STRIDE = 8  # px per cell


def encode(
    people: np.ndarray,
    limbs: Sequence[tuple[int, int]],
    height: int,
    width: int,
    *,
    sigma_px: float = 7.0,
    reach_px: float = 8.0,
) -> dict[str, np.ndarray]:
    """Target maps of one picture by output, "maps" and "pafs"; see `confidence_maps` and `affinity_fields`."""
    return {
        "maps": confidence_maps(people, height, width, sigma_px=sigma_px),
        "pafs": affinity_fields(people, limbs, height, width, reach_px=reach_px),
    }


def confidence_maps(
    people: np.ndarray, height: int, width: int, *, stride: int = STRIDE, sigma_px: float = 7.0
) -> np.ndarray:
    """Where each keypoint of anybody lies (Cao et al. 2017, equations 6 and 7), and the background.

    A Gaussian around each person's keypoint; of several people the highest value counts, so that neighbouring peaks
    stay apart, where their mean would flatten them.

    Parameters
    ----------
    people : ndarray (P, K, 3)
        x, y in px of the network's image and visibility; occluded keypoints (1) count, unknown ones (0) are nowhere.
    height, width : int
        Of the network's image, px.
    stride : int
        px per cell.
    sigma_px : float
        Standard deviation of the Gaussians.

    Returns
    -------
    ndarray (h, w, K + 1) float32
        0 to 1; the last map is the background's: 1 less the highest of the others.
    """
    people = np.asarray(people, dtype=float)
    x, y = cell_centres(height // stride, width // stride, stride)
    across = np.exp(-((x[0, :, None, None] - people[..., 0]) ** 2) / (2 * sigma_px**2))
    down = np.exp(-((y[:, 0, None, None] - people[..., 1]) ** 2) / (2 * sigma_px**2)) * (people[..., 2] > 0)
    maps = np.zeros((*x.shape, people.shape[1] + 1), np.float32)
    for p in range(len(people)):
        np.maximum(maps[..., :-1], down[:, None, p] * across[None, :, p], out=maps[..., :-1])
    maps[..., -1] = 1 - maps[..., :-1].max(axis=-1)
    return maps


def affinity_fields(
    people: np.ndarray,
    limbs: Sequence[tuple[int, int]],
    height: int,
    width: int,
    *,
    stride: int = STRIDE,
    reach_px: float = 8.0,
) -> np.ndarray:
    """Which way each limb points, in the cells it covers (Cao et al. 2017, equations 8 to 10).

    Parameters
    ----------
    people : ndarray (P, K, 3)
        As in `confidence_maps`; a limb of which one end is unknown has no field.
    limbs : sequence of (int, int)
        First and last keypoint of each limb.
    height, width, stride : as in `confidence_maps`
    reach_px : float
        How far from the limb's line a field reaches, px; also beyond its ends, as in the published code, for else a
        limb shorter than a cell might have none.

    Returns
    -------
    ndarray (h, w, 2 L) float32
        x of the unit vector along each limb, then y; 0 away from it, the mean where limbs of several people overlap.
    """
    people, limbs = np.asarray(people, dtype=float), np.asarray(limbs)
    x, y = cell_centres(height // stride, width // stride, stride)
    cells = np.stack([x, y], axis=-1)[:, :, None]
    total = np.zeros((*x.shape, len(limbs), 2), np.float32)
    count = np.zeros((*x.shape, len(limbs), 1), np.float32)
    for person in people:
        first, last = person[limbs[:, 0]], person[limbs[:, 1]]
        length = np.linalg.norm(last[:, :2] - first[:, :2], axis=1)
        there = (first[:, 2] > 0) & (last[:, 2] > 0) & (length > 1e-6)
        unit = (last[:, :2] - first[:, :2]) / np.maximum(length, 1e-6)[:, None]
        away = cells - first[:, :2]
        along = (away * unit).sum(axis=-1)
        beside = away[..., 0] * unit[:, 1] - away[..., 1] * unit[:, 0]
        covered = there & (along >= -reach_px) & (along <= length + reach_px) & (np.abs(beside) <= reach_px)
        total += covered[..., None] * unit
        count += covered[..., None]
    fields = total / np.maximum(count, 1)
    return np.concatenate([fields[..., 0], fields[..., 1]], axis=-1)
