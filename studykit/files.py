"""Files that are there whole or not at all, and how broken ones are refused."""

import json
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
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


def read_json(path, mend):
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


def refuse(name, faults):
    """Raise a ValueError with the first three faults of a file of this name, if there are any."""
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{name}: " + "; ".join(faults[:3]) + more)
