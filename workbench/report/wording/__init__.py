"""Numbers as people read them, and the answer of a comparison as sentences that its numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.comparison.options import BEST, MACRO
from workbench.comparison.rows import OTHER_POSTS, Comparison, Difference, ModelRow
from workbench.metrics.table import METRICS
from workbench.schema import ROOT


def metric(name: str) -> str:
    """Return what a metric is called in prose."""
    return METRICS[name].words


def column(name: str) -> str:
    """Return what a metric is called over a column of numbers, where long names would widen the table."""
    return METRICS[name].column or METRICS[name].words


def label(name: str) -> str:
    """Return what a label, or the mean over labels, is called in prose."""
    return "mean over labels" if name == MACRO else name


def view(name: str) -> str:
    """Return what a view is called in prose."""
    return {"paired": "posts with text and media", "all": "all posts"}[name]


def plain(value: object) -> str:
    """Return a fact as it is, or a dash where it is not known."""
    return "–" if value is None or value == "" else str(value)


def listed(values: dict[str, Any] | None) -> str:
    """Return names with their values on one line, empty where there are none.

    >>> listed({"encoder": "tiny", "seeds": [0, 1]})
    'encoder tiny, seeds [0, 1]'
    """
    return ", ".join(f"{name} {value}" for name, value in (values or {}).items())


def count(value: float | None) -> str:
    """Return a whole number with its thousands apart, or a dash where it is not known."""
    return "–" if value is None else f"{value:,.0f}"


def counted(n: float, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "post"), counted(2000, "post")
    ('1 post', '2,000 posts')
    """
    return f"{n:,.0f} {what}{'' if n == 1 else 's'}"


def harmful(label_: str, positives: int) -> str:
    """Return how many posts a label holds of; of all labels together it is no number of posts."""
    return counted(positives, "label-post" if label_ == MACRO else "harmful post")


def study(folder: Path) -> str:
    """Return how commands find the study with this folder: by its name in experiments/, elsewhere by its file."""
    folder = Path(folder).resolve()
    return folder.name if folder.parent == ROOT.resolve() / "experiments" else folder.with_suffix(".yaml").as_posix()


