"""Runs are executed, one process each, and every end is recorded.

The runner starts a worker process per run (`worker.work`), which has the notebook's kernel as its child. A dead kernel
is recorded as `kernel-died` by the worker, a worker that dies without a word as `interrupted` by the runner.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psutil

from workbench.artifacts import read_json
from workbench.comparison.run_files import RunRecord
from workbench.errors import WorkbenchError
from workbench.schema import ROOT
from workbench.studies import keys
from workbench.studies.config import StudyConfig
from workbench.studies.display import display
from workbench.studies.plan import PlannedRun, plan
from workbench.studies.worker import GRACE, RunProcess, now


def execute(study: StudyConfig, runs: Sequence[PlannedRun], jobs: int | None = None) -> list[RunRecord]:
    """Execute runs, at most `jobs` at once, and return their records; on Ctrl-C record what was running, re-raise."""
    jobs = jobs or _jobs(runs)
    threads = max(1, _cores() // jobs)
    waiting, active, ended = list(runs), [], []
    with display(len(waiting)) as shown:
        try:
            while waiting or active:
                while waiting and len(active) < jobs:
                    run = _fresh(study, waiting.pop(0))
                    shown.start(run.name, "; ".join(run.reasons))
                    commit, patch = code_state(study, run)
                    active.append(RunProcess(run.folder, _job(study, run, commit, patch), threads, patch or b""))
                for worker in [worker for worker in active if worker.process.poll() is not None]:
                    active.remove(worker)
                    ended.append(worker.end())
                    shown.end(worker.name, ended[-1])
                shown.tick({worker.name: read_json(worker.folder / "running.json") for worker in active})
                time.sleep(0.1)
        finally:  # only an interruption, or a fault of ours, leaves workers behind
            for record in _stop(active):
                shown.end(record.name, record)
    return ended


def _stop(active: list[RunProcess]) -> list[RunRecord]:
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


def _fresh(study: StudyConfig, run: PlannedRun) -> PlannedRun:
    """Return a run with its present key: code may have been edited while it waited for others."""
    with contextlib.suppress(WorkbenchError):  # half-saved code: the kernel will say what is wrong with it
        now_code, _ = keys.of_code(study.notebook_path, run.parameters)
        if any(run.inputs.get(name) != digest for name, digest in now_code.items()):
            edited = next(other for other in plan(study, run.inputs["device"]) if other.name == run.name)
            return replace(edited, reasons=edited.reasons or run.reasons)
    return run


def _jobs(waiting: Sequence[PlannedRun]) -> int:
    """Return how many runs go at once if nobody says: one on an accelerator, else a core and 2 GB each."""
    if any(run.inputs["device"] != "cpu" for run in waiting):
        return 1
    return max(1, min(_cores(), psutil.virtual_memory().available // 2**31, len(waiting)))


def code_state(study: StudyConfig, run: PlannedRun) -> tuple[str | None, bytes | None]:
    """Return the commit and the patch that makes the run's code of it, empty where it is the same; None: git fails.

    Tracked files as they are now, and the notebook and modules that the run needs and nobody has added yet; what people
    write (`_PROSE`) and other untracked files, such as a new study's YAML, are no edit. Nobody's git settings enter the
    patch.
    """
    commit, root = None, ROOT.resolve()
    try:
        commit = _git("rev-parse", "HEAD").decode().strip()
        patch = _git(*_DIFF, "--no-relative", "HEAD", "--", ":(top)", *_PROSE, magic=True)
        files = keys.files_of_code(study.notebook_path, run.parameters)
        ours = [file.relative_to(root).as_posix() for file in files if file.is_relative_to(root)]
        for name in filter(None, _git("ls-files", "-z", "--others", "--", *ours).split(b"\0") if ours else ()):
            patch += _git(*_DIFF, "--no-index", "--", os.devnull, os.fsdecode(name), fine=(0, 1))
    except (OSError, subprocess.SubprocessError, WorkbenchError):  # the last: half-saved code
        return commit, None
    return commit, patch


_DIFF = ("diff", "--binary", "--unified=3", "--no-color", "--no-ext-diff", "--no-textconv")
_DIFF += ("--src-prefix=a/", "--dst-prefix=b/")
_PROSE = tuple(f":(exclude){path}" for path in ("experiments", "docs", "*.md"))  # a run's record has the study's part


def _git(*arguments: str, fine: Sequence[int] = (0,), magic: bool = False) -> bytes:
    """Return what git prints in the repository; raises OSError or SubprocessError where it ends with another status.

    magic: whether paths may be patterns.
    """
    command = ["git", *([] if magic else ["--literal-pathspecs"]), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    if done.returncode not in fine:
        raise subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr)
    return done.stdout


def _job(study: StudyConfig, run: PlannedRun, commit: str | None, patch: bytes | None) -> dict[str, Any]:
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
        "study": study.name,
        "versions": {"python": platform.python_version(), **run.libraries},
        "commit": commit,
        "dirty": None if patch is None else bool(patch),
        "reason": "; ".join(run.reasons),
    }
    notebook, timeout = str(study.notebook_path), study.timeout_minutes * 60
    return {"notebook": notebook, "parameters": run.parameters, "timeout": timeout, "facts": facts}
