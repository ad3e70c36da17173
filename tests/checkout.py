"""A copy of the repository that a test may edit, break and kill processes in, with one study on the sample posts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from workbench.schema import ROOT


class Checkout:
    """The library, the notebooks and the sample posts under `folder`, and a study of the models named."""

    def __init__(self, folder: Path, models: list[str]) -> None:
        self.folder = folder
        for name in ("workbench", "notebooks", "data/sample", "data/synthetic", "data/weights"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (ROOT / "data").glob("*.yaml"):
            shutil.copy(path, folder / "data")
        study = yaml.safe_load((ROOT / "experiments" / "sample.yaml").read_text())
        study["models"] = [{"name": name} for name in models]
        study["compare"]["pairs"] = [["text-tfidf", "prior"]]
        self.study = folder / "experiments" / "mini.yaml"
        self.study.parent.mkdir()
        self.study.write_text(yaml.safe_dump(study))

    @classmethod
    def at(cls, folder: Path) -> Checkout:
        """Return the one that already lies in a folder."""
        made = cls.__new__(cls)
        made.folder, made.study = Path(folder), Path(folder) / "experiments" / "mini.yaml"
        return made

    @property
    def results(self) -> Path:
        """The folder with the study's runs."""
        return self.study.with_suffix("")

    def start(self, *arguments: str, **how: Any) -> subprocess.Popen:
        """Start `workbench run` on the study as a process of its own."""
        command = [sys.executable, "-c", "from workbench.cli import app; app()", "run", str(self.study), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **how)

    def call(self, *arguments: str) -> str:
        """Run the study to its end and return what it prints."""
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0, out + err
        return out