def number(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def value(name: str, number_: float | None) -> str:
    """Return a value of a metric with the digits that the metric has, or a dash where it is undefined."""
    return number(number_, METRICS[name].digits)


def quantity(value: float | None) -> str:
    """Return a positive quantity with three digits that count, or a dash where it is not known.

    >>> [quantity(one) for one in (0.00123, 1.5, 12.345, 4321.0, None)]
    ['0.00123', '1.50', '12.3', '4,321', '–']
    """
    if value is None:
        return "–"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in per cent, or a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def p(value: float | None) -> str:
    """Return a p-value, or a dash where there is none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def interval(row: Any, name: str | None = None) -> str:
    """Return `value [lo, hi]` of a row or a part of one, marked `few` where few positives carry it.

    name: of its metric, where the row does not tell; without one it has three digits.
    """
    name = name or getattr(row, "metric", None)
    few, digits = getattr(row, "few", False), METRICS[name].digits if name else 3
    return span(row.value, row.lo, row.hi, few=few, digits=digits)


def difference(row: Any) -> str:
    """Return `+delta [lo, hi]` of a row that compares two values of a metric."""
    return span(row.delta, row.lo, row.hi, few=row.few, digits=METRICS[row.metric].digits, sign="+")


def amount(row: Any) -> str:
    """Return `delta [lo, hi]` of a difference without its sign, for words that say which side is ahead."""
    bounds = None, None
    if row.lo is not None and row.hi is not None:
        bounds = (row.lo, row.hi) if row.delta > 0 else (-row.hi, -row.lo)
    return span(abs(row.delta), *bounds, few=row.few, digits=METRICS[row.metric].digits)


def span(
    value: float | None, lo: float | None, hi: float | None, *, few: bool = False, digits: int = 3, sign: str = ""
) -> str:
    """Return `value [lo, hi]`, a dash where the value is undefined.

    >>> span(0.5, 0.25, None, sign="+"), span(0.5, 0.25, 0.75, few=True, digits=2)
    ('+0.500', '0.50 [0.25, 0.75] few')
    """
    if value is None:
        return "–"
    bounds = "" if lo is None or hi is None else f" [{lo:{sign}.{digits}f}, {hi:{sign}.{digits}f}]"
    return f"{value:{sign}.{digits}f}{bounds}{' few' if few else ''}"


def sides(row: Difference) -> tuple[str, str]:
    """Return both models of a difference, the one that stands for the best unimodal marked so."""
    a, b = (
        f"{model} (best unimodal)" if named == BEST else model
        for model, named in zip((row.a, row.b), row.pair, strict=True)
    )
    return a, b


def answer(comparison: Comparison) -> Iterator[str]:
    """Yield the sentences that answer a study's question; each follows from one row of the comparison."""
    asked, rows = comparison.compare, comparison.rows()
    row = next((row for row in rows if row.model == comparison.chosen), None)
    yield from _chosen(row, comparison) if row else [_nothing(comparison)]
    for row in (row for row in comparison.differences if row.primary):
        yield verdict(row, asked.alpha)
    if any(row.few for row in rows if row.value is not None):
        yield "Some label has few positives in the test set, so these numbers are uncertain beyond their intervals."
    yield from coverage(comparison)
    yield from doubts(comparison)


def weighted(comparison: Comparison) -> bool:
    """Return whether the test posts stand for unequal numbers of the site's."""
    return bool(comparison.rows(metric="recall_site", label=None, view="all"))


def coverage(comparison: Comparison) -> Iterator[str]:
    """Yield which models could not score all posts that they are compared on, and how such posts count."""
    part = {row.model: row.coverage for row in comparison.rows() if row.coverage is not None and row.coverage < 1}
    if part:
        # rounded down: a model that left posts out did not score 100 %
        some = ", ".join(f"{model} scored {math.floor(1000 * share) / 10:.1f} %" for model, share in part.items())
        yield (
            f"{some} of these posts; the others count with the share of harm in training when posts are ranked, and as "
            "not flagged."
        )


def doubts(comparison: Comparison) -> Iterator[str]:
    """Yield what speaks against the numbers of some models, or is missing beside them."""
    tripped = sorted({row.model for row in comparison.leak_test if row.tripped})
    if tripped:
        scores = "scores better than its inputs" if len(tripped) == 1 else "score better than their inputs"
        yield f"Do not trust this yet: {', '.join(tripped)} {scores} allow, which points to a leak."
    if comparison.stale:
        names = ", ".join(run.model for run in comparison.stale)
        again = "run the study again, with --stale-libraries where only those have"
        yield f"Out of date, since code, options, data or libraries have changed: {names}; {again}."
    for why, other in (("are not finished", False), ("scored other posts", True)):
        if names := ", ".join(run.model for run in comparison.missing if (run.state == OTHER_POSTS) is other):
            yield f"Not compared, because their runs {why}: {names}."


def _nothing(comparison: Comparison) -> str:
    what, asked = metric(comparison.compare.metric), comparison.compare
    if any(row.value is not None for row in comparison.rows()):
        return f"No model has a value of {what} on validation posts, so none is chosen."
    return f"No model has a value of {what} on {view(asked.view)}: there are too few labelled posts, or no threshold."


def _chosen(row: ModelRow, comparison: Comparison) -> Iterator[str]:
    """Say that the model chosen on validation is best, where tests show it, else which ones may be as good."""
    where, sign = view(row.view), METRICS[row.metric].sign
    others = [name for name in comparison.names if name != row.model]
    if set(others) & set(comparison.peers):
        rest = f"; every other model is worse than {row.model}" if len(comparison.peers) < len(others) else ""
        yield (
            f"On {where} no model is shown to be best: {row.model}, which validation would choose, is not shown to be "
            f"better than {named(comparison.peers)}{rest}."
        )
        return
    what = f"{metric(row.metric)} {interval(row)}"
    less = ", of which less is better" if sign < 0 else ""
    lead = "is best" if others else "was compared with nothing"
    yield f"On {where}, {row.model}, chosen on validation, {lead}: {what} ({label(row.label)}{less})."
    if row.ceiling:
        best = value(row.metric, row.ceiling)
        exact = "the world's exact probabilities with the same inputs"
        share = f"That is {percent(row.value / row.ceiling)} of what {exact} reach on these posts ({best})."
        yield share if sign > 0 else f"On these posts {exact} have {best}."


def named(names: Sequence[str]) -> str:
    """Return names as a list in prose.

    >>> named(["a", "b", "c"])
    'a, b or c'
    """
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def verdict(row: Difference, alpha: float) -> str:
    """Return one sentence on one primary difference."""
    a, b = sides(row)
    if row.a == row.b:
        return f"{row.a} is itself the best unimodal model, so it is not compared with it."
    if row.delta is None:
        return f"Between {a} and {b} nothing can be said: a value is undefined."
    sign, p_holm = METRICS[row.metric].sign, row.p_holm
    if row.verdict in ("better", "worse"):
        how = "beats" if sign * row.delta > 0 else "is worse than"
        return f"{a} {how} {b} by {amount(row)}, p {equals(p_holm)} after correction."
    tested = f"no difference is shown (p {equals(p_holm)})" if p_holm is not None else "which could not be tested"
    within, less = row.equivalent_within, " (less is better)" if sign < 0 else ""
    most = value(row.metric, within)
    sure = "" if within is None else f"; with {100 * (1 - alpha):g} % confidence it is at most {most}"
    return f"{a} against {b}: {difference(row)}{less}, {tested}{sure}."


def equals(value: float) -> str:
    """Return a p-value as it stands behind its p: `= 0.043` or `< 0.001`."""
    text = p(value)
    return text if text.startswith("<") else f"= {text}"
