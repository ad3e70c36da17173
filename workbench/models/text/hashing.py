"""Hashed n-grams of words and characters by logistic regression, streamed: the baseline for a million posts.

Nothing grows with the corpus but its labels: there is no vocabulary (an n-gram's number is its hash), posts are read a
stretch at a time from the memory-mapped table, hashed anew in every pass, and forgotten. Hashing is arithmetic on whole
arrays: with powers of an odd number B, the difference of two running sums over a text's characters, shifted back, is
the hash of what lies between, for words and runs of any length. Each stretch teaches all labels and penalties together
by Adagrad in small batches; validation chooses the penalty per label.

Sources: Weinberger et al. 2009, Feature Hashing for Large Scale Multitask Learning, https://arxiv.org/abs/0902.2206 (a
sign bit makes collisions cancel on average); Duchi et al. 2011, Adaptive Subgradient Methods,
https://jmlr.org/papers/v12/duchi11a.html (frequent n-grams get smaller steps than rare ones).
scikit-learn's HashingVectorizer and SGDClassifier take 1.8 times as long and rank worse (LOG.md, 2026-11-29).
Open doubts: there is no idf and no choice of n-grams, which is what `text-tfidf` gains by; the penalty is applied to
an n-gram only when a post has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from scipy import sparse
from scipy.special import expit

from workbench.models import two_classes
from workbench.models.fit.choose import best_strength
from workbench.models.fit.options import VARIANTS, TargetOptions, check_ngrams
from workbench.models.fit.targets import target_matrix
from workbench.models.text.variants import WordModel, said
from workbench.preprocessing.text.cleaning import TextOptions
from workbench.schema import Options, label_matrix

BASE = np.uint64(0x9E3779B97F4A7C15 | 1)  # odd, so that it has an inverse modulo 2**64
STRETCH_CHARACTERS = 2_000_000  # hashed at once; takes about 100 bytes each
RUN = 64  # rows that are read together: far fewer than a stretch, so that it has rows from everywhere
START = 1.0  # of the sums of squares: the first step for a rare n-gram is then small, as its slope is


class HashingOptions(TargetOptions):
    """Which n-grams are hashed, into how many numbers, and how weights are learnt."""

    ngrams: tuple[int, int] | None = Field((1, 2), description="Shortest and longest run of words; null: no words.")
    char_ngrams: tuple[int, int] | None = Field(
        (3, 5), description="Shortest and longest run of characters within a word and its edges; null: none."
    )
    bits: int = Field(20, ge=4, le=28, description="N-grams share 2**bits numbers; 20 takes 4 MiB per label on disk.")
    penalties: tuple[float, ...] = Field(
        (1e-6, 1e-5, 1e-4), min_length=1, description="Strengths of the L2 penalty that validation chooses from."
    )
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the training posts.")
    lr: float = Field(1.0, gt=0, le=100, description="Adagrad's rate.")
    batch_size: int = Field(64, ge=1, description="Posts per step.")
    stretch: int = Field(4096, ge=1, description="Posts that are read, hashed and shuffled together.")
    text: TextOptions = Field(TextOptions(lower=True), description="How a text is cleaned before it is hashed.")
    variants: bool = VARIANTS

    @model_validator(mode="after")
    def _ranges_make_sense(self) -> Self:
        check_ngrams(self.ngrams, self.char_ngrams)
        if any(value < 0 for value in self.penalties):
            raise ValueError(f"penalties must not be below 0, not {list(self.penalties)}")
        return self


class HashingClassifier(WordModel):
    """Logistic regression on hashed n-grams, in bounded memory."""

    options_class = HashingOptions
    options: HashingOptions
    search: ClassVar[dict[str, tuple]] = {"lr": (0.5, 1.0, 2.0), "char_ngrams": ((2, 4), (3, 5), None)}

    def __init__(self, name: str, options: Options, **built: Any) -> None:
        super().__init__(name, options, **built)
        self.weights = np.zeros((0, len(self.taxonomy.names)), np.float32)  # (2**bits, n_labels)
        self.bias = np.zeros(len(self.taxonomy.names), np.float32)

    def _fit(self, train: pa.Table, validation: pa.Table, seed: int) -> None:
        y, known = target_matrix(train, self.taxonomy)
        there = said(train, self.options.text)
        self.trained &= two_classes(y[there], known[there])
        options, rng = self.options, np.random.default_rng(seed)
        learner = Adagrad(1 << options.bits, options.penalties, y.shape[1], options.lr)
        for _ in range(options.epochs if self.trained.any() else 0):
            for rows in _stretches(len(train), options.stretch, rng):
                rows = rows[there[rows]]
                x = self._some(train, rows)
                for batch in _split(rng.permutation(len(rows)), options.batch_size):
                    posts = rows[batch]
                    learner.step(x[batch], y[posts], known[posts] & self.trained)
        self._choose(learner, validation)

    def _choose(self, learner: Adagrad, validation: pa.Table) -> None:
        """Keep each label's weights under the penalty that ranks validation best, else the middle one."""
        y, known = label_matrix(validation, self.taxonomy)
        known &= said(validation, self.options.text)[:, None]
        scores = self._scores(validation, learner.weights.reshape(len(learner.weights), -1), learner.bias.reshape(-1))
        scores = scores.reshape(len(validation), *learner.bias.shape)  # (n_posts, n_penalties, n_labels)
        chosen, record = np.zeros(y.shape[1], np.int64), {}
        for k in np.flatnonzero(self.trained):
            some = known[:, k]
            columns = scores[some, :, k]
            of_penalty = {penalty: column for column, penalty in enumerate(self.options.penalties)}
            record[self.taxonomy.names[k]], chosen[k] = best_strength(
                self.options.penalties, of_penalty.get, y[some, k] > 0.5, lambda column, z=columns: z[:, column]
            )
        labels = np.arange(y.shape[1])
        self.weights = np.ascontiguousarray(learner.weights[:, chosen, labels])
        self.bias, self.record = learner.bias[chosen, labels], {"penalty": record}

    def _scored(self, texts: list[str]) -> np.ndarray:
        return self._features(texts) @ self.weights + self.bias

    def _features(self, texts: list[str]) -> sparse.csr_array:
        return hashed(texts, self.options.ngrams, self.options.char_ngrams, self.options.bits)

    def _scores(self, posts: pa.Table, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Return scores (n_posts, n_columns), 0 where there is no text; a stretch of posts at a time."""
        there = said(posts, self.options.text)
        scores = np.zeros((len(posts), weights.shape[1]), np.float32)
        for start in range(0, len(posts) if len(weights) else 0, self.options.stretch):
            rows = np.flatnonzero(there[start : start + self.options.stretch])
            x = self._some(posts.slice(start, self.options.stretch), rows)
            scores[start + rows] = x @ weights + bias
        return scores

    def _some(self, part: pa.Table, rows: np.ndarray) -> sparse.csr_array:
        """Return the features of some rows of a stretch of posts."""
        return self._features(self._cleaned(part["text"].take(pa.array(rows)).to_pylist()))

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, {"weights": self.weights[:, self.trained], "bias": self.bias}  # the other labels' are 0

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        super()._restore(state, arrays, folder)
        if self.weights.shape[1] < len(self.bias):  # earlier versions saved a column for every label
            kept, self.weights = self.weights, np.zeros((len(self.weights), len(self.bias)), np.float32)
            self.weights[:, self.trained] = kept


class Adagrad:
    """Logistic regressions of all labels and penalties, trained together; only the n-grams of a batch are touched.

    Attributes:
        weights (n_numbers, n_penalties, n_labels), bias (n_penalties, n_labels): float32.
    """

    def __init__(self, numbers: int, penalties: tuple[float, ...], labels: int, lr: float) -> None:
        self.penalties, self.lr = np.repeat(np.float32(penalties), labels), lr  # one per column
        self.weights = np.zeros((numbers, len(penalties), labels), np.float32)
        self.bias = np.zeros((len(penalties), labels), np.float32)
        self._seen = np.zeros((numbers, len(penalties) * labels), np.float32)  # sums of squared gradients
        self._there, self._place = np.zeros(numbers, bool), np.zeros(numbers, np.int32)
        self._seen_bias = np.zeros(len(penalties) * labels, np.float32)

    def step(self, x: sparse.csr_array, y: np.ndarray, known: np.ndarray) -> None:
        """Take one step on posts x (n_posts, n_numbers) with y and known (n_posts, n_labels)."""
        self._there[x.indices] = True  # by marks, since sorting the indices would take most of the time
        used = np.flatnonzero(self._there)
        self._there[used] = False
        self._place[used] = np.arange(len(used), dtype=np.int32)
        x = sparse.csr_array((x.data, self._place[x.indices], x.indptr), shape=(x.shape[0], len(used)))
        every, bias = self.weights.reshape(len(self.weights), -1), self.bias.reshape(-1)  # views
        weights, times = every[used], len(self.bias)
        wrong = expit(x @ weights + bias) - np.tile(y, times)
        wrong = np.where(np.tile(known, times), wrong, 0.0).astype(np.float32)
        slope = x.T @ wrong + len(y) * self.penalties * weights  # sums over the batch, not means
        self._seen[used] += slope**2
        every[used] = weights - self.lr * slope / np.sqrt(START + self._seen[used])
        slope = wrong.sum(axis=0)
        self._seen_bias += slope**2
        bias -= self.lr * slope / np.sqrt(START + self._seen_bias)


# ----------------------------------------------------------------------------------------------------------- hashing


def hashed(
    texts: list[str], words: tuple[int, int] | None, characters: tuple[int, int] | None, bits: int
) -> sparse.csr_array:
    """Return the n-grams of texts as rows (n_texts, 2**bits) float32 of length about 1.

    Words are what lies between spaces, characters are runs inside a word with a space at its edges. Every occurrence
    adds +1 or -1, a bit of its hash, at the number of its hash; all is divided by the root of the text's n-grams.
    """
    parts = [_ngrams(some, words, characters, bits) for some in _by_characters(texts)]
    if not parts:
        return sparse.csr_array((0, 1 << bits), dtype=np.float32)
    return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))


def _ngrams(
    texts: list[str], words: tuple[int, int] | None, characters: tuple[int, int] | None, bits: int
) -> sparse.csr_array:
    line = "".join(f" {' '.join(text.split())} " for text in texts)
    code = np.frombuffer(line.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.array([len(" ".join(text.split())) + 2 for text in texts])
    owner = np.repeat(np.arange(len(texts)), lengths)
    space = code == 32
    power = np.multiply.accumulate(np.full(len(code) + 1, BASE, np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((code.astype(np.uint64) + 1) * power[:-1])])
    back = np.multiply.accumulate(np.full(len(code) + 1, pow(int(BASE), -1, 2**64), np.uint64))
    begins, ends = np.flatnonzero(space[:-1] & ~space[1:]) + 1, np.flatnonzero(~space[:-1] & space[1:]) + 1
    spans = []
    for n in range(words[0], words[1] + 1) if words else ():
        first, last = begins[: len(begins) - n + 1], ends[n - 1 :]
        same = owner[first] == owner[last - 1]
        spans.append((first[same], last[same], 2 * n))
    inner = np.concatenate([np.zeros(1, np.int64), np.cumsum(space)])  # spaces before a place
    for n in range(characters[0], characters[1] + 1) if characters else ():
        first = np.arange(max(0, len(code) - n + 1))
        within = inner[first + n - 1] == inner[np.minimum(first + 1, len(code))]  # no space but at the edges
        within &= owner[first] == owner[first + n - 1]
        within &= ~(space[first] & space[first + n - 1] & (n < 3))  # what is left of an empty text
        first = first[within]
        spans.append((first, first + n, 2 * n + 1))
    mixed = [_mix((sums[last] - sums[first]) * back[first], kind) for first, last, kind in spans]
    post = np.concatenate([owner[first] for first, _, _ in spans])
    return _rows(np.concatenate(mixed), post, len(texts), bits)


def _mix(value: np.ndarray, kind: int) -> np.ndarray:
    """Return hashes (n,) uint64 whose every bit depends on all of the value's (the finaliser of splitmix64)."""
    value = value + np.uint64(kind * 0xD1B54A32D192ED03 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(31))


def _rows(hashes: np.ndarray, post: np.ndarray, n: int, bits: int) -> sparse.csr_array:
    order = np.argsort(post, kind="stable")
    counts = np.bincount(post, minlength=n)
    sign = 1.0 - 2.0 * ((hashes >> np.uint64(63)) & np.uint64(1)).astype(np.float32)
    values = (sign / np.sqrt(np.maximum(counts, 1))[post]).astype(np.float32)
    numbers = (hashes & np.uint64((1 << bits) - 1)).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_array((values[order], numbers[order], starts), shape=(n, 1 << bits))


def _by_characters(texts: list[str]) -> Iterator[list[str]]:
    """Split texts so that each part has a bounded number of characters, or one text."""
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > STRETCH_CHARACTERS:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some


def _stretches(n: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return all of n rows in parts of about `size`, each of runs from anywhere, as a table may be sorted by label."""
    run = min(RUN, size)
    runs = [np.arange(start, min(start + run, n)) for start in rng.permutation(np.arange(0, n, run))]
    most = size // run
    return [np.concatenate(runs[at : at + most]) for at in range(0, len(runs), most)]


def _split(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]
