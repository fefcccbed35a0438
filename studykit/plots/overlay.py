"""Poses drawn on frames: videos to look through."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib.colors
import numpy as np
import xarray as xr

from studykit.plots.skeletons import limbs_of
from studykit.plots.style import keypoint_colour
from studykit.pose.tracked import track_points
from studykit.study import Recording
from studykit.tracks import load_tracks
from studykit.video import probe, read_frames, write_video


def draw_pose(
    image: np.ndarray, points: np.ndarray, keypoints: Sequence[str], *, p_cutoff: float = 0.6, scale: float = 1.0
) -> np.ndarray:
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
    for ends in ([names.index(a), names.index(b)] for a, b in limbs_of(names)):
        if sure[ends].all():
            cv2.line(image, *xy[ends].tolist(), (255, 255, 255), 1, cv2.LINE_AA, fine)
    for k in np.flatnonzero(known):
        colour = [int(255 * c) for c in matplotlib.colors.to_rgb(keypoint_colour(names[k]))]
        radius = 3 * 2**fine
        cv2.circle(image, tuple(xy[k]), radius + 2**fine, (255, 255, 255), -1 if sure[k] else 1, cv2.LINE_AA, fine)
        if sure[k]:
            cv2.circle(image, tuple(xy[k]), radius, colour, -1, cv2.LINE_AA, fine)
    return image


def write_overlay(
    views: Mapping[str, tuple[str | Path, xr.Dataset]], path: str | Path, *, scale: float = 0.6, p_cutoff: float = 0.6
) -> int:
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
    return write_video(frames, path, first.fps, quality=26)


def write_overlays(
    walks: Iterable[Sequence[Recording]], tracks: Path | str, folder: Path | str, *, p_cutoff: float = 0.6
) -> str:
    """A video of each walk in all its views, `<walk>.mp4`, and a sentence that names them.

    Parameters
    ----------
    walks : iterable of sequence of Recording
    tracks : path-like
        Folder of `prediction.predict_study`.
    folder : path-like
    """
    names = []
    for views in walks:
        videos = {one.view: (one.video, load_tracks(Path(tracks) / f"{one.name}.nc")) for one in views}
        names.append(f"{views[0].walk}.mp4")
        write_overlay(videos, Path(folder) / names[-1], p_cutoff=p_cutoff)
    return "".join(f"Overlay video of both views: `videos/{name}`, in the folder of the reports.\n\n" for name in names)


def _stacked(images):
    """Images of any size one above the other on black, even sizes as the encoder wants them."""
    width = max(image.shape[1] for image in images)
    whole = np.vstack([np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0))) for image in images])
    return np.pad(whole, ((0, whole.shape[0] % 2), (0, width % 2), (0, 0)))


def _drawn(video, tracks, name, scale, p_cutoff):
    points = track_points(tracks)
    for number, frame in enumerate(itertools.islice(read_frames(video), len(points))):
        width, height = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        image = draw_pose(small, points[number], tracks.keypoints.values, p_cutoff=p_cutoff, scale=scale)
        text = f"{name}  {number / tracks.attrs['fps']:.2f} s"
        cv2.putText(image, text, (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        yield image
