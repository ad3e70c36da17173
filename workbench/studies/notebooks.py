"""Strict papermill: a notebook's parameters are checked before a kernel starts, and its record says what happened.

papermill 2.7 takes parameters as they come (see `parameters`), calls every cell "completed" after a timeout or a dead
kernel, and writes its output in place. `StrictEngine` (papermill's `--engine strict`) checks parameters and keeps the
cells' states true; `execute` writes the executed notebook whole or not at all. Plain `papermill in.ipynb out.ipynb`
works beside it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from workbench.artifacts import write_text
from workbench.errors import WorkbenchError
from workbench.studies import DONE, FAILED, INTERRUPTED, KERNEL_DIED, TIMEOUT, last_line
from workbench.studies.parameters import nbformat, overlay, parameters, read, resolve

KERNEL = "python3"
PARTIAL = ".partial.ipynb"  # beside the output, while it runs


def __getattr__(name: str) -> Any:
    # papermill loads its engines while it is being imported, so it may ask for ours while this module waits for it;
    # the real class is registered at the end of this file.
    if name == "StrictEngine":
        return None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
    from papermill.exceptions import PapermillExecutionError


class Watch:
    """Follows one execution from outside (which kernel, which cell of how many) and can stop it at once."""

    def __init__(self) -> None:
        self.kernel: int | None = None
        self.cell: int | None = None
        self.cells = 0
        self.error: str | None = None
        self.stopped = False

    def started(self, kernel: int) -> None:
        """Note the kernel's process id, which is also its process group."""
        self.kernel = kernel
        if self.stopped:
            self.stop()

    def stop(self) -> None:
        """Have it killed, now or when there is a kernel; it ends as interrupted within about a second."""
        self.stopped = True
        self.kill()

    def kill(self) -> None:
        """Kill the kernel, if there is one, and whatever it started."""
        if self.kernel:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.kernel, signal.SIGKILL)


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: state, the failing cell (index in the source notebook), the last error line, seconds."""

    state: str
    cell: int | None
    error: str | None
    seconds: float


class _ThisPython(KernelSpecManager):
    """Runs `python3` kernels with this process's interpreter, whatever a user's own kernelspec of that name says."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        if kernel_name == KERNEL:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
        return super().get_kernel_spec(kernel_name)


class _Manager(NotebookExecutionManager):
    """Keeps cells that never ran `pending`, and writes the notebook by rename."""

    watch = Watch()

    def save(self, **kwargs: Any) -> None:
        if self.output_path and os.path.isabs(self.output_path):
            write_text(Path(self.output_path), nbformat.writes(self.nb))
            self.last_save_time = self.now()
        else:  # a relative path may be meant from another folder, a URL is papermill's to write
            super().save(**kwargs)

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        if self.watch.stopped:
            raise KeyboardInterrupt
        injected = ["injected-parameters" in c.metadata.get("tags", []) for c in self.nb.cells]
        self.watch.cell = cell_index - sum(injected[: cell_index + 1])  # an index in the source notebook
        self.watch.cells = len(injected) - sum(injected)
        super().cell_start(cell, cell_index, **kwargs)

    def notebook_complete(self, **kwargs: Any) -> None:
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        path, self.output_path = self.output_path, None
        super().notebook_complete(**kwargs)  # calls cells that never ran completed
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self.output_path = path
        self.save()


