"""Model and data cards in the hub's format, filled from the records, with what no record tells left visibly open.

Beside a study's report: `cards/<alias>.md` for each run and `cards/data.md`. The YAML head is what the Hugging Face hub
reads (`huggingface_hub.ModelCardData`, `EvalResult`, `DatasetCardData`; https://huggingface.co/docs/hub/model-cards),
the body is for people. A bundle's own README says what its thresholds are; a card says what the study found of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.artifacts import write_text
from workbench.comparison.options import MACRO
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, ModelRow, path
from workbench.comparison.run_files import study_name
from workbench.decisions import bundle
from workbench.decisions.bundle import ServingMemory
from workbench.metrics.table import headline
from workbench.report import labelled, removals, wording

OPEN = "**not stated: fill in**"
_TEMPLATES = Path(__file__).parent / "templates"
_COSTS = {
    "ms_per_post": "milliseconds per post",
    "peak_mb": "peak memory in training, MiB",
    "fit_seconds": "seconds of training",
    "parameters": "parameters",
}
_SOURCE = ("corpus.", "split.")  # the parameters that say where posts come from


def write(folder: Path, comparison: Comparison, runs: Sequence[Run]) -> Path:
    """Write a card for each run and one for the posts into a study's `cards/`, and return that folder.

    Cards of models that are compared no longer are deleted; what a person has filled in belongs in a copy.
    """
    place = folder / "cards"
    place.mkdir(exist_ok=True)
    pages = {f"{path(run.alias)}.md": model_card(comparison, run) for run in runs}
    pages["data.md"] = data_card(comparison, runs)
    for old in (card for card in place.glob("*.md") if card.name not in pages):
        old.unlink()
    for name, page in pages.items():
        write_text(place / name, page)
    return place


def model_card(comparison: Comparison, run: Run) -> str:
    """Return the card of one run as Markdown with its YAML head; the model's scores are those of the comparison."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    results = [
        EvalResult(
            task_type="text-classification" if run.modalities == ("text",) else "other",
            task_name="content moderation",
            dataset_type=comparison.study,
            dataset_name=f"{comparison.study}, {wording.view(row.view)}",
            dataset_split=row.test,
            dataset_revision=comparison.items[row.test][:16],
            metric_type=row.metric,
            metric_name=f"{wording.metric(row.metric)} ({wording.measured_on(row)})",
            metric_value=row.value,
            metric_args=row.model_dump(include={"label", "view", "lo", "hi", "n", "positives"}),
        )
        for row in _scores(comparison, run.alias)
    ]
    data = ModelCardData(
        model_name=run.alias,
        library_name="moderation-workbench",
        tags=["content-moderation", *run.modalities, *comparison.labels],
        eval_results=results or None,
    )
    columns, lines = _worth(comparison, run.alias)
    removed = {label: " ".join(said) for label in run.labels if (said := removals.sentences(run, label))}
    gone = {label: table for label in removed if (table := removals.table([run], label)) is not None}
    card = ModelCard.from_template(
        data,
        _TEMPLATES / "model_card.md",
        open=OPEN,
        run=run,
        study=comparison.study,
        question=comparison.question,
        made_from=_made_from(run),
        view=wording.view(comparison.compare.view),
        columns=columns,
        lines=lines,
        removed=removed,
        gone=[[label, name, *cells] for label, table in gone.items() for name, *cells in table.itertuples()],
        gone_columns=next(([*table.columns] for table in gone.values()), []),
        costs={_COSTS[name]: wording.quantity(value) for name, value in run.costs.items() if value is not None},
        memory=[one.words for one in _memory(run).values()],
        measure=f"workbench bench memory {study_name(run.folder.parent)}:{run.alias}",
    )
    return f"{card}\n"


def _memory(run: Run) -> dict[str, ServingMemory]:
    """Return device -> what serving takes there, as it was measured last of any seed's bundle."""
    seeds = sorted((run.folder / "bundle").glob(f"*/{bundle.MEMORY}"), key=lambda path: path.stat().st_mtime)
    return {device: one for path in seeds for device, one in bundle.memory(path.parent).items()}


def _scores(comparison: Comparison, alias: str) -> list[ModelRow]:
    """The defined values of a model in the study's view of each compared test set, for each label and their mean."""
    measured = {*headline(), comparison.compare.metric}
    rows = [
        row for test in comparison.tests for row in comparison.rows(model=alias, metric=None, label=None, test=test)
    ]
    return [row for row in rows if row.metric in measured and row.value is not None]


def _made_from(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "run": ", ".join(run.keys),
        "options": wording.listed(record.options),
        "seeds": ", ".join(map(str, run.seeds)),
        "training posts": record.n_train,
        "posts, by digest": record.corpus_digest,
        "weights, by sha256": wording.listed({name: sha[:16] for name, sha in record.inputs_of("weights").items()}),
        "commit": record.commit and f"{record.commit}, {record.edited}",
        "libraries": wording.listed(record.versions),
        "computed on": " ".join(filter(None, (record.device, record.dtype))),
        "ended": record.ended,
    }


def _worth(comparison: Comparison, alias: str) -> tuple[list[str], list[list[str]]]:
    """Return the columns and the cells of a table with a row per label."""
    rows = {(row.test, row.label, row.metric): row for row in _scores(comparison, alias)}
    site = [name for name in ("precision_site", "recall_site") if any(metric == name for *_, metric in rows)]
    shown = dict.fromkeys(["precision", "recall", *site, "average_precision", "roc_auc", comparison.compare.metric])
    lines = []
    for test, label in dict.fromkeys((test, label) for test, label, _ in rows):
        values = [rows.get((test, label, metric)) for metric in shown]
        if first := next((row for row in values if row), None):
            cells = [wording.interval(row) if row else "–" for row in values]
            posts = f"{first.positives:,}"  # of all labels together it is no number of posts
            harmful = wording.harmful(label, first.positives) if label == MACRO else posts
            lines.append([wording.caption(comparison, wording.label(label), test), f"{first.n:,}", harmful, *cells])
    return ["label", "posts", "harmful", *map(wording.column, shown)], lines


def data_card(comparison: Comparison, runs: Sequence[Run]) -> str:
    """Return the card of a study's posts as Markdown with its YAML head."""
    from huggingface_hub import DatasetCard, DatasetCardData

    n = sum(len(scores.post_id) for scores in runs[0].sets.values()) + (runs[0].record.n_train or 0)
    data = DatasetCardData(
        pretty_name=f"Posts of the study {comparison.study}",
        task_categories=["text-classification"] if all(run.modalities == ("text",) for run in runs) else ["other"],
        tags=["content-moderation", *comparison.labels],
        size_categories=_size(n),
    )
    record, sets = runs[0].record, runs[0].sets
    given = {name: value for name, value in record.inputs_of("parameter").items() if name.startswith(_SOURCE)}
    card = DatasetCard.from_template(
        data,
        _TEMPLATES / "data_card.md",
        open=OPEN,
        study=comparison.study,
        given=wording.listed(given),
        digest=record.corpus_digest,
        trained_on=wording.plain(record.n_train),
        sets=[(name, len(of.post_id), len(np.unique(of.group)), int(of.paired.sum())) for name, of in sets.items()],
        labels=labelled.counted(runs),
        noticed=[*labelled.noticed(runs), *labelled.warned(runs)],
        overlap=next((run.metrics.overlap for run in runs if run.metrics.overlap), {}),
    )
    return f"{card}\n"


def _size(n: int) -> str:
    steps = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((word for end, word in steps.items() if n < end), "1M<n<10M")
