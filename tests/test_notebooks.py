"""Each notebook runs by the plain papermill command with its defaults; in a live kernel, edits are picked up."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from by_papermill import papermill
from nbclient import NotebookClient

from workbench.schema import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_by_plain_papermill_with_its_defaults(path, tmp_path):
    executed = tmp_path / "executed.ipynb"
    if path == NOTEBOOKS[0]:  # the command itself once, for the others its function
        command = [sys.executable, "-m", "papermill", str(path.relative_to(ROOT)), str(executed), "--no-progress-bar"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        papermill(path, executed)
    cells = [cell for cell in nbformat.read(executed, 4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert cells[-1].source.count("assert") >= 2  # the last cell holds the prose to what came out


@pytest.fixture
def house(tmp_path):
    """A copy of the library and the notebooks that a test may edit, with the repository's data."""
    for name in ("workbench", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


class Live:
    """A notebook in a kernel that stays alive between cells, as in JupyterLab."""

    def __init__(self, path: Path, house: Path) -> None:
        self.notebook = nbformat.read(path, 4)
        self.client = NotebookClient(self.notebook, timeout=300, resources={"metadata": {"path": str(house)}})
        self.environment = {**os.environ, "PYTHONPATH": str(house)}

    def __enter__(self) -> Live:
        self.client.create_kernel_manager()
        self.client.start_new_kernel(env=self.environment, cwd=self.client.resources["metadata"]["path"])
        self.client.start_new_kernel_client()
        return self

    def __exit__(self, *_: object) -> None:
        self.client._cleanup_kernel()

    def find(self, text: str) -> int:
        return next(n for n, cell in enumerate(self.notebook.cells) if text in cell.source)

    def run(self, *positions: int) -> str:
        """Execute cells (all of them without positions) and return what the last one showed."""
        for n in positions or range(len(self.notebook.cells)):
            self.client.execute_cell(self.notebook.cells[n], n)
        outputs = self.notebook.cells[n].get("outputs", [])
        return "".join(str(o.get("data", {}).get("text/plain", o.get("text", ""))) for o in outputs)


@pytest.fixture
def _loop():
    """nbclient wants an event loop of its own in the main thread."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.usefixtures("_loop")
def test_a_parameter_is_changed_and_an_edited_module_is_picked_up(house):
    with Live(house / "notebooks" / "03-train-a-model.ipynb", house) as lab:
        parameters = lab.notebook.cells[lab.find("model: str")]
        parameters.source = (
            parameters.source.replace('"clip-cross"', '"text-tfidf"')
            .replace('"posts": 4000', '"posts": 700')
            .replace('"out/run"', repr(str(house / "run")))
        )
        lab.run()
        quality = lab.find("training.quality")
        assert "precision" in lab.run(quality)
        assert '"model": "text-tfidf"' in (house / "run" / "metrics.json").read_text()
        module = house / "workbench" / "studies" / "steps" / "training.py"
        edited = module.read_text().replace('"positives", "average precision"', '"positives", "AP after the edit"')
        assert edited != module.read_text()
        module.write_text(edited)
        os.utime(module, (2e9, 2e9))  # a coarse clock must not hide the edit
        assert "AP after the edit" in lab.run(quality)
