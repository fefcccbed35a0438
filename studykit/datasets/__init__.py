"""Sources of Studies (simulated laboratory, the user's own table, motion capture, a published demo) and of stills."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from studykit.study import SOURCES, read_study


def study_of(
    dataset: str,
    folder: str | Path,
    *,
    seed: int,
    participants: int,
    trials: int,
    seconds: float,
    fps: float,
    width_px: int,
    height_px: int,
    camera_shift_m: float,
    camera_turn_deg: float,
    workers: int,
    study_table: str,
    unequal_views: bool,
    assumed_confidence: float | None,
    bvh_folder: str,
    directions: Sequence[str],
    pixel_noise: float,
) -> pd.DataFrame:
    """The Study of one source from the parameters of notebook 00, of which each source takes its own; see `prepare`."""
    from studykit.datasets.fetch import source_folder
    from studykit.files import resolve

    image = {"fps": fps, "seed": seed}
    settings = {
        "gaitlab": {"participants": participants, "trials": trials, "seconds": seconds, "workers": workers}
        | image
        | {"width": width_px, "height": height_px}
        | {"camera_shift_m": camera_shift_m, "camera_turn_deg": camera_turn_deg},
        "table": {"source": resolve(study_table), "unequal_views": unequal_views}
        | {"assumed_confidence": assumed_confidence},
        "bvh": {"source": source_folder(bvh_folder), "directions": directions, "pixel_noise": pixel_noise}
        | image
        | {"width_px": width_px, "height_px": height_px},
    }
    return prepare(dataset, folder, **settings.get(dataset, {}))


def prepare(dataset: str, folder: str | Path, **parameters: Any) -> pd.DataFrame:
    """Make the Study of one source: `study.csv` and what it points at.

    Parameters
    ----------
    dataset : {"gaitlab", "table", "bvh", "pose2sim"}
        The simulated laboratory (`gaitlab.simulate_study`), the user's own table (`table.table_study`), motion capture
        through virtual cameras (`bvh.bvh_study`), or the demo of Pose2Sim (`pose2sim.pose2sim_study`).
    folder : path-like
        Receives the Study.
    **parameters
        Of that source's function.

    Returns
    -------
    pandas.DataFrame
        The Study table with absolute paths, validated; the laboratory's has `attrs` with what it cost.

    Raises
    ------
    ValueError
        If there is no such source; otherwise whatever the source finds wrong.
    """
    folder = Path(folder)
    if dataset == "gaitlab":
        from studykit.gaitlab import simulate_study as make
    elif dataset == "table":
        from studykit.datasets.table import table_study as make
    elif dataset == "bvh":
        from studykit.datasets.bvh import bvh_study as make
    elif dataset == "pose2sim":
        from studykit.datasets.pose2sim import pose2sim_study as make
    else:
        raise ValueError(f"dataset: expected one of {', '.join(SOURCES)}, got {dataset!r}")
    made = make(folder=folder, **parameters)
    study = read_study(folder / "study.csv")
    study.attrs.update(made.attrs)
    return study
