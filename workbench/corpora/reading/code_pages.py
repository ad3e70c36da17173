"""Which code page of Latin letters a text is in, by the alphabets of languages.

One byte is č in Prague and è in Paris: read in the wrong page a text has letters that no one language has. Statistics
of letters tell less of short texts: of 31 French, Italian and Portuguese ones of up to five lines charset-normalizer
finds the page of none, and alphabets that of all.
"""

from __future__ import annotations

import re
from collections import Counter

_PAGES = {  # the first of those that fit equally well
    "cp1252": (
        "àâçéèêëîïôœùûüÿ",
        "àèéìíîòóùú",
        "áéíñóúü",
        "àáâãçéêíóôõúü",
        "äöüß",
        "áéëèïíóöúü",
        "äåöé",
        "åæøé",
        "áðéíóúýþæö",
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţ"),
    "cp1254": ("âçğıîöşüû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
}
_WORDS = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_MARKS = "‘’“”„«»–—…·"  # stand within words, as in l’amour


def latin(text: bytes) -> str | None:
    """Return the code page in which a text's letters beyond ASCII fit one alphabet best, None where it is not Latin.

    It is where in words with such letters at least a third of the letters are ASCII: in Greek or Cyrillic none is.

    >>> latin("vérité à demain".encode("cp1252")), latin("děkuji, že jsi přišel".encode("cp1250"))
    ('cp1252', 'cp1250')
    >>> latin("привет".encode("cp1251"))
    """
    words = [word for word in _WORDS.findall(text) if not word.isascii()]
    if 3 * sum(byte >= 0x80 for word in words for byte in word) > 2 * sum(map(len, words)):
        return None
    counts = {page: _beyond_ascii(text.decode(page, "replace")) for page in _PAGES}
    strange = {
        page: min(sum(n for letter, n in counts[page].items() if letter not in alphabet) for alphabet in _PAGES[page])
        for page in _PAGES
    }
    return min(strange, key=strange.__getitem__)


def _beyond_ascii(text: str) -> Counter[str]:
    """Return how often each character beyond ASCII stands in words of at least two, as `³` does in a wrong page."""
    words = re.findall(rf"[^\W\d_]*(?:[^\x00-\x7f{_MARKS}\s][^\W\d_]*)+", text.lower())
    return Counter(letter for word in words if len(word) > 1 for letter in word if not letter.isascii())
