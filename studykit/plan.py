"""The plan of a study: which notebooks run, with which parameters, on whose results."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from studykit.parameters import read_parameters, validate
from studykit.provenance import code_digest
from studykit.study import PATH_COLUMNS, project_root, resolve


class _Entry(BaseModel):
    """A notebook in `workflow/notebooks.yaml`."""

    model_config = ConfigDict(extra="forbid")

    reads: list[str] = []
    writes: list[str] = []
    threads: int = 1
    when: dict[str, str | bool] = {}


@dataclass(frozen=True)
class Run:
    """One notebook of a study with its parameters.

    Attributes
    ----------
    name : str
    notebook : pathlib.Path
    reads : tuple of str
        Runs whose results it reads.
    results : tuple of pathlib.Path
        Files and folders under the study's derived folder that it must leave behind.
    done : pathlib.Path
        Written when the run is complete, removed when a result is lost.
    threads : int
    parameters : dict
        All of them, checked.
    """

    name: str
    notebook: Path
    reads: tuple
    results: tuple
    done: Path
    threads: int
    parameters: dict

    def code(self):
        """Fingerprint of the notebook's cells and of the modules that it uses."""
        return code_digest(self.notebook)

    def files(self):
        """Files and folders that parameters name; of a Study table also the recordings that it names."""
        named = [v for k, v in self.parameters.items() if k not in ("derived", "reports") and isinstance(v, str)]
        files = [resolve(value) for value in named if value and resolve(value).exists()]
        return files + [file for path in files if path.suffix == ".csv" for file in _recordings(path)]


def _recordings(path):
    """Files in the rows of a Study table; faults in it are for the notebook that reads it to say."""
    table = pd.read_csv(path, dtype=str)
    values = [value for name in PATH_COLUMNS if name in table for value in table[name].dropna().unique()]
    return [file for value in values if (file := path.parent / value).exists()]


def folders(config):
    """Folders of a study, from the project's root: derived data and reports."""
    return {"derived": f"data/derived/{config.name}", "reports": f"reports/{config.name}"}


def plan(config):
    """The runs of a study in order, all parameters checked before anything starts.

    Each notebook gets of `seed`, `dataset`, `pose`, `truth`, `derived` and `reports` what it declares, then what
    the configuration's section of its name says.

    Parameters
    ----------
    config : StudyConfig

    Returns
    -------
    dict of str to Run

    Raises
    ------
    ValueError
        Naming every unknown notebook and every parameter that is wrong.
    FileNotFoundError
        If a notebook of the plan is missing.
    """
    table = yaml.safe_load((project_root() / "workflow" / "notebooks.yaml").read_text(encoding="utf-8"))
    table = {name: _Entry.model_validate(entry or {}) for name, entry in table.items()}
    part = [n for n, entry in table.items() if all(getattr(config, k) == v for k, v in entry.when.items())]
    faults = [
        f"notebooks: expected one of {', '.join(table)}, got {name!r}" for name in config.notebooks if name not in table
    ]
    runs = {}
    for name in part:
        try:
            runs[name] = _run(name, table[name], part, config)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError(f"study {config.name}: " + "; ".join(faults))
    return runs


def _run(name, entry, part, config):
    notebook = project_root() / "notebooks" / f"{name}.ipynb"
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook}: expected a notebook, got none; workflow/notebooks.yaml names it")
    common = config.model_dump(include={"seed", "dataset", "pose", "truth"}) | folders(config)
    declared = read_parameters(notebook)
    given = {key: value for key, value in common.items() if key in declared}
    derived = resolve(common["derived"])
    return Run(
        name=name,
        notebook=notebook,
        reads=tuple(other for other in entry.reads if other in part),
        results=tuple(derived / result for result in entry.writes),
        done=derived / "done" / name,
        threads=entry.threads,
        parameters=validate(notebook, given | config.notebooks.get(name, {})),
    )


def forget_lost(runs):
    """Unmark runs whose results have been removed, so that they are made again.

    Parameters
    ----------
    runs : dict of str to Run

    Returns
    -------
    list of str
        One sentence for each.
    """
    said = []
    for run in runs.values():
        lost = [path.name for path in run.results if not path.exists()]
        if lost and run.done.exists():
            run.done.unlink()
            said.append(f"{run.name}: {', '.join(lost)} is no longer there; it will be made again")
    return said
