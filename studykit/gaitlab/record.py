"""Record trials: two videos, masks and the truth of each, and the table of a whole study.

Each file is written under a temporary name and moved into place; the truth file comes last and carries a fingerprint
of everything the trial depends on, so a trial that is complete is never made again and an interrupted study goes on.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from studykit.gaitlab.body import load_body
from studykit.gaitlab.cameras import VIEWS, calibration_json, depth, moved, nominal_cameras, project
from studykit.gaitlab.clothing import draw_outfit, dress
from studykit.gaitlab.render import Light, composite, draw_person, draw_shadow
from studykit.gaitlab.room import build_room, photograph
from studykit.gaitlab.truth import OCCLUDED, VISIBLE, build_truth, load_truth, save_truth
from studykit.gaitlab.walking import JOINTS, draw_style, walk
from studykit.skeletons import POINTS
from studykit.study import read_study, recording_name, trial_name, write_study

LABORATORY_VERSION = 2  # raised whenever the same parameters would give other files
_ROOM, _PERSON, _TRIAL, _CAMERA = range(4)  # independent random streams
_WOMEN, _PEOPLE = 10, 32  # of the data set that the thesis 002 used
_NOISE_SD = 1.5  # of the sensor, grey levels
# How far the part of the body around a point reaches, m: nothing nearer than that hides it.
_RADIUS_M = {
    "hip": 0.17, "knee": 0.09, "ankle": 0.08, "heel": 0.05, "toe": 0.05, "big_toe": 0.05, "small_toe": 0.05,
    "shoulder": 0.12, "elbow": 0.07, "wrist": 0.06, "ear": 0.05, "eye": 0.05, "nose": 0.04, "head_top": 0.05,
    "upper_neck": 0.13, "neck": 0.26, "thorax": 0.26, "mid_hip": 0.26, "pelvis": 0.26,
}  # fmt: skip


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
    _write_text(folder / "calibration.json", calibration_json(cameras))

    jobs = [(p, t) for p in range(1, participants + 1) for t in range(1, trials + 1)]
    todo = [job for job in jobs if not _is_complete(folder, settings, *job)]
    cpu_s = 0.0
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc="simulate", unit="trial", disable=not progress)
    with bar, _runner(workers if len(todo) > 1 else 1) as run:
        for seconds_used in run(_record_trial, [(folder, settings, *job) for job in todo]):
            cpu_s += seconds_used
            bar.update()

    table = pd.DataFrame([row for job in jobs for row in _rows(folder, settings, *job)])
    write_study(table, folder / "study.csv")
    table = read_study(folder / "study.csv")
    frames = len(todo) * len(settings.views) * _frames(settings)
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


def _direction(trial, view):
    """ "R2L" or "L2R" as seen in the image: odd trials walk to -x, which is leftwards in C1."""
    return "R2L" if (trial % 2 == 1) == (view == "C1") else "L2R"


def _rows(folder, settings, number, trial):
    """Rows of the Study table of one trial, a view each."""
    rows = []
    leg_m = None
    for view in settings.views:
        row = {
            "participant": f"sub-{number:02d}",
            "sex": participant_sex(number),
            "trial": trial,
            "direction": _direction(trial, view),
            "view": view,
            "video": "",
            "tracks": "",
            "fps": settings.fps,
            "mirrored": False,
            "width_px": settings.width_px,
            "height_px": settings.height_px,
        }
        name = SimpleNamespace(**row)
        truth = folder / "truth" / f"{trial_name(name)}.nc"
        if leg_m is None:
            leg_m = load_truth(truth).attrs["leg_length_m"] if truth.is_file() else np.nan
        row |= {
            "video": str(folder / "videos" / f"{recording_name(name)}.mp4"),
            "leg_length_m": leg_m,
            "calibration": str(folder / "calibration.json"),
            "truth": str(truth),
        }
        rows.append(row)
    return rows


def _mask_path(folder, video):
    return folder / "masks" / f"{Path(video).stem}.npz"


def _fingerprint(settings, number, trial):
    """A digest of all that a trial's files depend on."""
    text = json.dumps([LABORATORY_VERSION, asdict(settings), number, trial], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_complete(folder, settings, number, trial):
    """Whether all files of a trial are there, made with these very parameters."""
    truth = folder / "truth" / f"sub-{number:02d}_trial-{trial}.nc"
    try:
        if load_truth(truth).attrs.get("fingerprint") != _fingerprint(settings, number, trial):
            return False
    except (FileNotFoundError, ValueError):
        return False
    videos = [row["video"] for row in _rows(folder, settings, number, trial)]
    return all(Path(video).is_file() and _mask_path(folder, video).is_file() for video in videos)


def _record_trial(folder, settings, number, trial):
    """Walk, draw and write one trial; returns the processor time it took, s."""
    began = time.process_time()
    cv2.setNumThreads(1)
    figure, style, dressed = _person(settings, number)
    direction = -1 if trial % 2 == 1 else 1
    rng = np.random.default_rng([settings.seed, _TRIAL, number, trial])
    motion = walk(figure, style, _frames(settings), settings.fps, rng, direction)
    points = figure.named_points(motion.rotations, motion.positions)

    nominal = nominal_cameras(settings.views, settings.width_px, settings.height_px)
    cameras, takes, visibility = {}, {}, {}
    room = build_room(np.random.default_rng([settings.seed, _ROOM]))
    rows = _rows(folder, settings, number, trial)
    truth_path = Path(rows[0]["truth"])
    truth_path.unlink(missing_ok=True)  # other parameters' truth must not vouch for new videos
    temporary = []
    try:
        for row in rows:
            view, video = row["view"], Path(row["video"])
            rng = np.random.default_rng([settings.seed, _CAMERA, number, trial, VIEWS.index(view)])
            camera = moved(nominal[view], settings.camera_shift_m, settings.camera_turn_deg, rng)
            cameras[view] = camera
            visibility[view] = np.empty((len(points), len(POINTS)), np.int8)
            temporary.append(video.with_name(f".{os.getpid()}.{video.name}"))
            takes[view] = _Take(dressed, camera, photograph(room, view, camera), rng, temporary[-1], settings.fps)
        for i in range(len(points)):
            posed = dressed.pose(motion.rotations[i], motion.positions[i])
            for view, take in takes.items():
                layer = take.shoot(*posed, motion.positions[i])
                visibility[view][i] = _visibility(layer, cameras[view], points[i])
        for row, path in zip(rows, temporary, strict=True):
            take = takes[row["view"]]
            take.close()
            _write_masks(_mask_path(folder, row["video"]), take.masks)
            os.replace(path, row["video"])
    finally:
        for take in takes.values():
            take.close()
        for path in temporary:
            path.unlink(missing_ok=True)
    truth = build_truth(
        points, cameras, settings.fps, participant=rows[0]["participant"], trial=trial,
        angles=motion.angles, joints=JOINTS, events=motion.events, visibility=visibility,
    )  # fmt: skip
    truth.attrs |= {
        "sex": figure.sex,
        "height_m": round(float(figure.height_m), 3),
        "leg_length_m": round(float(figure.leg_length_m), 3),
        "speed_m_s": motion.speed_m_s,
        "fingerprint": _fingerprint(settings, number, trial),
    }
    save_truth(truth, truth_path)
    return time.process_time() - began


class _Take:
    """One camera's recording of one trial, frame by frame."""

    def __init__(self, dressed, camera, scene, rng, path, fps):
        self._dressed, self._camera, self._light, self._rng = dressed, camera, Light(), rng
        gain = np.clip(rng.normal(1, 0.04), 0.9, 1.1) * (1 + rng.normal(0, 0.015, 3))  # exposure, white balance
        self._scene = np.clip(scene * gain, 0, 255).astype(np.uint8)
        self._texture = np.clip(dressed.texture * gain, 0, 255).astype(np.uint8)
        self._empty = cv2.cvtColor(self._scene, cv2.COLOR_RGB2YUV_I420)
        self._noise = _noise_pool(camera.height_px, camera.width_px)
        self._file = av.open(str(path), "w", format="mp4")
        # One thread and no macroblock trees: with them x264 now and then encodes the same frames differently. A key
        # frame a second: quick to seek in. The fastest preset with two of its tools back takes a quarter of the time
        # of "veryfast" on such films, and shows the person more truly.
        options = {"crf": "22", "preset": "ultrafast", "threads": "1", "g": str(max(1, round(fps)))}
        options["x264-params"] = "mbtree=0:cabac=1:deblock=1"
        self._stream = self._file.add_stream("libx264", rate=_rate(fps), options=options)
        self._stream.width, self._stream.height = camera.width_px, camera.height_px
        self._stream.pix_fmt = "yuv420p"
        self.masks = []

    def shoot(self, vertices, normals, positions):
        """Draw one frame into the video; returns the person's layer, None where nobody is in view."""
        camera = self._camera
        layer = draw_person(self._dressed, vertices, normals, camera, self._light, self._texture)
        frame = self._empty.copy()
        scene = self._scene
        shadow = draw_shadow(positions, self._dressed.figure.body, camera, self._light)
        patches = []
        if shadow is not None:
            (rows, columns), share = shadow
            scene = scene.copy()
            dark = cv2.merge([share, share, share])
            scene[rows, columns] = cv2.multiply(scene[rows, columns], dark, dtype=cv2.CV_8U)
            patches.append((rows, columns))
        mask = np.zeros((camera.height_px, camera.width_px), bool)
        if layer is not None:
            if shadow is None:
                scene = scene.copy()
            scene[layer.slices] = composite(scene, layer)
            mask[layer.slices] = layer.mask
            patches.append(layer.slices)
        for rows, columns in patches:
            _put_yuv(frame, scene[rows, columns], rows, columns)
        down, right = self._rng.integers(0, 64, 2)
        grain = self._noise[down : down + camera.height_px, right : right + camera.width_px]
        luma = frame[: camera.height_px]
        cv2.add(luma, grain, dst=luma, dtype=cv2.CV_8U)
        self._encode(av.VideoFrame.from_ndarray(frame, format="yuv420p"))
        self.masks.append(np.packbits(mask, axis=1))
        return layer

    def _encode(self, frame):
        for packet in self._stream.encode(frame):
            self._file.mux(packet)

    def close(self):
        """Finish the video; calling it again does nothing."""
        if self._file is not None:
            self._encode(None)
            self._file.close()
            self._file = None


def _rate(fps):
    """Frames per second as the fraction a video file stores."""
    return Fraction(fps).limit_denominator(1001)


_pools = {}


def _noise_pool(height_px, width_px):
    """Sensor noise, somewhat larger than a frame: each frame takes it from another place."""
    shape = (height_px + 64, width_px + 64)
    if shape not in _pools:
        grain = np.random.default_rng(0).normal(0, _NOISE_SD, shape)
        _pools[shape] = np.round(grain).astype(np.int16)
    return _pools[shape]


def _put_yuv(frame, patch, rows, columns):
    """Write an RGB patch of even place and size into an I420 frame (3/2 height, width)."""
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    h, w = patch.shape[:2]
    flat = cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_RGB2YUV_I420).reshape(-1)
    frame[rows, columns] = flat[: h * w].reshape(h, w)
    chroma = frame.reshape(-1)[height * width :].reshape(2, height // 2, width // 2)
    half = tuple(slice(s.start // 2, s.stop // 2) for s in (rows, columns))
    chroma[(slice(None), *half)] = flat[h * w :].reshape(2, h // 2, w // 2)


_RADII = np.array([_RADIUS_M[name.removeprefix("left_").removeprefix("right_")] for name in POINTS])


def _visibility(layer, camera, points):
    """Visible or occluded (point,): occluded if the body is nearer than the point by more than its radius there.

    The farthest of the 3 x 3 pixels around the point decides, so that an edge beside the point does not hide it. What
    lies outside the image is marked by `build_truth`.
    """
    out = np.full(len(points), VISIBLE, np.int8)
    if layer is None:
        return out
    z = depth(camera, points)
    place = project(camera, points) - [layer.left, layer.top]
    column, row = np.rint(np.nan_to_num(place, nan=-9)).astype(int).T
    height, width = layer.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    farthest = _spread(layer)
    k = np.flatnonzero(inside)
    hidden = (farthest[row[k], column[k]] > 0) & (farthest[row[k], column[k]] < z[k] - _RADII[k])
    out[k[hidden]] = OCCLUDED
    return out


def _spread(layer):
    """Greatest depth of the body within one pixel (h, w), m; 0 where there is none."""
    body = np.where(layer.depth < 50, layer.depth, 0).astype(np.float32)
    return cv2.dilate(body, np.ones((3, 3), np.uint8))


def _write_masks(path, masks):
    """Masks (time, height, width) as bits, eight pixels of a row a byte."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        np.savez_compressed(temporary, mask=np.array(masks))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_masks(path, width_px):
    """Masks of a recording (time, height, width) bool, True on the person.

    Parameters
    ----------
    path : path-like
        `masks/<recording>.npz`.
    width_px : int
        Of the image; the file stores whole bytes of eight pixels.
    """
    with np.load(path) as content:
        return np.unpackbits(content["mask"], axis=2, count=width_px).astype(bool)


def _write_text(path, text):
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _sweep(folder):
    """Remove what a killed run left under temporary names."""
    for path in folder.glob(".*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _runner(workers):
    """A function that maps a call over argument tuples, results as they come; in this process for one worker."""
    if workers == 1:
        yield lambda call, arguments: (call(*each) for each in arguments)
        return
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))  # inherited by the workers: one thread each
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield lambda call, arguments: (
            done.result() for done in as_completed([pool.submit(call, *each) for each in arguments])
        )
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
