"""Heel strikes and toe-offs of one leg, timed between frames.

Tracks are gait6 in walking coordinates (x grows along the walk, y upward), so that both walking directions are alike.
"""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.interpolate import CubicSpline
from scipy.signal import find_peaks

from studykit.gait.views import parabola_peak

METHODS = ("velocity", "distance")
# Share of the walking speed below which a heel has landed and above which a toe has left. Half suits a sudden change.
# A toe starts slowly: 12 simulated walkers, who are in no study, would want 0.3, motion capture of real ones 0.6.
LANDED, LEFT = 0.5, 0.45
REFERENCES = ("neck", "mid_hip")
# A foot lands in the foremost third of the range of its distances from the body, and leaves in the hindmost. Shares of
# 0.6 to 0.75 find the same events.
FAR = 2 / 3


def heel_strikes(ankle: np.ndarray, reference: np.ndarray, fps: float, *, min_stride_s: float = 0.6) -> np.ndarray:
    """Heel strikes of one foot from its horizontal distance to the body.

    A foot lands when it is farthest ahead of the reference point (Zeni et al. 2008, Gait Posture 27:710; thesis 002,
    section 2.5). The peak of a parabola through the three samples around each maximum gives sub-frame times. Forward
    swing ends a little before the foot is on the ground, so that these times are early by about 0.02 s.

    Parameters
    ----------
    ankle, reference : ndarray (time,)
        Position along the walk; x grows in the walking direction. NaN where unknown.
    fps : float
        Frames per second.
    min_stride_s : float
        Two strikes of one foot are at least this far apart, s.

    Returns
    -------
    ndarray (strikes,)
        Times of heel strike, s, ascending. A maximum at the record's first or last frame is none, nor is one that is
        not in the foremost third of the range of distances.

    Raises
    ------
    ValueError
        If the tracks differ in length, or fewer samples than one stride's are known.
    """
    return _farthest(ankle, reference, 1, fps, min_stride_s)


def toe_offs(ankle: np.ndarray, reference: np.ndarray, fps: float, *, min_stride_s: float = 0.6) -> np.ndarray:
    """Toe-offs of one foot: where it is farthest behind the reference; otherwise as `heel_strikes`."""
    return _farthest(ankle, reference, -1, fps, min_stride_s)


def _farthest(ankle, reference, sign, fps, min_stride_s):
    """Times at which the ankle is farthest ahead of (`sign` 1) or behind (-1) the reference, s."""
    ankle, reference = np.asarray(ankle, float), np.asarray(reference, float)
    if ankle.shape != reference.shape:
        raise ValueError(
            f"expected ankle and reference of one length, got {ankle.shape} and {reference.shape}; cut both alike"
        )
    distance = sign * (ankle - reference)
    known = np.isfinite(distance)
    if known.sum() < min_stride_s * fps:
        raise ValueError(
            f"expected at least one stride ({min_stride_s:g} s, {round(min_stride_s * fps)} frames) of known "
            f"positions, got {int(known.sum())} frames"
        )
    frames = np.arange(len(distance))
    bridged = np.interp(frames, frames[known], distance[known])
    # A step's swing spans the whole range; ripples within stance do not. The rise to the first peak may have happened
    # before the record began, so both ends are taken as low. A peak half-way is where a tracker went over to the other
    # leg as the two passed.
    low, extent = bridged.min(), np.ptp(bridged)
    padded = np.pad(bridged, 1, constant_values=low)
    apart = max(1, round(min_stride_s * fps))
    peaks, _ = find_peaks(padded, distance=apart, prominence=0.3 * extent, height=low + FAR * extent)
    peaks = [p for p in peaks - 1 if 0 < p < len(known) - 1 and known[p - 1 : p + 2].all()]
    return np.array([p + parabola_peak(bridged, p) for p in peaks]) / fps


