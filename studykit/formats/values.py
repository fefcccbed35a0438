"""What every reader ends with: numbers by frame, person and keypoint become tracks."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from studykit.skeletons import LEG, POINTS
from studykit.tracks import build_tracks, log_step

GAPS = ("refuse", "nan", "close")
_KNOWN = {*POINTS, "neck", *LEG}
_BARE = {name.partition("_")[2] for name in POINTS if name.startswith("left_")}


def canonical_name(name: str) -> str:
    """The canonical name of a keypoint, or the name itself where it is not recognized.

    Examples
    --------
    >>> [canonical_name(name) for name in ("LAnkle", "Left_wrist", "big toe R", "Hand")]
    ['left_ankle', 'left_wrist', 'right_big_toe', 'Hand']
    """
    words = [w for w in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()) if w]
    words = ["toe" if word == "toes" else word for word in words]
    sides = {"l": "left", "r": "right", "left": "left", "right": "right"}
    side = next((sides[w] for w in (words[:1] + words[-1:]) if w in sides), None)
    bare = "_".join(w for w in words if w not in sides)
    if side is None and bare[:1] in ("l", "r") and bare[1:] in _BARE:
        side, bare = sides[bare[0]], bare[1:]
    found = f"{side}_{bare}" if side else bare
    return found if found in _KNOWN else str(name)


def frame_numbers(path: str | Path, names: Sequence[str]) -> np.ndarray:
    """The last number in each name of a frame (`img0042.png`); `path` is for the error."""
    found = [re.search(r"(\d+)(?:\.0)?\D*$", name.rpartition("/")[2]) for name in names]
    if None in found:
        raise ValueError(f"{path}: expected a frame number in each name, got {names[found.index(None)]!r}")
    return np.array([int(match[1]) for match in found])


def stack_people(frames: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Points (K, 3) of the people of each frame as one array (frame, individual, K, 3), NaN where there are fewer."""
    most = max(map(len, frames))
    empty = np.full_like(next(points for people in frames for points in people), np.nan, dtype=float)
    return np.array([[*people, *[empty] * (most - len(people))] for people in frames], dtype=float)


def tracks_of(
    path: str | Path,
    values: np.ndarray,
    frames: np.ndarray,
    names: Sequence[str],
    individuals: Sequence[str],
    size: tuple[float, int, int],
    software: str,
    gaps: str,
) -> xr.Dataset:
    """Tracks from the values of a file.

    Parameters
    ----------
    path : path-like
        Of the file or folder they come from.
    values : ndarray (frame, individual, keypoint, 3)
        x and y, px, and confidence; NaN where unknown.
    frames : ndarray (frame,)
        Their numbers, in any order.
    names, individuals : sequence of str
    size : (fps, width_px, height_px)
    software : str
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`.

    Raises
    ------
    ValueError
        If a frame comes twice or is missing, or there are no coordinates.
    """
    if gaps not in GAPS:
        raise ValueError(f"gaps: expected one of {', '.join(GAPS)}, got {gaps!r}")
    frames = np.asarray(frames).astype(int)
    order = np.argsort(frames, kind="stable")
    values, frames = values[order], frames[order]
    twice = frames[1:][np.diff(frames) == 0]
    if len(twice):
        raise ValueError(f"{path}: expected each frame once, got frame {twice[0]} again ({len(twice)} doubled frames)")
    if not np.isfinite(values[..., :2]).any():
        raise ValueError(f"{path}: expected coordinates, got none in any of {len(frames)} frames")
    missing = int(frames[-1] - frames[0] + 1 - len(frames))
    if missing and gaps == "refuse":
        after = frames[np.argmax(np.diff(frames) > 1)]
        raise ValueError(
            f"{path}: expected every frame from {frames[0]} to {frames[-1]}, got {missing} missing, the first after "
            f'frame {after}; set gaps (--gaps) to "nan" to fill them with NaN or to "close" if frames are not numbered'
        )
    if missing and gaps == "nan":
        filled = np.full((frames[-1] - frames[0] + 1, *values.shape[1:]), np.nan)
        filled[frames - frames[0]] = values
        values = filled
    about = dict(zip(("fps", "width_px", "height_px"), size, strict=True))
    about |= {"individuals": individuals, "source_software": software, "source_file": Path(path).name}
    places, confidence = values[..., :2].transpose(0, 3, 2, 1), values[..., 2].transpose(0, 2, 1)
    tracks = build_tracks(places, confidence, [canonical_name(name) for name in names], **about)
    tracks.attrs["first_frame"] = int(frames[0])
    return log_step(tracks, f"imported from {Path(path).name} ({software}); {missing} frames without a row, {gaps}")
