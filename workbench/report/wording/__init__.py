"""Numbers as people read them, and the answer of a comparison as sentences that its numbers carry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from workbench.comparison.options import BEST, MACRO, MAIN, SCORED
from workbench.comparison.rows import OTHER_POSTS, Comparison, Difference
from workbench.metrics.table import METRICS


def metric(name: str) -> str:
    """Return what a metric is called in prose."""
    return METRICS[name].words


def column(name: str) -> str:
    """Return what a metric is called over a column of numbers, where long names would widen the table."""
    return METRICS[name].column or METRICS[name].words


def label(name: str) -> str:
    """Return what a label, or the mean over labels, is called in prose."""
    return "mean over labels" if name == MACRO else name


def measured_on(row: Any) -> str:
    """Return of which label a row, or what was asked for, has a value of its metric: one, or in which way all."""
    return "all labels together" if METRICS[row.metric].over_labels else label(row.label)


def view(name: str) -> str:
    """Return what a view is called in prose."""
    return {"paired": "posts with text and media", "all": "all posts", SCORED: "posts that every model scored"}[name]


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


def gained(row: Any, alias: str) -> str:
    """Return `+delta [lo, hi]` of a difference as seen from one of its models."""
    sign = 1 if row.a == alias else -1
    lo, hi = (None, None) if row.lo is None else sorted((sign * row.lo, sign * row.hi))
    return span(sign * row.delta, lo, hi, few=row.few, digits=METRICS[row.metric].digits, sign="+")


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
    """Yield the sentences that answer a study's question; each follows from rows of the comparison."""
    if alone(comparison):
        yield from _best(comparison, comparison.tests[0])
        yield from verdicts(comparison)
    else:
        yield from _best_across(comparison)
        yield from _across(comparison)
    values = [row for test in comparison.tests for row in comparison.rows(test=test) if row.value is not None]
    if few := dict.fromkeys(row.test for row in values if row.few):
        where = "the test set" if alone(comparison) else listing(map(test_set, few), "and")
        yield f"Some label has few positives in {where}, so these numbers are uncertain beyond their intervals."
    yield from coverage(comparison) if alone(comparison) else _covered(comparison)
    yield from doubts(comparison)


def alone(comparison: Comparison) -> bool:
    """Return whether a study compares its own test set and no other, which then needs no name."""
    return comparison.tests == (MAIN,)


def test_set(name: str) -> str:
    """Return what a test set is called in prose."""
    return "the study's own test set" if name == MAIN else name


def caption(comparison: Comparison, what: str, test: str) -> str:
    """Return the heading of what stands on one test set, which is named where there are others."""
    return what if alone(comparison) else ", ".join(filter(None, (what, test_set(test))))


def verdicts(comparison: Comparison) -> Iterator[str]:
    """Yield a sentence on each primary difference; of several test sets it names its own."""
    for row in (row for row in comparison.differences if row.primary):
        on = "" if alone(comparison) else f"On {test_set(row.test)}: "
        yield on + verdict(row, comparison.compare.alpha)


def weighted(comparison: Comparison) -> bool:
    """Return whether posts of a compared test set stand for unequal numbers of the site's."""
    return any(comparison.rows(test=test, metric="recall_site", label=None, view="all") for test in comparison.tests)


def coverage(comparison: Comparison) -> Iterator[str]:
    """Yield which models could not score all posts that they are compared on, how such posts count, and what is left.

    Beside the values on all posts stand those on the posts that every model scored, where there are any.
    """
    for test in comparison.tests:
        rows = [row for row in comparison.rows(test=test) if row.coverage is not None]
        posts = "these posts" if alone(comparison) else f"the posts of {test_set(test)}"
        none = [row.model for row in rows if row.coverage == 0]
        if none:
            yield f"{listing(none, 'and')} scored none of {posts}."
        part = {row.model: row.coverage for row in rows if 0 < row.coverage < 1}
        if part:
            # rounded down: a model that left posts out did not score 100 %
            some = ", ".join(f"{model} scored {math.floor(1000 * share) / 10:.1f} %" for model, share in part.items())
            how = "the others count with the share of harm in training when posts are ranked, and as not flagged."
            yield " ".join([f"{some} of {posts}; {how}", *_on_scored(comparison, test)])


