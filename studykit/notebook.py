"""What a notebook takes from the study and what it leaves: figures, tables, headline numbers."""

import base64
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from studykit.files import replacing, resolve, write_text
from studykit.study import Recording, read_study

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_LIGHT = 10_000  # bytes; smaller pictures stay as they are
_COLOURS, _JPEG_QUALITY = 256, 75


class Run:
    """One run of a notebook in a study.

    Each figure and table is shown in the notebook and written under the study's reports; its name and its files stand
    in the output's metadata (`studykit`), where the report finds them.

    Parameters
    ----------
    name : str
        The notebook's name, or `notebook/variant` where one notebook runs several times.
    derived, reports : path-like
        Folders of the study, absolute or from the project's root.
    """

    def __init__(self, name: str, derived: str | Path, reports: str | Path) -> None:
        """Take the folders as they are given in the parameters cell."""
        self.name, self.derived, self.reports = name, resolve(derived), resolve(reports)

    def need(self, path: str | Path, made_by: str) -> Path:
        """Path of a file or folder below the derived data, once it is certain that it exists; see `require`."""
        return require(self.derived / path, made_by)

    def study(self, table: str = "") -> pd.DataFrame:
        """The Study table that notebook 00 made, or another one, by its path."""
        return read_study(resolve(table) if table else self.need("study/study.csv", made_by="00_data"))

    def tracks(self, pose: str = "") -> "Callable[[Recording], xr.Dataset]":
        """Loader of a recording's tracks.

        Parameters
        ----------
        pose : {"network", "given", ""}
            Those of notebook 41, those that the Study table names, or of these the first that exist.
        """
        from studykit.tracks import load_tracks

        def load(recording):
            made = f"tracks/{recording.name}.nc"
            given = pose == "given" or not (pose or (self.derived / made).exists())
            return load_tracks(recording.tracks if given else self.need(made, made_by="41_pose_two_views"))

        return load

    def figure(self, name: str, drawn: "tuple[Figure, pd.DataFrame] | str | None") -> None:
        """Save a figure with the numbers it shows, and show it.

        Parameters
        ----------
        name : str
            Of its files.
        drawn : (matplotlib Figure, pandas.DataFrame), str or None
            As the functions of `studykit.plots` return it; where there is nothing to draw, a sentence to show, or None.
        """
        if drawn is None or isinstance(drawn, str):
            return self.say(drawn) if drawn else None
        from IPython.display import display

        path = self.reports / "figures" / self.name / name
        fig, data = drawn
        save_figure(fig, path, data)
        png = base64.b64encode(path.with_name(f"{name}.png").read_bytes()).decode()
        width = round(fig.get_figwidth() * fig.dpi)
        shown = {"image/png": png, "text/plain": f"Figure {name}"}
        display(shown, raw=True, metadata={"image/png": {"width": width}} | self._about("figure", path))

    def figures(self, drawn: "dict[str, tuple[Figure, pd.DataFrame] | None]") -> None:
        """Save and show several figures by name."""
        for name, one in drawn.items():
            self.figure(name, one)

    def table(self, name: str, table: pd.DataFrame | None, shown: Any = None) -> None:
        """Save a table, and show it, or `shown` (such as its first rows, rounded) in its place; None is passed over."""
        if table is None:
            return
        from IPython.display import display

        path = self.reports / "tables" / self.name / name
        save_table(table, path)
        shown = table if shown is None else shown
        if isinstance(shown, pd.DataFrame) and shown.index.name is None and pd.api.types.is_integer_dtype(shown.index):
            shown = shown.reset_index(drop=True)  # numbers of rows, left from a sort or a choice: nothing to read
        with pd.option_context("display.max_colwidth", None):  # whole sentences
            display(shown, metadata=self._about("table", path))

    def tables(self, tables: Mapping[str, pd.DataFrame], decimals: int = 2) -> None:
        """Save and show tables, each under its name, rounded."""
        for name, table in tables.items():
            self.say(f"**{name.replace('_', ', ')}**")
            self.table(name, table, table.round(decimals))

    def keep(self, name: str, table: pd.DataFrame | None) -> pd.DataFrame | None:
        """Write a table for other notebooks as `<derived>/<name>.csv`; returns it. None is passed over."""
        return None if table is None else save_table(table, self.derived / name)

    def say(self, *sentences: str) -> None:
        """Show Markdown."""
        from IPython.display import Markdown, display

        display(Markdown(" ".join(filter(None, sentences))))

    def headline(self, **values: Real | None) -> None:
        """Keep the few numbers that the run is judged by, 10 digits of them, in `<reports>/headline/<name>.json`.

        `reports/<scale>/summary.json` collects them, so that each number has one home.

        Parameters
        ----------
        **values : number or None
            Named with their unit (`event_mae_s`). None and NaN mean that it could not be measured.

        Raises
        ------
        TypeError
            If a value is not a single number.
        """
        numbers = {name: _number(self.name, name, value) for name, value in values.items()}
        write_text(self.reports / "headline" / f"{self.name}.json", json.dumps(numbers, indent=1) + "\n")

    def _about(self, kind, path):
        files = sorted(file.relative_to(self.reports).as_posix() for file in path.parent.glob(f"{path.name}.*"))
        return {"studykit": {kind: path.name, "files": files}}


