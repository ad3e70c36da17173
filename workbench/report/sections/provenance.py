"""Which runs, code, data and machines stand behind the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison
from workbench.comparison.run_files import Metrics, Search
from workbench.report import checklist as questions
from workbench.report import wording
from workbench.report.section import Section, table
from workbench.schema import ROOT, options_text


def provenance(comparison: Comparison, runs: Sequence[Run]) -> Section:
    """Which run, code, data, machine stand behind the numbers."""
    lines = {}
    for run in runs:
        record = run.record
        lines[run.alias] = {
            "model": wording.plain(record.model),
            "run": ", ".join(run.keys),
            "device": wording.plain(", ".join(filter(None, (record.device, record.dtype)))),
            "seconds": wording.number(record.seconds, 1),
            "trained on": wording.plain(record.n_train),
            "seeds": ", ".join(map(str, run.seeds)),
            "commit": f"{(record.commit or 'unknown')[:10]}, {record.edited}",
            "data": wording.plain(record.corpus_digest)[:16],
        }
    items = {
        name: {"items": digest[:16], "runs that scored it": str(scored(runs, name, _of_a_run(runs, name, digest)))}
        for name, digest in comparison.items.items()
    }
    prose = f"Every number above can be followed to a run folder under {_folder(runs[0])}/." if runs else ""
    if comparison.missing:
        prose += f" Missing: {', '.join(f'{row.model} ({row.state})' for row in comparison.missing)}."
    tables = {
        "runs": table(lines),
        "test sets": table(items),
    }
    return Section("provenance", "Where do the numbers come from?", prose, {}, tables)


def _of_a_run(runs: Sequence[Run], test: str, digest: str) -> str:
    """Return the digest of the posts that one run scored: by folds those of the first."""
    return runs[0].metrics.items.get(test, digest) if runs and runs[0].parts else digest


def _folder(run: Run) -> str:
    """Return the study's folder: from the repository's root, or whole where it lies elsewhere."""
    folder, root = run.folder.resolve().parent, ROOT.resolve()
    return (folder.relative_to(root) if folder.is_relative_to(root) else folder).as_posix()


def scored(runs: Sequence[Run], test: str, digest: str) -> int:
    """How many distinct runs of this study's folder, old ones included, have scored this very test set."""
    folders = {run.folder for run in runs}
    for path in (path for parent in {folder.parent for folder in folders} for path in parent.glob("*/metrics.json")):
        other = Metrics.read(path.parent)
        folders |= {path.parent} if other and other.items.get(test) == digest else set()
    return len(folders)


def search_table(records: dict[str, Search]) -> tuple[str, pd.DataFrame]:
    """Return prose and a table, one row per model, for the search records of a study's runs by alias."""
    budgets = [record.budget for record in records.values()]
    same = all(budget == budgets[0] for budget in budgets)
    first = budgets[0]
    bound = "" if first.seconds is None else f" and {first.seconds:g} seconds"
    prose = (
        f"Every model had the same budget: {first.trials} trials{bound}. The first trial is the model as the study "
        f"writes it, the others are drawn from its own space; {first.metric.replace('_', ' ')} on validation chose, "
        "and the test set was not looked at. What the study writes itself is kept."
        if same
        else "The models did not have the same budget, so the search was not fair: run the study again."
    )
    rows = {}
    for alias, record in records.items():
        best = record.trials[record.winner]
        space = "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in record.space.items())
        rows[alias] = {
            "space": space or "nothing to search",
            "combinations": record.size if record.space else 0,
            "trials run": len(record.trials),
            "seconds": f"{record.seconds:.1f}",
            "winner": "its own options" if record.winner == 0 else options_text(best.options),
            "own options": wording.number(record.trials[0].score),
            "winner's score": wording.number(best.score),
        }
    return prose, table(rows)


def checklist(comparison: Comparison, runs: Sequence[Run]) -> Section:
    """Each question with its answer and what shows it."""
    items = questions.answered(comparison, runs)
    counts = Counter(item.answer for item in items)
    answers = ", ".join(
        f"{counts[answer]} {answer}"
        for answer in (questions.YES, questions.PARTLY, questions.NO, questions.UNKNOWN)
        if counts[answer]
    )
    prose = (
        f"What reviewers of such studies ask (after REFORMS and the NeurIPS checklist), answered from the records "
        f"alone: {answers}. What no record can show is for a person to answer."
    )
    lines = {item.question: {"answer": item.answer, "what shows it": item.evidence} for item in items}
    return Section("checklist", "Would a reviewer be content?", prose, {}, {"": table(lines)})
