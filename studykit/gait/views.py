"""Two views of one walk in one frame of reference: mirrored, in walking coordinates, on one clock, on one scale.

Every recording is brought to right-to-left walking; x is then counted from the right edge, so that it grows along the
walk (thesis 002, section 2.4), and y from the bottom, so that it grows upward.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.polynomial.polynomial import polyfit, polyval
from scipy.stats import theilslopes

from studykit.cameras import Camera
from studykit.skeletons import SKELETONS, flip_order
from studykit.tracks import select_side

GAIT6 = SKELETONS["gait6"].keypoints
SCALINGS = ("none", "leg_length", "homography")
_MAX_LAG_S = 0.25


def mirror(tracks: xr.Dataset) -> xr.Dataset:
    """Tracks of the mirror image: x becomes width - 1 - x, left and right change names.

    The body of a mirrored image is that of another person whose left is our right, which is what a network sees there.
    Twice gives back the tracks themselves, exactly for positions of single precision (what networks give), and to
    1e-13 px for any others.

    Parameters
    ----------
    tracks : xarray.Dataset
        In image coordinates.

    Returns
    -------
    xarray.Dataset
        Attribute `mirrored` toggled.

    Raises
    ------
    ValueError
        If the coordinates are not those of an image, or a keypoint of one side lacks its partner.
    """
    _expect_system(tracks, "image", "mirror before to_walk")
    names = [str(name) for name in tracks.keypoints.values]
    out = tracks.isel(keypoints=flip_order(names)).assign_coords(keypoints=names)
    position = out.position.copy()
    position.loc[{"space": "x"}] = tracks.attrs["width_px"] - 1 - position.sel(space="x")
    return out.assign(position=position).assign_attrs(mirrored=1 - int(tracks.attrs["mirrored"]))


def to_walk(tracks: xr.Dataset) -> xr.Dataset:
    """Walking coordinates of a right-to-left walk: origin in the bottom right corner, x along the walk, y up, px.

    Thesis 002, section 2.4, inverts x only; y is turned as well so that "higher" is a larger number.

    Parameters
    ----------
    tracks : xarray.Dataset
        In image coordinates.
    """
    _expect_system(tracks, "image", "they are in walking coordinates already")
    corner = np.array([tracks.attrs["width_px"] - 1, tracks.attrs["height_px"] - 1])[None, :, None, None]
    position = tracks.position.copy(data=corner - tracks.position.transpose("time", "space", ...).values)
    return tracks.assign(position=position).assign_attrs(coordinate_system="walk", unit="px")


def orient(tracks: xr.Dataset, direction: str, name: str = "tracks") -> xr.Dataset:
    """Tracks of one recording in walking coordinates, mirrored first if the walk goes from left to right.

    Parameters
    ----------
    tracks : xarray.Dataset
        In the coordinates of the stored image.
    direction : {"R2L", "L2R"}
        Walking direction in the stored image.
    name : str
        For messages.

    Raises
    ------
    ValueError
        If the person walks against `direction`, as when two views were exchanged.
    """
    if direction not in ("R2L", "L2R"):
        raise ValueError(f"{name}: expected direction R2L or L2R, got {direction!r}")
    walk = to_walk(mirror(tracks) if direction == "L2R" else tracks)
    speed = forward_speed(walk)
    if not np.isfinite(speed):
        raise ValueError(f"{name}: expected a walk, got tracks with no two frames in a row")
    if speed < 0:
        other = {"R2L": "L2R", "L2R": "R2L"}[direction]
        raise ValueError(
            f"{name}: expected a walk {direction}, got one that moves {-speed:.0f} px/s the other way; "
            f"set its direction to {other}, or exchange the files of the two views"
        )
    return walk


def forward_speed(tracks: xr.Dataset) -> float:
    """Median speed along the walk over all keypoints, units of x per second."""
    x = tracks.position.sel(space="x").values
    half_second = round(tracks.attrs["fps"] * 0.5)  # so that swinging feet and noise average out
    span = half_second if 0 < half_second < len(x) else 1
    steps = x[span:] - x[:-span]
    return float(np.nanmedian(steps)) * tracks.attrs["fps"] / span if np.isfinite(steps).any() else np.nan


def near_leg(tracks: xr.Dataset, name: str = "tracks") -> xr.Dataset:
    """The leg that faces the camera, as gait6 tracks.

    In walking coordinates the picture shows a walk to the left, so the near leg is the one that looks like a left leg.

    Raises
    ------
    ValueError
        If the tracks have neither both legs nor exactly the keypoints of gait6.
    """
    return _leg(tracks, "left", name)


def far_leg(tracks: xr.Dataset, name: str = "tracks") -> xr.Dataset:
    """The leg that is turned away from the camera, as gait6 tracks.

    Raises
    ------
    ValueError
        If the tracks hold the near leg only, as those of thesis 002 do.
    """
    if has_one_leg(tracks):
        raise ValueError(
            f"{name}: expected both legs, got the near leg only; a view's far leg needs tracks with left_ and right_ "
            'keypoints (limb="near" needs none)'
        )
    return _leg(tracks, "right", name)


def has_one_leg(tracks: xr.Dataset) -> bool:
    """Whether the tracks hold the keypoints of gait6: one leg, without a side's name."""
    return sorted(str(k) for k in tracks.keypoints.values) == sorted(GAIT6)


