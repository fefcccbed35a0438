"""Sources of Studies (simulated laboratory, the user's own table, motion capture, a published demo) and of stills."""

from pathlib import Path

from studykit.study import read_study

DATASETS = ("gaitlab", "table", "bvh", "pose2sim")


def prepare(dataset, folder, **parameters):
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
        from studykit.gaitlab import simulate_study

        return simulate_study(folder, **parameters)
    if dataset == "table":
        from studykit.datasets.table import table_study

        table_study(folder=folder, **parameters)
    elif dataset == "bvh":
        from studykit.datasets.bvh import bvh_study

        bvh_study(folder=folder, **parameters)
    elif dataset == "pose2sim":
        from studykit.datasets.pose2sim import pose2sim_study

        pose2sim_study(folder=folder, **parameters)
    else:
        raise ValueError(f"dataset: expected one of {', '.join(DATASETS)}, got {dataset!r}")
    return read_study(folder / "study.csv")
