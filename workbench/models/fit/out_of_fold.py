"""Scores of training posts by models that do not know them: what anything that learns from scores has to learn from.

Source: Wolpert 1992, Stacked generalization.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from workbench.models import Classifier


def folds(train: pa.Table, k: int, seed: int) -> np.ndarray:
    """Return the fold (n_posts,) of each post: groups in random order, each to the fold that has the fewest posts.

    There are as many folds as groups where there are fewer than `k`.
    """
    index = families(train)
    size = np.bincount(index)
    of_group, filled = np.empty(len(size), dtype=np.int64), np.zeros(min(k, len(size)), dtype=np.int64)
    for group in np.random.default_rng(seed).permutation(len(size)):
        of_group[group] = filled.argmin()
        filled[of_group[group]] += size[group]
    return of_group[index]


def families(posts: pa.Table) -> np.ndarray:
    """Return the number (n_posts,) of each post's group; a post without one is a group of its own."""
    groups = posts["group"].to_pylist()
    names = [f"post {i}" if group is None else f"group {group}" for i, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1]


def held_out(
    make: Callable[[], list[Classifier]], train: pa.Table, validation: pa.Table, fold: np.ndarray, seed: int
) -> np.ndarray:
    """Return scores (n_models, n_posts, n_labels) float32 of train by models that were fitted on the other folds.

    make: new, untrained models; NaN for a fold that is all there is.
    """
    scores: np.ndarray | None = None
    for part in np.unique(fold):
        rest, mine = train.filter(pa.array(fold != part)), np.flatnonzero(fold == part)
        members = make()
        if scores is None:
            shape = (len(members), len(train), len(members[0].taxonomy.names))
            scores = np.full(shape, np.nan, dtype=np.float32)
        if len(rest):
            for row, member in zip(scores, members, strict=True):
                row[mine] = member.fit(rest, validation, seed=seed).logits(train.take(mine))
    return scores
