"""DeepLabCut's maps: cells near a keypoint and the way from each to it (Insafutdinov et al. 2016, section 3)."""

import numpy as np

from studykit.pose.codecs.heatmaps import cell_centres
from studykit.pose.codecs.peaks import highest_cells

STRIDE = 8  # px per cell
STDEV_PX = 7.2801  # the unit of offsets, DeepLabCut's `locref_stdev`


def encode(
    keypoints: np.ndarray,
    height: int,
    width: int,
    *,
    stride: int = STRIDE,
    radius_px: float = 17.0,
    stdev_px: float = STDEV_PX,
) -> dict[str, np.ndarray]:
    """Target maps of one image.

    Parameters
    ----------
    keypoints : ndarray (K, 3)
        x, y in px of the network's image and visibility; occluded ones (1) count like visible ones (2).
    height, width : int
        Of the network's image, px.
    stride : int
        px per cell.
    radius_px : float
        `pos_dist_thresh`: cells whose centre is this near are positive.
    stdev_px : float
        `locref_stdev`: the unit of offsets.

    Returns
    -------
    dict of ndarray float32, by output of the network
        "scores" (h, w, 2 K): 1 near the keypoint, otherwise 0; then weights (1). "offsets" (h, w, 4 K): x, then y
        from each cell's centre to the keypoint; then weights: 1 in positive cells.
    """
    x, y = cell_centres(height // stride, width // stride, stride)
    dx = keypoints[:, 0] - x[..., None]
    dy = keypoints[:, 1] - y[..., None]
    near = ((dx**2 + dy**2 <= radius_px**2) & (keypoints[:, 2] > 0)).astype(np.float32)
    scores = np.concatenate([near, np.ones_like(near)], axis=-1)
    offsets = np.concatenate([dx * near / stdev_px, dy * near / stdev_px, near, near], axis=-1)
    return {"scores": scores, "offsets": offsets.astype(np.float32)}


def decode(
    scores: np.ndarray,
    offsets: np.ndarray,
    *,
    stride: int = STRIDE,
    stdev_px: float = STDEV_PX,
    neighbours: int = 1,
    candidates: int = 1,
    apart: int = 2,
) -> np.ndarray:
    """Keypoints from score maps and location refinement.

    Parameters
    ----------
    scores : ndarray (N, h, w, K)
        Logits.
    offsets : ndarray (N, h, w, 2 K)
        In units of `stdev_px`.
    stride, stdev_px : as in `encode`
    neighbours : int
        0: the best cell with its offset, as DeepLabCut does. n > 0: the mean of what the cells around it, n to each
        side, say, weighted by their scores, which averages their errors.
    candidates : int
        Peaks of each map.
    apart : int
        Cells between one peak and the next one, at least.

    Returns
    -------
    ndarray (N, candidates, K, 3) float32
        x, y in px of the network's image, and the score of the best cell as probability; the most probable first.
    """
    left = scores.astype(np.float32)
    peaks = []
    for number in range(candidates):
        row, column = highest_cells(left)
        peaks.append(_refine(scores, offsets, row, column, stride, stdev_px, neighbours))
        if number + 1 < candidates:
            rows, columns = np.ogrid[: left.shape[1], : left.shape[2]]
            beside = abs(columns[..., None] - column[:, None, None]) <= apart
            left = np.where((abs(rows[..., None] - row[:, None, None]) <= apart) & beside, -np.inf, left)
    return np.stack(peaks, axis=1)


def _refine(scores, offsets, row, column, stride, stdev_px, neighbours):
    """Points (N, K, 3) around cells (N, K) of a score map."""
    n, h, w, k = scores.shape
    step = np.arange(-neighbours, neighbours + 1)
    rows = row[..., None, None] + step[:, None]
    columns = column[..., None, None] + step[None, :]
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    at = (np.arange(n)[:, None, None, None], rows.clip(0, h - 1), columns.clip(0, w - 1))
    each = np.arange(k)[None, :, None, None]
    probability = 1 / (1 + np.exp(-scores[(*at, each)].astype(np.float64)))
    weight = np.where(inside, probability, 0) + 1e-12
    weight /= weight.sum(axis=(2, 3), keepdims=True)
    x = columns * stride + (stride - 1) / 2 + stdev_px * offsets[(*at, each)]
    y = rows * stride + (stride - 1) / 2 + stdev_px * offsets[(*at, each + k)]
    points = [
        (x * weight).sum(axis=(2, 3)),
        (y * weight).sum(axis=(2, 3)),
        probability.max(axis=(2, 3), where=inside, initial=0),
    ]
    return np.stack(points, axis=-1).astype(np.float32)
