"""Labelled frames of a study: which frames are drawn, and where their labels come from.

As in thesis 002, section 2.2: some random frames of some random videos; neck, hip, knee, ankle, heel and centre of the
toes of the side that faces the camera. A table of labels has a row a frame: recording, video, frame (from 0), and
<keypoint>_x, <keypoint>_y, px of the stored frame, NaN where a keypoint is not labelled.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.formats import write_deeplabcut
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet, flip
from studykit.study import recording_name, recordings, split_people
from studykit.tracks import build_tracks
from studykit.truth.reference import SOURCES, keypoints_of
from studykit.video import probe, read_selected

GAIT6 = SKELETONS["gait6"].keypoints


def label_frames(study, participants, source, *, videos, frames, seed, far_leg=False):
    """Draw frames at random and label them.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    participants : sequence of str
        Whose videos to draw from.
    source : {"truth", "tracks"}
        Truth files of the study, or tracks that came with it, as a teacher.
    videos, frames : int
        How many videos, and how many frames of each; fewer where there are not so many.
    seed : int
    far_leg : bool
        Also label the leg that is turned away, as `far_hip` ... `far_toe`; no human labeller of the thesis did.

    Returns
    -------
    pandas.DataFrame
        A table of labels.

    Raises
    ------
    ValueError
        If there is nothing to label, or the source lacks what is needed.
    """
    mine = study[study.participant.isin(list(participants)) & study.video.ne("")]
    if mine.empty:
        raise ValueError(f"expected videos of {', '.join(participants)} to draw frames from, got none in the study")
    rng = np.random.default_rng([seed, 40])
    chosen = mine.iloc[np.sort(rng.permutation(len(mine))[:videos])]
    tables = []
    for recording in recordings(chosen):
        known = keypoints_of(recording, source, far_leg=far_leg)
        inside = np.flatnonzero(np.isfinite(known.position.values).all(axis=(1, 3)).sum(axis=1) >= 3)
        picked = np.sort(rng.permutation(inside)[:frames])
        points = known.position.isel(time=picked, individuals=0).transpose("time", "keypoints", "space").values
        names = [str(name) for name in known.keypoints.values]
        tables.append(_rows(recording, picked, points, names))
    labels = pd.concat(tables, ignore_index=True)
    if labels.empty:
        raise ValueError("expected frames with at least three keypoints inside the image, got none")
    return labels


def draw_labels(study, source, *, videos, frames, test_fraction, test_videos, seed):
    """Labelled frames to train on and to test on, of different people.

    Parameters
    ----------
    study : pandas.DataFrame
    source : str
        "truth", "tracks" (see `label_frames`), or a DeepLabCut `CollectedData_*.csv`, whose frames are then all taken,
        in px of the stored frames; its folders bear the names of recordings or of video files.
    videos, frames : int
        Videos to train on, and frames of each video.
    test_fraction : float
        Share of participants kept for testing, 0 to 1.
    test_videos : int
    seed : int

    Returns
    -------
    train, test : pandas.DataFrame
        Tables of labels. Where the study has one participant only, they share him or her, but no frame.
    split : pandas.DataFrame
        participant, part: "train", "test", or "both".
    """
    filmed = study[study.video.ne("")]
    if source in SOURCES:
        people = sorted(filmed.participant.unique())
    else:
        everything = read_collected(source, filmed)
        who = everything.recording.map({recording_name(r): r.participant for r in filmed.itertuples()})
        people = sorted(who.unique())
    if len(people) < 2:
        if source in SOURCES:
            everything = label_frames(study, people, source, videos=videos, frames=frames + frames // 2, seed=seed)
        held_out = np.random.default_rng([seed, 41]).permutation(len(everything)) < len(everything) // 3
        train, test = everything[~held_out], everything[held_out]
        split = [(name, "both") for name in people]
    else:
        drawn = split_people(people, (1 - test_fraction, test_fraction), seed)
        parts = [drawn.participant[drawn.set == one].tolist() for one in ("train", "test")]
        if source in SOURCES:
            train, test = (
                label_frames(study, names, source, videos=count, frames=frames, seed=seed)
                for names, count in zip(parts, (videos, test_videos), strict=True)
            )
        else:
            train, test = (everything[who.isin(names)] for names in parts)
        split = [(name, "train" if name in parts[0] else "test") for name in people]
    split = pd.DataFrame(split, columns=["participant", "part"])
    return train.reset_index(drop=True), test.reset_index(drop=True), split


def _rows(recording, frames, points, names):
    table = {"recording": recording_name(recording), "video": recording.video, "frame": frames}
    for k, name in enumerate(names):
        table |= {f"{name}_x": points[:, k, 0], f"{name}_y": points[:, k, 1]}
    return pd.DataFrame(table)


def read_collected(path, study, keypoints=GAIT6):
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
    table = pd.read_csv(path, header=[0, 1, 2], index_col=[0, 1, 2])
    parts = [str(part) for part in dict.fromkeys(table.columns.get_level_values(1))]
    if missing := [name for name in keypoints if name not in parts]:
        raise ValueError(f"{path}: expected body parts {', '.join(keypoints)}, got no {', '.join(missing)}")
    by_name = {name: r for r in study.itertuples() for name in (recording_name(r), Path(r.video).stem)}
    scorer = table.columns[0][0]
    tables = []
    for (_, folder, image), row in table.iterrows():
        digits = re.findall(r"\d+", Path(image).stem)
        if folder not in by_name:
            continue
        if not digits:
            raise ValueError(f"{path}: expected image names with a frame number, as img012.png, got {image!r}")
        points = np.array([[row[scorer, part, axis] for axis in "xy"] for part in keypoints], dtype=float)
        tables.append(_rows(by_name[folder], [int(digits[-1])], points[None], keypoints))
    if not tables:
        raise ValueError(f"{path}: expected folders named as the study's recordings, got {_folders(table)}")
    return pd.concat(tables, ignore_index=True)


def _folders(table):
    return ", ".join(sorted({str(folder) for _, folder, _ in table.index})[:3])


def keypoint_names(labels):
    """Names of the keypoints in a table of labels."""
    return tuple(name[:-2] for name in labels.columns if name.endswith("_x"))


def label_points(labels):
    """Coordinates (frames, K, 2) of a table of labels, px of the stored frames."""
    return np.stack([labels[[f"{k}_x", f"{k}_y"]].to_numpy(float) for k in keypoint_names(labels)], axis=1)


def save_labels(labels, path, size):
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


def labelled_stills(labels, study):
    """The labelled frames as stills, every one brought to right-to-left walking.

    Parameters
    ----------
    labels : pandas.DataFrame
    study : pandas.DataFrame
        Study table, which says where each recording walks.

    Returns
    -------
    StillSet
    """
    names, stills = keypoint_names(labels), []
    by_name = {recording_name(r): r for r in study.itertuples()}
    for name, rows in labels.groupby("recording", sort=False):
        recording = by_name[name]
        points = label_points(rows).astype(np.float32)
        images = read_selected(recording.video, rows.frame)
        for image, xy, frame in zip(images, points, rows.frame, strict=True):
            known = np.isfinite(xy).all(axis=1, keepdims=True)
            keypoints = np.concatenate([np.where(known, xy, 0), 2 * known], axis=1).astype(np.float32)
            still = Still(image, keypoints, None, None, recording.participant, f"{name} frame {frame}")
            stills.append(flip(still, names) if recording.direction == "L2R" else still)
    return StillSet(stills, names)


def draw_frames(study, *, videos, frames, seed):
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
    filmed = study[study.video.ne("")]
    if filmed.empty:
        raise ValueError("expected videos to draw frames from, got none in the study")
    rng = np.random.default_rng([seed, 5])
    tables = []
    for recording in filmed.iloc[np.sort(rng.permutation(len(filmed))[:videos])].itertuples():
        picked = np.sort(rng.permutation(probe(recording.video).frames)[:frames])
        tables.append(pd.DataFrame({"recording": recording_name(recording), "video": recording.video, "frame": picked}))
    return pd.concat(tables, ignore_index=True)
