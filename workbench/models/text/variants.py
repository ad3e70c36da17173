"""The variants of posts' texts as rows of one list, and the highest score over the variants of each post.

What models of words share: training takes the raw text, a score is the maximum over all variants. Every model here
counts or reads a text to its end, or to where the option `text` cuts it, which its reason then says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.features.blocks import Truncated
from workbench.models import Prediction
from workbench.models.heads.bags import highest_rows
from workbench.preprocessing.text.cleaning import TextOptions, clean, left_out, stands_for_none
from workbench.preprocessing.text.spelling import Lexicon
from workbench.preprocessing.text.variants import variants
from workbench.schema import declared

Scorer = Callable[[list[str]], np.ndarray]
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
        there = there & [not stands_for_none(text, options) for text in posts["text"].to_pylist()]
    return there


def texts(posts: pa.Table, rows: np.ndarray) -> list[str]:
    """Return the texts of the posts that `rows (n_posts,)` is True for."""
    return posts["text"].filter(pa.array(rows)).to_pylist()


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


def predict(posts: pa.Table, options: HasText, lexicon: Lexicon | None, score: Scorer, labels: int) -> Prediction:
    """Return the scores (n_posts, labels) of the best variant of each text, and what cleaning leaves out of long ones.

    score: cleaned texts -> (n_texts, labels), each read to its end.
    """
    readable = said(posts, options.text)
    scores = np.zeros((len(posts), labels))
    kinds = np.full(scores.shape, None, dtype=object)
    at = np.flatnonzero(readable)
    for part in parts(texts(posts, readable), options, lexicon):
        rows, at = at[: len(part.start)], at[len(part.start) :]
        scores[rows], kinds[rows] = part.highest(score(part.texts))
    return Prediction(scores, readable, {"text": shortened(posts, options.text)}, kinds)


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
