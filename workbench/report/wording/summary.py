"""One page in plain words: what was asked, what people would notice, how sure it is, what could be wrong, the cost.

Every sentence follows from a row of the comparison or from a run's record; where those say nothing, so does the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, ModelRow
from workbench.report import wording

_KINDS = {"group": "groups", "text": "texts", "image": "pictures", "video": "clips"}


def points(comparison: Comparison, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return heading -> sentences; headings with nothing to say are left out."""
    asked = comparison.compare
    best = wording.best(_rows(comparison, asked.label, asked.metric))
    answers = {
        "What was asked": list(_asked(comparison)),
        "What people would notice": list(_noticed(comparison, best.model)) if best else [],
        "How sure is this?": list(_sure(comparison)),
        "What could be wrong?": list(_wrong(comparison, runs)),
        "What does it cost?": list(_cost(comparison, best.model)) if best else [],
    }
    return {heading: sentences for heading, sentences in answers.items() if sentences}


def _rows(comparison: Comparison, label: str, metric: str) -> list[ModelRow]:
    """The rows of every model for one label and metric, on the test set and view that the study asks about."""
    place = (MAIN, comparison.compare.view, label, metric)
    return [row for row in comparison.models if (row.test, row.view, row.label, row.metric) == place]


def _row(comparison: Comparison, model: str, label: str, metric: str) -> ModelRow | None:
    return next((row for row in _rows(comparison, label, metric) if row.model == model), None)


def _asked(comparison: Comparison) -> Iterator[str]:
    asked = comparison.compare
    models = list(dict.fromkeys(row.model for row in comparison.models))
    what = f"{wording.metric(asked.metric)} ({wording.label(asked.label)})"
    yield (
        f"{_counted(len(models), 'model')} ({', '.join(models)}) scored the same {wording.view(asked.view)}; "
        f"{what} decides."
    )


def _noticed(comparison: Comparison, model: str) -> Iterator[str]:
    """Per label: what of 100 harmful posts is caught and what of 100 flagged ones is harmless, with intervals."""
    noticed = False
    for label in comparison.labels:
        recall = _row(comparison, model, label, "recall")
        if recall is None or recall.value is None:
            continue
        noticed = True
        site = _row(comparison, model, label, "precision_site")
        precision = site or _row(comparison, model, label, "precision")
        few = f" Only {_counted(recall.positives, 'harmful post')} to judge by." if recall.few else ""
        yield f"{label.capitalize()}: of 100 harmful posts {_of_100(recall)} caught; {_flagged(precision, site)}.{few}"
    if noticed:
        yield f"That is {model} at the thresholds chosen on validation; in brackets, what other posts could have shown."


def _of_100(row: ModelRow, *, rest: bool = False) -> str:
    """`87 [80 to 92] are` of a share, or of what it leaves of 1."""
    ends = [None if end is None else 1 - end if rest else end for end in (row.value, row.lo, row.hi)]
    value, low, high = ends if not rest else (ends[0], ends[2], ends[1])
    span = "" if low is None else f" [{100 * low:.0f} to {100 * high:.0f}]"
    verb = "is" if round(100 * value) == 1 else "are"
    return f"{_hundredths(value)}{span} {verb}"


def _hundredths(share: float) -> str:
    """A share as a number of 100, never a round 0 or 100 that is not exact."""
    if 0 < share < 0.005:
        return "fewer than 1"
    return "more than 99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _flagged(precision: ModelRow | None, site: ModelRow | None) -> str:
    """What is harmless among 100 flagged posts, and at which share of harmful posts that holds."""
    if precision is None or precision.value is None:
        return "nothing is flagged"
    share = wording.percent(precision.prevalence)
    where = f"at the site's own mix ({share} harmful)" if site else f"where {share} of posts are harmful, as here"
    return f"of 100 flagged posts {_of_100(precision, rest=True)} harmless {where}"


