"""Which of several candidates a keypoint is, frame by frame: the steadiest motion of limbs that keep their length.

A network that sees one frame at a time takes the far leg for the near one here and there. Its score map then has a
lower peak on the right leg. Where the legs cross, one stands and one swings, so that steady motion tells them apart.
"""

from collections.abc import Sequence

import numpy as np

# The cost of a path is in nats: what the network says counts `_TRUST` of its log probability (neighbouring frames err
# alike), limbs and motion count linearly up to a bound, so that one bad frame never decides.
_TRUST = 0.3
_LIMB_SHARE, _LIMB_BOUND = 0.15, 3.0  # deviation of a limb's length that costs 1, share of its median; most it costs
_ACCELERATION, _MOTION_BOUND = 20.0, 5.0  # what costs 1, body lengths (sum of the limbs) / s^2; most that it costs
_NOISE = 0.015  # of a position, body lengths: what costs 1 even at high frame rates
_KEPT = 16  # poses a frame that are followed
_LEAST = 1e-3  # probabilities below this count alike


def choose_path(candidates: np.ndarray, limbs: Sequence[tuple[int, int]], fps: float) -> np.ndarray:
    """The most plausible sequence of poses made of candidates.

    The exact minimum (Viterbi) over the `_KEPT` best poses of each frame, of second order: a state is the pose of a
    frame and of the one before, so that velocity must be steady, not small.

    Parameters
    ----------
    candidates : ndarray (time, C, K, 3)
        x, y in px and probability, the most probable first; NaN where there are fewer.
    limbs : sequence of (int, int)
        Pairs of keypoints, by number, whose distance hardly changes.
    fps : float
        Frames per second.

    Returns
    -------
    ndarray (time, K) of int
        Number of the chosen candidate of every keypoint.
    """
    candidates = np.asarray(candidates, float)
    if len(candidates) < 3:
        return np.zeros((len(candidates), candidates.shape[2]), int)
    lengths = {limb: _limb_length(candidates[:, 0], limb) for limb in limbs}
    chosen, cost = _poses(candidates, lengths)
    xy = np.take_along_axis(candidates[..., :2], chosen[..., None], axis=1)
    size = sum(lengths.values()) or 1.0
    scale = size * (_ACCELERATION / fps**2 + _NOISE)
    path = _smoothest(np.nan_to_num(xy, nan=1e6), cost, scale)
    return chosen[np.arange(len(path)), path]


def _limb_length(points, limb):
    start, end = limb
    return float(np.nanmedian(np.linalg.norm(points[:, start, :2] - points[:, end, :2], axis=-1)))


def _poses(candidates, lengths):
    """The best poses of each frame, (time, P, K) numbers of candidates, and their costs (time, P)."""
    frames, count, keypoints, _ = candidates.shape
    probability = np.maximum(np.nan_to_num(candidates[..., 2]), _LEAST)
    doubt = np.where(np.isfinite(candidates[..., 2]), -_TRUST * np.log(probability), 1e3)
    at = np.nan_to_num(candidates[..., :2], nan=1e6)
    chosen, cost = np.zeros((frames, 1, 0), int), np.zeros((frames, 1))
    rows = np.arange(frames)[:, None]
    for k in range(keypoints):
        wider = cost[:, :, None] + doubt[:, None, :, k]
        for (start, end), length in lengths.items():
            other = start if end == k else end
            if k in (start, end) and other < k:
                place = at[rows, chosen[:, :, other], other]
                off = np.abs(np.linalg.norm(place[:, :, None] - at[:, None, :, k], axis=-1) - length)
                wider = wider + np.minimum(off / (_LIMB_SHARE * length + 1e-9), _LIMB_BOUND)
        flat = wider.reshape(frames, -1)
        best = np.argsort(flat, axis=1, kind="stable")[:, :_KEPT]
        before, number = np.divmod(best, count)
        chosen = np.concatenate([chosen[rows, before], number[..., None]], axis=2)
        cost = np.take_along_axis(flat, best, axis=1)
    return chosen, cost


def _smoothest(xy, cost, scale):
    """Number of the pose in each frame, of xy (time, P, K, 2), that costs least with all accelerations."""
    frames, poses = cost.shape
    total = cost[0][:, None] + cost[1]
    came_from = np.zeros((frames, poses, poses), int)
    for t in range(2, frames):
        bend = np.linalg.norm(xy[t] - 2 * xy[t - 1][:, None] + xy[t - 2][:, None, None], axis=-1)
        longer = total[:, :, None] + np.minimum(bend / scale, _MOTION_BOUND).sum(axis=-1)
        came_from[t] = longer.argmin(axis=0)
        total = longer.min(axis=0) + cost[t]
    before, last = np.unravel_index(total.argmin(), total.shape)
    path = [last, before]
    for t in range(frames - 1, 1, -1):
        path.append(came_from[t, path[-1], path[-2]])
    return np.array(path[::-1])
