"""From a study's finished runs to comparison, cards and report, made again only when something changed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench import fingerprint, models
from workbench.artifacts import write_json
from workbench.comparison import facts
from workbench.comparison.options import BEST, MAIN, CostOptions, Family
from workbench.comparison.predictions import Run
from workbench.comparison.rows import OTHER_POSTS, Comparison, MadeFrom, MissingModel, StaleModel
from workbench.comparison.run_files import scored
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.schema import expand
from workbench.studies import DONE, keys
from workbench.studies.config import StudyConfig
from workbench.studies.plan import PlannedRun, finished_or_latest, latest_runs, standing, whole
from workbench.studies.steps.planned import StudyPlan, digests_of, notice
from workbench.studies.steps.prepare import refresh_posts

_CODE = ("workbench.comparison.compare", "workbench.report.page", "workbench.report.cards")  # what the results are of


def compare_study(
    study: StudyConfig,
    runs: Sequence[PlannedRun],
    present: dict[str, Any] | None = None,
    *,
    always: bool = False,
    by_label: bool = False,
) -> Comparison | None:
    """Write `comparison.json` and `report.html` from the finished runs, print the headline, return the comparison.

    runs: as planned; present: the inputs of any run as it is planned now, None where they cannot be told. Where the
    stored comparison was made from the same runs, settings and code, it is only shown, unless `always`. A finished run
    with reasons, or made with other versions of its libraries, is out of date, and the comparison says so. by_label:
    the headline is printed label by label. None: none is finished.
    """
    done = whole(runs)
    if not done:
        print(f"no run of {study.name} is finished and up to date, so there is nothing to compare", flush=True)
        return None
    if present is not None:
        refresh_posts(study, present, done)
    path, page = study.folder / "comparison.json", study.folder / "report.html"
    posts = facts.place(study.folder, scored(done[0].inputs))
    asked = {"question": study.question, "compare": study.compare.model_dump(mode="json"), "cost": study.cost}
    asked |= {"requirements": study.requirements and study.requirements.model_dump(mode="json")}
    plan, digests = notice(study.folder, done[0].inputs, study.compare, done), digests_of(study.folder, done[0].inputs)
    family = None if plan is None else plan.family(study.compare, digests)
    made_from = MadeFrom(
        runs={run.name: run.key for run in done},
        ended={run.name: run.record.ended for run in done},
        missing={run.alias: run.state for run in runs if run.state != DONE},
        stale=_stale(done),
        settings=fingerprint.of_json(asked),
        planned=None if family is None else family.pairs,
        tests=study.compare.test if family is None else family.tests,
        plan=None if plan is None else plan.record(study.compare, digests),
        asked=study.compare.pairs,
        posts=fingerprint.of_file(posts) if posts.is_file() else None,
        code=of_inputs(keys.reach(_CODE).inputs),
    )
    from workbench.report import terminal

    comparison = _stored(study.folder)
    if always or comparison is None or comparison.made_from != made_from or not page.is_file():
        comparison = _made(study, done, made_from)
    for line in _of_plan(made_from, study.compare.test):
        print(line, flush=True)
    terminal.show(comparison, terminal.tables(comparison, by_label=by_label))
    print(f"comparison: {path}\nreport:     {page}", flush=True)
    return comparison


def _stale(done: Sequence[PlannedRun]) -> dict[str, tuple[str, ...]]:
    """Return model -> why some run of it is out of date, each reason once."""
    reasons: dict[str, dict[str, None]] = {}
    for run in done:
        if why := dict.fromkeys((*run.reasons, *run.upgraded)):
            reasons.setdefault(run.alias, {}).update(why)
    return {alias: tuple(why) for alias, why in reasons.items()}


def _of_plan(made_from: MadeFrom, tests: Sequence[str]) -> list[str]:
    """Return what is to be said of a plan: that there is none, or that it is not followed, or is not the first."""
    if made_from.plan is None:
        unknown = f"No {StudyPlan.FILE} says what was planned before these posts were scored."
        return [unknown] if made_from.asked else []
    later = [" and ".join(pair) for pair in made_from.asked if pair not in made_from.planned]
    later += [f"all on {test}" for test in tests if made_from.asked and test not in made_from.tests]
    explored = [f"Exploratory, since it was not planned: {', '.join(later)}."] if later else []
    return [*filter(None, [made_from.plan.words]), *explored]


def _stored(folder: Path) -> Comparison | None:
    """Return a study's comparison, None where there is none or another version of the workbench wrote it."""
    try:
        return Comparison.load(folder)
    except WorkbenchError:
        return None


