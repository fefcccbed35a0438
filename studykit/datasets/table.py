"""The user's own recordings: a Study table that points at videos, keypoint files or both; and what any Study holds.

Every file is checked before anything long starts, and all faults are reported together. Videos and our own tracks stay
where they are; keypoint files of other programs become tracks next to the new table.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from studykit.formats import import_tracks
from studykit.gait.views import forward_speed, has_one_leg, orient
from studykit.study import KEY, read_study, recordings, write_study
from studykit.tracks import load_tracks, save_tracks, select_side
from studykit.truth.file import load_truth
from studykit.truth.reference import truth_tracks
from studykit.video import probe


def table_study(
    source: str | Path, folder: str | Path, *, unequal_views: bool = False, assumed_confidence: float | None = None
) -> pd.DataFrame:
    """A Study from the user's table, checked and completed.

    Parameters
    ----------
    source : path-like
        Study table (CSV); see docs/own-data.md. `tracks` may name a file of any format that `formats.import_tracks`
        reads, or a folder of OpenPose files.
    folder : path-like
        Receives `study.csv`, and `tracks/` where keypoint files were imported.
    unequal_views : bool
        Accept views of one trial that differ in length; notebook 42 then has to cut them to a common clock.
    assumed_confidence : float, optional
        For keypoints that come without any confidence: what to assume, 0 to 1.

    Returns
    -------
    pandas.DataFrame
        The Study table.

    Raises
    ------
    FileNotFoundError
        If the table is missing.
    ValueError
        Naming all faults of the table and of the files.
    """
    source, folder = Path(source), Path(folder)
    if source.is_dir():
        raise ValueError(f"{source}: expected a Study table, got a folder; set study_table (docs/own-data.md)")
    study, done, faults = read_study(source), [], []
    for recording in recordings(study):
        try:
            sized = _with_size(recording)
            done.append(replace(sized, tracks=_own_tracks(sized, folder, assumed_confidence)))
        except (ValueError, OSError) as error:
            faults.append(str(error))
    if not faults:
        sizes = {name: [float(getattr(one, name)) for one in done] for name in ("width_px", "height_px")}
        study = study.assign(**sizes, tracks=[one.tracks for one in done])
        table = check_recordings(study)
        faults = [fault for told in table.fault for fault in told.split("; ") if fault]
        faults += [] if unequal_views else _unequal(study, table)
    if faults:
        raise ValueError(f"{source}: " + "; ".join(faults))
    write_study(study, folder / "study.csv")
    return study


def _with_size(recording):
    """The recording with the size of its image where the table has none, of its video or of our own tracks."""
    if recording.video:
        video = probe(recording.video)
        found = video.width_px, video.height_px
    elif Path(recording.tracks).suffix == ".nc":
        attributes = load_tracks(recording.tracks).attrs
        found = attributes["width_px"], attributes["height_px"]
    elif np.isnan([recording.width_px, recording.height_px]).any():
        raise ValueError(f"{recording.name}: expected width_px and height_px where there is no video, got none")
    else:
        return recording
    width, height = (a if np.isfinite(a) else b for a, b in zip(recording.size_px, found, strict=True))
    return replace(recording, width_px=width, height_px=height)


def _own_tracks(recording, folder, assumed_confidence):
    """Path of the recording's tracks, imported if they are another program's; "" if there are none."""
    if not recording.tracks or (Path(recording.tracks).suffix == ".nc" and assumed_confidence is None):
        return recording.tracks
    tracks = import_tracks(recording.tracks, recording.fps, *recording.size_px)
    tracks = tracks.assign_attrs(mirrored=int(recording.mirrored))
    if assumed_confidence is not None and bool(np.isnan(tracks.confidence).all()):
        known = np.isfinite(tracks.position).all("space")
        tracks = tracks.assign(confidence=known.astype(float) * assumed_confidence)
    save_tracks(tracks, path := folder / "tracks" / f"{recording.name}.nc")
    return str(path)


def check_recordings(study: pd.DataFrame) -> pd.DataFrame:
    """What each recording holds, and whether it fits its row of the Study table.

    Parameters
    ----------
    study : pandas.DataFrame
        As `study.read_study` gives it.

    Returns
    -------
    pandas.DataFrame
        One row per recording: participant, trial, view, frames, seconds, keypoints, unknown_percent (positions that are
        not known), median_confidence, speed_px_s (along the walk) and fault, "" if there is none.
    """
    once = lru_cache(maxsize=1)(load_truth)  # the views of a walk, which share a file, follow one another
    return pd.DataFrame([_check(recording, once) for recording in recordings(study)])


def cohort(study: pd.DataFrame) -> pd.DataFrame:
    """One row per participant: sex, number of trials and of recordings, directions, leg length.

    Parameters
    ----------
    study : pandas.DataFrame
        As `study.read_study` gives it.

    Returns
    -------
    pandas.DataFrame
    """
    people = study.assign(right_to_left=study.direction == "R2L").groupby("participant")
    counts = {"trials": ("trial", "nunique"), "recordings": ("view", "size"), "right_to_left": ("right_to_left", "sum")}
    return people.agg(sex=("sex", "first"), **counts, leg_length_m=("leg_length_m", "first")).reset_index()


def checksums(study: pd.DataFrame) -> pd.DataFrame:
    """SHA-256 and size of every file that the Study table names.

    Returns
    -------
    pandas.DataFrame
        Columns file, what, bytes, sha256; a file that several recordings share is listed once.
    """
    rows = []
    for what in ("video", "tracks", "truth", "calibration"):
        paths = [Path(value) for value in dict.fromkeys(study[what]) if value]
        rows += [(path.name, what, path.stat().st_size, pooch.file_hash(path)) for path in paths if path.is_file()]
    return pd.DataFrame(rows, columns=["file", "what", "bytes", "sha256"])


def describe(study: pd.DataFrame) -> list[str]:
    """What an analysis can make of a study, in sentences.

    Parameters
    ----------
    study : pandas.DataFrame
        As `study.read_study` gives it.

    Returns
    -------
    list of str
        How much there is, then a sentence for everything that some step will miss.
    """
    views = study.groupby(["participant", "trial"])["view"].nunique()
    people = study.participant.nunique()
    names = ", ".join(sorted(study["view"].unique()))
    told = [f"{people} participants, {len(views)} trials, {len(study)} recordings, views {names}"]
    if study["view"].nunique() != 2:
        told.append(f"expected two views, got {names}; one view gives gait cycles but no comparison")
    elif (views < 2).any():
        some = ", ".join(f"{who} trial {trial}" for who, trial in views.index[views < 2][:3])
        told.append(f"{(views < 2).sum()} trials have one view only and are left out of the comparison: {some}")
    if people < 10:
        told.append("with fewer than about ten participants intervals are wide, with one there are no statistics")
    if (bare := study.tracks.eq("") & study.truth.eq("")).any():
        told.append(f"{bare.sum()} recordings have no keypoints: set pose: network, see docs/own-data.md")
    if study.leg_length_m.isna().any() and study.calibration.eq("").any():
        told.append("without leg_length_m or calibration lengths and speeds are in pixels")
    return told


def _check(recording, truth_of):
    """The recording's row of `check_recordings`."""
    found = {name: getattr(recording, name) for name in KEY}
    found |= {"frames": np.nan, "seconds": np.nan, "keypoints": "", "unknown_percent": np.nan}
    found |= {"median_confidence": np.nan, "speed_px_s": np.nan, "fault": ""}
    faults = []
    try:
        if recording.video:
            video = probe(recording.video)
            found["frames"] = video.frames
            faults += _differences(recording, vars(video), recording.video)
    except (ValueError, OSError) as error:
        faults.append(str(error))
    try:
        if recording.tracks or recording.truth:  # of the ground truth, the keypoints as the stored image shows them
            own = bool(recording.tracks)
            tracks = load_tracks(recording.tracks) if own else truth_tracks(truth_of(recording.truth), recording)
            faults += _track_faults(recording, tracks, found)
            found["frames"] = len(tracks.time)
    except (ValueError, OSError) as error:
        faults.append(str(error))
    return found | {"seconds": found["frames"] / recording.fps, "fault": "; ".join(faults)}


