"""The configuration of a study: which data, which steps, and every number that differs from a notebook's own."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

CONFIG_VERSION = 1


class StudyConfig(BaseModel):
    """One run of the study: which data, which steps, and every number that differs from a notebook's own.

    `notebooks` maps a notebook's name, or a run's (`notebook/variant`), to parameters that override those of its
    parameters cell, which is where each parameter's type, range and meaning stand. `runs` maps a notebook that runs
    several times to its variants, in place of those of `workflow/notebooks.yaml`. `only` names the notebooks that are
    asked for; they run with all that they read, others do not. `uses` maps a notebook or a run to the memory and the
    minutes that one run takes at this scale, for a cluster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[CONFIG_VERSION]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    seed: int = Field(ge=0)
    dataset: Literal["gaitlab", "table", "bvh", "pose2sim"]
    stills: Literal["none", "gaitlab", "lsp", "lspet", "mpii", "coco"] = "none"  # pictures for the networks of 10 to 31
    pose: Literal["network", "given"] = "network"  # "given": tracks come with the study, no network is trained
    truth: bool = False  # the study has truth files, so errors can be known
    notebooks: dict[str, dict] = {}
    runs: dict[str, dict[str, dict]] = {}
    only: list[str] = []
    uses: dict[str, dict[Literal["memory_gb", "minutes"], PositiveFloat]] = {}
    threads: PositiveInt | None = None  # of one run at most; None: as `workflow/notebooks.yaml` has it


def load_config(path: str | Path) -> StudyConfig:
    """Read and validate a configuration.

    Parameters
    ----------
    path : path-like
        YAML file, as in `config/`.

    Returns
    -------
    StudyConfig

    Raises
    ------
    FileNotFoundError
        If there is no such file; names those that are there.
    ValueError
        With all faults of the file in one sentence.
    """
    path = Path(path)
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.yaml"))
        raise FileNotFoundError(f"{path}: expected a configuration file, got none; there are {others}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: expected YAML, got {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys such as `version` and `dataset`, got {type(content).__name__}")
    if content.get("version") != CONFIG_VERSION:
        raise ValueError(
            f"{path}: expected version {CONFIG_VERSION}, got {content.get('version')!r}; "
            "compare the file with config/default.yaml and set its version"
        )
    try:
        return StudyConfig.model_validate(content, strict=True)
    except ValidationError as error:
        raise ValueError(f"{path}: " + "; ".join(_fault(fault) for fault in error.errors())) from error


def _fault(fault):
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{where}: expected one of {sorted(StudyConfig.model_fields)}, got an unknown key"
    return f"{where}: {fault['msg'].replace('Input should be', 'expected')}, got {fault['input']!r}"
