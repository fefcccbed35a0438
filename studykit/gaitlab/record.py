"""Record trials: two videos, masks and the truth of each, and the table of a whole study.

Each file is written under a temporary name and moved into place; the truth file comes last and carries a fingerprint
of everything the trial depends on, so a trial that is complete is never made again and an interrupted study goes on.
"""

import hashlib
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread

import cv2
import h5py
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from studykit.cameras import calibration_json
from studykit.files import write_text
from studykit.gaitlab.body import load_body
from studykit.gaitlab.cameras import VIEWS, moved, nominal_cameras
from studykit.gaitlab.clothing import draw_outfit, dress
from studykit.gaitlab.film import Take, point_visibility, write_masks
from studykit.gaitlab.poses import follow, sagittal_angles
from studykit.gaitlab.room import build_room, photograph
from studykit.gaitlab.walking import JOINTS, SOLE_M, STANDING_TILT_DEG, draw_style, walk
from studykit.skeletons import POINTS
from studykit.study import Recording, read_study, write_study
from studykit.truth.file import build_truth, save_truth

LABORATORY_VERSION = 4  # raised whenever the same parameters would give other files
_ROOM, _PERSON, _TRIAL, _CAMERA = range(4)  # independent random streams
_WOMEN, _PEOPLE = 10, 32  # of the data set that the thesis 002 used


@dataclass(frozen=True)
class Recorded:
    """A motion that was recorded of a real person, for a simulated one to follow.

    Attributes
    ----------
    positions : ndarray (time, joint, 3)
        World, m: x along the walk, to the right in C1; y up.
    names : sequence of str
        Canonical names of the joints, at least `poses.NEEDED_JOINTS`.
    events : sequence of (time s, side, "heel_strike" or "toe_off")
        If known.
    """

    positions: np.ndarray
    names: tuple
    events: tuple = ()


@dataclass(frozen=True)
class _Settings:
    """Everything that the files of a trial depend on, beside participant and trial."""

    seconds: float
    fps: float
    width_px: int
    height_px: int
    views: tuple
    camera_shift_m: float
    camera_turn_deg: float
    seed: int


@dataclass(frozen=True)
class _Trial:
    """Who walks, which time, and in which direction: -1 or 1, towards -x or +x."""

    number: int
    trial: int
    direction: int
    recorded: Recorded | None = None

    @property
    def participant(self):
        return f"sub-{self.number:02d}"


def simulate_study(
    folder,
    participants=12,
    trials=2,
    seconds=5.0,
    fps=25.0,
    width=960,
    height=540,
    views=VIEWS,
    camera_shift_m=0.005,
    camera_turn_deg=0.1,
    seed=20,
    workers=2,
    progress=True,
    motions=None,
):
    """Simulate a study: people who walk to and fro before two cameras that face each other.

    Odd trials walk to -x (right to left in C1), even ones to +x. Writes `study.csv`, `calibration.json` (the nominal
    cameras), `videos/`, `masks/` and `truth/` into `folder`. Trials already there, made with the same parameters, are
    kept. A person's body, clothes and style depend on `seed` and his or her number only, a walk on the trial's too.

    Parameters
    ----------
    folder : path-like
    participants, trials : int
    seconds, fps : float
        Length of each recording, s, and frames per second.
    width, height : int
        px, even.
    views : sequence of str
        Of "C1" and "C3".
    camera_shift_m, camera_turn_deg : float
        SD of each camera's shift and turn about each axis between trials, m and deg; `calibration.json` does not
        know of it.
    seed : int
    workers : int
        Processes.
    progress : bool
        Show a progress bar.
    motions : dict of (int, int) to Recorded, optional
        By number of participant and trial: instead of walking of their own accord, these people follow these motions,
        which are sampled at `fps`; `participants`, `trials` and `seconds` then count for nothing.

    Returns
    -------
    pandas.DataFrame
        The Study table, paths absolute; ``attrs`` has `rendered_frames` and `cpu_s`, what this call cost.

    Raises
    ------
    ValueError
        Naming every parameter out of range.
    """
    settings = _Settings(
        float(seconds), float(fps), int(width), int(height), tuple(views), float(camera_shift_m),
        float(camera_turn_deg), int(seed),
    )  # fmt: skip
    _check(settings, participants, trials, workers)
    folder = Path(folder).resolve()
    for name in ("videos", "masks", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        _sweep(folder / name)
    cameras = nominal_cameras(settings.views, settings.width_px, settings.height_px)
    write_text(folder / "calibration.json", calibration_json(cameras))

    if motions is None:
        pairs = [(p, t) for p in range(1, participants + 1) for t in range(1, trials + 1)]
        jobs = [_Trial(p, t, -1 if t % 2 == 1 else 1) for p, t in pairs]
    else:
        jobs = [_Trial(p, t, _heading(motion), motion) for (p, t), motion in sorted(motions.items())]
    todo = [job for job in jobs if not _is_complete(folder, settings, job)]
    cpu_s, frames = 0.0, 0
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="simulate", unit="trial", disable=not progress)
    with bar, _runner(workers if len(todo) > 1 else 1) as run:
        for seconds_used, frames_drawn in run(_record_trial, [(folder, settings, job) for job in todo]):
            cpu_s, frames = cpu_s + seconds_used, frames + frames_drawn
            bar.update()

    rows = [row for job in jobs for row in _rows(folder, settings, job)]
    table = pd.DataFrame(row | {"leg_length_m": _attributes(row["truth"])["leg_length_m"]} for row in rows)
    write_study(table, folder / "study.csv")
    table = read_study(folder / "study.csv")
    table.attrs.update(rendered_frames=frames, cpu_s=cpu_s)
    return table


