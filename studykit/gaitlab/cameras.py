"""The cameras: pinholes on both sides of the walkway, as the experimenter thinks and as they really stand.

World frame: x along the walk (to the right in C1), y up, z towards C1, metres, floor at y = 0. A camera maps a point X
to ``K (R X + t)``; pixel centres lie at integers.
"""

from dataclasses import replace

import numpy as np

from studykit.cameras import Camera
from studykit.gaitlab.body import rotation, unit

VIEWS = ("C1", "C3")
# (position m, target m, focal length px at a width of 960, principal point as a share of the image)
_STANDS = {
    "C1": ((0.08, 1.15, 7.3), (0.0, 0.95, 0.0), 1040.0, (478 / 960, 268 / 540)),
    "C3": ((-0.12, 1.22, -7.1), (0.02, 0.97, 0.0), 1005.0, (484 / 960, 272 / 540)),
}


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
