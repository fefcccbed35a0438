"""The user's own recordings: a Study table that points at videos, keypoint files or both.

Every file is looked into before anything long starts, and all faults are told together. Videos and our own tracks stay
where they are; keypoint files of other programs become tracks next to the new table.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from studykit.formats import import_tracks
from studykit.gait.views import forward_speed, has_one_leg, orient
from studykit.study import near_side, read_study, recording_name, recordings, trial_name, write_study
from studykit.tracks import load_tracks, save_tracks, select_side
from studykit.truth.file import load_truth
from studykit.truth.reference import truth_tracks
from studykit.video import probe


def table_study(source, folder, *, unequal_views=False, assumed_confidence=None):
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
    study = read_study(source)
    faults = []
    for index, row in study.iterrows():
        try:
            row = _with_size(row)
            row["tracks"] = _own_tracks(row, folder, assumed_confidence)
            study.loc[index, ["width_px", "height_px", "tracks"]] = row[["width_px", "height_px", "tracks"]]
        except (ValueError, OSError) as error:
            faults.append(str(error))
    if not faults:
        table = check_recordings(study)
        faults = [fault for told in table.fault for fault in told.split("; ") if fault]
        faults += [] if unequal_views else _unequal(study, table)
    if faults:
        raise ValueError(f"{source}: " + "; ".join(faults))
    write_study(study, folder / "study.csv")
    return study


def _with_size(row):
    """The recording with the size of its image, taken from the video where there is one."""
    if row.video:
        video = probe(row.video)
        return row.fillna({"width_px": video.width_px, "height_px": video.height_px})
    if Path(row.tracks).suffix == ".nc":
        attributes = load_tracks(row.tracks).attrs
        return row.fillna({key: attributes[key] for key in ("width_px", "height_px")})
    if np.isnan(row.width_px) or np.isnan(row.height_px):
        raise ValueError(f"{recording_name(row)}: expected width_px and height_px where there is no video, got none")
    return row


def _own_tracks(row, folder, assumed_confidence):
    """Path of the recording's tracks, imported if they are another program's; "" if there are none."""
    if not row.tracks or (Path(row.tracks).suffix == ".nc" and assumed_confidence is None):
        return row.tracks
    tracks = import_tracks(row.tracks, row.fps, row.width_px, row.height_px)
    tracks = tracks.assign_attrs(mirrored=int(row.mirrored))
    if assumed_confidence is not None and bool(np.isnan(tracks.confidence).all()):
        known = np.isfinite(tracks.position).all("space")
        tracks = tracks.assign(confidence=known.astype(float) * assumed_confidence)
    path = folder / "tracks" / f"{recording_name(row)}.nc"
    save_tracks(tracks, path)
    return str(path)


def check_recordings(study):
    """What each recording holds, and whether it fits its row of the Study table.

    Parameters
    ----------
    study : pandas.DataFrame
        As `study.read_study` gives it.

    Returns
    -------
    pandas.DataFrame
        A row a recording: participant, trial, view, frames, seconds, keypoints, unknown_percent (positions that are
        not known), median_confidence, speed_px_s (along the walk) and fault, "" if there is none.
    """
    rows = [_check(row) for _, row in study.iterrows()]
    return pd.concat([study[["participant", "trial", "view"]].reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def describe(study):
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


def _check(row):
    found = {"frames": np.nan, "seconds": np.nan, "keypoints": "", "unknown_percent": np.nan}
    found |= {"median_confidence": np.nan, "speed_px_s": np.nan, "fault": ""}
    faults = []
    if row.video:
        try:
            video = probe(row.video)
            found["frames"] = video.frames
            faults += _differences(row, video.fps, video.width_px, video.height_px, row.video)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    if row.tracks or row.truth:
        try:
            tracks = load_tracks(row.tracks) if row.tracks else _true_tracks(row)
            faults += _track_faults(row, tracks, found)
            found["frames"] = len(tracks.time)
        except (ValueError, OSError) as error:
            faults.append(str(error))
    found["seconds"] = found["frames"] / row.fps
    return found | {"fault": "; ".join(faults)}


def _true_tracks(row):
    """Where there are no tracks yet but a truth file, its keypoints as the stored image shows them."""
    (recording,) = recordings(pd.DataFrame([row]))
    return truth_tracks(load_truth(row.truth), recording)


def _track_faults(row, tracks, found):
    path = row.tracks or row.truth
    attributes = tracks.attrs
    faults = _differences(row, attributes["fps"], attributes["width_px"], attributes["height_px"], path)
    if bool(attributes["mirrored"]) != bool(row.mirrored):
        faults.append(f"{path}: expected mirrored {row.mirrored} as in the table, got {not row.mirrored}")
    if np.isfinite(found["frames"]) and len(tracks.time) != found["frames"]:
        faults.append(f"{path}: expected {found['frames']} frames as in the video, got {len(tracks.time)}")
    people = list(tracks.individuals.values)
    if len(people) > 1:
        faults.append(f"{path}: expected one individual, got {', '.join(people)}; keep one")
        return faults
    found["keypoints"] = len(tracks.keypoints)
    found["unknown_percent"] = 100 * float(np.isnan(tracks.position).mean())
    if bool(np.isnan(tracks.confidence).all()):
        faults.append(f"{path}: expected a confidence of each keypoint, got none; set assumed_confidence")
    else:
        found["median_confidence"] = float(np.nanmedian(tracks.confidence))
    try:
        if not has_one_leg(tracks):
            select_side(tracks, near_side(row))
        found["speed_px_s"] = forward_speed(orient(tracks, row.direction, path))
    except ValueError as error:
        faults.append(str(error) if path in str(error) else f"{path}: {error}")
    return faults


def _differences(row, fps, width_px, height_px, path):
    """Where a file contradicts its row of the table."""
    faults = []
    if abs(fps - row.fps) > 0.01 * row.fps:
        faults.append(f"{path}: expected {row.fps:g} frames/s as in the table, got {fps:g}")
    for name, value in (("width_px", width_px), ("height_px", height_px)):
        if np.isfinite(row[name]) and int(row[name]) != int(value):
            faults.append(f"{path}: expected {name} {int(row[name])} as in the table, got {int(value)}")
    return faults


def _unequal(study, table):
    """Trials whose views differ in length."""
    faults = []
    for _, views in table.groupby([trial_name(row) for _, row in study.iterrows()]):
        if len(set(views.frames)) > 1:
            told = " and ".join(f"{int(v.frames)} ({v.view})" for v in views.itertuples())
            faults.append(
                f"{trial_name(views.iloc[0])}: expected the same number of frames in all views, got {told}; "
                "cut the files to their common clock, or set unequal_views and the common clock of notebook 42"
            )
    return faults
