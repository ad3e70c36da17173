"""A process of its own for what may take too long, fill the memory or break a device for good."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from workbench.errors import WorkbenchError


class Worker:
    """A process that calls one function, time after time; where it is ended or dies, the next call starts another.

    Args:
        work: a function at the top of a module; its arguments and what it returns travel by pickle.
    """

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self._process: Any = None
        self._pipe: Any = None

    def call(self, *given: Any, seconds: float) -> Any:
        """Return what the function returns; raises WorkbenchError where it does not in `seconds`, or its process dies.

        A WorkbenchError of the function's is raised here; after any other exception, raised as a WorkbenchError with
        its first words, the process is not used again: what broke a device stays broken until it ends.
        """
        if self._process is None:
            self._start()
        self._pipe.send(given)
        if not self._pipe.poll(max(0.0, seconds)):
            self.end()
            raise WorkbenchError("the time was over before it was finished")
        try:
            fate, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self.end()
            raise WorkbenchError(f"its process ended by itself, with exit code {code}") from None
        if fate == "broken":
            self.end()
        if fate != "done":
            raise WorkbenchError(value)
        return value

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would share what CUDA cannot share
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection, work: Callable[..., Any]) -> None:
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", work(*given)))
        except WorkbenchError as error:
            pipe.send(("refused", str(error)))
        except Exception as error:
            words = " ".join(str(error).split())[:300]
            pipe.send(("broken", f"{type(error).__name__}: {words}"))
