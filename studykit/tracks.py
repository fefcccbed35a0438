"""Tracks of keypoints over time, one `xarray.Dataset` in the schema of the *movement* package.

`position (time, space, keypoints, individuals)` in px and `confidence (time, keypoints, individuals)` from 0 to 1;
pixel centres lie at integers. `movement` opens what `save_tracks` writes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from studykit.files import replacing
from studykit.skeletons import LEG, convert

# movement brings numbagg, which xarray would use where it is installed: ten seconds of compiling for a first median,
# and last digits that depend on what is installed.
xr.set_options(use_numbagg=False)

DIMS = ("time", "space", "keypoints", "individuals")
_SYSTEMS = ("image", "walk")


def build_tracks(
    position: np.ndarray,
    confidence: np.ndarray | None,
    keypoints: Sequence[str],
    fps: float,
    *,
    width_px: int,
    height_px: int,
    individuals: Sequence[str] = ("person",),
    source_software: str = "",
    source_file: str | Path = "",
    mirrored: bool = False,
    coordinate_system: str = "image",
) -> xr.Dataset:
    """Tracks from plain arrays.

    Parameters
    ----------
    position : ndarray (time, 2, K) or (time, 2, K, individuals)
        x and y, px; NaN where unknown.
    confidence : ndarray (time, K) or (time, K, individuals), or None
        0 to 1; None where the source has none (NaN throughout).
    keypoints : sequence of str
        Canonical names (`studykit.skeletons`).
    fps : float
        Frames per second.
    width_px, height_px : int
        Size of the image the coordinates belong to.
    mirrored : bool
        Whether that image is flipped left-right from what the camera saw.
    coordinate_system : {"image", "walk"}
        "image": x right, y down; "walk": origin bottom right, x along a right-to-left walk, y up.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ValueError
        If shapes, rate or sizes do not fit.
    """
    position = np.asarray(position, dtype=float)
    if position.ndim == 3:
        position = position[..., None]
    if position.ndim != 4:
        raise ValueError(f"position: expected (time, 2, keypoints[, individuals]), got shape {position.shape}")
    times, _, n_keypoints, n_individuals = position.shape
    if confidence is None:
        confidence = np.full((times, n_keypoints, n_individuals), np.nan)
    confidence = np.asarray(confidence, dtype=float).reshape(times, n_keypoints, -1)
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number of frames per second, got {fps}")
    tracks = xr.Dataset(
        {"position": (DIMS, position), "confidence": (("time", "keypoints", "individuals"), confidence)},
        coords={
            "time": np.arange(times) / fps,
            "space": ["x", "y"],
            "keypoints": list(keypoints),
            "individuals": list(individuals),
        },
        attrs={
            "fps": float(fps),
            "time_unit": "seconds",
            "ds_type": "poses",
            "source_software": source_software,
            "source_file": str(source_file),
            "log": "[]",
            "width_px": int(width_px),
            "height_px": int(height_px),
            "mirrored": int(mirrored),
            "coordinate_system": coordinate_system,
        },
    )
    return validate_tracks(tracks)


def validate_tracks(tracks: xr.Dataset, name: str = "tracks") -> xr.Dataset:
    """The tracks themselves, or all their faults in one error.

    Raises
    ------
    ValueError
        Naming `name` and, for each fault, what was expected and what came.
    """
    faults = []
    for variable, dims in (("position", DIMS), ("confidence", ("time", "keypoints", "individuals"))):
        if variable not in tracks:
            faults.append(f"expected a variable {variable!r}, got {sorted(tracks.data_vars)}")
        elif tuple(d for d in tracks[variable].dims if d != "view") != dims:
            faults.append(f"expected {variable} with dimensions {dims}, got {tracks[variable].dims}")
    faults += [
        f"expected an attribute {key!r}, got {sorted(tracks.attrs)}"
        for key in ("fps", "width_px", "height_px", "mirrored", "coordinate_system")
        if key not in tracks.attrs
    ]
    if tracks.attrs.get("coordinate_system", "image") not in _SYSTEMS:
        faults.append(f"expected coordinate_system one of {_SYSTEMS}, got {tracks.attrs['coordinate_system']!r}")
    if not faults:
        faults += _clock_faults(tracks) + _value_faults(tracks)
    if faults:
        raise ValueError(f"{name}: " + "; ".join(faults))
    return tracks


def _clock_faults(tracks):
    time = tracks.time.values
    if len(time) == 0:
        return ["expected at least one frame, got none"]
    step = np.diff(time)
    if (step <= 0).any():
        first = int(np.argmax(step <= 0)) + 1
        return [f"expected each frame once and in order, got a repeated or earlier time at frame {first}"]
    if len(step) and not np.allclose(step, 1 / tracks.fps, rtol=0, atol=1e-3 / tracks.fps):
        return [f"expected frames every {1 / tracks.fps:.4f} s, got steps of {step.min():.4f} to {step.max():.4f} s"]
    return []


def _value_faults(tracks):
    faults = []
    if list(tracks.space.values) != ["x", "y"]:
        faults.append(f"expected space x, y, got {list(tracks.space.values)}")
    for dim in ("keypoints", "individuals"):
        names = list(tracks[dim].values)
        if len(set(names)) < len(names):
            faults.append(f"expected every name of {dim} once, got {names}")
    confidence = tracks.confidence.values
    if np.nanmin(confidence, initial=0) < 0 or np.nanmax(confidence, initial=0) > 1 + 1e-6:
        faults.append(f"expected confidence from 0 to 1, got up to {np.nanmax(np.abs(confidence)):.3g}")
    if np.isinf(tracks.position.values).any():
        faults.append("expected finite positions or NaN, got infinity")
    return faults


def log_step(tracks: xr.Dataset, text: str) -> xr.Dataset:
    """Tracks with one more line in their log of processing steps."""
    return tracks.assign_attrs(log=json.dumps([*json.loads(tracks.attrs.get("log", "[]")), text]))


def write_netcdf(data: xr.Dataset | xr.DataArray, path: str | Path) -> None:
    """Write a Dataset or a named DataArray as netCDF: the same bytes for the same data, atomically."""
    properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    properties.set_obj_track_times(False)  # which h5netcdf leaves on
    in_order = h5py.h5p.CRT_ORDER_TRACKED | h5py.h5p.CRT_ORDER_INDEXED  # as netCDF demands
    properties.set_link_creation_order(in_order)
    properties.set_attr_creation_order(in_order)
    with replacing(path) as temporary:
        created = h5py.File(h5py.h5f.create(os.fsencode(temporary), fcpl=properties))
        with created, h5netcdf.File(created, "w") as file:
            (data.to_dataset() if isinstance(data, xr.DataArray) else data).dump_to_store(H5NetCDFStore(file))


def read_netcdf(path: str | Path, what: str) -> xr.Dataset:
    """A netCDF file, read into memory.

    Parameters
    ----------
    path : path-like
    what : str
        What the file should hold, for errors: "tracks".

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no netCDF.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a {what} file (.nc), got none")
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: expected a netCDF file of {what}, got one that cannot be read ({error})") from error


