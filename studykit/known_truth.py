"""How far each step is from the truth, and what a difference between two opposite views is made of.

Only for studies with truth files (the simulated laboratory, motion capture through virtual cameras). Everything is
compared in walking coordinates: x along the walk, y up.
"""

import numpy as np
import pandas as pd
import xarray as xr

from studykit import gait
from studykit.gaitlab import project
from studykit.skeletons import LEG, convert
from studykit.study import near_side
from studykit.tracks import build_tracks
from studykit.views import orient, to_metres

# Stenum, Rossi & Roemmich 2021, PLoS Comput Biol 17:e1008935: mean absolute errors of single steps and strides, real
# people overground, OpenPose on one sagittal video against three-dimensional motion capture.
STENUM = {
    "heel_strike": 0.02,
    "toe_off": 0.02,
    "stride_time_s": 0.02,
    "step_length_m": 0.049,
    "speed_m_s": 0.10,
    "hip": 4.0,
    "knee": 5.6,
    "ankle": 7.4,
}
TERMS = ("camera geometry", "moved cameras", "limb", "tracking", "events")
_CYCLE_PARAMETERS = ("stride_time_s", "cadence_steps_min", "stance_percent", "stride_length", "step_length", "speed")


def other_side(side):
    """The other anatomical side."""
    return {"left": "right", "right": "left"}[side]


def perfect_tracks(truth, recording, side, *, matrix=None):
    """What a perfect network would see of one leg in one recording.

    Parameters
    ----------
    truth : xarray.Dataset
        As from `gaitlab.load_truth`.
    recording : row of a Study table
    side : {"left", "right"}
        Anatomical side; `study.near_side(recording)` is the one that the study tracks.
    matrix : ndarray (3, 4), optional
        Projection by another camera than the one that recorded, such as the nominal one.

    Returns
    -------
    xarray.Dataset
        gait6 tracks in walking coordinates, px, also of points beyond the border of the image. Confidence is 1 where
        the recording shows the point, 0.5 where something hides it, 0 outside the image.
    """
    names = [str(point) for point in truth.point.values]
    wanted = ["neck", *(f"{side}_{name}" for name in LEG)]
    points = convert(truth.position_3d.transpose("time", "point", "axis").values, names, wanted)
    own = truth.camera_matrix.sel(view=recording.view).values
    pixels = project(own if matrix is None else np.asarray(matrix, float), points)
    if recording.mirrored:
        pixels[..., 0] = truth.attrs["width_px"] - 1 - pixels[..., 0]
    seen = truth.visibility.sel(view=recording.view, point=wanted).transpose("time", "point").values / 2
    tracks = build_tracks(
        pixels.transpose(0, 2, 1),
        seen,
        ["neck", *LEG],
        truth.attrs["fps"],
        width_px=truth.attrs["width_px"],
        height_px=truth.attrs["height_px"],
        source_software="truth",
        mirrored=recording.mirrored,
    )
    return orient(tracks, recording.direction).assign_attrs(side=side)


def keypoint_errors(found, true):
    """Distance of every tracked point from where it was.

    Parameters
    ----------
    found, true : xarray.Dataset
        Tracks of one view in the same coordinates; of `true`, confidence says what could be seen (`perfect_tracks`).

    Returns
    -------
    pandas.DataFrame
        A row a frame and keypoint inside the image: time_s, keypoint, visible, along, up (found - true), distance;
        px, or the tracks' unit. NaN where nothing was found.

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
    keypoints = list(true.keypoints.values)
    error = (found.position.sel(keypoints=keypoints) - true.position).isel(individuals=0)
    error = error.transpose("time", "keypoints", "space").values
    seen = true.confidence.isel(individuals=0).transpose("time", "keypoints").values
    time, keypoint = np.meshgrid(true.time.values, np.array(keypoints, dtype=object), indexing="ij")
    table = {"time_s": time, "keypoint": keypoint, "visible": seen == 1, "along": error[..., 0], "up": error[..., 1]}
    table = pd.DataFrame({name: values.ravel() for name, values in table.items()})
    return table.assign(distance=np.hypot(table.along, table.up))[seen.ravel() > 0].reset_index(drop=True)


def pixel_summary(errors, by, *, within_px=8.0):
    """Keypoint errors in one row a group.

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
    groups = errors.groupby(by, sort=False, observed=True)
    return pd.DataFrame(
        {
            "n": groups.distance.size(),
            "found_percent": 100 * groups.distance.count() / groups.distance.size(),
            "median_px": groups.distance.median(),
            "p95_px": groups.distance.quantile(0.95),
            f"within_{within_px:g}px_percent": 100 * groups.distance.agg(lambda d: (d <= within_px).mean()),
            "bias_along_px": groups.along.median(),
            "bias_up_px": groups.up.median(),
        }
    ).reset_index()


