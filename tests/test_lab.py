"""JupyterLab in a real browser: a researcher opens notebook 03, changes a parameter and runs it all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from browser import chromium, free_port, needs_chromium

from workbench.schema import ROOT


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab on a folder that holds a copy of notebook 03; its address."""
    shutil.copy(ROOT / "notebooks" / "03-train-a-model.ipynb", tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url="]
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    for _ in range(960):
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=10).close()
            break
        except OSError:
            time.sleep(0.25)
    else:
        server.kill()
        raise AssertionError((tmp_path / "lab.log").read_text()[-2000:])
    yield address
    server.terminate()
    server.wait(120)


def changed(notebook, folder):
    """Return the notebook's cell of parameters with another model, fewer posts and a folder of its own."""
    cells = json.loads(notebook.read_text())["cells"]
    source = "".join(next(cell["source"] for cell in cells if "parameters" in cell["metadata"].get("tags", [])))
    new = {'"clip-cross"': '"text-tfidf"', '"posts": 4000': '"posts": 700', '"out/run"': f'"{folder}"'}
    for old, value in new.items():
        assert old in source
        source = source.replace(old, value)
    return source


def run_all(page, said, seconds: float = 600) -> None:
    """Run all cells until something is said, again as a person does where the notebook rests without it.

    A kernel may be called idle before it listens to all cells: then none begins, or only the first.
    """
    rested, until = 15.0, time.monotonic() + seconds
    while not said.is_visible():
        assert time.monotonic() < until, page.locator(".jp-Notebook").inner_text()[-2000:]
        rested = 0 if page.locator(".jp-InputPrompt", has_text="[*]").count() else rested + 0.5
        if rested > 15:
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            rested = 0
        page.wait_for_timeout(500)


@pytest.mark.slow
@needs_chromium
def test_a_researcher_changes_a_parameter_and_runs_everything(lab, tmp_path):
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.goto(f"{lab}/lab/tree/03-train-a-model.ipynb?reset")
        parameters = page.locator(".jp-CodeCell .cm-content", has_text="model: str").first
        parameters.wait_for(timeout=240_000)
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=240_000)  # it has a kernel
        parameters.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(changed(tmp_path / "03-train-a-model.ipynb", tmp_path / "run"))
        run_all(page, page.locator(".jp-OutputArea-output", has_text="ms per post from raw content"))
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        page.screenshot(path=tmp_path / "lab.png")
    assert '"model": "text-tfidf"' in (tmp_path / "run" / "metrics.json").read_text()