def _check(settings, participants, trials, workers):
    """Refuse what cannot be simulated, all at once."""
    s = settings
    rules = {
        "participants": (participants >= 1, "at least 1", participants),
        "trials": (trials >= 1, "at least 1", trials),
        "workers": (workers >= 1, "at least 1", workers),
        "seed": (s.seed >= 0, "0 or more", s.seed),
        "fps": (5 <= s.fps <= 240, "5 to 240", s.fps),
        "seconds": (s.seconds > 0 and _frames(s) >= 2, "two frames or more", s.seconds),
        "width": (s.width_px >= 64 and s.width_px % 2 == 0, "an even number from 64 px", s.width_px),
        "height": (s.height_px >= 64 and s.height_px % 2 == 0, "an even number from 64 px", s.height_px),
        "camera_shift_m": (0 <= s.camera_shift_m <= 0.2, "0 to 0.2 m", s.camera_shift_m),
        "camera_turn_deg": (0 <= s.camera_turn_deg <= 3, "0 to 3 deg", s.camera_turn_deg),
        "views": (s.views and set(s.views) <= set(VIEWS), f"some of {VIEWS}", s.views),
    }
    faults = [f"{name}: expected {wanted}, got {got}" for name, (good, wanted, got) in rules.items() if not good]
    if len(set(s.views)) < len(s.views):
        faults.append(f"views: expected each view once, got {s.views}")
    if faults:
        raise ValueError("; ".join(faults))


def _heading(motion):
    x = np.asarray(motion.positions)[:, :, 0]
    return 1 if np.mean(x[-1] - x[0]) > 0 else -1


def _frames(settings):
    return round(settings.seconds * settings.fps)


def participant_sex(number):
    """Sex of participant 1, 2, ...: 10 women in every 32 people, spread evenly."""
    women = [int(k * _WOMEN / _PEOPLE + 0.5) for k in (number - 1, number)]
    return "f" if women[1] > women[0] else "m"


def _person(settings, number):
    """Body, clothes and style of a participant; from the person's own random stream."""
    rng = np.random.default_rng([settings.seed, _PERSON, number])
    sex = participant_sex(number)
    figure = load_body().figure(sex, rng)
    style = draw_style(sex, rng)
    return figure, style, dress(figure, draw_outfit(sex, rng), rng)


def _rows(folder, settings, job):
    """Rows of the Study table of one trial, a view each."""
    rows = []
    for view in settings.views:
        row = {
            "participant": job.participant,
            "sex": participant_sex(job.number),
            "trial": job.trial,
            # As seen in the image: towards -x is leftwards in C1, rightwards in C3.
            "direction": "R2L" if (job.direction < 0) == (view == "C1") else "L2R",
            "view": view,
            "video": "",
            "tracks": "",
            "fps": settings.fps,
            "mirrored": False,
            "width_px": settings.width_px,
            "height_px": settings.height_px,
        }
        recording = Recording(**row)
        rows.append(
            row
            | {
                "video": str(folder / "videos" / f"{recording.name}.mp4"),
                "calibration": str(folder / "calibration.json"),
                "truth": str(folder / "truth" / f"{recording.walk}.nc"),
            }
        )
    return rows


def _attributes(truth):
    """Attributes of a truth file, without reading the rest; none if it is missing or broken."""
    try:
        with h5py.File(truth) as file:
            return {name: np.asarray(value).item() for name, value in file.attrs.items() if name[0] != "_"}
    except OSError:
        return {}


def _mask_path(folder, video):
    return folder / "masks" / f"{Path(video).stem}.npz"


