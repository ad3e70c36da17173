"""What models are trained towards: the truth of each label, or where a corpus has soft labels the share that say it.

A corpus with soft labels (`soft: true` on shares, votes or annotators) has a column `soft` beside `labels`. A model
gets its targets here and nowhere else, and every loss, learner and vote takes a share as so many yes and so many no
(Peterson et al. 2019, Human uncertainty makes classification more robust, ICCV). A model with `labels: hard` never sees
the shares, nor do the models that it is made of (`without_shares`).

A sample that is not as the site is says so by its weights (`workbench.schema`). A model with `resample: weights` learns
from posts drawn by them, and chooses on validation posts drawn by them, so that every loss, learner and vote sees the
site's mix; what it costs is the posts that are not drawn.

Shares are for training, and for what validation chooses by the loss that is trained. What is chosen there by ranking,
calibration, thresholds and metrics hold scores against what more than half say; a post of one half is unknown to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.schema import Taxonomy, label_matrix

SOFT = "soft"  # the column of shares


def without_shares(table: pa.Table) -> pa.Table:
    """Return a corpus with what most say alone."""
    return table.drop_columns(SOFT) if SOFT in table.column_names else table


def target_matrix(table: pa.Table, taxonomy: Taxonomy) -> tuple[np.ndarray, np.ndarray]:
    """Return y (n_posts, n_labels) float32 in [0, 1], 0 where unknown, and `known`, bool of the same shape."""
    y, known = label_matrix(table, taxonomy)
    if SOFT not in table.column_names:
        return y, known
    for k, name in enumerate(taxonomy.names):
        shares = pc.struct_field(table[SOFT], name).combine_chunks()
        given = shares.is_valid().to_numpy(zero_copy_only=False)
        y[given, k] = shares.fill_null(0.0).to_numpy(zero_copy_only=False)[given]
        known[:, k] |= given
    return y, known


def resampled(table: pa.Table, seed: int) -> pa.Table:
    """Return as many posts of a corpus, each as often as its weight says, and all of weight 1.

    A post of weight w comes w n / (sum of weights) times, rounded up or down by chance so that the mean is right
    (systematic resampling, Kitagawa 1996, https://doi.org/10.2307/1390750); equal weights leave the posts as they are.
    """
    weight = pc.fill_null(table["weight"], 1.0).to_numpy()
    if not len(weight) or (weight == weight[0]).all():
        return table
    passed = np.cumsum(weight) * (len(weight) / weight.sum())
    ends = np.floor(passed + np.random.default_rng([seed, len(weight)]).random()).astype(int)
    drawn = table.take(pa.array(np.repeat(np.arange(len(weight)), np.diff(ends, prepend=0))))
    place = table.column_names.index("weight")
    return drawn.set_column(place, table.schema.field("weight"), pa.array(np.ones(len(drawn)), table["weight"].type))


def two_classes(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which labels (n_labels,) some known post is for and some against; y, known: (n_posts, n_labels).

    >>> two_classes(np.array([[0.05, 0.0], [0.45, 0.0]]), np.ones((2, 2), bool))
    array([ True, False])
    """
    return ((y > 0) & known).any(axis=0) & ((y < 1) & known).any(axis=0)


def prevalence_logits(y: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the log-odds (n_labels,) float32 of each label's smoothed prevalence, NaN where no post knows the label.

    y, known: (n_posts, n_labels). Smoothed as (positives + 1/2) / (known + 1), Jeffreys' prior, so it is never 0 or 1.

    >>> prevalence_logits(np.array([[1.0], [0.0], [0.0]]), np.array([[True], [True], [False]]))
    array([0.], dtype=float32)
    """
    n = known.sum(axis=0)
    positives = np.where(known, y, 0.0).sum(axis=0, dtype=np.float64)
    logits = np.log(positives + 0.5) - np.log(n - positives + 0.5)
    return np.where(n > 0, logits, np.nan).astype(np.float32)


def as_classes(x: Any, y: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return posts for a learner of two classes: x (n_rows, n_features), truth (n_rows,) bool, weight (n_rows,).

    y (n_posts,) in [0, 1]: a post of a share is two rows, a yes that weighs its share and a no that weighs the rest.
    Where all are 0 or 1 the posts are as they were, and the weight is None.
    """
    if np.isin(y, (0.0, 1.0)).all():
        return x, y > 0.5, None
    yes, no = np.flatnonzero(y > 0), np.flatnonzero(y < 1)
    truth = np.repeat([True, False], [len(yes), len(no)])
    return x[np.concatenate([yes, no])], truth, np.concatenate([y[yes], 1 - y[no]])


def fit_shares(model: Any, x: Any, y: np.ndarray) -> Any:
    """Fit a scikit-learn classifier on x (n_posts, n_features) towards y (n_posts,) in [0, 1], and return it."""
    rows, truth, weight = as_classes(x, y)
    return model.fit(rows, truth) if weight is None else model.fit(rows, truth, sample_weight=weight)
