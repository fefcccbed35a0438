"""Labelled frames of a study: which frames are drawn, and where their labels come from.

As in thesis 002, section 2.2: some random frames of some random videos; neck, hip, knee, ankle, heel and centre of the
toes of the side that faces the camera. A table of labels has one row per frame: recording, video, frame (from 0), and
<keypoint>_x, <keypoint>_y, px of the stored frame, NaN where a keypoint is not labelled.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import resolve
from studykit.formats import write_deeplabcut
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet, flip
from studykit.study import recordings, split_people
from studykit.tracks import build_tracks
from studykit.truth.reference import SOURCES, keypoints_of
from studykit.video import probe, read_selected

GAIT6 = SKELETONS["gait6"].keypoints


def draw_labels(
    study: pd.DataFrame,
    source: str | Path,
    *,
    videos: int,
    frames: int,
    test_fraction: float,
    test_videos: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Labelled frames to train on and to test on, of different people.

    Parameters
    ----------
    study : pandas.DataFrame
    source : str
        "truth" (truth files of the study), "tracks" (those that came with it, as a teacher), or a DeepLabCut
        `CollectedData_*.csv`, whose frames are then all taken, in px of the stored frames; its folders bear the names
        of recordings or of video files.
    videos, frames : int
        Videos to train on, and frames of each video; fewer where there are not so many.
    test_fraction : float
        Share of participants kept for testing, 0 to 1.
    test_videos : int
    seed : int

    Returns
    -------
    train, test : pandas.DataFrame
        Tables of labels. Where the study has one participant only, both are of this one, but share no frame.
    split : pandas.DataFrame
        participant, part: "train", "test", or "both".

    Raises
    ------
    ValueError
        If there is nothing to label, or the source lacks what is needed.
    """
    filmed = study[study.video.ne("")]
    who = {recording.name: recording.participant for recording in recordings(filmed)}
    given = None if source in SOURCES else read_collected(resolve(source), filmed)
    people = sorted(filmed.participant.unique() if given is None else given.recording.map(who).unique())

    def labelled(names, videos, frames):
        if given is None:
            return _label_frames(filmed[filmed.participant.isin(names)], source, videos, frames, seed)
        return given[given.recording.map(who).isin(names)]

    if len(people) < 2:
        everything = labelled(people, videos, frames + frames // 2)
        held_out = np.random.default_rng([seed, 41]).permutation(len(everything)) < len(everything) // 3
        parts = everything[~held_out], everything[held_out]
        split = pd.DataFrame({"participant": people, "part": "both"})
    else:
        split = split_people(people, (1 - test_fraction, test_fraction), seed).rename(columns={"set": "part"})
        train, test = (split.participant[split.part == part].tolist() for part in ("train", "test"))
        parts = labelled(train, videos, frames), labelled(test, test_videos, frames)
    train, test = (part.reset_index(drop=True) for part in parts)
    return train, test, split


def _draw_videos(filmed, videos, rng):
    if filmed.empty:
        raise ValueError("expected videos to draw frames from, got none in the study")
    return recordings(filmed.iloc[np.sort(rng.permutation(len(filmed))[:videos])])


def _label_frames(filmed, source, videos, frames, seed):
    """Labels of random frames that show at least three keypoints."""
    rng, tables = np.random.default_rng([seed, 40]), []
    for recording in _draw_videos(filmed, videos, rng):
        known = keypoints_of(recording, source)
        inside = np.flatnonzero(np.isfinite(known.position.values).all(axis=(1, 3)).sum(axis=1) >= 3)
        picked = np.sort(rng.permutation(inside)[:frames])
        points = known.position.isel(time=picked, individuals=0).transpose("time", "keypoints", "space").values
        tables.append(_rows(recording, picked, points, known.keypoints.values.astype(str)))
    labels = pd.concat(tables, ignore_index=True)
    if labels.empty:
        raise ValueError("expected frames with at least three keypoints inside the image, got none")
    return labels


def _rows(recording, frames, points=None, names=()):
    table = {"recording": recording.name, "video": recording.video, "frame": frames}
    for k, name in enumerate(names):
        table |= {f"{name}_x": points[:, k, 0], f"{name}_y": points[:, k, 1]}
    return pd.DataFrame(table)


def label_summary(train: pd.DataFrame, test: pd.DataFrame, split: pd.DataFrame, source: str) -> str:
    """How many frames `draw_labels` drew of how many videos, and where the labels come from."""
    counts = [f"{len(part)} frames of {part.recording.nunique()} videos" for part in (train, test)]
    alone = " **One participant only: training and test frames show the same person.**" * (len(split) == 1)
    return f"train: {counts[0]}; test: {counts[1]}; labels from: {source}.{alone}"


def read_collected(path: str | Path, study: pd.DataFrame, keypoints: Sequence[str] = GAIT6) -> pd.DataFrame:
    """Labels of a DeepLabCut project for the recordings of a study.

    Parameters
    ----------
    path : path-like
        `CollectedData_*.csv`; its folders bear the names of recordings or of video files, others are left out.
    study : pandas.DataFrame
        Study table.
    keypoints : sequence of str
        Body parts wanted.

    Returns
    -------
    pandas.DataFrame
        A table of labels.

    Raises
    ------
    ValueError
        If there is no such file, it lacks a body part, or nothing in it is of the study.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f'labels: expected "truth", "tracks" or a CollectedData csv file, got {str(path)!r}')
    table = pd.read_csv(path, header=[0, 1, 2], index_col=[0, 1, 2]).droplevel(0, axis=1)
    parts = table.columns.get_level_values(0)
    if missing := [name for name in keypoints if name not in parts]:
        raise ValueError(f"{path}: expected body parts {', '.join(keypoints)}, got no {', '.join(missing)}")
    by_name = {name: one for one in recordings(study) for name in (one.name, Path(one.video).stem)}
    wanted = [(part, axis) for part in keypoints for axis in "xy"]
    tables = []
    for (_, folder, image), values in table[wanted].astype(float).iterrows():
        if folder not in by_name:
            continue
        digits = re.findall(r"\d+", Path(image).stem)
        if not digits:
            raise ValueError(f"{path}: expected image names with a frame number, as img012.png, got {image!r}")
        tables.append(_rows(by_name[folder], [int(digits[-1])], values.to_numpy().reshape(1, -1, 2), keypoints))
    if not tables:
        folders = sorted(set(table.index.get_level_values(1).astype(str)))[:3]
        raise ValueError(f"{path}: expected folders named as the study's recordings, got {', '.join(folders)}")
    return pd.concat(tables, ignore_index=True)


def keypoint_names(labels: pd.DataFrame) -> tuple[str, ...]:
    """Names of the keypoints in a table of labels."""
    return tuple(name[:-2] for name in labels.columns if name.endswith("_x"))


def label_points(labels: pd.DataFrame) -> np.ndarray:
    """Coordinates (frames, K, 2) of a table of labels, px of the stored frames."""
    return np.stack([labels[[f"{k}_x", f"{k}_y"]].to_numpy(float) for k in keypoint_names(labels)], axis=1)


def save_labels(labels: pd.DataFrame, path: str | Path, size: tuple[int, int]) -> None:
    """Write labels as DeepLabCut's `CollectedData`, which its own tools open.

    Parameters
    ----------
    labels : pandas.DataFrame
    path : path-like
        Named `CollectedData_<scorer>.csv` it bears that scorer's name within, as DeepLabCut expects.
    size : tuple (width, height)
        Of the frames, px.
    """
    points, names = label_points(labels), keypoint_names(labels)
    images = [f"labeled-data/{r.recording}/img{r.frame:05d}.png" for r in labels.itertuples()]
    tracks = build_tracks(points.transpose(0, 2, 1), None, names, 1.0, width_px=size[0], height_px=size[1])
    _, named, scorer = Path(path).stem.partition("CollectedData_")
    write_deeplabcut(tracks, path, scorer=scorer if named else "studykit", images=images)


def labelled_stills(labels: pd.DataFrame, study: pd.DataFrame) -> StillSet:
    """The labelled frames as stills, every one brought to right-to-left walking.

    Parameters
    ----------
    labels : pandas.DataFrame
    study : pandas.DataFrame
        Study table, which has the direction of each recording.
    """
    names, stills = keypoint_names(labels), []
    by_name = {recording.name: recording for recording in recordings(study)}
    for name, rows in labels.groupby("recording", sort=False):
        recording, images = by_name[name], read_selected(by_name[name].video, rows.frame)
        for image, xy, frame in zip(images, label_points(rows).astype(np.float32), rows.frame, strict=True):
            known = np.isfinite(xy).all(axis=1, keepdims=True)
            keypoints = np.concatenate([np.where(known, xy, 0), 2 * known], axis=1).astype(np.float32)
            still = Still(image, keypoints, None, None, recording.participant, f"{name} frame {frame}")
            stills.append(flip(still, names) if recording.direction == "L2R" else still)
    return StillSet(stills, names)


def draw_frames(study: pd.DataFrame, *, videos: int, frames: int, seed: int) -> pd.DataFrame:
    """Frames to label: some random ones of some random videos, as in thesis 002, section 2.2.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    videos, frames : int
        How many videos, and how many frames of each; fewer where there are not so many.
    seed : int

    Returns
    -------
    pandas.DataFrame
        recording, video, frame (from 0).

    Raises
    ------
    ValueError
        If the study has no videos.
    """
    rng = np.random.default_rng([seed, 5])
    tables = []
    for recording in _draw_videos(study[study.video.ne("")], videos, rng):
        numbers = np.sort(rng.permutation(probe(recording.video).frames)[:frames])
        tables.append(_rows(recording, numbers))
    return pd.concat(tables, ignore_index=True)
