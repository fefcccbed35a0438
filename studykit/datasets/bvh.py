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
            motion = lay_along(straight_walk(read_bvh(path)), direction)
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
    chains = np.stack([[points[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")] for side in SIDES])
    lengths = np.linalg.norm(np.diff(chains, axis=1), axis=-1).sum(axis=1)  # of both legs, (2, time)
    told = "computed from the motion (studykit.datasets.motion.foot_events), not measured"
    truth = truth.drop_dims("joint").assign(angles=angles.transpose("time", "side", "joint"))
    return truth.assign_attrs(events=told, leg_length_m=float(np.median(lengths, axis=1).mean()))


def _events(motion):
    """Events of both feet at the motion's own rate, so that they do not depend on the virtual cameras'."""
    points = canonical_points(motion)
    events = []
    for side in SIDES:
        found = foot_events(points[f"{side}_heel"], points[f"{side}_toe"], points["mid_hip"], motion.fps)
        for event, times in zip(("heel_strike", "toe_off"), found, strict=True):
            events += [(time, side, event) for time in times]
    return sorted(events)


def _write_trial(folder, truth, direction, pixel_noise, rng):
    """Files of one trial; its two rows of the Study table."""
    about = truth.attrs
    save_truth(truth, target := folder / "truth" / f"{about['participant']}_trial-{about['trial']}.nc")
    shared = {name: about[name] for name in ("participant", "trial", "fps", "width_px", "height_px")}
    shared |= {"leg_length_m": round(about["leg_length_m"], 4), "calibration": str(folder / "calibration.json")}
    rows = []
    for view, seen in zip(VIEWS, (direction, _TURNED[direction]), strict=True):
        row = Recording(view=view, direction=seen, truth=str(target), **shared)
        rows.append(replace(row, tracks=str(folder / "tracks" / f"{row.name}.nc")))
        save_tracks(_noisy_tracks(truth, view, pixel_noise, rng), rows[-1].tracks)
    return rows


def _noisy_tracks(truth, view, pixel_noise, rng):
    """What a pose network would give: the points inside the image with normal noise, confidence 1; else NaN and 0."""
    known = truth.point.values[np.isfinite(truth.position_3d.values).all((0, 2))]
    seen = truth.sel(view=view, point=known)
    inside = seen.visibility.values > 0
    pixels = seen.keypoints.values + rng.normal(0, pixel_noise, seen.keypoints.shape)
    pixels[~inside] = np.nan
    about = {name: truth.attrs[name] for name in ("width_px", "height_px", "fps", "source_file")}
    about["source_software"] = f"motion capture through virtual camera {view}, noise {pixel_noise:g} px"
    return build_tracks(pixels.transpose(0, 2, 1), inside.astype(float), list(map(str, known)), **about)
