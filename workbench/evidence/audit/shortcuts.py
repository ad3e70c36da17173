"""Shortcuts: metadata that tells a label although nobody looked at the post, so that a model may do so as well.

For each label, every column of `metadata` and every pair of them is asked: train is divided into cells by their values
(a column's distinct values, or ranges with equal numbers of posts and of positives, so that rare labels are told too),
and a post scores the share of the label among the training posts of its cell. Columns are a *shortcut* where average
precision, rescaled so that a random order is 0 and a perfect one is 1, is at least `TOO_GOOD` twice: within train by
cross-validation over groups, and on test at the lower end of its interval. More than half of what can be known of the
label is then told without reading the post. Fakeddit's `subreddit`, which is its label, reaches 1. A pair is one only
where neither of its columns is, and where it tells `MORE` than either.

The interval is a bootstrap over groups of test posts at `LEVEL`, one-sided. Columns may honestly tell something (a
community's norms, an author's record), which is why the bar is far above chance, and so high that none of a thousand
pairs reaches it by chance. Labels that fewer than `POSITIVES` posts or groups of train or test have, or have not, are
not asked about.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.metrics import average_precision_score

from workbench.evidence.audit.metadata import metadata
from workbench.evidence.audit.relations import EXAMPLES
from workbench.schema import Taxonomy, label_matrix

TOO_GOOD = 0.5
LEVEL = 0.99
DRAWS = 200
POSITIVES = 20
BINS = 32
MORE = 0.1  # which a pair must tell beyond the better of its columns
DISTINCT = 64  # a number of at most so many different values is asked value by value
FOLDS = 5


class BothSides(NamedTuple):
    """Something of each training post (n_train,) and of each test post (n_test,)."""

    train: np.ndarray
    test: np.ndarray


def look(sets: Mapping[str, pa.Table], taxonomy: Taxonomy, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return the finding `shortcut`; its `scores` are one row per label and column, and per pair that is a shortcut.

    A row says `average_precision` and `prevalence`, both on test, and `shortcut`; that of a shortcut also `lower`, the
    lower end, and `validated`, what cross-validation within train gives, rescaled.
    """
    tables = BothSides(sets["train"], sets["test"])
    groups = BothSides(*map(_groups, tables))
    columns, labels = BothSides(*map(metadata, tables)), BothSides(*(label_matrix(one, taxonomy) for one in tables))
    rows, asked, concerned = [], 0, np.zeros(len(tables.test), bool)
    for k, label in enumerate(taxonomy.names):
        known = BothSides(*(known[:, k] for _, known in labels))
        y = BothSides(*(y[there, k].astype(bool) for (y, _), there in zip(labels, known, strict=True)))
        group = BothSides(*(of[there] for of, there in zip(groups, known, strict=True)))
        if not all(_enough(*side) for side in zip(y, group, strict=True)):
            continue
        here = _cells(*(frame[there] for frame, there in zip(columns, known, strict=True)), y.train)
        told = {name: cells for name, cells in here.items() if len(np.unique(cells.train)) > 1}
        found = list(_of_label(_Question(y, group, seed), told))
        asked += len(found)
        rows += [{"label": label, **row} for row in found if row["shortcut"] or row["fields"] in told]
        concerned |= known.test & any(row["shortcut"] for row in found)
    caught = sorted((row for row in rows if row["shortcut"]), key=lambda row: -row["lower"])
    examples = [{"content": _told(row), "posts": []} for row in caught[:EXAMPLES]]
    counts = {"overlap": len(caught), "of": asked, "posts": int(concerned.sum())}
    return {"shortcut": {**counts, "examples": examples, "scores": rows}}


def _groups(table: pa.Table) -> np.ndarray:
    """Return a number for the group of each post, int (n_posts,); a post without one is a group of its own."""
    codes = pd.factorize(pd.Series(table["group"].to_pylist(), dtype=object))[0]
    return np.where(codes < 0, len(codes) + np.arange(len(codes)), codes)


def _enough(y: np.ndarray, group: np.ndarray) -> bool:
    """Return whether enough posts of enough groups have a label, and enough have it not."""
    return all(side.sum() >= POSITIVES and len(np.unique(group[side])) >= POSITIVES for side in (y, ~y))


def _told(row: Mapping[str, Any]) -> str:
    alone = "together tell" if " and " in row["fields"] else "alone tells"
    return (
        f"{row['fields']} {alone} of {row['label']} with average precision {row['average_precision']:.2f} "
        f"(at least {row['lower']:.2f}; a random order {row['prevalence']:.2f})"
    )


def _of_label(question: _Question, columns: Mapping[str, BothSides]) -> Iterator[dict[str, Any]]:
    """Yield a row for every column and every pair of those that are no shortcut."""
    left = {}
    for name, cells in columns.items():
        row = question.ask(cells)
        left |= {} if row["shortcut"] else {name: cells}
        yield {"fields": name, **row}
    for one, other in itertools.combinations(left, 2):
        yield {"fields": f"{one} and {other}", **question.ask(left[one], left[other])}


