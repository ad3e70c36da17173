"""From a study's finished runs to its `comparison.json` and `report.html`, made again only when something changed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workbench.studies import DONE, keys, read_json, write_json
from workbench.studies.config import BEST, StudyConfig
from workbench.studies.progress import headline

_CODE = ("comparison", "report", "companions")  # what the results of this module are written by


def compare_study(
    study: StudyConfig, runs: Sequence[Any], *, always: bool = False, by_label: bool = False
) -> dict[str, Any] | None:
    """Write `comparison.json` and `report.html` from the finished runs, print the headline, return the comparison.

    runs: those of `runs.plan`. Where the stored comparison was made from the same runs, settings and code, it is only
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
        "code": keys.run_key(keys.modules([f"workbench.studies.{name}" for name in _CODE])),
    }
    methods = importlib.import_module("workbench.studies.comparison")
    comparison = read_json(path) or {}
    if always or comparison.get("made_from") != made_from or not page.is_file():
        names = {run.alias for run in done} | {BEST}
        pairs = tuple(pair for pair in study.compare.pairs if names.issuperset(pair))  # the rest waits for its models
        settings = study.compare.model_copy(update={"pairs": pairs})
        loaded = [replace(methods.load_run(run.folder), alias=run.alias) for run in done]
        missing = [{"model": alias, "state": state} for alias, state in made_from["missing"].items()]
        comparison = methods.compare(study.name, study.question, loaded, settings)
        stale = [{"model": alias, "reasons": reasons} for alias, reasons in made_from["stale"].items()]
        comparison = {**comparison, "missing": missing, "stale": stale, "made_from": made_from}
        companions = importlib.import_module("workbench.studies.companions")
        comparison = companions.completed(comparison, study.cost, loaded)
        write_json(path, comparison)
        companions.write(study.folder, comparison, loaded)
        importlib.import_module("workbench.studies.report").write(study.folder, comparison, loaded, study.corpus)
    terminal = importlib.import_module("workbench.studies.terminal")
    headline(comparison, terminal.tables(comparison, by_label=by_label))
    print(f"comparison: {path}\nreport:     {page}", flush=True)
    return comparison
