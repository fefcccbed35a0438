"""The scripts in `benchmarks/`, run one after the other, and the table of what they found."""

import ast
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median_low

from studykit.files import project_root, write_text
from studykit.workflow.lock import say
from studykit.workflow.provenance import git_commit, machine


def results_path() -> Path:
    """Where the results of all scripts are kept."""
    return project_root() / "reports" / "benchmarks.json"


def read_results() -> dict[str, dict]:
    """What `run_benchmarks` has kept: a dict by the scripts' names, empty before the first run."""
    path = results_path()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def run_benchmarks(names: Sequence[str] = (), times: int = 3) -> list[str]:
    """Run scripts, each several times, and keep what they found; results of others stay.

    Parameters
    ----------
    names : sequence of str
        Such as "anova"; none means all.
    times : int
        Runs of each; the one with the median ratio (ours over the other) counts, the others say how far it may be off.
        A script that says the ratios of its own `seeds` runs once.

    Returns
    -------
    list of str
        Scripts that stopped, with their exit status.

    Raises
    ------
    ValueError
        If there is no such script.
    """
    scripts = {path.stem: path for path in sorted((project_root() / "benchmarks").glob("*.py"))}
    if unknown := [name for name in names if name not in scripts]:
        raise ValueError(f"benchmark: expected some of {', '.join(scripts)}, got {unknown[0]}")
    stopped = []
    for name in names or scripts:
        start, clock = datetime.now().astimezone(), time.perf_counter()
        try:
            found = _repeat(scripts[name], times)
        except subprocess.CalledProcessError as error:
            stopped.append(f"{name}.py: stopped with status {error.returncode}")
            continue
        ratios = [one["ratio"] for one in found]
        made = {
            "about": _about(scripts[name]),
            "ratios": sorted(found[0].get("seeds", ratios)),
            "machine": machine(),
            "git_commit": git_commit(project_root()),
            "start": start.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 1),
        }
        results = read_results() | {name: found[ratios.index(median_low(ratios))] | made}
        write_text(results_path(), json.dumps(dict(sorted(results.items())), indent=1) + "\n")
    return stopped


def _repeat(script, times):
    """Results of a script's runs; one that spreads over seeds would only find the same again."""
    found = []
    for turn in range(times):
        say(f"{script.stem}: run {turn + 1} of {times}")
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        done.check_returncode()
        result = json.loads(done.stdout.strip().splitlines()[-1])
        found.append(result | {"ratio": result["ours"] / result["peer_value"]})
        if "seeds" in result:
            break
    return found


def _about(script):
    """First line of a script's docstring."""
    return ast.get_docstring(ast.parse(Path(script).read_text(encoding="utf-8"))).splitlines()[0]


def table_rows(results: dict[str, dict]) -> list[dict[str, str]]:
    """Results as rows of a table for people.

    Parameters
    ----------
    results : dict
        As from `read_results`.

    Returns
    -------
    list of dict of str
    """
    return [
        {
            "Script": name,
            "Ratio": f"{one['ratio']:.3g}",
            "Spread": _spread(one["ratios"], "seed" if "seeds" in one else "run"),
            "Ours": f"{one['ours']:.4g} {one['unit']}",
            "The other": f"{one['peer_value']:.4g} {one['unit']}",
            "Machine": f"{one['machine']['processor']}, {one['machine']['cores']} cores",
        }
        for name, one in results.items()
    ]


def _spread(ratios, of):
    if len(ratios) == 1:
        return f"one {of}"
    return f"{ratios[0]:.3g} to {ratios[-1]:.3g}, {len(ratios)} {of}s"
