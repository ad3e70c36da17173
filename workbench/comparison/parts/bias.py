"""What mentions of groups of people do to a model's scores: the AUCs of `metrics.bias` per identity, with intervals.

Identities come from the facts of posts (`facts`), found by `data/identities.yaml`. All posts of a test
set take part, as in slices; those that a model cannot see rank by the label's prevalence in training. An identity with
fewer than `few` harmful or harmless posts that mention it is marked few, has no intervals, comes last and is left out
of the summary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.comparison.options import CompareOptions
from workbench.comparison.predictions import Run
from workbench.comparison.resampled import Cell, Seen, in_large_blocks, spanned
from workbench.comparison.rows import Interval
from workbench.comparison.rows.parts import Bias, BiasSummary, IdentityRow
from workbench.metrics import bias
from workbench.metrics.classification import Curve
from workbench.metrics.ranking import Ranking
from workbench.metrics.shares import few_groups


def biased(runs: Sequence[Run], tests: Sequence[str], settings: CompareOptions) -> Bias:
    """Return a row per test set, model, label and identity, and a summary per test set, model and label.

    Lowest BPSN AUC first, few last. An identity without both a harmful and a harmless mention has no row.
    """
    rows, summaries = [], []
    for run, test in ((run, test) for run in runs for test in tests if run.sets[test].identities):
        mentions, cell = run.sets[test].identities, Cell.of(runs, test, "all", settings.seed)
        seen = Seen(run, cell)
        for k, label in enumerate(run.labels):
            counted = _counted(cell, mentions, k, settings.few)
            if not counted or not seen.ranked[k]:
                continue
            draws = _draws(seen, k, {name: mentions[name] for name in counted}, settings.slice_resamples)
            where = {"test": test, "model": run.alias, "label": label}
            for i, (name, counts) in enumerate(counted.items()):
                # a handful of posts has no interval worth the name
                aucs = {
                    kind: Interval(value=drawn[i, 0], lo=None, hi=None)
                    if counts["few"]
                    else Interval(**spanned(drawn[i], alpha=settings.alpha))
                    for kind, drawn in zip(bias.KINDS, draws[1:], strict=True)
                }
                rows.append(IdentityRow(**where, identity=name, **counts, **aucs))
            enough = [i for i, counts in enumerate(counted.values()) if not counts["few"]]
            if enough:
                summaries.append(BiasSummary(**where, **_summary(draws[:, enough], settings.alpha)))
    rows.sort(key=lambda row: (row.few, 2.0 if row.bpsn_auc.value is None else row.bpsn_auc.value))
    return Bias(identities=rows, summaries=summaries)


def _counted(cell: Cell, mentions: dict[str, np.ndarray], k: int, few: int) -> dict[str, dict[str, Any]]:
    """Return identity -> how many posts with a known label mention it, of those with both classes."""
    counts = {name: cell.counted(rows, k) for name, rows in mentions.items()}
    both = {name: of for name, of in counts.items() if of["positives"] and of["negatives"]}
    sides = (cell.y[:, k] & cell.known[:, k], ~cell.y[:, k] & cell.known[:, k])
    worth = {name: [few_groups(cell.groups_of(mentions[name] & side), few) for side in sides] for name in both}
    return {name: of | {"few": any(worth[name])} for name, of in both.items()}


def _draws(seen: Seen, k: int, mentions: dict[str, np.ndarray], resamples: int) -> np.ndarray:
    """Return (1 + KINDS, identities, 1 + resamples): the AUC of all posts, then each kind's, means over seeds."""
    cell, seeds = seen.cell, len(seen.ranks)
    known, y = cell.known[:, k], cell.y[:, k]
    chosen = {(0,): known}  # the AUC of all posts is the same beside every identity
    for m, kind in enumerate(bias.KINDS, start=1):
        chosen |= {(m, i): known & bias.rows_compared(kind, y, rows) for i, rows in enumerate(mentions.values())}
    rankings = [(place, _ranking(seen, s, k, rows)) for place, rows in chosen.items() for s in range(seeds)]

    def statistic(W: np.ndarray) -> np.ndarray:
        values = np.zeros((1 + len(bias.KINDS), len(mentions), W.shape[1]))
        for place, ranking in rankings:
            values[place] += ranking.values(W, (Curve.roc_auc,))[0] / seeds
        return values

    return in_large_blocks(statistic, cell, resamples)


def _ranking(seen: Seen, s: int, k: int, known: np.ndarray) -> Ranking:
    cell = seen.cell
    return Ranking.build(cell.y[:, k], seen.ranks[s, :, k], cell.codes, cell.groups, known=known)


def _summary(draws: np.ndarray, alpha: float) -> dict[str, Any]:
    """Return Jigsaw's summary over the identities of draws (1 + KINDS, identities, 1 + resamples)."""
    aucs = {kind: draws[1 + m] for m, kind in enumerate(bias.KINDS)}
    total = bias.weighted_summary(draws[0, 0], aucs)
    means = {kind: bias.power_mean(values[:, 0]) for kind, values in aucs.items()}
    return {
        "identities": draws.shape[1],
        "overall": draws[0, 0, 0],
        **means,
        "summary": Interval(**spanned(total, alpha=alpha)),
    }
