"""Ways to write a text so that people still read the same and a model may not; strength is a share of words.

What the synthetic world obfuscations words by (`corpora.synthetic.evasion`) and mistypes them by (`phrases.misspell`)
is used here too; here the strength says how many words it falls on, there all of them. Addresses stay as they are.

Sources: Gröndahl et al. 2018, "All You Need is 'Love'", arXiv 1808.09115 (typos, joined and split words, appended
words of praise); Unicode Technical Standard 39 (letters that look alike).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from workbench.corpora.synthetic import evasion, phrases
from workbench.corpora.synthetic.causes import OBFUSCATIONS

PRAISE = (
    "love this community",
    "what a lovely day",
    "so grateful for you all",
    "thank you, great work",
    "wishing everyone peace",
)
_LONG = re.compile(r"(?<!\S)(?!\S*://)\S*[^\W\d_]{4,}\S*")  # a word with four letters in a row, no address

Rewrite = Callable[[str, float, np.random.Generator], str]


def typos(text: str, strength: float, rng: np.random.Generator) -> str:
    """Mistype a share of the longer words: letters swapped, dropped, doubled or wrong."""
    return phrases.misspell(text, rng, strength)


def joined(text: str, strength: float, rng: np.random.Generator) -> str:
    """Take out a share of the spaces."""
    words = text.split(" ")
    result = words[0]
    for before, word, share in zip(words, words[1:], rng.random(len(words)), strict=False):
        result += word if share < strength and "://" not in before + word else f" {word}"
    return result


def split(text: str, strength: float, rng: np.random.Generator) -> str:
    """Put a space into a share of the longer words."""

    def cut(word: str) -> str:
        at = int(rng.integers(1, len(word)))
        return f"{word[:at]} {word[at:]}"

    return _some(text, strength, rng, cut)


def praise(text: str, strength: float, rng: np.random.Generator) -> str:
    """Append one to five sentences of praise."""
    return " ".join([text, *rng.permutation(PRAISE)[: max(1, round(len(PRAISE) * strength))].tolist()])


def obfuscated(kind: str) -> Rewrite:
    """Return what obfuscations a share of the longer words in one way of the synthetic world's."""
    number = OBFUSCATIONS.index(kind)

    def rewrite(text: str, strength: float, rng: np.random.Generator) -> str:
        return _some(text, strength, rng, lambda word: evasion.obfuscate(word, number, rng))

    return rewrite


def _some(text: str, strength: float, rng: np.random.Generator, change: Callable[[str], str]) -> str:
    """Change a share of the longer words: those with the lowest draw, so that a larger share holds a smaller one."""
    words = list(_LONG.finditer(text))
    chosen = [match for match, share in zip(words, rng.random(len(words)), strict=True) if share < strength]
    parts, at = [], 0
    for match in chosen:
        parts += [text[at : match.start()], change(match[0])]
        at = match.end()
    return "".join([*parts, text[at:]])


REWRITES: dict[str, Rewrite] = {
    "typos": typos,
    "joined": joined,
    "split": split,
    "praise": praise,
    **{kind: obfuscated(kind) for kind in ("leet", "spaced", "homoglyph", "zero-width")},
}
