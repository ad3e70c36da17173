"""Fair search: every model of a study gets the same budget to choose its options on validation; test is not touched.


The first trial is always the model as the study writes it. Further ones are drawn without replacement, by seed, from
the model's own `search` space; options that the study writes are kept as written, as whoever writes one means it. Each
trial is fitted on train with one seed and judged on validation by a ranking metric, so no threshold decides by luck.
Importing this module imports none of the heavy libraries.

Open doubts: a bound in seconds makes the outcome depend on the machine, so the trials that were run are recorded; the
same number of trials favours a model with a small space; the best of many trials looks better on validation than it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from workbench import models
from workbench.errors import WorkbenchError, unknown
from workbench.metrics.table import METRICS
from workbench.schema import Options, declared, inputs, label_matrix, options_text

if TYPE_CHECKING:
    from workbench.features.store import FeatureStore
    from workbench.models import Classifier
    from workbench.studies.steps.training import Material

RANKINGS = ("average_precision", "roc_auc")
DRAWS = 50  # times the trials: most draws from a space, as some of it cannot be or is drawn twice


class Budget(Options):
    """What a study's `search:` block says: how much every model may try."""

    trials: int = Field(
        1, ge=1, le=1000, description="Most options tried a model, its own first; 1: nothing is searched."
    )
    seconds: float | None = Field(
        None, gt=0, description="No trial starts once a model has used so many seconds; null: no bound."
    )


class SearchOptions(Budget):
    """The budget, and what trials are judged by; a study fills these from its `compare` block."""

    metric: Literal["average_precision", "roc_auc"] = Field("average_precision", description="What ranks trials.")
    label: str = Field("macro", description="One label, or `macro`: the mean over labels with both classes.")
    view: Literal["paired", "all"] = Field("all", description="`paired`: posts with text and media; `all`: all posts.")


class Trial(NamedTuple):
    """Options that were tried, their score on validation (None where it was not needed or is undefined), seconds."""

    options: dict[str, Any]
    score: float | None
    seconds: float


class Found(NamedTuple):
    """What a search gave: the winner's options, and the record that goes into `metrics.json`."""

    options: dict[str, Any]
    record: dict[str, Any]

    def table(self) -> pd.DataFrame:
        """Return a table, one row per trial: what it changed, its score, its seconds, and which one was taken."""
        rows = [
            {"options": options_text(trial["options"]), "score": trial["score"], "seconds": trial["seconds"]}
            for trial in self.record["trials"]
        ]
        taken = ["taken" if n == self.record["winner"] else "" for n in range(len(rows))]
        return pd.DataFrame(rows).assign(taken=taken)


def asked(budget: dict[str, Any], compare: Any) -> dict[str, Any]:
    """Return the notebook's `search` parameter for a study's `search` and `compare` blocks; empty stays empty.

    A metric that is none of RANKINGS is replaced by average precision.
    """
    if not budget:
        return {}
    metric = getattr(compare, "metric", None)
    judged = {"metric": metric if metric in RANKINGS else RANKINGS[0]}
    judged |= {name: getattr(compare, name) for name in ("label", "view") if hasattr(compare, name)}
    return {**budget, **judged}


def search(
    name: str,
    options: dict[str, Any],
    material: Material,
    wanted: dict[str, Any],
    store: FeatureStore,
    *,
    seed: int = 0,
) -> Found | None:
    """Return the options of a model that score best on validation within a budget; None where `wanted` is empty.

    Of equal scores the earlier trial is taken. Raises WorkbenchError for a budget, model or option that cannot be. A
    later trial whose training fails (it diverges) counts as tried and has no score.
    """
    if not wanted:
        return None
    asked_for = SearchOptions.parse(wanted, "search")
    models.check(name, options)
    space = {key: values for key, values in models.space(name).items() if key not in options}
    drawn = list(candidates(name, options, space, asked_for.trials, seed))
    trials: list[Trial] = []
    started = time.perf_counter()
    for n, tried in enumerate(drawn):
        used = time.perf_counter() - started
        if n and asked_for.seconds is not None and used >= asked_for.seconds:
            break
        score = None
        if len(drawn) > 1:
            try:
                model = models.create(name, tried, taxonomy=material.taxonomy, store=store)
                model.fit(material.sets["train"], material.sets["validation"], seed=seed)
                score = judge(model, material, asked_for)
            except WorkbenchError:
                if not n:
                    raise
        trials.append(Trial(tried, score, time.perf_counter() - started - used))
    scores = [-math.inf if trial.score is None else trial.score for trial in trials]
    winner = int(np.argmax(scores))
    record = {
        "budget": asked_for.model_dump(mode="json"),
        "space": space,
        "kept": sorted(options),
        "size": math.prod(map(len, space.values())),
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "trials": [trial._asdict() for trial in trials],
        "winner": winner,
    }
    return Found(trials[winner].options, record)


def candidates(
    name: str, options: dict[str, Any], space: dict[str, Sequence], trials: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield up to `trials` different options: the model's own, then draws from the space that the model accepts."""
    seen = [models.parse(name, options)]
    yield dict(options)
    if not space:
        return
    rng = np.random.default_rng(seed)
    size = math.prod(map(len, space.values()))
    order = rng.permutation(size) if size <= 100_000 else (int(rng.integers(size)) for _ in range(DRAWS * trials))
    for number in order:
        if len(seen) >= trials:
            return
        tried = {**options, **_point(space, int(number))}
        try:
            parsed = models.parse(name, tried)
        except WorkbenchError:
            continue  # a combination that cannot be
        if parsed not in seen:
            seen.append(parsed)
            yield tried


def _point(space: dict[str, Sequence], number: int) -> dict[str, Any]:
    """Return the point of a space with a number: its digits, each in the base of how many values an option has."""
    point = {}
    for name, values in space.items():
        number, digit = divmod(number, len(values))
        point[name] = list(values[digit]) if isinstance(values[digit], tuple) else values[digit]
    return point


def judge(model: Classifier, material: Material, wanted: SearchOptions) -> float | None:
    """Return a fitted model's score on validation; None where no label has both classes there.

    A post that the model cannot see counts with its training prevalence, as in the comparison.
    """
    metric = METRICS[wanted.metric]
    table, names = material.sets["validation"], material.taxonomy.names
    if wanted.label not in ("macro", *names):
        raise WorkbenchError(f"search: {unknown('label', wanted.label, ('macro', *names))}")
    y, known = label_matrix(table, material.taxonomy)
    there = declared(table)
    rows = there["text"] & (there["image"] | there["video"]) if wanted.view == "paired" else np.ones(len(table), bool)
    logits = model.logits(inputs(table))
    logits = np.where(np.isnan(logits), model.constants, logits)
    scores = []
    for k in range(len(names)) if wanted.label == "macro" else [names.index(wanted.label)]:
        mine = rows & known[:, k] & ~np.isnan(logits[:, k])
        if 0 < (y[mine, k] > 0.5).sum() < mine.sum():
            scores.append(metric(y[mine, k] > 0.5, logits[mine, k]))
    return float(np.mean(scores)) if scores else None
