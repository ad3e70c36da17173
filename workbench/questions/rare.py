"""Rare labels: what recipes of one model are worth where training has only a few tens of a label's positives.

Notebook 06 asks it. Everything is measured on one test set, whose posts and groups are the same for all recipes, so
differences are resampled as pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.comparison.options import MAIN
from workbench.errors import WorkbenchError
from workbench.metrics.classification import Confusion
from workbench.metrics.intervals import (
    bootstrap,
    difference_interval,
    group_codes,
    group_confusions,
    value_interval,
)
from workbench.metrics.ranking import Ranking
from workbench.schema import inputs, label_matrix
from workbench.studies.steps import training

if TYPE_CHECKING:
    from workbench.features.store import FeatureStore
    from workbench.studies.steps.training import Material

RESAMPLES = 1000


def thinned(material: Material, label: str, positives: int, *, seed: int) -> Material:
    """Return the material with at most `positives` positives of a label in train, drawn by seed; other sets stay.

    Raises WorkbenchError for an unknown label, and where train has none of its positives.
    """
    y, known, k = _labels(material, "train", label)
    rows = np.flatnonzero(y[:, k] & known[:, k])
    if not len(rows) or positives < 1:
        raise WorkbenchError(f"train has {len(rows)} positives of {label!r} and {positives} are wanted; none is left")
    gone = np.random.default_rng(seed).permutation(rows)[positives:]
    keep = np.ones(len(y), dtype=bool)
    keep[gone] = False
    return replace(material, sets={**material.sets, "train": material.sets["train"].filter(pa.array(keep))})


def compare(
    name: str,
    recipes: Mapping[str, dict[str, Any]],
    material: Material,
    label: str,
    seeds: Sequence[int],
    store: FeatureStore,
) -> pd.DataFrame:
    """Return a table, one row per recipe (options of the model `name`): what it is worth on test for one label.

    AP, and recall and precision at the threshold of the best F1 on validation (NaN where a seed has none), are means
    over seeds on the same posts; 95 % intervals by bootstrap over groups; `AP minus first` compares with the first
    recipe, resampled as pairs.
    """
    y, known, k = _labels(material, MAIN, label)
    rows = known[:, k]
    truth = y[rows, k]
    codes, groups = group_codes(np.array(material.sets[MAIN]["group"].to_pylist(), dtype=object)[rows].astype(str))
    lines, first = {}, None
    for recipe, options in recipes.items():
        drawn = []
        for trained in training.moderate(training.fit(name, options, material, seeds, store), material):
            logits = trained.moderator.classifier.logits(inputs(material.sets[MAIN]))[rows]
            score = np.where(np.isnan(logits[:, k]), trained.moderator.classifier.constants[k], logits[:, k])
            cut, prob = trained.rules[label].flags_from, trained.moderator.calibrated(logits)[:, k]
            flagged = np.nan_to_num(prob, nan=-1.0) >= (np.inf if cut is None else cut)
            draws = _draws(truth, score, flagged, codes, groups)
            draws[1:] *= 1.0 if cut is not None else np.nan  # without a threshold nobody knows what would be flagged
            drawn.append(draws)
        area, recall, precision = np.mean(drawn, axis=0)
        first = area if first is None else first
        lines[recipe] = {
            **_spanned("AP", area[0], value_interval(area)),
            **_spanned("recall", recall[0], value_interval(recall)),
            "precision": precision[0],
            **_spanned("AP minus first", area[0] - first[0], difference_interval(area, first)),
            "seeds' sd of AP": float(np.std([draws[0, 0] for draws in drawn])),
            "positives": int(truth.sum()),
            "prevalence": float(truth.mean()),
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _labels(material: Material, name: str, label: str) -> tuple[np.ndarray, np.ndarray, int]:
    column = material.column(label)
    y, known = label_matrix(material.sets[name], material.taxonomy)
    return y > 0.5, known, column


def _draws(truth: np.ndarray, score: np.ndarray, flagged: np.ndarray, codes: np.ndarray, groups: int) -> np.ndarray:
    """Return average precision, recall and precision (3, 1 + RESAMPLES), the sample's own first."""
    ranking = Ranking.build(truth, score, codes, groups)
    counts = group_confusions(truth, flagged, codes, groups)

    def statistic(W: np.ndarray) -> np.ndarray:
        confusion = Confusion(*(counts @ W))
        return np.stack([ranking.average_precision(W), confusion.recall, confusion.precision])

    return bootstrap(statistic, groups, RESAMPLES, seed=0, rows=ranking.rows)


def _spanned(name: str, value: float, bounds: tuple[float, float]) -> dict[str, float]:
    return {name: float(value), f"{name}, from": bounds[0], f"{name}, to": bounds[1]}
