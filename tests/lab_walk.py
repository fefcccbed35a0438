"""Walks of the simulated laboratory without pictures: its walkers, its cameras, its truth."""

from functools import cache

import numpy as np

from studykit.gaitlab import build_truth, nominal_cameras
from studykit.gaitlab.body import load_body
from studykit.gaitlab.cameras import moved
from studykit.gaitlab.walking import draw_style, walk
from studykit.skeletons import LEG, convert
from studykit.study import Recording
from studykit.tracks import build_tracks
from studykit.truth.reference import OTHER, true_leg


@cache
def lab_walk(person=1, trial=1, seconds=5.0, fps=25.0, moved_cameras=False):
    """Truth of one walk, and its recordings. Odd trials go to the left of C1, even ones to the right."""
    rng = np.random.default_rng([person, 3])
    figure = load_body().figure("m", rng)
    style = draw_style("m", rng)
    trial_rng = np.random.default_rng([person, trial])
    direction = -1 if trial % 2 else 1
    walked = walk(figure, style, round(seconds * fps), fps, trial_rng, direction)
    cameras = nominal_cameras()
    if moved_cameras:
        cameras = {view: moved(camera, 0.005, 0.1, trial_rng) for view, camera in cameras.items()}
    points = figure.named_points(walked.rotations, walked.positions)
    name = f"sub-{person:02d}"
    truth = build_truth(points, cameras, fps, participant=name, trial=trial, events=walked.events)
    directions = {view: "R2L" if (direction < 0) == (view == "C1") else "L2R" for view in cameras}
    length = float(figure.leg_length_m)
    return truth, [Recording(name, trial, view, way, fps, leg_length_m=length) for view, way in directions.items()]


def stored_tracks(truth, recording, *, noise_px=0.0, both_legs=False, seed=0):
    """Tracks of one recording as a network would store them: image coordinates, as the file is oriented."""
    names = ["neck", *(f"{side}_{part}" for side in ("left", "right") for part in LEG)]
    if not both_legs:
        names = ["neck", *(f"{recording.near_side}_{part}" for part in LEG)]
    seen = truth.sel(view=recording.view)
    points = convert(seen.keypoints.values, list(truth.point.values), names)
    points = points + noise_px * np.random.default_rng(seed).normal(size=points.shape)
    tracks = build_tracks(
        points.transpose(0, 2, 1),
        np.full(points.shape[:2], 0.95),
        names if both_legs else ["neck", *LEG],
        truth.fps,
        width_px=truth.width_px,
        height_px=truth.height_px,
        mirrored=False,
    )
    return tracks if both_legs else tracks.assign_attrs(near_side=recording.near_side)


def oriented(truth, recording, which="near"):
    """Perfect gait6 tracks of one leg in walking coordinates."""
    near = recording.near_side
    return true_leg(truth, recording, near if which == "near" else OTHER[near])


def stored_trial(truth, rows, **options):
    """Stored tracks of all views of a trial."""
    return {row.view: stored_tracks(truth, row, seed=i, **options) for i, row in enumerate(rows)}
