"""Studies: a YAML file names corpus, split, seeds and models; each model is one run, one notebook, one folder.

A study's folder holds `plan.json`, what was to be compared before the first scoring, `posts.parquet`, the facts of its
posts (`posts-<digest>.parquet`: of posts that it had before), a folder for each run and what these give together:
`comparison.json`, `report.html`, `cards/`.

A run folder holds `run.json` (written last, by rename), `metrics.json`, `predictions.parquet`, `executed.ipynb`,
`bundle/`, `log.txt`, and `code.patch` where its code was not its commit's; while a process works on it, also
`running.json`. A folder without a readable `run.json` is unfinished and nothing trusts it.
"""

from __future__ import annotations

import re
from pathlib import Path

from workbench.errors import WorkbenchError, unknown
from workbench.schema import ROOT

PLANNED, RUNNING, DONE = "planned", "running", "done"
FAILED, TIMEOUT, KERNEL_DIED, INTERRUPTED = "failed", "timeout", "kernel-died", "interrupted"


def find(study: str) -> Path:
    """Return the YAML file of a study given by its path, with or without ending, or by its name in experiments/.

    A relative path is meant from here, else from the repository.

    Raises WorkbenchError naming those there are.
    """
    named, study = ROOT / "experiments", study.rstrip("/")
    files = [Path(f"{study}{ending}") for ending in ("", ".yaml", ".yml")]
    for path in (*files, *(ROOT / file for file in files), named / f"{study}.yaml"):
        if path.is_file():
            return path
    there = sorted(path.stem for path in named.glob("*.yaml"))
    raise WorkbenchError(f"{unknown('study', study, there)}; or the path of a study's file")


def last_line(text: str) -> str:
    """Return the last line of a text that says something, without terminal colours, at most 500 characters."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
