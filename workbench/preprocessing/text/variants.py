"""Text variants: the raw text, and every different text that undoing an obfuscation makes of it.

The raw text always comes first and is never replaced. The others build on each other: what was encoded is decoded,
what cannot be seen is taken out (`plain`), letters become those that they look like, spaced letters are joined, digits
and signs are read as letters, and what was written backwards is turned round. A variant counts only if it has other
words than those before it; a clean post has its raw text alone, which one pass over its characters settles.

Each variant harms some honest text ("3some" is no "esome"), which is why a model scores all of them and takes the
maximum. Honest text of other alphabets is not transliterated: a letter is read as a Latin one where it stands beside
Latin letters, or where every letter of its word has a Latin twin and nothing shows that the alphabet is meant. Accents
go from words that are mostly accents, and from texts with stacked marks. Every step is linear in the text's length.

Sources: Unicode Technical Standard 39 (confusables; the twins below are a small selection), ECMA-48 (escape sequences),
ftfy for misread encodings, anyascii for letters of phonetic alphabets.
Open doubts: one accented letter in a word, `f*ck`, one-letter words spaced with the others ("a i d i o t" reads
"aidiot"), and words reversed one by one around other text stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from workbench.preprocessing.text import obfuscation
from workbench.preprocessing.text.cleaning import clean, joined_surrogates

RAW = "as it stands"
MOST = 8  # variants of a text

# Each hint begins with a set of characters, which Python's `re` looks for fastest.
_HINTS = tuple(
    map(
        re.compile,
        (
            r"[\x00-\x08\x0e-\x1f\x7f]|[&<%\\](?:(?<=&)[\w#]|(?<=<)[!/a-zA-Z]|(?<=%)[2-7][0-9a-fA-F]%|(?<=\\)[uUx])",
            r"[0-9@$!|+](?<=[a-zA-Z].)(?:[0-9@$!|+]*[a-zA-Z]|(?<=[$@]))",  # leet within a word and at its end
            r"[@$013457](?<![\w@$!|+].)(?:(?<!@)|[$013457])[\w@$!|+]*[a-zA-Z]",  # leet at its beginning
            r"[\W_][^\W_][\W_]{1,3}[^\W_][\W_]{1,3}[^\W_](?![^\W_])",  # spaced letters
        ),
    )
)
_HARMLESS = re.compile(
    "[\x00-\x7f\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00bb\u00bf‘’‚“”„…–—•€\u2600-\u27bf\U0001f300-\U0001f64f"
    "\U0001f680-\U0001f6ff\U0001f900-\U0001faff\ufe0f]*"
)
_WORDS = re.compile(r"[^\W_]+")


class Variant(NamedTuple):
    """One way to read a text; `kind` says what was undone, as in "scored by its variant with ..."."""

    text: str
    kind: str


def variants(text: str | None, cleaned: Callable[[str], str] = clean) -> tuple[Variant, ...]:
    """Return the variants of a text, the raw one first, at most `MOST`; each is cleaned, and its words differ.

    >>> [variant.text for variant in variants("you 1d10t")]
    ['you 1d10t', 'you idiot', 'you ldlot']
    """
    raw = Variant(cleaned(text or ""), RAW)
    if not text or _clean_looking(text):
        return (raw,)
    made, seen = [raw], {_key(raw.text)}
    for undone, kinds in _undone(text):
        variant = cleaned(undone)
        words = _key(variant)
        if words and words not in seen and len(made) < MOST:
            seen.add(words)
            made.append(Variant(variant, " and ".join(kinds)))
    return tuple(made)


def _clean_looking(text: str) -> bool:
    """Return whether nothing in a text hints at obfuscation."""
    if not (text.isascii() or _HARMLESS.fullmatch(text)):
        return False
    text = f" {text}"  # so that the first letter too comes after something
    return not any(hint.search(text) for hint in _HINTS) and not obfuscation.backwards(text)


def _key(text: str) -> str:
    """Return the words alone; case, punctuation and emoji make no other variant."""
    return " ".join(_WORDS.findall(text.casefold()))


def _undone(text: str) -> list[tuple[str, list[str]]]:
    """Return texts with what was undone in each, from the mildest to the boldest."""
    kinds: list[str] = []
    steps: list[tuple[str, list[str]]] = []

    def step(made: str, undo: Callable[[str], str], kind: str) -> str:
        after = undo(made)
        if after != made and _key(after) != _key(made):
            kinds.append(kind)
        return after

    text = joined_surrogates(text)
    made = text
    for undo, kind in obfuscation.PLAIN:
        made = step(made, undo, kind)
    steps.append((made, kinds.copy()))
    plain, mild = made, kinds.copy()
    if "\u202e" in text:  # it may also stand there as an invisible character among others
        steps.append((obfuscation.visible(obfuscation.decoded(text)), ["invisible characters removed"]))
    for undo, kind in (
        (obfuscation.look_alikes, "look-alike letters undone"),
        (obfuscation.joined, "spaced letters joined"),
    ):
        made = step(made, undo, kind)
        steps.append((made, kinds.copy()))
    last, spelled = obfuscation.leet(made, "i"), kinds
    if last != made:
        spelled = [*kinds, "digits and signs read as letters"]
        steps += [(last, spelled), (obfuscation.leet(made, "l"), spelled)]  # a 1 stands for either
    if obfuscation.upside_down(plain):
        steps.append((obfuscation.turned(plain), [*mild, "upside-down letters turned round"]))
    elif obfuscation.backwards(last):
        steps.append((last[::-1], [*spelled, "letters read backwards"]))
    return steps