def event_errors(found, true, *, span_s=(-np.inf, np.inf)):
    """Found events against true ones, each paired at most once.

    A pair are each other's nearest events of one kind, at most half a stride apart.

    Parameters
    ----------
    found, true : pandas.DataFrame
        Columns event, time_s; of one leg.
    span_s : (float, float)
        True events outside, when the leg could not be seen, are not counted as missed.

    Returns
    -------
    pandas.DataFrame
        event, outcome ("matched", "missed", "spurious"), time_s, true_s, error_s (found - true).
    """
    strikes = true.time_s[true.event == "heel_strike"]
    reach = 0.5 * float(np.median(np.diff(np.sort(strikes)))) if len(strikes) > 1 else 0.5
    rows = []
    for kind in ("heel_strike", "toe_off"):
        times, truths = (np.sort(events.time_s[events.event == kind].to_numpy(float)) for events in (found, true))
        partner = _partners(times, truths, reach)
        rows += [(kind, "spurious", t, np.nan) for t in times[partner < 0]]
        rows += [(kind, "matched", times[i], truths[partner[i]]) for i in np.flatnonzero(partner >= 0)]
        alone = np.setdiff1d(np.arange(len(truths)), partner)
        rows += [(kind, "missed", np.nan, t) for t in truths[alone] if span_s[0] <= t <= span_s[1]]
    table = pd.DataFrame(rows, columns=["event", "outcome", "time_s", "true_s"]).astype(
        {"time_s": float, "true_s": float}
    )
    return table.assign(error_s=table.time_s - table.true_s)


def _partners(times, truths, reach):
    """Index of each time's partner among the truths, -1 for none; partners are each other's nearest."""
    if not (len(times) and len(truths)):
        return np.full(len(times), -1)
    gap = np.abs(times[:, None] - truths)
    nearest = gap.argmin(1)
    mutual = gap.argmin(0)[nearest] == np.arange(len(times))
    return np.where(mutual & (gap.min(1) <= reach), nearest, -1)


def visible_span(perfect):
    """First and last time at which every point of `perfect_tracks` is in the image, s; (inf, -inf) if never."""
    inside = perfect.time.values[(perfect.confidence.isel(individuals=0) > 0).all("keypoints").values]
    return (float(inside[0]), float(inside[-1])) if len(inside) else (np.inf, -np.inf)


def true_cycles(cycles, tracks, events):
    """The true cycles behind the measured ones.

    Parameters
    ----------
    cycles : pandas.DataFrame
        Measured, with start_s and kept.
    tracks : xarray.Dataset
        Those that were measured; true cycles during which they have gaps are left out.
    events : pandas.DataFrame
        True events of the same leg.

    Returns
    -------
    pandas.DataFrame
        As from `gait.find_cycles`, only kept ones.
    """
    true = gait.find_cycles(tracks, events)
    true = true[true.kept].reset_index(drop=True)
    starts = np.sort(cycles.start_s[cycles.kept].to_numpy(float))
    reach = 0.5 * float((true.end_s - true.start_s).median()) if len(true) else 0.0
    partner = _partners(starts, true.start_s.to_numpy(), reach)
    return true.iloc[np.sort(partner[partner >= 0])].reset_index(drop=True)


