"""One run as a process of its own: what it says of itself while it runs, and what it leaves behind.

`python -m workbench.studies.worker FOLDER` is the worker: it reads its job as one line of JSON, executes it, keeps
`running.json` true, and writes `run.json` last. Its standard input is its lifeline: when it closes, the runner is
gone, and the worker ends its kernel and itself. The display polls `running.json`, so `workbench status` sees the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from workbench.artifacts import read_json, write_json
from workbench.comparison.run_files import Metrics, RunRecord
from workbench.errors import WorkbenchError
from workbench.studies import DONE, FAILED, INTERRUPTED, last_line
from workbench.studies.notebooks import Watch

RESULTS = (Metrics.FILE, "predictions.parquet")
PATCH = "code.patch"  # what makes the run's code of its commit, where the two differ
MEASURED = {"modalities", "dtype", "n_train", "ms_per_post", "fit_seconds", "parameters"}  # what a record repeats
GRACE = 5.0  # seconds a run has to record its interruption before it is killed

# ---------------------------------------------------------------------------------------------------------- the worker


def work(folder: Path) -> int:
    """Execute the job given on standard input in a run folder and record how it ended; the exit status is 0 if done."""
    from workbench.studies.notebooks import execute

    job = _job()
    watch, ended = Watch(), threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides, and says so by SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: watch.stop())
    beat = threading.Thread(target=_heartbeat, args=(folder, watch, ended), daemon=True)
    beat.start()
    threading.Thread(target=_lifeline, args=(watch,), daemon=True).start()
    log, timeout = folder / "log.txt", job["timeout"]
    end = execute(
        Path(job["notebook"]), folder / "executed.ipynb", job["parameters"], timeout=timeout, log=log, watch=watch
    )
    ended.set()
    beat.join()
    record = write_record(folder, job["facts"], end.state, end.seconds, cell=end.cell, error=end.error)
    return 0 if record.state == DONE else 1


def _job() -> dict[str, Any]:
    line = sys.stdin.buffer.raw.readline()  # not a byte more: what follows is the lifeline's
    if not line.endswith(b"\n"):
        raise SystemExit("the runner ended before it said what to do")
    return json.loads(line)


def _lifeline(watch: Watch) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1 << 10):
            pass
    watch.stop()
    time.sleep(GRACE)
    os._exit(1)


def _heartbeat(folder: Path, watch: Watch, ended: threading.Event) -> None:
    """Write where the run is, at once when that changes and every five seconds otherwise."""
    started, last, spoke = now(), None, 0.0
    while not ended.is_set():
        status = {"pid": os.getpid(), "kernel": watch.kernel, "cell": watch.cell, "cells": watch.cells}
        if status != last or time.monotonic() - spoke >= 5:
            with contextlib.suppress(OSError):  # a full disk must not end the run
                write_json(folder / "running.json", {**status, "started": started, "heartbeat": now()})
            last, spoke = status, time.monotonic()
        ended.wait(0.2)


def write_record(
    folder: Path,
    facts: dict[str, Any],
    state: str,
    seconds: float,
    *,
    cell: int | None = None,
    error: str | None = None,
) -> RunRecord:
    """Write `run.json`, which ends a run, and return it; the measured part comes from the notebook's `metrics.json`.

    A notebook that ended well but left out a result is recorded as failed. Raises OSError where it cannot be written.
    """
    lost = [name for name in RESULTS if not (folder / name).is_file()]
    if state == DONE and lost:
        state, error = FAILED, f"the notebook ended without writing {lost[0]}"
    metrics = Metrics.read(folder) or Metrics()
    measured = metrics.model_dump(include=MEASURED)
    measured |= {"device": metrics.device or facts.get("device")}
    measured |= {"peak_mb": metrics.peak_mb.get("host"), "cuda_peak_mb": metrics.peak_mb.get("cuda")}
    ended = {"state": state, "cell": cell, "error": error, "ended": now(), "seconds": round(seconds, 3)}
    record = RunRecord.model_validate({**facts, **measured, **ended})
    write_json(folder / RunRecord.FILE, record.model_dump(mode="json"))
    (folder / "running.json").unlink(missing_ok=True)
    return record


def alive(folder: Path, who: str = "pid") -> psutil.Process | None:
    """Return the process busy in a run folder (`pid`: its worker, `kernel`: its kernel), or None.

    A process id is used again some day, so the process must also look like the one that wrote it down.
    """
    mark = {"pid": str(folder), "kernel": "ipykernel_launcher"}[who]
    with contextlib.suppress(psutil.Error, TypeError, ValueError):
        process = psutil.Process(int((read_json(folder / "running.json") or {}).get(who)))
        return process if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def reap(folder: Path) -> None:
    """Kill what still works in a run folder after its runner or its worker has gone, with all that it started."""
    for process in filter(None, (alive(folder), alive(folder, "kernel"))):
        with contextlib.suppress(OSError, psutil.Error):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=GRACE)


def now() -> str:
    """Return the time in UTC, as written in records."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


