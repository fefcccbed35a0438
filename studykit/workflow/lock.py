"""One process at a time: a lock that cannot be left behind, and a clock on what is said meanwhile."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO


def say(sentence: str) -> None:
    """Tell the user what goes on, with the time of day."""
    print(f"{datetime.now():%H:%M:%S} {sentence}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone(path: str | Path, what: str, wait: bool = False) -> Iterator[IO]:
    """Hold a lock that ends with this process, and with those that inherit its file, however they end.

    Parameters
    ----------
    path : path-like
        Lock file; it stays, empty of meaning once nobody holds it.
    what : str
        What is being done, for the message to others.
    wait : bool
        Wait for the other one rather than refuse.

    Yields
    ------
    file
        The lock file, open.

    Raises
    ------
    RuntimeError
        If another process holds the lock, naming it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "another process"
            if not wait:
                raise RuntimeError(f"{what} is already running ({other}); wait for it or end it") from None
            say(f"{what} is still running ({other}); waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} since {datetime.now():%Y-%m-%d %H:%M}")
        file.flush()
        yield file
