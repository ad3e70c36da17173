"""Counts of word and character n-grams, and how they are weighed: tf-idf, log-count ratios, rows of length 1.

Sources: tf-idf as scikit-learn's TfidfVectorizer(sublinear_tf=True); the ratio from Wang and Manning 2012, "Baselines
and Bigrams", https://aclanthology.org/P12-2018, here by its absolute value.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

WORD = r"(?u)\b\w+\b"  # one-letter words too: "u", "I"


class Ngrams:
    """Counts of one kind of n-gram over a fixed vocabulary, in the case of letters that the texts come in."""

    def __init__(self, analyzer: str, span: tuple[int, int], vocabulary: list[str] | None = None) -> None:
        self.analyzer, self.span, self.vocabulary = analyzer, span, vocabulary
        self._fixed: CountVectorizer | None = None

    def _counter(self, vocabulary: list[str] | None) -> CountVectorizer:
        pattern = {"token_pattern": WORD} if self.analyzer == "word" else {}
        return CountVectorizer(
            analyzer=self.analyzer,
            ngram_range=tuple(self.span),
            vocabulary=vocabulary,
            dtype=np.float64,
            lowercase=False,
            **pattern,
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


def log_weighted(counts: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """Return counts (n_posts, n_ngrams) as 1 + log(count) times idf, and the idf (n_ngrams,).

    It is log((1 + n_posts) / (1 + df)) + 1, smoothed as if one more post had every n-gram.
    """
    posts = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + counts.shape[0]) / (1 + posts)) + 1
    return by_idf(counts, idf), idf


def by_idf(counts: sparse.csr_array, idf: np.ndarray) -> sparse.csr_array:
    """Return counts (n_posts, n_ngrams) as 1 + log(count) times idf (n_ngrams,)."""
    return _with_data(counts, (1 + np.log(counts.data)) * idf[counts.indices])


def log_count_ratios(x: sparse.csr_array, y: np.ndarray) -> np.ndarray:
    """Return |log of the n-gram's share among positives over that among negatives| (n_ngrams,), each count plus one.

    x: (n_posts, n_ngrams), of which only zero or not counts; y: (n_posts,) in [0, 1].
    """
    there = _with_data(x, (x.data > 0).astype(np.float64)).T
    positive, negative = (1 + there @ share for share in (y.astype(np.float64), 1 - y.astype(np.float64)))
    return np.abs(np.log(positive / positive.sum()) - np.log(negative / negative.sum()))


def by_ratios(x: sparse.csr_array, ratios: np.ndarray) -> sparse.csr_array:
    """Return x (n_posts, n_ngrams) with each column times its ratio (n_ngrams,), in rows of length 1."""
    return unit_rows(_with_data(x, x.data * ratios[x.indices]))


def unit_rows(x: sparse.csr_array) -> sparse.csr_array:
    """Return x (n_posts, n_ngrams) with rows of length 1, where they are not all zero."""
    return x if 0 in x.shape else normalize(x)


def _with_data(x: sparse.csr_array, data: np.ndarray) -> sparse.csr_array:
    return sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)
