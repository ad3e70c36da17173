"""The runs of one model on the folds of its posts, told as one run: what each says of itself, put together.

Counts are sums, since each post is tested once and validates at most one fold's model; times and sizes of a training
are means. What is told by seed is told by seed and fold. Of what crosses the split each relation is that of the fold in
which most does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.comparison.run_files import Metrics, RunRecord
from workbench.errors import WorkbenchError

_COUNTED = ("validation", "test")  # sets of which each fold has its own part


def check(alias: str, records: Sequence[RunRecord]) -> None:
    """Raise WorkbenchError unless records are of all folds, each once."""
    folds = records[0].inputs.get("parameter split.folds")
    found = sorted(record.fold for record in records if record.fold is not None)
    if folds is None or found != [*range(folds)]:
        there = ", ".join(map(str, found)) or "none"
        raise WorkbenchError(
            f"{alias!r} was to be tested in {folds} folds, and has finished runs of these: {there}; `workbench run "
            "STUDY` makes what is missing"
        )


def record(records: Sequence[RunRecord]) -> RunRecord:
    """Return the record of all folds: the first one's, with what adds up or is a mean of all."""
    dirty = {one.dirty for one in records}
    about: dict[str, Any] = {
        "dirty": True if True in dirty else None if None in dirty else False,
        "n_train": _mean([one.n_train for one in records], whole=True),
        "seconds": None if None in (times := [one.seconds for one in records]) else sum(times),
    }
    return records[0].model_copy(update=about)


def metrics(every: Sequence[Metrics]) -> Metrics:
    """Return what all folds measured, those of the first where they do not differ by design."""
    last = every[-1]
    about = {
        "thresholds": _by_training([one.thresholds for one in every]),
        "calibration": _by_training([one.calibration for one in every]),
        "removal": _by_training([one.removal for one in every]),
        "n_train": _mean([one.n_train for one in every], whole=True),
        "overlap": {
            name: max((one.overlap[name] for one in every if name in one.overlap), key=lambda found: found.overlap)
            for name in last.overlap
        },
        "labelled": {
            name: _summed([one.labelled.get(name, {}) for one in every]) if name in _COUNTED else last.labelled[name]
            for name in last.labelled
            if name != "train"  # what one fold trains on, another tests
        },
        "noticed": tuple(dict.fromkeys(line for one in every for line in one.noticed)),
        "warned": tuple(dict.fromkeys(line for one in every for line in one.warned)),
        "unread": {
            name: _summed([one.unread.get(name, {}) for one in every]) if name in _COUNTED else last.unread[name]
            for name in last.unread
        },
    }
    return every[0].model_copy(update=about)


def costs(every: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return what a model takes: means over folds, None where one does not tell."""
    return {name: _mean([one[name] for one in every]) for name in every[0]}


def _by_training(every: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return label -> seed and fold -> entry from label -> seed -> entry of each fold."""
    labels = dict.fromkeys(label for one in every for label in one)
    return {
        label: {
            f"{seed} of fold {fold}": entry
            for fold, one in enumerate(every)
            for seed, entry in one.get(label, {}).items()
        }
        for label in labels
    }


def _summed(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return nested counts added up."""
    keys = dict.fromkeys(key for one in counts for key in one)
    total: dict[str, Any] = {}
    for key in keys:
        there = [one[key] for one in counts if key in one]
        total[key] = _summed(there) if isinstance(there[0], Mapping) else sum(there)
    return total


def _mean(values: Sequence[float | None], *, whole: bool = False) -> Any:
    if None in values:
        return None
    mean = float(np.mean(values))
    return round(mean) if whole else mean