def _track_faults(recording, tracks, found):
    """Where tracks contradict their row of the table; what they hold is written into `found`."""
    path = recording.tracks or recording.truth
    faults = _differences(recording, tracks.attrs, path)
    if bool(tracks.attrs["mirrored"]) != recording.mirrored:
        faults.append(f"{path}: expected mirrored {recording.mirrored} as in the table, got {not recording.mirrored}")
    if np.isfinite(found["frames"]) and len(tracks.time) != found["frames"]:
        faults.append(f"{path}: expected {found['frames']} frames as in the video, got {len(tracks.time)}")
    people = list(tracks.individuals.values)
    if len(people) > 1:
        return [*faults, f"{path}: expected one individual, got {', '.join(people)}; keep one"]
    found["keypoints"] = len(tracks.keypoints)
    found["unknown_percent"] = 100 * float(np.isnan(tracks.position).mean())
    if bool(np.isnan(tracks.confidence).all()):
        faults.append(f"{path}: expected a confidence of each keypoint, got none; set assumed_confidence")
    else:
        found["median_confidence"] = float(np.nanmedian(tracks.confidence))
    try:
        if not has_one_leg(tracks):
            select_side(tracks, recording.near_side)
        found["speed_px_s"] = forward_speed(orient(tracks, recording.direction, path))
    except ValueError as error:
        faults.append(str(error) if path in str(error) else f"{path}: {error}")
    return faults


def _differences(recording, file, path):
    """Where the rate or size of a file contradicts its row of the table."""
    faults = []
    if abs(file["fps"] - recording.fps) > 0.01 * recording.fps:
        faults.append(f"{path}: expected {recording.fps:g} frames/s as in the table, got {file['fps']:g}")
    for name in ("width_px", "height_px"):
        wanted = getattr(recording, name)
        if np.isfinite(wanted) and int(wanted) != int(file[name]):
            faults.append(f"{path}: expected {name} {int(wanted)} as in the table, got {int(file[name])}")
    return faults


def _unequal(study, table):
    """Trials whose views differ in length."""
    faults = []
    for walk, views in table.groupby([recording.walk for recording in recordings(study)]):
        if len(set(views.frames)) > 1:
            told = " and ".join(f"{int(v.frames)} ({v.view})" for v in views.itertuples())
            faults.append(
                f"{walk}: expected the same number of frames in all views, got {told}; "
                "cut the files to their common clock, or set unequal_views and the common clock of notebook 42"
            )
    return faults
