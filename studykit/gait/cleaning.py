"""Tracks without the pose network's mistakes: the published rules, and more careful ones; every step counted.

Positions are in px of walking coordinates, gait6 (one leg and the neck). "The other leg" is the person's other leg in
the same coordinates: the far leg of the same view where the tracks hold it, otherwise what the opposite camera saw
(`views.opposite_as_far`).
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.interpolate import PchipInterpolator
from scipy.signal import butter, filtfilt

from studykit.tracks import log_step

# Rules, and the counts of points that they took for wrong.
DETECTED = {"robust": ("n_outlier", "n_swap"), "paper": ("n_interpolated", "n_extrapolated")}
COUNTS = ["n_frames", "n_low_confidence", "n_outlier", "n_swap", "n_interpolated", "n_extrapolated", "n_left_missing"]
BREAK_COST = 2.0  # what `longest_path` pays for leaving out one or more frames in a row, in frames of weight 1
Cleaned = tuple[np.ndarray, dict[str, int]]


@dataclass(frozen=True)
class Rules:
    """Rules of cleaning.

    Attributes
    ----------
    method : {"robust", "paper"}
        See `clean_robust` and `clean_paper`.
    p_cutoff : float
        Points of lower confidence are missing ("robust" only). Tracks without confidence skip this.
    max_step_px : float
        A point that moves farther than this from one frame to the next is wrong: the paper's margin.
    near_other_px : float
        A wrong point this close to the same point of the other leg was put on the wrong limb.
    max_gap_s : float
        Longer gaps stay open, s ("robust" only).
    low_pass_hz : float
        Cut-off of the low-pass filter, 0 for none ("robust" only).

    Raises
    ------
    ValueError
        If the method is unknown.
    """

    method: str = "robust"
    p_cutoff: float = 0.3
    max_step_px: float = 40.0
    near_other_px: float = 20.0
    max_gap_s: float = 0.4
    low_pass_hz: float = 6.0

    def __post_init__(self) -> None:
        """Check the method."""
        if self.method not in DETECTED:
            raise ValueError(f"expected cleaning one of {tuple(DETECTED)}, got {self.method!r}")


ROBUST = Rules()


def clean(
    tracks: xr.Dataset, other: xr.Dataset | None = None, rules: Rules = ROBUST
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Clean one view's tracks.

    Parameters
    ----------
    tracks : xarray.Dataset
        gait6, walking coordinates, px, one individual.
    other : xarray.Dataset, optional
        The other leg on the same clock; without it no limb swap can be told from another outlier.
    rules : Rules

    Returns
    -------
    cleaned : xarray.Dataset
    counts : pandas.DataFrame
        A row per keypoint, columns `COUNTS`.

    Raises
    ------
    ValueError
        If the other leg has another clock.
    """
    names = [str(name) for name in tracks.keypoints.values]
    position, confidence = tracks.position.values[..., 0], tracks.confidence.values[..., 0]
    elsewhere = np.full_like(position, np.nan)
    if other is not None:
        if not np.array_equal(other.time.values, tracks.time.values):
            raise ValueError("expected the other leg on the same clock, got another; align the views first")
        elsewhere = other.position.sel(keypoints=names).values[..., 0].copy()
        elsewhere[:, :, names.index("neck")] = np.nan  # the neck has no other side
    out, rows = np.empty_like(position), []
    for k, name in enumerate(names):
        own, far = position[:, :, k], elsewhere[:, :, k]
        if rules.method == "paper":
            out[:, :, k], count = clean_paper(own, far, rules)
        else:
            out[:, :, k], count = clean_robust(own, confidence[:, k], far, tracks.attrs["fps"], rules)
        rows.append({"keypoint": name, "n_left_missing": int(np.isnan(out[:, :, k]).any(1).sum()), **count})
    counts = pd.DataFrame(rows).assign(n_frames=len(position)).reindex(columns=["keypoint", *COUNTS], fill_value=0)
    used = asdict(rules).items() if rules.method == "robust" else list(asdict(rules).items())[:4]
    told = ", ".join(f"{name}={value}" for name, value in used).replace("method=", "cleaned: ")
    return log_step(tracks.assign(position=tracks.position.copy(data=out[..., None])), told), counts


