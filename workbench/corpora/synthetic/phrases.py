"""What posts of the synthetic world say: a small paraphrase grammar in three languages.

Every utterance (what a text means) has a few phrasings per language; openers, closers and a note with a name, a place
and a minute make each post's surface fresh. The note is a mixed-radix number of the post's surface index, so that no
two indices share a text. The words stand in `data/synthetic/phrases.yaml`, and a corpus is known by them.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np

from workbench.corpora.synthetic.causes import LANGUAGE_TAGS, UTTERANCES
from workbench.schema import ROOT, read_yaml

WORDS = read_yaml(ROOT / "data" / "synthetic" / "phrases.yaml")
# utterance -> one string per language, phrasings apart by "|"; {n} takes the post's name
PHRASES: dict[str, list[str]] = WORDS["phrases"]
OPENERS, CLOSERS, NOTES = WORDS["openers"], WORDS["closers"], WORDS["notes"]
_ONSETS = "bdfgklmnrstv"
NAMES = tuple((a + b + c + d).title() for a in "bdklmrst" for b in "aeiou" for c in "lnrv" for d in ("a", "o", "in"))[
    :360
]
PLACES = tuple((a + e + o + "burg").title() for a in _ONSETS for e in "aeo" for o in _ONSETS)[:400]
SURFACES = len(NAMES) * len(PLACES) * 1440  # how many indices have a text of their own (207 million)
_STRIDE = 1_000_003  # coprime to SURFACES: neighbouring indices get unlike notes


def say(
    utterance: int,
    language: int,
    index: int,
    rng: np.random.Generator,
    typos: float,
    obfuscation: Callable[[str], str] | None = None,
) -> str:
    """Return a fresh text of an utterance; `index` (0 to SURFACES - 1) makes it unlike any other.

    typos is a rate per word; obfuscation changes the phrase, and nothing around it.
    """
    pick = rng.integers(0, 1 << 16, 6)
    number, place = divmod(index * _STRIDE % SURFACES, len(PLACES))
    witness, minute = divmod(number, 1440)
    phrasings = _PHRASINGS[utterance][language]
    core = phrasings[pick[0] % len(phrasings)].replace("{n}", NAMES[pick[1] % len(NAMES)])
    note = NOTES[language][pick[2] % 2].format(
        t=f"{minute // 60:02d}:{minute % 60:02d}", p=PLACES[place], w=NAMES[witness]
    )
    opener, closer = OPENERS[language][pick[3] % 8], CLOSERS[language][pick[4] % 8]
    phrase = misspell(core, rng, typos)
    if pick[5] % 2:  # mistyped anew: the shipped encoder was trained on texts drawn in this order
        phrase = misspell(core, rng, typos)
    phrase = obfuscation(phrase) if obfuscation else phrase
    parts = [f"{note}:", opener, phrase, closer] if pick[5] % 2 else [opener, phrase, closer, f"({note})"]
    return " ".join(part for part in parts if part)


def misspell(text: str, rng: np.random.Generator, rate: float) -> str:
    """Return a text with a share `rate` of its longer words mistyped: two letters swapped, one dropped, doubled or wrong."""
    words = text.split(" ")
    for n in np.flatnonzero(rng.random(len(words)) < rate):
        word = words[n]
        if len(word) < 4 or "://" in word:  # an address leads nowhere with one letter wrong
            continue
        at, kind = int(rng.integers(1, len(word) - 1)), int(rng.integers(4))
        letter = string.ascii_lowercase[int(rng.integers(26))]
        middle = (word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1], letter + word[at + 1])[kind]
        words[n] = word[:at] + middle + word[at + 2 :]
    return " ".join(words)


_PHRASINGS = [[words.split("|") for words in PHRASES.get(name, ())] for name in UTTERANCES]
assert set(PHRASES) == set(UTTERANCES) - {"absent"}
assert all(len(p) == len(LANGUAGE_TAGS) for p in PHRASES.values())
