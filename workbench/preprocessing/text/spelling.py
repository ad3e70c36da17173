"""Spelling repair towards the words of the training texts: a word they hardly have becomes the nearest that they do.

A published dictionary was left out on purpose: it knows no slurs and no slang, so it would turn the very words that
moderation looks for into harmless neighbours, and it knows one language. What the training texts say often is right
here by definition, in whatever language.

Source: the index over deletions is that of Garbe's SymSpell (https://github.com/wolfgarbe/SymSpell), for one edit.
Open doubt: a rare word that is one letter from a frequent one ("coot", "cool") is lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache

_WORD = re.compile(r"[^\W\d_]+")
SHORT, LONG = 4, 24  # letters of a word that is repaired: a short one has too many neighbours
KNOWN = 3  # training texts that must have a word before others are repaired to it
MOST = 50_000  # words that are known


class Lexicon:
    """The known words, the most frequent first."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)

    def __reduce__(self) -> tuple:
        """What is pickled is the words; what was found with them is found again."""
        return Lexicon, (self.words,)

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Lexicon:
        """Return the lower-cased words that at least `KNOWN` of the texts have, the most frequent `MOST` of them."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(_WORD.findall(text.lower())))
        kept = [word for word, count in counts.items() if count >= KNOWN and len(word) <= LONG]
        return cls(sorted(kept, key=lambda word: (-counts[word], word))[:MOST])

    @cached_property
    def _near(self) -> Callable[[str], str]:
        return lru_cache(maxsize=200_000)(self._nearest)

    @cached_property
    def _rank(self) -> dict[str, int]:
        return {word: rank for rank, word in enumerate(self.words)}

    @cached_property
    def _shorter(self) -> dict[str, list[str]]:
        """Known words by what is left of them without one letter."""
        index: dict[str, list[str]] = {}
        for word in self.words:
            if len(word) >= SHORT - 1:
                for part in set(_deletions(word)):
                    index.setdefault(part, []).append(word)
        return index

    def repair(self, word: str) -> str:
        """Return a word as it is if it is known, short or has no known neighbour; else the most frequent neighbour.

        Neighbours differ by one letter put in, left out or exchanged, or by two adjacent letters swapped. Capitals of a
        word that is repaired are lost.

        >>> Lexicon(["walnut", "kind"]).repair("Walntu")
        'walnut'
        """
        lower = word.lower()
        if not SHORT <= len(lower) <= LONG or lower in self._rank:
            return word
        return self._near(lower) or word

    def _nearest(self, word: str) -> str:
        """Return the most frequent known word one edit away, or the empty string."""
        near = {part for part in _deletions(word) if part in self._rank}  # a letter too many
        near.update(self._shorter.get(word, ()))  # a letter too few
        for part in _deletions(word):
            near.update(other for other in self._shorter.get(part, ()) if _exchanged(word, other))
        return min(near, key=self._rank.__getitem__, default="")


def _deletions(word: str) -> Iterator[str]:
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


def _exchanged(word: str, other: str) -> bool:
    """Return whether two words of one length differ in one letter, or by two adjacent letters swapped."""
    if len(word) != len(other):
        return False
    apart = [at for at, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
    if len(apart) == 2 and apart[1] == apart[0] + 1:
        return word[apart[0]] + word[apart[1]] == other[apart[1]] + other[apart[0]]
    return len(apart) == 1
