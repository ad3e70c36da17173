"""A study's results as a notebook wants them: run what is missing, then read everything back from disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.artifacts import read_json
from workbench.comparison.predictions import Run, load_run
from workbench.errors import WorkbenchError
from workbench.studies.compare import posts_of
from workbench.studies.config import StudyConfig
from workbench.studies.execute import run_study
from workbench.studies.plan import current


@dataclass(frozen=True)
class Results:
    """What a study found: its comparison, its finished runs, and the posts they scored (None where not at hand)."""

    comparison: dict[str, Any]
    runs: list[Run]
    posts: pa.Table | None


def results(path: Path | str, *, jobs: int | None = None, device: str = "auto") -> Results:
    """Return a study's results, running what is missing or stale first.

    Raises WorkbenchError when a run fails; what has finished stays and is not run again.
    """
    study = StudyConfig.load(path)
    if run_study(study.path, jobs=jobs, device=device):
        raise WorkbenchError(f"some run of {study.name} failed; `workbench status {study.name}` says which and why")
    comparison = read_json(study.folder / "comparison.json")
    runs = [replace(load_run(run.folder), alias=run.alias) for run in current(study)]
    return Results(comparison, runs, posts_of(study, runs))
