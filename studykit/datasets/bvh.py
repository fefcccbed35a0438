"""Real walking: motion capture in BVH through two virtual cameras, as a Study with known ground truth.

The straight part of each walk is laid along the walkway of the gait laboratory, and its two cameras project the joints.
No image is made. What is real: people, gaits, and how the two views of a walk differ. What is not: the heel is derived
(`motion.read_bvh`), nothing is ever hidden from a camera, and the noise of a pose network is normal and independent.
"""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from tqdm.auto import tqdm

from studykit.cameras import calibration_json
from studykit.datasets.motion import (
    CMU_UNIT_M,
    canonical_points,
    foot_events,
    lay_along,
    read_bvh,
    resample,
    straight_walk,
)
from studykit.files import write_text
from studykit.gait.cycles import joint_angles
from studykit.gaitlab.cameras import VIEWS, nominal_cameras
from studykit.skeletons import POINTS
from studykit.study import COLUMNS, OPTIONAL_COLUMNS, Recording, write_study
from studykit.tracks import build_tracks, save_tracks
from studykit.truth.file import SIDES, build_truth, save_truth
from studykit.truth.reference import true_walk

_TURNED = {"R2L": "L2R", "L2R": "R2L"}


def bvh_study(
    source: str | Path,
    folder: str | Path,
    *,
    seed: int = 1,
    fps: float = 25.0,
    directions: Sequence[str] = ("R2L", "L2R"),
    pixel_noise: float = 1.0,
    unit_m: float = CMU_UNIT_M,
    width_px: int = 960,
    height_px: int = 540,
) -> pd.DataFrame:
    """A Study of every walk in a folder of BVH files.

    Parameters
    ----------
    source : path-like
        Folder of files `<participant>_<clip>.bvh`; a participant's clips are trials 1, 2, ... in order.
    folder : path-like
        Receives `study.csv`, `calibration.json`, `tracks/` and `truth/`.
    seed : int
        Of the pixel noise.
    fps : float
        Frame rate of the virtual cameras.
    directions : sequence of {"R2L", "L2R"}
        Of trials 1, 2, ... as C1 sees them, again and again from the first.
    pixel_noise : float
        Standard deviation of the noise on every tracked point, px.
    unit_m : float
        Length of the files' unit, m.
    width_px, height_px : int
        Size of the virtual images.

    Returns
    -------
    pandas.DataFrame
        The Study table, as `study.read_study` gives it.

    Raises
    ------
    FileNotFoundError
        If the folder or its files are missing.
    ValueError
        Naming every file that cannot be used.
    """
    folder, clips = Path(folder), _clips(source)
    cameras = nominal_cameras(VIEWS, width_px, height_px)
    write_text(folder / "calibration.json", calibration_json(cameras))
    rows, faults = [], []
    for path, participant, trial in tqdm(clips, desc="walks", unit="walk"):
        direction = directions[(trial - 1) % len(directions)]
        try:
            motion = lay_along(straight_walk(read_bvh(path, unit_m)), direction)
        except ValueError as error:
            faults.append(f"{error}" if str(path) in str(error) else f"{path}: {error}")
            continue
        truth = _truth(motion, fps, cameras, participant, trial).assign_attrs(source_file=path.name)
        rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])  # its own, whatever other walks there are
        rows += _write_trial(folder, truth, direction, pixel_noise, rng)
    if faults:
        raise ValueError("; ".join(faults))
    table = pd.DataFrame(rows)[[*COLUMNS, *OPTIONAL_COLUMNS]]
    write_study(table, folder / "study.csv")
    return table


def _clips(source):
    """(path, participant, trial) of each file."""
    source = Path(source)
    paths = sorted(source.glob("*.bvh"))
    if not paths:
        raise FileNotFoundError(
            f"{source}: expected a folder of .bvh files, got none; `studykit fetch cmu` says where walks are to be had"
        )
    people = [path.stem.rpartition("_")[0] or path.stem for path in paths]
    return [(p, f"sub-{who}", people[: k + 1].count(who)) for k, (p, who) in enumerate(zip(paths, people, strict=True))]


