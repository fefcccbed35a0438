"""Where a result comes from: fingerprints of code, inputs and software, the machine, the commit."""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from studykit.files import file_digest
from studykit.kept import keras_backend, meaning
from studykit.workflow.parameters import read_cells

_PACKAGE = Path(__file__).parents[1]
_REPORTED = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "opencv-python-headless",
    "av",
    "pingouin",
    "spm1d",
    "statsmodels",
    "papermill",
    "snakemake",
)


def modules_used(source: str, package: str | Path = _PACKAGE) -> list[Path]:
    """Files of the package that a piece of code imports, directly or through others.

    Imports inside functions count; so does every `__init__.py` on the way.

    Parameters
    ----------
    source : str
        Python code.
    package : path-like
        Folder of the package, whose name is that of the folder.

    Returns
    -------
    list of pathlib.Path, sorted
    """
    package = Path(package)
    found = set()
    waiting = _imported_files(source, package, within=())
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            within = path.relative_to(package.parent).parent.parts
            waiting += _imported_files(path.read_text(encoding="utf-8"), package, within)
    return sorted(found)


@cache  # the notebooks of a study use the same modules
def _imported(source, within=()):
    """What import statements name, in parts: `from a.b import c` is a, b, c."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(within[: len(within) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names += [[*base, alias.name] for alias in node.names]
    return names


def _imported_files(source, package, within):
    files = []
    for name in _imported(source, within):
        if name[0] != package.name:
            continue
        # Importing a.b.c runs a, a.b and a.b.c; the last part may also be a name inside a.b.
        for length in range(1, len(name) + 1):
            place = package.parent.joinpath(*name[:length])
            files += [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return files


def code_digest(notebook: str | Path, package: str | Path = _PACKAGE) -> str:
    """Fingerprint of everything that a notebook runs of ours: its own cells and the modules that it uses.

    Comments, docstrings and formatting of modules don't count, nor do a notebook's outputs; data files beside a
    module that is used in a subpackage (such as a body mesh) do, and so does the backend of what loads Keras.
    """
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in read_cells(notebook)]
    code = "\n".join(_without_magics(source) for kind, source in cells if kind == "code")
    modules = modules_used(code, package)
    digest = hashlib.blake2b(json.dumps(cells).encode(), digest_size=16)
    for path in modules:
        digest.update(f"{path.relative_to(package)}\n{meaning(path.read_text(encoding='utf-8'))}".encode())
    for folder in sorted({path.parent for path in modules} - {Path(package)}):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".md"):
                digest.update(file_digest(path).encode())
    sources = (code, *(path.read_text(encoding="utf-8") for path in modules))
    if any(name[0] == "keras" for source in sources for name in _imported(source)):
        digest.update(keras_backend().encode())
    return digest.hexdigest()


def _without_magics(source):
    """Code without IPython's own lines, which Python's parser refuses."""
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def git_commit(folder: str | Path) -> str:
    """The commit checked out in a folder, with "+changes" if tracked files differ from it; "" outside a clone."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on most."""
    found = {"python": platform.python_version()}
    for name in _REPORTED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The computer: system, processor, cores that this process may use, memory in GB."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    computer = platform.uname()
    return {
        "system": " ".join(filter(None, (computer.system, computer.machine, *platform.libc_ver()))),
        "processor": _processor(),
        "cores": cores,
        "memory_gb": round(memory_gb, 1),
    }


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def busy_seconds(records: Iterable[dict]) -> float | None:
    """Seconds during which at least one notebook ran: side by side counts once, a pause between does not count."""
    spans = sorted((datetime.fromisoformat(r["start"]).timestamp(), r["seconds"]) for r in records)
    busy, until = 0.0, float("-inf")
    for start, seconds in spans:
        busy += max(0.0, start + seconds - max(start, until))
        until = max(until, start + seconds)
    return round(busy, 1) if spans else None


def load_ipython_extension(shell: Any) -> None:
    """Note the backend and devices of a notebook that imports keras, for its record; called by the kernel."""
    note = Path(os.environ["STUDYKIT_BACKEND_NOTE"])

    def after_cell(_result):
        if hasattr(sys.modules.get("keras"), "config") and not note.exists():
            backend = sys.modules["keras"].config.backend()
            note.write_text(json.dumps({"backend": backend, "devices": _devices(backend)}), encoding="utf-8")

    shell.events.register("post_run_cell", after_cell)


def _devices(backend):
    """Devices that a Keras backend sees; asking must not initialise TensorFlow before the notebook does."""
    module = sys.modules[backend]
    if backend == "tensorflow":
        return [device.name.removeprefix("/physical_device:") for device in module.config.list_physical_devices()]
    if backend == "jax":
        return [str(device) for device in module.devices()]
    return ["cuda" if module.cuda.is_available() else "cpu"]