def _covered(comparison: Comparison) -> Iterator[str]:
    """Say in a sentence which models left out posts of which test sets, and where that is told in full."""
    shares: dict[str, list[str]] = {}
    for row in (row for test in comparison.tests for row in comparison.rows(test=test)):
        if row.coverage is not None and row.coverage < 1:
            shares.setdefault(row.model, []).append(
                f"{math.floor(1000 * row.coverage) / 10:.1f} % of {test_set(row.test)}"
            )
    if shares:
        some = "; ".join(f"{model} scored {listing(of, 'and')}" for model, of in shares.items())
        yield f"{some}: what all models are worth on the posts that each of them scored stands below."


def _on_scored(comparison: Comparison, test: str) -> Iterator[str]:
    """What models are worth on the posts that all of them scored: the fair comparison with those that left some out."""
    rows = [row for row in comparison.rows(test=test, view=SCORED) if row.value is not None]
    if rows:
        values = ", ".join(f"{row.model} {interval(row)}" for row in rows)
        yield f"On the {counted(rows[0].n, 'post')} that every model scored {metric(rows[0].metric)} is: {values}."


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


def _nothing(comparison: Comparison, test: str) -> str:
    what, posts = metric(comparison.compare.metric), _posts(comparison, test)
    if any(row.value is not None for row in comparison.rows(test=test)):
        return f"No model has a value of {what} on validation posts, so none is chosen."
    return f"No model has a value of {what} on {posts}: there are too few labelled posts, or no threshold."


def _posts(comparison: Comparison, test: str) -> str:
    posts = view(comparison.compare.view)
    return posts if alone(comparison) else f"{posts} of {test_set(test)}"


def _best(comparison: Comparison, test: str) -> Iterator[str]:
    """Say that the model chosen on validation is best, where tests show it, else which ones may be as good."""
    row = next((row for row in comparison.rows(test=test) if row.model == comparison.chosen), None)
    if row is None:
        yield _nothing(comparison, test)
        return
    where, sign = _posts(comparison, test), METRICS[row.metric].sign
    others, peers = [name for name in comparison.names if name != row.model], comparison.peers.get(test, ())
    if set(others) & set(peers):
        rest = f"; every other model is worse than {row.model}" if len(peers) < len(others) else ""
        yield (
            f"On {where} no model is shown to be best: {row.model}, which validation would choose, is not shown to be "
            f"better than {named(peers)}{rest}."
        )
        return
    what = f"{metric(row.metric)} {interval(row)}"
    less = ", of which less is better" if sign < 0 else ""
    lead = "is best" if others else "was compared with nothing"
    yield f"On {where}, {row.model}, chosen on validation, {lead}: {what} ({measured_on(row)}{less})."
    if row.ceiling:
        best = value(row.metric, row.ceiling)
        exact = "the world's exact probabilities with the same inputs"
        share = f"That is {percent(row.value / row.ceiling)} of what {exact} reach on these posts ({best})."
        yield share if sign > 0 else f"On these posts {exact} have {best}."


