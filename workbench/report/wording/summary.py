"""One page in plain words: what was asked, what people would notice, how sure it is, what could be wrong, the cost.

Every sentence follows from a row of the comparison or from a run's record; where those say nothing, so does the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workbench.comparison.options import MACRO, MAIN, VALIDATION
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, Difference, ModelRow
from workbench.evidence.audit import HELD
from workbench.evidence.audit.relations import counted
from workbench.metrics.plots.curves import of_100
from workbench.metrics.table import METRICS
from workbench.report import labelled, requirements, wording
from workbench.report.section import deployed, told

HALF = 0.5


def points(comparison: Comparison, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return heading -> sentences; headings with nothing to say are left out."""
    best = comparison.chosen
    answers = {
        "What the site needs": requirements.sentences(comparison),
        "What was asked": list(_asked(comparison)),
        "What is shown, set by set": [] if wording.alone(comparison) else list(wording.verdicts(comparison)),
        "Posts that not every model scored": [] if wording.alone(comparison) else list(wording.coverage(comparison)),
        "What people would notice": list(_noticed(comparison, best)) if best else [],
        "What do fusions gain?": list(_fusions(comparison, runs)),
        "How sure is this?": [*_sure(comparison), *_by_folds(comparison, runs)],
        "What could be wrong?": list(_wrong(comparison, runs)),
        "What does it cost?": list(_cost(comparison, best)) if best else [],
    }
    return {heading: sentences for heading, sentences in answers.items() if sentences}


def _asked(comparison: Comparison) -> Iterator[str]:
    asked = comparison.compare
    models = comparison.names
    what = f"{wording.metric(asked.metric)} ({wording.measured_on(asked)})"
    sets = "" if wording.alone(comparison) else f" of {wording.listing(map(wording.test_set, comparison.tests), 'and')}"
    yield (
        f"{wording.counted(len(models), 'model')} ({', '.join(models)}) {'is' if len(models) == 1 else 'are'} judged "
        f"on the same posts ({wording.view(asked.view)}{sets}); {what} decides."
    )
    if others := [test for test in comparison.items if test not in comparison.tests]:
        names, every = wording.listing(map(wording.test_set, others), "and"), ", ".join([*comparison.tests, *others])
        yield (
            f"{names} {'is' if len(others) == 1 else 'are'} scored too and not compared; "
            f"`compare: {{test: [{every}]}}` makes them part of the answer."
        )


def _noticed(comparison: Comparison, model: str) -> Iterator[str]:
    """Per label and test set: what of 100 harmful posts is caught and what of 100 flagged ones is harmless.

    It is told of the one training that would be deployed, with intervals. Both at the site where the posts carry its
    weights, else both of the test posts: at another share of harm not only precision is another, recall is too.
    """
    noticed = False
    for label, test in ((label, test) for label in comparison.labels for test in comparison.tests):
        rows = deployed(comparison, label, test)
        if rows.get("recall") is None or rows["recall"].value is None:
            continue
        noticed, site = True, {"recall_site", "precision_site"} <= rows.keys()
        recall, precision = (rows[f"{name}_site" if site else name] for name in ("recall", "precision"))
        caught = f"of 100 harmful posts {'on the site ' if site else ''}{_of_100(recall)} caught"
        what = _named(comparison, label, test)
        yield f"{what}: {caught}; {_flagged(precision, site=site)}.{_few(recall, precision, site=site)}"
    if noticed:
        seed = None if comparison.folds else comparison.seeds.get(model)
        which = model if seed is None else f"{model} as trained with seed {seed}, which validation would deploy,"
        yield f"That is {which} at the thresholds chosen on validation; in brackets, what other posts could have shown."


