"""What a Study holds, in tables and sentences: people, faults, checksums."""

from pathlib import Path

import pandas as pd
import pooch

from studykit.study import origin


def cohort(study: pd.DataFrame) -> pd.DataFrame:
    """One row per participant: sex, number of trials and of recordings, directions, leg length.

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


def checksums(study: pd.DataFrame) -> pd.DataFrame:
    """SHA-256 and size of every file that the Study table names.

    Returns
    -------
    pandas.DataFrame
        Columns file, what, bytes, sha256; a file that several recordings share is listed once.
    """
    rows = []
    for what in ("video", "tracks", "truth", "calibration"):
        paths = [Path(value) for value in dict.fromkeys(study[what]) if value]
        rows += [(path.name, what, path.stat().st_size, pooch.file_hash(path)) for path in paths if path.is_file()]
    return pd.DataFrame(rows, columns=["file", "what", "bytes", "sha256"])


def checks_shown(checks: pd.DataFrame) -> pd.DataFrame:
    """The recordings that have a fault; where none has, the spread of what was measured.

    Parameters
    ----------
    checks : pandas.DataFrame
        As from `table.check_recordings`.
    """
    faults = checks[checks.fault != ""]
    return faults if len(faults) else checks.describe().loc[["count", "min", "50%", "max"]].dropna(axis=1, how="all")


def sums_shown(sums: pd.DataFrame) -> pd.DataFrame:
    """Number and size of the files in `checksums`, by what they hold."""
    return sums.groupby("what", sort=False).agg(files=("file", "size"), megabytes=("bytes", lambda b: b.sum() / 1e6))


def study_numbers(study: pd.DataFrame, checks: pd.DataFrame) -> dict[str, float | None]:
    """Headline numbers of a study: people, trials, recordings, faults, and what rendering cost if there was any."""
    rendered = study.attrs.get("rendered_frames", 0)
    return {
        "n_participants": study.participant.nunique(),
        "n_trials": len(study.groupby(["participant", "trial"])),
        "n_recordings": len(study),
        "recorded_s": float(checks.seconds.sum()),
        "n_faults": int((checks.fault != "").sum()),
        "render_ms_per_frame": 1000 * study.attrs["cpu_s"] / rendered if rendered else None,
    }


def made_said(study: pd.DataFrame, dataset: str) -> str:
    """Where the recordings come from, and whether they were rendered now or kept, in sentences."""
    told = f"The data come from {origin(dataset, in_detail=True)}."
    if "rendered_frames" in study.attrs:
        frames = study.attrs["rendered_frames"]
        told += f" {frames} frames were rendered now." if frames else " All are kept from an earlier run."
    return told


def study_conclusion(study: pd.DataFrame, numbers: dict[str, float | None], dataset: str) -> str:
    """What there is to analyse, in sentences; `numbers` as from `study_numbers`."""
    n = numbers
    told = [
        f"**{n['n_recordings']} recordings** of {n['n_trials']} walks by {n['n_participants']} people, "
        f"{n['recorded_s']:.0f} s in all, views {', '.join(sorted(study['view'].unique()))};",
        f"{n['n_faults']} have faults, listed above." if n["n_faults"] else "all files are sound.",
    ]
    if n["render_ms_per_frame"]:
        told.append(f"Rendering took {n['render_ms_per_frame']:.0f} ms of one core per frame.")
    return " ".join([*told, f"They come from {origin(dataset, in_detail=True)}."])
