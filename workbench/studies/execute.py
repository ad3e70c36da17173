"""Runs of a study: what is missing or stale is executed, one process per run, and every end is recorded.

The runner holds a lock on the study and starts a worker process per run (`progress.work`), which has the notebook's
kernel as its child. A dead kernel is recorded as `kernel-died` by the worker; a worker that dies without a word is
recorded as `interrupted` by the runner. Nothing but `done` is ever reused, and finished results are never deleted
before their replacement is finished.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from workbench.artifacts import read_json
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy
from workbench.studies import DONE, keys
from workbench.studies.compare import compare_study
from workbench.studies.config import StudyConfig
from workbench.studies.display import display, ending
from workbench.studies.plan import Run, as_it_stands, plan
from workbench.studies.worker import GRACE, Worker, now, restore

PACKAGES = ("torch", "open_clip_torch", "transformers", "scikit-learn", "numpy", "pyarrow", "papermill")


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
            compare_study(study, plan(study, device) if moved else [as_it_stands(run) for run in runs])
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
        from workbench.studies import leaks
        from workbench.studies.steps.training import prepare

        given = waiting[0].parameters
        material = prepare(*(given[name] for name in ("corpus", "split", "tests")), Taxonomy.load(), study.leaks)
        leaks.record(study, material)


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
