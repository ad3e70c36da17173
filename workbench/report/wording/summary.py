"""One page in plain words: what was asked, what people would notice, how sure it is, what could be wrong, the cost.

Every sentence follows from a row of the comparison or from a run's record; where those say nothing, so does the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.comparison.options import MACRO
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, Difference, ModelRow
from workbench.evidence.audit import HELD
from workbench.evidence.audit.relations import counted
from workbench.metrics.plots.curves import of_100
from workbench.report import wording


def points(comparison: Comparison, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return heading -> sentences; headings with nothing to say are left out."""
    best = comparison.chosen
    answers = {
        "What was asked": list(_asked(comparison)),
        "What people would notice": list(_noticed(comparison, best)) if best else [],
        "How sure is this?": list(_sure(comparison)),
        "What could be wrong?": list(_wrong(comparison, runs)),
        "What does it cost?": list(_cost(comparison, best)) if best else [],
    }
    return {heading: sentences for heading, sentences in answers.items() if sentences}


def _asked(comparison: Comparison) -> Iterator[str]:
    asked = comparison.compare
    models = comparison.names
    what = f"{wording.metric(asked.metric)} ({wording.label(asked.label)})"
    yield (
        f"{wording.counted(len(models), 'model')} ({', '.join(models)}) {'is' if len(models) == 1 else 'are'} judged "
        f"on the same {wording.view(asked.view)}; {what} decides."
    )


def _noticed(comparison: Comparison, model: str) -> Iterator[str]:
    """Per label: what of 100 harmful posts is caught and what of 100 flagged ones is harmless, with intervals.

    It is told of the one training that would be deployed. Both at the site where the posts carry its weights, else both
    of the test posts: at another share of harm not only precision is another, recall is too.
    """
    noticed, deployed = False, comparison.bundle or comparison.rows(model=model, label=None, metric=None)
    for label in comparison.labels:
        rows = {row.metric: row for row in deployed if row.label == label}
        if rows.get("recall") is None or rows["recall"].value is None:
            continue
        noticed, site = True, {"recall_site", "precision_site"} <= rows.keys()
        recall, precision = (rows[f"{name}_site" if site else name] for name in ("recall", "precision"))
        caught = f"of 100 harmful posts {'on the site ' if site else ''}{_of_100(recall)} caught"
        yield f"{label.capitalize()}: {caught}; {_flagged(precision, site=site)}.{_few(recall, precision, site=site)}"
    if noticed:
        seed = comparison.seeds.get(model)
        which = model if seed is None else f"{model} as trained with seed {seed}, which validation would deploy,"
        yield f"That is {which} at the thresholds chosen on validation; in brackets, what other posts could have shown."


def _few(*rows: ModelRow, site: bool) -> str:
    if not any(row.few for row in rows):
        return ""
    posts = wording.harmful(rows[0].label, rows[0].positives)
    return f" That rests on few: {posts}{', of which some stand for many of the site' if site else ''}."


def _of_100(row: ModelRow, *, rest: bool = False) -> str:
    """`87 [80 to 92] are` of a share, or of what it leaves of 1."""
    value, low, high = (row.value, row.lo, row.hi) if not rest else (1 - row.value, row.hi, row.lo)
    if low is None:
        return of_100(value)
    low, high = (1 - end if rest else end for end in (low, high))
    return of_100(value, f" [{100 * low:.0f} to {100 * high:.0f}]")


def _flagged(precision: ModelRow, *, site: bool) -> str:
    """What is harmless among 100 flagged posts, and at which share of harmful posts that holds."""
    if precision.value is None:
        return "nothing is flagged"
    share = wording.percent(precision.prevalence)
    where = f"there, where {share} of posts are harmful" if site else f"where {share} of posts are harmful, as here"
    return f"of 100 flagged posts {_of_100(precision, rest=True)} harmless {where}"


