"""A real JupyterLab in a real browser: fixtures `lab` and `page`. Where there is no Chromium, tests are skipped."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCREENSHOTS = Path(os.environ.get("STUDYKIT_SCREENSHOTS", ROOT / ".pytest_cache/screenshots"))


def notebook(path, *cells):
    """Write a notebook of some code cells."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [blank | {"id": f"c{n}", "source": source} for n, source in enumerate(cells)]
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


class Lab:
    """JupyterLab on a folder, as `make lab` starts it: on localhost, with a token.

    Attributes
    ----------
    folder : pathlib.Path
        Where its notebooks are.
    """

    def __init__(self, folder, root=ROOT):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = secrets.token_hex(16)
        command = [sys.executable, "-m", "jupyterlab", str(folder), "--no-browser", f"--port={port}", "--allow-root"]
        here = {name: str(folder / ".jupyter" / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
        here |= {f"JUPYTERLAB_{name}_DIR": str(folder / ".jupyter") for name in ("SETTINGS", "WORKSPACES")}
        environment = os.environ | here | {"JUPYTER_TOKEN": token, "STUDYKIT_ROOT": str(root)}
        self._log = (folder / "jupyter.log").open("w")
        self._running = subprocess.Popen(command, env=environment, stderr=self._log, stdout=self._log, cwd=folder)
        self.address, self.token = f"http://localhost:{port}", token
        started = time.monotonic()
        while time.monotonic() - started < 60:
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not start: {(folder / 'jupyter.log').read_text()[-800:]}")

    def stop(self):
        """End it, and its kernels."""
        self._running.terminate()
        self._running.wait(20)
        self._log.close()

    def open(self, page, name):
        """Open one of its notebooks."""
        page.goto(f"{self.address}/lab/tree/{name}?token={self.token}&reset")
        page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=90_000)
        page.get_by_text("| Idle").wait_for(timeout=90_000)  # before the kernel is there Run would ask for one

    def run_all(self, page):
        """Run all cells by the menu, as a person would."""
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Run All Cells$")).click()

    def wait_done(self, page, timeout_s):
        """Until no cell waits or runs."""
        busy = "[...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.textContent.includes('*'))"
        page.wait_for_timeout(500)
        page.wait_for_function(f"() => !({busy})", timeout=1000 * timeout_s)
        page.get_by_text("| Idle").wait_for(timeout=60_000)

    def save(self, page):
        """Save the open notebook by the menu, then end its kernel."""
        page.get_by_role("menuitem", name="File", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Save Notebook( Ctrl.*)?$")).click()
        page.locator(".jp-mod-dirty").first.wait_for(state="detached", timeout=60_000)
        headers = {"Authorization": f"token {self.token}"}
        for session in page.request.get(f"{self.address}/api/sessions", headers=headers).json():
            page.request.delete(f"{self.address}/api/sessions/{session['id']}", headers=headers)

    def screenshot(self, page, name):
        """Keep what the page looks like."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def page():
    """A page of a headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    if chromium is None:
        pytest.skip("no Chromium found; install the package chromium to test in a browser")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=1)
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, page):
    """JupyterLab on an empty folder."""
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()