def speed_changes(
    x: np.ndarray, fps: float, near: np.ndarray, *, stops: bool, speed: float, before_s: float, after_s: float
) -> np.ndarray:
    """When a foot stops or starts: its forward speed passes a share of the walking speed.

    A foot swings at about the body's speed just before it lands, and stands still after; the toe lies still until it
    leaves. A camera of 25 frames per second, and any zero-lag filter, spreads that change over some frames, evenly to
    both sides, so that its middle stays where it was. A cubic spline through the samples gives sub-frame times.

    Parameters
    ----------
    x : ndarray (time,)
        Position along the walk, NaN where unknown.
    fps : float
        Frames per second.
    near : ndarray (events,)
        Rough times to look around, s.
    stops : bool
        Whether the foot stops (heel strike, `LANDED`) or starts (toe-off, `LEFT`).
    speed : float
        Walking speed, units of `x` per second.
    before_s, after_s : float
        How far from the rough time to look. Of several passages the one next to the swing counts: the first if the
        foot stops, the last if it starts.

    Returns
    -------
    ndarray (events,)
        s; NaN where the speed does not pass that value, or positions around are unknown.
    """
    known = np.flatnonzero(np.isfinite(x))
    spline = CubicSpline(known / fps, x[known])
    out = np.full(len(near), np.nan)
    for i, time in enumerate(near):
        # Near an end of the record look only as far as it goes.
        fine = np.arange(max(0.0, time - before_s), min((len(x) - 1) / fps, time + after_s), 0.001)
        frames = np.arange(int(fine[0] * fps), min(len(x), int(np.ceil(fine[-1] * fps)) + 1))
        if not np.isfinite(x[frames]).all():
            continue
        fast = spline(fine, 1) > (LANDED if stops else LEFT) * speed
        passes = np.flatnonzero(fast[:-1] & ~fast[1:] if stops else ~fast[:-1] & fast[1:])
        if len(passes):
            out[i] = fine[passes[0 if stops else -1]] + 0.0005
    return out


def find_events(
    tracks: xr.Dataset, *, reference: str = "neck", method: str = "velocity", min_stride_s: float = 0.6
) -> pd.DataFrame:
    """Heel strikes and toe-offs of the tracks' leg.

    Parameters
    ----------
    tracks : xarray.Dataset
        gait6, walking coordinates, one individual, one view.
    reference : {"neck", "mid_hip"}
        The body's position. gait6 has one hip, which stands for their middle.
    method : {"velocity", "distance"}
        "distance": the ankle farthest ahead of and behind the reference (thesis 002).
        "velocity": the heel stops, the toe starts, see `speed_changes`, near where foot (mean of ankle, heel and toe)
        and toe are farthest ahead and behind.
    min_stride_s : float

    Returns
    -------
    pandas.DataFrame
        Columns event ("heel_strike", "toe_off"), time_s; ascending; none where less than a stride is known.

    Raises
    ------
    ValueError
        If reference or method are unknown.
    """
    if method not in METHODS:
        raise ValueError(f"expected method one of {METHODS}, got {method!r}")
    x = {str(k): tracks.position.sel(keypoints=k, space="x").values[:, 0] for k in tracks.keypoints.values}
    body = x[reference_point(reference)]
    fps, start = tracks.attrs["fps"], float(tracks.time[0])
    if np.isfinite(x["ankle"] + x["heel"] + x["toe"] + body).sum() < min_stride_s * fps:
        return pd.DataFrame({"event": pd.Series(dtype=str), "time_s": pd.Series(dtype=float)})
    if method == "distance":
        strikes = heel_strikes(x["ankle"], body, fps, min_stride_s=min_stride_s)
        offs = toe_offs(x["ankle"], body, fps, min_stride_s=min_stride_s)
    else:
        foot, known = (x["ankle"] + x["heel"] + x["toe"]) / 3, np.isfinite(body)
        speed = float(np.polyfit(np.flatnonzero(known) / fps, body[known], 1)[0])
        ahead = heel_strikes(foot, body, fps, min_stride_s=min_stride_s)
        behind = toe_offs(x["toe"], body, fps, min_stride_s=min_stride_s)
        strikes = speed_changes(x["heel"], fps, ahead, stops=True, speed=speed, before_s=0.04, after_s=0.16)
        offs = speed_changes(x["toe"], fps, behind, stops=False, speed=speed, before_s=0.2, after_s=0.02)
    kinds = np.repeat(["heel_strike", "toe_off"], [len(strikes), len(offs)])
    events = pd.DataFrame({"event": kinds, "time_s": np.concatenate([strikes, offs]) + start})
    return events.dropna().sort_values("time_s", kind="stable").reset_index(drop=True)


def reference_point(reference: str) -> str:
    """The gait6 keypoint that stands for the body: "neck", or "hip" for "mid_hip"."""
    if reference not in REFERENCES:
        raise ValueError(f"expected reference one of {REFERENCES}, got {reference!r}")
    return "neck" if reference == "neck" else "hip"
