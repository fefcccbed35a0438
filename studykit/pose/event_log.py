"""A training's history as a TensorBoard log, which `tensorboard --logdir <folder>` shows (paper 004, section VI)."""

import shutil
from pathlib import Path

import pandas as pd

from studykit.pose.network import Network


def write_event_log(history: pd.DataFrame, folder: str | Path, step: str = "step") -> Path:
    """Write the numbers of a history as scalars; an earlier log in the folder is replaced.

    Parameters
    ----------
    history : pandas.DataFrame
        As from `training.fit`; NaN are left out.
    folder : path-like
    step : str
        The column that counts.

    Returns
    -------
    pathlib.Path
        The log's file.
    """
    from tensorboard.summary import Writer

    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    writer = Writer(str(folder))
    for row in history.to_dict("records"):
        for name, value in row.items():
            if name != step and value == value:
                writer.add_scalar(name, value, step=int(row[step]))
    writer.close()
    return next(folder.glob("events.out.tfevents.*"))


def read_event_log(folder: str | Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads from a log: dict of name to list of (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={TENSORS: 0})  # all of them
    log.Reload()
    return {
        name: [(event.step, event.tensor_proto.float_val[0]) for event in log.Tensors(name)]
        for name in log.Tags()["tensors"]
    }


def log_history(network: Network) -> None:
    """Write a network's history to `tensorboard/` in its folder, once."""
    network.kept("event_log", [], lambda: write_event_log(network.history, network.folder / "tensorboard").name)


def logged_scalars(network: Network) -> pd.DataFrame:
    """What TensorBoard reads from that log: scalar, points, step and last value; kept beside the network."""

    def read() -> pd.DataFrame:
        rows = [
            (name, len(values), *values[-1]) for name, values in read_event_log(network.folder / "tensorboard").items()
        ]
        return pd.DataFrame(rows, columns=["scalar", "points", "step", "last"])

    return network.kept("logged", [], read)
