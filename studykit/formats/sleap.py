"""SLEAP's .slp files: labels and predictions."""

import json
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from studykit.formats.values import tracks_of


def read_sleap(
    path: str | Path, fps: float, width_px: int, height_px: int, *, video: int = 0, gaps: str = "nan"
) -> xr.Dataset:
    """SLEAP labels or predictions (.slp); where a frame has both, the hand-made label of a track counts.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    video : int
        Which video of the file, from 0.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`; SLEAP leaves out frames in which nobody was found.

    Returns
    -------
    xarray.Dataset
        An individual a track, or, without tracks, in the order they stand in each frame. Labels have no confidence.

    Raises
    ------
    ValueError
        If the file is no SLEAP file of format 1 or 2, or holds nothing for that video.
    """
    path = Path(path)
    try:
        with h5py.File(path) as file:
            version = float(file["metadata"].attrs["format_id"])
            metadata = json.loads(file["metadata"].attrs["json"])
            frames, instances, points, predicted = (
                file[name][:] for name in ("frames", "instances", "points", "pred_points")
            )
            tracks = [json.loads(track)[1] for track in file["tracks_json"][:]] if len(file["tracks_json"]) else []
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a SLEAP file (.slp), got one without its tables ({error})") from error
    if not 1 <= version < 3:
        raise ValueError(f"{path}: expected SLEAP format 1 or 2, got {version:g}")
    frames = frames[frames["video"] == video]
    if not len(frames):
        raise ValueError(f"{path}: expected labelled frames of video {video}, got none")
    nodes = [metadata["nodes"][node["id"]]["name"] for node in metadata["skeletons"][0]["nodes"]]
    most = max(int(n) for n in frames["instance_id_end"] - frames["instance_id_start"])
    people = tracks or [f"person_{i}" for i in range(most)]
    values = np.full((len(frames), len(people), len(nodes), 3), np.nan)
    for i, frame in enumerate(frames):
        here = instances[frame["instance_id_start"] : frame["instance_id_end"]]
        # Predictions first, so that hand-made labels (type 0) overwrite them.
        for k, instance in enumerate(sorted(here, key=lambda one: one["instance_type"], reverse=True)):
            who = instance["track"] if tracks else k
            if who >= 0:
                source = predicted if instance["instance_type"] == 1 else points
                values[i, who] = _sleap_points(source[instance["point_id_start"] : instance["point_id_end"]])
    values[..., :2] -= 0.5 if version < 1.1 else 0  # before 1.1 pixel corners lay at integers
    return tracks_of(path, values, frames["frame_idx"], nodes, people, (fps, width_px, height_px), "SLEAP", gaps)


def _sleap_points(points):
    score = points["score"] if "score" in points.dtype.names else np.full(len(points), np.nan)
    values = np.stack([points["x"], points["y"], score], axis=1)
    values[~points["visible"].astype(bool)] = np.nan
    return values
