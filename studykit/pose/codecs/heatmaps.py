"""Heat maps: a Gaussian around each keypoint, and keypoints from them again."""

from collections.abc import Sequence

import numpy as np

from studykit.pose.codecs.peaks import highest_peaks

STRIDE = 4  # px per cell


def encode(
    keypoints: np.ndarray, height: int, width: int, *, stride: int = STRIDE, sigma_px: float = 8.0
) -> np.ndarray:
    """A Gaussian around each keypoint (Xiao et al. 2018, section 3.1; Newell et al. 2016, section 3.4).

    Its centre is the keypoint itself, not the nearest cell, so that `decode` finds it again exactly.

    Parameters
    ----------
    keypoints : ndarray (K, 3)
        x, y in px of the network's image and visibility.
    height, width : int
        Of the network's image, px.
    stride : int
        px per cell.
    sigma_px : float
        Standard deviation (Xiao et al.: 2 cells of 4 px).

    Returns
    -------
    ndarray (h, w, K) float32
        1 at the keypoint; NaN throughout the map of a keypoint that is unknown (visibility 0), which then does not
        count in `losses.MaskedMeanSquaredError`.
    """
    x, y = cell_centres(height // stride, width // stride, stride)
    across = np.exp(-((x[0, :, None] - keypoints[:, 0]) ** 2) / (2 * sigma_px**2))
    down = np.exp(-((y[:, 0, None] - keypoints[:, 1]) ** 2) / (2 * sigma_px**2))
    maps = down[:, None] * across[None]
    maps[..., np.asarray(keypoints)[:, 2] <= 0] = np.nan
    return maps.astype(np.float32)


def decode(maps: np.ndarray, method: str = "parabola", *, stride: int = STRIDE) -> np.ndarray:
    """One keypoint per map (N, h, w, K): (N, K, 3), px and confidence; see `peaks.highest_peaks`."""
    return highest_peaks(maps, stride=stride, method=method)


def merge_flipped(maps: np.ndarray, flipped: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Mean of the maps of an image and of its mirror image (flip test).

    Parameters
    ----------
    maps, flipped : ndarray (N, h, w, K)
        Of the image, and of the image mirrored left to right.
    order : sequence of int
        `skeletons.flip_order` of the keypoints.
    """
    return (maps + flipped[:, :, ::-1][..., order]) / 2


def cell_centres(rows: int, columns: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the cells' centres, each (rows, columns), px; pixel centres lie at integers."""
    y, x = np.mgrid[:rows, :columns] * stride + (stride - 1) / 2
    return x, y
