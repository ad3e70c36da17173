"""Text as the encoders get it: a post's words, cleaned; the words themselves are never replaced.

Every step is linear in the length, whatever the text. Undoing obfuscation (homoglyphs, zero-width characters, leet)
takes several `variants`: one cleaned text cannot undo it without harming honest text. All that changes words
(`words`, `spelling`) is off unless asked for; `experiments/text-preprocessing.yaml` measures what each step buys.

Source: Unicode Standard Annex 15 (normalisation, stream-safe text), HTML 5 character references by Python's `html`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Literal

from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.preprocessing.text import normalization
from workbench.preprocessing.text.spelling import Lexicon
from workbench.schema import Options

URL, HANDLE = "[URL]", "[USER]"  # as EDOS and other published sets mask them


class TextOptions(Options):
    """How a text is cleaned; the fields from `lower` on change words and are off by default."""

    max_chars: int | None = Field(
        40_000,
        gt=0,
        description="Only so many leading characters are read (40,000 is a site's longest post); null: all.",
    )
    unescape: bool = Field(True, description="Whether HTML entities become the characters they stand for.")
    normalize: bool = Field(True, description="Whether characters are composed to Unicode's form NFC.")
    controls: bool = Field(True, description="Whether invisible control characters such as NUL are dropped.")
    whitespace: bool = Field(True, description="Whether every run of white space becomes one space.")
    lower: bool = Field(False, description="Whether letters are lower-cased.")
    mask_urls: bool = Field(False, description=f"Whether web addresses become {URL}.")
    mask_handles: bool = Field(False, description=f"Whether @name and u/name become {HANDLE}.")
    missing: tuple[str, ...] = Field(
        (), description="Texts that stand for none, such as `nan` or `[deleted]`, in any case; they become empty."
    )
    emoji: Literal["keep", "name", "drop"] = Field("keep", description="Emoji stay, become their names, or go.")
    split_hashtags: bool = Field(
        False, description="Whether #twoWords becomes two words, at capitals, digits and underscores."
    )
    repeats: int | None = Field(
        None, ge=1, le=10, description="Runs of one letter are cut to so many (2 makes `sooooo` `soo`); null: kept."
    )
    spelling: bool = Field(
        False, description="Whether a word that training texts hardly have becomes their nearest word, one edit away."
    )
    stop_words: tuple[normalization.StopLanguage, ...] = Field(
        (), description="Languages (en, es, de) whose function words are left out."
    )
    stem: normalization.StemLanguage | None = Field(
        None, description="The language by whose Snowball rules words are cut to their stems (and lower-cased)."
    )

    def before_spelling(self) -> TextOptions:
        """Return the same cleaning up to the step that a lexicon of known words is needed for."""
        return self.model_copy(update={"spelling": False, "stop_words": (), "stem": None})


DEFAULT = TextOptions()

_LEADING_ZEROS = re.compile(r"&#([xX]?)0+(?=[0-9a-fA-F])")
_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")
_CONTROLS = dict.fromkeys([*range(9), 0x0E, 0x0F, *range(0x10, 0x1C), 0x7F, *range(0x80, 0x85), *range(0x86, 0xA0)])
# ASCII never composes with what stands before it, so a text may be cut in front of it.
_PIECES = re.compile(r"[\x00-\x7f]*[^\x00-\x7f]{1,512}|[\x00-\x7f]+")
_HANDLE = re.compile(r"(?<![\w@/.])(?:@\w{1,50}|/?u/[\w-]{3,20})(?![\w@])")


def clean(text: str | None, options: TextOptions = DEFAULT, lexicon: Lexicon | None = None) -> str:
    """Return a text cleaned; it can always be encoded as UTF-8, and nothing raises for any str.

    None, a missing value, reads as the empty text. `options.spelling` needs the lexicon of the training texts; without
    one WorkbenchError is raised, for silently leaving words as they are would make two recipes of one.

    Halves of surrogate pairs are joined and lone ones become U+FFFD. Runs of over 512 non-ASCII characters without an
    ASCII one between are composed in pieces of 512, as sorting the marks on one letter takes quadratic time.

    >>> clean("Tom &amp;\\tJerry  @ home\\x00")
    'Tom & Jerry @ home'
    """
    if text is None or (options.missing and stands_for_none(text, options)):
        return ""
    if _too_long(text, options):
        text = _collapsed(text, options)[: options.max_chars]
    if options.unescape and "&" in text:
        text = _unescape(text)
    text = joined_surrogates(text)
    if options.controls:
        text = text.translate(_CONTROLS)
    if options.normalize and not text.isascii():
        text = compose(text, "NFC")
    if options.whitespace:
        text = " ".join(text.split())
    if options.split_hashtags:  # by its capitals, so before they go
        text = normalization.split_hashtags(text)
    if options.lower:
        text = text.lower()
    if options.mask_urls:
        text = normalization.ADDRESS.sub(URL, text)
    if options.mask_handles:
        text = _HANDLE.sub(HANDLE, text)
    return _reworded(text, options, lexicon)


def left_out(text: str | None, options: TextOptions = DEFAULT) -> str | None:
    """Return what `clean` does not read of a text, in a sentence; None where it reads all of it."""
    if text is None or not _too_long(text, options) or len(_collapsed(text, options)) <= options.max_chars:
        return None
    return f"only the first {options.max_chars:,} of its {len(text):,} characters were read"


def _too_long(text: str, options: TextOptions) -> bool:
    return options.max_chars is not None and len(text) > options.max_chars


def _collapsed(text: str, options: TextOptions) -> str:
    """Return a text without runs of white space, which would push the words out of what is read."""
    return " ".join(text.split()) if options.whitespace else text


def _reworded(text: str, options: TextOptions, lexicon: Lexicon | None) -> str:
    before = text
    if options.emoji != "keep":
        text = normalization.without_emoji(text, named=options.emoji == "name")
    if options.repeats is not None:
        text = normalization.shorten_runs(text, options.repeats)
    if options.spelling:
        if lexicon is None:
            raise WorkbenchError("text option 'spelling' needs the known words of the training texts; learn a Lexicon")
        text = normalization.each(text, lexicon.repair)
    if options.stop_words:
        text = normalization.without_stop_words(text, options.stop_words)
    if options.stem is not None:
        text = normalization.stems(text, options.stem)
    return " ".join(text.split()) if options.whitespace and text is not before else text


def joined_surrogates(text: str) -> str:
    """Return a text whose halves of surrogate pairs are joined; lone ones become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def compose(text: str, form: str) -> str:
    """Return a text in a Unicode normal form, in time linear in its length (see `clean`)."""
    return "".join(unicodedata.normalize(form, piece) for piece in _PIECES.findall(text))


def stands_for_none(text: str | None, options: TextOptions) -> bool:
    """Return whether a text is a missing value: None, or one of `options.missing` in any case."""
    if text is None:
        return True
    longest = max(map(len, options.missing), default=0)
    return len(text) <= longest + 100 and text.strip().lower() in {value.lower() for value in options.missing}


def _unescape(text: str) -> str:
    """Replace HTML entities; numbers beyond Unicode become U+FFFD here, as Python refuses to read very long ones."""
    text = _LEADING_ZEROS.sub(r"&#\1", text)
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))
