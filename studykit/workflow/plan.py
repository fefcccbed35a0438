"""The plan of a study: which notebooks run, with which parameters, on whose results."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

from studykit.files import file_digest, project_root, resolve
from studykit.study import PATH_COLUMNS, read_table
from studykit.workflow.configuration import StudyConfig
from studykit.workflow.parameters import read_parameters, validate
from studykit.workflow.provenance import code_digest


class _Entry(BaseModel):
    """A notebook in `workflow/notebooks.yaml`."""

    model_config = ConfigDict(extra="forbid")

    reads: list[str] = []
    gathers: bool = False
    writes: list[str] = []
    threads: int = 1
    memory_gb: float = 1.0
    minutes: float = 1.0
    gpu: bool = False
    when: dict[str, str | bool | list[str]] = {}
    runs: dict[str, dict] = {}

    def fits(self, config: StudyConfig) -> bool:
        """Whether it is part of a study."""
        wanted = {name: value if isinstance(value, list) else [value] for name, value in self.when.items()}
        return all(getattr(config, name) in values for name, values in wanted.items())


@dataclass(frozen=True)
class Run:
    """One notebook of a study with its parameters.

    Attributes
    ----------
    name : str
        The notebook's, or `notebook/variant` where one notebook runs several times.
    notebook : pathlib.Path
    reads : tuple of str
        Runs whose results it reads.
    results : tuple of pathlib.Path
        Files and folders under the study's derived folder that it must leave behind.
    record : pathlib.Path
        How it was made; written when the run is complete, removed when a result is lost. All freshness hangs on it:
        Snakemake runs a notebook again when the record is missing, or older than the records it reads.
    threads : int
    memory_gb, minutes : float
        What it has been seen to use, or what the configuration says.
    gpu : bool
        Whether it trains or asks a network, so that a GPU makes it faster.
    parameters : dict
        All of them, checked.
    """

    name: str
    notebook: Path
    reads: tuple[str, ...]
    results: tuple[Path, ...]
    record: Path
    threads: int
    memory_gb: float
    minutes: float
    gpu: bool
    parameters: dict

    def read_record(self) -> dict | None:
        """What the record says; None where it is gone or damaged."""
        try:
            return json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def code(self) -> str:
        """Fingerprint of the notebook's cells and of the modules that it uses."""
        return code_digest(self.notebook)

    def files(self) -> list[Path]:
        """Files and folders that parameters name; of a Study table also the recordings that it names."""
        named = [v for k, v in self.parameters.items() if k not in ("derived", "reports") and isinstance(v, str)]
        files = [resolve(value) for value in named if value and resolve(value).exists()]
        return files + [file for path in files if path.suffix == ".csv" for file in _recordings(path)]


def _recordings(path):
    """Files in the rows of a Study table; faults in it are for the notebook that reads it to say."""
    table = read_table(path, str)
    values = [value for name in PATH_COLUMNS if name in table for value in table[name].dropna().unique()]
    return [file for value in values if (file := path.parent / value).exists()]


def folders(config: StudyConfig) -> dict[str, str]:
    """Folders of a study, from the project's root: derived data and reports."""
    return {"derived": f"data/derived/{config.name}", "reports": f"reports/{config.name}"}


def plan(config: StudyConfig) -> dict[str, Run]:
    """The runs of a study in order, all parameters checked before anything starts.

    Each notebook gets of `seed`, `dataset`, `stills`, `pose`, `truth`, `derived` and `reports` what it declares, then
    what the configuration says of the notebook, what makes it one variant of several, and what the configuration says
    of that one run. A parameter that the configuration sets for a notebook and that one of its variants sets to
    another value is refused, so that no run changes its siblings by accident.

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
    variants = {name: config.runs.get(name, entry.runs) for name, entry in table.items()}
    names = {name: [f"{name}/{variant}" for variant in variants[name]] or [name] for name in table}
    known = [*table, *(run for name in table if variants[name] for run in names[name])]
    faults = [
        f"{section}: expected one of {', '.join(known)}, got {name!r}"
        for section in ("notebooks", "runs", "uses")
        for name in getattr(config, section)
        if name not in known
    ]
    faults += [f"only: expected some of {', '.join(table)}, got {name!r}" for name in config.only if name not in table]
    runs = {}
    wanted = _with_all_they_read(table, config.only or table)
    part = {name: names[name] for name, entry in table.items() if name in wanted and entry.fits(config)}
    for notebook in part:
        for name in names[notebook]:
            try:
                runs[name] = _run(name, table[notebook], variants[notebook], part, config)
            except ValueError as error:
                faults.append(str(error))
    if faults:
        raise ValueError(f"study {config.name}: " + "; ".join(faults))
    return runs


def _with_all_they_read(table, names):
    """Names of notebooks, of those that they read, and so on; one that gathers takes what there is."""
    found, coming = set(), [name for name in names if name in table]
    while coming:
        name = coming.pop()
        found.add(name)
        if not table[name].gathers:
            coming += [other for other in table[name].reads if other not in found]
    return found


def _run(name, entry, variants, part, config):
    stem, _, variant = name.partition("/")
    notebook = project_root() / "notebooks" / f"{stem}.ipynb"
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook}: expected a notebook, got none; workflow/notebooks.yaml names it")
    common = config.model_dump(include={"seed", "dataset", "stills", "pose", "truth"}) | folders(config)
    common |= {"variant": variant, "run": variant} if variant else {}
    declared = read_parameters(notebook)
    own, shared = variants.get(variant, {}), config.notebooks.get(stem, {})
    special = config.notebooks.get(name, {}) if variant else {}
    if unclear := [key for key in own if shared.get(key, own[key]) != own[key] and key not in special]:
        raise ValueError(
            f"{name}: expected one value of {unclear[0]}, got {own[unclear[0]]!r} as its own and "
            f"{shared[unclear[0]]!r} for all runs of {stem}; say which under {name!r}"
        )
    given = {key: value for key, value in common.items() if key in declared} | shared | own | special
    derived = resolve(common["derived"])
    return Run(
        name=name,
        notebook=notebook,
        reads=tuple(run for other in entry.reads for run in part.get(other, [])),
        results=tuple(derived / result.format(variant=variant) for result in entry.writes),
        record=resolve(common["reports"]) / "runs" / f"{name}.json",
        threads=min(entry.threads, config.threads or entry.threads),
        gpu=entry.gpu,
        **{"memory_gb": entry.memory_gb, "minutes": entry.minutes}
        | config.uses.get(stem, {})
        | config.uses.get(name, {}),
        parameters=validate(notebook, given),
    )


def forget_lost(runs: dict[str, Run]) -> list[str]:
    """Remove the records of runs whose results have been removed or damaged, so that they are made again.

    Returns
    -------
    list of str
        One sentence for each.
    """
    said = []
    for run in runs.values():
        if run.record.exists() and (fault := _fault(run)):
            run.record.unlink()
            said.append(f"{run.name}: {fault}; it will be made again")
    return said


def _fault(run):
    """What is wrong with the results of a run, in words; "" if nothing is."""
    if lost := [path.name for path in run.results if not path.exists()]:
        return f"{', '.join(lost)} is no longer there"
    record = run.read_record()
    if record is None:
        return "its record is damaged"
    changed = [Path(p).name for p, digest in record["outputs"].items() if file_digest(resolve(p)) != digest]
    return f"{', '.join(changed)} is not as it was left" if changed else ""
