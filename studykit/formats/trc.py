"""TRC files with points in pixels, as Sports2D and marker trackers write them."""

from pathlib import Path

import numpy as np
import xarray as xr

from studykit.formats.values import tracks_of

_METRES = 20  # coordinates that all stay below it are no pixels of a person who walks past


def read_trc(path: str | Path, fps: float, width_px: int, height_px: int, *, gaps: str = "refuse") -> xr.Dataset:
    """TRC: tab-separated, x, y, z of each marker; here x and y in pixels, y down, and z the same throughout.

    Layout as in the OpenSim documentation, "Marker (.trc) Files": two lines of names and values, a line of the
    markers' names (each above three columns), one of X1 Y1 Z1 ..., then frame number, time in s and coordinates.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`; the rate must be that of the file.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`.

    Returns
    -------
    xarray.Dataset
        A TRC file has no confidence (NaN). A coordinate that is empty is NaN.

    Raises
    ------
    ValueError
        If the file is no TRC, has another rate, or its points are in metres or in space.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
        rate, names = float(head["DataRate"]), [name.strip() for name in lines[3].rstrip().split("\t")[2::3]]
        width = 2 + 3 * len(names)
        rows = [line.split("\t") for line in lines[5:] if line.strip()]
        cells = [[float(cell.strip() or "nan") for cell in (row + [""] * width)[:width]] for row in rows]
        table = np.array(cells).reshape(-1, width)
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: expected a TRC file, got something else ({error})") from error
    if not len(table) or not all(names):
        raise ValueError(f"{path}: expected markers with names and at least one frame, got {names} and {len(table)}")
    if abs(rate - fps) > 0.01 * fps:
        raise ValueError(f"{path}: expected {fps:g} frames/s, got a DataRate of {rate:g}")
    points = table[:, 2:].reshape(len(table), len(names), 3)
    _refuse_space(path, points)
    values = np.concatenate([points[..., :2], np.full((*points.shape[:2], 1), np.nan)], axis=-1)[:, None]
    return tracks_of(path, values, table[:, 0], names, ["person"], (fps, width_px, height_px), "TRC", gaps)


def _refuse_space(path, points):
    known = points[np.isfinite(points[..., :2]).all(axis=-1)]
    if len(known) and np.nanmax(known[:, 2], initial=0) - np.nanmin(known[:, 2], initial=0) > 0:
        way_out = "give the keypoints of each video, not the triangulated ones"
        raise ValueError(f"{path}: expected points in the image (z 0 throughout), got points in space; {way_out}")
    if len(known) and np.abs(known[:, :2]).max() < _METRES:
        way_out = "take the file in pixels (Sports2D: the one named _px_)"
        raise ValueError(f"{path}: expected pixels, got coordinates below {_METRES}, as in metres; {way_out}")