def _best_across(comparison: Comparison) -> Iterator[str]:
    """Say what the model chosen on validation is worth on each compared test set, and on which of them it is best."""
    rows = [next((r for r in comparison.rows(test=t) if r.model == comparison.chosen), None) for t in comparison.tests]
    if None in rows or all(row.value is None for row in rows):
        yield _nothing(comparison, comparison.tests[0])
        return
    values = "; ".join(
        f"{interval(row) if row.value is not None else 'undefined'} on {test_set(row.test)}" for row in rows
    )
    less = ", of which less is better" if METRICS[rows[0].metric].sign < 0 else ""
    what = f"{metric(rows[0].metric)} ({measured_on(rows[0])}{less})"
    yield f"{comparison.chosen}, chosen on validation, has on {view(comparison.compare.view)} {what} {values}."
    defined = [row.test for row in rows if row.value is not None]
    equal = {test: named(comparison.peers.get(test) or [""]) for test in defined}
    best = [test for test in defined if not equal[test]]
    if len(comparison.names) > 1 and best:
        yield f"It is shown to be best on {listing(map(test_set, best), 'and')}."
    for models in dict.fromkeys(filter(None, equal.values())):
        tests = listing((test_set(test) for test in defined if equal[test] == models), "and")
        yield f"On {tests} it is not shown to be better than {models}."


def _across(comparison: Comparison) -> Iterator[str]:
    """Yield a sentence per planned pair of models: on which test sets which is ahead, and where nothing is shown."""
    primary = [row for row in comparison.differences if row.primary and row.a != row.b]
    for pair in dict.fromkeys(row.pair for row in primary):
        rows, on = [row for row in primary if row.pair == pair], {}
        for row in rows:
            on.setdefault(_shown(row), []).append(test_set(row.test))
        whole = len(on) == 1 < len(rows)
        clauses = (f"{how} on {'every set' if whole else listing(sets, 'and')}" for how, sets in on.items())
        yield f"{' against '.join(sides(rows[0]))}: {'; '.join(clauses)}."
    if any(row.p_holm is not None for row in primary):
        yield "Every p is corrected for all pairs on all sets together."


def _shown(row: Difference) -> str:
    """What is shown of a primary difference, in a word or two."""
    if row.delta is None or row.p_holm is None:
        return "could not be tested"
    if row.verdict not in ("better", "worse"):
        return "no difference is shown"
    return "better" if METRICS[row.metric].sign * row.delta > 0 else "worse"


def listing(names: Iterable[str], last: str = "or") -> str:
    """Return names as a list in prose.

    >>> listing(["a", "b", "c"], "and")
    'a, b and c'
    """
    *most, end = names
    return f"{', '.join(most)} {last} {end}" if most else end


def named(names: Sequence[str]) -> str:
    """Return names of which one is meant.

    >>> named(["a", "b", "c"])
    'a, b or c'
    """
    return listing(names, "or")


def verdict(row: Difference, alpha: float) -> str:
    """Return one sentence on one primary difference."""
    a, b = sides(row)
    if row.a == row.b:
        return f"{row.a} is itself the best unimodal model, so it is not compared with it."
    if row.delta is None:
        return f"Between {a} and {b} nothing can be said: {_undefined(row)}."
    sign, p_holm = METRICS[row.metric].sign, row.p_holm
    if row.verdict in ("better", "worse"):
        how = "beats" if sign * row.delta > 0 else "is worse than"
        return f"{a} {how} {b} by {amount(row)}, p {equals(p_holm)} after correction."
    tested = f"no difference is shown (p {equals(p_holm)})" if p_holm is not None else "which could not be tested"
    within, less = row.equivalent_within, " (less is better)" if sign < 0 else ""
    most = value(row.metric, within)
    sure = "" if within is None else f"; with {100 * (1 - alpha):g} % confidence it is at most {most}"
    return f"{a} against {b}: {difference(row)}{less}, {tested}{sure}."


def _undefined(row: Difference) -> str:
    """Say why a difference is undefined, where the posts' labels alone do."""
    if row.label != MACRO and row.n and row.positives in (0, row.n):
        return f"{'all' if row.positives else 'none'} of {counted(row.n, 'test post')} are harmful"
    return "a value is undefined"


def equals(value: float) -> str:
    """Return a p-value as it stands behind its p: `= 0.043` or `< 0.001`."""
    text = p(value)
    return text if text.startswith("<") else f"= {text}"
