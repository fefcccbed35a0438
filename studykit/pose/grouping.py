"""From OpenPose's maps to people: peaks, connections along the fields, whole persons (Cao et al. 2017, section 2.4).

Everything is read on the network's own grid; peaks lie between its cells, fields are read between them too.
"""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from studykit.pose.codecs.peaks import local_peaks

MATCHINGS = ("optimal", "greedy")


def connect(peaks, fields, limbs, *, stride=8, samples=10, threshold=0.05, share=0.8, matching="optimal"):
    """Which peaks a limb joins: line integrals along the fields, and an assignment a limb (equations 11 to 14).

    Parameters
    ----------
    peaks : ndarray (N, 4)
        As from `peaks.local_peaks`.
    fields : ndarray (h, w, 2 L)
    limbs : sequence of (int, int)
    stride : float
    samples : int
        Points of the line between two peaks at which the field is read.
    threshold, share : float
        At least this share of them must agree with the line's direction by more than the threshold.
    matching : {"optimal", "greedy"}
        Assignment of the greatest sum, or the best pair first, as OpenPose does.

    Returns
    -------
    ndarray (M, 4)
        limb, id of its first and last peak, and score: the mean agreement, up to 1, less a penalty for lines longer
        than half the picture's height (published) and a small one for the square of the length: where legs of two
        people lie in one line, all connections agree with the field, and the more even ones are right.

    Raises
    ------
    ValueError
        If the matching is unknown, or the fields do not fit the limbs.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"matching: expected one of {', '.join(MATCHINGS)}, got {matching!r}")
    if fields.shape[2] != 2 * len(limbs):
        raise ValueError(f"fields: expected two maps a limb, {2 * len(limbs)}, got {fields.shape[2]}")
    ids = [np.flatnonzero(peaks[:, 0] == k) for k in range(int(np.max(limbs)) + 1)]
    pairs = [(n, *np.meshgrid(ids[a], ids[b], indexing="ij")) for n, (a, b) in enumerate(limbs)]
    limb = np.concatenate([np.full(first.size, n) for n, first, _ in pairs])
    first = np.concatenate([ends.ravel() for _, ends, _ in pairs])
    last = np.concatenate([ends.ravel() for _, _, ends in pairs])
    score, agreeing = _integrate(peaks[first, 1:3], peaks[last, 1:3], limb, fields, stride, samples, threshold)
    score = np.where((agreeing >= share) & (score > 0), score, 0.0)
    found, start = [], 0
    for n, ends, others in pairs:
        values = score[start : start + ends.size].reshape(ends.shape)
        start += ends.size
        rows, columns = linear_sum_assignment(-values) if matching == "optimal" else _greedy(values)
        ends, others, values = (grid[rows, columns] for grid in (ends, others, values))
        found.append(np.column_stack([np.full(len(rows), n), ends, others, values])[values > 0])
    return np.concatenate(found)


def _integrate(first, last, limb, fields, stride, samples, threshold):
    """Mean agreement of the field with each line, and the share of samples that agree."""
    h, w, _ = fields.shape
    along = last - first
    length = np.linalg.norm(along, axis=1)
    unit = along / np.maximum(length, 1e-6)[:, None]
    at = first[:, None] + along[:, None] * np.linspace(0, 1, samples)[:, None]
    cells = ((at - (stride - 1) / 2) / stride).clip(0, [w - 1, h - 1])
    corner = np.minimum(cells.astype(int), [w - 2, h - 2])
    (right, down), (x, y) = np.moveaxis(cells - corner, -1, 0), np.moveaxis(corner, -1, 0)
    agreement = 0.0
    for axis in (0, 1):
        channel = (limb + axis * (fields.shape[2] // 2))[:, None]
        upper = (1 - right) * fields[y, x, channel] + right * fields[y, x + 1, channel]
        lower = (1 - right) * fields[y + 1, x, channel] + right * fields[y + 1, x + 1, channel]
        agreement = agreement + ((1 - down) * upper + down * lower) * unit[:, axis, None]
    relative = np.maximum(length, 1e-6) / (0.5 * h * stride)
    penalty = np.minimum(1 / relative - 1, 0) - 0.1 * relative**2
    return agreement.mean(axis=1) + penalty, (agreement > threshold).mean(axis=1)


def _greedy(values):
    """Rows and columns of the best pair, then of the best of those left, and so on."""
    chosen, rows, columns = [], set(), set()
    for flat in np.argsort(-values, axis=None, kind="stable"):
        row, column = divmod(int(flat), values.shape[1])
        if row not in rows and column not in columns:
            chosen.append((row, column))
            rows.add(row)
            columns.add(column)
    return tuple(np.array(chosen, dtype=int).reshape(-1, 2).T)


def assemble(peaks, connections, keypoints, *, least_parts=4, least_score=0.2):
    """People: connections that share a peak are one person's, the surest connections first.

    A connection that would give a person two of the same keypoint is left out.

    Parameters
    ----------
    peaks : ndarray (N, 4)
    connections : ndarray (M, 4)
        As from `connect`.
    keypoints : int
        K.
    least_parts : int
        Who has fewer keypoints is nobody (OpenPose: 4).
    least_score : float
        Nor is who has a lower mean score of peaks and connections a keypoint.

    Returns
    -------
    people : ndarray (P, K, 3)
        x, y in px and score; NaN, NaN, 0 where a keypoint was not found. The surest person first.
    scores : ndarray (P,)
        Sum of the scores of a person's peaks and connections.
    """
    person_of, members = {}, {}  # peak -> person; person -> {keypoint: peak}
    totals = {}
    for _, first, last, score in connections[np.argsort(-connections[:, 3], kind="stable")]:
        ends = []
        for peak in (int(first), int(last)):
            if peak not in person_of:
                person_of[peak] = peak
                members[peak], totals[peak] = {int(peaks[peak, 0]): peak}, peaks[peak, 3]
            ends.append(person_of[peak])
        one, other = ends
        if one == other:
            totals[one] += score
        elif not members[one].keys() & members[other].keys():
            person_of |= dict.fromkeys(members[other].values(), one)
            members[one] |= members.pop(other)
            totals[one] += totals.pop(other) + score
    kept = [p for p, of in members.items() if len(of) >= least_parts and totals[p] >= least_score * len(of)]
    kept.sort(key=lambda p: -totals[p])
    people = np.full((len(kept), keypoints, 3), np.nan)
    people[..., 2] = 0
    for n, person in enumerate(kept):
        people[n, list(members[person])] = peaks[list(members[person].values()), 1:]
    return people, np.array([totals[p] for p in kept])


def group(maps, fields, limbs, *, stride=8, threshold=0.1, smooth_px=3.0, matching="optimal"):
    """People in a picture's maps: `peaks.local_peaks`, `connect` and `assemble` in turn.

    Parameters
    ----------
    maps : ndarray (h, w, K + 1)
        The last is the background's and not used.
    fields : ndarray (h, w, 2 L)
    limbs : sequence of (int, int)
    stride, threshold, smooth_px, matching
        See there.

    Returns
    -------
    people : ndarray (P, K, 3), and scores (P,)
    """
    peaks = local_peaks(maps[..., :-1], stride=stride, threshold=threshold, smooth_px=smooth_px)
    connections = connect(peaks, fields, limbs, stride=stride, matching=matching)
    return assemble(peaks, connections, maps.shape[2] - 1)


def limb_numbers(skeleton):
    """The limbs of a `skeletons.Skeleton` as pairs of keypoint numbers."""
    return [tuple(skeleton.keypoints.index(end) for end in limb) for limb in skeleton.limbs]


def peak_table(peaks, keypoints):
    """Peaks as a table: id, keypoint, x_px, y_px, score."""
    table = pd.DataFrame(peaks, columns=["keypoint", "x_px", "y_px", "score"])
    table["keypoint"] = [keypoints[int(k)] for k in table["keypoint"]]
    return table.rename_axis("id").reset_index()
