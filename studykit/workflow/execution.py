"""One notebook of the study, from its parameters to its page: nothing is replaced unless all of it worked."""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from textwrap import shorten
from types import SimpleNamespace

import nbformat
import papermill
import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from studykit.files import file_digest, project_root, replacing, resolve, write_text
from studykit.workflow import provenance
from studykit.workflow.configuration import StudyConfig
from studykit.workflow.lock import alone, say
from studykit.workflow.plan import folders, plan

# papermill warns of parameters whose annotation it cannot read; ours are checked before, by stricter rules.
logging.getLogger("papermill").setLevel(logging.ERROR)


class NotebookFailed(RuntimeError):
    """A notebook stopped at an error; the message names the cell."""


def execute(config: StudyConfig, name: str) -> dict:
    """Run one notebook of a study, whether or not it has run before: what is fresh, Snakemake decides.

    Writes `notebooks/<name>.ipynb` and `runs/<name>.json` under the study's reports.

    Parameters
    ----------
    config : StudyConfig
    name : str
        The run, as in `workflow/notebooks.yaml`.

    Returns
    -------
    dict
        The record of the run, as in its `run.json`.

    Raises
    ------
    ValueError
        If a parameter is wrong or the study has no such run; nothing has started.
    NotebookFailed
        If a cell failed. The executed copy is kept under `failed/`, earlier results stay.
    """
    runs = plan(config)
    if name not in runs:
        raise ValueError(f"study {config.name}: expected one of {', '.join(runs)}, got {name!r}")
    run, reports = runs[name], resolve(folders(config)["reports"])
    lock_file = run.record.with_name(f".{run.record.name}.lock")
    with alone(lock_file, f"{name} of study {config.name}", wait=True) as lock:
        say(f"{name}: running")
        try:
            record = _execute(run, reports, lock)
        except NotebookFailed as error:
            write_text(reports / "failed" / f"{name}.txt", f"{error}\n")
            raise
        say(f"{name}: done in {record['seconds']:.0f} s, {record['peak_memory_gb']:.1f} GB")
        for suffix in (".txt", ".ipynb"):
            (reports / "failed" / f"{name}{suffix}").unlink(missing_ok=True)
    return record


def _execute(run, reports, lock):
    executed, failed = reports / "notebooks" / f"{run.name}.ipynb", reports / "failed" / f"{run.name}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    started, clock = datetime.now().astimezone(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="study-", dir=_short_folder()) as scratch, peak_memory() as memory:
        copy = Path(scratch) / "executed.ipynb"
        try:
            papermill.execute_notebook(
                str(run.notebook),
                str(copy),
                parameters=run.parameters,
                kernel_name="python3",
                language="python",
                progress_bar=sys.stderr.isatty(),
                cwd=run.notebook.parent,
                kernel_manager_class=_kernel(scratch, run.threads, lock),
            )
        except (PapermillExecutionError, DeadKernelError) as error:
            _keep(copy, failed)
            raise NotebookFailed(f"{_what_failed(run, error, failed)}; see {_shown(failed)}") from None
        software = Path(scratch) / "backend.json"
        backend = json.loads(software.read_text()) if software.is_file() else {"backend": None, "devices": []}
        if lost := [path.name for path in run.results if not path.exists()]:
            raise NotebookFailed(f"{run.name}: ran, but did not write {', '.join(lost)}")
        _keep(copy, executed)
    left = [*run.results, *(reports / kind / run.name for kind in ("tables", "figures"))]
    left += [reports / "headline" / f"{run.name}.json", executed]
    record = {
        "run": run.name,
        "parameters": run.parameters,
        "code": run.code(),
        "threads": run.threads,
        "inputs": {_shown(path): file_digest(path) for path in run.files()},
        "outputs": {_shown(path): file_digest(path) for path in left if path.exists()},
        "seed": run.parameters.get("seed"),
        "git_commit": provenance.git_commit(project_root()),
        "lock": file_digest(project_root() / "requirements.lock"),
        "versions": provenance.versions(),
        **backend,
        "machine": provenance.machine(),
        "start": started.isoformat(timespec="milliseconds"),
        "seconds": round(time.perf_counter() - clock, 3),
        "peak_memory_gb": round(memory.gb, 3),
    }
    write_text(run.record, json.dumps(record, indent=1) + "\n")
    return record


def _shown(path):
    """A path as people and records should see it: from the project's root where it is inside."""
    path = Path(path)
    return (path.relative_to(project_root()) if path.is_relative_to(project_root()) else path).as_posix()


def _keep(source, target):
    """Move a file into place in one step, even from another disk."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _what_failed(run, error, failed):
    """A sentence that names the cell: its number as shown beside it, and its first line of code."""
    if isinstance(error, PapermillExecutionError):
        number, source, what = error.exec_count, error.source, f"{error.ename}: {error.evalue}"
    else:
        cells = [c for c in nbformat.read(failed, 4).cells if c.metadata.get("papermill", {}).get("start_time")]
        number, source = len([c for c in cells if c.cell_type == "code"]), cells[-1].source if cells else ""
        what = "the kernel was stopped from outside or ran out of memory"
    lines = [line.strip() for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first = shorten(lines[0], 80, placeholder=" ...") if lines else ""
    return f"{run.name}: cell [{number}] `{first}` stopped, {what}"


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables that keep a process of numerical libraries to so many threads, each a str."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys((*names, "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads))


def _short_folder():
    """A temporary folder whose path leaves room for a socket's name (about 100 characters are allowed)."""
    return None if len(tempfile.gettempdir()) < 60 else "/tmp"


def _kernel(scratch, threads, lock):
    """A kernel manager that starts the running interpreter, over sockets in a folder of its own.

    No installed kernelspec is needed; kernels side by side cannot take each other's TCP ports; a user's own IPython
    start-up files stay out of the study. The kernel inherits the lock file: if only this process is killed, the
    notebook does not start anew before its kernel has gone too.
    """
    spec = KernelSpec(
        argv=[
            sys.executable,
            "-Xfrozen_modules=off",
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--IPKernelApp.extensions=studykit.workflow.provenance",
            "--IPKernelApp.log_level=50",  # an interrupt on the way out is no error
        ],
        display_name="Python 3",
        language="python",
        env={
            "IPYTHONDIR": str(Path(scratch) / "ipython"),
            "PYTHONHASHSEED": "0",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "STUDYKIT_BACKEND_NOTE": str(Path(scratch) / "backend.json"),
            "STUDYKIT_ROOT": str(project_root()),
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
            **thread_limits(threads),
        },
    )

    class Kernel(AsyncKernelManager):
        """Over sockets, with the running interpreter."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs, transport="ipc", connection_file=str(Path(scratch) / "kernel.json"))
            self._kernel_spec = spec

        def start_kernel(self, **kwargs):
            """With what libraries write past Python, such as TensorFlow's greetings, kept from the terminal."""
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return super().start_kernel(**quiet, pass_fds=[lock.fileno()], **kwargs)

    return Kernel


@contextlib.contextmanager
def peak_memory() -> Iterator[SimpleNamespace]:
    """Largest memory of this process's children together while the block runs, sampled five times a second.

    Yields
    ------
    types.SimpleNamespace
        Its `gb` grows; memory that processes share counts in each.
    """
    peak, stop, this = SimpleNamespace(gb=0.0), threading.Event(), psutil.Process()

    def watch():
        while not stop.wait(0.2):
            total = 0
            for child in this.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    total += child.memory_info().rss
            peak.gb = max(peak.gb, total / 1e9)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()
