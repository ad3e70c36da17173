"""Papermill's command in the process of the tests, which has imported it already."""

from __future__ import annotations

import os
from pathlib import Path

from click.testing import CliRunner
from papermill.__main__ import papermill as command

from workbench.schema import ROOT


def papermill(notebook: Path, executed: Path, *arguments: str) -> None:
    """Do what `papermill NOTEBOOK EXECUTED ARGUMENTS` does at the repository's root."""
    given = [str(notebook), str(executed), "--no-progress-bar", "--cwd", str(ROOT), *arguments]
    before = os.getcwd()
    done = CliRunner().invoke(command, given, catch_exceptions=False)
    assert os.getcwd() == before
    assert done.exit_code == 0, done.output[-3000:]
