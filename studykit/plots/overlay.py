"""Poses drawn on frames: videos to look through."""

import itertools

import cv2
import matplotlib.colors
import numpy as np

from studykit.plots.style import LIMB_COLOURS
from studykit.skeletons import SKELETONS
from studykit.video import probe, read_frames, write_video

LIMBS = SKELETONS["gait6"].limbs


def draw_pose(image, points, keypoints, *, p_cutoff=0.6, scale=1.0):
    """One pose on a copy of an image.

    Parameters
    ----------
    image : ndarray (H, W, 3) uint8
    points : ndarray (K, 3)
        x, y, px, and confidence; hollow where it is below `p_cutoff`, left out where NaN.
    keypoints : sequence of str
        Names, as in gait6.
    scale : float
        px of the image a px of the points.

    Returns
    -------
    ndarray (H, W, 3) uint8
    """
    image, names = np.ascontiguousarray(image).copy(), list(keypoints)
    fine = 3  # OpenCV takes eighths of a pixel
    xy = np.round((np.nan_to_num(points[:, :2]) + 0.5) * scale * 2**fine - 2**fine / 2).astype(int)
    known = np.isfinite(points[:, :2]).all(axis=1)
    sure = known & (points[:, 2] >= p_cutoff)
    for a, b in LIMBS:
        if a in names and b in names and sure[names.index(a)] and sure[names.index(b)]:
            ends = tuple(tuple(xy[names.index(name)]) for name in (a, b))
            cv2.line(image, *ends, (255, 255, 255), 1, cv2.LINE_AA, fine)
    for k in np.flatnonzero(known):
        colour = [int(255 * c) for c in matplotlib.colors.to_rgb(LIMB_COLOURS[names[k]])]
        radius = 3 * 2**fine
        cv2.circle(image, tuple(xy[k]), radius + 2**fine, (255, 255, 255), -1 if sure[k] else 1, cv2.LINE_AA, fine)
        if sure[k]:
            cv2.circle(image, tuple(xy[k]), radius, colour, -1, cv2.LINE_AA, fine)
    return image


def write_overlay(views, path, *, scale=0.6, p_cutoff=0.6, quality=26):
    """A video of all views of a trial, one above the other, poses drawn.

    Parameters
    ----------
    views : dict of str to (path of the video, tracks)
        Tracks in the coordinates of the stored frames.
    path : path-like
        `.mp4`.
    scale : float
        Size of the result against the videos'.

    Returns
    -------
    int
        Number of frames.
    """
    streams = [_drawn(video, tracks, name, scale, p_cutoff) for name, (video, tracks) in views.items()]
    first = probe(next(iter(views.values()))[0])
    frames = (_stacked(images) for images in zip(*streams, strict=False))
    return write_video(frames, path, first.fps, quality=quality)


def _stacked(images):
    """Images of any size one above the other on black, even sizes as the encoder wants them."""
    width = max(image.shape[1] for image in images)
    width, height = width + width % 2, sum(image.shape[0] for image in images)
    out = np.zeros((height + height % 2, width, 3), np.uint8)
    top = 0
    for image in images:
        out[top : top + image.shape[0], : image.shape[1]] = image
        top += image.shape[0]
    return out


def _drawn(video, tracks, name, scale, p_cutoff):
    points = track_points(tracks)
    for number, frame in enumerate(itertools.islice(read_frames(video), len(points))):
        width, height = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        image = draw_pose(small, points[number], tracks.keypoints.values, p_cutoff=p_cutoff, scale=scale)
        text = f"{name}  {number / tracks.attrs['fps']:.2f} s"
        cv2.putText(image, text, (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        yield image


def track_points(tracks):
    """x, y and confidence of the first individual, (time, K, 3)."""
    one = tracks.isel(individuals=0)
    position = one.position.transpose("time", "keypoints", "space").values
    return np.concatenate([position, one.confidence.transpose("time", "keypoints").values[..., None]], axis=-1)
