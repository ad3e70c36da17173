"""Words and character n-grams by logistic regression: the baseline that any text model has to beat.

Counts of word and character n-grams, 1 + log(count) times smoothed idf, times the log-count ratio (how differently a
label's positives and negatives use the n-gram), each post's row of length 1, then one logistic regression per label on
the posts that know it. Character n-grams inside words bridge misspellings and inflection. A fitted model is plain data:
a vocabulary, its idf, two matrices.

Sources: tf-idf as scikit-learn's TfidfVectorizer(sublinear_tf=True); the ratio from Wang and Manning 2012, "Baselines
and Bigrams", https://aclanthology.org/P12-2018, here by its absolute value.
Open doubt: liblinear's intercept is penalised like a weight; with unit rows that shrinks it a little for rare labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from workbench.models.fit.options import (
    CLASS_WEIGHT,
    VARIANTS,
    ClassWeight,
    Strengths,
    TargetOptions,
    by_class,
    check_ngrams,
)
from workbench.models.text.variants import WordModel, read_words, write_words
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.schema import Options

VOCABULARY = "vocabulary.json"
WORD = r"(?u)\b\w+\b"  # one-letter words too: "u", "I"


class TfidfOptions(TargetOptions):
    """Which n-grams are counted and how strongly their weights are held back."""

    ngrams: tuple[int, int] | None = Field((1, 2), description="Shortest and longest run of words; null: no words.")
    char_ngrams: tuple[int, int] | None = Field(
        (2, 5), description="Shortest and longest run of characters within a word; null: no characters."
    )
    min_df: int = Field(2, ge=1, description="An n-gram counts if so many training posts have it.")
    C: Strengths = Field(
        (0.3, 1.0, 3.0),
        description="Inverse strength of the L2 penalty; of several, validation chooses one per label by AP.",
    )
    class_weight: ClassWeight = CLASS_WEIGHT
    ratios: bool = Field(True, description="Whether n-grams count by how differently the two classes use them.")
    text: TextOptions = Field(TextOptions(), description="How a text is cleaned before n-grams are counted.")
    variants: bool = VARIANTS

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> Self:
        check_ngrams(self.ngrams, self.char_ngrams)
        return self


class Ngrams:
    """Counts of one kind of n-gram over a fixed vocabulary."""

    def __init__(self, analyzer: str, span: tuple[int, int], vocabulary: list[str] | None = None) -> None:
        self.analyzer, self.span, self.vocabulary = analyzer, span, vocabulary
        self._fixed: CountVectorizer | None = None

    def _counter(self, vocabulary: list[str] | None) -> CountVectorizer:
        pattern = {"token_pattern": WORD} if self.analyzer == "word" else {}
        return CountVectorizer(
            analyzer=self.analyzer, ngram_range=tuple(self.span), vocabulary=vocabulary, dtype=np.float64, **pattern
        )

    def learn(self, texts: list[str], min_df: int) -> sparse.csr_array:
        """Take the n-grams of `texts` that `min_df` of them have; return their counts (n_texts, n_ngrams)."""
        counter = self._counter(None)
        try:
            counts = counter.fit_transform(texts)
        except ValueError:  # no text has any n-gram of this kind
            self.vocabulary = []
            return sparse.csr_array((len(texts), 0))
        posts = np.bincount(counts.indices, minlength=counts.shape[1])
        kept = np.flatnonzero(posts >= min_df)
        self.vocabulary = counter.get_feature_names_out()[kept].tolist()
        return counts[:, kept]

    def count(self, texts: list[str]) -> sparse.csr_array:
        """Return the counts (n_texts, n_ngrams) of the vocabulary's n-grams."""
        if not self.vocabulary:
            return sparse.csr_array((len(texts), 0))
        if self._fixed is None or self._fixed.vocabulary is not self.vocabulary:
            self._fixed = self._counter(self.vocabulary)  # taking in a vocabulary costs more than counting one text
        return self._fixed.transform(texts)


