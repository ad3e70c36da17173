"""Runs of a study: what is missing or stale is executed, one process per run, and every end is recorded.

The runner holds a lock on the study and starts a worker process per run (`progress.work`), which has the notebook's
kernel as its child. A dead kernel is recorded as `kernel-died` by the worker; a worker that dies without a word is
recorded as `interrupted` by the runner. Nothing but `done` is ever reused, and finished results are never deleted
before their replacement is finished.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from workbench.schema import ROOT, Taxonomy, WorkbenchError, unknown
from workbench.studies import DONE, PLANNED, RUNNING, keys, read_json, search
from workbench.studies.config import StudyConfig, expand
from workbench.studies.progress import GRACE, RESULTS, Worker, alive, display, ending, now, restore
from workbench.studies.tabulate import compare_study

DEVICES = ("auto", "cpu", "cuda", "mps")
PACKAGES = ("torch", "open_clip_torch", "transformers", "scikit-learn", "numpy", "pyarrow", "papermill")


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


# ------------------------------------------------------------------------------------------------------------- planning


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
    resolve = importlib.import_module("workbench.studies.parameters").resolve
    device, where = resolve_device(device), f"study {study.path}"
    collected = keys.Inputs(study.notebook_path, Taxonomy.load(), device)
    check = getattr(collected.models, "check", lambda name, options: None)
    latest = _latest(study.folder)
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
        written = resolve(study.notebook_path, written)
        resolved = expand(written, where)
        try:
            check(entry.name, resolved["options"])
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


def _latest(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the last ended run of each model name, finished ones before others."""
    found = {path.parent: read_json(path) or {} for path in folder.glob("*/run.json")}
    records = [{**record, "folder": str(where)} for where, record in found.items()]
    records.sort(key=lambda record: (record.get("state") == DONE, record.get("ended") or ""))
    return {record["alias"]: record for record in records if "alias" in record and "inputs" in record}


def _stored(record: dict[str, Any], *reasons: str) -> Run:
    folder, inputs = Path(record["folder"]), record["inputs"]
    return Run(record["alias"], record["key"], folder, record["state"], reasons, {}, inputs, record)


def _finished(run: Run, latest: dict[str, Any] | None) -> Run:
    """The run itself if it is done, else the latest finished one of its name with the reasons why it is out of date."""
    if run.state == DONE or latest is None or latest["state"] != DONE:
        return run
    return _stored(latest, *(run.reasons or (run.state,)))


def standing(study: StudyConfig) -> list[Run]:
    """Return the planned runs for the device on which most of them are finished: results made elsewhere count."""
    here = plan(study)
    plans = [here, *([_again(run, device) for run in here] for device in ("cpu", "cuda", "mps"))]
    return max(plans, key=lambda runs: sum(run.state in (DONE, RUNNING) for run in runs))


def current(study: StudyConfig | Path | str) -> list[Run]:
    """Return the finished runs whose key is the present one, in the study's order; raises WorkbenchError as `plan`."""
    study = study if isinstance(study, StudyConfig) else StudyConfig.load(study)
    return [run for run in standing(study) if run.state == DONE]


def _again(run: Run, device: str | None = None) -> Run:
    """Return a run as it stands now, with another device in its key if one is given."""
    inputs = {**run.inputs, "device": device or run.inputs["device"]}
    key = keys.run_key(inputs)
    folder = run.folder.with_name(key)
    state, reasons, record = _standing(folder, key, inputs, None)
    return replace(run, key=key, folder=folder, state=state, reasons=tuple(reasons), inputs=inputs, record=record)


# ------------------------------------------------------------------------------------------------------------ executing


