"""DeepLabCut's csv and h5 files: labels and predictions, one or several animals."""

import contextlib
import csv
import pickletools
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from tables.exceptions import HDF5ExtError

from studykit.files import replacing
from studykit.formats.values import frame_numbers, tracks_of

_CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT1", "EXT2", "EXT4"}
_LEVELS = (["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"])


def read_deeplabcut(path: str | Path, fps: float, width_px: int, height_px: int, gaps: str = "") -> xr.Dataset:
    """DeepLabCut csv or h5: `CollectedData_*` labels or predictions with likelihood; one or several animals.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    gaps : {"refuse", "nan", "close", ""}
        What to do where frame numbers are missing: refuse, fill with NaN, or count the rows as consecutive frames.
        "": "nan" for labels, which are few frames by design, and "refuse" for predictions.

    Returns
    -------
    xarray.Dataset
        Attribute `first_frame` is the file's number of the first frame. Labels have no confidence (NaN).

    Raises
    ------
    ValueError
        If the header, the numbers or the frames are faulty.
    """
    path = Path(path)
    table = _deeplabcut_csv(path) if path.suffix == ".csv" else _deeplabcut_h5(path)
    levels = list(table.columns.names)
    if levels not in _LEVELS:
        raise ValueError(f"{path}: expected column levels {' or '.join(map(str, _LEVELS))}, got {levels}")
    columns = [dict(zip(levels, column, strict=True)) for column in table.columns]
    _check_columns(path, columns)
    labels = not any(column["coords"] == "likelihood" for column in columns)
    people = list(dict.fromkeys(column.get("individuals", "person") for column in columns))
    names = list(dict.fromkeys(column["bodyparts"] for column in columns))
    values = np.full((len(table), len(people), len(names), 3), np.nan)
    for k, column in enumerate(columns):
        who, where = people.index(column.get("individuals", "person")), names.index(column["bodyparts"])
        values[:, who, where, ["x", "y", "likelihood"].index(column["coords"])] = _numbers(path, table.iloc[:, k])
    frames = _row_numbers(path, table.index)
    software = f"DeepLabCut, scorer {columns[0]['scorer']}"
    gaps = gaps or ("nan" if labels else "refuse")
    return tracks_of(path, values, frames, names, people, (fps, width_px, height_px), software, gaps)


def _deeplabcut_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        head = [row for _, row in zip(range(5), csv.reader(file), strict=False)]
    levels = [row[0] for row in head[:4] if row and row[0] in _LEVELS[1]]
    if len(head) <= len(levels) or levels not in _LEVELS:
        got = "; ".join(",".join(row)[:40] for row in head[:3]) or "an empty file"
        raise ValueError(f"{path}: expected header rows {', '.join(_LEVELS[0])} and at least one frame, got {got}")
    # As DeepLabCut itself tells them apart: labels since 2.2 name their image in three columns.
    index = [0, 1, 2] if head[len(levels)][0] == "labeled-data" else 0
    table = pd.read_csv(path, header=list(range(len(levels))), index_col=index)
    table.columns.names = levels
    return table


def _refuse_code(path):
    """Refuse a file in which PyTables would find Python objects to make; DeepLabCut's hold names and numbers only.

    PyTables keeps lists and the like as pickles, in attributes and in arrays of objects, and reads them unasked.
    """

    def look(name, node):
        if node.attrs.get("PSEUDOATOM", b"") in (b"object", "object") or any(map(_makes_objects, node.attrs.values())):
            got = f"Python objects in {name!r}"
            raise ValueError(f"{path}: expected names and numbers, got {got}; do not trust this file")

    try:
        with h5py.File(path) as file:
            look("/", file)
            file.visititems(look)
    except OSError as error:
        raise ValueError(f"{path}: expected a DeepLabCut table in HDF5, got a file that holds none") from error


def _makes_objects(value):
    """Whether PyTables would take an attribute for a pickle, and it calls something before it ends or breaks off."""
    value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if not isinstance(value, bytes) or not value.endswith(b"."):
        return False
    with contextlib.suppress(ValueError, IndexError):  # no pickle from here on
        return any(code.name in _CALLS for code, _, _ in pickletools.genops(value))
    return False


