"""JupyterLab in a real browser: a researcher opens notebook 03, changes a parameter and runs it all."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from workbench.schema import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab on a folder that holds a copy of notebook 03; its address."""
    shutil.copy(ROOT / "notebooks" / "03-train-a-model.ipynb", tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url="]
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=1).close()
            break
        except OSError:
            time.sleep(0.25)
    else:
        server.kill()
        raise AssertionError((tmp_path / "lab.log").read_text()[-2000:])
    yield address
    server.terminate()
    server.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_researcher_changes_a_parameter_and_runs_everything(lab, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.goto(f"{lab}/lab/tree/03-train-a-model.ipynb?reset")
        parameters = page.locator(".jp-CodeCell .cm-content", has_text="model: str").first
        parameters.wait_for(timeout=60_000)
        source = (tmp_path / "03-train-a-model.ipynb").read_text()
        assert '"clip-cross\\"' in source
        parameters.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(
            'model: str = "text-tfidf"\noptions: dict = {}\n'
            'corpus: dict = {"source": "synthetic", "posts": 700, "oversample": {"paired": 0.7, "harm": 0.25}}\n'
            'split: dict = {"by": "group"}\ntests: dict = {}\nseeds: list[int] = [0]\ndevice: str = "cpu"\n'
            f'folder: str = "{tmp_path}/run"'
        )
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        said = page.locator(".jp-OutputArea-output", has_text=re.compile("ms per post from raw content"))
        expect(said).to_be_visible(timeout=120_000)
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        page.screenshot(path=tmp_path / "lab.png")
        browser.close()
    assert '"model": "text-tfidf"' in (tmp_path / "run" / "metrics.json").read_text()
