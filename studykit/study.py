"""The study: its table of recordings, where they come from, and who is for training and for test.

A Study is a table with one row per recording (participant x trial x view). The simulated laboratory writes one, every
reader of real data makes one, and users write theirs as CSV; nothing downstream depends on where a Study came from.
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from studykit.files import replacing

COLUMNS = ("participant", "sex", "trial", "direction", "view", "video", "tracks", "fps", "mirrored")
OPTIONAL_COLUMNS = ("width_px", "height_px", "leg_length_m", "calibration", "truth")
PATH_COLUMNS = ("video", "tracks", "calibration", "truth")
KEY = ["participant", "trial", "view"]
SETS = ("train", "validation", "test")
# Of recordings and stills: the sentences that say where they come from, and what can be fetched.
SOURCES = yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text(encoding="utf-8"))


def origin(dataset: str, *, in_detail: bool = False) -> str:
    """Where the recordings of a study come from, as part of a sentence."""
    return ": ".join(SOURCES["recordings"][dataset][: 1 + in_detail])


def read_table(path: str | Path, dtype: dict | None = None) -> pd.DataFrame:
    """A CSV file as people save it: by commas, or by semicolons with decimal commas, as some spreadsheets do.

    Lines and columns without any value, which spreadsheets leave behind, are dropped; the index still counts lines.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        style = {"sep": ";", "decimal": ","} if head.count(";") > head.count(",") else {}
        table = pd.read_csv(io.StringIO(text), dtype=dtype, skipinitialspace=True, skip_blank_lines=False, **style)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        told = str(error).strip().splitlines()[-1]
        raise ValueError(f"{path}: expected a table as CSV in UTF-8, got none ({told}); save it as that") from None
    blank = [name for name in table if str(name).startswith("Unnamed: ") and table[name].isna().all()]
    return table.drop(columns=blank).dropna(how="all")


