"""Pinhole cameras: projection, and calibration files."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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
        0 where unknown.
    """

    K: np.ndarray
    R: np.ndarray
    t: np.ndarray
    width_px: int
    height_px: int

    @property
    def matrix(self) -> np.ndarray:
        """Projection matrix ``K [R | t]`` (3, 4)."""
        return self.K @ np.column_stack([self.R, self.t])

    @property
    def position(self) -> np.ndarray:
        """Place of the optical centre in the world (3,), m."""
        return -self.R.T @ self.t


def project(camera: Camera | np.ndarray, points: np.ndarray) -> np.ndarray:
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


def depth(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Distance (...) of points (..., 3) in front of the camera, m."""
    return np.asarray(points, float) @ camera.R[2] + camera.t[2]


def calibration_json(cameras: Mapping[str, Camera]) -> str:
    """Text of a calibration file, ``{view: {K, R, t, width_px, height_px}}``."""
    content = {view: asdict(camera) for view, camera in cameras.items()}
    return json.dumps(content, indent=1, default=np.ndarray.tolist) + "\n"


def read_cameras(recordings: Iterable) -> dict[str, Camera]:
    """Calibrated cameras of Recordings, by view, from the files that the Study table names; {} without any.

    Raises
    ------
    ValueError
        If a file lacks a view, or a view lacks K, R or t.
    """
    cameras = {}
    for recording in (recording for recording in recordings if recording.calibration):
        known = json.loads(Path(recording.calibration).read_text(encoding="utf-8")).get(recording.view, {})
        if missing := [key for key in ("K", "R", "t") if key not in known]:
            missing = ", ".join(missing)
            raise ValueError(f"{recording.calibration}: expected {missing} of view {recording.view}, got none")
        pose = {key: np.array(known[key], float) for key in ("K", "R", "t")}
        cameras[recording.view] = Camera(**pose, **{key: known.get(key, 0) for key in ("width_px", "height_px")})
    return cameras
