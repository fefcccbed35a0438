"""The study: its configuration, and its table of recordings.

A Study is a table with one row a recording (participant x trial x view). The simulated laboratory writes one, every
reader of real data makes one, and users write theirs as CSV; nothing downstream knows where a Study came from.
"""

import io
import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from studykit.files import replacing

CONFIG_VERSION = 1
COLUMNS = ("participant", "sex", "trial", "direction", "view", "video", "tracks", "fps", "mirrored")
OPTIONAL_COLUMNS = ("width_px", "height_px", "leg_length_m", "calibration", "truth")
PATH_COLUMNS = ("video", "tracks", "calibration", "truth")
KEY = ["participant", "trial", "view"]


class StudyConfig(BaseModel):
    """One run of the study: which data, which steps, and every number that differs from a notebook's own.

    `notebooks` maps a notebook's name, or a run's (`notebook/variant`), to parameters that override those of its
    parameters cell, which is where each parameter's type, range and meaning stand. `runs` maps a notebook that runs
    several times to its variants, in place of those of `workflow/notebooks.yaml`. `only` names the notebooks that are
    asked for; they run with all that they read, others do not. `uses` maps a notebook or a run to the memory and the
    minutes that one run takes at this scale, for a cluster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[CONFIG_VERSION]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    seed: int = Field(ge=0)
    dataset: Literal["gaitlab", "table", "bvh", "pose2sim"]
    stills: Literal["none", "gaitlab", "lsp", "lspet", "mpii", "coco"] = "none"  # pictures for the networks of 10 to 31
    pose: Literal["network", "given"] = "network"  # "given": tracks come with the study, no network is trained
    truth: bool = False  # the study has truth files, so errors can be known
    notebooks: dict[str, dict] = {}
    runs: dict[str, dict[str, dict]] = {}
    only: list[str] = []
    uses: dict[str, dict[Literal["memory_gb", "minutes"], PositiveFloat]] = {}
    threads: PositiveInt | None = None  # of one run at most; None: as `workflow/notebooks.yaml` has it


def load_config(path):
    """Read and validate a configuration.

    Parameters
    ----------
    path : path-like
        YAML file, as in `config/`.

    Returns
    -------
    StudyConfig

    Raises
    ------
    FileNotFoundError
        If there is no such file; names those that are there.
    ValueError
        With all faults of the file in one sentence.
    """
    path = Path(path)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.yaml"))
        raise FileNotFoundError(f"{path}: expected a configuration file, got none; there are {others}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: expected YAML, got {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys such as `version` and `dataset`, got {type(content).__name__}")
    if content.get("version") != CONFIG_VERSION:
        raise ValueError(
            f"{path}: expected version {CONFIG_VERSION}, got {content.get('version')!r}; "
            "compare the file with config/default.yaml and set its version"
        )
    try:
        return StudyConfig.model_validate(content, strict=True)
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(_fault(fault) for fault in error.errors())) from error


def _fault(fault):
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{where}: expected one of {sorted(StudyConfig.model_fields)}, got an unknown key"
    return f"{where}: {fault['msg'].replace('Input should be', 'expected')}, got {fault['input']!r}"


def project_root():
    """The folder that holds `notebooks/` and `config/`; the environment variable STUDYKIT_ROOT overrides it."""
    return Path(os.environ.get("STUDYKIT_ROOT", Path(__file__).parents[1])).resolve()


def resolve(path):
    """An absolute path as it is, any other one from the project's root."""
    return project_root() / Path(path).expanduser()


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
