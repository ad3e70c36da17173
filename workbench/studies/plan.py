"""The runs of a study: each with its key, how it stands, and in words why it would run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench import models
from workbench.comparison.run_files import FOLD, RunRecord, named
from workbench.device import CHOICES
from workbench.errors import WorkbenchError, unknown
from workbench.fingerprint.inputs import of_inputs
from workbench.schema import ROOT, Taxonomy, expand
from workbench.studies import DONE, PLANNED, RUNNING, keys, parameters
from workbench.studies.config import StudyConfig
from workbench.studies.steps import division, search
from workbench.studies.worker import RESULTS, alive


@dataclass(frozen=True)
class PlannedRun:
    """One model of a study with its present inputs: where its results are, how it stands, why it would run.

    libraries: the versions here of what its code imports; they are no input, but a result may come of others.
    """

    alias: str
    key: str
    folder: Path
    state: str
    reasons: tuple[str, ...]
    parameters: dict[str, Any]
    inputs: dict[str, Any]
    record: RunRecord | None
    libraries: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called among the runs of the study: as its model, with the fold that it tests."""
        return named(self.alias, self.inputs.get(FOLD))

    @property
    def upgraded(self) -> tuple[str, ...]:
        """Which libraries a finished run was made with in another minor version."""
        made_with = self.record.versions if self.record else {}
        return tuple(keys.upgraded(made_with, self.libraries)) if self.state == DONE else ()

    @property
    def up_to_date(self) -> str:
        """What is said of a finished run whose key is the present one."""
        but = f", but {'; '.join(self.upgraded)}; --stale-libraries redoes it" if self.upgraded else ""
        return f"up to date{but}"


@lru_cache
def resolve_device(choice: str) -> str:
    """Return "cpu", "cuda" or "mps" for a choice; torch is asked, in a process of its own, only where it could matter.

    A table of results can so be rebuilt without importing torch.
    """
    if choice not in CHOICES:
        raise WorkbenchError(unknown("device", choice, CHOICES))
    signs = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
    if choice == "cpu" or (choice == "auto" and sys.platform == "linux" and not any(map(os.path.exists, signs))):
        return "cpu"
    ask = f"from workbench.device import device; print(device({choice!r}).type)"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, cwd=ROOT, check=False)
    if answer.returncode:
        raise WorkbenchError(answer.stderr.strip().rpartition("WorkbenchError: ")[2].splitlines()[-1])
    return answer.stdout.split()[-1]


def plan(study: StudyConfig, device: str = "auto") -> list[PlannedRun]:
    """Return the runs of a study in its order, each with its state and the reasons why it would run.

    Raises WorkbenchError for whatever can be found wrong before a kernel starts: parameters, options, data, weights.
    """
    device, where = resolve_device(device), f"study {study.path}"
    collected = keys.Inputs(study.notebook_path, study.taxonomy, device)
    latest = latest_runs(study.folder)
    posts = expand({"corpus": study.corpus, "tests": study.tests}, where)
    try:
        collected.data(posts)
    except WorkbenchError as error:  # of no model in particular
        raise WorkbenchError(f"{where}: {error}") from None
    runs = []
    for entry in study.models:
        written = {
            "model": entry.name,
            "options": entry.options,
            **{name: getattr(study, name) for name in ("corpus", "split", "tests", "leaks", "policy")},
            "seeds": list(study.seeds),
            "device": device,
            "folder": "",
            **({"taxonomy": study.taxonomy.model_dump(mode="json")} if study.taxonomy != Taxonomy.load() else {}),
            **({"calibration": study.calibration} if study.calibration != "auto" else {}),
            **({"search": search.asked(study.search, study.compare)} if study.search else {}),
        }
        written = parameters.resolve(study.notebook_path, written)
        resolved = expand(written, where)
        try:
            models.check(entry.name, resolved["options"])
            inputs, libraries = collected.of(written, resolved)
        except WorkbenchError as error:
            raise WorkbenchError(f"{where}, model {entry.alias!r}: {error}") from None
        run = PlannedRun(entry.alias, "", study.folder / "run", PLANNED, (), resolved, inputs, None, libraries)
        runs += [as_it_stands(part, latest) for part in _by_fold(run, study.folds)]
    return runs