class _Client(PapermillNotebookClient):
    """Records a timeout, a dead kernel and an interruption at the cell where it happened."""

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = _ThisPython()
        if folder := _socket_folder(self.cleanup):
            manager.transport, manager.connection_file = "ipc", os.path.join(folder, "k.json")
        return manager

    def execute(self, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as self.cleanup:
            return super().execute(**kwargs)

    def start_new_kernel(self, **kwargs: Any) -> None:
        # Without asserts a notebook would check nothing, whatever the environment says of other programs.
        super().start_new_kernel(env={**os.environ, "PYTHONOPTIMIZE": ""}, **kwargs)
        self.nb_man.watch.started(self.km.provisioner.pid)

    def papermill_execute_cells(self) -> None:
        for index, cell in enumerate(self.nb.cells):
            try:
                self.nb_man.cell_start(cell, index)
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                break
            except BaseException as error:
                self.shutdown_kernel = "immediate"  # a kernel that did not answer will not answer a polite request
                self.nb_man.watch.error = self._sentence(error)
                _mark(self.nb.cells[index], type(error).__name__, self.nb_man.watch.error)
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                raise
            finally:
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def _sentence(self, error: BaseException) -> str:
        if self.nb_man.watch.stopped or isinstance(error, KeyboardInterrupt):
            return "interrupted before the notebook ended"
        if isinstance(error, CellTimeoutError):
            return f"the cell ran longer than {self.timeout} s"
        status = getattr(self.km.provisioner.process, "returncode", None)
        if isinstance(error, DeadKernelError) and status is not None and status < 0:
            hint = " (the system does this when memory runs out)" if status == -signal.SIGKILL else ""
            return f"the kernel was ended by {signal.Signals(-status).name}{hint}"
        if isinstance(error, DeadKernelError):
            return f"the kernel ended by itself with exit status {status}"
        return last_line(str(error)) or type(error).__name__


def _socket_folder(cleanup: contextlib.ExitStack) -> str | None:
    """Return a private folder for a kernel's sockets, so that kernels starting at once cannot take each other's ports.

    None where the system has no such sockets, or neither its folder for temporary files nor /tmp can hold them, as
    their paths are 107 bytes at most; kernels then take ports.
    """
    for place in (None, "/tmp") if hasattr(socket, "AF_UNIX") else ():
        with contextlib.suppress(OSError):
            folder = tempfile.TemporaryDirectory(prefix="kernel-", dir=place, ignore_cleanup_errors=True)
            name = cleanup.enter_context(folder)
            with socket.socket(socket.AF_UNIX) as trial:
                trial.bind(os.path.join(name, "k-ipc-10"))  # as long as any that a kernel makes
            return name
    return None


class StrictEngine(NBClientEngine):
    """papermill's engine with a truthful record: `papermill --engine strict in.ipynb out.ipynb`."""

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: Any = None, **kwargs: Any) -> Any:
        """Execute as papermill's engine does; a failing cell is `failed`, later ones `pending`, also when it raises.

        Parameters that papermill was given are held to the notebook's own first; raises WorkbenchError, which
        papermill's command shows as one sentence.
        """
        if given := nb.metadata.papermill.get("parameters"):
            own = [cell for cell in nb.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
            try:
                overlay(parameters(nbformat.from_dict({**nb, "cells": own}), "the notebook"), given, "the notebook")
            except WorkbenchError as error:
                if click.get_current_context(silent=True):
                    raise click.ClickException(str(error)) from None
                raise
        log = kwargs.pop("log_output", False)
        options = {name: kwargs.pop(name) for name in ("progress_bar", "autosave_cell_every") if name in kwargs}
        manager = _Manager(nb, output_path, log_output=log, **options)
        manager.watch = kwargs.pop("watch", None) or Watch()
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log, **kwargs)
        except BaseException:
            manager.nb.metadata.papermill["exception"] = True
            manager.watch.kill()  # what the kernel started may have outlived it
            raise
        finally:
            manager.watch.kernel = None
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run the cells; raises CellTimeoutError and DeadKernelError after recording them."""
        wait = {"timeout": kwargs.pop("execution_timeout", None), "startup_timeout": kwargs.pop("start_timeout", 60)}
        kwargs.pop("input_path", None)
        # A slow machine may need more than nbclient's 4 s to hand over what a cell has printed; that is no timeout.
        wait |= {"iopub_timeout": 60, "log": logging.getLogger("papermill")}
        return _Client(nb_man, kernel_name=kernel_name, **wait, **kwargs).execute()


papermill_engines.register("strict", StrictEngine)


def execute(
    notebook: Path,
    output: Path,
    values: dict[str, Any],
    *,
    timeout: float | None = None,
    log: Path | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Check the values, execute a notebook in a fresh kernel, write the result to `output`, and say how it ended.

    `timeout`: seconds a single cell may take; `log`: a file that gets what the cells print, as they print it.
    Raises WorkbenchError before a kernel starts.
    """
    from papermill.execute import execute_notebook  # not above: papermill may be importing this module just now

    resolve(notebook, values)
    watch, start, partial = watch or Watch(), time.monotonic(), output.with_suffix(PARTIAL)
    state, error = DONE, None
    try:
        with _quiet(), open(log or os.devnull, "a", encoding="utf-8", errors="replace") as printed:
            execute_notebook(
                _literal(notebook),
                _literal(partial),
                values,
                engine_name="strict",
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=math.ceil(timeout) if timeout else None,
                stdout_file=printed,
                stderr_file=printed,
                watch=watch,
            )
    except BaseException as caught:
        state, error = _ending(caught, watch)
    if partial.exists():
        os.replace(partial, output)
    return Outcome(state, None if state == DONE else watch.cell, error, time.monotonic() - start)


def salvage(output: Path, error: str) -> None:
    """Finish what a killed process left of an executed notebook: its running cell becomes `failed` with the error."""
    partial = output.with_suffix(PARTIAL)
    if not partial.exists():
        return
    with contextlib.suppress(WorkbenchError, KeyError, OSError):  # a torn one says nothing
        notebook = read(partial)
        for cell in notebook.cells:
            if cell.metadata.get("papermill", {}).get("status") == "running":
                _mark(cell, "Interrupted", error)
                cell.metadata.papermill.update(status="failed", exception=True)
        notebook.metadata.papermill["exception"] = True
        write_text(output, nbformat.writes(notebook))
    partial.unlink(missing_ok=True)


def _ending(caught: BaseException, watch: Watch) -> tuple[str, str]:
    line = watch.error or f"{type(caught).__name__}: {last_line(str(caught))}".removesuffix(": ")
    if watch.stopped or isinstance(caught, KeyboardInterrupt):
        return INTERRUPTED, line
    if isinstance(caught, PapermillExecutionError):
        return FAILED, f"{caught.ename}: {last_line(caught.evalue)}".removesuffix(": ")
    if isinstance(caught, CellTimeoutError):
        return TIMEOUT, line
    if isinstance(caught, (DeadKernelError, RuntimeError)):  # RuntimeError: the kernel did not start
        return KERNEL_DIED, line
    return FAILED, line


def _mark(cell: Any, name: str, sentence: str) -> None:
    """Append an error to a cell's outputs."""
    if cell.cell_type == "code":
        cell.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=sentence, traceback=[sentence]))


def _literal(path: Path) -> str:
    """Return an absolute path for papermill, which reads braces in paths as fields to fill in."""
    return str(Path(path).absolute()).replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep papermill's and jupyter's warnings off the terminal: what they are about is checked or recorded here."""
    logger = logging.getLogger("papermill")
    with warnings.catch_warnings(), contextlib.ExitStack() as after:
        warnings.simplefilter("ignore")
        after.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL + 1)
        yield