def _leg(tracks, looks, name):
    _expect_system(tracks, "walk", "orient them first")
    if has_one_leg(tracks):
        return tracks.sel(keypoints=list(GAIT6))
    try:
        return select_side(tracks, looks)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def opposite_as_far(near: xr.Dataset, opposite: xr.Dataset) -> xr.Dataset:
    """Where the far leg is in one view, according to the opposite camera, which sees just that leg.

    The opposite view, mirrored, shows the same body from the other side. Its neck is laid on this view's neck (a
    straight line over time in x, a constant in y, both robust), because the two cameras never frame quite alike. What
    is left is perspective: a far leg looks some 3 % closer to the middle of the image than a near one.

    Parameters
    ----------
    near, opposite : xarray.Dataset
        gait6 tracks of the two near legs in walking coordinates, on one clock.

    Returns
    -------
    xarray.Dataset
        gait6 tracks, the opposite leg in the coordinates of `near`.
    """
    shift = (near.position - opposite.position).sel(keypoints="neck")
    time = near.time.values
    known = np.isfinite(shift.sel(space="x").values[:, 0])
    if known.sum() < 3:
        return opposite.assign(position=opposite.position * np.nan)
    slope, start, *_ = theilslopes(shift.sel(space="x").values[known, 0], time[known])
    across = np.stack([start + slope * time, np.full(len(time), np.nanmedian(shift.sel(space="y").values))], 1)
    return opposite.assign(position=opposite.position + across[:, :, None, None])


def view_lag(a: xr.Dataset, b: xr.Dataset) -> tuple[float, float]:
    """How much later the second view shows what the first one shows.

    Cross-correlation of what both cameras see alike: the neck's rise and fall, and its gain and loss on a steady
    walk. (The near legs are two different legs, half a cycle apart.) A parabola through the best lag and its
    neighbours gives fractions of a frame. Both signals repeat with every step, so lags beyond a quarter of a second
    cannot be told from shorter ones.

    Parameters
    ----------
    a, b : xarray.Dataset
        Tracks with a neck in walking coordinates, at one frame rate; lengths may differ.

    Returns
    -------
    lag_s, correlation : float
        NaN where the neck is known in too few frames. A lag whose correlation is below 0.5 says little.
    """
    fps = a.attrs["fps"]
    first, second = (_neck_rhythm(tracks) for tracks in (a, b))
    if first is None or second is None:
        return np.nan, np.nan
    reach = round(_MAX_LAG_S * fps) + 1
    lags = np.arange(-reach, reach + 1)
    score = np.array([_correlation(first, second, lag) for lag in lags])
    best = 1 + int(np.nanargmax(score[1:-1]))
    return (lags[best] + parabola_peak(score, best)) / fps, float(score[best])