def _sure(comparison: Comparison) -> Iterator[str]:
    asked = comparison.compare
    row = next(iter(_rows(comparison, asked.label, asked.metric)), None)
    if row is not None:
        yield (
            f"The numbers rest on {_counted(row.n, 'test post')} with {_counted(row.positives, 'positive')}; "
            f"intervals of {100 * (1 - asked.alpha):g} % say how far they would move on other posts like these."
        )
    for entry in comparison.differences:
        if entry.primary and entry.delta is not None and entry.p_holm is not None and entry.a != entry.b:
            p, names = wording.equals(entry.p_holm), " and ".join(wording.sides(entry))
            chance = "hardly chance" if entry.p_holm < asked.alpha else "possibly chance"
            yield f"The difference between {names} is {chance} (p {p} after correction for all that was asked)."
    spread = [entry.seed_sd for entry in _rows(comparison, asked.label, asked.metric) if entry.seed_sd is not None]
    if spread:
        yield f"Training with another seed moved a model's value by {max(spread):.3f} at most (standard deviation)."
    elif row is not None:
        yield "Each model was trained once, so nothing is known of how far training again would move it."


def _wrong(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    """What limits the answer, worst first."""
    tripped = sorted({row.model for row in comparison.leak_test if row.tripped})
    if tripped:
        yield f"A leak is likely: {', '.join(tripped)} did better than the inputs allow."
    yield from _overlaps(runs)
    for label in comparison.labels:
        rows = _rows(comparison, label, "recall")
        if rows and not rows[0].positives:
            yield f"{label.capitalize()}: none of {rows[0].n:,} posts is harmful, so nothing can be said of it."
        elif rows and rows[0].few:
            yield f"{label.capitalize()}: only {_counted(rows[0].positives, 'harmful post')}; a few posts decide."
        never = [row.model for row in rows if row.value is None] if rows and rows[0].positives else []
        if never:
            yield f"{label.capitalize()}: no threshold for {', '.join(never)}."
    if comparison.missing:
        yield f"Not compared, for want of a finished run: {', '.join(run.model for run in comparison.missing)}."
    if comparison.stale:
        yield f"Out of date: {', '.join(run.model for run in comparison.stale)}."
    yield from _recorded(runs)


def _overlaps(runs: Sequence[Run]) -> Iterator[str]:
    """What is on both sides of the split; that nobody looked is said too."""
    overlaps = next((run.metrics.overlap for run in runs if run.metrics.overlap), None)
    if overlaps is None:
        yield "Whether the same post stands on both sides of the split is not recorded."
        return
    for name, kind in _KINDS.items():
        overlap = overlaps.get(name)
        if overlap and overlap.overlap:
            why = f"; accepted because: {overlap.allowed}." if overlap.allowed else "."
            yield f"{overlap.overlap:,} of {overlap.of:,} {kind} stand on both sides of the split{why}"


def _recorded(runs: Sequence[Run]) -> Iterator[str]:
    """What the runs' records say against taking the answer to another place."""
    if any(run.record.source == "synthetic" for run in runs):
        yield "The posts are generated: this validates the workbench and says nothing about a real site."
    calibrated = [
        (label, record) for run in runs for label, seeds in run.metrics.calibration.items() for record in seeds.values()
    ]
    notes = sorted({label for label, record in calibrated if record.note})
    if notes:
        yield f"Some model's probabilities are not calibrated for {', '.join(notes)}."
    if any(run.record.dirty for run in runs):
        yield "Some run was made from code with changes that were not committed."


def _cost(comparison: Comparison, model: str) -> Iterator[str]:
    row = next((row for row in comparison.models if row.model == model), None)
    if row is None or row.ms_per_post is None:
        return
    memory = "" if row.peak_mb is None else f" and {row.peak_mb:,.0f} MB of memory in training"
    yield f"{model} takes {wording.quantity(row.ms_per_post)} ms per post{memory}."
    priced = next((cost for cost in comparison.costs if cost.model == model), None)
    if priced is None or priced.per_million is None:
        yield "The study states no price of a machine, so nothing is given in money."
        return
    stated = comparison.cost
    of = f" on {stated.machine}" if stated.machine else ""
    yield f"A million posts cost at most {wording.quantity(priced.per_million)} {stated.currency}{of}."
    if priced.per_day is not None:
        yield (
            f"{stated.posts_per_day:,} posts a day cost at most {wording.quantity(priced.per_day)} "
            f"{stated.currency} a day and keep {wording.quantity(priced.busy)} such machines busy."
        )


def _counted(n: float, what: str) -> str:
    return f"{n:,.0f} {what}{'' if n == 1 else 's'}"
