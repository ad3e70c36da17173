"""Static word vectors: learnt from texts, or read from a file in word2vec's text format (GloVe's and fastText's too).

Learnt ones are the classical counts: how often two words stand within a window, as positive pointwise mutual
information, cut to its strongest directions. Nothing is left to chance.

Sources: Levy, Goldberg and Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word Embeddings"
(https://aclanthology.org/Q15-1016): shifted PPMI with the context distribution smoothed by 0.75, the square root of the
singular values. The file format: https://fasttext.cc/docs/en/crawl-vectors.html.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from workbench.errors import WorkbenchError

WORD = re.compile(r"\w+")
LONGEST_LINE = 1 << 20  # bytes; a line of a real file has a few thousand
SMOOTHING = 0.75


class WordVectors(NamedTuple):
    """Words and their vectors (n_words, dim) float32."""

    words: list[str]
    values: np.ndarray


def learn(texts: Iterable[str], *, dim: int, window: int, min_df: int, most: int) -> WordVectors:
    """Return vectors of the words that `min_df` texts have, the `most` frequent, from words up to `window` apart.

    Fewer than `dim` directions come out where there are fewer words. Texts are lower-cased.
    """
    split = [WORD.findall(text.lower()) for text in texts]
    counts = Counter(word for words in split for word in set(words))
    known = sorted((word for word, count in counts.items() if count >= min_df), key=lambda word: (-counts[word], word))
    known = known[:most]
    if len(known) < 3:
        return WordVectors([], np.zeros((0, dim), np.float32))
    values = _directions(_ppmi(_neighbours(split, known, window)), min(dim, len(known) - 1))
    return WordVectors(known, values)


def _neighbours(split: Sequence[list[str]], known: list[str], window: int) -> sparse.csr_array:
    """Return how often word j stands within `window` words of word i (n_words, n_words), unknown words left out."""
    place = {word: at for at, word in enumerate(known)}
    rows = [np.array([place[word] for word in words if word in place], dtype=np.int32) for words in split]
    ids = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    text = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    total = sparse.csr_array((len(known), len(known)))
    for apart in range(1, window + 1):
        same = text[:-apart] == text[apart:]
        pair = (ids[:-apart][same], ids[apart:][same])
        total = total + sparse.coo_array((np.ones(len(pair[0])), pair), shape=total.shape).tocsr()
    return (total + total.T).tocsr()


def _ppmi(counts: sparse.csr_array) -> sparse.csr_array:
    """Return max(0, log of how much more often two words stand together than by chance); contexts smoothed."""
    whole = counts.tocoo()
    rows, columns = counts.sum(axis=1), counts.sum(axis=0) ** SMOOTHING
    with np.errstate(divide="ignore"):
        chance = rows[whole.row] * columns[whole.col] / columns.sum()
    values = np.maximum(0.0, np.log(whole.data / chance))
    return sparse.csr_array((values, (whole.row, whole.col)), shape=counts.shape)


def _directions(matrix: sparse.csr_array, dim: int) -> np.ndarray:
    """Return U sqrt(S) (n_words, dim) float32, strongest first, each direction's largest entry positive."""
    start = np.random.default_rng(0).normal(size=matrix.shape[0])  # anywhere, but the same each time
    u, s, _ = svds(matrix, k=dim, v0=start)
    order = np.argsort(-s, kind="stable")
    u, s = u[:, order], s[order]
    u = u * np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    return np.ascontiguousarray(u * np.sqrt(s), dtype=np.float32)


def read(path: Path, wanted: set[str]) -> WordVectors:
    """Return the vectors of the `wanted` words from a text file, one word a line; only those are held in memory.

    A first line of two numbers, word2vec's header, is passed over; of a word that stands twice the first counts.
    Raises WorkbenchError for a file that is missing, no text, or whose lines differ in length.
    """
    words, rows, dim = [], [], None
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
                word, _, rest = line.rstrip().partition(b" ")
                if number == 1 and word.isdigit() and rest.strip().isdigit():
                    continue
                try:
                    name = word.decode("utf-8")
                except UnicodeDecodeError:
                    raise WorkbenchError(_wrong(path, number, "is no UTF-8 text")) from None
                length = rest.count(b" ") + 1 if rest else 0
                if dim is None and length < 2:
                    raise WorkbenchError(_wrong(path, number, "has no word with numbers behind it"))
                dim = dim or length
                if length != dim:
                    raise WorkbenchError(_wrong(path, number, f"has {length} numbers, not {dim} as those before"))
                if name in wanted:
                    wanted = wanted - {name}
                    words.append(name)
                    rows.append(_numbers(rest, path, number))
    except OSError as error:
        raise WorkbenchError(
            f"word vectors {path} cannot be read ({error.strerror or error}); check the path"
        ) from None
    if dim is None:
        raise WorkbenchError(f"word vectors {path} are empty; name a file with a word and its numbers on each line")
    return WordVectors(words, np.array(rows, dtype=np.float32).reshape(len(rows), dim))


def _numbers(text: bytes, path: Path, number: int) -> np.ndarray:
    try:
        values = np.array(text.split(b" "), dtype=np.float32)
    except ValueError:
        raise WorkbenchError(_wrong(path, number, "has something that is no number")) from None
    if not np.isfinite(values).all():
        raise WorkbenchError(_wrong(path, number, "has a number that is not finite"))
    return values


def _wrong(path: Path, number: int, what: str) -> str:
    return f"word vectors {path}: line {number} {what}; name a file in word2vec's, GloVe's or fastText's text format"
