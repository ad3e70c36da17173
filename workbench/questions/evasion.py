"""What a finished study's models catch when obfuscated: their bundles, the test posts, and attacks on them.

A model that takes the highest score over variants is also asked for its score without them, so that the defence and
what it costs show apart; the weights are the same, as training sees raw texts and pictures only.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.comparison.options import MAIN
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError, unknown
from workbench.evidence import robustness
from workbench.evidence.robustness import POOLED, RobustnessOptions
from workbench.features.store import FeatureStore
from workbench.models import Classifier
from workbench.schema import inputs, label_matrix
from workbench.studies.run import Results

RAW = "as it stands"
CLEAN = "in clear"


@dataclass(frozen=True)
class Survival:
    """What `survival` found: rows of `robustness.robustness`, and of `cost_of_variants` with `model`; posts scored."""

    rows: list[dict[str, Any]]
    cost: list[dict[str, Any]]
    posts: int
    positives: int


def scored_posts(results: Results, most: int | None = None) -> pa.Table:
    """Return the posts that the study's test scored, at most so many; raises WorkbenchError where they are gone."""
    if results.posts is None:
        raise WorkbenchError(
            "the study's posts are not at hand, or have changed since; `workbench run STUDY` renews them"
        )
    if results.runs[0].parts:
        raise WorkbenchError(
            "the study tests by folds, so that each of its models has trained on most test posts; a study with `split: "
            "{test: 0.25}` instead of `folds` has a model that has seen none of them"
        )
    ids = pa.array(results.runs[0].sets[MAIN].post_id.tolist())
    return results.posts.filter(pc.is_in(results.posts["post_id"], value_set=ids)).slice(0, most)


def without_variants(classifier: Classifier) -> Classifier | None:
    """Return the same model scoring texts and pictures as they stand; None where it has no such choice.

    The models that it is made of take the choice too. The model given is not changed.
    """
    raw = _raw(classifier)
    return None if raw is classifier else raw


def _raw(value: Any) -> Any:
    """Return a model, or a list or dict of models, in which those that have the choice took it; else the very same."""
    if isinstance(value, dict):
        raw = {name: _raw(member) for name, member in value.items()}
        return raw if any(raw[name] is not member for name, member in value.items()) else value
    if isinstance(value, list):
        raw = [_raw(member) for member in value]
        return raw if any(other is not member for other, member in zip(raw, value, strict=True)) else value
    if not isinstance(value, Classifier):
        return value
    changes = {name: raw for name, member in vars(value).items() if (raw := _raw(member)) is not member}
    if getattr(value.options, "variants", False):
        changes["options"] = value.options.model_copy(update={"variants": False})
    changed = copy.copy(value)
    for name, raw in changes.items():
        setattr(changed, name, raw)
    return changed if changes else value


def survival(
    results: Results,
    aliases: Sequence[str],
    options: RobustnessOptions,
    *,
    store: FeatureStore | None = None,
    most: int | None = None,
) -> Survival:
    """Return what a study's models catch when obfuscated, with variants and, as "NAME as it stands", without.

    aliases: models of the study, whose first seed's bundle is used, none: all that look at posts; most: at most so many
    test posts. Labels that none of these posts knows are left out. Raises WorkbenchError for a model that the study
    does not have, and where there is none, or no harmful post, to look at.
    """
    runs = {run.alias: run for run in results.runs}
    aliases = aliases or [alias for alias, run in runs.items() if run.modalities]
    for alias in aliases:
        if alias not in runs:
            raise WorkbenchError(unknown("model of the study", alias, runs))
    if not aliases:
        raise WorkbenchError(f"none of the study's models looks at posts: {', '.join(runs)}; add one to the study")
    store, posts = store or FeatureStore(None), scored_posts(results, most)
    models, defended = {}, {}
    for alias in aliases:
        folder = runs[alias].folder / "bundle" / str(runs[alias].seeds[0])
        models[alias] = classifier = Moderator.load(folder, store=store).classifier
        alone = without_variants(classifier)
        if alone is not None:
            models[f"{alias} {RAW}"] = alone
            defended[alias] = alone
    y, known = label_matrix(posts, classifier.taxonomy)  # which is that of all models of a study
    if not (y * known).any():
        raise WorkbenchError(f"none of {len(posts):,} test posts is known to be harmful, so there is nothing to catch")
    told = np.flatnonzero(known.any(axis=0))
    y, known, labels = y[:, told], known[:, told], [classifier.taxonomy.names[k] for k in told]
    scores = {name: _score(model, told) for name, model in models.items()}
    rows = robustness.robustness(scores, posts, y, known, labels, options)
    cost = [
        {"model": alias, **row}
        for alias, alone in defended.items()
        for row in robustness.cost_of_variants(
            _score(alone, told)(posts), scores[alias](posts), y, known, labels, fpr=options.fpr, alpha=options.alpha
        )
    ]
    return Survival(rows, cost, len(posts), int((y * known).sum()))


def _score(classifier: Classifier, labels: np.ndarray) -> robustness.Score:
    return lambda posts: classifier.logits(inputs(posts))[:, labels]


def defence(measured: Survival) -> pd.DataFrame:
    """Return a line per model that has variants and label: what they cost on clean posts, as `cost_of_variants` has it.

    Empty where no model has any.
    """
    return pd.DataFrame(measured.cost, columns=["model", "label", *_COST]).set_index(["model", "label"])


_COST = ("negatives", "fpr_without", "alarms", "lo", "hi", "positives", "recall_without", "recall_with")


def table(measured: Survival, *, strength: float, label: str = POOLED) -> pd.DataFrame:
    """Return a line per attack and a column per model: the share caught when obfuscated, with its interval.

    Beside them `positives`, how many were obfuscated; "few" where they are few.
    """
    lines: dict[str, dict[str, str]] = {}
    for row in _at(measured, strength, label):
        few = " few" if row["few"] else ""
        line = lines.setdefault(row["attack"], {"positives": f"{row['n']:,}{few}"})
        line[row["model"]] = "–" if not row["n"] else "{recall:.2f} [{lo:.2f}, {hi:.2f}]".format(**row)
    return pd.DataFrame.from_dict(lines, orient="index")


def losses(measured: Survival, *, strength: float, label: str = POOLED) -> pd.DataFrame:
    """Return a line per attack and model, the worst first: caught in clear and when obfuscated, and lost."""
    rows = [row for row in _at(measured, strength, label) if row["n"]]
    names = ["attack", "model", "n", "before", "recall", "lost", "lost_lo", "lost_hi"]
    frame = pd.DataFrame(rows, columns=names).sort_values("lost", ascending=False, kind="stable")
    return frame.set_index(["attack", "model"])


def shares(measured: Survival, *, label: str = POOLED) -> tuple[np.ndarray, list[str], list[str]]:
    """Return shares of what was caught in clear that are caught when obfuscated (lines, models), and their names.

    A line per attack and strength; NaN where nothing was caught or nothing attacked.
    """
    names = list(dict.fromkeys(row["model"] for row in measured.rows))
    lines: dict[str, list[float]] = {}
    for row in (row for row in measured.rows if row["label"] == label):
        line = lines.setdefault(f"{row['attack']} {row['strength']:g}", [np.nan] * len(names))
        line[names.index(row["model"])] = min(1.0, row["recall"] / row["before"]) if row["before"] > 0 else np.nan
    return np.array(list(lines.values())).reshape(len(lines), len(names)), list(lines), names


def _at(measured: Survival, strength: float, label: str) -> list[dict[str, Any]]:
    return [row for row in measured.rows if (row["strength"], row["label"]) == (strength, label)]
