"""OpenPose's JSON files, one per frame."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from studykit.formats.values import frame_numbers, stack_people, tracks_of
from studykit.skeletons import SKELETONS


def read_openpose(
    folder: str | Path,
    fps: float,
    width_px: int,
    height_px: int,
    *,
    skeleton: str = "",
    person: str = "largest",
    gaps: str = "refuse",
) -> xr.Dataset:
    """OpenPose JSON, one file per frame; a point that was not detected (0, 0, 0) becomes NaN with confidence 0.

    Parameters
    ----------
    folder : path-like
        Holds the `.json` files of one video; the last number of each name is its frame.
    fps, width_px, height_px
        As in `import_tracks`.
    skeleton : {"body25", "body25b", "openpose18", ""}
        "": by the number of points; BODY_25 and BODY_25B, both 25, by where hips and shoulders lie.
    person : {"largest", "all"}
        Of several people in a frame: the one with the largest box, or all in the file's order, which OpenPose does
        not keep from frame to frame.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`.

    Raises
    ------
    ValueError
        If files are missing, doubled or broken, or the points are those of another skeleton.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ValueError(f"{folder}: expected OpenPose files (.json), got none")
    if person not in ("largest", "all"):
        raise ValueError(f"person: expected 'largest' or 'all', got {person!r}")
    videos = sorted({re.sub(r"\d+(?=\D*$)", "*", file.stem) for file in files})
    if len(videos) > 1:
        raise ValueError(f"{folder}: expected the files of one video, got {len(videos)}: {', '.join(videos[:3])}")
    people = [_openpose_people(file) for file in files]
    counts = {len(points) for frame in people for points in frame}
    if len(counts) != 1:
        raise ValueError(f"{folder}: expected people with one number of points, got {sorted(counts) or 'nobody'}")
    if person == "largest":
        people = [[max(frame, key=_box_area)] if frame else [] for frame in people]
    values = stack_people(people)
    values[values[..., 2] == 0, :2] = np.nan
    skeleton = _openpose_skeleton(folder, values, skeleton)
    individuals = ["person"] if person == "largest" else [f"person_{i}" for i in range(values.shape[1])]
    names = SKELETONS[skeleton].keypoints
    frames = frame_numbers(folder, [file.stem for file in files])
    size = (fps, width_px, height_px)
    return tracks_of(folder, values, frames, names, individuals, size, f"OpenPose, {skeleton}", gaps)


def _openpose_people(file):
    try:
        people = json.loads(file.read_text(encoding="utf-8"))["people"]
        return [np.array(one["pose_keypoints_2d"], dtype=float).reshape(-1, 3) for one in people]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected OpenPose's people with pose_keypoints_2d, got none ({error})") from error


def _box_area(points):
    seen = points[points[:, 2] > 0, :2]
    return np.prod(np.ptp(seen, axis=0)) if len(seen) else 0.0


def _openpose_skeleton(folder, values, skeleton):
    """The skeleton that fits, or a refusal of the one asked for."""
    n = values.shape[2]
    fitting = [name for name in ("body25", "body25b", "openpose18") if len(SKELETONS[name].keypoints) == n]
    if not fitting or skeleton not in ("", *fitting):
        raise ValueError(f"{folder}: expected the points of {skeleton or 'body25, body25b or openpose18'}, got {n}")
    if n != 25:
        return fitting[0]
    # BODY_25's point 8 is between the hips (9, 12); BODY_25B's point 17 is between the shoulders (5, 6).
    off = {"body25": _off_middle(values, 8, 9, 12), "body25b": _off_middle(values, 17, 5, 6)}
    likely = min(off, key=off.get)
    if not np.isfinite(off[likely]):
        if not skeleton:
            raise ValueError(f"{folder}: expected hips or shoulders to tell body25 from body25b, got none; name it")
        return skeleton
    if skeleton not in ("", likely):
        raise ValueError(f"{folder}: expected {skeleton}, got points that lie as {likely}'s; name that one")
    return likely


def _off_middle(values, middle, end, other):
    """Median distance of a point from the middle of two others, as a share of the person's size."""
    xy = values[..., :2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames in which nothing was seen
        size = np.linalg.norm(np.nanmax(xy, axis=2) - np.nanmin(xy, axis=2), axis=-1)
        off = np.linalg.norm(xy[:, :, middle] - (xy[:, :, end] + xy[:, :, other]) / 2, axis=-1)
        return np.nan_to_num(np.nanmedian(off / size), nan=np.inf)