def _fingerprint(settings, job):
    """A digest of all that a trial's files depend on."""
    text = json.dumps([LABORATORY_VERSION, asdict(settings), job.number, job.trial, job.direction], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    if job.recorded is not None:
        digest.update(np.ascontiguousarray(job.recorded.positions, float).tobytes())
        digest.update(repr((tuple(job.recorded.names), tuple(job.recorded.events))).encode())
    return digest.hexdigest()[:16]


def _is_complete(folder, settings, job):
    """Whether all files of a trial are there, made with these very parameters."""
    rows = _rows(folder, settings, job)
    if _attributes(rows[0]["truth"]).get("fingerprint") != _fingerprint(settings, job):
        return False
    return all(Path(row["video"]).is_file() and _mask_path(folder, row["video"]).is_file() for row in rows)


def _motion(settings, job, figure, style):
    """Rotations and heads of the bones, angles, events and mean speed of a trial."""
    if job.recorded is None:
        rng = np.random.default_rng([settings.seed, _TRIAL, job.number, job.trial])
        walked = walk(figure, style, _frames(settings), settings.fps, rng, job.direction)
        return walked.rotations, walked.positions, walked.angles, walked.events, walked.speed_m_s
    rotations, positions = follow(figure, job.recorded.positions, job.recorded.names)
    positions = positions + np.array([0, SOLE_M, 0])
    angles = sagittal_angles(figure, rotations, positions, STANDING_TILT_DEG)
    pelvis = positions[:, 0, 0]
    speed = abs(pelvis[-1] - pelvis[0]) / ((len(pelvis) - 1) / settings.fps)
    return rotations, positions, angles, list(job.recorded.events), float(speed)


def _record_trial(folder, settings, job):
    """Walk, draw and write one trial; returns the processor time it took, s, and the number of frames drawn."""
    began = time.process_time()
    cv2.setNumThreads(1)
    figure, style, dressed = _person(settings, job.number)
    rotations, positions, angles, events, speed = _motion(settings, job, figure, style)
    points = figure.named_points(rotations, positions)

    nominal = nominal_cameras(settings.views, settings.width_px, settings.height_px)
    cameras, takes, visibility = {}, {}, {}
    room = build_room(np.random.default_rng([settings.seed, _ROOM]))
    rows = _rows(folder, settings, job)
    truth_path = Path(rows[0]["truth"])
    truth_path.unlink(missing_ok=True)  # other parameters' truth must not vouch for new videos
    temporary = []
    try:
        for row in rows:
            view, video = row["view"], Path(row["video"])
            rng = np.random.default_rng([settings.seed, _CAMERA, job.number, job.trial, VIEWS.index(view)])
            camera = moved(nominal[view], settings.camera_shift_m, settings.camera_turn_deg, rng)
            cameras[view] = camera
            visibility[view] = np.empty((len(points), len(POINTS)), np.int8)
            temporary.append(video.with_name(f".{os.getpid()}.{video.name}"))
            takes[view] = Take(dressed, camera, photograph(room, view, camera), rng, temporary[-1], settings.fps)
        for i in range(len(points)):
            posed = dressed.pose(rotations[i], positions[i])
            for view, take in takes.items():
                layer = take.shoot(*posed, positions[i])
                visibility[view][i] = point_visibility(layer, cameras[view], points[i])
        for row, path in zip(rows, temporary, strict=True):
            take = takes[row["view"]]
            take.close()
            write_masks(_mask_path(folder, row["video"]), take.masks)
            os.replace(path, row["video"])
    finally:
        for take in takes.values():
            take.close()
        for path in temporary:
            path.unlink(missing_ok=True)
    truth = build_truth(
        points, cameras, settings.fps, participant=job.participant, trial=job.trial,
        angles=angles, joints=JOINTS, events=events, visibility=visibility,
    )  # fmt: skip
    truth.attrs |= {
        "sex": figure.sex,
        "height_m": round(float(figure.height_m), 3),
        "leg_length_m": round(float(figure.leg_length_m), 3),
        "speed_m_s": speed,
        "fingerprint": _fingerprint(settings, job),
    }
    save_truth(truth, truth_path)
    return time.process_time() - began, len(points) * len(cameras)


def _sweep(folder):
    """Remove what a killed run left under temporary names."""
    for path in folder.glob(".*"):
        path.unlink(missing_ok=True)


def _end_with_parent():
    """End this process when the one that started it has ended, which a kill gives it no time to ask for."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def _runner(workers):
    """A function that maps a call over argument tuples, results as they come; in this process for one worker."""
    if workers == 1:
        yield lambda call, arguments: (call(*each) for each in arguments)
        return
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))  # inherited by the workers: one thread each
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield lambda call, arguments: (
            done.result() for done in as_completed([pool.submit(call, *each) for each in arguments])
        )
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
