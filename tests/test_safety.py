"""What others hand us - models, tables, archives, names - is read as data: none of it can run, write or hide code."""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from studykit.pose.training import load_model
from studykit.site.notebooks import notebook_page
from studykit.site.wording import table_html

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("studykit/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), ROOT / "workflow/Snakefile"]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
BUILT_IN = {"eval", "exec", "compile", "__import__"}
CALLS = {"system", "popen", "read_pickle", "to_pickle", "unsafe_load", "full_load", "extractall", "unpack_archive"}
CALLS |= {"enable_unsafe_deserialization"}
OPTIONS = {"allow_pickle", "safe_mode", "shell"}  # their defaults are the safe ones


def code_of(path):
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".py" else text.partition("\nrule ")[0].partition("\nlocalrules")[0]


def unsafe(source):
    """What code does that could run what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            yield from (name for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            bare, owner = isinstance(node.func, ast.Name), getattr(getattr(node.func, "value", None), "id", "")
            name = node.func.id if bare else getattr(node.func, "attr", "")
            if name in CALLS | (BUILT_IN if bare else set()) or (owner, name) == ("yaml", "load"):
                yield f"{owner}.{name}"
            yield from (f"{name}({option.arg}=)" for option in node.keywords if option.arg in OPTIONS)


def test_nothing_is_unpickled_evaluated_or_unpacked_blindly():
    assert len(SOURCES) > 100 and len(NOTEBOOKS) > 15
    found = {path.name: list(unsafe(code_of(path))) for path in (*SOURCES, *NOTEBOOKS)}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_the_rule_sees_what_it_looks_for():
    wrong = "import pickle\nfrom joblib import load\neval(x)\nyaml.load(f)\nz.extractall(d)\nload(f, allow_pickle=True)"
    assert list(unsafe(wrong)) == ["pickle", "joblib", ".eval", "yaml.load", "z.extractall", "load(allow_pickle=)"]
    assert list(unsafe("re.compile(p)\nTwin().eval()\ndata.eval(q)\nyaml.safe_load(f)\nnp.load(f)")) == []


def test_a_model_with_code_in_it_is_not_loaded(tmp_path):
    layers = [keras.layers.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"(?i)lambda.*unsafe|safe_mode"):
        load_model(tmp_path / "model.keras")


def test_arrays_of_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with np.load(tmp_path / "a.npz") as kept, pytest.raises(ValueError, match="allow_pickle=False"):
        kept["x"]


def test_names_of_files_and_labels_are_text_on_pages():
    bad = '<img src=x onerror="alert(1)">.mp4'
    table = table_html(pd.DataFrame({bad: [bad]}), about=bad)
    data = {"text/html": pd.DataFrame({bad: [bad]}).to_html(), "text/plain": "table"}
    outputs = [
        new_output("execute_result", data),
        new_output("display_data", {"text/markdown": f"Of `{bad}` and {bad}"}),
        new_output("display_data", {"text/plain": bad}),
        new_output("stream", name="stdout", text=bad),
        new_output("error", ename="ValueError", evalue=bad, traceback=[bad]),
    ]
    cells = [new_markdown_cell("# Title"), new_code_cell(f"'{bad}'", outputs=outputs)]
    page = notebook_page(new_notebook(cells=cells), "10_a")
    for html in (table, page):
        assert "onerror=" in html and not re.search(r"<img[^>&]*onerror", html)


def test_jupyterlab_keeps_its_token_and_listens_here_only(tmp_path):
    for path in [*ROOT.glob("**/jupyter*config*"), ROOT / "Makefile"]:
        if ".venv" not in path.parts and "node_modules" not in path.parts:
            assert not re.search(r"token|password|--ip|allow_origin|0\.0\.0\.0", path.read_text(encoding="utf-8")), path
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    command = [sys.executable, "-m", "jupyterlab", str(tmp_path), "--no-browser", f"--port={port}", "--allow-root"]
    with (tmp_path / "log").open("w") as log:
        lab = subprocess.Popen(command, env=os.environ | folders, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not (running := list((tmp_path / "RUNTIME").glob("jpserver-*.json"))) and time.monotonic() < deadline:
                time.sleep(0.2)
            server = json.loads(running[0].read_text())
            assert server["hostname"] in ("localhost", "127.0.0.1") and len(server["token"]) >= 32
            address = f"http://127.0.0.1:{port}/api/contents"
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(address, timeout=30)
            assert refused.value.code == 403
            urllib.request.urlopen(f"{address}?token={server['token']}", timeout=30).close()
        finally:
            lab.terminate()
            lab.wait()
