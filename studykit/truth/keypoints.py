"""How far tracked keypoints are from where they truly were, and which lie on the other leg."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from studykit.gait.views import GAIT6, near_leg, orient
from studykit.papers.published import FALSE_POSITIVES_PERCENT
from studykit.skeletons import LEG
from studykit.study import Recording, recordings
from studykit.tracks import load_tracks
from studykit.truth.file import load_truth
from studykit.truth.reference import FAR, OTHER, Trials, keypoints_of, on_clock, true_leg

# A point closer to its place than about the width of a limb still lies on that limb: 0.12 m in the laboratory's images.
# It is also how near to the other leg the cleaning looks for swaps (`near_other_px`).
WRONG_LIMB_PX = 20.0


def on_wrong_limb(own_px: np.ndarray, other_px: np.ndarray) -> np.ndarray:
    """Whether points lie on the wrong limb: beyond `WRONG_LIMB_PX` from their own place, nearer to the other leg's.

    Parameters
    ----------
    own_px, other_px : ndarray
        Distances from the point's true place, and from that of the same point of the other leg, px. Unknown ones (NaN)
        are on no wrong limb. Nor are points less far from their place: where the legs cross, both limbs are right.
    """
    return (own_px > WRONG_LIMB_PX) & (other_px < own_px)


def study_errors(study: pd.DataFrame, folder: Path | str) -> pd.DataFrame:
    """Errors of every tracked point of which the ground truth, or else another program's track, is known.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    folder : path-like
        With `<recording>.nc`, as `pose.prediction.predict_study` leaves it.

    Returns
    -------
    pandas.DataFrame
        A row per frame and keypoint inside the image: recording, participant, view, frame, keypoint, error_px,
        confidence (of the network), visible (False where the ground truth says that it is hidden), wrong_leg (see
        `on_wrong_limb`; NaN where the other leg's place is unknown, and for the neck), reference ("truth" or "tracks").
        Empty if nothing is known.
    """
    tables = [
        _recording_errors(recording, path, "truth" if recording.truth else "tracks")
        for recording in recordings(study)
        if (recording.truth or recording.tracks) and (path := Path(folder) / f"{recording.name}.nc").is_file()
    ]
    columns = ["recording", "participant", "view", "frame", "keypoint", "error_px", "confidence", "visible"]
    columns += ["wrong_leg", "reference"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _recording_errors(recording, path, source):
    try:
        known = keypoints_of(recording, source, far_leg=True)
    except ValueError:
        known = keypoints_of(recording, source)  # tracks of one leg only
    found = load_tracks(path)
    frames = slice(min(found.sizes["time"], known.sizes["time"]))
    ours = _points(found, GAIT6)[frames]
    error = np.linalg.norm(ours - _points(known, GAIT6)[frames], axis=-1)
    wrong = np.full(error.shape, np.nan)
    if FAR[0] in known.keypoints.values:
        far = np.linalg.norm(ours[:, 1:] - _points(known, FAR)[frames], axis=-1)
        wrong[:, 1:] = np.where(np.isnan(far), np.nan, on_wrong_limb(error[:, 1:], far))
    sure, seen = (_points(tracks, GAIT6, "confidence")[frames] for tracks in (found, known))
    seen = (seen == 1) | (source != "truth")
    table = {"error_px": error, "confidence": sure, "visible": seen, "wrong_leg": wrong}
    table = _table("frame", np.arange(len(error)), table)
    who = {"recording": recording.name, "participant": recording.participant, "view": recording.view}
    return table.assign(**who, reference=source)[np.isfinite(table.error_px)]


def _points(tracks, names, variable="position"):
    """Positions (time, K, 2), or confidence (time, K)."""
    one = tracks[variable].isel(individuals=0).sel(keypoints=list(names))
    return one.transpose("time", "keypoints", ...).values


def _table(index, values, columns):
    """Arrays (time, K) of the points of gait6 as columns, a row per frame and keypoint."""
    frame, keypoint = np.meshgrid(values, np.array(GAIT6, dtype=object), indexing="ij")
    columns = {index: frame, "keypoint": keypoint, **columns}
    return pd.DataFrame({name: array.ravel() for name, array in columns.items()})


def wrong_leg_table(errors: pd.DataFrame, keypoints: Sequence[str] = LEG) -> pd.DataFrame:
    """Share of points on the wrong leg by keypoint, beside thesis 002's false positives (section 2.4).

    Returns
    -------
    pandas.DataFrame
        keypoint, points, wrong_leg_percent, thesis_percent.
    """
    known = errors.dropna(subset=["wrong_leg"]).astype({"wrong_leg": float}).groupby("keypoint").wrong_leg
    table = pd.DataFrame({"points": known.size(), "wrong_leg_percent": 100 * known.mean()}).reindex(list(keypoints))
    table = table.fillna({"points": 0}).astype({"points": int}).rename_axis("keypoint").reset_index()
    return table.assign(thesis_percent=table.keypoint.map(FALSE_POSITIVES_PERCENT))


def error_table(
    errors: pd.DataFrame, keypoints: Sequence[str], *, p_cutoff: float = 0.6, limit_px: float = 8.0
) -> pd.DataFrame:
    """Errors by keypoint, all points and those whose confidence reaches the p-cutoff.

    Parameters
    ----------
    errors : pandas.DataFrame
        Columns keypoint, error_px and confidence, a row per point.
    keypoints : sequence of str
    p_cutoff : float
    limit_px : float
        "Within" means this near.

    Returns
    -------
    pandas.DataFrame
        A row per keypoint, then all together: points, median_px, mean_px, rmse_px, within_percent; the same with the
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
    error = error.astype(float)
    numbers = {"median_px": error.median(), "mean_px": error.mean(), "rmse_px": np.sqrt((error**2).mean())}
    numbers["within_percent"] = 100 * (error <= limit_px).mean()
    return {f"{name}{ending}": number for name, number in numbers.items()}


def count_wrong_limb(study: pd.DataFrame, trials: Trials, counts: pd.DataFrame) -> pd.DataFrame:
    """Counts of the cleaning, and how many points lay on the wrong limb before and after it.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    trials : dict of str to xarray.Dataset
        Aligned trials, as from `gait.align.align_study`.
    counts : pandas.DataFrame
        A row per participant, trial, view and keypoint.

    Returns
    -------
    pandas.DataFrame
        With columns n_false_positive and n_false_positive_left (see `on_wrong_limb`) where the ground truth of a
        recording is known; otherwise the counts as they are.
    """
    tables = [
        _wrong_limb(recording, trials[recording.walk].sel(view=recording.view))
        for recording in recordings(study)
        if recording.truth and recording.walk in trials
    ]
    return counts.merge(pd.concat(tables), "left") if tables else counts


def _wrong_limb(recording, trial):
    side, names = str(trial.side.item()), trial.keypoints.values.astype(str)
    truth = on_clock(load_truth(recording.truth), int(trial.first_frame))
    legs = [_points(true_leg(truth, recording, leg), names)[: len(trial.time)] for leg in (side, OTHER[side])]
    table = {key: getattr(recording, key) for key in ("participant", "trial", "view")} | {"keypoint": names}
    for column, position in {"n_false_positive": "position_raw", "n_false_positive_left": "position"}.items():
        points = _points(trial.assign(position=trial.get(f"{position}_px", trial[position])), names)
        table[column] = on_wrong_limb(*(np.linalg.norm(points - leg, axis=-1) for leg in legs)).sum(0)
    return pd.DataFrame(table)


def false_positive_summary(total: pd.DataFrame, found: Sequence[str]) -> pd.DataFrame:
    """Rates of wrong points per keypoint beside those of thesis 002.

    Parameters
    ----------
    total : pandas.DataFrame
        Counts per keypoint (the index), summed over recordings.
    found : sequence of str
        Counts of points that the cleaning rules took for wrong.

    Returns
    -------
    pandas.DataFrame
        keypoint, and in percent of frames: paper, detected, wrong_limb and wrong_limb_left (before and after cleaning;
        NaN without ground truth), missing.
    """
    total = total.reindex(columns=total.columns.union(["n_false_positive", "n_false_positive_left"]))
    rates = 100 * total.div(total.n_frames, axis=0)
    table = {
        "paper_percent": rates.index.map(FALSE_POSITIVES_PERCENT),
        "detected_percent": rates[list(found)].sum(axis=1),
        "wrong_limb_percent": rates.n_false_positive,
        "wrong_limb_left_percent": rates.n_false_positive_left,
        "missing_percent": rates.n_left_missing,
    }
    return pd.DataFrame(table, index=total.index).rename_axis("keypoint").reset_index()


def wrong_limb_numbers(summary: pd.DataFrame) -> dict[str, float]:
    """Headline numbers of `false_positive_summary`, of the keypoints that the thesis counted."""
    counted, kinds = summary[summary.paper_percent.notna()].set_index("keypoint"), ("wrong_limb", "wrong_limb_left")
    return {f"{kind}_{name}_percent": counted[f"{kind}_percent"][name] for kind in kinds for name in counted.index}


def wrong_limb_verdict(summary: pd.DataFrame) -> str:
    """How many points lay on the wrong limb, in words."""
    mean = summary[summary.paper_percent.notna()].mean(numeric_only=True)
    known = (
        f"{mean.wrong_limb_percent:.2f} % of these points lay on the wrong limb before cleaning, "
        f"{mean.wrong_limb_left_percent:.2f} % after it."
    )
    if np.isnan(mean.wrong_limb_percent):
        known = "How many points lay on the wrong limb cannot be known without ground truth."
    return (
        f"The rules detected {mean.detected_percent:.2f} % of knee, ankle, heel and toe points as wrong (the thesis "
        f"reports {mean.paper_percent:.2f} % on a wrong limb). {known}"
    )


def keypoint_errors(found: xr.Dataset, true: xr.Dataset) -> pd.DataFrame:
    """Distance of every tracked point from where it was, in walking coordinates.

    Parameters
    ----------
    found, true : xarray.Dataset
        Tracks of one view in the same coordinates; of `true`, confidence says what could be seen (`true_leg`).

    Returns
    -------
    pandas.DataFrame
        A row per frame and keypoint inside the image: time_s, keypoint, visible, along, up (found - true), distance;
        px, or the tracks' unit. NaN where no point was found.

    Raises
    ------
    ValueError
        If the two have different clocks or coordinate systems.
    """
    for what in ("coordinate_system", "width_px"):
        if found.attrs[what] != true.attrs[what]:
            raise ValueError(f"expected tracks and truth with one {what}, got {found.attrs[what]}, {true.attrs[what]}")
    if not np.array_equal(found.time.values, true.time.values):
        raise ValueError(f"expected tracks and truth on one clock, got {len(found.time)} and {len(true.time)} frames")
    error, seen = _points(found, GAIT6) - _points(true, GAIT6), _points(true, GAIT6, "confidence")
    table = _table("time_s", true.time.values, {"visible": seen == 1, "along": error[..., 0], "up": error[..., 1]})
    return table.assign(distance=np.hypot(table.along, table.up))[seen.ravel() > 0].reset_index(drop=True)


def pixel_summary(errors: pd.DataFrame, by: Sequence[str], *, within_px: float = 8.0) -> pd.DataFrame:
    """Keypoint errors in one row per group.

    Parameters
    ----------
    errors : pandas.DataFrame
        Rows of `keypoint_errors`.
    by : list of str
    within_px : float

    Returns
    -------
    pandas.DataFrame
        n (points in the image), found_percent, median_px, p95_px, within_<...>px_percent (of all n), bias_along_px,
        bias_up_px.
    """
    groups = errors.assign(within=errors.distance <= within_px).groupby(list(by), sort=False, observed=True)
    distance, n = groups.distance, groups.distance.size()
    table = {"n": n, "found_percent": 100 * distance.count() / n, "median_px": distance.median()}
    table |= {"p95_px": distance.quantile(0.95), f"within_{within_px:g}px_percent": 100 * groups.within.mean()}
    table |= {"bias_along_px": groups.along.median(), "bias_up_px": groups.up.median()}
    return pd.DataFrame(table).reset_index()


def step_errors(
    study: pd.DataFrame, trials: Trials, truths: Trials, tracks: Callable[[Recording], xr.Dataset]
) -> pd.DataFrame:
    """`keypoint_errors` of every recording after each step: network, aligned, cleaned.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    trials, truths : dict of str to xarray.Dataset
        Aligned trials, and ground truth on their clock (`reference.load_truths`).
    tracks : callable
        Loads the tracks of a `Recording` that the trials were made from.

    Returns
    -------
    pandas.DataFrame
        With columns step, participant, trial, view. Aligned and cleaned tracks count where they are of the near leg,
        in px.
    """
    tables = []
    for recording in (r for r in recordings(study) if r.walk in truths):
        trial, near = trials[recording.walk].sel(view=recording.view), recording.near_side
        true = true_leg(truths[recording.walk], recording, near)
        steps = {"network": near_leg(orient(tracks(recording), recording.direction))}
        if trial.attrs["unit"] == "px" and trial.side.item() == near:
            steps |= {"aligned": trial.assign(position=trial.position_raw), "cleaned": trial}
        who = {key: getattr(recording, key) for key in ("participant", "trial", "view")}
        tables += [keypoint_errors(found, true).assign(step=step, **who) for step, found in steps.items()]
    return pd.concat(tables, ignore_index=True)
