"""From a study's finished runs to comparison, cards and report, made again only when something changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.artifacts import read_json, write_json
from workbench.comparison.predictions import Run as Scored
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, expand
from workbench.studies import DONE, keys
from workbench.studies.config import BEST, StudyConfig
from workbench.studies.plan import Run, finished_or_latest, latest_runs, standing, stored_run

_CODE = ("workbench.comparison.compare", "workbench.report.page", "workbench.report.cards")  # what the results are of


def compare_study(
    study: StudyConfig, runs: Sequence[Run], *, always: bool = False, by_label: bool = False
) -> dict[str, Any] | None:
    """Write `comparison.json` and `report.html` from the finished runs, print the headline, return the comparison.

    runs: those of `plan.plan`. Where the stored comparison was made from the same runs, settings and code, it is only
    shown, unless `always`. A finished run with reasons is out of date, and the comparison says so. by_label: the
    headline is printed label by label. None: none is finished.
    """
    done = [run for run in runs if run.state == DONE]
    if not done:
        print(f"no run of {study.name} is finished and up to date, so there is nothing to compare", flush=True)
        return None
    path, page = study.folder / "comparison.json", study.folder / "report.html"
    asked = {"question": study.question, "compare": study.compare.model_dump(mode="json"), "cost": study.cost}
    made_from = {
        "runs": {run.alias: run.key for run in done},
        "ended": {run.alias: run.record["ended"] for run in done},
        "missing": {run.alias: run.state for run in runs if run.state != DONE},
        "stale": {run.alias: list(run.reasons) for run in done if run.reasons},
        "settings": keys.run_key(asked),
        "code": keys.run_key(keys.modules(_CODE)),
    }
    from workbench.report import terminal

    comparison = read_json(path) or {}
    if always or comparison.get("made_from") != made_from or not page.is_file():
        comparison = _made(study, done, made_from)
    terminal.show(comparison, terminal.tables(comparison, by_label=by_label))
    print(f"comparison: {path}\nreport:     {page}", flush=True)
    return comparison


def _made(study: StudyConfig, done: Sequence[Run], made_from: dict[str, Any]) -> dict[str, Any]:
    """Write what a study's finished runs give, and return the comparison."""
    from workbench.comparison import addresses, costs, predictions
    from workbench.comparison.compare import compare
    from workbench.report import cards, page

    names = {run.alias for run in done} | {BEST}
    pairs = tuple(pair for pair in study.compare.pairs if names.issuperset(pair))  # the rest waits for its models
    settings = study.compare.model_copy(update={"pairs": pairs})
    loaded = [replace(predictions.load_run(run.folder), alias=run.alias) for run in done]
    price = costs.CostOptions.parse(study.cost, "cost") if study.cost else None
    comparison = compare(study.name, study.question, loaded, settings)
    comparison |= {
        "missing": [{"model": alias, "state": state} for alias, state in made_from["missing"].items()],
        "stale": [{"model": alias, "reasons": reasons} for alias, reasons in made_from["stale"].items()],
        "made_from": made_from,
        "cost": price and price.model_dump(mode="json"),
        "costs": costs.rows(comparison, price),
        "sources": predictions.sources(loaded),
    }
    comparison = addresses.identified(comparison)
    write_json(study.folder / "comparison.json", comparison)
    cards.write(study.folder, comparison, loaded)
    page.write(study.folder, comparison, loaded, posts_of(study, loaded))
    return comparison


def posts_of(study: StudyConfig, runs: Sequence[Scored]) -> pa.Table | None:
    """Return the posts that the runs scored, None where the corpus is not on this machine or has changed since."""
    from workbench import corpora

    try:
        found = corpora.load(expand(study.corpus, "the study"), Taxonomy.load())
    except WorkbenchError:
        return None
    scored = {(read_json(run.folder / "run.json") or {}).get("corpus_digest") for run in runs}
    return found.table if scored == {found.digest} else None


def recompare(path: Path | str, *, by_label: bool = False) -> dict[str, Any]:
    """Rebuild a study's comparison and report from what is stored; needs neither models nor, at a pinch, the data.

    A model without an up-to-date run is shown by its latest finished one, marked as out of date with the reasons;
    where data or weights are not at hand, so that no key can be told, that holds for all.
    """
    study = StudyConfig.load(path)
    latest = latest_runs(study.folder)
    try:
        runs = [finished_or_latest(run, latest.get(run.alias)) for run in standing(study)]
    except WorkbenchError as error:
        reason = f"not checked: {error}"
        runs = [stored_run(latest[entry.alias], reason) for entry in study.models if entry.alias in latest]
    comparison = compare_study(study, runs, always=True, by_label=by_label)
    if comparison is None:
        raise WorkbenchError(
            f"study {study.name!r} has no finished run that is up to date; `workbench run {path}` makes them"
        )
    return comparison
