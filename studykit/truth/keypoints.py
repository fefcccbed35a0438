"""How far network tracks are from where the keypoints were: errors in px, and points put on the other leg."""

from pathlib import Path

import numpy as np
import pandas as pd

from studykit.datasets.labels import FAR, keypoints_of
from studykit.papers.thesis import FALSE_POSITIVES_PERCENT
from studykit.skeletons import LEG, SKELETONS
from studykit.study import recording_name
from studykit.tracks import load_tracks

GAIT6 = SKELETONS["gait6"].keypoints


def study_errors(study, folder, *, limit_px=8.0):
    """Errors of every tracked point of which the truth, or else another program's track, is known.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    folder : path-like
        With `<recording>.nc`, as `predict.predict_study` leaves it.
    limit_px : float
        A point farther than this from its place, and nearer to the same point of the other leg, lies on the wrong leg.

    Returns
    -------
    pandas.DataFrame
        A row a frame and keypoint inside the image: recording, participant, view, frame, keypoint, error_px,
        confidence (of the network), visible (False where the truth says that it is hidden), wrong_leg (NaN where the
        other leg's place is unknown, and for the neck), reference ("truth" or "tracks"). Empty if nothing is known.
    """
    tables = [_recording_errors(row, Path(folder), limit_px) for row in study.itertuples()]
    tables = [table for table in tables if table is not None]
    columns = ["recording", "participant", "view", "frame", "keypoint", "error_px", "confidence", "visible"]
    columns += ["wrong_leg", "reference"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _recording_errors(recording, folder, limit_px):
    path = folder / f"{recording_name(recording)}.nc"
    source = "truth" if recording.truth else "tracks" if recording.tracks else None
    if source is None or not path.is_file():
        return None
    found, known = load_tracks(path), _known(recording, source)
    frames = min(found.sizes["time"], known.sizes["time"])
    ours = _points(found, GAIT6)[:frames]
    theirs = _points(known, GAIT6)[:frames]
    error = np.linalg.norm(ours - theirs, axis=-1)
    wrong = np.full(error.shape, np.nan)
    if FAR[0] in known.keypoints.values:
        far = np.linalg.norm(ours[:, 1:] - _points(known, FAR)[:frames], axis=-1)
        wrong[:, 1:] = np.where(np.isnan(far), np.nan, (error[:, 1:] > limit_px) & (far < error[:, 1:]))
    seen = _confidence(known)[:frames] == 1 if source == "truth" else np.ones(error.shape, bool)
    frame, keypoint = np.meshgrid(np.arange(frames), np.array(GAIT6, dtype=object), indexing="ij")
    table = {"frame": frame, "keypoint": keypoint, "error_px": error, "confidence": _confidence(found)[:frames]}
    table |= {"visible": seen, "wrong_leg": wrong}
    table = pd.DataFrame({name: values.ravel() for name, values in table.items()})
    table = table.assign(
        recording=recording_name(recording), participant=recording.participant, view=recording.view, reference=source
    )
    return table[np.isfinite(table.error_px)]


def _known(recording, source):
    try:
        return keypoints_of(recording, source, far_leg=True)
    except ValueError:
        return keypoints_of(recording, source)  # tracks of one leg only


def _points(tracks, names):
    one = tracks.position.isel(individuals=0).sel(keypoints=list(names))
    return one.transpose("time", "keypoints", "space").values


def _confidence(tracks):
    one = tracks.confidence.isel(individuals=0).sel(keypoints=list(GAIT6))
    return one.transpose("time", "keypoints").values


def wrong_leg_table(errors, keypoints=LEG):
    """Share of points on the wrong leg by keypoint, beside thesis 002's false positives (section 2.4).

    Returns
    -------
    pandas.DataFrame
        keypoint, points, wrong_leg_percent, thesis_percent.
    """
    known = errors.dropna(subset=["wrong_leg"])
    rows = []
    for name in keypoints:
        wrong = known.wrong_leg[known.keypoint == name]
        share = 100 * wrong.astype(float).mean() if len(wrong) else np.nan
        rows.append((name, len(wrong), share, FALSE_POSITIVES_PERCENT.get(name, np.nan)))
    return pd.DataFrame(rows, columns=["keypoint", "points", "wrong_leg_percent", "thesis_percent"])


def error_table(errors, keypoints, *, p_cutoff=0.6, limit_px=8.0):
    """Errors by keypoint, all points and those whose confidence reaches the p-cutoff.

    Parameters
    ----------
    errors : pandas.DataFrame
        Columns keypoint, error_px and confidence, a row a point.
    keypoints : sequence of str
    p_cutoff : float
    limit_px : float
        "Within" means this near.

    Returns
    -------
    pandas.DataFrame
        A row a keypoint, then all together: points, median_px, mean_px, rmse_px, within_percent; the same with the
        ending `_cut` for the points that are kept; kept_percent.
    """
    rows = []
    for name in (*keypoints, "all"):
        some = errors if name == "all" else errors[errors.keypoint == name]
        kept = some[some.confidence >= p_cutoff]
        row = {"keypoint": name, "points": len(some)} | _error_numbers(some.error_px, limit_px, "")
        row |= _error_numbers(kept.error_px, limit_px, "_cut")
        rows.append(row | {"kept_percent": 100 * len(kept) / len(some) if len(some) else np.nan})
    return pd.DataFrame(rows)


def _error_numbers(error, limit_px, ending):
    error = error.to_numpy(float)
    numbers = {"median_px": np.nan, "mean_px": np.nan, "rmse_px": np.nan, "within_percent": np.nan}
    if len(error):
        numbers = {
            "median_px": np.median(error),
            "mean_px": error.mean(),
            "rmse_px": np.sqrt(np.mean(error**2)),
            "within_percent": 100 * np.mean(error <= limit_px),
        }
    return {name + ending: float(value) for name, value in numbers.items()}
