"""Near-duplicate texts: which pairs of texts are the same but for small edits, found exactly and without comparing all.

Two texts are near when the sets of their runs of three words (shingles) have a Jaccard similarity of at least
`JACCARD`, or when both have at least `ONE_WORD_FROM` words and differ in one word changed, dropped or added: such a
change touches three shingles, so by Jaccard alone it would be seen only in texts of 29 words and more. A text of one or
two words is one shingle, all its words.

Words are compared, so these edits leave a text *the same*: case, punctuation, white space, HTML entities, emoji and web
addresses added or taken away, letters replaced by look-alikes, zero-width and other invisible characters. Scripts
without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) count each character as a word.

Pairs are found by prefix filtering, not by MinHash: two sets that are similar enough must share one of their rarest
shingles, so only pairs that do are compared, and none is missed. One changed word is found by the hashes of each text
without one of its words. Sources: Broder 1997 (shingles), Chaudhuri et al. 2006 and Bayardo et al. 2007 (prefixes).
Open doubts: shingles and words are told apart by 64-bit hashes; two words swapped or changed in a text of under about
fifty words pass, and so does a paraphrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from workbench.preprocessing.text import obfuscation
from workbench.preprocessing.text.cleaning import URL, TextOptions, clean

JACCARD = 0.8
WIDTH = 3
ONE_WORD_FROM = 12
MOST_PAIRS = 300_000_000
"""So many pairs are looked at; the largest heaps of texts with one shingle in common are left out beyond that."""

_CLEANING = TextOptions(lower=True, max_chars=None, mask_urls=True)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_APOSTROPHES = re.compile("['\u2019\u02bc\u00b4`]")
_CODED = re.compile(r"[&%\\\x1b\b]")
_CHUNK = 2_000_000
_MIX, _PRIME = np.uint64(0x9E3779B97F4A7C15), 0x100000001B3
_INVERSE = pow(_PRIME, -1, 2**64)


class NearPairs(NamedTuple):
    """Pairs of texts that are near: i < j, int (n_pairs,); `similarity` is their Jaccard similarity, float (n_pairs,).

    left_out: how many shingles were too frequent to compare all texts that share them; 0 but for huge templated sets.
    """

    i: np.ndarray
    j: np.ndarray
    similarity: np.ndarray
    left_out: int


def words_of(text: str | None) -> list[str]:
    """Return the words that a text is compared by, in order.

    >>> words_of("You\u2019re RIGHT &amp; \\u0456diot \U0001f600 https://a.example")
    ['youre', 'right', 'idiot']
    """
    text = text or ""
    if not text.isascii() or _CODED.search(text):
        for undo, _ in obfuscation.PLAIN:
            text = undo(text)
        text = obfuscation.look_alikes(text)
    text = clean(text, _CLEANING).replace(URL, " ").replace(URL.lower(), " ")
    return _WORDS.findall(_APOSTROPHES.sub("", text))


class ShingledTexts:
    """Texts as sequences of word numbers and as sets of shingles.

    numbers: uint64 (n_words,), one number a word, texts one after the other from `starts[k]` to `starts[k + 1]`;
    sets: the shingles of each text once, int64 numbers that rise with how many texts have them, from `heads[k]`.
    """

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        vocabulary: dict[str, int] = {}
        numbers, lengths = [], []
        for words in texts:
            numbers += [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words]
            lengths.append(len(words))
        self.numbers = _mixed(np.array(numbers, np.uint64))
        self.lengths = np.array(lengths, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.sets, self.heads = self._shingles()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def sizes(self) -> np.ndarray:
        """How many different shingles each text has, int (n_texts,)."""
        return np.diff(self.heads)

    def whole(self) -> np.ndarray:
        """Return a hash of each text's words in order, uint64 (n_texts,)."""
        sums = np.concatenate([[np.uint64(0)], np.cumsum(self.numbers * self._powers())])
        return _mixed((sums[self.starts[1:]] - sums[self.starts[:-1]]) + _mixed(self.lengths.astype(np.uint64)))

    def without_one(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for each word of the texts of at least ONE_WORD_FROM words: text, place, hash of the text without it.

        The hash is that which `whole` gives for the rest.
        """
        terms = self.numbers * self._powers()
        sums = np.concatenate([[np.uint64(0)], np.cumsum(terms)])
        text = np.repeat(np.arange(len(self)), self.lengths)
        place = np.arange(len(text)) - self.starts[text]
        before = sums[:-1] - sums[self.starts[text]]
        after = (sums[self.starts[text + 1]] - sums[1:]) * np.uint64(_INVERSE)
        rest = _mixed(before + after + _mixed((self.lengths[text] - 1).astype(np.uint64)))
        chosen = self.lengths[text] >= ONE_WORD_FROM
        return text[chosen], place[chosen], rest[chosen]

    def jaccard(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity of the shingles of pairs of texts, float (n_pairs,).

        >>> round(float(ShingledTexts(["a b c d".split(), "a b c e".split()]).jaccard([0], [1])[0]), 2)
        0.33
        """
        i, j, sizes = np.asarray(i), np.asarray(j), self.sizes
        swap = sizes[i] > sizes[j]
        small, large = np.where(swap, j, i), np.where(swap, i, j)
        stride = int(self.sets.max(initial=0)) + 1
        keys = np.repeat(np.arange(len(self)), sizes) * stride + self.sets  # texts ascend, and shingles within each
        common = np.zeros(len(i), np.int64)
        for rows in _slices(sizes[small]):
            where = ranges(self.heads[small[rows]], sizes[small[rows]])
            pair = np.repeat(np.arange(rows.stop - rows.start), sizes[small[rows]])
            wanted = large[rows][pair] * stride + self.sets[where]
            at = np.searchsorted(keys, wanted)
            there = keys[np.minimum(at, len(keys) - 1)] == wanted
            common[rows] = np.bincount(pair[there], minlength=rows.stop - rows.start)
        union = sizes[i] + sizes[j] - common
        return np.divide(common, union, out=np.zeros(len(i)), where=union > 0)

    def _powers(self) -> np.ndarray:
        """The factor of each word by its place in its text, uint64 (n_words,)."""
        longest = int(self.lengths.max(initial=0))
        powers = np.cumprod(np.full(max(longest, 1), _PRIME, np.uint64))
        return powers[np.arange(len(self.numbers)) - np.repeat(self.starts[:-1], self.lengths)]

    def _shingles(self) -> tuple[np.ndarray, np.ndarray]:
        text = np.repeat(np.arange(len(self)), self.lengths)
        place = np.arange(len(text)) - self.starts[text]
        padded = np.concatenate([self.numbers, np.zeros(WIDTH, np.uint64)])
        inside = self.starts[text + 1] - np.arange(len(text))
        value = np.zeros(len(text), np.uint64)
        for step in range(WIDTH):  # a text of fewer words is its only shingle
            value = _mixed(value + np.where(inside > step, padded[step : step + len(text)], np.uint64(0)))
        value = value[(inside >= WIDTH) | (place == 0)]
        text = text[(inside >= WIDTH) | (place == 0)]
        shingles, kind = np.unique(value, return_inverse=True)
        stride = max(len(shingles), 1)
        text, kind = np.divmod(np.unique(text * stride + kind.ravel()), stride)  # each once in a text
        rank = np.empty(len(shingles), np.int64)
        rank[np.argsort(np.bincount(kind, minlength=len(shingles)), kind="stable")] = np.arange(len(shingles))
        keys = np.sort(text * stride + rank[kind])
        return keys % stride, np.searchsorted(keys, np.arange(len(self) + 1) * stride)


def near_pairs(corpus: ShingledTexts, kind: np.ndarray | None = None, allowed: np.ndarray | None = None) -> NearPairs:
    """Return the pairs of texts that are near (see the module); texts of the very same words are near too.

    kind: int (n_texts,), which kind of text each is; allowed: bool (n_kinds, n_kinds), symmetric, which kinds are
    compared with each other. Without them all texts are compared.

    >>> told = [f"the {word} fox jumps over the lazy dog and nobody is looking".split() for word in ("red", "old")]
    >>> near_pairs(ShingledTexts(told)).similarity.round(2)
    array([0.67])
    """
    kind = np.zeros(len(corpus), np.int64) if kind is None else kind
    allowed = np.ones((1, 1), bool) if allowed is None else allowed
    by_shingles, left_out = _by_shingles(corpus, kind, allowed)
    by_word = _by_one_word(corpus, kind, allowed)
    pairs = np.unique(np.concatenate([by_shingles, by_word]))
    i, j = np.divmod(pairs, max(len(corpus), 1))
    return NearPairs(i, j, corpus.jaccard(i, j), left_out)


def _by_shingles(corpus: ShingledTexts, kind: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the pairs of Jaccard similarity JACCARD or more as numbers i * n_texts + j, and the shingles left out."""
    sizes = corpus.sizes
    prefix = np.where(sizes > 0, sizes - np.ceil(JACCARD * sizes - 1e-9).astype(np.int64) + 1, 0)
    texts = np.repeat(np.arange(len(corpus)), prefix)
    keys = corpus.sets[ranges(corpus.heads[:-1], prefix)]
    heaps = _Heaps(keys, texts)
    left_out, similar = heaps.limit(MOST_PAIRS), [np.zeros(0, np.int64)]
    for i, j in heaps.pairs():
        keep = allowed[kind[i], kind[j]] & (np.minimum(sizes[i], sizes[j]) >= JACCARD * np.maximum(sizes[i], sizes[j]))
        pairs = np.unique(_numbered(i[keep], j[keep], len(corpus)))
        i, j = np.divmod(pairs, len(corpus))
        similar.append(pairs[corpus.jaccard(i, j) >= JACCARD - 1e-9])
    return np.concatenate(similar), left_out


def _by_one_word(corpus: ShingledTexts, kind: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the pairs of long texts that differ in one word, as numbers i * n_texts + j."""
    text, place, rest = corpus.without_one()
    at = _mixed(rest + _mixed(place.astype(np.uint64)))  # one word changed: the same rest, open at the same place
    long = np.flatnonzero(corpus.lengths >= ONE_WORD_FROM)
    hashes, owners = np.concatenate([rest, corpus.whole()[long]]), np.concatenate([text, long])
    is_whole = np.arange(len(hashes)) >= len(rest)
    similar = [np.zeros(0, np.int64)]
    for keys, of, apart in ((at, text, None), (hashes, owners, is_whole)):
        heaps = _Heaps(keys, np.arange(len(of)))
        heaps.limit(MOST_PAIRS)
        for a, b in heaps.pairs():
            keep = of[a] != of[b]
            if apart is not None:  # one word dropped or added: the rest of one is all of the other
                keep &= apart[a] | apart[b]
            keep &= allowed[kind[of[a]], kind[of[b]]]
            similar.append(np.unique(_numbered(of[a[keep]], of[b[keep]], len(corpus))))
    return np.concatenate(similar)


class _Heaps:
    """Rows that share a key, and all pairs of rows in one heap."""

    def __init__(self, keys: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(keys, kind="stable")
        self.rows, keys = rows[order], keys[order]
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
        size = np.diff(np.append(first, len(keys)))
        end = np.repeat(first + size, size)
        self.partners = end - 1 - np.arange(len(keys))  # later rows of the same heap
        self.size = np.repeat(size, size)

    def limit(self, most: int) -> int:
        """Leave out the largest heaps until there are at most so many pairs; return how many are left out."""
        sizes, counts = np.unique(self.size, return_counts=True)
        total = np.cumsum(counts * (sizes - 1) / 2)
        over = sizes[total > most]
        if not len(over):
            return 0
        self.partners[self.size >= over[0]] = 0
        return int((counts / sizes)[sizes >= over[0]].sum())

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield pairs of rows, in chunks; a pair comes once for each heap that it shares."""
        for rows in _slices(self.partners):
            partners = self.partners[rows]
            yield (
                np.repeat(self.rows[rows], partners),
                self.rows[ranges(np.arange(rows.start, rows.stop) + 1, partners)],
            )


def _numbered(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    return np.minimum(i, j) * n + np.maximum(i, j)


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return numbers scattered over 64 bits (splitmix64, Steele et al. 2014)."""
    values = values + _MIX
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return starts[k], starts[k] + 1, ... for lengths[k] steps, one k after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _slices(sizes: np.ndarray) -> Iterator[slice]:
    """Yield slices of rows whose sizes sum to about a chunk."""
    total, start = np.cumsum(sizes), 0
    while start < len(sizes):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        yield slice(start, stop)
        start = stop
