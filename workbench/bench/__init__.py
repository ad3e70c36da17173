"""Measuring speed, always as ratios within one run: `features` the encoders, `models` the classifiers."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 110  # of a table; a pipe counts as 80, which would cut its last columns off


def console(*, stderr: bool = False) -> Console:
    """Return a console that is wide enough for the tables here."""
    from rich.console import Console

    return Console(stderr=stderr, width=max(Console().width, WIDTH))


def machine(device: Any = "cpu") -> dict[str, Any]:
    """Return what a measurement was made on: processor, device, torch's threads, versions."""
    import torch

    return {
        "processor": _processor(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
