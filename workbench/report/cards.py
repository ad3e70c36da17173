"""Model and data cards in the hub's format, filled from the records, with what no record tells left visibly open.

Beside a study's report: `cards/<alias>.md` for each run and `cards/data.md`. The YAML head is what the Hugging Face hub
reads (`huggingface_hub.ModelCardData`, `EvalResult`, `DatasetCardData`; https://huggingface.co/docs/hub/model-cards),
the body is for people. A bundle's own README says what its thresholds are; a card says what the study found of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.artifacts import write_text
from workbench.comparison.options import MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, ModelRow, path
from workbench.comparison.run_files import RunRecord
from workbench.metrics.table import METRICS, SITE
from workbench.report import wording

OPEN = "**not stated: fill in**"
_GAPS = {
    "model": (
        "Licence of the weights",
        "Intended use, and uses that are out of scope",
        "People and languages that it may treat worse",
        "Who answers for it, and how to object to a decision",
    ),
    "data": (
        "Licence and terms of use",
        "How and when the posts were collected, and whether their authors agreed",
        "Who labelled them, by which instructions, and how far they agree",
        "Personal data in them, and how it is protected",
        "Languages and groups of people that they stand for, and that they lack",
    ),
}


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


# ---------------------------------------------------------------------------------------------------------- model cards


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
            metric_name=f"{wording.metric(row.metric)} ({wording.label(row.label)})",
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
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(_model(comparison, run)) + "\n"))


def _scores(comparison: Comparison, alias: str) -> list[ModelRow]:
    """The defined values of a model in the study's view of the test set, for each label and for their mean."""
    asked = comparison.compare
    measured = {name for name, metric in METRICS.items() if metric.headline or metric.kind is SITE} | {asked.metric}
    return [
        row
        for row in comparison.models
        if (row.model, row.test, row.view) == (alias, MAIN, asked.view)
        and row.metric in measured
        and row.value is not None
    ]


def _model(comparison: Comparison, run: Run) -> Iterator[str]:
    record = run.record
    sees = ", ".join(run.modalities) or "nothing of a post"
    yield from (f"# {run.alias}", "")
    yield f"A `{record.model or OPEN}` that looks at {sees}, trained and measured in the study "
    yield f"`{comparison.study}`: {comparison.question}"
    yield from ("", "## Made from", "")
    yield from _facts(
        {
            "run": run.key,
            "options": wording.listed(record.options),
            "seeds": ", ".join(map(str, run.seeds)),
            "training posts": record.n_train,
            "posts, by digest": record.corpus_digest,
            "weights, by sha256": wording.listed(
                {name: digest[:16] for name, digest in record.inputs_of("weights").items()}
            ),
            "commit": _commit(record),
            "libraries": wording.listed(record.versions),
            "computed on": " ".join(filter(None, (record.device, record.dtype))),
            "ended": record.ended,
        }
    )
    yield from ("", "## What it is worth", "")
    yield f"On {wording.view(comparison.compare.view)} of the test set, at thresholds chosen on validation:"
    yield from ("", *_worth(comparison, run.alias), "", "## What it takes", "")
    costs = {name.replace("_", " "): wording.quantity(value) for name, value in run.costs.items() if value is not None}
    yield from _facts(costs or {"cost": None})
    yield from _open("model")


def _worth(comparison: Comparison, alias: str) -> Iterator[str]:
    """A table with a row per label."""
    shown = ["precision", "recall", "average_precision", "roc_auc"]
    shown += [name for name in (comparison.compare.metric,) if name not in shown]
    yield f"| label | posts | harmful | {' | '.join(map(wording.column, shown))} |"
    yield "|---" * (3 + len(shown)) + "|"
    rows = {(row.label, row.metric): row for row in _scores(comparison, alias)}
    for label in dict.fromkeys(label for label, _ in rows):
        values = [rows.get((label, metric)) for metric in shown]
        first = next((row for row in values if row), None)
        if first:
            cells = [wording.interval(row) if row else "–" for row in values]
            yield f"| {wording.label(label)} | {first.n:,} | {first.positives:,} | {' | '.join(cells)} |"


def _commit(record: RunRecord) -> str | None:
    if not record.commit:
        return None
    return record.commit + (", with uncommitted changes" if record.dirty else "")


# ------------------------------------------------------------------------------------------------------------ data card


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
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(_posts(comparison, runs)) + "\n"))


def _size(n: int) -> str:
    """The hub's word for a number of rows."""
    steps = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((word for end, word in steps.items() if n < end), "1M<n<10M")


def _posts(comparison: Comparison, runs: Sequence[Run]) -> Iterator[str]:
    record = runs[0].record
    given = {
        name: value for name, value in record.inputs_of("parameter").items() if name.startswith(("corpus.", "split."))
    }
    yield from (f"# The posts of the study {comparison.study}", "", "## Where they come from", "")
    yield from _facts({"source and split": wording.listed(given), "digest": record.corpus_digest})
    yield from ("", "## How many", "")
    yield f"- train: {wording.plain(record.n_train)}"
    for name, scores in runs[0].sets.items():
        groups = len(set(scores.group.tolist()))
        yield f"- {name}: {len(scores.post_id):,} posts in {groups:,} groups, {scores.paired.sum():,} of text and media"
    if dropped := next((run.metrics.dropped for run in runs if run.metrics.dropped), 0):
        yield f"- in no set, as their group stands on both sides of the cut: {dropped:,}"
    yield from ("", "## Labels", "", "| label | set | known | harmful |", "|---|---|---|---|")
    for k, label in enumerate(runs[0].labels):
        for name, scores in runs[0].sets.items():
            known = scores.known[:, k]
            yield f"| {label} | {name} | {known.sum():,} | {(scores.y[:, k] & known).sum():,} |"
    yield from ("", "## On both sides of the split", "")
    overlap = next((run.metrics.overlap for run in runs if run.metrics.overlap), {})
    if not overlap:
        yield f"- {OPEN}: no run recorded it"
    for name, counts in overlap.items():
        why = f"; accepted because: {counts.allowed}" if counts.allowed else ""
        lost = f"; {counts.not_compared:,} could not be read" if counts.not_compared else ""
        yield f"- {name}: {counts.overlap:,} of {counts.of:,}{lost}{why}"
    yield from _open("data")


def _facts(facts: dict[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        yield f"- {name}: {OPEN if value in (None, '') else value}"


def _open(kind: str) -> Iterator[str]:
    """What no record can tell."""
    yield from ("", "## For a person to fill in", "")
    yield from (f"- {gap}: {OPEN}" for gap in _GAPS[kind])
