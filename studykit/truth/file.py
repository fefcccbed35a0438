"""What is known exactly about a trial: one netCDF file beside the videos."""

from pathlib import Path

import numpy as np
import xarray as xr

from studykit.cameras import project
from studykit.skeletons import POINTS
from studykit.tracks import read_netcdf, write_netcdf

OUTSIDE, OCCLUDED, VISIBLE = 0, 1, 2
SIDES = ("left", "right")


def build_truth(position_3d, cameras, fps, *, participant, trial, angles=None, joints=(), events=(), visibility=None):
    """Truth of a trial.

    Parameters
    ----------
    position_3d : ndarray (time, point, 3)
        Every point of `skeletons.POINTS`, world, m; NaN where a source has no such point.
    cameras : dict of str to Camera
        As they really stood in this trial.
    fps : float
    participant : str
    trial : int
    angles : ndarray (time, side, joint), optional
        Flexion, deg, left then right.
    joints : sequence of str
        Names of the angles.
    events : sequence of (time s, side, "heel_strike" or "toe_off")
    visibility : dict of str to ndarray (time, point), optional
        Without it, every point inside an image counts as visible.

    Returns
    -------
    xarray.Dataset
        `position_3d`, `keypoints`, `visibility`, `camera_matrix`, `angles`, `event_time`, `event_side`, `event_name`.
    """
    position_3d = np.asarray(position_3d, float)
    views, first = list(cameras), next(iter(cameras.values()))
    keypoints = np.stack([project(camera, position_3d) for camera in cameras.values()])
    inside = inside_image(keypoints, first.width_px, first.height_px)
    seen = np.full(inside.shape, VISIBLE) if visibility is None else np.stack([visibility[v] for v in views])
    angles = np.empty((len(position_3d), 2, 0)) if angles is None else angles
    attrs = {"fps": float(fps), "width_px": int(first.width_px), "height_px": int(first.height_px)}
    attrs |= {"participant": participant, "trial": int(trial), "views": ",".join(views)}
    return xr.Dataset(
        {
            "position_3d": (("time", "point", "axis"), position_3d, {"unit": "m"}),
            "keypoints": (("view", "time", "point", "space"), keypoints, {"unit": "px"}),
            "visibility": (("view", "time", "point"), np.where(inside, seen, OUTSIDE).astype(np.int8)),
            "camera_matrix": (("view", "row", "column"), np.stack([c.matrix for c in cameras.values()])),
            "angles": (("time", "side", "joint"), np.asarray(angles, float), {"unit": "deg"}),
            "event_time": ("event", np.array([time for time, _, _ in events], float), {"unit": "s"}),
            "event_side": ("event", np.array([side for _, side, _ in events], dtype=object)),
            "event_name": ("event", np.array([name for _, _, name in events], dtype=object)),
        },
        coords={
            "time": np.arange(len(position_3d)) / fps,
            "point": list(POINTS),
            "axis": ["x", "y", "z"],
            "space": ["x", "y"],
            "view": views,
            "side": list(SIDES),
            "joint": np.array(list(joints), dtype=object),
        },
        attrs=attrs,
    )


def inside_image(keypoints: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Whether points (..., 2) lie on a pixel of the image."""
    x, y = keypoints[..., 0], keypoints[..., 1]
    return (x >= -0.5) & (x < width_px - 0.5) & (y >= -0.5) & (y < height_px - 0.5)


def save_truth(truth: xr.Dataset, path: str | Path) -> None:
    """Write a truth file, atomically."""
    write_netcdf(truth, path)


def load_truth(path: str | Path) -> xr.Dataset:
    """Read a truth file, wholly into memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no truth file.
    """
    truth = read_netcdf(path, "truth")
    needed = ("position_3d", "keypoints", "visibility", "camera_matrix")
    if missing := [name for name in needed if name not in truth]:
        raise ValueError(f"{path}: expected a truth file with {', '.join(missing)}, got {list(truth.data_vars)}")
    return truth
