"""Sources of Studies (simulated laboratory, the user's own table, motion capture, a published demo) and of stills."""

from pathlib import Path

from studykit.study import read_study

DATASETS = ("gaitlab", "table", "bvh", "pose2sim")
STILLS = ("lsp", "lspet", "mpii", "coco")


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


def read_stills(name, folder, **options):
    """Real pictures of people: `lsp.lsp_stills`, `mpii.mpii_stills` or `coco.coco_stills`.

    Parameters
    ----------
    name : {"lsp", "lspet", "mpii", "coco"}
    folder : path-like
    **options
        Of that reader.

    Returns
    -------
    studykit.stills.StillSet
    """
    if name in ("lsp", "lspet"):
        from studykit.datasets.lsp import lsp_stills

        return lsp_stills(folder, name, **options)
    if name == "mpii":
        from studykit.datasets.mpii import mpii_stills

        return mpii_stills(folder, **options)
    if name == "coco":
        from studykit.datasets.coco import coco_stills

        return coco_stills(folder, **options)
    raise ValueError(f"stills: expected one of {', '.join(STILLS)}, got {name!r}")
