"""The demo of Pose2Sim as a Study: one man who balances along a beam, four synchronized cameras at 60 Hz, 100 frames.

Two pairs of cameras face each other: trial 1 is cameras 1 and 3, trial 2 cameras 2 and 4 of the *same* 1.7 seconds;
view A is camera 1 or 2, view B camera 3 or 4. Seen from the man they are 169 and 165 degrees apart, and they look along
the beam more than across it (cameras 2 and 4 nearly head-on), so this shows real images, not a clean sagittal view.
His two to three steps hold no complete gait cycle to speak of.

Keypoints are OpenPose's BODY_25B, as published with the demo: one network's opinion, not the truth.
"""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from studykit.datasets.fetch import fetch, source_folder
from studykit.files import write_text
from studykit.formats import read_openpose
from studykit.gait.views import forward_speed, to_walk
from studykit.study import Recording, write_study
from studykit.tracks import save_tracks

FPS = 60.0
TRIALS = {1: {"A": 1, "B": 3}, 2: {"A": 2, "B": 4}}  # trial: {view: camera}
SIZES = {1: (1080, 1920), 2: (1080, 1920), 3: (1088, 1920), 4: (1088, 1920)}  # of the videos, px
_MIDDLE_M = (-1.06, -0.05, 0.0)  # of his way: mean place of his hips in the demo's axes, triangulated from all cameras


def pose2sim_study(folder: str | Path, source: str | Path | None = None) -> pd.DataFrame:
    """Study of the demo, fetched first if it is not there.

    Parameters
    ----------
    folder : path-like
        Receives `study.csv`, `tracks/` and a calibration file a trial; the videos stay where they are.
    source : path-like, optional
        Where `fetch("pose2sim-demo")` put the demo, or should.

    Returns
    -------
    pandas.DataFrame
        The Study table.
    """
    folder = Path(folder)
    source = fetch("pose2sim-demo", source or source_folder("pose2sim-demo"))
    cameras = read_qca(source / "calibration" / "Calib.qca.txt")
    rows = []
    for trial, views in TRIALS.items():
        tracks = {
            view: read_openpose(source / "openpose" / f"cam{n}", FPS, *SIZES[n], skeleton="body25b")
            for view, n in views.items()
        }
        directions = {view: "R2L" if forward_speed(to_walk(t)) > 0 else "L2R" for view, t in tracks.items()}
        calibration = folder / f"calibration_trial-{trial}.json"
        own = {view: _in_laboratory_axes(cameras[f"cam0{n}"], directions["A"]) for view, n in views.items()}
        write_text(calibration, json.dumps(own, indent=1) + "\n")
        for view, n in views.items():
            row = {"participant": "sub-01", "sex": "m", "trial": trial, "direction": directions[view], "view": view}
            row |= {"video": str(source / "videos" / f"cam0{n}.mp4"), "tracks": "", "fps": FPS, "mirrored": False}
            row |= {"width_px": SIZES[n][0], "height_px": SIZES[n][1], "calibration": str(calibration)}
            row["tracks"] = str(folder / "tracks" / f"{Recording(**row).name}.nc")
            save_tracks(tracks[view], row["tracks"])
            rows.append(row)
    table = pd.DataFrame(rows)
    write_study(table, folder / "study.csv")
    return table


def read_qca(path: str | Path) -> dict[str, dict]:
    """Cameras of a Qualisys calibration (`.qca.txt`), without lens distortion.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to dict
        By serial name: K (3, 3), R (3, 3), t (3,) m of ``X_camera = R X + t``, width_px, height_px; z of X is up.

    Raises
    ------
    ValueError
        If the file holds no such cameras.
    """
    try:
        found = list(ElementTree.parse(path).getroot().iter("camera"))
        cameras = {camera.get("serial"): _qca_camera(camera) for camera in found}
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a Qualisys calibration, got something else ({error})") from error
    if not cameras:
        raise ValueError(f"{path}: expected cameras, got none")
    return cameras


def _qca_camera(camera):
    inner, place, view = (dict(camera.find(tag).attrib) for tag in ("intrinsic", "transform", "fov_video"))
    left, top, right, bottom = (float(view[edge]) for edge in ("left", "top", "right", "bottom"))
    # Lengths on the sensor are in 64ths of a pixel, places in millimetres, rotations by column, z points backwards.
    fu, fv, cu, cv = (float(inner[k]) / 64 for k in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV"))
    R = np.diag([1.0, -1.0, -1.0]) @ np.array([[float(place[f"r{i}{j}"]) for j in (1, 2, 3)] for i in (1, 2, 3)])
    centre = np.array([float(place[axis]) for axis in "xyz"]) / 1000
    K = [[fu, 0.0, cu - left], [0.0, fv, cv - top], [0.0, 0.0, 1.0]]
    size = {"width_px": round(right - left + 1), "height_px": round(bottom - top + 1)}
    return {"K": K, "R": R.tolist(), "t": (-R @ centre).tolist()} | size


def _in_laboratory_axes(camera, direction_a):
    """The camera in the axes of the gait laboratory: x along the beam, to the right in view A, y up, z towards view A.

    In the demo's own axes the man walks along +x, and z is up. The origin moves to the middle of his way.
    """
    x = 1.0 if direction_a == "L2R" else -1.0
    to_demo = np.array([[x, 0, 0], [0, 0, -x], [0, 1.0, 0]])  # columns: the laboratory's axes in the demo's
    R, t = np.array(camera["R"]), np.array(camera["t"])
    return camera | {"R": (R @ to_demo).tolist(), "t": (R @ np.array(_MIDDLE_M) + t).tolist()}
