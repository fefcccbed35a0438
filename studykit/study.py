"""The study: its configuration, and its table of recordings.

A Study is a table with one row a recording (participant x trial x view). The simulated laboratory writes one, every
reader of real data makes one, and users write theirs as CSV; nothing downstream knows where a Study came from.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.files import replacing

COLUMNS = ("participant", "sex", "trial", "direction", "view", "video", "tracks", "fps", "mirrored")
OPTIONAL_COLUMNS = ("width_px", "height_px", "leg_length_m", "calibration", "truth")
PATH_COLUMNS = ("video", "tracks", "calibration", "truth")
KEY = ["participant", "trial", "view"]


def read_table(path, dtype=None):
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


def read_study(path):
    """Read and validate a Study table.

    Parameters
    ----------
    path : path-like
        CSV as `read_table` takes it, with the columns of `COLUMNS`, and any of `OPTIONAL_COLUMNS`; paths in it are
        relative to its folder.

    Returns
    -------
    pandas.DataFrame
        A row a recording, sorted by participant, trial and view; paths absolute, "" where there is none.

    Raises
    ------
    FileNotFoundError
        If the table is missing.
    ValueError
        Naming every fault of the table: unknown or missing columns, duplicate rows, ill values, missing files.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a Study table (CSV with columns {', '.join(COLUMNS)}), got none")
    table = read_table(path, {"participant": str, "sex": str, "video": str, "tracks": str, "view": str})
    missing = [name for name in COLUMNS if name not in table]
    unknown = [name for name in table if name not in COLUMNS + OPTIONAL_COLUMNS]
    faults = [f"expected a column {name!r}, got none" for name in missing]
    faults += [f"unknown column {name!r}, expected {', '.join(COLUMNS + OPTIONAL_COLUMNS)}" for name in unknown]
    if not faults:
        faults = _row_faults(table)
    if not faults:
        table = _complete(table, path.parent)
        faults = _file_faults(table)
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))
    return table.sort_values(KEY, kind="stable").reset_index(drop=True)


def _row_faults(table):
    if table.empty:
        return ["expected at least one recording, got none"]
    faults = []
    for name in (*KEY, "fps", "mirrored", "direction"):
        rows = table.index[table[name].isna()] + 2
        if len(rows):
            faults.append(f"line {rows[0]}: expected a value in {name!r}, got none")
    if faults:
        return faults
    twice = table[table.duplicated(KEY)]
    faults += [
        f"line {row.Index + 2}: expected each participant, trial and view once, got "
        f"{row.participant}, trial {row.trial}, view {row.view} again"
        for row in twice.itertuples()
    ]
    checks = {
        "direction": table.direction.isin(["R2L", "L2R"]),
        "trial": pd.to_numeric(table.trial, errors="coerce").mod(1).eq(0),
        "fps": pd.to_numeric(table.fps, errors="coerce").gt(0),
        "mirrored": table.mirrored.astype(str).str.lower().isin(["true", "false"]),
    }
    wanted = {
        "direction": "R2L or L2R",
        "trial": "a whole number",
        "fps": "frames per second above 0",
        "mirrored": "true or false",
    }
    for name, good in checks.items():
        for index in table.index[~good][:3]:
            faults.append(f"line {index + 2}: expected {wanted[name]} in {name!r}, got {table[name][index]!r}")
    bad = table.video.isna() & table.tracks.isna()
    faults += [f"line {i + 2}: expected a video or a tracks file, got neither" for i in table.index[bad][:3]]
    return faults


def _complete(table, folder):
    """Types made exact, optional columns added, paths absolute."""
    table = table.copy()
    for name in OPTIONAL_COLUMNS:
        if name not in table:
            table[name] = "" if name in PATH_COLUMNS else np.nan
    table["sex"] = table.sex.fillna("").astype(str)
    table["trial"] = table.trial.astype(int)
    table["fps"] = table.fps.astype(float)
    table["mirrored"] = table.mirrored.astype(str).str.lower().eq("true")
    for name in PATH_COLUMNS:
        given = table[name].fillna("").astype(str)
        table[name] = [str(Path(os.path.abspath(folder / value))) if value else "" for value in given]
    return table[[*COLUMNS, *OPTIONAL_COLUMNS]]


def _file_faults(table):
    wanted = [(name, value) for name in PATH_COLUMNS for value in dict.fromkeys(table[name]) if value]
    there = {name: Path.exists if name == "tracks" else Path.is_file for name in PATH_COLUMNS}  # OpenPose: a folder
    lost = [f"{name}: expected a file, got none at {value}" for name, value in wanted if not there[name](Path(value))]
    return lost[:5] + ([f"and {len(lost) - 5} more files missing"] if len(lost) > 5 else [])


def write_study(table, path):
    """Write a Study table; paths become relative to its folder."""
    path = Path(path)
    table = table.copy()
    for name in PATH_COLUMNS:
        if name in table:
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
    def near_side(self) -> str:
        """Anatomical side that faces the camera: of a person who walks to the left, unmirrored, the left one."""
        return "left" if (self.direction == "R2L") != bool(self.mirrored) else "right"


def recordings(study: pd.DataFrame) -> list[Recording]:
    """The rows of a Study table."""
    names = [name for name in study if name in Recording.__dataclass_fields__]
    return [Recording(**row) for row in study[names].to_dict("records")]


# TEMPORARY until every room uses Recording
def trial_name(recording):
    """BIDS-like name of a trial, `sub-07_trial-2`."""
    return f"{recording.participant}_trial-{recording.trial}"


def recording_name(recording):
    """BIDS-like name of a recording, `sub-07_trial-2_dir-R2L_cam-C1`."""
    return f"{trial_name(recording)}_dir-{recording.direction}_cam-{recording.view}"


def near_side(recording):
    """Anatomical side that faces the camera: of a person who walks to the left, unmirrored, the left one."""
    return "left" if (recording.direction == "R2L") != bool(recording.mirrored) else "right"


def split_participants(participants, test_fraction, seed):
    """Participants for training and for testing; nobody is in both.

    Parameters
    ----------
    participants : iterable of str
    test_fraction : float
        Share of participants to test on, 0 to 1; at least one, and at least one is left to train on.
    seed : int

    Returns
    -------
    train, test : list of str, sorted

    Raises
    ------
    ValueError
        If there are fewer than two participants.
    """
    names = sorted(set(participants))
    if len(names) < 2:
        raise ValueError(f"expected at least two participants to split for training and testing, got {names}")
    n_test = min(max(round(test_fraction * len(names)), 1), len(names) - 1)
    test = np.random.default_rng([seed, len(names)]).choice(len(names), n_test, replace=False)
    return [n for i, n in enumerate(names) if i not in test], [names[i] for i in sorted(test)]
