"""The one reader of peaks: the highest cell of each map or all local maxima, and where between the cells they lie."""

import cv2
import numpy as np
from scipy.ndimage import maximum_filter

METHODS = ("cell", "quarter", "parabola")
_BEFORE = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], bool)[..., None]  # neighbours of a cell that come before it


def highest_peaks(maps: np.ndarray, *, stride: float, method: str = "parabola") -> np.ndarray:
    """The highest peak of each map.

    Parameters
    ----------
    maps : ndarray (N, h, w, K)
        At least 3 cells each way.
    stride : float
        px per cell.
    method : {"parabola", "quarter", "cell"}
        "quarter": a quarter of a cell from the highest towards its higher neighbour, along each axis (Newell et al.
        2016; Xiao et al. 2018). "parabola": the vertex of the parabola through the logarithms of three cells, along
        each axis; exact for a Gaussian of any width (the second-order expansion of Zhang et al. 2020, section 3.2,
        without the mixed term). "cell": the highest cell's centre.

    Returns
    -------
    ndarray (N, K, 3) float32
        x, y in px of the network's image, and the height of the peak as confidence.

    Raises
    ------
    ValueError
        If the method is unknown, or maps are too small or hold NaN.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    maps = np.asarray(maps)
    if maps.ndim != 4 or min(maps.shape[1:3]) < 3 or np.isnan(maps).any():
        raise ValueError(f"heat maps: expected (N, h >= 3, w >= 3, K) without NaN, got {maps.shape}")
    row, column = highest_cells(maps)
    image, joint = np.ogrid[: maps.shape[0], : maps.shape[3]]

    def shift(values, best, middle):
        """Cells from the highest one to the peak, along one axis."""
        low, mid, high = values.astype(np.float64)
        if method == "quarter":
            return np.where(middle == best, 0.25 * np.sign(high - low), 0.0)
        return (middle + vertex(*np.log(np.maximum([low, mid, high], 1e-10))) - best).clip(-0.5, 0.5)

    x, y = column.astype(float), row.astype(float)
    if method != "cell":
        x += shift(*_three(column, maps.shape[2], lambda c: maps[image, row, c, joint]))
        y += shift(*_three(row, maps.shape[1], lambda r: maps[image, r, column, joint]))
    points = [x * stride + (stride - 1) / 2, y * stride + (stride - 1) / 2, maps[image, row, column, joint]]
    return np.stack(points, axis=-1).astype(np.float32)


def local_peaks(maps: np.ndarray, *, stride: float = 8, threshold: float = 0.1, smooth_px: float = 3.0) -> np.ndarray:
    """Local maxima of confidence maps; the row number of a peak is its id.

    Parameters
    ----------
    maps : ndarray (h, w, K)
        Without the background's.
    stride : float
        px per cell.
    threshold : float
        Lower maxima are no peaks.
    smooth_px : float
        Standard deviation of the Gaussian that maps are smoothed with, px (published: 3); 0: not at all.

    Returns
    -------
    ndarray (N, 4)
        keypoint, x, y (px) and score, by keypoint. x and y are the vertex of the parabola through the logarithms of
        three cells each, not smoothed, which is exact for a Gaussian.

    Raises
    ------
    ValueError
        If maps are smaller than 3 x 3 cells or hold NaN.
    """
    raw = maps = np.ascontiguousarray(maps, dtype=np.float32)
    h, w, _ = maps.shape
    if min(h, w) < 3 or np.isnan(maps).any():
        raise ValueError(f"confidence maps: expected at least 3 x 3 cells without NaN, got {maps.shape}")
    if smooth_px:
        maps = cv2.GaussianBlur(raw, (0, 0), smooth_px / stride, borderType=cv2.BORDER_REPLICATE).reshape(raw.shape)
    keypoint, row, column = local_maxima(maps, threshold)

    def place(values, best, middle):
        """The peak beside the best cell, half a cell from it at most."""
        away = vertex(*np.log(np.maximum(values, np.float32(1e-6))), otherwise=best - middle)
        return (middle + away).clip(best - 0.5, best + 0.5)

    x = place(*_three(column, w, lambda c: raw[row, c, keypoint]))
    y = place(*_three(row, h, lambda r: raw[r, column, keypoint]))
    offset = (stride - 1) / 2
    return np.column_stack([keypoint, x * stride + offset, y * stride + offset, maps[row, column, keypoint]])


def highest_cells(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (N, K) of the highest cell of maps (N, h, w, K), the first one of equals."""
    n, h, w, k = maps.shape
    return np.divmod(maps.reshape(n, h * w, k).argmax(axis=1), w)


def local_maxima(
    maps: np.ndarray, threshold: float, *, reach: int = 1, first: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of maps (h, w, K) above a threshold that no other one within `reach` cells exceeds: map, row, column.

    With `first`, only the first of equal neighbours counts (of those within one cell).
    """
    highest = maximum_filter(maps, size=(2 * reach + 1, 2 * reach + 1, 1), mode="constant", cval=-np.inf)
    peak = (maps == highest) & (maps > threshold)
    if first:
        peak &= maps > maximum_filter(maps, footprint=_BEFORE, mode="constant", cval=-np.inf)
    return np.nonzero(peak.transpose(2, 0, 1))


def vertex(low: np.ndarray, middle: np.ndarray, high: np.ndarray, otherwise: float | np.ndarray = 0.0) -> np.ndarray:
    """Where the parabola through three neighbouring values is highest, from the middle one; `otherwise` if nowhere."""
    bend = low - 2 * middle + high
    return np.where(bend < 0, (low - high) / np.where(bend < 0, 2 * bend, 1), otherwise)


def _three(best, size, at):
    """Values of three cells in a line around the best one, which lie within the map; the best, and their middle."""
    middle = best.clip(1, size - 2)
    return np.stack([at(middle + step) for step in (-1, 0, 1)]), best, middle