def _by_fold(run: PlannedRun, folds: int | None) -> list[PlannedRun]:
    """Return the runs of each fold, or the run itself where there are none."""
    if folds is None:
        return [run]
    split, code = run.parameters["split"], {"source families": division.code()}
    return [
        replace(
            run,
            parameters={**run.parameters, "split": {**split, "fold": fold}},
            inputs=dict(sorted({**run.inputs, **code, FOLD: fold}.items())),
        )
        for fold in range(folds)
    ]


def due(runs: Sequence[PlannedRun], *, redo: bool = False, stale_libraries: bool = False) -> list[PlannedRun]:
    """Return the runs to execute, each with its reasons: what is missing or stale, and finished ones where asked for.

    redo: all of them; stale_libraries: those made with other versions of the libraries that their code imports.
    """
    waiting = []
    for run in runs:
        reasons = run.reasons or (run.upgraded if stale_libraries else ())
        if reasons or redo:
            waiting.append(replace(run, reasons=reasons or ("asked for by --all",)))
    return waiting


def _standing(
    folder: Path, key: str, inputs: dict[str, Any], latest: PlannedRun | None
) -> tuple[str, list[str], RunRecord | None]:
    """Return the state of a run folder, the reasons why it would run (none when done), and its record."""
    record = RunRecord.read(folder)
    if record is not None and record.key == key and record.state:
        lost = [name for name in RESULTS if not (folder / name).is_file()]
        if record.state == DONE:
            return (PLANNED, [f"{lost[0]} is missing"], record) if lost else (DONE, [], record)
        cell = f" at cell {record.cell}" if record.cell is not None else ""
        return record.state, [f"last run ended as {record.state}{cell}"], record
    if alive(folder):
        return RUNNING, ["is running now"], None
    if folder.exists():
        return PLANNED, ["last run was cut off before it ended"], None
    return PLANNED, keys.reasons(latest and latest.inputs, inputs) or ["its results are missing"], None


def ended_runs(folder: Path) -> list[PlannedRun]:
    """Return every ended run of a study's folder as it was recorded: the finished ones last, and the latest of them."""
    records = {path.parent: RunRecord.read(path.parent) for path in folder.glob(f"*/{RunRecord.FILE}")}
    runs = [
        PlannedRun(record.alias, record.key, where, record.state, (), {}, record.inputs, record)
        for where, record in records.items()
        if record is not None and record.alias and record.inputs
    ]
    return sorted(runs, key=lambda run: (run.state == DONE, run.record.ended or ""))


def latest_runs(folder: Path) -> dict[str, PlannedRun]:
    """Return the last ended run of each name as it was recorded, finished ones before others."""
    return {run.name: run for run in ended_runs(folder)}


def finished_or_latest(run: PlannedRun, latest: PlannedRun | None) -> PlannedRun:
    """The run itself if it is done, else the latest finished one of its name with the reasons why it is out of date."""
    if run.state == DONE or latest is None or latest.state != DONE:
        return run
    return replace(latest, reasons=run.reasons or (run.state,))


def whole(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the finished runs of the models of which every fold is finished."""
    lacking = {run.alias for run in runs if run.state != DONE}
    return [run for run in runs if run.alias not in lacking]


def standing(study: StudyConfig) -> list[PlannedRun]:
    """Return the planned runs for the device on which most of them are finished: results made elsewhere count."""
    here, latest = plan(study), latest_runs(study.folder)
    plans = [here, *([as_it_stands(run, latest, device) for run in here] for device in ("cpu", "cuda", "mps"))]
    return max(plans, key=lambda runs: sum(run.state in (DONE, RUNNING) for run in runs))


def current(study: StudyConfig | Path | str) -> list[PlannedRun]:
    """Return the finished runs whose key is the present one, in the study's order; raises WorkbenchError as `plan`."""
    study = study if isinstance(study, StudyConfig) else StudyConfig.load(study)
    return [run for run in standing(study) if run.state == DONE]


def as_it_stands(run: PlannedRun, latest: Mapping[str, PlannedRun], device: str | None = None) -> PlannedRun:
    """Return a run as it stands now, with another device in its key if one is given; latest: as `latest_runs`."""
    inputs = {**run.inputs, "device": device or run.inputs["device"]}
    key = of_inputs(inputs)
    folder = run.folder.with_name(key)
    state, reasons, record = _standing(folder, key, inputs, latest.get(run.name))
    given = {**run.parameters, "folder": str(folder)}
    now = {"state": state, "reasons": tuple(reasons), "record": record}
    return replace(run, key=key, folder=folder, parameters=given, inputs=inputs, **now)
