"""A study of three notebooks that take no time: numbers, their doubles, their sum; and how a test runs a study."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from studykit.files import file_digest

ROOT = Path(__file__).parents[1]
SHARED = """\
seed: int = 1  # any whole number from 0
derived: str = "data/derived/tiny"  # folder of derived data
reports: str = "reports/tiny"  # folder of reports
"""
IMPORTS = """\
import json
import numpy as np
import pandas as pd
from studykit.files import resolve, write_text
from studykit.notebook import Run
run = Run("{name}", derived, reports)
"""
NOTEBOOKS = {
    "10_numbers": (
        "# Numbers\n\nDraws some numbers. They <b>mean</b> nothing.",
        SHARED + 'count: int = 5  # numbers, 1 to 10\nsource: str = ""  # a file with numbers; "": draws them\n',
        'numbers = np.random.default_rng(seed).random(count) if source == "" else np.loadtxt(resolve(source))',
        'write_text(run.derived / "numbers/numbers.json", json.dumps(list(numbers)))',
        "run.headline(numbers_count=len(numbers))",
    ),
    "20_doubles": (
        "# Doubles\n\nTwice each number.",
        SHARED + "factor: float = 2.0  # how many times, 1 to 3\nwait_s: float = 0.0  # idle time, s, 0 to 60\n",
        'numbers = json.loads(run.need("numbers/numbers.json", made_by="10_numbers").read_text())',
        'import time\n(run.derived / "waiting").touch()\ntime.sleep(wait_s)',
        'doubles = pd.DataFrame({"double": [factor * number for number in numbers]})',
        'run.table("doubles", run.keep("doubles", doubles))',
    ),
    "30_sum": (
        "# Sum\n\nThe sum of the doubles.",
        SHARED,
        'doubles = pd.read_csv(run.need("doubles.csv", made_by="20_doubles"))',
        "run.headline(total_m=doubles.double.sum())",
        'run.say(f"The sum of {len(doubles)} doubles is **known**.")',
    ),
}
TABLE = """\
10_numbers: {writes: [numbers], threads: 2}
20_doubles: {reads: [10_numbers], writes: [doubles.csv]}
30_sum: {reads: [20_doubles], when: {truth: true}}
"""


def write_notebook(path, title, parameters, *code):
    """A stripped notebook: title, parameters cell, imports, then one cell for each piece of code."""
    cells = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": title}]
    for n, source in enumerate((parameters, IMPORTS.format(name=path.stem), *code)):
        metadata = {"tags": ["parameters"]} if n == 0 else {}
        cell = {"cell_type": "code", "id": f"c{n}", "metadata": metadata, "source": source}
        cells.append({**cell, "outputs": [], "execution_count": None})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    content = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")


def make_tiny_study(root):
    """Lay out the study in a folder, as a project of its own that uses the real Snakefile."""
    for folder in ("notebooks", "config", "workflow"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "workflow/Snakefile", root / "workflow/Snakefile")
    (root / "workflow/notebooks.yaml").write_text(TABLE)
    for name, (title, parameters, *code) in NOTEBOOKS.items():
        write_notebook(root / "notebooks" / f"{name}.ipynb", title, parameters, *code)
    write_config(root)
    return root


def write_config(root, **notebooks):
    """Configuration of the tiny study, with parameters for its notebooks."""
    settings = {"version": 1, "name": "tiny", "seed": 1, "dataset": "gaitlab", "truth": True}
    path = root / "config/tiny.yaml"
    path.write_text(json.dumps(settings | {"notebooks": {f"{k}": v for k, v in notebooks.items()}}))
    return path


def study(root, *options, name="tiny", start=subprocess.run, through=(), **environment):
    """The command a user types, in a project folder; through another command, in another environment."""
    command = [*through, sys.executable, "-m", "studykit.cli", "study", name, "--cores", "2", *options]
    environment = os.environ | {"STUDYKIT_ROOT": str(root)} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return start(command, env=environment, cwd=root.parent, start_new_session=True, **pipes)


def ran(finished):
    """Notebooks that were executed."""
    return re.findall(r"(\S+): running", finished.stderr)


def tables(root, name="tiny"):
    """Fingerprints of everything a study found, without its times."""
    reports = root / "reports" / name
    return {
        path.relative_to(reports).as_posix(): file_digest(path)
        for kind in ("tables", "figures")
        for path in sorted((reports / kind).rglob("*.csv"))
    }
