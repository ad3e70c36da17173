"""Functional tests of a study: what each model does on the cases of every further test set that is a suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.evidence import suites
from workbench.studies.predictions import Run, Scores

OWN = "each case's own"


def tested(runs: Sequence[Run], tests: Sequence[str], *, alpha: float, few: int) -> list[dict[str, Any]]:
    """Return, per suite among `tests`, label and model, what `suites.measure` says at the model's own thresholds.

    Where a suite says which label each case is about, a model is asked for that one and `label` is OWN; else each label
    known in it is a suite of its own. A case that a model cannot see is not flagged; `unseen` counts them.
    """
    found = []
    for test in tests:
        scores = runs[0].sets[test]
        for label, rows, columns in _asked(scores, runs[0].labels):
            told = {name: values[rows] for name, values in scores.suite.items() if name != "label"}
            gold = scores.y[rows, columns]
            for run in runs:
                prob = run.sets[test].prob[:, rows, columns]  # (S, cases)
                flagged = prob >= run.thresholds[:, columns]  # NaN, on either side, flags nothing
                measured = suites.measure(gold, flagged, **told, alpha=alpha, few=few)
                unseen = int(np.isnan(prob[0]).sum())
                found.append({"test": test, "label": label, "model": run.alias, "unseen": unseen, **measured})
    return found


def _asked(scores: Scores, labels: Sequence[str]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (name of the label, rows (m,), the column of the label for each (m,)) of every suite in a test set."""
    if not scores.suite:
        return []
    cases = scores.suite["functionality"] != ""
    if "label" in scores.suite:
        columns = np.array([labels.index(one) if one in labels else -1 for one in scores.suite["label"]])
        rows = np.flatnonzero(cases & (columns >= 0) & scores.known[np.arange(len(columns)), columns])
        return [(OWN, rows, columns[rows])] if len(rows) else []
    each = [(label, np.flatnonzero(cases & scores.known[:, k]), k) for k, label in enumerate(labels)]
    return [(label, rows, np.full(len(rows), k)) for label, rows, k in each if len(rows)]