class TfidfClassifier(WordModel):
    """Logistic regression on tf-idf of word and character n-grams."""

    options_class = TfidfOptions
    options: TfidfOptions
    seeded = False
    search: ClassVar[dict[str, tuple]] = {
        "ngrams": ((1, 1), (1, 2), (1, 3)),
        "char_ngrams": (None, (2, 5), (3, 5)),
        "min_df": (1, 2, 5),
        "ratios": (True, False),
        "class_weight": (None, "balanced"),
    }

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        spans = {"word": self.options.ngrams, "char_wb": self.options.char_ngrams}
        self.kinds = [Ngrams(analyzer, span) for analyzer, span in spans.items() if span]
        self.idf = np.zeros(0)
        self.ratios = self.weights = np.zeros((0, len(self.taxonomy.names)))  # (n_ngrams, n_labels) both
        self.bias = np.zeros(len(self.taxonomy.names))

    @classmethod
    def of_earlier(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return saved options without the limit on the number of n-grams, which only training read."""
        return {name: value for name, value in options.items() if name != "max_features"}

    @property
    def parameters(self) -> int:
        self._require_fitted()
        return self.weights.size + self.bias.size

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        texts, y, known = self._learn_from(train)
        least = self.options.min_df
        counts = sparse.csr_array(sparse.hstack([kind.learn(texts, least) for kind in self.kinds]))
        # Smoothed as if one more post had every n-gram: log((1 + n) / (1 + df)) + 1.
        self.idf = np.log((1 + len(texts)) / (1 + np.bincount(counts.indices, minlength=counts.shape[1]))) + 1
        if counts.shape[1] == 0:
            self.trained[:] = False
        self.ratios = np.ones((counts.shape[1], y.shape[1]))
        chosen = self._fit_linear(self._weighted(counts), y, known, validation)
        self.record = {"ngrams": counts.shape[1], "C": chosen}

    def _label_features(
        self, k: int, x: sparse.csr_array, y: np.ndarray, held: sparse.csr_array
    ) -> tuple[sparse.csr_array, sparse.csr_array]:
        if self.options.ratios:
            self.ratios[:, k] = log_count_ratios(x, y)
        return tuple(_unit_rows(part @ sparse.diags_array(self.ratios[:, k])) for part in (x, held))

    def _regression(self, k: int, strength: float, n: int) -> LogisticRegression:
        weight = by_class(self.options.class_weight, self.taxonomy.names, k)
        return LogisticRegression(C=strength, class_weight=weight, solver="liblinear", max_iter=10_000, random_state=0)

    def _scored(self, texts: list[str]) -> np.ndarray:
        x = self._features(texts)
        length = np.sqrt((x * x) @ self.ratios**2)  # of each row once the ratios have scaled it
        return x @ (self.ratios * self.weights) / np.where(length > 0, length, 1.0) + self.bias

    def _features(self, texts: list[str]) -> sparse.csr_array:
        return self._weighted(sparse.csr_array(sparse.hstack([kind.count(texts) for kind in self.kinds])))

    def _weighted(self, counts: sparse.csr_array) -> sparse.csr_array:
        counts.data = (1 + np.log(counts.data)) * self.idf[counts.indices]
        return _unit_rows(counts)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"idf": self.idf, "ratios": self.ratios, "weights": self.weights, "bias": self.bias}

    def _save_parts(self, folder: Path) -> None:
        super()._save_parts(folder)
        write_words(folder / VOCABULARY, {kind.analyzer: kind.vocabulary for kind in self.kinds})

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        vocabularies = read_words(folder / VOCABULARY)
        for kind in self.kinds:
            kind.vocabulary = vocabularies[kind.analyzer]


def log_count_ratios(x: sparse.csr_array, y: np.ndarray) -> np.ndarray:
    """Return |log of the n-gram's share among positives over that among negatives| (n_ngrams,), each count plus one.

    x: (n_posts, n_ngrams), of which only zero or not counts; y: (n_posts,) in [0, 1].
    """
    there = (x > 0).astype(np.float64).T
    positive, negative = (1 + there @ share for share in (y.astype(np.float64), 1 - y.astype(np.float64)))
    return np.abs(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))


def _unit_rows(x: sparse.csr_array) -> sparse.csr_array:
    return x if 0 in x.shape else normalize(x)
