"""The cameras: pinholes on both sides of the walkway, as the experimenter thinks and as they really stand.

World frame: x along the walk (to the right in C1), y up, z towards C1, metres, floor at y = 0. A camera maps a point X
to ``K (R X + t)``; pixel centres lie at integers.
"""

import json
from dataclasses import dataclass, replace

import numpy as np

from studykit.gaitlab.body import rotation, unit

VIEWS = ("C1", "C3")
# (position m, target m, focal length px at a width of 960, principal point as a share of the image)
_STANDS = {
    "C1": ((0.08, 1.15, 7.3), (0.0, 0.95, 0.0), 1040.0, (478 / 960, 268 / 540)),
    "C3": ((-0.12, 1.22, -7.1), (0.02, 0.97, 0.0), 1005.0, (484 / 960, 272 / 540)),
}


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


def look_at(position, target, focal_px, width_px, height_px, centre_px=None):
    """A level camera at `position` that looks at `target`; both (3,), m."""
    z = unit(np.asarray(target, float) - position)
    x = unit(np.cross(z, [0.0, 1.0, 0.0]))
    R = np.stack([x, np.cross(z, x), z])
    cx, cy = centre_px or ((width_px - 1) / 2, (height_px - 1) / 2)
    K = np.array([[focal_px, 0, cx], [0, focal_px, cy], [0, 0, 1.0]])
    return Camera(K, R, -R @ np.asarray(position, float), width_px, height_px)


def nominal_cameras(views=VIEWS, width_px=960, height_px=540):
    """The cameras as the experimenter knows them, {view: Camera}: two that face each other across the walkway.

    Raises
    ------
    ValueError
        For a view other than C1 and C3.
    """
    unknown = [view for view in views if view not in _STANDS]
    if unknown or not views:
        raise ValueError(f"views: expected some of {VIEWS}, got {list(views)}")
    cameras = {}
    for view in views:
        position, target, focal, (cx, cy) = _STANDS[view]
        centre = (cx * width_px, cy * height_px)
        cameras[view] = look_at(position, target, focal * width_px / 960, width_px, height_px, centre)
    return cameras


def moved(camera, shift_m, turn_deg, rng):
    """A camera that someone bumped into: shifted and turned about all three axes by normal amounts of these SDs."""
    turn = np.radians(turn_deg) * rng.normal(size=3)
    R = rotation("x", turn[0]) @ rotation("y", turn[1]) @ rotation("z", turn[2]) @ camera.R
    return replace(camera, R=R, t=-R @ (camera.position + shift_m * rng.normal(size=3)))


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