def total_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Counts per keypoint (the index), summed over all recordings."""
    return counts.groupby("keypoint", sort=False).sum(numeric_only=True).drop(columns="trial")


def clean_paper(position: np.ndarray, other: np.ndarray, rules: Rules) -> Cleaned:
    """The rules of thesis 002, section 2.4, word for word: x only, two samples, frame after frame.

    Interpolation: an x that differs by the margin from the previous and from the next frame becomes their average.
    Extrapolation: an x that differs by the margin from the previous one and is close to the other leg is continued
    from the two frames before. The thesis gives no margins. Missing points stay so.

    Parameters
    ----------
    position, other : ndarray (time, 2)
        The point, and the same point of the other leg, px; NaN where unknown.
    rules : Rules
        `max_step_px` is the margin, `near_other_px` "close".

    Returns
    -------
    cleaned : ndarray (time, 2)
    counts : dict of str to int
    """
    out = position.copy()
    x = out[:, 0]
    interpolated = extrapolated = 0
    for t in range(1, len(x)):
        if not abs(x[t] - x[t - 1]) > rules.max_step_px:
            continue
        if t + 1 < len(x) and abs(x[t] - x[t + 1]) > rules.max_step_px:
            x[t] = (x[t - 1] + x[t + 1]) / 2
            interpolated += 1
        elif t > 1 and abs(x[t] - other[t, 0]) < rules.near_other_px and np.isfinite(x[t - 2]):
            x[t] = 2 * x[t - 1] - x[t - 2]
            extrapolated += 1
    return out, {"n_interpolated": interpolated, "n_extrapolated": extrapolated}


def clean_robust(position: np.ndarray, confidence: np.ndarray, other: np.ndarray, fps: float, rules: Rules) -> Cleaned:
    """What the discussion of thesis 002 asks for: both axes, more samples, confidence, the other leg.

    1. Points below the cut-off of confidence are missing.
    2. The longest path: of all remaining frames the largest set through which the point never moves faster than
       `plausible_step`; frames next to the other leg count half, so that of two rival paths the near leg's wins.
    3. Outliers of what is left (Hampel): farther from a local parabola, fitted robustly over 9 frames without the
       frame itself, than 4 scaled median absolute deviations and 4 px.
    4. A point dropped in 2 or 3 that lies at the other leg, and nearer to it than to where it should be, was a limb
       swap; others are outliers.
    5. Gaps up to `max_gap_s` are filled by monotone cubics (PCHIP); ends are not extrapolated.
    6. A zero-lag Butterworth low-pass of fourth order.

    Parameters
    ----------
    position, other : ndarray (time, 2)
        px, NaN where unknown.
    confidence : ndarray (time,)
        NaN where the source has none.
    fps : float
    rules : Rules

    Returns
    -------
    cleaned : ndarray (time, 2)
    counts : dict of str to int
    """
    given, beside = np.isfinite(position).all(1), np.linalg.norm(position - other, axis=1)
    unsure = given & (confidence < rules.p_cutoff)
    kept = given & ~unsure
    weight = np.where(beside < rules.near_other_px, 0.5, 1.0)
    step_px = plausible_step(position, kept, rules.max_step_px)
    kept[kept] = longest_path(position[kept], np.flatnonzero(kept), step_px, weight[kept])
    kept &= ~_off_the_curve(position, kept)
    dropped = given & ~unsure & ~kept
    filled, interpolated = _fill(position, kept, round(rules.max_gap_s * fps))
    expected, _ = _fill(position, kept, len(position))
    away = np.linalg.norm(position - expected, axis=1)
    swap = dropped & (beside < rules.near_other_px) & ~(away <= beside)
    counted = {"n_low_confidence": unsure, "n_outlier": dropped & ~swap, "n_swap": swap, "n_interpolated": interpolated}
    return _low_pass(filled, fps, rules.low_pass_hz), {name: int(which.sum()) for name, which in counted.items()}


def plausible_step(position: np.ndarray, known: np.ndarray, max_step_px: float) -> float:
    """Farthest that a point can move between frames, px: 1.25 times its own 90th percentile and 6 px for noise.

    Wrong points are rare enough not to move that percentile; `max_step_px` bounds it all the same.
    """
    frames = np.flatnonzero(known)
    if len(frames) < 3:
        return max_step_px
    step = np.linalg.norm(np.diff(position[frames], axis=0), axis=1)[np.diff(frames) == 1]
    return min(max_step_px, 6 + 1.25 * np.percentile(step, 90)) if len(step) else max_step_px


def longest_path(points: np.ndarray, frames: np.ndarray, step_px: float, weight: np.ndarray) -> np.ndarray:
    """The heaviest subset of frames through which a point moves at most `step_px` per frame.

    Every break of the path costs something too (`BREAK_COST`). Without that, a path would leave out some right frames
    to make room for a jump to wrong ones.

    Parameters
    ----------
    points : ndarray (n, 2)
    frames : ndarray (n,) of int
        Frame numbers, ascending.
    step_px : float
    weight : ndarray (n,)
        Worth of each frame, above 0.

    Returns
    -------
    ndarray (n,) of bool
    """
    n = len(points)
    keep = np.zeros(n, bool)
    best, came_from = weight.astype(float), np.full(n, -1)
    for i in range(1, n):
        gap = frames[i] - frames[:i]
        reachable = np.linalg.norm(points[i] - points[:i], axis=1) <= step_px * gap
        if reachable.any():
            worth = np.where(reachable, best[:i] - BREAK_COST * (np.arange(i) < i - 1), -np.inf)
            j = i - 1 - int(np.argmax(worth[::-1]))  # the latest of equally good predecessors: the shortest gap
            if worth[j] > 0:
                best[i] += worth[j]
                came_from[i] = j
    i = int(np.argmax(best)) if n else -1
    while i >= 0:
        keep[i] = True
        i = came_from[i]
    return keep


def _off_the_curve(position, kept, reach=4):
    """Hampel's outliers: frames far from a robust local parabola through their neighbours."""
    off = np.zeros(len(position), bool)
    for values in np.where(kept, position.T, np.nan):
        residual = values - local_parabola(values, reach)
        if kept.sum() < 2 * reach or np.isnan(residual).all():
            continue
        centre = np.nanmedian(residual)
        scale = 1.4826 * np.nanmedian(np.abs(residual - centre))
        off |= np.abs(residual - centre) > max(4 * scale, 4)  # deviations and px; False where NaN
    return off


