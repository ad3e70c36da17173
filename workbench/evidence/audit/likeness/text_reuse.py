"""Text reuse: texts that are the same but for edits, or stand within another, found among all without comparing all.

Texts are compared letter by letter, as people read them (`letters`): every variant that scoring would try, without
case, spaces, punctuation, addresses and handles, with digits that pose as letters folded and runs of a letter cut
short; emoji are letters. So case, punctuation, white space, HTML entities, addresses, handles, "RT @name:",
look-alikes, invisible characters, leet and spaced letters leave a text the same.

Two texts are near where the blocks of at least `BLOCK` letters that they have in the same order hold at least `WHOLE`
of both (Dice), as one word in eight changed, two neighbours swapped or two words in eight dropped leave it; or where
they hold `PART` of the shorter one at one place of the longer: cut off, quoted, or pasted into another. Texts of fewer
than `WORDS` words or `LETTERS` letters are near none: "ok" and "OK..." are no finding.

Pairs are found by runs of `WIDTH` letters: each text looks up the `LOOKED_UP` rarest of its own that others have too,
and two must meet. Sources: seed and extend as in BLAST (Altschul et al. 1990); containment (Broder 1997).
Open doubts: a paraphrase passes, and so does a text of eight or nine words cut off after five; texts made from a
template ("the bus was late again, says Kim") are near by definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import regex
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cpdist

from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.variants import variants

WORDS, LETTERS = 4, 20
BLOCK, WHOLE, PART = 4, 0.8, 0.92
SHORTEST = 0.6  # of the longer text's letters: what is shorter can only be a part
WIDTH, LOOKED_UP, MEET = 8, 16, 2
MOST_PAIRS = 300_000_000
"""So many pairs are looked at; the runs of letters that most texts share are left out beyond that."""

_CLEANING = TextOptions(lower=True, max_chars=None)
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_NOT_COMPARED = regex.compile(
    r"(?:https?://|\bwww\.)\S+|\[(?:url|user)\]|(?:\brt\s*:?\s*)?(?<!\w)@\w+:?|<[a-z/!][^<>]{0,200}>|[\u200d\ufe0e\ufe0f]"
)
_WORD = regex.compile(rf"[{_UNSPACED}\p{{So}}]|[\p{{L}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+", regex.V1)
_WIDE = regex.compile(rf"[{_UNSPACED}\p{{So}}]")
_RUNS = regex.compile(r"(.)\1+")
_FOLDED = str.maketrans("013456789@$l", "oieasgtbgasi")
_LONG_WORD = 8  # letters
_CHUNK = 2_000_000
_PRIME, _MIX = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)


class NearPairs(NamedTuple):
    """Pairs of texts that are near: i < j, int (n_pairs,).

    similarity: the share of both that is the same or, where one is part of the other, of that one, float (n_pairs,);
    left_out: how many runs of letters were too frequent to look up; 0 but for huge templated sets.
    """

    i: np.ndarray
    j: np.ndarray
    similarity: np.ndarray
    left_out: int


def letters(text: str | None, words: int = WORDS, letters: int = LETTERS) -> tuple[str, ...]:
    """Return what a text is compared by: the letters of each of its variants that has other ones, raw text first.

    A character of a script without spaces, and an emoji, weighs as much as a short word: three letters. Nothing is
    returned of texts of fewer than so many words, nor of a variant of fewer letters.

    >>> letters("You\\u2019re a w o r s e 1D10T than all of them, https://a.example"), letters("s p a c e d")
    (('youreaworseidiothanaiofthem',), ())
    """
    read = [_WORD.findall(_NOT_COMPARED.sub(" ", one.text)) for one in variants(text, _cleaned)]
    if all(max(len(variant), len("".join(variant)) // _LONG_WORD) < words for variant in read):
        return ()  # text without spaces has words as well
    made = (_RUNS.sub(r"\1", "".join(variant).translate(_FOLDED)) for variant in read)
    wide = (_WIDE.sub("\\g<0>\ue000\\g<0>", one) for one in made)
    return tuple(dict.fromkeys(one for one in wide if len(one) >= letters))


def _cleaned(text: str) -> str:
    return clean(text, _CLEANING)


def alike(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two texts, as `letters` gives them, are near as wholes, however short they are."""
    return any(a == b or _whole(a, b) >= WHOLE for a in one for b in other)


def near_pairs(texts: Sequence[str], kind: np.ndarray | None = None, allowed: np.ndarray | None = None) -> NearPairs:
    """Return the pairs of texts, each the letters of one, that are near (see the module).

    kind: int (n_texts,), which kind of text each is; allowed: bool (n_kinds, n_kinds), symmetric, which kinds are
    compared with each other. Without them all texts are compared.

    >>> near_pairs(["thequickbrownfoxjumpsover", "heyalthequickbrownfoxjumpsoverthelazydog"]).similarity
    array([1.])
    """
    kind = np.zeros(len(texts), np.int64) if kind is None else kind
    allowed = np.ones((1, 1), bool) if allowed is None else allowed
    lengths = np.array([len(text) for text in texts], np.int64)
    table = _RunTable(texts, lengths)
    looked_up, left_out = table.looked_up()
    found: list[tuple[int, int, float]] = []
    for i, j, offset in table.meetings(looked_up):
        keep = allowed[kind[i], kind[j]] & ((lengths[i] < lengths[j]) | ((lengths[i] == lengths[j]) & (i < j)))
        found += _verified(texts, lengths, *_met(i[keep], j[keep], offset[keep], len(texts)))
    pairs = np.array(found, np.float64).reshape(-1, 3)
    i, j = np.sort(pairs[:, :2].astype(np.int64), axis=1).T
    return NearPairs(i, j, pairs[:, 2], left_out)