def angle_errors(found, true):
    """Errors of angle curves.

    Parameters
    ----------
    found, true : xarray.DataArray (..., joint, percent)
        deg, with the same coordinates.

    Returns
    -------
    pandas.DataFrame
        A row a joint and whatever other dimensions there are: bias_deg, mae_deg, rmse_deg over the cycle. Curves that
        either side lacks are left out.
    """
    found, true = xr.align(found, true, join="exact")
    error = found - true
    parts = {"bias_deg": error.mean("percent"), "mae_deg": np.abs(error).mean("percent")}
    table = xr.Dataset(parts | {"rmse_deg": np.sqrt((error**2).mean("percent"))})
    return table.to_dataframe(dim_order=list(table.mae_deg.dims)).dropna().reset_index()[[*table.mae_deg.dims, *table]]


def spatiotemporal_errors(found, true):
    """Errors of spatiotemporal parameters, cycle by cycle.

    Parameters
    ----------
    found, true : pandas.DataFrame
        As from `gait.cycle_parameters`, of one leg. A pair of cycles start within half a stride of each other.

    Returns
    -------
    pandas.DataFrame
        A row a pair of cycles and parameter: start_s (true), parameter, found, true, error.
    """
    names = [name for name in true if name.startswith(_CYCLE_PARAMETERS) and name in found]
    true = true.sort_values("start_s").reset_index(drop=True)
    found = found.sort_values("start_s").reset_index(drop=True)
    reach = 0.5 * float(true.stride_time_s.median()) if len(true) else 0.0
    partner = _partners(found.start_s.to_numpy(float), true.start_s.to_numpy(float), reach)
    pairs = [(i, j) for i, j in enumerate(partner) if j >= 0]
    rows = [(true.start_s[j], name, found[name][i], true[name][j]) for i, j in pairs for name in names]
    table = pd.DataFrame(rows, columns=["start_s", "parameter", "found", "true"])
    return table.assign(error=table.found - table.true)


def summarise(errors, by, column="error"):
    """Bias, mean absolute error and spread of signed errors.

    Parameters
    ----------
    errors : pandas.DataFrame
    by : list of str
    column : str

    Returns
    -------
    pandas.DataFrame
        Columns of `by`, then n, bias, mae, sd.
    """
    groups = errors.dropna(subset=[column]).groupby(by, sort=False, observed=True)[column]
    table = {"n": groups.size(), "bias": groups.mean(), "mae": groups.agg(lambda e: e.abs().mean()), "sd": groups.std()}
    return pd.DataFrame(table).reset_index()


def perspective_curves(recordings, truth, tracks, cycles, *, cameras=None, scaling="none", **curves):
    """What `decompose_perspective` takes, for one trial seen by two cameras.

    Parameters
    ----------
    recordings : sequence of two rows of a Study table
        The two views of one trial.
    truth : xarray.Dataset
    tracks : xarray.Dataset
        The trial's aligned and cleaned tracks, px, dimension `view`.
    cycles : dict of str to pandas.DataFrame
        Measured cycles by view.
    cameras : dict of str to dict, optional
        Nominal cameras by view: K, R, t.
    scaling : str
        Of `views.to_metres`.
    **curves
        Handed to `gait.keypoint_curves`: reference, neck_origin.

    Returns
    -------
    xarray.Dataset
        timed (view, space, keypoint, percent): the measured tracks cut at true events; seen and nominal (view, leg,
        ...): perfect tracks of both legs through both cameras, as they stood and as they should stand. `leg` is named
        after the view that it is near to.

    Raises
    ------
    ValueError
        If a view has no cycle that is both measured and true.
    """
    views = [recording.view for recording in recordings]
    side = {recording.view: near_side(recording) for recording in recordings}
    own = {view: tracks.sel(view=view, drop=True) for view in views}
    events = {view: gait.true_events(truth, side[view]) for view in views}
    cut = {view: true_cycles(cycles[view], own[view], events[view]) for view in views}
    lost = [view for view in views if cut[view].empty]
    if lost:
        raise ValueError(f"expected a cycle that is both measured and true in each view, got none in {lost[0]}")

    def mean_curve(points, recording, leg):
        camera = (cameras or {}).get(recording.view)
        length = getattr(recording, "leg_length_m", None)
        points = to_metres(points, scaling, leg_length_m=length, camera=camera)
        return gait.keypoint_curves(points, cut[leg], **curves).mean("cycle").rename(keypoints="keypoint")

    def through(matrices):
        rows = [
            [mean_curve(perfect_tracks(truth, r, side[leg], matrix=matrices.get(r.view)), r, leg) for leg in views]
            for r in recordings
        ]
        legs = xr.Variable("leg", views)
        return xr.concat([xr.concat(row, legs) for row in rows], xr.Variable("view", views))

    nominal = {view: np.array(c["K"]) @ np.column_stack([c["R"], c["t"]]) for view, c in (cameras or {}).items()}
    timed = xr.concat([mean_curve(own[r.view], r, r.view) for r in recordings], xr.Variable("view", views))
    return xr.Dataset({"timed": timed, "seen": through({}), "nominal": through(nominal)})