def run_study(
    path: Path | str, *, jobs: int | None = None, redo: bool = False, dry_run: bool = False, device: str = "auto"
) -> int:
    """Execute what is missing or stale in a study, rebuild its comparison, and return the exit status.

    0: everything is done; 1: some run failed (the rest is compared); 130: interrupted, the next call goes on.
    `redo` executes finished runs again; `dry_run` only says what would run and why. Raises WorkbenchError.
    """
    study = StudyConfig.load(path)
    if dry_run:
        for run in plan(study, device):
            print(f"{run.alias}: " + (f"would run ({_why(run, redo)})" if redo or run.state != DONE else "up to date"))
        return 0
    with _locked(study), _interruptible():
        try:
            restore(study.folder)
            runs = plan(study, device)
            waiting = [run for run in runs if redo or run.state != DONE]
            print(f"study {study.name}: {len(waiting)} of {len(runs)} runs to do", flush=True)
            _gate(study, waiting)
            ended = _execute(study, waiting, jobs, redo)
        except KeyboardInterrupt:
            print(f"interrupted; `workbench run {study.path}` goes on from here", flush=True)
            return 130
        planned = {run.key for run in runs}
        moved = any(record["key"] not in planned for record in ended)
        failed = [record for record in ended if record["state"] != DONE]
        try:
            compare_study(study, plan(study, device) if moved else [_again(run) for run in runs])
        except WorkbenchError as error:
            if not failed:
                raise
            print(f"no comparison: {error}", file=sys.stderr, flush=True)
    for record in failed:
        print(f"{record['alias']}: {ending(record)}; see {record['notebook']}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _gate(study: StudyConfig, waiting: list[Run]) -> None:
    """Load and divide the posts once before any run does, and raise LeakFound where they leak across the split."""
    if waiting:
        print("reading the posts ...", flush=True)
        prepare = importlib.import_module("workbench.studies.training").prepare
        given = waiting[0].parameters
        material = prepare(*(given[name] for name in ("corpus", "split", "tests")), Taxonomy.load(), study.leaks)
        importlib.import_module("workbench.studies.leaks").record(study, material)


def _why(run: Run, redo: bool) -> str:
    return "; ".join(run.reasons) or ("asked for by --all" if redo else "")


@contextlib.contextmanager
def _locked(study: StudyConfig) -> Iterator[None]:
    """Hold the study's lock; the system releases it when this process ends, however it ends."""
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(study.folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise WorkbenchError(
            f"study {study.name!r} is being run by another process; wait for it, or look with "
            f"`workbench status {study.name}`"
        ) from None
    except OSError as error:
        raise WorkbenchError(
            f"cannot write results to {study.folder}: {error.strerror or error}; make room or allow it"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        names = []  # only the main thread may set handlers; there Ctrl-C is the caller's
    before = {name: signal.signal(getattr(signal, name), _interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _execute(study: StudyConfig, waiting: list[Run], jobs: int | None, redo: bool) -> list[dict[str, Any]]:
    """Execute runs, at most `jobs` at once, and return their records; on Ctrl-C record what was running, re-raise."""
    jobs = jobs or _jobs(waiting)
    threads = max(1, _cores() // jobs)
    facts, waiting, active, ended = _facts(study), list(waiting), [], []
    with display(len(waiting)) as shown:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    run = _fresh(study, waiting.pop(0))
                    shown.start(run.alias, _why(run, redo))
                    active.append(Worker(run.folder, _job(study, run, {**facts, "reason": _why(run, redo)}), threads))
                for worker in [worker for worker in active if worker.process.poll() is not None]:
                    active.remove(worker)
                    ended.append(worker.end())
                    shown.end(worker.alias, ended[-1])
                shown.tick({worker.alias: read_json(worker.folder / "running.json") for worker in active})
                time.sleep(0.1)
        finally:  # only an interruption, or a fault of ours, leaves workers behind
            for record in _stop(active):
                shown.end(record["alias"], record)
    return ended


def _stop(active: list[Worker]) -> list[dict[str, Any]]:
    for name in ("SIGINT", "SIGTERM"):  # a second Ctrl-C must not cut off the recording of the first
        if active and threading.current_thread() is threading.main_thread():
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for worker in active:
        worker.process.terminate()
    deadline = time.monotonic() + GRACE
    for worker in active:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.1, deadline - time.monotonic()))
    return [worker.end("interrupted before the notebook ended") for worker in active]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fresh(study: StudyConfig, run: Run) -> Run:
    """Return a run with its present key: code may have been edited while it waited for others."""
    with contextlib.suppress(WorkbenchError):  # half-saved code: the kernel will say what is wrong with it
        now_code = keys.of_code(study.notebook_path, run.parameters)
        if any(run.inputs.get(name) != digest for name, digest in now_code.items()):
            return next(other for other in plan(study, run.inputs["device"]) if other.alias == run.alias)
    return run


def _jobs(waiting: list[Run]) -> int:
    """Return how many runs go at once if nobody says: one on an accelerator, else a core and 2 GB each."""
    if any(run.inputs["device"] != "cpu" for run in waiting):
        return 1
    return max(1, min(_cores(), psutil.virtual_memory().available // 2**31, len(waiting)))


def _facts(study: StudyConfig) -> dict[str, Any]:
    """Return what all runs of a study record alike: the study, library versions, the state of the code in git."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return {
        "study": study.name,
        "versions": versions,
        "commit": commit,
        "dirty": None if commit is None else bool(changes),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _job(study: StudyConfig, run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a worker is told: what to execute, and the part of the record that is known beforehand."""
    facts = {
        "key": run.key,
        "alias": run.alias,
        "model": run.parameters["model"],
        "options": run.parameters["options"],
        "device": run.inputs["device"],
        "inputs": run.inputs,
        "corpus_digest": run.inputs["data corpus"],
        "started": now(),
        **facts,
    }
    notebook, timeout = str(study.notebook_path), study.timeout_minutes * 60
    return {"notebook": notebook, "parameters": run.parameters, "timeout": timeout, "facts": facts}


# ------------------------------------------------------------------------------------------------------------ comparing


def recompare(path: Path | str, *, by_label: bool = False) -> dict[str, Any]:
    """Rebuild a study's comparison and report from what is stored; needs neither models nor, at a pinch, the data.

    A model without an up-to-date run is shown by its latest finished one, marked as out of date with the reasons;
    where data or weights are not at hand, so that no key can be told, that holds for all.
    """
    study = StudyConfig.load(path)
    latest = _latest(study.folder)
    try:
        runs = [_finished(run, latest.get(run.alias)) for run in standing(study)]
    except WorkbenchError as error:
        reason = f"not checked: {error}"
        runs = [_stored(latest[entry.alias], reason) for entry in study.models if entry.alias in latest]
    comparison = compare_study(study, runs, always=True, by_label=by_label)
    if comparison is None:
        raise WorkbenchError(
            f"study {study.name!r} has no finished run that is up to date; `workbench run {path}` makes them"
        )
    return comparison