def save_tracks(tracks: xr.Dataset, path: str | Path) -> None:
    """Write tracks as netCDF, atomically."""
    write_netcdf(tracks, path)


def load_tracks(path: str | Path) -> xr.Dataset:
    """Read tracks from netCDF into memory, and validate them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no netCDF, or its contents are not tracks.
    """
    return validate_tracks(read_netcdf(path, "tracks"), name=str(path))


def stack_views(views: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Tracks of several views of one trial along a new last dimension `view`.

    Parameters
    ----------
    views : dict of str to xarray.Dataset
        By view name; all with exactly the same clock and keypoints.

    Raises
    ------
    ValueError
        If clocks, keypoints or coordinates differ.
    """
    name, first = next(iter(views.items()))
    for other_name, other in views.items():
        if len(other.time) != len(first.time):
            raise ValueError(
                f"expected the same number of frames in both views, got {len(first.time)} ({name}) and "
                f"{len(other.time)} ({other_name}); cut both to their common clock first"
            )
        shared = ("time", "keypoints", "individuals")
        differ = [dim for dim in shared if not first.indexes[dim].equals(other.indexes[dim])]
        if first.attrs["coordinate_system"] != other.attrs["coordinate_system"]:
            differ.append("coordinate system")
        if differ:
            got = f"a difference between {name} and {other_name}"
            raise ValueError(f"expected the same {differ[0]} in both views, got {got}")
    dim = xr.Variable("view", list(views))
    return xr.concat(list(views.values()), dim, combine_attrs="override", join="exact").transpose(*DIMS, "view")


def select_side(tracks: xr.Dataset, side: str) -> xr.Dataset:
    """The leg of one side and the neck, as gait6 tracks.

    Parameters
    ----------
    tracks : xarray.Dataset
        With `left_`/`right_` keypoints; "neck" and "toe" are derived from shoulders and toe tips if need be.
    side : {"left", "right"}
        Anatomical side.

    Returns
    -------
    xarray.Dataset
        Keypoints neck, hip, knee, ankle, heel, toe; attribute `side`.

    Raises
    ------
    ValueError
        If the skeleton lacks a needed keypoint.
    """
    if side not in ("left", "right"):
        raise ValueError(f"side: expected 'left' or 'right', got {side!r}")
    source = [str(name) for name in tracks.keypoints.values]
    target = ["neck", *(f"{side}_{name}" for name in LEG)]
    if "neck" not in source and "upper_neck" in source and "left_shoulder" not in source:
        target[0] = "upper_neck"
    # (..., K, D): coordinates and confidence travel together, a midpoint is as sure as its weaker end.
    position = tracks.position.transpose("time", "individuals", "keypoints", "space").values
    confidence = tracks.confidence.transpose("time", "individuals", "keypoints").values
    points = convert(np.concatenate([position, confidence[..., None]], axis=-1), source, target)
    missing = [name for name in target if name not in source and np.isnan(points[..., target.index(name), :2]).all()]
    if missing:
        expected = f"keypoints {target} or points to derive them from"
        raise ValueError(f"expected {expected}, got none for {missing} in {source}")
    out = tracks.drop_dims("keypoints").assign_coords(keypoints=["neck", *LEG])
    out["position"] = (DIMS, points[..., :2].transpose(0, 3, 2, 1))
    out["confidence"] = (("time", "keypoints", "individuals"), points[..., 2].transpose(0, 2, 1))
    return out.assign_coords(space=["x", "y"]).assign_attrs(side=side)