def _deeplabcut_h5(path):
    _refuse_code(path)
    try:
        with pd.HDFStore(path, mode="r") as store:
            keys = store.keys()
            return store["df_with_missing"] if "/df_with_missing" in keys else store[keys[0]]
    except (OSError, HDF5ExtError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a DeepLabCut table in HDF5, got a file that holds none") from error


def _check_columns(path, columns):
    scorers = sorted({column["scorer"] for column in columns})
    coords = sorted({column["coords"] for column in columns})
    faults = []
    if len(scorers) > 1:
        faults.append(f"expected one scorer, got {', '.join(scorers)}; keep one person's labels")
    if coords not in (["x", "y"], ["likelihood", "x", "y"]):
        faults.append(f"expected coords x, y and likelihood, each once, got {', '.join(coords)}")
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))


def _numbers(path, column):
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna() & column.notna()
    if bad.any():
        raise ValueError(f"{path}: expected numbers for {'/'.join(column.name[1:])}, got {column[bad].iloc[0]!r}")
    return numbers.to_numpy(dtype=float)


def _row_numbers(path, index):
    """Frame numbers from a row index: numbers, or images such as `labeled-data/video/img0042.png`."""
    rows = ["/".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in index]
    folders = sorted({row.rpartition("/")[0] for row in rows})
    if len(folders) > 1:
        raise ValueError(f"{path}: expected the frames of one video, got {len(folders)}: {', '.join(folders[:3])}")
    return frame_numbers(path, rows)


def write_deeplabcut(
    tracks: xr.Dataset, path: str | Path, *, scorer: str = "studykit", images: Sequence[str] | None = None
) -> None:
    """Write tracks as DeepLabCut does: predictions with likelihood, or, given image names, labels for training.

    Parameters
    ----------
    tracks : xarray.Dataset
        In image coordinates; several individuals are written as a multi-animal project's.
    path : path-like
        `.csv`, or `.h5` with the table `df_with_missing`.
    scorer : str
        Name of the network, or of the person who labelled.
    images : sequence of str, optional
        One `labeled-data/<video>/<image>.png` a frame: writes labels, without likelihood.

    Raises
    ------
    ValueError
        If the suffix is another, the tracks are not in image coordinates, or the images are not one a frame.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".h5"):
        raise ValueError(f"{path}: expected the suffix .csv or .h5, got {path.suffix!r}")
    if tracks.attrs["coordinate_system"] != "image":
        raise ValueError(f"{path}: expected tracks in image coordinates, got {tracks.attrs['coordinate_system']!r}")
    values = np.concatenate([tracks.position.values, tracks.confidence.values[:, None]], axis=1).transpose(0, 3, 2, 1)
    coords = ["x", "y", "likelihood"] if images is None else ["x", "y"]
    people, names = ([str(v) for v in tracks[dim].values] for dim in ("individuals", "keypoints"))
    parts = [[scorer], people, names, coords] if len(people) > 1 else [[scorer], names, coords]
    # Plain objects, so that the older pandas of DeepLabCut reads the names too.
    parts = [np.array(part, dtype=object) for part in parts]
    columns = pd.MultiIndex.from_product(parts, names=_LEVELS[len(people) > 1])
    table = pd.DataFrame(values[..., : len(coords)].reshape(len(values), -1), columns=columns)
    if images is None:
        table.index += tracks.attrs.get("first_frame", 0)
    else:
        rows = [tuple(Path(image).parts) for image in images]
        if len(rows) != len(table) or any(len(row) != 3 or row[0] != "labeled-data" for row in rows):
            expected = f"{len(table)} images named labeled-data/<video>/<image>"
            raise ValueError(f"{path}: expected {expected}, got {images[:2]}")
        table.index = pd.MultiIndex.from_tuples(rows)
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, lineterminator="\n")
        else:
            with pd.HDFStore(temporary, mode="w") as store:
                # As DeepLabCut: predictions as a table; labels, whose rows have three names, in the fixed format.
                store.put("df_with_missing", table, format="table" if images is None else "fixed")
                # pandas 3 leaves these out, and DeepLabCut's older pandas cannot read a table without them.
                store.get_storer("df_with_missing").attrs.pandas_version = "0.15.2"
                store.get_storer("df_with_missing").attrs.nan_rep = "nan"
