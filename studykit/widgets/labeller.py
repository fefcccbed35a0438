"""Labelling frames in a notebook: click the keypoints in order; every click is saved as DeepLabCut would have it.

The widget's script (`widgets/labeller.js`) shows the frame, zooms, and says what the user did; what that means is
decided here, so that it can be used and tested without a browser.
"""

from collections.abc import Sequence
from pathlib import Path

import anywidget
import cv2
import numpy as np
import pandas as pd
import traitlets

from studykit.datasets.labels import GAIT6, read_collected, save_labels
from studykit.plots.style import keypoint_colour
from studykit.video import read_selected

_HERE = Path(__file__).parent


class Labeller(anywidget.AnyWidget):
    """A widget that shows one frame after the other; a click sets the next keypoint.

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    frames : pandas.DataFrame
        As from `draw_frames`.
    path : path-like
        DeepLabCut's `CollectedData_*.csv`; labels in it are shown and kept, and every change is written to it.
    keypoints : sequence of str
        In the order in which they are clicked.

    Raises
    ------
    ValueError
        If the file is there but holds other labels.
    """

    _esm = _HERE / "labeller.js"
    _css = _HERE / "labeller.css"
    image = traitlets.Bytes().tag(sync=True)  # JPEG
    size = traitlets.List([1, 1]).tag(sync=True)  # of the frame, px
    keypoints = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colours = traitlets.List(traitlets.Unicode()).tag(sync=True)
    points = traitlets.List().tag(sync=True)  # of this frame: [x, y], px, or None for each keypoint
    current = traitlets.Int(0).tag(sync=True)  # the keypoint that the next click sets; their number: the frame is done
    status = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, study: pd.DataFrame, frames: pd.DataFrame, path: str | Path, keypoints: Sequence[str] = GAIT6
    ) -> None:
        """Show the first frame without labels."""
        super().__init__()
        self.keypoints = list(keypoints)
        self.colours = [keypoint_colour(name) for name in keypoints]
        self.path, self.index = Path(path), 0
        self._columns = [f"{name}_{axis}" for name in keypoints for axis in "xy"]
        none = frames[:0].assign(**dict.fromkeys(self._columns, 0.0))
        known = read_collected(self.path, study, keypoints) if self.path.exists() else none
        one = ["recording", "frame"]
        both = pd.concat([frames, known])[["recording", "video", "frame"]]
        self.frames = both.drop_duplicates(one, ignore_index=True)
        self._labels = self.frames.merge(known[one + self._columns], how="left", on=one)
        unlabelled = np.flatnonzero(self._labels[self._columns].isna().all(axis=1))
        self.on_msg(self._heard)
        self.show(unlabelled[0] if len(unlabelled) else 0)

    @property
    def labels(self) -> pd.DataFrame:
        """Table of labels (`studykit.datasets.labels`) of the frames that have any."""
        return self._labels.dropna(how="all", subset=self._columns).reset_index(drop=True)

    def show(self, index: int) -> None:
        """Go to one of the drawn frames, by its place among them."""
        self.index = int(np.clip(index, 0, len(self.frames) - 1))
        row = self.frames.iloc[self.index]
        (frame,) = read_selected(row.video, [row.frame])
        xy = self._labels.loc[self.index, self._columns].to_numpy(float).reshape(-1, 2)
        known = np.isfinite(xy).all(axis=1)
        with self.hold_sync():
            self.size = [frame.shape[1], frame.shape[0]]
            self.points = [[float(x), float(y)] if there else None for (x, y), there in zip(xy, known, strict=True)]
            self.current = len(known) if known.any() else 0
            self.image = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
            self._tell()

    def progress(self, path: str | Path) -> str:
        """How many frames have labels, and how a configuration trains on those in `path`."""
        done, advice = len(self.labels), f"`40_train_views: {{labels: {path}}}` in the configuration trains on them"
        return f"{done} of {len(self.frames)} frames have labels" + (f", in `{path}`; {advice}." if done else ".")

    def click(self, x: float, y: float) -> None:
        """Put the current keypoint at (x, y), px of the frame, and go on to the next; outside the frame: nothing."""
        if self.current < len(self.keypoints) and 0 <= x + 0.5 <= self.size[0] and 0 <= y + 0.5 <= self.size[1]:
            self._set(self.current, [float(x), float(y)])
            self.current += 1
            self._tell()

    def skip(self) -> None:
        """Leave the current keypoint without a label and go on to the next."""
        if self.current < len(self.keypoints):
            self._set(self.current, None)
            self.current += 1
            self._tell()

    def undo(self) -> None:
        """Take back the keypoint before the current one."""
        if self.current > 0:
            self.current -= 1
            self._set(self.current, None)
            self._tell()

    def choose(self, keypoint: int) -> None:
        """Let the next click set this keypoint, by its number."""
        self.current = int(keypoint)
        self._tell()

    def _set(self, k, point):
        self.points = [*self.points[:k], point, *self.points[k + 1 :]]
        self._labels.loc[self.index, self._columns[2 * k : 2 * k + 2]] = [np.nan, np.nan] if point is None else point
        if len(self.labels):
            save_labels(self.labels, self.path, self.size)
        else:
            self.path.unlink(missing_ok=True)

    def _tell(self):
        row, k, here = self.frames.iloc[self.index], self.current, f"Frame {self.index + 1} of {len(self.frames)}"
        wanted = f"click the {self.keypoints[k]}" if k < len(self.keypoints) else "go on, or choose a keypoint above"
        saved = f"{len(self.labels)} frames with labels, saved in {self.path.name}"
        self.status = f"{here}: {row.recording}, frame {row.frame}; {wanted}. {saved}"

    def _heard(self, _widget, message, _buffers):
        """What the script sends: which button, key or place."""
        what = {"click": self.click, "skip": self.skip, "undo": self.undo, "choose": self.choose}
        what |= {"next": lambda: self.show(self.index + 1), "previous": lambda: self.show(self.index - 1)}
        what[message.pop("do")](**message)
