"""TensorBoard logs."""

import pandas as pd
import pytest

from studykit.pose.event_log import read_event_log, write_event_log


def test_tensorboard_reads_the_history(tmp_path):
    history = pd.DataFrame({"step": [20, 40, 60], "loss": [0.5, 0.25, 0.125], "validation_loss": [None, 0.5, 0.75]})
    write_event_log(history.iloc[:1], tmp_path / "log")  # replaced by the next
    path = write_event_log(history, tmp_path / "log")
    assert path.is_file()
    read = read_event_log(tmp_path / "log")
    assert read == {"loss": [(20, 0.5), (40, 0.25), (60, 0.125)], "validation_loss": [(40, 0.5), (60, 0.75)]}


def test_a_step_column_is_needed(tmp_path):
    with pytest.raises(KeyError, match="epoch"):
        write_event_log(pd.DataFrame({"step": [1], "loss": [1.0]}), tmp_path / "log", step="epoch")