def local_parabola(values: np.ndarray, reach: int) -> np.ndarray:
    """At each frame, a parabola through the finite values up to `reach` frames away, the frame itself left out.

    Refitted three times with Tukey's biweight, so that a few wrong neighbours don't bend it.

    Parameters
    ----------
    values : ndarray (time,)
    reach : int

    Returns
    -------
    ndarray (time,)
        NaN where fewer than two neighbours are known on either side: a parabola is no good beyond its points.
    """
    offset = np.array([d for d in range(-reach, reach + 1) if d])
    padded = np.pad(values, reach, constant_values=np.nan)
    around = np.stack([padded[reach + d : reach + d + len(values)] for d in offset], 1)
    known = np.isfinite(around)
    around = np.where(known, around, 0)
    powers = np.stack([np.ones(len(offset)), offset, offset**2], 1) / np.array([1, reach, reach**2])
    weight = near = known * (1 - (np.abs(offset) / (reach + 1)) ** 3) ** 3
    for _ in range(4):
        normal = np.einsum("td,di,dj->tij", weight, powers, powers) + 1e-9 * np.eye(3)
        right = np.einsum("td,di,td->ti", weight, powers, around)
        fit = np.linalg.solve(normal, right[..., None])[..., 0]
        residual = np.abs(around - fit @ powers.T)
        spread = np.array([np.median(r[k]) if k.any() else 0.0 for r, k in zip(residual, known, strict=True)])
        bi = residual / np.maximum(6 * spread, 1e-6)[:, None]
        weight = near * np.clip(1 - bi**2, 1e-6, None) ** 2
    enclosed = (known[:, offset < 0].sum(1) >= 2) & (known[:, offset > 0].sum(1) >= 2)
    return np.where(enclosed, fit[:, 0], np.nan)


def _fill(position, kept, longest_gap):
    """Positions of the kept frames, gaps of up to `longest_gap` frames filled; and which frames were filled."""
    out = np.where(kept[:, None], position, np.nan)
    frames = np.flatnonzero(kept)
    filled = np.zeros(len(position), bool)
    if len(frames) < 2:
        return out, filled
    inside = np.arange(frames[0], frames[-1])
    gap = np.diff(frames, append=frames[-1] + 1)[np.searchsorted(frames, inside, side="right") - 1]
    filled[inside] = ~kept[inside] & (gap <= longest_gap + 1)
    out[filled] = PchipInterpolator(frames, position[frames])(np.flatnonzero(filled))
    return out, filled


def _low_pass(position, fps, cutoff_hz, order=2):
    """Zero-lag Butterworth over each run of known frames; runs too short to filter are left as they are.

    Run forward and backward, so the order doubles; the cut-off is raised such that both passes together are at -3 dB
    at `cutoff_hz` (Winter 2009, Biomechanics and Motor Control of Human Movement, section 2.2.4.4; here with the
    frequency warp of the digital filter, which matters near half the frame rate).
    """
    if not 0 < cutoff_hz < fps / 2:
        return position
    warped = np.tan(np.pi * cutoff_hz / fps) / (np.sqrt(2) - 1) ** (1 / (2 * order))
    b, a = butter(order, np.arctan(warped) * fps / np.pi, fs=fps)
    out, known = position.copy(), np.isfinite(position).all(1)
    for start, stop in np.flatnonzero(np.diff(np.r_[0, known, 0])).reshape(-1, 2):
        if stop - start > 3 * len(a):
            out[start:stop] = filtfilt(b, a, position[start:stop], axis=0)
    return out
