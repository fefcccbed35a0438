"""Coordinates at once: each keypoint as a share of the crop's size from its centre (paper 004)."""

from collections.abc import Sequence

import numpy as np


def encode(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shares (2 K,) float32 of keypoints (K, 3), px of the crop; NaN where unknown (visibility 0)."""
    size = np.array([width, height])
    shares = (keypoints[:, :2] - (size - 1) / 2) / size
    return np.where(keypoints[:, 2:] > 0, shares, np.nan).astype(np.float32).ravel()


def decode(shares: np.ndarray, height: int, width: int) -> np.ndarray:
    """Keypoints (N, K, 3) of shares (N, 2 K): x, y in px of the crop, and 1, for they come without a confidence."""
    size = np.array([width, height])
    points = shares.reshape(len(shares), -1, 2) * size + (size - 1) / 2
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)


def merge_flipped(shares: np.ndarray, flipped: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Mean of the shares (N, 2 K) of an image and of its mirror image (flip test); `order`: `skeletons.flip_order`."""
    there, back = (one.reshape(len(one), -1, 2) for one in (shares, flipped))
    return (there + back[:, order] * [-1, 1]) / 2