def _made(study: StudyConfig, done: Sequence[PlannedRun], made_from: MadeFrom) -> Comparison:
    from workbench.comparison import predictions
    from workbench.comparison.compare import best_unimodal, compare, on_validation
    from workbench.report import cards, page

    asked = study.compare.pairs
    family: Family = made_from.family
    loaded = predictions.load_runs({run.name: run.folder for run in done})
    names = {run.alias for run in done} | {BEST}
    pairs = [pair for pair in dict.fromkeys([*family.pairs, *asked]) if names.issuperset(pair)]
    if any(BEST in pair for pair in pairs):
        predictions.check_same_items(loaded)
        if best_unimodal(loaded, on_validation(loaded, study.compare)) is None:
            pairs = [pair for pair in pairs if BEST not in pair or (pair in asked and not made_from.missing)]
    planned = [test for test in family.tests if test in (MAIN, *study.tests)]
    tests = tuple(dict.fromkeys([*study.compare.test, *planned]))
    settings = study.compare.model_copy(update={"pairs": tuple(pairs), "test": tests})  # the rest waits for its models
    about = {
        "missing": tuple(MissingModel(model=alias, state=state) for alias, state in made_from.missing.items()),
        "stale": tuple(StaleModel(model=alias, reasons=reasons) for alias, reasons in made_from.stale.items()),
        "made_from": made_from,
        "sources": predictions.sources(loaded),
        "requirements": study.requirements,
    }
    cost = CostOptions.parse(study.cost, "cost") if study.cost else None
    found = compare(study.name, study.question, loaded, settings, family, cost, members=members(done))
    comparison = found.model_copy(update=about)
    write_json(study.folder / "comparison.json", comparison.plain())
    cards.write(study.folder, comparison, loaded)
    page.write(study.folder, comparison, loaded, posts_of(study, loaded))
    return comparison


def members(runs: Sequence[PlannedRun]) -> dict[str, tuple[str, ...]]:
    """Return, of each model that is made of others, those models of the study that are among them, options and all.

    Models with options that this version does not know are members of none, and have none.
    """
    made, parts = {}, {}
    for run in runs:
        if run.record.model is not None:
            with contextlib.suppress(WorkbenchError):
                parts[run.alias] = models.members(run.record.model, run.record.options)
                made[run.alias] = run.record.model, models.parse(run.record.model, run.record.options)
    found = {alias: tuple(name for name, kind in made.items() if kind in of) for alias, of in parts.items()}
    return {alias: names for alias, names in found.items() if names}


def posts_of(study: StudyConfig, runs: Sequence[Run]) -> pa.Table | None:
    """Return the posts that the runs scored, None where the corpus is not here, or not as any of them read it."""
    from workbench import corpora

    try:
        corpus = corpora.load(expand(study.corpus, "the study"), study.taxonomy)
    except WorkbenchError:
        return None
    return corpus.table if corpus.digest in {run.record.corpus_digest for run in runs} else None


def _of_same_posts(folder: Path, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return runs of which those count as finished that scored the same posts: the present ones, else the last ones."""
    done = [run for run in runs if run.state == DONE]
    newest = max(done, key=lambda run: (not run.reasons, run.record.ended or ""), default=None)
    same = facts.alike(folder, scored(newest.inputs)) if newest else []
    other = [run for run in done if scored(run.inputs) not in same]
    return [replace(run, state=OTHER_POSTS) if run in other else run for run in runs]


def recompare(path: Path | str, *, by_label: bool = False) -> Comparison:
    """Rebuild a study's comparison and report from what is stored; needs neither models nor, at a pinch, the data.

    A model without an up-to-date run is shown by its latest finished one, marked as out of date with the reasons;
    where data or weights are not at hand, so that no key can be told, that holds for all.
    """
    study = StudyConfig.load(path)
    latest = latest_runs(study.folder)
    try:
        planned = standing(study)
        present, runs = planned[0].inputs, [finished_or_latest(run, latest.get(run.name)) for run in planned]
    except WorkbenchError as error:
        present, reason = None, f"not checked: {error}"
        runs = [replace(latest[name], reasons=(reason,)) for name in study.run_names if name in latest]
    comparison = compare_study(study, _of_same_posts(study.folder, runs), present, always=True, by_label=by_label)
    if comparison is None:
        raise WorkbenchError(
            f"study {study.name!r} has no finished run that is up to date; `workbench run {path}` makes them"
        )
    return comparison
