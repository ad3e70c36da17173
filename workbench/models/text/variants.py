"""The variants of posts' texts as rows of one list, and the highest score over the variants of each post.

What models of words share: training takes the raw text, a score is the maximum over all variants. Every model here
counts or reads a text to its end, or to where the option `text` cuts it, which its reason then says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.linear_model import LogisticRegression

from workbench.features.blocks import Truncated
from workbench.models import Classifier, Prediction, two_classes
from workbench.models.fit.choose import best_strength
from workbench.models.fit.targets import fit_shares, target_matrix
from workbench.models.heads.bags import highest_rows
from workbench.preprocessing.text.cleaning import TextOptions, clean, left_out, stands_for_none
from workbench.preprocessing.text.spelling import Lexicon
from workbench.preprocessing.text.variants import variants
from workbench.schema import Taxonomy, declared, label_matrix

Matrix = Callable[[pa.Table, Taxonomy], tuple[np.ndarray, np.ndarray]]
LEXICON = "lexicon.json"
CHUNK = 4096  # posts whose variants are in memory together


class HasText(Protocol):
    """What is read of a model's options: how its texts are cleaned, and whether obfuscation is undone."""

    text: TextOptions
    variants: bool


class TextVariants(NamedTuple):
    """Variants of n posts one after the other: their texts, what was undone in each (None: raw), each post's first."""

    texts: list[str]
    kinds: list[str | None]
    start: np.ndarray

    def highest(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the highest score of each post (n, n_labels), and of which kind of variant it is.

        scores: (n_texts, n_labels). Of equal scores that of the first variant counts, so that of a raw text is None.
        """
        best = highest_rows(scores, self.start)
        return np.take_along_axis(scores, best, axis=0), np.array(self.kinds, dtype=object)[best]


def said(posts: pa.Table, options: TextOptions) -> np.ndarray:
    """Return which posts (n_posts,) have a text that stands for something."""
    there = declared(posts)["text"]
    if options.missing and there.any():
        there = there & [not stands_for_none(text.as_py(), options) for text in posts["text"]]
    return there


def parts(texts: Sequence[str], options: HasText, lexicon: Lexicon | None) -> Iterator[TextVariants]:
    """Yield the cleaned variants of texts, some posts at a time; without `options.variants` raw texts alone."""
    cleaned = partial(clean, options=options.text, lexicon=lexicon)
    for at in range(0, len(texts), CHUNK):
        some = texts[at : at + CHUNK]
        if not options.variants:
            yield TextVariants([cleaned(text) for text in some], [None] * len(some), np.arange(len(some)))
            continue
        ways_of = [variants(text, cleaned) for text in some]
        start = np.cumsum([0, *map(len, ways_of[:-1])])
        kinds = [None if n == 0 else variant.kind for ways in ways_of for n, variant in enumerate(ways)]
        yield TextVariants([variant.text for ways in ways_of for variant in ways], kinds, start)


def shortened(posts: pa.Table, options: TextOptions) -> list[str | None]:
    """Return, per post, what cleaning leaves out of a text that is longer than `options.max_chars`."""
    notes: list[str | None] = [None] * len(posts)
    if options.max_chars is not None:
        long = pc.fill_null(pc.greater(pc.utf8_length(posts["text"]), options.max_chars), False)
        for row in np.flatnonzero(long.to_numpy(zero_copy_only=False)).tolist():
            note = left_out(posts["text"][row].as_py(), options)
            notes[row] = None if note is None else Truncated(note)
    return notes


def learn_words(texts: Sequence[str], options: TextOptions) -> Lexicon | None:
    """Return the words of the training texts where `options.spelling` needs them."""
    if not options.spelling:
        return None
    return Lexicon.learn(clean(text, options.before_spelling()) for text in texts)


class WordModel(Classifier):
    """A model of the words of a text, which it reads to its end.

    Subclasses write `_scored`, and `_features` with `_label_features` where they are linear in features of a text.

    Attributes:
        lexicon: the words of the training texts, where cleaning repairs their spelling.
        weights (n_features, n_labels), bias (n_labels,): of a linear model.
    """

    options: HasText
    modalities = ("text",)
    lexicon: Lexicon | None = None
    weights: np.ndarray
    bias: np.ndarray

    def _said(self, table: pa.Table, matrix: Matrix = label_matrix) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return the raw texts of the posts that say something, with their y and known (n_texts, n_labels)."""
        rows = said(table, self.options.text)
        y, known = (array[rows] for array in matrix(table, self.taxonomy))
        return table["text"].filter(pa.array(rows)).to_pylist(), y, known

    def _learn_from(self, train: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return cleaned training texts, y and known, after finding which labels can be learnt, and the lexicon."""
        raw, y, known = self._said(train, target_matrix)
        self.trained &= two_classes(y, known)
        self.lexicon = learn_words(raw, self.options.text)
        return self._cleaned(raw), y, known

    def _cleaned(self, raw: Sequence[str]) -> list[str]:
        return [clean(text, self.options.text, self.lexicon) for text in raw]

    def _fit_linear(self, x: Any, y: np.ndarray, known: np.ndarray, validation: pa.Table) -> dict[str, float]:
        """Fit weights and bias on features x (n_texts, n_features).

        Returns of each trained label the C that ranks validation best, else the middle one.
        """
        raw, held_y, held_known = self._said(validation)
        held = self._features(self._cleaned(raw))
        self.weights, self.bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
        strengths = {}
        for k in np.flatnonzero(self.trained):
            some, there = known[:, k], held_known[:, k]
            share = y[some, k]
            own, other = self._label_features(k, x[some], share, held)
            strengths[self.taxonomy.names[k]], best = best_strength(
                self._strengths(k),
                lambda c, k=k, own=own, y=share: fit_shares(self._regression(k, c, len(y)), own, y),
                held_y[there, k] > 0.5,
                lambda model, other=other, there=there: model.decision_function(other[there]),
            )
            self.weights[:, k], self.bias[k] = best.coef_[0], best.intercept_[0]
        return strengths

    def _strengths(self, k: int) -> tuple[float, ...]:
        """Return the inverse strengths of label k's penalty that validation chooses from."""
        return self.options.C

    def _features(self, texts: list[str]) -> Any:
        """Return the features (n_texts, n_features) of cleaned texts."""
        raise NotImplementedError

    def _label_features(self, k: int, x: Any, y: np.ndarray, held: Any) -> tuple[Any, Any]:
        """Return what label k is learnt from, and chosen on, after learning it from x and y (n_texts,)."""
        raise NotImplementedError

    def _regression(self, k: int, strength: float, n: int) -> LogisticRegression:
        """Return the untrained regression of label k for an inverse strength of its penalty and n posts."""
        raise NotImplementedError

    def _scored(self, texts: list[str]) -> np.ndarray:
        """Return logits (n_texts, n_labels) of cleaned texts."""
        raise NotImplementedError

    def _predict(self, posts: pa.Table) -> Prediction:
        """Return the scores of the best variant of each text, and what cleaning leaves out of long ones."""
        scores = np.zeros((len(posts), len(self.bias)))
        kinds = np.full(scores.shape, None, dtype=object)
        for rows, part in self._variants_of(posts):
            scores[rows], kinds[rows] = part.highest(self._scored(part.texts))
        return Prediction(scores, said(posts, self.options.text), {"text": self.left_out(posts)}, kinds)

    def _variants_of(self, posts: pa.Table) -> Iterator[tuple[np.ndarray, TextVariants]]:
        """Yield some posts that say something at a time: their rows, and the cleaned variants of their texts."""
        readable = said(posts, self.options.text)
        at = np.flatnonzero(readable)
        for part in parts(posts["text"].filter(pa.array(readable)).to_pylist(), self.options, self.lexicon):
            rows, at = at[: len(part.start)], at[len(part.start) :]
            yield rows, part

    # -------------------------------------------------------------------------------- as one side of a joint head

    def words(self, posts: pa.Table) -> Iterator[tuple[np.ndarray, np.ndarray, Any, np.ndarray]]:
        """Yield some posts that say something at a time, by the variants of their texts.

        Their rows, where each one's variants begin, the variants' features (n_texts, n_features) and their logits
        (n_texts, n_labels).
        """
        for rows, part in self._variants_of(posts):
            yield rows, part.start, self._features(part.texts), self._scored(part.texts)

    def text_kinds(self, text: str) -> list[str | None]:
        """Return what was undone in each variant of a text, by its number; None for the raw one."""
        ways = variants(text, partial(clean, options=self.options.text, lexicon=self.lexicon))
        return [None, *(variant.kind for variant in ways[1:])]

    def left_out(self, posts: pa.Table) -> list[str | None]:
        """Return, per post, what cleaning leaves out of its text."""
        return shortened(posts, self.options.text)

    def _save_parts(self, folder: Path) -> None:
        if self.lexicon is not None:
            write_words(folder / LEXICON, self.lexicon.words)

    def _restore(self, state: dict[str, Any], arrays: dict[str, np.ndarray], folder: Path) -> None:
        if self.options.text.spelling:
            self.lexicon = Lexicon(read_words(folder / LEXICON))
        for name in self._state()[1]:
            setattr(self, name, arrays[name])


def write_words(path: Path, words: Any) -> None:
    """Write words, in whatever lists or mappings, as JSON with one on each line."""
    path.write_text(json.dumps(words, indent=0), encoding="utf-8")


def read_words(path: Path) -> Any:
    """Return what `write_words` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
