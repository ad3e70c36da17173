"""The same work for many models, on all cores where there is enough of it to pay for the processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from joblib import Parallel, cpu_count, delayed

_MUCH = 2e8  # resampled scores that take one core some seconds
Item, Found = TypeVar("Item"), TypeVar("Found")


def each(work: Callable[[Item], Found], items: Sequence[Item], size: float) -> list[Found]:
    """Return work(item) for every item, in their order; `work` and items must be picklable.

    size: how many scores are resampled in all, from which it follows whether other processes are worth it.
    """
    jobs = min(cpu_count(), len(items))
    if jobs < 2 or size < _MUCH:
        return [work(item) for item in items]
    return Parallel(n_jobs=jobs)(delayed(work)(item) for item in items)
