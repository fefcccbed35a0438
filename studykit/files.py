"""Files: atomic writes, refusal of broken ones, fingerprints, and paths from the project's root."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A place to write a file to, which takes the file's own place once the block has ended well.

    Yields
    ------
    pathlib.Path
        Hidden, beside `path`, with the same suffix; missing folders are made. Removed if the block fails.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path, mend: str) -> Any:
    """What a JSON file holds.

    Parameters
    ----------
    path : pathlib.Path
    mend : str
        What to do about a broken one, for the message.

    Raises
    ------
    ValueError
        If it is cut off, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected whole JSON, got something else ({error}); {mend}") from error


def refuse(name: Any, faults: Sequence[str]) -> None:
    """Raise a ValueError with the first three faults of a file of this name, if there are any."""
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{name}: " + "; ".join(faults[:3]) + more)


def project_root() -> Path:
    """The folder that holds `notebooks/` and `config/`; the environment variable STUDYKIT_ROOT overrides it."""
    return Path(os.environ.get("STUDYKIT_ROOT", Path(__file__).parents[1])).resolve()


def resolve(path: str | Path) -> Path:
    """An absolute path as it is, any other one from the project's root."""
    return project_root() / Path(path).expanduser()


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all, with its folders."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def file_digest(path: str | Path) -> str:
    """Fingerprint of a file, or of all files in a folder with their names; hidden ones don't count.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str
        BLAKE2b of the content; "" if there is nothing.
    """
    path = Path(path)
    if path.is_dir():
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(path.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                digest.update(f"{file.relative_to(path).as_posix()}\n{file_digest(file)}\n".encode())
        return digest.hexdigest()
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
