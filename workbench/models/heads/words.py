"""The words of a text as one side of a joint head, in the place of an encoder's vectors.

A model of words (`text-tfidf`, `text-hashing`) gives both what the side is made of: the DIRECTIONS in which the n-grams
of the training texts differ most (latent semantic analysis; Deerwester et al. 1990), which say what a text is about and
so what goes with a picture, and its own log-odds of each label, which know the rare words that no direction has. The
head starts from these log-odds and learns by how much directions and pictures change them (`networks.Head`, `told`):
among a thousand numbers of a picture, as one more input, they were lost.

What the head learns from are log-odds of models that were fitted on other folds of train, as in `combine.ensemble`;
those of the model that is kept would look surer on its own training posts than on any other.
Open doubts: the kept model knows all folds, so its scores are a little sharper than those that were learnt from; the
n-grams of all training texts are in memory at once, also those of `text-hashing`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from workbench.features import Blocks
from workbench.models import Classifier
from workbench.models.fit.out_of_fold import folds, held_out

DIRECTIONS = 64
FOLDS = 3  # of train, for log-odds that have not seen their post
LEAST = 2  # training texts that must have an n-gram
SAMPLE = 20_000  # texts from which directions are found


class WordSide:
    """Vectors of texts by a model of words.

    Attributes:
        member: the model of words.
        used (n_used,): the numbers of the n-grams that count; basis (n_used, k) float16: the directions.
    """

    def __init__(self, member: Classifier, used: np.ndarray | None = None, basis: np.ndarray | None = None) -> None:
        self.member: Any = member
        self.used = np.zeros(0, np.int64) if used is None else used
        self.basis = np.zeros((0, 0), np.float16) if basis is None else basis

    @classmethod
    def learn(
        cls, make: Callable[[], Classifier], train: pa.Table, validation: pa.Table, seed: int
    ) -> tuple[WordSide, Blocks]:
        """Return the side as learnt from a corpus table, and the vectors of its posts' raw texts to learn from."""
        side = cls(make().fit(train, validation, seed=seed))
        parts = [(rows, x) for rows, _, x, _ in _raw(side.member).words(train)]
        if parts:
            x = sparse.csr_array(sparse.vstack([x for _, x in parts]))
            side._find_directions(x[:: -(-x.shape[0] // SAMPLE) or 1], seed)
        scores = held_out(lambda: [_raw(make())], train, validation, folds(train, FOLDS, seed), seed)[0]
        values, there = np.empty((len(train), side.dim), np.float32), np.zeros(len(train), np.int64)
        for rows, x in parts:
            values[rows], there[rows] = side._vectors(x, scores[rows]), 1
        return side, Blocks.build(values[there > 0], there, [None] * len(train))

    @property
    def dim(self) -> int:
        """Length of a vector: the directions and the labels."""
        return self.basis.shape[1] + len(self.member.taxonomy.names)

    def blocks(self, posts: pa.Table) -> Blocks:
        """Return a row for each variant of each text of a table, the raw text first."""
        counts, values, numbers = np.zeros(len(posts), np.int64), [np.empty((0, self.dim), np.float32)], []
        for rows, start, x, scores in self.member.words(posts):
            counts[rows] = np.diff([*start, x.shape[0]])
            values.append(self._vectors(x, scores))
            numbers += [number for count in counts[rows].tolist() for number in range(count)]
        left_out = self.member.left_out(posts)
        return Blocks.build(np.concatenate(values), counts, [None] * len(posts), left_out, numbers)

    def _find_directions(self, x: sparse.csr_array, seed: int) -> None:
        """Take the n-grams that LEAST of the texts x (n_texts, n_ngrams) have, and the directions of most variance."""
        self.used = np.flatnonzero(np.bincount(x.indices, minlength=x.shape[1]) >= LEAST)
        most = min(DIRECTIONS, len(self.used) - 1, x.shape[0] - 1)
        self.basis = np.zeros((len(self.used), max(most, 0)), np.float16)
        if most > 0:
            self.basis = randomized_svd(x[:, self.used], most, random_state=seed)[2].T.astype(np.float16)

    def _vectors(self, x: sparse.csr_array, scores: np.ndarray) -> np.ndarray:
        """Return the vectors (n, dim) of features x (n, n_ngrams) and log-odds (n, n_labels), unknown ones as 0."""
        known = np.where(self.member.trained & np.isfinite(scores), scores, 0.0)
        return np.concatenate([x[:, self.used] @ self.basis.astype(np.float32), known], axis=1).astype(np.float32)


def _raw(member: Any) -> Any:
    """Return a model that reads texts as they stand."""
    raw = copy.copy(member)
    raw.options = member.options.model_copy(update={"variants": False})
    return raw
