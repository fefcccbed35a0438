"""What networks are trained towards: keypoints as maps, and back."""

import numpy as np

from studykit.pose.codecs.heatmaps import cell_centres


def score_targets(keypoints, height, width, *, stride=8, radius_px=17.0, stdev_px=7.2801):
    """Score maps and location refinement of DeepLabCut (Insafutdinov et al. 2016, section 3).

    Parameters
    ----------
    keypoints : ndarray (K, 3)
        x, y in px of the network's image and visibility; occluded ones (1) count like visible ones (2).
    height, width : int
        Of the network's image, px.
    stride : int
        px a cell.
    radius_px : float
        `pos_dist_thresh`: cells whose centre is this near are positive.
    stdev_px : float
        `locref_stdev`: the unit of offsets.

    Returns
    -------
    scores : ndarray (h, w, 2 K) float32
        1 near the keypoint, else 0; then weights (1).
    offsets : ndarray (h, w, 4 K) float32
        x, then y from each cell's centre to the keypoint; then weights: 1 in positive cells.
    """
    x, y = cell_centres(height // stride, width // stride, stride)
    dx = keypoints[:, 0] - x[..., None]
    dy = keypoints[:, 1] - y[..., None]
    near = ((dx**2 + dy**2 <= radius_px**2) & (keypoints[:, 2] > 0)).astype(np.float32)
    scores = np.concatenate([near, np.ones_like(near)], axis=-1)
    offsets = np.concatenate([dx * near / stdev_px, dy * near / stdev_px, near, near], axis=-1)
    return scores, offsets.astype(np.float32)


def decode_scores(scores, offsets, *, stride=8, stdev_px=7.2801, neighbours=1, candidates=1, apart=2):
    """Keypoints from score maps and location refinement.

    Parameters
    ----------
    scores : ndarray (N, h, w, K)
        Logits.
    offsets : ndarray (N, h, w, 2 K)
        In units of `stdev_px`.
    stride, stdev_px : as in `score_targets`
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
        row, column = np.divmod(left.reshape(len(left), -1, left.shape[-1]).argmax(axis=1), left.shape[2])
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
