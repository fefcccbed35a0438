"""Keypoints from heat maps: the highest cell, and where between the cells the peak lies."""

import numpy as np

METHODS = ("cell", "quarter", "parabola")


def heatmap_peaks(maps, *, stride=4, method="parabola"):
    """One keypoint a map.

    Parameters
    ----------
    maps : ndarray (N, h, w, K)
        At least 3 cells each way.
    stride : int
        px a cell.
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
    n, h, w, k = maps.shape
    row, column = np.divmod(maps.reshape(n, h * w, k).argmax(axis=1), w)
    image, joint = np.arange(n)[:, None], np.arange(k)[None]

    def along(size, best, at):
        """Cells from the highest one to the peak, along one axis; the three cells lie within the map."""
        middle = best.clip(1, size - 2)
        low, mid, high = (np.asarray(at(middle + step), np.float64) for step in (-1, 0, 1))
        if method == "quarter":
            return np.where(middle == best, 0.25 * np.sign(high - low), 0.0)
        low, mid, high = (np.log(np.maximum(v, 1e-10)) for v in (low, mid, high))
        return (middle + vertex(low, mid, high) - best).clip(-0.5, 0.5)

    x, y = column.astype(float), row.astype(float)
    if method != "cell":
        x += along(w, column, lambda c: maps[image, row, c, joint])
        y += along(h, row, lambda r: maps[image, r, column, joint])
    points = [x * stride + (stride - 1) / 2, y * stride + (stride - 1) / 2, maps[image, row, column, joint]]
    return np.stack(points, axis=-1).astype(np.float32)


def vertex(low, middle, high, otherwise=0.0):
    """Where the parabola through three neighbouring values is highest, from the middle one; `otherwise` if nowhere."""
    bend = low - 2 * middle + high
    return np.where(bend < 0, (low - high) / np.where(bend < 0, 2 * bend, 1), otherwise)


def merge_flipped(maps, flipped, order):
    """Mean of the maps of an image and of its mirror image (flip test).

    Parameters
    ----------
    maps, flipped : ndarray (N, h, w, K)
        Of the image, and of the image mirrored left to right.
    order : sequence of int
        `skeletons.flip_order` of the keypoints.
    """
    return (maps + flipped[:, :, ::-1][..., order]) / 2


def gaussian_maps(keypoints, height, width, *, stride=4, sigma_px=8.0):
    """Heat maps: a Gaussian around each keypoint (Xiao et al. 2018, section 3.1; Newell et al. 2016, section 3.4).

    Its centre is the keypoint itself, not the nearest cell, so that `decoding.heatmap_peaks` finds it again exactly.

    Parameters
    ----------
    keypoints : ndarray (K, 3)
        x, y in px of the network's image and visibility.
    height, width : int
        Of the network's image, px.
    stride : int
        px a cell.
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


def cell_centres(rows, columns, stride):
    """x and y of the cells' centres, each (rows, columns), px; pixel centres lie at integers."""
    y, x = np.mgrid[:rows, :columns] * stride + (stride - 1) / 2
    return x, y
