"""Views to play with in JupyterLab; on a page without a kernel each is the picture that it showed first.

Each is an ipywidgets box that also hands out a PNG of what it shows, which is what `pages` takes.
"""

import io
from collections.abc import Callable, Mapping

import cv2
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

from studykit.plots.gait import draw_events
from studykit.plots.overlay import draw_pose
from studykit.plots.perspective import draw_band, draw_margin
from studykit.plots.style import TWO_COLUMNS, view_colours
from studykit.stats.curves import mean_curves, t_field
from studykit.stats.subjects import Refused, as_curves, difference, select
from studykit.study import recordings
from studykit.video import read_frames, read_selected

_SIDE_PX = 480  # the longer side of one view on the screen
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]
TESTS = ("both views", "SPM t, parametric", "SPM t, permutation", "equivalence")


class _View(ipywidgets.VBox):
    """A box of controls above a picture.

    Attributes
    ----------
    picture : ipywidgets.Image
        PNG.
    """

    def __init__(self, controls):
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        super().__init__([ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"}), self.picture])

    def _take(self, fig):
        """Show a figure, and close it."""
        data = io.BytesIO()
        fig.savefig(data, format="png")
        plt.close(fig)
        self.picture.value = data.getvalue()

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return data | {"image/png": bytes(self.picture.value)}, metadata


class TrialView(_View):
    """Scrub through a trial: both views with the tracks drawn, and below the step curve with its events.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    trials : dict of str to xarray.Dataset
        Aligned trials by name of the walk, as from `gait.align.align_study`.
    events : pandas.DataFrame
        participant, trial, view, event, time_s.
    body : str
        Keypoint that the step curve is measured from.
    """

    def __init__(
        self, study: pd.DataFrame, trials: Mapping[str, xr.Dataset], events: pd.DataFrame, body: str = "neck"
    ) -> None:
        """Show the first trial at its first heel strike."""
        self._rows = {(row.walk, row.view): row for row in recordings(study)}
        self._trials, self._events, self._body = trials, events, body
        self.trial = ipywidgets.Dropdown(options=list(trials), description="trial")
        self.frame = ipywidgets.IntSlider(description="frame", continuous_update=True, layout={"width": "480px"})
        play = ipywidgets.Play(interval=100, description="play")
        ipywidgets.jslink((play, "value"), (self.frame, "value"))
        ipywidgets.jslink((play, "max"), (self.frame, "max"))
        super().__init__([self.trial, play, self.frame])
        self.trial.observe(lambda _: self._open(), "value")
        self.frame.observe(lambda _: self._show(), "value")
        self._open()

    def _open(self):
        """Begin with a trial: its curve, and the frame of its first heel strike."""
        data, self._frames = self._trials[self.trial.value], None
        mine = self._events[(self._events.participant == data.participant) & (self._events.trial == data.trial)]
        self._strip, self._left, self._right = _strip(data, mine, self._body)
        strikes = mine.time_s[mine.event == "heel_strike"]
        first = int(np.abs(data.time.values - strikes.min()).argmin()) if len(strikes) else len(data.time) // 2
        with self.hold_trait_notifications():
            self.frame.max = len(data.time) - 1
            self.frame.value = first
        self._show()
        self._frames = {}  # the next frame asked for is one of a row: then whole films are worth reading

    def _show(self):
        data, at = self._trials[self.trial.value], min(self.frame.value, self.frame.max)
        images = [self._view(data.sel(view=view), str(view), at) for view in data.view.values]
        height = max(image.shape[0] for image in images)
        images = [np.pad(image, ((0, height - len(image)), (0, 4), (0, 0))) for image in images]
        strip = self._strip.copy()
        share = (data.time.values[at] - data.time.values[0]) / max(np.ptp(data.time.values), 1e-9)
        x = round(self._left + share * (self._right - self._left))
        cv2.line(strip, (x, 0), (x, len(strip) - 1), (0, 0, 0), 2)
        top = np.concatenate(images, axis=1)
        top = np.pad(top, ((0, 0), (0, max(0, 2 * _SIDE_PX - top.shape[1])), (0, 0)), constant_values=255)
        strip = cv2.resize(strip, (top.shape[1], round(len(strip) * top.shape[1] / strip.shape[1])))
        self.picture.value = cv2.imencode(".png", np.concatenate([top, strip])[..., ::-1])[1].tobytes()

    def _view(self, tracks, view, at):
        """One view's frame with its pose, in the stored image's coordinates."""
        row, number = self._rows[self.trial.value, view], at + int(tracks.first_frame)
        image, (width, height) = self._film(row, number)
        points = tracks.isel(time=at, individuals=0)
        xy = points.position.transpose("keypoints", "space").values
        x = xy[:, 0] if row.direction == "L2R" else width - 1 - xy[:, 0]
        known = np.stack([x, height - 1 - xy[:, 1], np.ones(len(x))], axis=1)  # cleaned points all count
        if tracks.attrs.get("unit", "px") == "px":
            image = draw_pose(image, known, tracks.keypoints.values, scale=image.shape[1] / width)
        text = f"{view}, {tracks.side.values!s} leg, {float(points.time):.2f} s"
        return cv2.putText(image, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)

    def _film(self, row, number):
        """A frame made small, and the size of the stored one, px; black where there is no video."""
        if not row.video or self._frames is None:
            size = int(row.height_px), int(row.width_px), 3
            frame = read_selected(row.video, [number])[0] if row.video else np.zeros(size, np.uint8)
            return _small(frame), frame.shape[1::-1]
        if row.view not in self._frames:
            small = ((_small(frame)[..., ::-1], frame.shape[1::-1]) for frame in read_frames(row.video))
            self._frames[row.view] = [(cv2.imencode(".jpg", image, _JPEG)[1], size) for image, size in small]
        packed, size = self._frames[row.view][number]
        return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].copy(), size


def _strip(data, events, body):
    """The step curve as pixels, and where its first and last sample are, px from the left."""
    fig, _ = draw_events(data, events, {}, body)
    fig.set_dpi(150)
    axis = fig.axes[0]
    axis.set_title(f"{data.participant}, trial {data.trial}; filled: heel strike, hollow: toe-off", loc="left")
    fig.canvas.draw()
    ends = axis.transData.transform([(t, 0) for t in data.time.values[[0, -1]]])[:, 0]
    pixels = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return pixels, *ends


def _small(frame):
    scale = _SIDE_PX / max(frame.shape[:2])
    size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


class CurveView(_View):
    """Choose a keypoint, an axis and a test of the perspective effect.

    Parameters
    ----------
    curves : xarray.DataArray
        Gait cycles of two views, as notebook 43 writes them.
    tables : dict of str to pandas.DataFrame
        anova, paired, equivalence and band: from `anova.perspective_anova`, `curves.paired_t_table` and
        `agreement.equivalence_table` (both its tables).
    delta : float
        Margin of equivalence, unit of the curves.
    """

    def __init__(self, curves: xr.DataArray, tables: Mapping[str, pd.DataFrame], delta: float) -> None:
        """Show the last keypoint's x."""
        self._curves, self._delta, self._unit = as_curves(curves), delta, curves.attrs.get("unit", "px")
        self._tables = {**tables, "means": mean_curves(curves)}
        names, spaces = curves.keypoint.values.tolist(), curves.space.values.tolist()
        self.keypoint = ipywidgets.Dropdown(options=names, value=names[-1], description="keypoint")
        self.space = ipywidgets.ToggleButtons(options=spaces, style={"button_width": "3em"})
        self.test = ipywidgets.Dropdown(options=TESTS, value=TESTS[1], description="test")
        super().__init__([self.keypoint, self.space, self.test])
        for control in (self.keypoint, self.space, self.test):
            control.observe(lambda _: self._show(), "value")
        self._show()

    def _rows(self, table, **where):
        rows = self._tables[table]
        for name, value in {"keypoint": self.keypoint.value, "space": self.space.value, **where}.items():
            rows = rows[(rows[name] == value) | rows[name].isna()]  # a refused test may not have come so far
        return rows

    def _show(self):
        fig, axis = plt.subplots(figsize=(TWO_COLUMNS, 2.8), dpi=150)
        draw = {"both views": self._both, "equivalence": self._equivalence}.get(self.test.value, self._spm)
        said = draw(axis)
        axis.set(xlabel="gait cycle (%)", xlim=(0, 100))
        axis.set_title(f"{self.space.value} of {self.keypoint.value}: {said}", loc="left", wrap=True)
        self._take(fig)

    def _both(self, axis):
        mine = self._rows("means")
        mine = mine.assign(low=mine["mean"] - mine.sd, high=mine["mean"] + mine.sd)
        for view, colour in view_colours(map(str, self._curves.view.values)).items():
            draw_band(axis, mine[mine["view"] == view], colour, view)
        axis.set_ylabel(self._unit)
        axis.legend()
        return _told(self._rows("anova", effect="perspective"), "ANOVA, participants: F {F:.3g}, p {p:.2g}")

    def _spm(self, axis):
        axis.set_ylabel("t")
        try:
            selected = select(self._curves, self.keypoint.value, self.space.value)
            t, percent = t_field(difference(selected)), selected.percent.values
        except Refused as refusal:
            return str(refusal)
        rows = self._rows("paired", method=self.test.value.removeprefix("SPM t, "))
        threshold = rows.threshold.iloc[0]
        axis.plot(percent, t, color="0.2")
        axis.fill_between(percent, t, 0, where=np.abs(t) > threshold, color="#D55E00", alpha=0.4, linewidth=0)
        draw_margin(axis, threshold)
        return _told(rows, "t {t_max:.3g} at {at_percent:.0f} %, p {p:.2g}, after Holm's correction {p_holm:.2g}")

    def _equivalence(self, axis):
        draw_band(axis, self._rows("band"), "0.2")
        draw_margin(axis, self._delta)
        axis.set_ylabel(f"difference ({self._unit})")
        told = "{share_percent:.0f} % of the cycle equivalent within the margin, the whole within {smallest_delta:.3g} "
        return _told(self._rows("equivalence"), told + self._unit)


def _told(rows, sentence):
    """Numbers of a table's one row as a sentence, or why there are none."""
    if rows.empty:
        return "not tested"
    row = rows.iloc[0]
    return sentence.format_map(row) if row.refused in ("", None) else str(row.refused)


class TurnView(_View):
    """Turn a picture and watch what networks make of it.

    Parameters
    ----------
    look : callable
        From an angle, deg, to the turned image (H, W, 3) uint8 and masks by name of the network, (H, W), 0 to 1; such
        as from `turned.turner`.
    angle_deg : float
        To begin with, and of the picture on a page.
    """

    def __init__(self, look: Callable[[float], tuple[np.ndarray, dict]], angle_deg: float = 30.0) -> None:
        """Show the picture turned by `angle_deg`."""
        self._look = look
        self.angle = ipywidgets.FloatSlider(angle_deg, min=-180, max=180, step=5, description="angle, deg")
        self.angle.continuous_update = False
        super().__init__([self.angle])
        self.angle.observe(lambda _: self._show(), "value")
        self._show()

    def _show(self) -> None:
        image, masks = self._look(self.angle.value)
        fig, axes = plt.subplots(1, 1 + len(masks), figsize=(TWO_COLUMNS, 2.8), dpi=150)
        for axis, (name, mask) in zip(axes, {f"turned by {self.angle.value:g}°": None, **masks}.items(), strict=True):
            axis.imshow(image)
            if mask is not None:
                axis.contourf(mask > 0.5, levels=[0.5, 1.5], colors=["#D55E00"], alpha=0.6)
            axis.set_title(name)
            axis.set_axis_off()
        self._take(fig)
