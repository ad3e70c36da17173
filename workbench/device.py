"""One choice of accelerator, one number format, and one way with memory for the whole workbench.

What does not fit is halved, the size that fitted is kept for what follows, and that is said: `Room`.

torch is imported when a device is asked for, so that code which only reads results never pays for it.
"""

from __future__ import annotations

import logging
import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError, unknown

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
CHOICES = ("auto", "cpu", "cuda", "mps")
CPU_BF16 = "WORKBENCH_CPU_BF16"
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 names two, arm64 one


def device(choice: str = "auto") -> torch.device:
    """Return the device to compute on: `auto` is CUDA where there is one, else Apple's MPS, else the CPU.

    Raises WorkbenchError for an unknown name and for a named accelerator that this machine lacks.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = choice if choice in CHOICES else choice.partition(":")[0]
    if kind not in CHOICES or choice.startswith("auto:"):
        raise WorkbenchError(unknown("device", choice, CHOICES))
    if choice == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if present[name]))
    if not present[kind]:
        raise WorkbenchError(f"device {choice!r} was asked for, but this machine has none; choose 'auto' or 'cpu'")
    return torch.device(choice)


def dtype(where: torch.device) -> torch.dtype:
    """Return the number format for encoders on a device: bfloat16 where the hardware multiplies it, else float32.

    On a CPU that is float32 even where bfloat16 would be twice as fast, so that a study gives the same numbers on
    everybody's machine; WORKBENCH_CPU_BF16=1 asks for bfloat16, and is heeded only where `multiplies_bf16()`.
    """
    import torch

    if where.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if where.type == "cpu" and asked_for_bf16() and multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def asked_for_bf16() -> bool:
    """Say whether WORKBENCH_CPU_BF16 asks for bfloat16 on the CPU; raises WorkbenchError for anything but 0 and 1."""
    value = os.environ.get(CPU_BF16, "") or "0"
    if value not in ("0", "1"):
        raise WorkbenchError(f"{CPU_BF16} is {value!r}; write 1 for bfloat16 on the CPU, 0 or nothing for float32")
    if value == "1" and not multiplies_bf16():
        _refuse()
    return value == "1"


@cache
def multiplies_bf16() -> bool:
    """Say whether the CPU has instructions for bfloat16 and torch uses them.

    Without them torch emulates: sentence-transformers measured a hundredth of float32's speed.
    """
    import torch

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return bool(_FLAGS & set(flags)) and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def _refuse() -> None:
    log.warning("%s=1 is not heeded: this CPU has no instructions for bfloat16; it computes in float32", CPU_BF16)


def peak_memory_mb(where: torch.device | None = None) -> dict[str, float]:
    """Return peak memory since the process began in MiB: `host` (resident set) and, on CUDA, `cuda` (allocated)."""
    peak = {"host": _peak_resident()}
    if where is not None and where.type == "cuda":
        import torch

        peak["cuda"] = torch.cuda.max_memory_allocated(where) / 2**20
    return peak


def _peak_resident() -> float:
    """Return the largest resident set of this process in MiB.

    Linux begins `ru_maxrss` with the peak of whoever started the process, so VmHWM is taken where there is one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    if (own := next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)) is not None:
        return int(own) / 1024  # in KiB
    unit = 1024.0 if sys.platform != "darwin" else 1024.0 * 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def processor() -> str:
    """Return the name of this machine's processor, as precisely as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def free_memory(where: torch.device) -> int:
    """Return the bytes that are free on a device."""
    import psutil
    import torch

    return torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else psutil.virtual_memory().available


def out_of_memory(error: Exception) -> bool:
    """Say whether an error is about memory: CUDA has a class for that, the CPU and MPS only a message."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return any(words in message for words in ("allocate memory", "not enough memory", "out of memory"))


def release() -> None:
    """Give back what torch keeps of a GPU for later; call it where the exception no longer holds the failed batch."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class FullError(WorkbenchError):
    """Not even one item fits into the memory."""


class Room:
    """How many items are worked on at once: half as many, from then on, where the memory does not suffice.

    Args:
        kind: what an item is called, in the singular; advice: what helps where not even one of them fits.

    Attributes:
        at_once: the most items together, or what they add up to (tokens) where they have sizes; threads may share it.
    """

    def __init__(self, kind: str, at_once: int, advice: str = "lower the batch size or take a smaller model") -> None:
        self.kind, self.at_once, self.advice = kind, at_once, advice

    def fit(self, work: Callable[[Any], Any], items: Sequence, size: int = 1) -> tuple[int, Any]:
        """Return how many of `items`, from the first on, were worked on together, and what `work` made of them.

        size: what one item takes of `at_once`. Raises FullError where one item alone is too large.
        """
        while True:
            some = items[: max(1, self.at_once // size)]
            try:
                return len(some), work(some)
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not out_of_memory(error):
                    raise
            release()
            self._halve(len(some), size)

    def each(self, work: Callable[[Any], Any], items: Sequence, size: int = 1) -> Iterator[Any]:
        """Yield what `work` makes of all `items`, as many at a time as fit; raises as `fit` does."""
        while len(items):
            count, result = self.fit(work, items, size)
            yield result
            items = items[count:]

    def _halve(self, count: int, size: int) -> None:
        if count == 1:
            raise FullError(f"not even one {self.kind} fits into the memory; {self.advice}")
        if count // 2 * size < self.at_once:  # else another thread has halved it, and said so
            self.at_once = count // 2 * size
            log.warning("%d %ss at once do not fit into the memory; from here on %d", count, self.kind, count // 2)