# ---------------------------------------------------------------------------------------------- where texts may be near


class _RunTable:
    """All runs of WIDTH letters, each once a text, those that are the same one after the other.

    text, place: int (n_runs,), whose run it is and where it begins; first, size: where the same runs begin, how many.
    """

    def __init__(self, texts: Sequence[str], lengths: np.ndarray) -> None:
        codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
        padded = np.concatenate([codes, np.zeros(WIDTH, np.uint32)])
        value = np.zeros(len(codes), np.uint64)
        for step in range(WIDTH):
            value = value * _PRIME + padded[step : step + len(codes)]
        value *= _MIX
        text = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
        place = (np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)).astype(np.int32)
        inside = place + WIDTH <= lengths[text]
        value, text, place = value[inside], text[inside], place[inside]
        order = np.argsort(value, kind="stable")
        value, text, place = value[order], text[order], place[order]
        once = np.ones(len(value), bool)
        once[1:] = (value[1:] != value[:-1]) | (text[1:] != text[:-1])
        self.text, self.place = text[once], place[once]
        _, first, of, size = np.unique(value[once], return_index=True, return_inverse=True, return_counts=True)
        self.first, self.size = first[of.ravel()], size[of.ravel()]

    def looked_up(self) -> tuple[np.ndarray, int]:
        """Return the rows of the rarest runs of each text that other texts have too, and how many runs are left out."""
        shared = np.flatnonzero(self.size > 1)
        rows = shared[np.lexsort((self.size[shared], self.text[shared]))]
        begins = np.searchsorted(self.text[rows], self.text[rows])
        rows = rows[np.arange(len(rows)) - begins < LOOKED_UP]
        sizes, counts = np.unique(self.size[rows], return_counts=True)
        over = sizes[np.cumsum(counts * sizes) > MOST_PAIRS]
        if not len(over):
            return rows, 0
        frequent = self.size[rows] >= over[0]
        return rows[~frequent], len(np.unique(self.first[rows[frequent]]))

    def meetings(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (text, other, place in the other less place in the text) of shared runs, a text's all in one chunk."""
        for part in _slices(self.size[rows], self.text[rows]):
            row = rows[part]
            sizes = self.size[row]
            ends = np.cumsum(sizes)
            other = np.arange(ends[-1]) + np.repeat(self.first[row] - ends + sizes, sizes)
            yield (
                np.repeat(self.text[row], sizes).astype(np.int64),
                self.text[other].astype(np.int64),
                self.place[other] - np.repeat(self.place[row], sizes),
            )


def _slices(sizes: np.ndarray, owner: np.ndarray) -> Iterator[slice]:
    """Yield slices whose sizes sum to about a chunk; rows of one owner, which stand together, are not divided."""
    total, start = np.cumsum(sizes), 0
    while start < len(sizes):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        stop = int(np.searchsorted(owner, owner[stop - 1], side="right"))
        yield slice(start, stop)
        start = stop


def _met(i: np.ndarray, j: np.ndarray, offset: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs that share MEET runs and where the first begins in the second, by the median of these."""
    order = np.lexsort((offset, i * n + j))
    pairs, first, count = np.unique((i * n + j)[order], return_index=True, return_counts=True)
    often = count >= MEET
    middle = offset[order][first[often] + count[often] // 2]
    return *np.divmod(pairs[often], n), middle


# ----------------------------------------------------------------------------------------------------- whether they are


def _verified(
    texts: Sequence[str], lengths: np.ndarray, i: np.ndarray, j: np.ndarray, offset: np.ndarray
) -> Iterator[tuple[int, int, float]]:
    """Yield (i, j, similarity) of the pairs that are near; i is the shorter text.

    The longest common subsequence, which is quick, bounds the letters in blocks; what it leaves is aligned.
    """
    pairs = list(zip(i.tolist(), j.tolist(), offset.tolist(), strict=True))
    around = [
        texts[b][max(0, at - len(texts[a]) // 4 - WIDTH) : at + len(texts[a]) * 5 // 4 + WIDTH] for a, b, at in pairs
    ]
    common = cpdist([texts[a] for a, *_ in pairs], around, scorer=LCSseq.similarity) if pairs else np.zeros(0)
    for k in np.flatnonzero(common >= WHOLE * lengths[i]).tolist():
        a, b, at = pairs[k]
        whole, part = _whole(texts[a], texts[b]), _part(texts[a], texts[b], at)
        if whole >= WHOLE or part >= PART:
            yield a, b, whole if whole >= WHOLE else part


def _whole(one: str, other: str) -> float:
    """Return the share of two texts that stands in blocks of their alignment, 0 where one is far shorter."""
    short, long = sorted((len(one), len(other)))
    return 2 * _in_blocks(one, other) / (short + long) if short >= SHORTEST * long else 0.0


def _part(short: str, long: str, at: int) -> float:
    """Return the share of a text that stands in blocks at a place of a longer one."""
    return _in_blocks(short, _around(long, at, len(short), max(2, len(short) // 20))) / len(short)


def _around(text: str, at: int, size: int, margin: int) -> str:
    return text[max(0, at - margin) : max(0, at + size + margin)]


def _in_blocks(one: str, other: str) -> int:
    """Return how many letters stand in blocks of BLOCK letters that two texts have in the same order."""
    steps = (step for step in LCSseq.opcodes(one, other) if step.tag == "equal")
    return sum(step.src_end - step.src_start for step in steps if step.src_end - step.src_start >= BLOCK)
