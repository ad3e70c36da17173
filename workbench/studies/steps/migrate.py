"""`workbench migrate`: what of ours replaces the thresholds in use at another system, from a study's finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from workbench import corpora
from workbench.artifacts import write_text
from workbench.comparison import predictions
from workbench.comparison.options import VALIDATION
from workbench.comparison.parts.migration import Cut, replaced
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.decisions.batch import as_text
from workbench.errors import WorkbenchError, unknown, unknown_label
from workbench.models.combine.scores import ScoresOptions, log_odds
from workbench.report import migration, page
from workbench.report.migration import Migration
from workbench.schema import expand
from workbench.studies import DONE
from workbench.studies.config import ModelEntry, StudyConfig
from workbench.studies.plan import latest_runs

_FORMATS = (".html", ".csv")


def command(path: Path, theirs: str, thresholds: Sequence[str], ours: str, test: str, out: Path | None) -> None:
    """Print what replaces the thresholds of another system, and write all of it to a page or as CSV.

    A CSV holds the table; the posts on which the systems disagree go beside it. Raises WorkbenchError in one sentence
    for what is not there or cannot be matched.
    """
    if out is not None and out.suffix.lower() not in _FORMATS:
        raise WorkbenchError(f"cannot write {out}: its name must end in {' or '.join(_FORMATS)}")
    study = StudyConfig.load(path)
    found = _found(study, theirs, thresholds, ours, test)
    _show(found)
    if out is None:
        return
    if out.suffix.lower() == ".html":
        page.write_section(out, f"Study {study.name}: from {found.theirs} to {found.ours}", migration.section(found))
        print(f"all posts: {out}")
        return
    beside = out.with_stem(f"{out.stem}-posts")
    write_text(out, _csv(migration.numbers(found)))
    write_text(beside, _csv(migration.disagreements(found)))
    print(f"table: {out}\nposts: {beside}")


def _found(study: StudyConfig, theirs: str, thresholds: Sequence[str], ours: str, test: str) -> Migration:
    if study.folds is not None:
        raise WorkbenchError(
            f"study {study.name!r} tests its posts in {study.folds} folds, each scored by another training, so no one "
            "threshold is to be told; divide its posts once, into train, validation and test"
        )
    entries = {entry.alias: entry for entry in study.models}
    for name in (theirs, *([ours] if ours else [])):
        if name not in entries:
            raise WorkbenchError(f"study {study.name!r}: {unknown('model', name, entries)}")
    if ours == theirs:
        raise WorkbenchError(f"{theirs} cannot replace itself; name another model with --to")
    ours = ours or Comparison.load(study.folder).chosen or ""
    if ours in ("", theirs):
        chosen = f"chose {theirs} itself" if ours else "chose no model"
        raise WorkbenchError(f"study {study.name!r} {chosen}; name the one that is to replace it with --to")
    vendor, model = _runs(study, theirs, ours)
    test = test or study.compare.test[0]
    tests = [name for name in vendor.sets if name != VALIDATION]
    if test not in tests:
        raise WorkbenchError(f"study {study.name!r}: {unknown('test set', test, tests)}")
    cuts = _cuts(entries[theirs], thresholds, vendor, test)
    rows = tuple(replaced(vendor, model, test, cut, study.compare) for cut in cuts)
    costs = {theirs: _stated(entries[theirs]), ours: _ours(study, model)}
    currency = study.cost.get("currency", "USD") if study.cost else "price"
    return Migration(theirs, ours, test, rows, costs, currency, _texts(study, test))


def _runs(study: StudyConfig, *names: str) -> list[Run]:
    """Return the last finished run of each model, as the one seed that would be deployed."""
    finished = {name: run for name, run in latest_runs(study.folder).items() if run.state == DONE}
    for name in names:
        if name not in finished:
            raise WorkbenchError(f"{name} has no finished run; `workbench run {study.path}` makes what is missing")
    loaded = predictions.load_runs({name: finished[name].folder for name in names})
    predictions.check_same_items(loaded)
    best = Comparison.seeds_of(study.folder)
    return [run.only(best.get(run.key, run.seeds[0])) for run in loaded]


def _cuts(entry: ModelEntry, thresholds: Sequence[str], vendor: Run, test: str) -> list[Cut]:
    """Return the thresholds in use at a model: in its file's own scale for `scores`, else in calibrated probability."""
    options = ScoresOptions.parse(entry.options, f"options of model {entry.alias!r}") if _recorded(entry) else None
    if options and options.decisions:
        if thresholds:
            raise WorkbenchError(f"{entry.alias} answers yes or no, so it has no threshold; leave out --threshold")
        scored = ~np.isnan(vendor.sets[test].logit).all(axis=(0, 1))
        if not scored.any():
            raise WorkbenchError(f"{entry.alias} answered for no post of {test!r}; name another set with --test")
        return [Cut(label, None, 0.0) for label, some in zip(vendor.labels, scored, strict=True) if some]
    if not thresholds:
        example = f"--threshold {vendor.labels[0]}=0.7"
        raise WorkbenchError(f"name the thresholds in use at {entry.alias}, as in {example}; several may be named")
    cuts = {}
    for text in dict.fromkeys(thresholds):
        label, given = _threshold(text, vendor.labels)
        if options is None or options.scale == "prob":
            _check_share(text, given)
        at = given if options is None else float(np.float32(log_odds(np.array(given), options.scale)))
        kind = "prob" if options is None else "logit"
        cuts[label, given] = Cut(label, given, at, kind, prob=options is None or options.scale == "prob")
    return [*cuts.values()]


