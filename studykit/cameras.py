"""Pinhole cameras: projection, and calibration files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes
    ----------
    K, R : ndarray (3, 3)
    t : ndarray (3,)
        Of ``X_camera = R X + t``, m.
    width_px, height_px : int
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    width_px: int
    height_px: int

    @property
    def matrix(self):
        """Projection matrix ``K [R | t]`` (3, 4)."""
        return self.K @ np.column_stack([self.R, self.t])

    @property
    def position(self):
        """Place of the optical centre in the world (3,), m."""
        return -self.R.T @ self.t


def project(camera, points):
    """Points (..., 3) in the world, m, to the image (..., 2), px.

    Parameters
    ----------
    camera : Camera or ndarray (3, 4)
        Or a projection matrix, as truth files hold.
    points : ndarray (..., 3)

    Returns
    -------
    ndarray (..., 2)
        x to the right, y down; NaN behind the camera.
    """
    matrix = getattr(camera, "matrix", camera)
    image = np.asarray(points, float) @ np.asarray(matrix)[:, :3].T + np.asarray(matrix)[:, 3]
    depth = np.where(image[..., 2:] > 0, image[..., 2:], np.nan)
    return image[..., :2] / depth


def depth(camera, points):
    """Distance (...) of points (..., 3) in front of the camera, m."""
    return np.asarray(points, float) @ camera.R[2] + camera.t[2]


def calibration_json(cameras):
    """Text of a calibration file, ``{view: {K, R, t, width_px, height_px}}``."""
    content = {
        view: {
            "K": camera.K.tolist(),
            "R": camera.R.tolist(),
            "t": camera.t.tolist(),
            "width_px": camera.width_px,
            "height_px": camera.height_px,
        }
        for view, camera in cameras.items()
    }
    return json.dumps(content, indent=1) + "\n"


def read_cameras(recordings):
    """Calibrated cameras of a trial's views from the file that the Study table names, {} without one.

    Raises
    ------
    ValueError
        If a file lacks a view, or a view lacks K, R or t.
    """
    cameras = {}
    for row in recordings.itertuples():
        if not row.calibration:
            continue
        known = json.loads(Path(row.calibration).read_text(encoding="utf-8"))
        camera = known.get(row.view, {})
        missing = [key for key in ("K", "R", "t") if key not in camera]
        if missing:
            raise ValueError(f"{row.calibration}: expected {', '.join(missing)} of view {row.view}, got none")
        cameras[row.view] = camera
    return cameras
