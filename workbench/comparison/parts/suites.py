"""Functional tests: how often a model decides rightly, one kind of case at a time.

A suite is a set of cases, each written for one *functionality* (negation, counter-speech, a reclaimed slur ...) with
a decision that is right beyond doubt (*gold*). A single number over a suite says how its author mixed it, so the
harmful and the harmless half always stand apart. Cases that differ by one small edit share a *case* id; a model
understands the edit only where it is right about all of them.

Source: Röttger et al. 2021, HateCheck, https://aclanthology.org/2021.acl-long.4 (functionalities, halves, targets);
Gardner et al. 2020, https://aclanthology.org/2020.findings-emnlp.117 (contrast sets and their consistency).
Cases that a study puts in one group (made from one template) are one piece of evidence: intervals go by groups. Where
it declares none each case is its own, and intervals are too narrow for a claim about other templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.comparison.cases import BY
from workbench.comparison.predictions import Run, Scores
from workbench.comparison.rows.parts import SuitePart, SuiteParts, SuiteRow
from workbench.metrics import prevalence
from workbench.metrics.intervals import group_codes, wilson
from workbench.metrics.shares import few_groups

HALVES = ("harmful", "harmless")
ALL = "all"


def measure(
    gold: Any,
    flagged: Any,
    functionality: Sequence[str] | None = None,
    *,
    target: Sequence[str] | None = None,
    case: Sequence[str] | None = None,
    note: Sequence[str] | None = None,
    by: Mapping[str, Sequence[str]] | None = None,
    group: Sequence[str] | None = None,
    alpha: float = 0.05,
    few: int = 20,
) -> SuiteParts:
    """Return how often decisions are right: by half, functionality, target and column, and over whole contrast sets.

    gold (n,): whether a case is harmful; flagged (n,) or (S, n): whether a model says so, S seeds of which the mean
    counts; functionality, target, case, note (n,) strings, "" where there is none; by: further columns (n,), such as
    the language; group (n,): cases of one are one piece of evidence. Every row has `name`, `gold` (a half or "all"),
    `n`, `right`, `value` with its interval `lo`, `hi`, Wilson's of as many cases as the groups are worth, and `few`;
    functionalities keep the suite's order. `contrast` is the row of case ids with two or more cases, right where all of
    them are; None without any.

    >>> found = measure([1, 1, 0], [1, 0, 0], ["threat", "threat", "negation"])
    >>> [(row.name, row.gold, row.n, row.value) for row in found.functionalities]
    [('threat', 'harmful', 2, 0.5), ('negation', 'harmless', 1, 1.0)]
    """
    gold, flagged = np.asarray(gold, dtype=bool), np.atleast_2d(np.asarray(flagged, dtype=bool))
    right = flagged == gold
    share, half = right.mean(axis=0), np.where(gold, *HALVES)
    rules = {"alpha": alpha, "few": few}
    codes = np.arange(len(gold)) if group is None else group_codes(group)[0]
    both = [_row(ALL, ALL, share, codes, **rules)]
    functionalities = [] if functionality is None else _rows(functionality, half, share, codes, **rules)
    if note is not None and functionality is not None:
        notes = dict(zip(functionality, note, strict=True))
        functionalities = [row.model_copy(update={"note": notes[row.name]}) for row in functionalities]
    return SuiteParts(
        halves=[_row(name, name, share[half == name], codes[half == name], **rules) for name in HALVES] + both,
        functionalities=functionalities,
        targets=[] if target is None else _rows(target, half, share, codes, **rules),
        contrast=None if case is None else _contrast(np.asarray(case), right, codes, **rules),
        by={name: _rows(values, half, share, codes, **rules) for name, values in (by or {}).items()},
    )


def _rows(
    names: Sequence[str], half: np.ndarray, share: np.ndarray, codes: np.ndarray, **rules: Any
) -> list[SuitePart]:
    """One row per name and half, in the order in which they first come; "" is no name."""
    names = np.asarray(names)
    pairs = [pair for pair in dict.fromkeys(zip(names.tolist(), half.tolist(), strict=True)) if pair[0]]
    rows = {pair: (names == pair[0]) & (half == pair[1]) for pair in pairs}
    return [_row(name, side, share[some], codes[some], **rules) for (name, side), some in rows.items()]


def _contrast(case: np.ndarray, right: np.ndarray, group: np.ndarray, **rules: Any) -> SuitePart | None:
    """How many contrast sets are right as a whole: `right` (S, n), case (n,); a set is of the group of its first."""
    names, first, codes, counts = np.unique(case, return_index=True, return_inverse=True, return_counts=True)
    sets = (counts > 1) & (names != "")
    if not sets.any():
        return None
    wrong = np.stack([np.bincount(codes, weights=~row, minlength=len(names)) for row in right])
    return _row("contrast sets", ALL, (wrong[:, sets] == 0).mean(axis=0), group[first[sets]], **rules)


def _row(name: str, gold: str, share: np.ndarray, codes: np.ndarray, *, alpha: float, few: int) -> SuitePart:
    """The mean of shares (n,) of cases in groups (n,) with its interval; NaN without a case."""
    n, right = len(share), float(share.sum())
    whole, value = np.bincount(codes), right / n if n else np.nan
    if (whole <= 1).all():  # cases for themselves vary as counts do, which need not be estimated
        lo, hi = wilson(right, n, alpha)
    else:
        _, lo, hi = prevalence.share(np.bincount(codes, weights=share), whole, alpha)
    lo, hi = min(lo, value), max(hi, value)  # at 0 and 1 rounding puts the bound a hair inside
    return SuitePart(name=name, gold=gold, n=n, right=right, value=value, lo=lo, hi=hi, few=few_groups(whole, few))


OWN = "each case's own"


def tested(runs: Sequence[Run], tests: Sequence[str], *, alpha: float, few: int) -> list[SuiteRow]:
    """Return, per suite among `tests`, label and model, what `measure` says at the model's own thresholds.

    Where a suite says which label each case is about, a model is asked for that one and `label` is OWN; else each label
    known in it is a suite of its own. A case that a model cannot see is not flagged; `unseen` counts them.
    """
    records = []
    for test in tests:
        scores = runs[0].sets[test]
        for label, rows, columns in _asked(scores, runs[0].labels):
            given = _given({name: values[rows] for name, values in scores.suite.items() if name != "label"})
            gold = scores.y[rows, columns]
            for run in runs:
                prob = run.sets[test].prob[:, rows, columns]  # (S, cases)
                flagged = prob >= run.cuts(test)[:, rows, columns]  # NaN, on either side, flags nothing
                parts = measure(gold, flagged, **given, group=scores.group[rows], alpha=alpha, few=few)
                unseen = int(np.isnan(prob[0]).sum())
                records.append(SuiteRow(test=test, label=label, model=run.alias, unseen=unseen, **dict(parts)))
    return records


def _given(suite: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what is known of cases as `measure` takes it: columns that only results are told by stand in `by`."""
    by = {name.removeprefix(BY): values for name, values in suite.items() if name.startswith(BY)}
    return {name: values for name, values in suite.items() if not name.startswith(BY)} | {"by": by}


def _asked(scores: Scores, labels: Sequence[str]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return (name of the label, rows (m,), the column of the label for each (m,)) of every suite in a test set."""
    if not scores.suite:
        return []
    told = [values for name, values in scores.suite.items() if name == "functionality"]
    told = told or [values for name, values in scores.suite.items() if name not in ("label", "note")]
    if not told:
        return []
    cases = np.any([values != "" for values in told], axis=0)
    if "label" in scores.suite:
        columns = np.array([labels.index(name) if name in labels else -1 for name in scores.suite["label"]])
        rows = np.flatnonzero(cases & (columns >= 0) & scores.known[np.arange(len(columns)), columns])
        return [(OWN, rows, columns[rows])] if len(rows) else []
    each = [(label, np.flatnonzero(cases & scores.known[:, k]), k) for k, label in enumerate(labels)]
    return [(label, rows, np.full(len(rows), k)) for label, rows, k in each if len(rows)]