def _fusions(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    """What each model that is made of others is worth beside the best of them, and where it leaves out a better one."""
    for alias, best in comparison.best_member.items():
        members, metric = comparison.members[alias], wording.metric(comparison.compare.metric)
        which = f"the best of {wording.listing(members, 'and')} on validation" if len(members) > 1 else "its one member"
        for row in (row for row in comparison.differences if {row.a, row.b} == {alias, best} and row.delta is not None):
            on = "" if wording.alone(comparison) else f" on {wording.test_set(row.test)}"
            if row.view == comparison.compare.view:
                gain = f"{metric} {wording.gained(row, alias)}{'' if row.primary else ' (exploratory)'}"
                yield f"{alias} {_beside(row, alias)} than {best}, {which}{on}: {gain}."
        single = comparison.best_unimodal
        if len(members) > 1 and single not in (None, alias, *members):
            yield f"{alias} leaves out {single}, the best model of one modality on validation: try it as a member."
    for run in runs:
        yield from _alone(run)


def _beside(row: Difference, alias: str) -> str:
    """Whether a model is shown to be better or worse: by the test of what was asked, by the interval of the rest."""
    shown = row.verdict in ("better", "worse") if row.primary else row.lo is not None and not row.lo <= 0 <= row.hi
    if not shown:
        return "is not shown to be better"
    return "is better" if (METRICS[row.metric].sign * row.delta > 0) is (row.a == alias) else "is worse"


def _alone(run: Run) -> Iterator[str]:
    """Of which labels a fusion lets its best member decide alone, since adding up gained nothing in training."""
    parts = run.parts or (run,)
    for label in run.labels:
        told = [of[label] for part in parts for of in part.metrics.gains.values() if label in of]
        alone = [gain.best for gain in told if gain.alone]
        if alone:
            often = "" if len(alone) == len(told) else f" in {len(alone)} of {len(told)} trainings"
            names = wording.listing(dict.fromkeys(alone), "or")
            yield f"{run.alias} lets {names} decide {label} alone{often}: adding up gained nothing there out of fold."


def _named(comparison: Comparison, label: str, test: str) -> str:
    """A label at the beginning of a sentence, with the test set where there are several."""
    return label.capitalize() + ("" if wording.alone(comparison) else f" on {wording.test_set(test)}")


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
    asked, rows = comparison.compare, [row for test in comparison.tests for row in comparison.rows(test=test)[:1]]
    row = next(iter(rows), None)
    if row is not None:
        each = " (a post counts once for each label that applies to it)" if row.label == MACRO else ""
        posts = wording.listing((_counted(comparison, of_test) for of_test in rows), "and")
        yield f"The numbers rest on {posts}{each}; intervals are of {100 * (1 - asked.alpha):g} %."
    for entry in comparison.differences if wording.alone(comparison) else ():
        if entry.primary and entry.delta is not None and entry.p_holm is not None and entry.a != entry.b:
            yield _shown(entry)
    recipes = any(entry.recipes for entry in comparison.differences)
    if recipes:
        yield (
            "Models were trained on several seeds, so intervals and tests speak of recipes: of other posts and other "
            "trainings."
        )
        halved = next((entry for entry in comparison.differences if entry.primary and entry.seeds_to_halve), None)
        if halved:
            names = " and ".join(wording.sides(halved))
            on = "" if wording.alone(comparison) else f" on {wording.test_set(halved.test)}"
            yield f"{halved.seeds_to_halve:,.0f} seeds a model would halve the interval between {names}{on}."
    elif row is not None:
        yield (
            "Intervals and tests speak of these trained models on other posts: how far training again would move them "
            "is not known."
            if all(entry.seed_sd is None for entry in comparison.rows())
            else "No model here changes with its seed, so intervals and tests speak of other posts alone."
        )


def _by_folds(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    """What it means that every post was tested, and what is deployed then."""
    if not comparison.folds:
        return
    shared = "share much of their posts with each other" if comparison.folds > 2 else "are each other's test posts"
    yield (
        f"Every post was tested once, in {comparison.folds} folds, by models that were fitted, calibrated and given "
        f"thresholds on none of its family; near-duplicates are one family. Folds' training posts {shared}, so "
        "intervals speak of these posts and of trainings that share their data; for wholly other training posts they "
        "are too narrow (Bengio & Grandvalet 2004, Nadeau & Bengio 2003)."
    )
    if len(runs) > 1 and runs[0].sets.keys() & {VALIDATION}:
        yield (
            "What is chosen among models is chosen on validation posts, which other folds test: named pairs owe "
            "nothing to that choice, the best of all may look a little better than it is."
        )
    others = [test for test in comparison.items if test != MAIN]
    if others:
        yield (
            f"{wording.listing(map(wording.test_set, others), 'and').capitalize()}: every fold's model scored all "
            "posts, and values are means over folds, each fold counting as one training."
        )
    deployed = next((run for run in runs if run.alias == comparison.chosen), None)
    if deployed is not None and deployed.parts:
        first, seed = deployed.parts[0], comparison.seeds.get(deployed.alias)
        yield (
            f"What would be deployed is the bundle of the first fold, trained with seed {seed} on "
            f"{wording.plain(first.record.n_train)} posts and tested on {len(first.sets[MAIN].post_id):,}: its card "
            "says what it did there, the values here are those of all folds."
        )


def _counted(comparison: Comparison, row: ModelRow) -> str:
    posts = f"{wording.counted(row.n, 'test post')} with {wording.harmful(row.label, row.positives)}"
    return posts if wording.alone(comparison) else f"{posts} of {wording.test_set(row.test)}"


def _shown(entry: Difference) -> str:
    """Whether a difference is shown, and by what."""
    names = " and ".join(wording.sides(entry))
    tested = f"p {wording.equals(entry.p_holm)} after correction for all that was asked"
    if entry.verdict in ("better", "worse"):
        return f"A difference between {names} is shown ({tested})."
    return f"No difference between {names} is shown, nor that there is none ({tested})."


def _wrong(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    yield from wording.doubts(comparison)
    yield from (f"{warning}." for warning in labelled.warned(runs))
    yield from _overlaps(runs)
    for test in comparison.tests:
        yield from _doubtful(comparison, test)
        unsaid = [label for label in told(comparison, runs) if not _tells(comparison, label, test)]
        if unsaid:
            where = "these posts" if wording.alone(comparison) else f"the posts of {wording.test_set(test)}"
            yield f"Nothing is said of {', '.join(unsaid)}: {where} do not tell whether they apply."
    yield from _few_joined(comparison, runs)
    yield from _recorded(comparison, runs)


def _tells(comparison: Comparison, label: str, test: str) -> bool:
    """Whether posts of a test set tell of a label; True where the comparison has no row to say so."""
    rows = comparison.rows(label=label, metric="recall", test=test)
    return not rows or rows[0].n > 0


def _doubtful(comparison: Comparison, test: str) -> Iterator[str]:
    """What of a test set's labels can hardly be judged."""
    for label in comparison.labels:
        rows, site = (comparison.rows(label=label, metric=name, test=test) for name in ("recall", "recall_site"))
        if not rows or not rows[0].n:
            continue
        posts, what = wording.harmful(label, rows[0].positives), _named(comparison, label, test)
        if not rows[0].positives:
            yield f"{what}: none of {rows[0].n:,} posts is harmful, so nothing can be said of it."
        elif rows[0].few:
            yield f"{what}: few harmful posts decide ({posts})."
        elif site and site[0].few:
            yield f"{what}: at the site's mix few harmful posts decide, those of {posts} that weigh most."
        never = [row.model for row in rows if row.value is None] if rows[0].positives else []
        if never:
            yield f"{what}: no threshold for {', '.join(never)}."


def _few_joined(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    """Which files of scores name few of the posts: perhaps their ids are written otherwise."""
    for run in (run for run in runs if run.record.model == "scores"):
        for test in comparison.tests:
            row = next(iter(comparison.rows(model=run.alias, test=test)), None)
            if row is not None and row.coverage is not None and 0 < row.coverage < HALF:
                n = round(row.coverage * row.n)
                yield (
                    f"The file of {run.alias} has scores for {n:,} of {wording.counted(row.n, 'post')} of "
                    f"{wording.test_set(test)} only: if it should have more, compare how both write their ids."
                )


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


def _recorded(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    if any(run.record.source == "synthetic" for run in runs):
        yield "The posts are generated: this validates the workbench and says nothing about a real site."
    calibrated = [
        (label, record) for run in runs for label, seeds in run.metrics.calibration.items() for record in seeds.values()
    ]
    notes = sorted({label for label, record in calibrated if record.note} & {*told(comparison, runs)})
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
