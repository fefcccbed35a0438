"""What notebooks show of the tracks that `prediction.predict_study` left: confidence, speed, moments of a walk."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from studykit.study import Recording, recordings
from studykit.tracks import load_tracks
from studykit.video import read_selected


def frames_per_s(done: pd.DataFrame) -> float | None:
    """Frames per second over all recordings of `predict_study` whose time is known."""
    timed = done.dropna()
    return timed.frames.sum() / timed.seconds.sum() if len(timed) else None


def tracking_summary(done: pd.DataFrame) -> str:
    """How many recordings and frames `predict_study` tracked, and how fast."""
    speed = frames_per_s(done)
    return f"{len(done)} recordings, {done.frames.sum()} frames" + (f", {speed:.0f} frames/s." if speed else ".")


def confidence_table(
    study: pd.DataFrame, folder: Path | str, keypoints: Sequence[str], p_cutoff: float
) -> pd.DataFrame:
    """Confidence by view, from the tracks of `predict_study`, averaged per recording, then over recordings.

    Returns
    -------
    pandas.DataFrame
        view; of each keypoint the percentage of points whose confidence reaches `p_cutoff`; not_highest_percent, of
        points that are not the highest peak of their map.
    """
    rows = []
    for recording in filter(lambda one: one.video, recordings(study)):
        tracks = load_tracks(Path(folder) / f"{recording.name}.nc")
        kept = (tracks.confidence >= p_cutoff).mean(["time", "individuals"]).to_series()
        row = {name: 100 * float(kept[name]) for name in keypoints}
        rows.append({"view": recording.view} | row | {"not_highest_percent": tracks.attrs["not_highest_percent"]})
    return pd.DataFrame(rows).groupby("view").mean().reset_index()


def walks_to_show(study: pd.DataFrame, seen: Iterable[str]) -> list[list[Recording]]:
    """The views of every filmed walk, those of people who were not `seen` in training first."""
    walks = {}
    for recording in filter(lambda one: one.video, recordings(study)):
        walks.setdefault(recording.walk, []).append(recording)
    return sorted(walks.values(), key=lambda views: views[0].participant in set(seen))


def moments(
    views: Iterable[Recording], folder: Path | str, shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Title, frame and tracked points (K, 3) of the same moments of a walk, shares of its length, in all its views."""
    pictures = []
    for recording in views:
        points = track_points(load_tracks(Path(folder) / f"{recording.name}.nc"))
        numbers = [round(share * (len(points) - 1)) for share in shares]
        titles = [f"{recording.view}, {number / recording.fps:.2f} s" for number in numbers]
        pictures += zip(titles, read_selected(recording.video, numbers), points[numbers], strict=True)
    return pictures


def track_points(tracks: xr.Dataset) -> np.ndarray:
    """x, y and confidence of the first individual, (time, K, 3)."""
    one = tracks.isel(individuals=0)
    position = one.position.transpose("time", "keypoints", "space").values
    return np.concatenate([position, one.confidence.transpose("time", "keypoints").values[..., None]], axis=-1)