def _neck_rhythm(tracks):
    """Neck x and y without their slow parts, each of unit variance, (time, 2); None where too little is known."""
    neck = tracks.position.sel(keypoints="neck").values[:, :, 0]
    known = np.isfinite(neck).all(1)
    if known.sum() < max(8, len(neck) // 2):
        return None
    frame = np.arange(len(neck))
    neck = np.stack([np.interp(frame, frame[known], column[known]) for column in neck.T], 1)
    quick = neck - polyval(frame, polyfit(frame, neck, 2)).T
    return quick / np.maximum(quick.std(0), 1e-9)


def _correlation(a, b, lag):
    """Correlation of a(t) with b(t + lag) over the frames that both have."""
    start, stop = max(0, -lag), min(len(a), len(b) - lag)
    if stop - start < 8:
        return np.nan
    a, b = a[start:stop], b[start + lag : stop + lag]
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def parabola_peak(values: np.ndarray, index: int) -> float:
    """Where a parabola through three samples around an extremum has its own, samples from the middle one."""
    left, middle, right = values[index - 1], values[index], values[index + 1]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend else 0.0


def common_clock(views: Mapping[str, xr.Dataset], how: str = "exact", name: str = "trial") -> dict[str, xr.Dataset]:
    """All views of a trial on one clock.

    Parameters
    ----------
    views : dict of str to xarray.Dataset
    how : {"exact", "cut", "lag"}
        "exact": refuse views of different lengths; "cut": keep the frames that all have; "lag": also shift each
        view by its lag to the first one, rounded to whole frames, before cutting.
    name : str
        For messages.

    Returns
    -------
    dict of str to xarray.Dataset

    Raises
    ------
    ValueError
        If rates differ, or lengths differ and `how` is "exact".
    """
    first = next(iter(views.values()))
    rates = {view: tracks.attrs["fps"] for view, tracks in views.items()}
    if len(set(rates.values())) > 1:
        raise ValueError(f"{name}: expected one frame rate in all views, got {rates}")
    lengths = {view: len(tracks.time) for view, tracks in views.items()}
    if how == "exact":
        if len(set(lengths.values())) > 1:
            got = " and ".join(f"{n} ({view})" for view, n in lengths.items())
            wanted = "expected the same number of frames in all views"
            raise ValueError(f'{name}: {wanted}, got {got}; cut them to the common clock with align="cut"')
        return dict(views)
    lags = {view: view_lag(first, tracks) if how == "lag" else (0, 1) for view, tracks in views.items()}
    starts = {view: round(lag * first.attrs["fps"]) if seen >= 0.5 else 0 for view, (lag, seen) in lags.items()}
    starts = {view: start - min(starts.values()) for view, start in starts.items()}
    length = min(lengths[view] - starts[view] for view in views)
    if length < 1:
        raise ValueError(f"{name}: expected views that overlap in time, got none in common")
    cut = {view: tracks.isel(time=slice(starts[view], starts[view] + length)) for view, tracks in views.items()}
    return {view: tracks.assign_coords(time=first.time.values[:length]) for view, tracks in cut.items()}


def to_metres(
    tracks: xr.Dataset, how: str, leg_length_m: float = np.nan, camera: Camera | None = None, name: str = "tracks"
) -> xr.Dataset:
    """Tracks in metres.

    "leg_length": one factor for the recording, the person's leg length (hip to ankle joint) over the median length of
    the path hip-knee-ankle in the image; right in the plane of that leg. "homography": the plane in the middle of the
    walkway (z = 0) as the nominal camera sees it; right for points in that plane, while a leg 0.1 m nearer to a camera
    6 m away looks 1.7 % too far from the middle of the image. Cameras that were moved since they were calibrated show.

    Parameters
    ----------
    tracks : xarray.Dataset
        gait6 tracks in walking coordinates, px.
    how : {"none", "leg_length", "homography"}
    leg_length_m : float
        For "leg_length".
    camera : Camera
        For "homography".
    name : str
        For messages.

    Returns
    -------
    xarray.Dataset
        Attribute `unit` is "m" ("px" where `how` is "none").

    Raises
    ------
    ValueError
        If what the scaling needs is missing.
    """
    if how not in SCALINGS:
        raise ValueError(f"{name}: expected scaling one of {SCALINGS}, got {how!r}")
    if how == "none":
        return tracks
    if how == "leg_length":
        if not leg_length_m > 0:
            raise ValueError(f"{name}: expected leg_length_m in the Study table for this scaling, got {leg_length_m}")
        pixels = leg_path(tracks)
        if not pixels > 0:
            raise ValueError(f"{name}: expected frames with hip, knee and ankle to scale by, got none")
        return tracks.assign(position=tracks.position * (leg_length_m / pixels)).assign_attrs(unit="m")
    if camera is None:
        raise ValueError(f"{name}: expected a calibration of this view for this scaling, got none")
    return tracks.assign(position=_on_walkway(tracks, camera)).assign_attrs(unit="m")


def leg_path(tracks: xr.Dataset) -> float:
    """Median over time of the length of the path hip-knee-ankle, in the tracks' unit."""
    points = tracks.position.sel(keypoints=["hip", "knee", "ankle"]).transpose("keypoints", "time", "space", ...).values
    length = np.linalg.norm(np.diff(points, axis=0), axis=2).sum(0)
    return float(np.nanmedian(length)) if np.isfinite(length).any() else np.nan


def _on_walkway(tracks, camera):
    """Walking coordinates (m) in the plane z = 0 of the calibrated room."""
    to_image, mirrored = camera.K @ np.column_stack([camera.R[:, :2], camera.t]), tracks.attrs["mirrored"]
    position = tracks.position.transpose("time", "keypoints", "individuals", "space").values
    # Back to what the camera saw: undo the walking coordinates, then the mirror.
    corner = np.array([tracks.attrs["width_px"] - 1, tracks.attrs["height_px"] - 1])
    pixel = corner - position
    if mirrored:
        pixel[..., 0] = corner[0] - pixel[..., 0]
    plane = np.concatenate([pixel, np.ones_like(pixel[..., :1])], -1) @ np.linalg.inv(to_image).T
    plane = plane[..., :2] / plane[..., 2:]
    # The walk goes to the left of the picture; unmirrored that is to the right if the picture was mirrored.
    plane[..., 0] *= np.sign(camera.R[0, 0]) * (1 if mirrored else -1)
    return tracks.position.copy(data=plane.transpose(0, 3, 1, 2))


def _expect_system(tracks, system, hint):
    if (got := tracks.attrs.get("coordinate_system")) != system:
        raise ValueError(f"expected tracks in {system} coordinates, got {got!r}; {hint}")
