"""Sources of Studies (simulated laboratory, the user's own table, motion capture, a published demo) and of stills."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from studykit.datasets.fetch import source_folder
from studykit.files import resolve
from studykit.study import read_study


def study_of(dataset: str, folder: Path, *, study_table: str, bvh_folder: str, **parameters: Any) -> pd.DataFrame:
    """The Study of one source from the parameters of notebook 00, of which each source takes its own; see `prepare`."""
    parameters["source"] = {"table": resolve(study_table), "bvh": source_folder(bvh_folder)}.get(dataset)
    parameters |= {"width": parameters["width_px"], "height": parameters["height_px"]}
    known = inspect.signature(_maker(dataset)).parameters
    return prepare(dataset, folder, **{name: value for name, value in parameters.items() if name in known})


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
    made = _maker(dataset)(folder=folder, **parameters)
    study = read_study(Path(folder) / "study.csv")
    study.attrs.update(made.attrs)
    return study


def _maker(dataset):
    """The function of a source, imported when it is needed."""
    names = {"gaitlab": "gaitlab.simulate_study"}
    names |= {name: f"datasets.{name}.{name}_study" for name in ("table", "bvh", "pose2sim")}
    if dataset not in names:
        raise ValueError(f"dataset: expected one of {', '.join(names)}, got {dataset!r}")
    module, _, name = names[dataset].rpartition(".")
    return getattr(import_module(f"studykit.{module}"), name)
