"""Runs as they go, shown: bars in a terminal, plain lines in a file or a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts import read_json
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import RunRecord
from workbench.errors import WorkbenchError
from workbench.report import requirements
from workbench.requirements import MET
from workbench.studies import DONE, RUNNING

if TYPE_CHECKING:
    from workbench.studies.plan import PlannedRun


def ending(record: RunRecord) -> str:
    """Return how a run ended in a few words: "done in 12 s", "timeout at cell 4 after 60 s: the cell ran ..."."""
    seconds = f"{record.seconds or 0:.0f} s"
    if record.state == DONE:
        return f"done in {seconds}"
    cell = f" at cell {record.cell}" if record.cell is not None else ""
    error = f": {record.error}" if record.error else ""
    return f"{record.state}{cell} after {seconds}{error}"


def facts(run: PlannedRun) -> str:
    """Return what is known of a planned run beside its state: where it is, or when it ended and why it is not done."""
    if run.state == RUNNING:
        now = read_json(run.folder / "running.json") or {}
        return f"process {now.get('pid')}, cell {now.get('cell')} of {now.get('cells')}, since {now.get('started')}"
    known = []
    if run.record:
        known += [f"{run.record.seconds or 0:.0f} s", f"ended {run.record.ended}", f"key {run.key}"]
    return "; ".join([*known, *run.reasons, *([run.up_to_date] if run.upgraded else [])])


def targets(folder: Path) -> list[str]:
    """Return what the chosen model of a study's last comparison is measured to do beside what the site needs.

    What is met is counted and not told; empty without a comparison that this version reads.
    """
    try:
        comparison = Comparison.load(folder)
    except WorkbenchError:
        return []
    found = requirements.held(comparison) if comparison else []
    met = sum(one.verdict == MET for one in found)
    open_ = [str(one) for one in found if one.verdict != MET]
    return [f"{comparison.chosen} meets {met} of {len(found)} targets", *open_] if found else []


class Lines(contextlib.ExitStack):
    """Plain lines, for logs: one when a run starts and ends, and one every 30 seconds for each that is running."""

    every = 30.0

    def __init__(self, total: int, write: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.total, self.ended = total, 0
        self.write = write or (lambda line: print(line, flush=True))
        self.started: dict[str, float] = {}
        self.spoke: dict[str, float] = {}

    def start(self, name: str, why: str) -> None:
        """Say that a run starts, and why."""
        self.started[name] = self.spoke[name] = time.monotonic()
        self.write(f"[{self.ended}/{self.total}] {name}: started ({why})")

    def tick(self, running: dict[str, dict[str, Any] | None]) -> None:
        """Take what each running run last said of itself (its `running.json`, None before the first)."""
        now = time.monotonic()
        for name, status in running.items():
            if now - self.spoke[name] >= self.every:
                self.spoke[name] = now
                self.write(f"[{self.ended}/{self.total}] {name}: {_where(status)}, {now - self.started[name]:.0f} s")

    def end(self, name: str, record: RunRecord) -> None:
        """Say how a run ended."""
        self.ended += 1
        self.write(f"[{self.ended}/{self.total}] {name}: {ending(record)}")


class Bars(Lines):
    """Bars in a terminal: finished runs of all, and for each running one its cell and the time it has taken."""

    def __init__(self, total: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[where]}"))
        self.bars = Progress(*columns, TimeElapsedColumn(), transient=True)
        super().__init__(total, lambda line: self.bars.console.print(line, markup=False, highlight=False))
        self.whole = self.bars.add_task("runs", total=total, where=f"0/{total}")
        self.tasks: dict[str, Any] = {}
        self.enter_context(self.bars)

    def start(self, name: str, why: str) -> None:
        super().start(name, why)
        self.tasks[name] = self.bars.add_task(name, total=None, where=_where(None))

    def tick(self, running: dict[str, dict[str, Any] | None]) -> None:
        for name, status in running.items():
            cell, cells = (status or {}).get("cell"), (status or {}).get("cells")
            self.bars.update(self.tasks[name], completed=cell or 0, total=cells, where=_where(status))

    def end(self, name: str, record: RunRecord) -> None:
        super().end(name, record)
        self.bars.remove_task(self.tasks.pop(name))
        self.bars.update(self.whole, completed=self.ended, where=f"{self.ended}/{self.total}")


def display(total: int) -> Lines:
    """Return bars where the output is a terminal, plain lines where it is a file or a pipe."""
    return Bars(total) if sys.stdout.isatty() else Lines(total)


def _where(status: dict[str, Any] | None) -> str:
    if not status or status.get("cell") is None:
        return "starting"
    return f"cell {status['cell']} of {status['cells']}"
