"""How words are obfuscated in the synthetic world: ways to get past a filter of words that a reader still understands.

Each takes the phrase alone (not the link, not the note) and changes its longer words, as an evader would the telling
ones; short words keep the sentence readable.
"""

from __future__ import annotations

import re

import numpy as np

from workbench.corpora.synthetic.causes import OBFUSCATIONS

_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_TWINS = str.maketrans("aceiopxyACEHKMOPTX", "асеіорхуАСЕНКМОРТХ")  # Cyrillic letters that look like Latin ones
_INVISIBLE = "\u200b\u200c\u200d\u2060"
_LONG = re.compile(r"[^\W\d_]{4,}")


def obfuscate(phrase: str, obfuscation: int, rng: np.random.Generator) -> str:
    """Return a phrase in the obfuscation that is an index into OBFUSCATIONS; a phrase without a longer word stays."""
    kind = OBFUSCATIONS[obfuscation]
    if kind == "none":
        return phrase
    return _LONG.sub(lambda found: _obfuscated(found[0], kind, rng), phrase)


def _obfuscated(word: str, kind: str, rng: np.random.Generator) -> str:
    if kind == "leet":
        return word.translate(_LEET)
    if kind == "homoglyph":
        return word.translate(_TWINS)
    if kind == "spaced":
        return " ".join(word)
    at = int(rng.integers(1, len(word)))
    return word[:at] + _INVISIBLE[rng.integers(len(_INVISIBLE))] + word[at:]