def read_study(path: str | Path) -> pd.DataFrame:
    """Read and validate a Study table.

    Parameters
    ----------
    path : path-like
        CSV as `read_table` takes it, with the columns of `COLUMNS`, and any of `OPTIONAL_COLUMNS`; paths in it are
        relative to its folder.

    Returns
    -------
    pandas.DataFrame
        One row per recording, sorted by participant, trial and view; paths absolute, "" where there is none.

    Raises
    ------
    FileNotFoundError
        If the table is missing.
    ValueError
        Naming every fault of the table: unknown or missing columns, duplicate rows, invalid values, missing files.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a Study table (CSV with columns {', '.join(COLUMNS)}), got none")
    table = read_table(path, {"participant": str, "sex": str, "video": str, "tracks": str, "view": str})
    known = COLUMNS + OPTIONAL_COLUMNS
    faults = [f"expected a column {name!r}, got none" for name in COLUMNS if name not in table]
    faults += [f"unknown column {name!r}, expected {', '.join(known)}" for name in table if name not in known]
    faults = faults or _row_faults(table)
    if not faults:
        table = _complete(table, path.parent)
        faults = _file_faults(table)
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))
    return table.sort_values(KEY, kind="stable").reset_index(drop=True)


def _row_faults(table):
    if table.empty:
        return ["expected at least one recording, got none"]
    empty = table[[*KEY, "fps", "mirrored", "direction"]].isna()
    if empty.any(axis=None):
        first = empty.idxmax()[empty.any()]
        return [f"line {line + 2}: expected a value in {name!r}, got none" for name, line in first.items()]
    faults = [
        f"line {row.Index + 2}: expected each participant, trial and view once, got "
        f"{row.participant}, trial {row.trial}, view {row.view} again"
        for row in table[table.duplicated(KEY)].itertuples()
    ]
    number = table[["trial", "fps"]].apply(pd.to_numeric, errors="coerce")
    checks = {
        "direction": (table.direction.isin(["R2L", "L2R"]), "R2L or L2R"),
        "trial": (number.trial.mod(1).eq(0), "a whole number"),
        "fps": (number.fps.gt(0), "frames per second above 0"),
        "mirrored": (table.mirrored.astype(str).str.lower().isin(["true", "false"]), "true or false"),
    }
    faults += [
        f"line {index + 2}: expected {wanted} in {name!r}, got {table[name][index]!r}"
        for name, (good, wanted) in checks.items()
        for index in table.index[~good][:3]
    ]
    bare = table.index[table.video.isna() & table.tracks.isna()]
    return faults + [f"line {index + 2}: expected a video or a tracks file, got neither" for index in bare[:3]]


def _complete(table, folder):
    """Types made exact, optional columns added, paths absolute."""
    table = table.reindex(columns=[*COLUMNS, *OPTIONAL_COLUMNS])
    table["sex"] = table.sex.fillna("").astype(str)
    table["mirrored"] = table.mirrored.astype(str).str.lower().eq("true")
    for name in PATH_COLUMNS:
        given = table[name].astype(object).fillna("").astype(str)
        table[name] = [str(Path(os.path.abspath(folder / value))) if value else "" for value in given]
    return table.astype({"trial": int, "fps": float})


def _file_faults(table):
    wanted = [(name, value) for name in PATH_COLUMNS for value in dict.fromkeys(table[name]) if value]
    there = {name: Path.exists if name == "tracks" else Path.is_file for name in PATH_COLUMNS}  # OpenPose: a folder
    lost = [f"{name}: expected a file, got none at {value}" for name, value in wanted if not there[name](Path(value))]
    return lost[:5] + ([f"and {len(lost) - 5} more files missing"] if len(lost) > 5 else [])


def write_study(table: pd.DataFrame, path: str | Path) -> None:
    """Write a Study table; paths become relative to its folder."""
    path = Path(path)
    table = table.copy()
    for name in table.columns.intersection(PATH_COLUMNS):
        values = table[name].fillna("").astype(str)
        table[name] = [os.path.relpath(value, path.parent) if value else "" for value in values]
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


@dataclass(frozen=True)
class Recording:
    """One row of a Study table: one view of one walk.

    Attributes
    ----------
    participant, view : str
    trial : int
        Of the participant.
    direction : {"R2L", "L2R"}
        Of the walk in the stored image.
    fps : float
        Frames per second.
    mirrored : bool
        Whether the stored image is flipped left-right from what the camera saw.
    sex, video, tracks, calibration, truth : str
        "" where unknown; absolute paths.
    width_px, height_px, leg_length_m : float
        NaN where unknown.
    """

    participant: str
    trial: int
    view: str
    direction: str
    fps: float
    mirrored: bool = False
    sex: str = ""
    video: str = ""
    tracks: str = ""
    width_px: float = np.nan
    height_px: float = np.nan
    leg_length_m: float = np.nan
    calibration: str = ""
    truth: str = ""

    @property
    def walk(self) -> str:
        """BIDS-like name of the walk, which all its views share: `sub-07_trial-2`."""
        return f"{self.participant}_trial-{self.trial}"

    @property
    def name(self) -> str:
        """BIDS-like name of the recording: `sub-07_trial-2_dir-R2L_cam-C1`."""
        return f"{self.walk}_dir-{self.direction}_cam-{self.view}"

    @property
    def size_px(self) -> tuple[float, float]:
        """Width and height of the image; NaN where unknown."""
        return self.width_px, self.height_px

    @property
    def near_side(self) -> str:
        """Anatomical side that faces the camera: of a person who walks to the left, unmirrored, the left one."""
        return "left" if (self.direction == "R2L") != bool(self.mirrored) else "right"


def recordings(study: pd.DataFrame) -> list[Recording]:
    """The rows of a Study table."""
    names = [name for name in study if name in Recording.__dataclass_fields__]
    return [Recording(**row) for row in study[names].to_dict("records")]


def walks(study: pd.DataFrame) -> dict[str, list[Recording]]:
    """The recordings of each walk, by its name."""
    views: dict[str, list[Recording]] = {}
    for recording in recordings(study):
        views.setdefault(recording.walk, []).append(recording)
    return views


def split_people(participants: Iterable[str], shares: Sequence[float], seed: int) -> pd.DataFrame:
    """Who is for training, (validation) and test; no one is in two sets.

    Parameters
    ----------
    participants : iterable of str
    shares : sequence of float
        Of the participants in training and test, or in each of `SETS`, together 1 (paper 004: 0.7, 0.15, 0.15).
    seed : int

    Returns
    -------
    pandas.DataFrame
        participant, set; sorted by participant.

    Raises
    ------
    ValueError
        If the shares do not make 1, or a set would be empty.
    """
    names, sets = sorted(set(participants)), SETS if len(shares) == 3 else (SETS[0], SETS[-1])
    if len(shares) != len(sets) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"expected shares of {', '.join(sets)} that make 1, got {list(shares)}")
    n, part = len(names), np.full(len(names), sets[0], object)
    if len(sets) == 2:
        counts = [n - (tested := min(max(round(shares[1] * n), 1), n - 1)), tested]
    else:
        counts = np.diff(np.rint(np.cumsum(shares) * n).astype(int), prepend=0).tolist()
    if min(counts) < 1:
        raise ValueError(f"expected people for each of {', '.join(sets)}, got {counts} of {n}; take more people")
    rng = np.random.default_rng([seed, n])
    if len(sets) == 2:  # drawn in two ways, so that the numbers of both 40 (two sets) and 01 (three) stay as they were
        part[rng.choice(n, counts[1], replace=False)] = sets[1]
    else:
        part[rng.permutation(n)] = np.repeat(sets, counts)
    return pd.DataFrame({"participant": names, "set": part})
