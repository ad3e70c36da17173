"""The readings of posts' texts as rows of one list, and the highest score over the readings of each post.

What models of words share: training takes the first reading, a score is the maximum over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workbench.models.heads.bags import highest_rows
from workbench.preprocessing.text.cleaning import TextOptions, clean, stands_for_none
from workbench.preprocessing.text.spelling import Lexicon
from workbench.preprocessing.text.variants import readings
from workbench.schema import declared

Scorer = Callable[[list[str]], np.ndarray]
CHUNK = 4096  # posts whose readings are in memory together


class Views(NamedTuple):
    """Readings of n posts one after the other: their texts, what was undone in each (None: raw), each post's first."""

    texts: list[str]
    kinds: list[str | None]
    start: np.ndarray

    def highest(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the highest score of each post (n, n_labels), and of which kind of reading it is.

        scores: (n_texts, n_labels). Of equal scores that of the first reading counts, so a raw one is None.
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


def views(texts: Sequence[str], options: TextOptions, lexicon: Lexicon | None, every: bool) -> Iterator[Views]:
    """Yield the cleaned readings of texts, some posts at a time; every: not only the text as it stands."""
    cleaned = partial(clean, options=options, lexicon=lexicon)
    for at in range(0, len(texts), CHUNK):
        part = texts[at : at + CHUNK]
        if not every:
            yield Views([cleaned(text) for text in part], [None] * len(part), np.arange(len(part)))
            continue
        found = [readings(text, cleaned) for text in part]
        start = np.cumsum([0, *map(len, found[:-1])])
        kinds = [None if n == 0 else reading.kind for ways in found for n, reading in enumerate(ways)]
        yield Views([reading.text for ways in found for reading in ways], kinds, start)


def highest(
    posts: pa.Table, options: TextOptions, lexicon: Lexicon | None, every: bool, score: Scorer, labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores (n_posts, labels) by the best reading of each text, who has a text (n_posts,), and which reading.

    score: cleaned texts -> (n_texts, labels); a post without a text scores 0. every: not only the text as it stands.
    """
    readable = said(posts, options)
    scores = np.zeros((len(posts), labels))
    kinds = np.full(scores.shape, None, dtype=object)
    at = np.flatnonzero(readable)
    for part in views(texts(posts, readable), options, lexicon, every):
        rows, at = at[: len(part.start)], at[len(part.start) :]
        scores[rows], kinds[rows] = part.highest(score(part.texts))
    return scores, readable, kinds


def learn_words(texts: Sequence[str], options: TextOptions) -> Lexicon | None:
    """Return the words of the training texts where `options.spelling` needs them."""
    if not options.spelling:
        return None
    return Lexicon.learn(clean(text, options.before_spelling()) for text in texts)
