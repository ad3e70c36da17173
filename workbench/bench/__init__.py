"""Measuring speed as ratios within one run (`features` the encoders, `models` the classifiers), and `heads`' worth."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import device as devices

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
        "processor": devices.processor(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def turns(ways: Sequence[Callable[[], np.ndarray]], n: int) -> Iterator[tuple[list[float], list[np.ndarray]]]:
    """Let each way work `n` times, by turns, and who begins alternates; yield the seconds and results of each turn."""
    for turn in range(n):
        seconds, made = [0.0] * len(ways), [np.empty(0)] * len(ways)
        for way in range(len(ways)) if turn % 2 == 0 else reversed(range(len(ways))):
            began = time.perf_counter()
            made[way] = ways[way]()
            seconds[way] = time.perf_counter() - began
        yield seconds, made


def write(result: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """Write a result as JSON where somebody wants it, and return it."""
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result
