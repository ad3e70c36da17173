"""A checklist for studies that learn from data, answered from the records and never from good intentions.

The questions follow the subjects of REFORMS (Kapoor et al. 2024, Science Advances 10:eadk3452) and of the NeurIPS paper
checklist, in words of our own. An answer is `yes`, `partly`, `no` or `not recorded`, `yes` only where a record says so.
What no record can show (licence, consent, who annotated) is `not recorded`, for a person to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.report import wording
from workbench.report.section import told

YES, PARTLY, NO, UNKNOWN = "yes", "partly", "no", "not recorded"


class StudyRecords(NamedTuple):
    """What the answers are read from: the comparison, and per model its run."""

    comparison: Comparison
    runs: dict[str, Run]

    def of(self, read: Callable[[Run], Any]) -> dict[str, Any]:
        """Return model -> what is read from its run."""
        return {alias: read(run) for alias, run in self.runs.items()}


class Item(NamedTuple):
    """One answered question: the answer, and the number, run or section that shows it."""

    question: str
    answer: str
    evidence: str


def answered(comparison: Comparison, runs: Sequence[Run]) -> list[Item]:
    """Return every question with its answer."""
    records = StudyRecords(comparison, {run.alias: run for run in runs})
    return [Item(question, *answer(records)) for question, answer in QUESTIONS.items()]


Answer = tuple[str, str]


def _every(values: dict[str, Any], what: str) -> Answer:
    """`yes` where every run has a fact, `partly` where some have, else `not recorded`; names the runs without it."""
    lack = [alias for alias, value in values.items() if value in (None, "", {}, [])]
    if not lack:
        return YES, f"{what} in all {len(values)} runs"
    return (PARTLY if len(lack) < len(values) else UNKNOWN), f"{what} lacks in {', '.join(lack)}"


# --------------------------------------------------------------------------------------- what was asked, of which posts


def _primary(records: StudyRecords) -> Answer:
    pairs = [row for row in records.comparison.differences if row.primary]
    plan = records.comparison.made_from and records.comparison.made_from.plan
    if pairs and records.comparison.planned and (plan is None or plan.first):
        return YES, f"pairs of models named in the study's plan: {len(pairs)}; section differences"
    if pairs and records.comparison.planned:
        return PARTLY, f"pairs of models named in a plan: {len(pairs)}; {plan.words}"
    if pairs:
        return PARTLY, f"pairs of models named in the study's file: {len(pairs)}; no plan says since when"
    why = "the pairs it asks are not in its plan" if records.comparison.asked_later else "no pair of models was named"
    return PARTLY, f"a question is stated, but {why}: all differences are exploratory"


def _own_posts(records: StudyRecords) -> Answer:
    sources = {run.record.source for run in records.runs.values()} - {None}
    if sources == {"synthetic"}:
        return NO, "the posts are generated (corpus source: synthetic)"
    return UNKNOWN, f"corpus source: {', '.join(sorted(sources)) or 'unknown'}; only a person can say"


def _digest(records: StudyRecords) -> Answer:
    digests = records.of(lambda run: run.record.corpus_digest)
    different = {value for value in digests.values() if value}
    if len(different) > 1:
        return NO, f"runs name {len(different)} different states of the posts"
    answer, evidence = _every(digests, "the digest of the posts")
    return answer, evidence + (f" ({different.pop()[:16]})" if different else "")


def _person(records: StudyRecords) -> Answer:
    return UNKNOWN, "no record can show it; the data card leaves the place open"


def _positives(records: StudyRecords) -> Answer:
    comparison = records.comparison
    rows = {
        wording.caption(comparison, name, test): some[0]
        for test in comparison.tests
        for name in comparison.labels
        if (some := comparison.rows(metric="recall", label=name, test=test))
    }
    labels = told(comparison, [*records.runs.values()])
    untold = [name for name, row in rows.items() if not row.n and row.label in labels]
    rows = {name: row for name, row in rows.items() if row.n}
    if not rows:
        return UNKNOWN, "no label has known posts in this view"
    counts = ", ".join(f"{name} {row.positives}" for name, row in rows.items())
    counts += f"; not told in these posts: {', '.join(untold)}" if untold else ""
    few = [name for name, row in rows.items() if row.few]
    if not few:
        return YES, f"positives: {counts}"
    return (PARTLY if len(few) < len(rows) else NO), f"positives: {counts}; few of {', '.join(few)}"


def _site(records: StudyRecords) -> Answer:
    rows = records.comparison.rows(metric="recall_site", label=None)
    if not rows:
        return NO, "all test posts weigh the same, so all numbers hold at the test set's share of harm only"
    evidence = "posts carry weights; precision and recall are given at the site's own mix: section values"
    few = list(dict.fromkeys(wording.label(row.label) for row in rows if row.few))
    return (PARTLY, f"{evidence}; few harmful posts carry them for {', '.join(few)}") if few else (YES, evidence)


# ------------------------------------------------------------------------------------------------ leaks, choices, tests


def _overlap(names: Sequence[str], which: str) -> Callable[[StudyRecords], Answer]:
    def answer(records: StudyRecords) -> Answer:
        findings = next((run.metrics.overlap for run in records.runs.values() if run.metrics.overlap), {})
        there = [name for name in names if name in findings]
        if not there:
            return UNKNOWN, f"no run recorded which {which} cross the split"
        counts = ", ".join(f"{name} {findings[name].overlap} of {findings[name].of}" for name in there)
        overlap = [name for name in there if findings[name].overlap]
        lost = sum(findings[name].not_compared for name in there)
        if lost:
            counts += f"; {lost} could not be read and were compared with nothing"
        if not overlap:
            return (PARTLY if lost else YES), f"on both sides of the split: {counts}"
        allowed = all(findings[name].allowed for name in overlap)
        return (PARTLY if allowed else NO), f"on both sides of the split: {counts}: section overlaps"

    return answer


def _too_good(records: StudyRecords) -> Answer:
    rows = records.comparison.leak_test
    tested = [row for row in rows if row.tripped is not None]
    if not tested:
        return UNKNOWN, "the exact probabilities are not known for these posts"
    tripped = sorted({row.model for row in tested if row.tripped})
    if tripped:
        return NO, f"{', '.join(tripped)} beat what their inputs allow: section ceilings"
    shares = [row.detectable_leak for row in tested]
    least = "of any size" if None in shares else f"of less than {math.ceil(100 * max(shares))} %"
    return YES, (
        f"none of {len(tested)} tests against the exact probabilities trips; for some model and label a leak {least} "
        "of the posts would not have been found: section ceilings"
    )


def _validation(records: StudyRecords) -> Answer:
    chosen = {}
    for alias, run in records.runs.items():
        some = any(value is not None for seeds in run.metrics.thresholds.values() for value in seeds.values())
        chosen[alias] = bool(some and run.metrics.calibration) or None
    return _every(chosen, "thresholds and the calibration fitted on validation")


def _budget(records: StudyRecords) -> Answer:
    given = records.of(lambda run: run.metrics.search and run.metrics.search.budget)
    if not any(given.values()):
        return UNKNOWN, "no search: options are those of the study's file, and how they were found is not recorded"
    same = len({str(budget) for budget in given.values()}) == 1
    return (YES if same else PARTLY), f"one budget for {sum(map(bool, given.values()))} of {len(given)}: section search"


def _baseline(records: StudyRecords) -> Answer:
    if "prior" in records.of(lambda run: run.record.model).values():
        return YES, "the model called prior looks at nothing and stands in every table"
    return NO, "no model called prior is among those compared"


def _all_shown(records: StudyRecords) -> Answer:
    missing = [row.model for row in records.comparison.missing]
    stale = [row.model for row in records.comparison.stale]
    if not missing and not stale:
        return YES, f"all {len(records.runs)} models of the study are compared"
    return PARTLY, "; ".join(
        f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("out of date", stale)) if names
    )


def _uncertain(records: StudyRecords) -> Answer:
    rows = [row for test in records.comparison.tests for row in records.comparison.rows(test=test)]
    bare = [row.model for row in rows if row.lo is None]
    if not rows or len(bare) == len(rows):
        return NO, "no value has an interval"
    asked = records.comparison.compare
    method = f"bootstrap over groups of posts, {asked.resamples:,} resamples"
    return (PARTLY, f"{method}; none for {', '.join(bare)}") if bare else (YES, f"{method}: section values")


def _seeds(records: StudyRecords) -> Answer:
    spread = [row.seed_sd for row in records.comparison.rows() if row.seed_sd is not None]
    if not spread:
        return NO, "each model was trained with one seed"
    asked = records.comparison.compare
    most, what = (
        wording.value(asked.metric, max(spread)),
        f"{wording.metric(asked.metric)}, {wording.measured_on(asked)}",
    )
    return YES, f"the largest standard deviation over seeds is {most} ({what}): section values"


def _corrected(records: StudyRecords) -> Answer:
    rows = [row for row in records.comparison.differences if row.primary]
    done = [row for row in rows if row.p_holm is not None]
    if not rows:
        return UNKNOWN, "nothing was tested"
    evidence = f"Holm over {len(done)} of {len(rows)} primary comparisons: section differences"
    if not records.comparison.planned:
        return (PARTLY if done else NO), f"{evidence}; no plan says that there were to be no more"
    return (YES if len(done) == len(rows) else PARTLY if done else NO), evidence


def _elsewhere(records: StudyRecords) -> Answer:
    names = [name for name in records.comparison.items if name != MAIN]
    if not names:
        return NO, "the study has no further test set"
    apart = [name for name in names if name not in records.comparison.tests]
    rest = f"; not compared: {', '.join(apart)}" if apart else ""
    return YES, f"further test sets: {', '.join(names)}{rest}"


# ------------------------------------------------------------------------------------------------- can it be done again


def _commit(records: StudyRecords) -> Answer:
    answer, evidence = _every(records.of(lambda run: run.record.commit), "the commit")
    dirty = [alias for alias, run in records.runs.items() if run.record.dirty is not False]
    if answer == YES and dirty:
        return PARTLY, f"{evidence}, but the code had uncommitted changes, or none knows, in {', '.join(dirty)}"
    return answer, evidence


def _weights(records: StudyRecords) -> Answer:
    named = [alias for alias, run in records.runs.items() if run.record.inputs_of("weights")]
    if named:
        return YES, f"weights by sha256 in the inputs of {', '.join(named)}; the other runs name none"
    return UNKNOWN, "no run names weights"


def _costs(records: StudyRecords) -> Answer:
    costs = {row.model: row for row in records.comparison.costs}
    both = {model: None if row.peak_mb is None else row.ms_per_post for model, row in costs.items()}
    return _every(both, "time per post and peak memory") if both else (UNKNOWN, "no run recorded a cost")


QUESTIONS: dict[str, Callable[[StudyRecords], Answer]] = {
    "Was it said before scoring which models are compared?": _primary,
    "Are the posts those of the site that the answer is for?": _own_posts,
    "Is the exact state of the posts on record?": _digest,
    "Is it known who labelled the posts, how, and how far they agree?": _person,
    "Are licence, consent and privacy of the posts settled?": _person,
    "Does every label have enough harmful test posts?": _positives,
    "Are results given at the site's own share of harm?": _site,
    "Is the test set free of groups that were trained on?": _overlap(("group",), "groups"),
    "Is it free of the same texts, pictures and clips?": _overlap(("text", "image", "video"), "contents"),
    "Is no model better than its inputs can explain?": _too_good,
    "Were thresholds chosen without the test set?": _validation,
    "Did every model have the same budget for its options?": _budget,
    "Is there a baseline that looks at nothing?": _baseline,
    "Are all models of the study shown, failures too?": _all_shown,
    "Does every number say how uncertain it is?": _uncertain,
    "Is it known how far training again moves a result?": _seeds,
    "Are tests corrected for how many there are?": _corrected,
    "Was it tried on posts from elsewhere?": _elsewhere,
    "Is the code of every run on record?": _commit,
    "Are the versions of the libraries on record?": lambda records: _every(
        records.of(lambda run: run.record.versions), "versions"
    ),
    "Are pretrained weights on record?": _weights,
    "Is it on record what each model takes to run?": _costs,
}
