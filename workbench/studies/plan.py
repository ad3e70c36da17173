"""The runs of a study: each with its key, how it stands, and in words why it would run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench import models
from workbench.artifacts import read_json
from workbench.errors import WorkbenchError, unknown
from workbench.schema import ROOT, Taxonomy, expand
from workbench.studies import DONE, PLANNED, RUNNING, keys, parameters
from workbench.studies.config import StudyConfig
from workbench.studies.steps import search
from workbench.studies.worker import RESULTS, alive

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Run:
    """One model of a study with its present inputs: where its results are, how it stands, why it would run."""

    alias: str
    key: str
    folder: Path
    state: str
    reasons: tuple[str, ...]
    parameters: dict[str, Any]
    inputs: dict[str, Any]
    record: dict[str, Any] | None


@lru_cache
def resolve_device(choice: str) -> str:
    """Return "cpu", "cuda" or "mps" for a choice; torch is asked, in a process of its own, only where it could matter.

    A table of results can so be rebuilt without importing torch.
    """
    if choice not in DEVICES:
        raise WorkbenchError(unknown("device", choice, DEVICES))
    signs = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
    if choice == "cpu" or (choice == "auto" and sys.platform == "linux" and not any(map(os.path.exists, signs))):
        return "cpu"
    ask = f"from workbench.device import device; print(device({choice!r}).type)"
    answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, cwd=ROOT, check=False)
    if answer.returncode:
        raise WorkbenchError(answer.stderr.strip().rpartition("WorkbenchError: ")[2].splitlines()[-1])
    return answer.stdout.split()[-1]


def plan(study: StudyConfig, device: str = "auto") -> list[Run]:
    """Return the runs of a study in its order, each with its state and the reasons why it would run.

    Raises WorkbenchError for whatever can be found wrong before a kernel starts: parameters, options, data, weights.
    """
    device, where = resolve_device(device), f"study {study.path}"
    collected = keys.Inputs(study.notebook_path, Taxonomy.load(), device)
    latest = latest_runs(study.folder)
    runs = []
    for entry in study.models:
        written = {
            "model": entry.name,
            "options": entry.options,
            "corpus": study.corpus,
            "split": study.split,
            "tests": study.tests,
            "leaks": study.leaks,
            "policy": study.policy,
            "seeds": list(study.seeds),
            "device": device,
            "folder": "",
            **({"calibration": study.calibration} if study.calibration != "auto" else {}),
            **({"search": search.asked(study.search, study.compare)} if study.search else {}),
        }
        written = parameters.resolve(study.notebook_path, written)
        resolved = expand(written, where)
        try:
            models.check(entry.name, resolved["options"])
            inputs = collected.of(written, resolved)
        except WorkbenchError as error:
            raise WorkbenchError(f"{where}, model {entry.alias!r}: {error}") from None
        key = keys.run_key(inputs)
        folder = study.folder / key
        state, reasons, record = _standing(folder, key, inputs, latest.get(entry.alias))
        given = {**resolved, "folder": str(folder)}
        runs.append(Run(entry.alias, key, folder, state, tuple(reasons), given, inputs, record))
    return runs


def _standing(
    folder: Path, key: str, inputs: dict[str, Any], latest: dict[str, Any] | None
) -> tuple[str, list[str], dict[str, Any] | None]:
    """Return the state of a run folder, the reasons why it would run (none when done), and its record."""
    record = read_json(folder / "run.json")
    if record is not None and record.get("key") == key and record.get("state"):
        lost = [name for name in RESULTS if not (folder / name).is_file()]
        if record["state"] == DONE:
            return (PLANNED, [f"{lost[0]} is missing"], record) if lost else (DONE, [], record)
        cell = f" at cell {record['cell']}" if record.get("cell") is not None else ""
        return record["state"], [f"last run ended as {record['state']}{cell}"], record
    if alive(folder):
        return RUNNING, ["is running now"], None
    if folder.exists():
        return PLANNED, ["last run was cut off before it ended"], None
    return PLANNED, keys.reasons((latest or {}).get("inputs"), inputs), None


def latest_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the last ended run of each model name, finished ones before others."""
    found = {path.parent: read_json(path) or {} for path in folder.glob("*/run.json")}
    records = [{**record, "folder": str(where)} for where, record in found.items()]
    records.sort(key=lambda record: (record.get("state") == DONE, record.get("ended") or ""))
    return {record["alias"]: record for record in records if "alias" in record and "inputs" in record}


def stored_run(record: dict[str, Any], *reasons: str) -> Run:
    folder, inputs = Path(record["folder"]), record["inputs"]
    return Run(record["alias"], record["key"], folder, record["state"], reasons, {}, inputs, record)


def finished_or_latest(run: Run, latest: dict[str, Any] | None) -> Run:
    """The run itself if it is done, else the latest finished one of its name with the reasons why it is out of date."""
    if run.state == DONE or latest is None or latest["state"] != DONE:
        return run
    return stored_run(latest, *(run.reasons or (run.state,)))


def standing(study: StudyConfig) -> list[Run]:
    """Return the planned runs for the device on which most of them are finished: results made elsewhere count."""
    here = plan(study)
    plans = [here, *([as_it_stands(run, device) for run in here] for device in ("cpu", "cuda", "mps"))]
    return max(plans, key=lambda runs: sum(run.state in (DONE, RUNNING) for run in runs))


def current(study: StudyConfig | Path | str) -> list[Run]:
    """Return the finished runs whose key is the present one, in the study's order; raises WorkbenchError as `plan`."""
    study = study if isinstance(study, StudyConfig) else StudyConfig.load(study)
    return [run for run in standing(study) if run.state == DONE]


def as_it_stands(run: Run, device: str | None = None) -> Run:
    """Return a run as it stands now, with another device in its key if one is given."""
    inputs = {**run.inputs, "device": device or run.inputs["device"]}
    key = keys.run_key(inputs)
    folder = run.folder.with_name(key)
    state, reasons, record = _standing(folder, key, inputs, None)
    return replace(run, key=key, folder=folder, state=state, reasons=tuple(reasons), inputs=inputs, record=record)
