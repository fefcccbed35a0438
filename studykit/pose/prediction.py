"""Video to tracks with any network that detects keypoints: streamed, batched, in constant memory, resumable.

One compiled graph runs on batches of frames while a thread decodes the next ones. With dynamic cropping only the
surroundings of the person go through the network: the whole frame is searched at the start and whenever the person is
lost, and then the crop follows the walk. Where the network offers several candidates for a keypoint, the whole video
decides between them (`limb_paths`).
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm.auto import tqdm

from studykit.files import file_digest, read_json, write_text
from studykit.pose.examples.batches import ahead
from studykit.pose.limb_paths import choose_path
from studykit.stills import warp_image
from studykit.study import Recording, recordings
from studykit.tracks import build_tracks, load_tracks, log_step, save_tracks
from studykit.video import check_equal_length, probe, read_frames

_SURE = 0.5  # share of the frame's best confidence from which a keypoint helps to place the crop
_ANYBODY = 0.1  # best confidence below which a frame counts as empty; a network trained briefly is never sure
_MEMORY = 8  # frames from which the crop's motion is extrapolated
_TIMES = ".seconds.json"  # beside the tracks
_OFF_CENTRE = 0.2  # how far from the crop's centre the person may be before the frame is done again, share of the crop


@dataclass(frozen=True)
class Predictor:
    """A network that detects the keypoints of one person, and how to ask it.

    Attributes
    ----------
    network : network.Network
        Or whatever has a `name` and a Keras `model`: (N, H, W, 3) RGB 0 to 255 -> maps.
    keypoints : tuple of str
    decode : callable
        ``decode(maps) -> (N, C, K, 3)``: x, y in px of the network's image, and confidence 0 to 1, of C candidates,
        the most probable first.
    scale : float
        Network px per px of the frame.
    crop : tuple (width, height) or None
        Size of the crops, network px; None: the network always sees whole frames.
    multiple : int
        Sizes that the network takes are multiples of this.
    anchor : str or None
        Keypoint on which crops are centred; None: the box around all. The network must have been trained alike: a box
        around one labelled leg tells it which leg to find, and a crop placed by a mistake then repeats the mistake.
    limbs : tuple of (str, str)
        Keypoints whose distance hardly changes, by which `limb_paths` chooses between candidates.
    key : str
        Fingerprint of all that an answer depends on beside the video.
    """

    network: Any
    keypoints: tuple[str, ...]
    decode: Callable[[Any], np.ndarray]
    scale: float = 1.0
    crop: tuple[int, int] | None = None
    multiple: int = 32
    anchor: str | None = None
    limbs: tuple[tuple[str, str], ...] = ()
    key: str = ""

    @property
    def reach(self) -> np.ndarray:
        """How far from the middle of a crop its edges are, px of the frame, (2,)."""
        return np.array(self.crop) / 2 / self.scale

    def centre(self, found: np.ndarray) -> np.ndarray:
        """Where crops of these keypoints (N, C, K, 3) belong, (N, 2), px; NaN where no one is detected."""
        best = found[:, 0]
        centres = person_centre(best, self.reach)
        if self.anchor is None:
            return centres
        return np.where(np.isnan(centres), np.nan, best[:, self.keypoints.index(self.anchor), :2])

    def around(self, frames: Sequence[np.ndarray], centres: np.ndarray) -> np.ndarray:
        """Keypoints (N, C, K, 3) in px of the frames, looked for in crops around centres (N, 2)."""
        width, height = self.crop
        corners = (np.array([width, height]) - 1) / 2 - self.scale * np.asarray(centres)
        images = [
            warp_image(frame, np.array([[self.scale, 0, x], [0, self.scale, y]]), width, height)
            for frame, (x, y) in zip(frames, corners, strict=True)
        ]
        return self._ask(np.stack(images), corners)

    def whole(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Keypoints (N, C, K, 3) in px of the frames, looked for everywhere."""
        rows, columns = frames[0].shape[:2]
        width, height = (-(-round(n * self.scale) // self.multiple) * self.multiple for n in (columns, rows))
        matrix = np.array([[self.scale, 0, 0], [0, self.scale, 0]])
        images = np.stack([warp_image(frame, matrix, width, height) for frame in frames])
        return self._ask(images, np.zeros((len(frames), 2)))

    def _ask(self, images: np.ndarray, corners: np.ndarray) -> np.ndarray:
        # predict_on_batch runs the compiled graph; model.predict would build a pipeline around each call.
        found = np.array(self.decode(self.network.model.predict_on_batch(images)), dtype=float)
        found[..., :2] = (found[..., :2] - corners[:, None, None]) / self.scale
        return found


def predict_frames(predictor: Predictor, frames: Iterable[np.ndarray], *, batch_size: int = 8) -> Iterator[np.ndarray]:
    """Keypoints in a stream of frames.

    Parameters
    ----------
    predictor : Predictor
    frames : iterable of ndarray (H, W, 3) uint8
    batch_size : int

    Yields
    ------
    ndarray (n, C, K, 3)
        x, y, px of the frames, and confidence, of each candidate, for the next n frames.
    """
    frames = iter(frames)
    path = deque(maxlen=_MEMORY)  # (frame number, centre) of the last frames in which the person was found
    number = 0
    while chunk := list(islice(frames, batch_size)):
        numbers = np.arange(number, number + len(chunk))
        if predictor.crop is None:
            yield predictor.whole(chunk)
        else:
            found, centres = _follow(predictor, chunk, _extrapolate(path, numbers))
            path.extend((n, c) for n, c in zip(numbers, centres, strict=True) if np.isfinite(c).all())
            yield found
        number += len(chunk)


def _follow(
    predictor: Predictor, chunk: list[np.ndarray], expected: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints in crops where the person is expected; frames where that fails are searched as a whole."""
    if expected is None:
        expected = _search(predictor, chunk)
    found = predictor.around(chunk, expected)
    centres = predictor.centre(found)
    off = np.abs(centres - expected).max(axis=1) * predictor.scale > _OFF_CENTRE * min(predictor.crop)
    lost = np.flatnonzero(off | np.isnan(centres).any(axis=1))
    if len(lost):
        frames = [chunk[i] for i in lost]
        again = predictor.around(frames, _search(predictor, frames))
        better = again[:, 0, :, 2].mean(axis=1) > found[lost, 0, :, 2].mean(axis=1)
        found[lost[better]] = again[better]
        centres = predictor.centre(found)
    return found, centres


def _search(predictor: Predictor, frames: list[np.ndarray]) -> np.ndarray:
    """Centres (N, 2) of the person: looked for in the first and the last whole frame, on a line between them."""
    ends = sorted({0, len(frames) - 1})
    found = np.concatenate([predictor.whole([frames[i]]) for i in ends])
    centres = predictor.centre(found)
    good = np.isfinite(centres).all(axis=1)
    if not good.any():
        middle = (np.array(frames[0].shape[1::-1]) - 1) / 2
        return np.tile(middle, (len(frames), 1))
    at = np.arange(len(frames))
    return np.stack([np.interp(at, np.array(ends)[good], centres[good, axis]) for axis in (0, 1)], axis=1)


def person_centre(found: np.ndarray, reach: float | np.ndarray = np.inf) -> np.ndarray:
    """Centre of the box around the keypoints that are sure, as sure goes in their frame.

    Parameters
    ----------
    found : ndarray (N, K, 3)
        x, y, px, and confidence.
    reach : float or ndarray (2,)
        Keypoints farther than this from the median of the sure ones, px, are strays and left out.

    Returns
    -------
    ndarray (N, 2), NaN where the frame looks empty or fewer than half of the keypoints are sure and near each other.
    """
    best = found[..., 2].max(axis=1, keepdims=True)
    sure = (found[..., 2] >= _SURE * best) & (best >= _ANYBODY)
    centres = np.full((len(found), 2), np.nan)
    for n, points in enumerate(found[..., :2]):
        if sure[n].any():
            near = (np.abs(points - np.median(points[sure[n]], axis=0)) <= reach).all(axis=1) & sure[n]
            if near.sum() * 2 >= len(points):
                centres[n] = (points[near].min(axis=0) + points[near].max(axis=0)) / 2
    return centres


def _extrapolate(path: Sequence[tuple[int, np.ndarray]], numbers: np.ndarray) -> np.ndarray | None:
    """Where the person should be, from a straight line through the last frames; None if too few are known."""
    if len(path) < _MEMORY // 2 or numbers[0] - path[-1][0] > _MEMORY:
        return None
    at = np.array([n for n, _ in path], dtype=float)
    lines = np.polyfit(at - numbers[0], np.array([c for _, c in path]), 1)
    return (numbers - numbers[0])[:, None] * lines[0] + lines[1]


def predict_video(
    predictor: Predictor,
    path: Path | str,
    *,
    flip: bool = False,
    batch_size: int = 8,
    mirrored: bool = False,
    on_frames: Callable[[int], Any] = lambda count: None,
) -> xr.Dataset:
    """Tracks of one video, in px of its stored frames.

    Parameters
    ----------
    predictor : Predictor
    path : path-like
    flip : bool
        Show the network the mirror image, and map what it finds back; equal to predicting on a flipped video and
        mirroring the tracks.
    batch_size : int
    mirrored : bool
        Whether the stored frames are flipped from what the camera saw; noted in the tracks.
    on_frames : callable, optional
        ``on_frames(n)`` after each batch, for a progress bar.

    Returns
    -------
    xarray.Dataset
        Positions wherever the network put them, with confidence; apply a cut-off later (`cut_off`). The attribute
        `not_highest_percent` says how many points are not the most probable candidate of their frame.

    Raises
    ------
    FileNotFoundError, ValueError
        If the video cannot be read to its end.
    """
    info = probe(path)
    stream = read_frames(path)
    frames = ahead((np.ascontiguousarray(frame[:, ::-1]) for frame in stream) if flip else stream, 2 * batch_size)
    found = []
    for points in predict_frames(predictor, frames, batch_size=batch_size):
        found.append(points)
        on_frames(len(points))
    candidates = np.concatenate(found).astype(np.float32).astype(float)
    limbs = [tuple(map(predictor.keypoints.index, limb)) for limb in predictor.limbs]
    chosen = choose_path(candidates, limbs, info.fps)
    found = np.take_along_axis(candidates, chosen[:, None, :, None], axis=1)[:, 0]
    if flip:
        found[..., 0] = info.width_px - 1 - found[..., 0]
    tracks = build_tracks(
        found[..., :2].transpose(0, 2, 1),
        found[..., 2],
        predictor.keypoints,
        info.fps,
        width_px=info.width_px,
        height_px=info.height_px,
        source_software=f"studykit {predictor.network.name}",
        source_file=Path(path).name,
        mirrored=mirrored,
    )
    tracks.attrs["not_highest_percent"] = round(100 * float((chosen > 0).mean()), 3)
    return log_step(tracks, "predicted on the mirror image, mapped back" if flip else "predicted")


def predict_study(
    predictor: Predictor, study: pd.DataFrame, folder: Path | str, *, batch_size: int = 8, progress: bool = True
) -> pd.DataFrame:
    """Tracks of every recording that has a video; each L2R recording is shown mirrored.

    Parameters
    ----------
    predictor : Predictor
    study : pandas.DataFrame
        Study table.
    folder : path-like
        Gets `<recording>.nc`; files made by the same network (`Predictor.key`) from the same video are kept, so that
        a run that was stopped goes on.
    batch_size : int
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        recording, frames, seconds (that the prediction took when it was made; NaN where that is unknown), predicted
        (False where the file was kept).

    Raises
    ------
    ValueError
        Naming every video that is faulty or that does not fit its twin view, before any work.
    """
    folder = Path(folder)
    filmed = [recording for recording in recordings(study) if recording.video]
    frames = check_videos(filmed)
    times = folder / _TIMES
    seconds = read_json(times, "delete it") if times.is_file() else {}
    rows = []
    with tqdm(total=sum(frames.values()), desc="predict", unit="frame", disable=not progress) as bar:
        for recording in filmed:
            name = recording.name
            target, mark = folder / f"{name}.nc", f"{predictor.key} {file_digest(recording.video)}"
            made = _made_by(target) != mark
            if made:
                start = time.perf_counter()
                how = {"flip": recording.direction == "L2R", "mirrored": bool(recording.mirrored)}
                tracks = predict_video(predictor, recording.video, batch_size=batch_size, on_frames=bar.update, **how)
                save_tracks(tracks.assign_attrs(near_side=recording.near_side, made_by=mark), target)
                seconds[name] = time.perf_counter() - start
                write_text(times, json.dumps(seconds, indent=1) + "\n")
            else:
                bar.update(frames[name])
            rows.append((name, frames[name], seconds.get(name, np.nan), made))
    for path in folder.glob("*.nc"):  # of recordings that the study no longer has
        if path.stem not in frames:
            path.unlink()
    return pd.DataFrame(rows, columns=["recording", "frames", "seconds", "predicted"])


def check_videos(filmed: Iterable[Recording]) -> dict[str, int]:
    """Frames of each recording by name; refuses faulty videos, wrong rates and views of unequal length, all at once."""
    faults, frames, walks = [], {}, {}
    for recording in filmed:
        try:
            info = probe(recording.video)
        except (OSError, ValueError) as error:
            faults.append(str(error))
            continue
        frames[recording.name] = info.frames
        walks.setdefault(recording.walk, {})[recording.view] = info
        if abs(info.fps - recording.fps) > 0.01 * recording.fps:
            faults.append(
                f"{recording.video}: expected {recording.fps:g} frames/s as the Study table says, got {info.fps:g}"
            )
    for views in walks.values():
        try:
            check_equal_length(views)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return frames


def _made_by(path: Path) -> str | None:
    try:
        return load_tracks(path).attrs.get("made_by") if path.is_file() else None
    except ValueError:
        return None