def _sure(comparison: Comparison) -> Iterator[str]:
    asked, rows = comparison.compare, comparison.rows()
    row = next(iter(rows), None)
    if row is not None:
        each = " (a post counts once for each label that applies to it)" if row.label == MACRO else ""
        yield (
            f"The numbers rest on {wording.counted(row.n, 'test post')} with "
            f"{wording.harmful(row.label, row.positives)}{each}; intervals are of {100 * (1 - asked.alpha):g} %."
        )
    recipes = any(entry.recipes for entry in comparison.differences)
    for entry in comparison.differences:
        if entry.primary and entry.delta is not None and entry.p_holm is not None and entry.a != entry.b:
            yield _shown(entry)
    if recipes:
        yield (
            "Models were trained on several seeds, so intervals and tests speak of recipes: of other posts and other "
            "trainings."
        )
        halved = next((entry for entry in comparison.differences if entry.primary and entry.seeds_to_halve), None)
        if halved:
            names = " and ".join(wording.sides(halved))
            yield f"{halved.seeds_to_halve:,.0f} seeds a model would halve the interval between {names}."
    elif row is not None:
        yield (
            "Intervals and tests speak of these trained models on other posts: how far training again would move them "
            "is not known."
            if all(entry.seed_sd is None for entry in rows)
            else "No model here changes with its seed, so intervals and tests speak of other posts alone."
        )


def _shown(entry: Difference) -> str:
    """Whether a difference is shown, and by what."""
    names = " and ".join(wording.sides(entry))
    tested = f"p {wording.equals(entry.p_holm)} after correction for all that was asked"
    if entry.verdict in ("better", "worse"):
        return f"A difference between {names} is shown ({tested})."
    return f"No difference between {names} is shown, nor that there is none ({tested})."


def _wrong(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    yield from wording.doubts(comparison)
    yield from _overlaps(runs)
    untold = []
    for label in comparison.labels:
        rows, site = (comparison.rows(label=label, metric=name) for name in ("recall", "recall_site"))
        if not rows:
            continue
        posts = wording.harmful(label, rows[0].positives)
        if not rows[0].n:
            untold.append(label)
        elif not rows[0].positives:
            yield f"{label.capitalize()}: none of {rows[0].n:,} posts is harmful, so nothing can be said of it."
        elif rows[0].few:
            yield f"{label.capitalize()}: few harmful posts decide ({posts})."
        elif site and site[0].few:
            yield f"{label.capitalize()}: at the site's mix few harmful posts decide, those of {posts} that weigh most."
        never = [row.model for row in rows if row.value is None] if rows[0].positives else []
        if never:
            yield f"{label.capitalize()}: no threshold for {', '.join(never)}."
    if untold:
        yield f"Nothing is said of {', '.join(untold)}: these posts do not tell whether they apply."
    yield from _recorded(runs)


def _overlaps(runs: Sequence[Run]) -> Iterator[str]:
    """What is on both sides of the split; that nobody looked is said too."""
    overlaps = next((run.metrics.overlap for run in runs if run.metrics.overlap), None)
    if overlaps is None:
        yield "Whether the same post stands on both sides of the split is not recorded."
        return
    for name in HELD:
        overlap = overlaps.get(name)
        if overlap and overlap.overlap:
            why = f"; accepted because: {overlap.allowed}." if overlap.allowed else "."
            yield f"{overlap.overlap:,} of {counted(name, overlap.of)} stand on both sides of the split{why}"


def _recorded(runs: Sequence[Run]) -> Iterator[str]:
    if any(run.record.source == "synthetic" for run in runs):
        yield "The posts are generated: this validates the workbench and says nothing about a real site."
    calibrated = [
        (label, record) for run in runs for label, seeds in run.metrics.calibration.items() for record in seeds.values()
    ]
    notes = sorted({label for label, record in calibrated if record.note})
    if notes:
        yield f"Some model's probabilities are not calibrated for {', '.join(notes)}."
    dirty = {run.record.dirty for run in runs}
    if True in dirty:
        yield "Some run was made from code with changes that were not committed."
    elif None in dirty:
        yield "Of some run it is not recorded whether its code was committed."


def _cost(comparison: Comparison, model: str) -> Iterator[str]:
    priced = next((cost for cost in comparison.costs if cost.model == model), None)
    if priced is None or priced.ms_per_post is None:
        return
    memory = "" if priced.peak_mb is None else f" and {priced.peak_mb:,.0f} MB of memory in training"
    yield f"{model} takes {wording.quantity(priced.ms_per_post)} ms per post{memory}."
    if priced.per_million is None:
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
