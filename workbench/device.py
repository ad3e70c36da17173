"""One choice of accelerator, one number format and one measure of memory for the whole workbench.

torch is imported when a device is asked for, so that code which only reads results never pays for it.
"""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING

from workbench.schema import WorkbenchError, unknown

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cpu", "cuda", "mps")


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

    CPUs without bf16 instructions emulate them about a hundred times slower, so they keep float32.
    """
    import torch

    if where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


def peak_memory_mb(where: torch.device | None = None) -> dict[str, float]:
    """Return peak memory since the process began in MiB: `host` (resident set) and, on CUDA, `cuda` (allocated)."""
    unit = 1024.0 if sys.platform != "darwin" else 1024.0 * 1024.0
    peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}
    if where is not None and where.type == "cuda":
        import torch

        peak["cuda"] = torch.cuda.max_memory_allocated(where) / 2**20
    return peak
