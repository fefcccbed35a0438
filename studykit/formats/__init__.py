"""Keypoint files of other programs to tracks, and tracks to DeepLabCut.

DeepLabCut csv and h5 (labels and predictions, one or several animals), SLEAP .slp, OpenPose JSON (one file per frame),
COCO keypoint results and TRC in pixels. Coordinates are taken as they are: px, x right, y down. Recognized names become
canonical ones (`LAnkle`, `ankle_l` -> `left_ankle`), all others stay.
"""

from pathlib import Path
from typing import Any

import xarray as xr

from studykit.formats.coco import read_coco
from studykit.formats.deeplabcut import read_deeplabcut, write_deeplabcut
from studykit.formats.openpose import read_openpose
from studykit.formats.sleap import read_sleap
from studykit.formats.trc import read_trc
from studykit.formats.values import canonical_name
from studykit.tracks import load_tracks

__all__ = [
    "READERS",
    "canonical_name",
    "import_tracks",
    "read_coco",
    "read_deeplabcut",
    "read_openpose",
    "read_sleap",
    "read_trc",
    "write_deeplabcut",
]


READERS = {".h5": read_deeplabcut, ".csv": read_deeplabcut, ".slp": read_sleap, ".json": read_coco, ".trc": read_trc}


def import_tracks(path: str | Path, fps: float, width_px: int, height_px: int, **options: Any) -> xr.Dataset:
    """Tracks from a file or folder of any known format, told apart by its suffix.

    Parameters
    ----------
    path : path-like
        `.nc` (ours), `.csv` or `.h5` (DeepLabCut), `.slp` (SLEAP), `.json` (COCO results), `.trc` (in pixels), or a
        folder of OpenPose `.json` files.
    fps : float
        Frames per second; of a `.nc` file, its own is kept.
    width_px, height_px : int
        Size of the image; of a `.nc` file, its own is kept.
    **options
        Passed to that format's reader.

    Returns
    -------
    xarray.Dataset
        Tracks as in `studykit.tracks`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, the suffix is unknown, or the content is faulty.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a keypoint file or a folder of OpenPose JSON files, got none")
    if path.suffix == ".nc":
        return load_tracks(path)
    reader = read_openpose if path.is_dir() else READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected one of .nc, {', '.join(READERS)} or a folder, got {path.suffix!r}")
    return reader(path, fps, width_px, height_px, **options)