def _number(run, name, value):
    if value is None:
        return None
    value = value.item() if getattr(value, "ndim", None) == 0 else value  # NumPy and xarray scalars
    if not isinstance(value, Real):
        raise TypeError(f"{run}: expected a number for the headline {name!r}, got {type(value).__name__}")
    if isinstance(value, int):
        return int(value)
    return float(f"{value:.10g}") if math.isfinite(value) else None


def save_table(table: pd.DataFrame, path_without_suffix: str | Path) -> pd.DataFrame:
    """Write a table as CSV: 10 significant digits, the same bytes on every system.

    Parameters
    ----------
    table : pandas.DataFrame
        A meaningful index must have been reset; it is not written.
    path_without_suffix : path-like
        Such as `<reports>/tables/<run>/<name>`.

    Returns
    -------
    pandas.DataFrame
        The table itself, to be shown in the notebook.
    """
    write_text(f"{path_without_suffix}.csv", table.to_csv(index=False, float_format="%.10g", lineterminator="\n"))
    return table


def require(path: str | Path, made_by: str) -> Path:
    """The path of an input, once it is certain that it exists.

    Parameters
    ----------
    path : path-like
    made_by : str
        Name of the notebook that writes it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        Naming the command that makes the input.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: not there yet; notebook {made_by} makes it: type `make study`, or run {made_by}.ipynb first"
        )
    return path


def lighter_png(png: bytes) -> bytes:
    """A PNG (bytes) with the colours that suit it best; a small one as it is."""
    if len(png) < _LIGHT:
        return png
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        whole, dpi = picture.convert("RGB"), picture.info.get("dpi")
    # The median cut has the colours of photographs, the octree those of small dots on them.
    ways, half = (Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE), _COLOURS // 2
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for way in ways for value in whole.quantize(half, way).getpalette()[: 3 * half]])
    reduced = whole.quantize(palette=palette, dither=Image.Dither.NONE)
    reduced.save(lighter := io.BytesIO(), "PNG", optimize=True, dpi=dpi)
    return min(lighter.getvalue(), png, key=len)


def lighter_svg(svg: bytes) -> bytes:
    """An SVG (bytes) with places to 0.01 pt, no indents, and JPEG for opaque pictures inside, where that is smaller."""
    svg = re.sub(rb">\s+<", b">\n<", re.sub(rb'\b[dxy]="[^"]*"', _shortened, svg))
    return re.sub(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)", _as_jpeg, svg)


def _shortened(found):
    return re.sub(rb"(\.\d\d)\d+", rb"\1", found[0]).replace(b" \n", b"")


def _as_jpeg(found):
    from PIL import Image

    png = base64.b64decode(found[1])
    picture, jpeg = Image.open(io.BytesIO(png)), io.BytesIO()
    if "A" in picture.mode and picture.getchannel("A").getextrema()[0] < 255:
        return found[0]
    picture.convert("RGB").save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    smaller = len(jpeg.getvalue()) < len(png)
    return b"data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()) if smaller else found[0]


def save_figure(fig: "Figure", path: str | Path, data: pd.DataFrame) -> None:
    """Save a figure as SVG and PNG, with the numbers it shows as CSV.

    Photographs in it are kept small, so that a whole study fits on a web site: as JPEG in the SVG, and the PNG with
    256 colours.

    Parameters
    ----------
    fig : matplotlib Figure
    path : path-like
        Without suffix; missing folders are made.
    data : pandas.DataFrame
        What is plotted, one row a mark or a point of a curve.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    if layout := fig.get_layout_engine():  # once, not for each of SVG, PNG and page
        layout.execute(fig)
        fig.set_layout_engine("none")
    kinds = {"svg": ({"Date": None}, lighter_svg), "png": ({"Software": None}, lighter_png)}
    for kind, (metadata, lighter) in kinds.items():
        with replacing(path.with_name(f"{path.name}.{kind}")) as temporary:
            fig.savefig(temporary, format=kind, metadata=metadata, bbox_inches="tight")
            temporary.write_bytes(lighter(temporary.read_bytes()))
    save_table(data, path)
    plt.close(fig)
