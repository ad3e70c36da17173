"""Following one notebook execution from outside: where it stands, and how to end it at once."""

from __future__ import annotations

import contextlib
import os
import signal


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

    def entered(self, cell: int, cells: int) -> None:
        """Note the cell now executed, an index in the source notebook, and how many cells there are."""
        self.cell, self.cells = cell, cells

    def stop(self) -> None:
        """Have it killed, now or when there is a kernel; it ends as interrupted within about a second."""
        self.stopped = True
        self.kill()

    def kill(self) -> None:
        """Kill the kernel, if there is one, and whatever it started."""
        if self.kernel:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.kernel, signal.SIGKILL)