def _truth(motion, fps, cameras, participant, trial):
    """Everything that is known of one walk, as of a simulated one; no point is ever hidden."""
    points = canonical_points(resample(motion, fps))
    position = np.full((len(points["neck"]), len(POINTS), 3), np.nan)
    for name, place in points.items():
        position[:, POINTS.index(name)] = place
    truth = build_truth(position, cameras, fps, participant=participant, trial=trial, events=_events(motion))
    legs = [joint_angles(true_walk(truth, side).position.isel(individuals=0, drop=True)) for side in SIDES]
    # The hip of `joint_angles` is the thigh against the vertical, which the laboratory calls "thigh".
    angles = xr.concat(legs, dim=xr.Variable("side", list(SIDES))).assign_coords(joint=["thigh", "knee", "ankle"])
    return (
        truth.drop_dims("joint")
        .assign(angles=angles.transpose("time", "side", "joint"))
        .assign_attrs(
            events="computed from the motion (studykit.datasets.motion.foot_events), not measured",
            leg_length_m=_leg_length(points),
        )
    )


def _events(motion):
    """Events of both feet at the motion's own rate, so that they do not depend on the virtual cameras'."""
    points = canonical_points(motion)
    events = []
    for side in SIDES:
        found = foot_events(points[f"{side}_heel"], points[f"{side}_toe"], points["mid_hip"], motion.fps)
        for event, times in zip(("heel_strike", "toe_off"), found, strict=True):
            events += [(time, side, event) for time in times]
    return sorted(events)


def _leg_length(points):
    """Hip to knee to ankle, the median over frames and sides, m."""
    lengths = [
        np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"], axis=1)
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.median(lengths[0] + lengths[1]) + np.median(lengths[2] + lengths[3])) / 2


def _write_trial(folder, truth, direction, pixel_noise, rng):
    """Files of one trial; its two rows of the Study table."""
    one = Recording(
        participant=truth.attrs["participant"],
        trial=truth.attrs["trial"],
        view=VIEWS[0],
        direction=direction,
        fps=truth.attrs["fps"],
        width_px=truth.attrs["width_px"],
        height_px=truth.attrs["height_px"],
        leg_length_m=round(truth.attrs["leg_length_m"], 4),
        calibration=str(folder / "calibration.json"),
    )
    save_truth(truth, target := folder / "truth" / f"{one.walk}.nc")
    rows = []
    for view, seen in zip(VIEWS, (direction, _TURNED[direction]), strict=True):
        row = replace(one, view=view, direction=seen, truth=str(target))
        rows.append(replace(row, tracks=str(folder / "tracks" / f"{row.name}.nc")))
        save_tracks(_noisy_tracks(truth, view, pixel_noise, rng), rows[-1].tracks)
    return rows


def _noisy_tracks(truth, view, pixel_noise, rng):
    """What a pose network would give: the points inside the image with normal noise, confidence 1; else NaN and 0."""
    seen = truth.sel(view=view)
    known = [str(p) for p in truth.point.values[np.isfinite(truth.position_3d.values).all((0, 2))]]
    seen = seen.sel(point=known)
    inside = seen.visibility.values > 0
    pixels = seen.keypoints.values + rng.normal(0, pixel_noise, seen.keypoints.shape)
    return build_tracks(
        np.where(inside[..., None], pixels, np.nan).transpose(0, 2, 1),
        inside.astype(float),
        known,
        truth.attrs["fps"],
        width_px=truth.attrs["width_px"],
        height_px=truth.attrs["height_px"],
        source_software=f"motion capture through virtual camera {view}, noise {pixel_noise:g} px",
        source_file=truth.attrs["source_file"],
    )
