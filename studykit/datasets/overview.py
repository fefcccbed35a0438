"""What a Study holds, in tables and pictures: people, cameras, sample frames, checksums."""

from pathlib import Path

import pandas as pd
import pooch


def cohort(study):
    """A row a participant: sex, number of trials and of recordings, directions, leg length.

    Parameters
    ----------
    study : pandas.DataFrame
        As `study.read_study` gives it.

    Returns
    -------
    pandas.DataFrame
    """
    people = study.groupby("participant", sort=True)
    return pd.DataFrame(
        {
            "sex": people.sex.first(),
            "trials": people.trial.nunique(),
            "recordings": people.size(),
            "right_to_left": people.direction.agg(lambda d: int((d == "R2L").sum())),
            "leg_length_m": people.leg_length_m.first(),
        }
    ).reset_index()


def checksums(study):
    """SHA-256 and size of every file that the Study table names.

    Returns
    -------
    pandas.DataFrame
        Columns file, what, bytes, sha256; a file that several recordings share stands once.
    """
    rows = []
    for what in ("video", "tracks", "truth", "calibration"):
        paths = [Path(value) for value in dict.fromkeys(study[what]) if value]
        rows += [(path.name, what, path.stat().st_size, pooch.file_hash(path)) for path in paths if path.is_file()]
    return pd.DataFrame(rows, columns=["file", "what", "bytes", "sha256"])