class _Question:
    """What columns tell of a label where it is known; of both sides y, bool (n_posts,), and group, int (n_posts,)."""

    def __init__(self, y: BothSides, group: BothSides, seed: int) -> None:
        self.y, self.group, self.seed = y, group, seed
        _, of = np.unique(group.train, return_inverse=True)
        self.fold = np.random.default_rng(seed).permutation(int(of.max()) + 1)[of] % FOLDS
        self.prevalence = float(y.test.mean())

    def ask(self, *columns: BothSides) -> dict[str, Any]:
        """Return what cells of one or two columns are worth, and whether that is too good."""
        cells = columns[0] if len(columns) == 1 else _crossed(*columns)
        score, value = self._on_test(cells)
        row = {"average_precision": value, "prevalence": self.prevalence, "shortcut": False}
        told = _rescaled(value, self.prevalence)
        if told < TOO_GOOD or (within := self._within(cells)) < TOO_GOOD:
            return row
        if len(columns) > 1:
            alone = max(_rescaled(self._on_test(one)[1], self.prevalence) for one in columns)
            if told < alone + MORE or within < max(map(self._within, columns)) + MORE:
                return row
        low = lower(self.y.test, score, self.group.test, self.seed)
        return row | {"lower": low, "validated": within, "shortcut": _rescaled(low, self.prevalence) >= TOO_GOOD}

    def _on_test(self, cells: BothSides) -> tuple[np.ndarray, float]:
        """Return the scores of test posts (n_test,) and their average precision."""
        learnt = self._rates(cells.train)[1]
        unseen = np.append(learnt, self.y.train.mean())
        score = unseen[np.minimum(cells.test, len(learnt))]
        return score, float(average_precision_score(self.y.test, score))

    def _within(self, cells: BothSides) -> float:
        """Return the average precision of train by cross-validation, rescaled."""
        of_folds = self._rates(cells.train)[0]
        value = average_precision_score(self.y.train, of_folds[cells.train, self.fold])
        return _rescaled(float(value), float(self.y.train.mean()))

    def _rates(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each cell's share of the label without each fold (n_cells, FOLDS) and in all of train (n_cells,).

        As if each cell had one post more, with the share of all of train.
        """
        size = (int(cells.max()) + 1, FOLDS)
        at = cells * FOLDS + self.fold
        n, positive = (np.bincount(at, weight, size[0] * size[1]).reshape(size) for weight in (None, self.y.train))
        share = self.y.train.mean()

        def rate(positive: np.ndarray, n: np.ndarray) -> np.ndarray:
            return (positive + share) / (n + 1)

        n_all, all_positive = n.sum(axis=1), positive.sum(axis=1)
        return rate(all_positive[:, None] - positive, n_all[:, None] - n), rate(all_positive, n_all)


def lower(y: np.ndarray, score: np.ndarray, group: np.ndarray, seed: int) -> float:
    """Return the lower end of the interval of average precision, over groups of posts.

    Draws without a positive do not count. y: bool (n_posts,); score: float (n_posts,); group: int (n_posts,).
    """
    rng, _, of = np.random.default_rng(seed), *np.unique(group, return_inverse=True)
    draws, n = [], int(of.max()) + 1
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(n, size=n), minlength=n)[of]
        if (y * weight).any():
            draws.append(average_precision_score(y, score, sample_weight=weight))
    return float(np.quantile(draws, 1 - LEVEL))


def _rescaled(value: float, prevalence: float) -> float:
    return (value - prevalence) / (1 - prevalence)


def _cells(train: pd.DataFrame, test: pd.DataFrame, y: np.ndarray) -> dict[str, BothSides]:
    """Return in which cell of each column each post is, int; 0 is of what is unknown. y: bool (n_train,)."""
    return {
        name: _levels(train[name], test[name]) if train[name].dtype == object else _ranges(train[name], test[name], y)
        for name in train
    }


def _levels(train: pd.Series, test: pd.Series) -> BothSides:
    codes, levels = pd.factorize(train)
    there = pd.Index(levels).get_indexer(test)
    return BothSides(codes + 1, np.where(test.isna(), 0, np.where(there < 0, len(levels), there) + 1))


def _ranges(train: pd.Series, test: pd.Series, y: np.ndarray) -> BothSides:
    """Return the cells of a number: its values, or ranges with as many posts each, and such with as many positives.

    A value between such ranges of positives is a cell of its own: one that all of them have tells the label.
    """
    values = np.unique(train.dropna())
    if len(values) > DISTINCT:
        steps, positive = np.linspace(0, 1, BINS + 1), train[y].dropna()
        ends = np.quantile(positive, steps, method="lower") if len(positive) else np.zeros(0)
        after = values[np.minimum(np.searchsorted(values, ends, "right"), len(values) - 1)]
        values = np.unique([*np.quantile(train.dropna(), steps, method="lower")[:-1], *ends, *after])
    at = (np.where(side.isna(), 0, np.maximum(np.searchsorted(values, side, "right"), 1)) for side in (train, test))
    return BothSides(*at)


def _crossed(one: BothSides, other: BothSides) -> BothSides:
    """Return the cells of two columns together."""
    width = int(max(other.train.max(), other.test.max())) + 1
    codes = [a * width + b for a, b in zip(one, other, strict=True)]
    seen, train = np.unique(codes[0], return_inverse=True)
    at = np.minimum(np.searchsorted(seen, codes[1]), len(seen) - 1)
    return BothSides(train, np.where(seen[at] == codes[1], at, len(seen)))