def decompose_perspective(measured, timed, seen, nominal=None):
    """What the difference of two views is made of, in parts that add up to it.

    Camera geometry: one and the same leg, seen by the two nominal cameras. Limb: the two legs, seen by one and the
    same camera. Each is the mean over the two ways to say so (either leg, either camera; the Shapley value), so that
    neither depends on which view comes first and the far leg's smaller image cancels. Moved cameras: the cameras as
    they stood against nominal ones. Tracking: network and cleaning against perfect tracks, at true events. Events:
    cycles cut at found against true events.

    Parameters
    ----------
    measured, timed : xarray.DataArray (view, ...)
        Mean curves of the near leg, measured throughout, and cut at true events.
    seen, nominal : xarray.DataArray (view, leg, ...)
        Mean curves of perfect tracks through the true and the nominal cameras; `leg` is named after the view that it
        is near to. Without `nominal`, moved cameras are part of the geometry.

    Returns
    -------
    xarray.DataArray (term, ...)
        `TERMS`, in the order of this text's table; their sum is the first view's curve minus the second's.

    Raises
    ------
    ValueError
        If there are not two views, or views and legs differ.
    """
    views = [str(view) for view in measured.view.values]
    if len(views) != 2 or list(seen.view.values) != views or list(seen.leg.values) != views:
        raise ValueError(f"expected two views and the two legs near to them, got {views}, {list(seen.leg.values)}")
    nominal = seen if nominal is None else nominal

    def between(curves, dim="view"):
        return curves.sel({dim: views[0]}, drop=True) - curves.sel({dim: views[1]}, drop=True)

    def near(curves):
        return xr.concat([curves.sel(view=v, leg=v, drop=True) for v in views], xr.Variable("view", views))

    parts = {
        "camera geometry": between(nominal).mean("leg"),
        "moved cameras": between(near(seen) - near(nominal)),
        "limb": between(nominal, "leg").mean("view"),
        "tracking": between(timed - near(seen)),
        "events": between(measured - timed),
    }
    return xr.concat([parts[term] for term in TERMS], xr.Variable("term", list(TERMS)))


def term_sizes(terms, measured):
    """How large each term is, and how much of the measured difference it carries.

    Parameters
    ----------
    terms : xarray.DataArray (term, participant, space, keypoint, percent)
        Participants' means over their trials.
    measured : xarray.DataArray (participant, space, keypoint, percent)
        The measured difference of the views.

    Returns
    -------
    pandas.DataFrame
        keypoint, space, term (the last one "measured difference"): rms (over participants and the cycle), rms_of_mean
        (of the mean over participants: what all have in common), share (of the measured mean square; shares of the
        terms sum to 1, one that counteracts others is negative).
    """
    whole = measured.expand_dims(term=["measured difference"])
    parts = xr.concat([terms, whole], "term")
    over = ("participant", "percent")
    table = xr.Dataset(
        {
            "rms": np.sqrt((parts**2).mean(over)),
            "rms_of_mean": np.sqrt((parts.mean("participant") ** 2).mean("percent")),
            "share": (parts * measured).mean(over) / (measured**2).mean(over),
        }
    )
    return table.to_dataframe(dim_order=["keypoint", "space", "term"]).reset_index()