# ---------------------------------------------------------------------------------------------------- the runner's side

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")


class RunProcess:
    """A run's process as its runner sees it, from an empty folder to the record.

    While a finished run is done again its old results stand in `<key>.previous`; they come back if the new ones fail.
    """

    def __init__(self, folder: Path, job: dict[str, Any], threads: int, patch: bytes = b"") -> None:
        self.folder, self.job, self.clock = folder, job, time.monotonic()
        self.name: str = RunRecord.model_validate(job["facts"]).name
        environment = {name: os.environ.get(name, str(threads)) for name in _THREADS}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        try:
            self._clear()
            if patch:
                (folder / PATCH).write_bytes(patch)
            with open(folder / "log.txt", "ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "workbench.studies.worker", str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **environment},
                    start_new_session=True,  # Ctrl-C in a terminal reaches the runner alone
                )
        except OSError as error:
            raise WorkbenchError(
                f"cannot write results to {folder}: {error.strerror or error}; make room or allow it"
            ) from None
        with contextlib.suppress(BrokenPipeError):  # it died at once; `end` records that
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def end(self, error: str | None = None) -> RunRecord:
        """Return the record of the worker, killing what is left of it; written here if it could not write one.

        `notebook` in it says where the executed notebook lies.
        """
        running = read_json(self.folder / "running.json") or {}
        reap(self.folder)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        record = RunRecord.read(self.folder) or self._record(code, running.get("cell"), error)
        return record.model_copy(update={"notebook": str(self._settle(record.state) / "executed.ipynb")})

    def _record(self, code: int, cell: int | None, error: str | None) -> RunRecord:
        from workbench.studies.notebooks import salvage

        state = INTERRUPTED if error or code < 0 else FAILED
        if code < 0:
            error = error or f"the run's process was ended by {signal.Signals(-code).name}"
        seconds = time.monotonic() - self.clock
        try:
            last = last_line((self.folder / "log.txt").read_text(encoding="utf-8", errors="replace"))
            error = error or last or "it ended without a word"
            salvage(self.folder / "executed.ipynb", error)
            return write_record(self.folder, self.job["facts"], state, seconds, cell=cell, error=error)
        except OSError as problem:  # say, a full disk: the folder stays without a record, and nothing trusts it
            ended = {"state": state, "cell": cell, "error": str(problem), "seconds": seconds}
            return RunRecord.model_validate({**self.job["facts"], **ended})

    def _clear(self) -> None:
        """Make the folder empty; finished results are put aside."""
        reap(self.folder)
        if _done(self.folder):
            os.replace(self.folder, _beside(self.folder, "previous"))
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)

    def _settle(self, state: str) -> Path:
        """Drop or bring back earlier results, and return where this run's own are."""
        previous = _beside(self.folder, "previous")
        if not previous.exists():
            return self.folder
        if state == DONE:
            shutil.rmtree(previous)
            return self.folder
        failed = _beside(self.folder, "failed")
        if failed.exists():
            shutil.rmtree(failed)
        os.replace(self.folder, failed)
        os.replace(previous, self.folder)
        return failed


def restore(study: Path) -> None:
    """Bring back finished results that a killed runner had put aside."""
    for previous in study.glob("*.previous"):
        folder = previous.with_suffix("")
        reap(folder)
        if _done(folder):
            shutil.rmtree(previous)
        else:
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(previous, folder)


def _done(folder: Path) -> bool:
    record = RunRecord.read(folder)
    return record is not None and record.state == DONE


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
