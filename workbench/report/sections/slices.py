"""The section on slices: the best model's worst ones first, then every slice of the shown models, folded by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from workbench.comparison.parts.slices import TESTED, loss
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.rows.parts import RateTest, SliceRow
from workbench.metrics.table import METRICS
from workbench.report import wording
from workbench.report.section import Section, addressed, left_out, shown_models, table

SHOWN = 15
_WORDS = {"author_age": "author's account age, days", "length": "length, characters", "identity": "mentions"}


class _Finding(NamedTuple):
    """A slice and a rate of it that is worse than in the rest; loss: by how much, at least."""

    row: SliceRow
    rate: str
    test: RateTest
    loss: float


def slices(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Return where the best model does worse than on the rest of the test posts; None without slices."""
    rows, best = comparison.slices, comparison.chosen
    mine = [row for row in rows if row.model == best]
    if not mine:
        return None
    findings = sorted(_findings(mine), key=lambda entry: -entry.loss)
    shown, every, tables = shown_models(comparison), {}, {}
    for test in comparison.tests:
        worst = [entry for entry in findings if entry.row.test == test][:SHOWN]
        tables |= {wording.caption(comparison, f"{best}, worst first", test): _worst(worst)} if worst else {}
        there = [row for row in rows if row.test == test]
        for name in _columns([row for row in mine if row.test == test]):
            every[wording.caption(comparison, f"{_column(name)}: every slice", test)] = _full(there, name, shown)
    prose = _prose(comparison, findings, mine) + left_out(comparison)
    return Section("slices", "Where does it do worse?", prose, {}, tables, folded=every)


def _findings(rows: Sequence[SliceRow]) -> Iterator[_Finding]:
    """Yield each slice's tested rates that differ for the worse."""
    for row in rows:
        for rate in TESTED:
            test = getattr(row, rate)
            if test.p is not None and METRICS[rate].sign * test.delta < 0:
                yield _Finding(row, rate, test, loss(test, rate))


def _prose(comparison: Comparison, findings: Sequence[_Finding], rows: Sequence[SliceRow]) -> str:
    best, alpha = comparison.chosen, comparison.compare.alpha
    tests = sum(getattr(row, rate).p is not None for row in rows for rate in TESTED)
    sure = [entry for entry in findings if entry.test.p_holm is not None and entry.test.p_holm < alpha]
    few = len({(row.test, row.column, row.slice, row.label) for row in rows if row.few})
    posts = "test posts" if wording.alone(comparison) else "posts of each compared test set"
    prose = (
        f"{best} on every part of all {posts} against the rest of them: {tests} comparisons of recall and false "
        "positive rate at its own thresholds, the p of each corrected for all of them (Holm)."
    )
    if not tests:
        prose += " No slice holds enough of both kinds of posts, so nothing can be said."
    elif sure:
        most = sure[0]
        on = "" if wording.alone(comparison) else f" on {wording.test_set(most.row.test)}"
        prose += (
            f" {len(sure)} {'is' if len(sure) == 1 else 'are'} shown to be worse; most of all {_name(most.row)}{on}: "
            f"{wording.metric(most.rate)} {wording.value(most.rate, most.test.value)} against "
            f"{wording.value(most.rate, most.test.rest)} "
            f"({wording.label(most.row.label)})."
        )
    else:
        prose += " None is shown to be worse, which with small slices is no proof that all are served alike."
    if tests:
        prose += " The order is by the difference that is sure, the nearer end of its interval."
    prose += " Posts count once each, whatever they stand for on the site." if wording.weighted(comparison) else ""
    return prose + (f" In {few} cases a slice has few positives and recall is not tested." if few else "")


def _worst(findings: Sequence[_Finding]) -> pd.DataFrame:
    lines = [
        {
            "label": wording.label(entry.row.label),
            "rate": wording.column(entry.rate),
            "there": wording.value(entry.rate, entry.test.value),
            "elsewhere": wording.value(entry.rate, entry.test.rest),
            "difference": _difference(entry.test),
            "p (Holm)": wording.p(entry.test.p_holm),
            "posts": wording.count(entry.row.n),
            "positives": wording.count(entry.row.positives),
        }
        for entry in findings
    ]
    frame = pd.DataFrame(lines, index=[_name(entry.row) for entry in findings])
    return addressed(frame, [f"{entry.row.address}/{entry.rate}" for entry in findings], {"there": ""})


def _full(rows: Sequence[SliceRow], column: str, shown: Sequence[str]) -> pd.DataFrame:
    chosen = [row for row in rows if row.column == column and row.model in shown]
    chosen.sort(key=lambda row: (row.label, row.slice, shown.index(row.model)))
    lines = {
        (wording.label(row.label), row.slice, row.model): {
            "posts": wording.count(row.n),
            "positives": f"{row.positives:,}{' few' if row.few else ''}",
            **{wording.column(name): wording.interval(getattr(row, name), name) for name in ("precision", "recall")},
            "recall, difference": _difference(row.recall),
            "p (Holm)": wording.p(row.recall.p_holm),
            wording.column("false_positive_rate"): wording.interval(row.false_positive_rate, "false_positive_rate"),
            "its difference": _difference(row.false_positive_rate),
            "its p (Holm)": wording.p(row.false_positive_rate.p_holm),
            **{
                wording.column(name): wording.interval(getattr(row, name), name)
                for name in ("average_precision", "roc_auc")
            },
        }
        for row in chosen
    }
    cells = {wording.column(name): name for name in ("precision", *TESTED, "average_precision", "roc_auc")}
    return table(lines, [row.address for row in chosen], cells)


def _difference(entry: RateTest) -> str:
    return wording.span(entry.delta, entry.delta_lo, entry.delta_hi, sign="+")


def _columns(rows: Sequence[SliceRow]) -> list[str]:
    return list(dict.fromkeys(row.column for row in sorted(rows, key=lambda row: row.column)))


def _column(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _name(row: SliceRow) -> str:
    return f"{_column(row.column)}: {row.slice.replace('_', ' ')}"
