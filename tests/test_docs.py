"""The commands of the pages in docs/, run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from studykit.cli import _parser

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def commands(page):
    """Indented lines of a page outside ``` blocks: what a reader types."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^ {4}(\S.*)$", text, flags=re.MULTILINE)
    return [line.partition("  #")[0].strip() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_pages_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for command in commands(page):
        program, *arguments = shlex.split(command)
        if Path(program).name == "studykit":
            _parser().parse_args(arguments)
        elif program == "make":
            assert {word for word in arguments if "=" not in word} <= set(targets), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_pages_link_to_are_there(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.mark.lab
def test_walk_through_with_own_recordings(tmp_path):
    root = tmp_path / "project"
    for name in ("notebooks", "config", "workflow", "studykit"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / ".venv").mkdir()
    (root / ".venv/bin").symlink_to(Path(sys.executable).parent)  # this environment is the project's
    lock = subprocess.check_output("cat requirements.lock pyproject.toml | cksum", shell=True, cwd=root, text=True)
    (root / f".venv/ready-{lock.split()[0]}").touch()
    environment = os.environ | {"STUDYKIT_ROOT": str(root)}
    environment.pop("STUDYKIT_DATA", None)
    for command in commands(ROOT / "docs/own-data.md"):
        done = subprocess.run(command, shell=True, cwd=root, env=environment, capture_output=True, text=True)
        print(f"$ {command}\n{done.stdout}{done.stderr}")
        if done.returncode and "fetch" in command:
            pytest.skip(f"the demonstration could not be fetched: {done.stderr.strip()[-300:]}")
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert (root / "reports/my_study/index.html").is_file()
    assert (root / "data/raw/my_study/study.csv").read_text(encoding="utf-8").count("sub-01") >= 2