def _threshold(text: str, labels: Sequence[str]) -> tuple[str, float]:
    label, _, number = (part.strip() for part in text.partition("="))
    try:
        given = float(number)
    except ValueError:
        given = np.nan
    if not np.isfinite(given):
        raise WorkbenchError(f"--threshold: {text!r} is not of the form LABEL=THRESHOLD, such as {labels[0]}=0.7")
    if label not in labels:
        raise WorkbenchError(f"--threshold: {unknown_label(label, labels)}")
    return label, given


def _check_share(text: str, given: float) -> None:
    if not 0 <= given <= 1:
        raise WorkbenchError(f"--threshold: {text!r} is no probability from 0 to 1, which the scores are")


def _recorded(entry: ModelEntry) -> bool:
    """Return whether a model's scores come from a file."""
    return entry.name == "scores"


def _stated(entry: ModelEntry) -> float | None:
    """Return what 1,000 calls cost, None where the study does not say."""
    cost = entry.options.get("cost_per_call") if _recorded(entry) else None
    return None if cost is None else 1000 * cost


def _ours(study: StudyConfig, run: Run) -> float | None:
    """Return what scoring 1,000 posts costs at the study's price, an upper bound; None where it states none."""
    ms, price = run.costs["ms_per_post"], study.cost.get("price_per_hour")
    return None if ms is None or price is None else 1000 * ms * price / 3_600_000


def _texts(study: StudyConfig, test: str) -> Mapping[str, str]:
    """Return the texts of a set's posts by id; empty where the corpus is not here."""
    config: dict[str, Any] = study.tests.get(test, study.corpus)
    try:
        posts = corpora.load(expand(config, "the study"), study.taxonomy).table
    except WorkbenchError:
        return {}
    texts = zip(posts["post_id"].to_pylist(), posts["text"].to_pylist(), strict=True)
    return {post: text for post, text in texts if text}


def _show(found: Migration) -> None:
    console = Console(highlight=False, markup=False)
    console = console if console.is_terminal else Console(highlight=False, markup=False, width=200)
    rows = migration.lines(found)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values(), end_section=row["system"].startswith("minus"))
    for sentence in migration.sentences(found):
        console.print(sentence, soft_wrap=True)
    console.print(table)
    for line in migration.told(found):
        console.print(line, soft_wrap=True)


def _csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV that a spreadsheet shows and does not run."""
    texts = frame.select_dtypes(["object", "string"]).columns
    safe = frame.copy()
    for name in texts:
        safe[name] = [as_text(cell) if isinstance(cell, str) else cell for cell in frame[name]]
    return safe.to_csv(index=False)
