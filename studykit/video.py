"""Videos, frame by frame: what a file holds, its frames as a stream, two views of one length, and writing."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np

from studykit.files import replacing


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds, every packet of it counted.

    Attributes
    ----------
    path : pathlib.Path
    width_px, height_px : int
    fps : float
        Frames per second.
    frames : int
    """

    path: Path
    width_px: int
    height_px: int
    fps: float
    frames: int


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and number of frames of a video; faults of the file are found without decoding it.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    VideoInfo

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no video, is cut off, holds no frames, or its frame rate varies.
    """
    path = Path(path)
    with _open(path) as (container, stream):
        times = [packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None]
        promised, base = stream.frames, stream.time_base
        size, rate = (stream.codec_context.width, stream.codec_context.height), stream.average_rate
    if not times:
        raise ValueError(f"{path}: expected at least one frame, got a video without frames")
    if promised and len(times) < promised:
        raise ValueError(
            f"{path}: expected {promised} frames, as the file's header says, got {len(times)}; "
            "the file is truncated, copy it again"
        )
    steps = np.diff(np.sort(times)) * float(base)
    # Clocks of coarse containers (Matroska: 1 ms) round the step, so a steady rate may show steps one tick apart.
    if len(steps) and np.ptp(steps) > 2 * float(base) + 0.02 * np.median(steps):
        raise ValueError(
            f"{path}: expected a constant frame rate, got steps of {steps.min():.4f} to {steps.max():.4f} s; "
            f"re-encode it, as by: ffmpeg -i {path.name} -r {1 / np.median(steps):.0f} constant.mp4"
        )
    fps = 1 / float(np.mean(steps)) if len(steps) else float(rate or 0)
    # The mean step of a coarse clock is close to, not equal to, the nominal rate, which is then the better number.
    if rate and abs(float(rate) - fps) < 1e-3 * fps:
        fps = float(rate)
    return VideoInfo(path, *size, fps, len(times))


def read_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Frames of a video, one after the other; memory does not grow with its length.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    ndarray (H, W, 3) uint8
        RGB.

    Raises
    ------
    FileNotFoundError, ValueError
        As `probe`, where it shows on the way: no video, no frames, or fewer than the header promises.
    """
    for frame in _frames(path):
        yield frame.to_ndarray(format="rgb24")


def _frames(path, stop=None):
    """Decoded frames, not yet in RGB, up to a number."""
    path, seen = Path(path), 0
    with _open(path) as (container, stream):
        stream.codec_context.thread_count = 1
        promised = stream.frames
        for frame in islice(container.decode(stream), stop):
            seen += 1
            yield frame
    if seen == 0:
        raise ValueError(f"{path}: expected at least one frame, got a video without frames")
    wanted = promised if stop is None else min(stop, promised or stop)
    if seen < wanted:
        raise ValueError(f"{path}: expected {wanted} frames, got {seen} that can be decoded; copy the file again")


def read_selected(path: str | Path, numbers: Iterable[int]) -> list[np.ndarray]:
    """Some frames of a video by their numbers, in the order asked for.

    Parameters
    ----------
    path : path-like
    numbers : sequence of int
        From 0.

    Returns
    -------
    list of ndarray (H, W, 3) uint8
    """
    wanted = {int(n) for n in numbers}
    stream = enumerate(_frames(path, stop=max(wanted, default=-1) + 1))
    found = {n: frame.to_ndarray(format="rgb24") for n, frame in stream if n in wanted}
    missing = sorted(wanted - set(found))
    if missing:
        raise ValueError(f"{path}: expected a frame {missing[0]}, counted from 0, got a video that ends before it")
    return [found[int(n)] for n in numbers]


def check_equal_length(views: Mapping[str, VideoInfo]) -> None:
    """Refuse views of one trial that do not have equally many frames at one rate.

    Parameters
    ----------
    views : dict of str to VideoInfo
        By view name.

    Raises
    ------
    ValueError
        Naming the first video that differs, and the way out.
    """
    (name, first), *others = views.items()
    for other_name, other in others:
        if other.frames != first.frames:
            raise ValueError(
                f"{other.path}: expected the same number of frames in both views, got {first.frames} ({name}) and "
                f"{other.frames} ({other_name}); cut both to the common clock"
            )
        if abs(other.fps - first.fps) > 1e-3 * first.fps:
            raise ValueError(
                f"{other.path}: expected the same frame rate in both views, got {first.fps:g} ({name}) and "
                f"{other.fps:g} ({other_name}) frames/s; re-encode one at the other's rate"
            )


def write_video(frames: Iterable[np.ndarray], path: str | Path, fps: float, quality: int = 23) -> int:
    """Write frames as H.264; the file appears under its name when it is complete.

    Parameters
    ----------
    frames : iterable of ndarray (H, W, 3) uint8
        RGB, all of one size; an odd row or column is left out, as H.264 wants even sizes.
    path : path-like
        Its suffix chooses the container (`.mp4`, `.mkv`).
    fps : float
    quality : int
        Constant rate factor of x264: 0 (lossless) to 51.

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    ValueError
        If there is no frame, or one is of another size.
    """
    frames, count = iter(frames), 0
    if (first := next(frames, None)) is None:
        raise ValueError(f"{path}: expected at least one frame to write, got none")
    height, width = (size // 2 * 2 for size in first.shape[:2])
    # One thread, for the same file everywhere; with macroblock trees x264 encodes one film in some thirty differently.
    options = {"crf": str(quality), "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
    with replacing(path) as temporary, av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container:
        container.metadata["creation_time"] = "1970-01-01T00:00:00Z"  # so that the same frames make the same file
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in chain([first], frames):
            if image.shape != first.shape:
                raise ValueError(f"{path}: expected all frames of one size {first.shape}, got {image.shape}")
            even = np.ascontiguousarray(image[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count


@contextmanager
def _open(path):
    """Container and video stream of a file that is one; a broken one is named where its frames are read within."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a video file, got none")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        hint = "an empty file" if path.stat().st_size == 0 else "one that cannot be opened; it may be truncated"
        raise ValueError(f"{path}: expected a video, got {hint}") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"{path}: expected a video, got a file without a video stream")
        try:
            yield container, container.streams.video[0]
        except av.FFmpegError as error:
            said = f"expected whole frames, got a broken file ({error.strerror}); copy it again"
            raise ValueError(f"{path}: {said}") from error
