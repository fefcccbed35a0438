"""Joints as maps beside a mask: the encodings of paper 003, section II-D3, and how joints are read from them again.

Every joint is a Gaussian with a standard deviation of 1 px in the network's image. "regression" paints all of them into
one map from 0 to 100, which says where joints are but not which; the others give every joint a channel, behind one
for the background:

- "softmax": 1 in the channel of the nearest joint wherever its Gaussian exceeds 0.01, elsewhere in the background's;
- "regression_softmax": the Gaussian's value in place of that 1 (so that channels do not add up to 1 there);
- "triple": the maps of "regression" and of "softmax".
"""

import numpy as np

from studykit.pose.codecs.peaks import highest_peaks, local_maxima

OUTPUTS = {  # maps beside the mask, by encoding
    "none": (),
    "regression": ("joint_map",),
    "softmax": ("joints",),
    "regression_softmax": ("joints",),
    "triple": ("joint_map", "joints"),
}
JOINTS = tuple(OUTPUTS)
TOP = 100.0  # of the regression's map; with 1 in its place all pixels converge to zero, says the paper
THRESHOLD = 0.01


def encode(
    keypoints: np.ndarray, height: int, width: int, joints: str, *, sigma_px: float = 1.0
) -> dict[str, np.ndarray]:
    """Target maps of one image.

    Parameters
    ----------
    keypoints : ndarray (K, 3)
        x, y in px of the image and visibility; unknown ones (0) are not painted.
    height, width : int
        Of the image, px.
    joints : str
        One of `JOINTS`.
    sigma_px : float

    Returns
    -------
    dict of ndarray float32, by output of the network
        "joint_map" (height, width, 1) and "joints" (height, width, 1 + K), as the encoding has them.

    Raises
    ------
    ValueError
        If the encoding is unknown.
    """
    if joints not in JOINTS:
        raise ValueError(f"joints: expected one of {', '.join(JOINTS)}, got {joints!r}")
    if joints == "none":
        return {}
    highest, nearest = _paint(keypoints, height, width, sigma_px)
    maps = {}
    if "joint_map" in OUTPUTS[joints]:
        maps["joint_map"] = TOP * highest[..., None]
    if "joints" in OUTPUTS[joints]:
        row, column = np.nonzero(highest > THRESHOLD)
        labels = np.zeros((height, width, 1 + len(keypoints)), np.float32)
        labels[..., 0] = highest <= THRESHOLD
        value = highest[row, column] if joints == "regression_softmax" else 1.0
        labels[row, column, 1 + nearest[row, column]] = value
        maps["joints"] = labels
    return maps


def _paint(keypoints, height, width, sigma_px):
    """The highest of all joints' Gaussians in each pixel, which reach 5 standard deviations, and whose it is."""
    highest, nearest = np.zeros((height, width), np.float32), np.zeros((height, width), int)
    reach = int(np.ceil(5 * sigma_px))
    for joint, (x, y, known) in enumerate(keypoints):
        if known <= 0:
            continue
        at = np.s_[_around(y, reach, height), _around(x, reach, width)]
        down, across = np.ogrid[at]
        gaussian = np.exp(-((down - y) ** 2 + (across - x) ** 2) / (2 * sigma_px**2))
        higher = gaussian > highest[at]
        highest[at][higher], nearest[at][higher] = gaussian[higher], joint
    return highest, nearest


def _around(centre, reach, size):
    middle = round(centre)
    return slice(max(middle - reach, 0), max(min(middle + reach + 1, size), 0))


def decode(maps: np.ndarray) -> np.ndarray:
    """Each joint at the highest pixel of its channel, as the paper takes it.

    Parameters
    ----------
    maps : ndarray (N, height, width, 1 + K)
        Probabilities, background first.

    Returns
    -------
    ndarray (N, K, 3) float32
        x, y, px, and the probability there.
    """
    return highest_peaks(maps[..., 1:], stride=1, method="cell")


def any_joints(height_map: np.ndarray, threshold: float, *, distance_px: int = 2) -> np.ndarray:
    """Places where a joint of any name is: local maxima of a map.

    Parameters
    ----------
    height_map : ndarray (height, width)
        The regression's map, or one minus the background's probability.
    threshold : float
        Lower ones do not count.
    distance_px : int
        No higher pixel is this near, across and down.

    Returns
    -------
    ndarray (peaks, 2) float32
        x, y, px.
    """
    _, row, column = local_maxima(height_map[..., None], threshold, reach=distance_px, first=False)
    return np.column_stack([column, row]).astype(np.float32)
