"""Which language a text is in, and whether it is one that a model reads; offline.

By `py3langid` (BSD, 5 MB, a naive Bayes model over byte n-grams that comes with the package and loads without pickle).
It takes a second to load, so it loads when first asked. On a handful of words of slang it is often wrong, so the words
of a model's training posts vouch for a text too: `ReadLanguages` weighs both. Measured on sentences of 80 languages and
on posts with slang, dialect and emoji (experiments/LOG.md, 2026-12-01). Open doubts: text that mixes languages is read
if it leans to one that is read, and a short text in a close relative of English may pass for it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from workbench import artifacts
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.normalization import ADDRESS
from workbench.preprocessing.text.variants import variants

ENOUGH = 10  # letters; an ideograph counts as three
READ = 2_000  # leading characters
_CLEANING = TextOptions(max_chars=READ, emoji="keep")
_NO_LANGUAGE = re.compile(rf"{ADDRESS.pattern}|(?<!\w)[@#]\w+|(?<!\w)/?[ur]/[\w-]+|\[(?:USER|URL)\]", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sv": "Swedish",
    "sw": "Swahili", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese",
    "zh": "Chinese",
}  # fmt: skip


def language(text: str | None) -> tuple[str | None, float]:
    """Return the BCP 47 tag of a text's language and the confidence in it, 0 to 1; (None, 0.0) where it is too short.

    Addresses, handles and hashtags say nothing of the language around them and are left out; the rest must have at
    least ten letters.
    """
    plain = _plain(text)
    letters = sum(3 if character > "\u2e7f" else 1 for character in plain if character.isalpha())
    if letters < ENOUGH:
        return None, 0.0
    tag, confidence = _identifier().classify(plain)
    return (None, 0.0) if tag == "und" else (tag, float(confidence))


def primary(tag: str | None) -> str | None:
    """Return the language of a BCP 47 tag without script and region; None where it names none.

    >>> primary("pt_BR"), primary("und"), primary("English")
    ('pt', None, None)
    """
    first = re.split("[-_]", (tag or "").strip().lower())[0]
    if not re.fullmatch("[a-z]{2,3}", first) or first in ("und", "mul", "mis", "zxx"):
        return None
    return {"eng": "en"}.get(first, first)


def named(tag: str) -> str:
    """Return the English name of a language, or its tag where it is none of the more frequent ones."""
    return _NAMES.get(tag, tag)


def _plain(text: str | None) -> str:
    """Return what of a text speaks a language, on one line."""
    return " ".join(_NO_LANGUAGE.sub(" ", clean(text, _CLEANING)).split())


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


# ------------------------------------------------------------------------------------------- what a model reads of it

KIND = "languages"
BITS = 19  # the words share 2**BITS marks: 64 KiB, of which some ten thousand words set a fiftieth
LEAST_POSTS = 5  # a word counts if so many training posts have it: one foreign post does not make its words known
TELLING = 6  # letters that are enough where words vouch; those of other scripts count as three
WORDS_WEIGHT = 10.0  # log-odds between a text all of known words and one of none
FROM = -1.0  # the evidence from which on a text is read


@dataclass(frozen=True, eq=False)
class ReadLanguages:
    """The languages that a model reads, and marks of the words that its training posts have; no word is stored.

    tags: BCP 47 languages. marks (2**BITS,) bool: at the hash of every known word.
    """

    tags: tuple[str, ...]
    marks: np.ndarray

    @classmethod
    def learn(cls, tags: Sequence[str], texts: Iterable[str]) -> Self:
        """Return them with the words that at least five of the training texts have."""
        counts = Counter(word for text in texts for word in set(_words(_plain(text))))
        marks = np.zeros(1 << BITS, bool)
        marks[[_mark(word) for word, count in counts.items() if count >= LEAST_POSTS]] = True
        return cls(tuple(tags), marks)

    @property
    def names(self) -> str:
        """The languages by name, as "English" or "English and French"."""
        *most, last = map(named, self.tags)
        return " and ".join(filter(None, (", ".join(most), last)))

    @property
    def digest(self) -> str:
        """Everything that the answers depend on."""
        return hashlib.sha256(" ".join(self.tags).encode() + np.packbits(self.marks).tobytes()).hexdigest()

    def unread(self, text: str | None, declared: str | None = None) -> str | None:
        """Return why a text is not to be judged, None where it is: also where it is too short to tell its language.

        declared: the BCP 47 tag that came with the post; one that names a language which is not read settles it, while
        one that is read is believed only if the text does not speak against it.
        """
        said = primary(declared)
        if said is not None and said not in self.tags:
            return self._because(f"declared as {named(said)}")
        looks = self._looks(text)
        if looks is None or any(self._looks(variant.text) is None for variant in variants(text)[1:]):
            return None
        return self._because(looks)

    def _because(self, why: str) -> str:
        return f"this model reads {self.names}; not judged ({why})"

    def _looks(self, text: str | None) -> str | None:
        """Return what a text looks like if it is in no language that is read, or None."""
        plain = _plain(text)
        if sum(1 if character < "\u0250" else 3 for character in plain if character.isalpha()) < TELLING:
            return None
        ranked = [(tag, float(prob)) for tag, prob in _identifier().rank(plain)]
        own = sum(prob for tag, prob in ranked if tag in self.tags)
        words = _words(plain)
        known = sum(bool(self.marks[_mark(word)]) for word in words) / len(words)
        evidence = np.log(max(own, 1e-9)) - np.log(max(1 - own, 1e-9)) + WORDS_WEIGHT * (known - 0.5)
        if evidence >= FROM:
            return None
        other = next(tag for tag, _ in ranked if tag not in self.tags)
        return f"it looks like {named(other)}" if own < 0.5 else f"it does not look like {self.names}"

    def save(self, folder: Path | str) -> None:
        """Write it into a folder of its own: JSON and safetensors with a hash manifest."""
        artifacts.write_model(folder, {"kind": KIND, "tags": list(self.tags)}, {"marks": np.packbits(self.marks)})

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Return what `save` wrote; raises WorkbenchError for a damaged or changed folder."""
        head, arrays = artifacts.read_model(folder)
        return cls(tuple(head["tags"]), np.unpackbits(arrays["marks"]).astype(bool))


def _words(plain: str) -> list[str]:
    return [word.replace("’", "'") for word in _WORD.findall(plain.lower())]


def _mark(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little") % (1 << BITS)
