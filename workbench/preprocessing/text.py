"""Text as the encoders get it: one cleaned reading of a post's words; the words themselves are never replaced.

Every step is linear in the length, whatever the text. Undoing obfuscation (homoglyphs, zero-width characters, leet)
takes several readings and is not done here: one cleaned text cannot undo it without harming honest text.

Source: Unicode Standard Annex 15 (normalisation, stream-safe text), HTML 5 character references by Python's `html`.
"""

from __future__ import annotations

import html
import re
import unicodedata

from pydantic import Field

from workbench.schema import Options

RECIPE = "text 1"
"""Changes whenever the same text and options may give another reading; part of every encoder's fingerprint."""

URL, HANDLE = "[URL]", "[USER]"  # as EDOS and other published sets mask them


class TextOptions(Options):
    """How a text is cleaned; all fields belong to an encoder's recipe."""

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


DEFAULT = TextOptions()

_SURROGATE = re.compile("[\ud800-\udfff]")
_LEADING_ZEROS = re.compile(r"&#([xX]?)0+(?=[0-9a-fA-F])")
_HUGE_REFERENCE = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?")
_CONTROLS = dict.fromkeys([*range(9), 0x0E, 0x0F, *range(0x10, 0x1C), 0x7F, *range(0x80, 0x85), *range(0x86, 0xA0)])
# ASCII never composes with what stands before it, so a text may be cut in front of it.
_PIECES = re.compile(r"[\x00-\x7f]*[^\x00-\x7f]{1,512}|[\x00-\x7f]+")
_URL = re.compile(r"(?:https?://|\bwww\.)\S+", re.IGNORECASE)
_HANDLE = re.compile(r"(?<![\w@/.])(?:@\w{1,50}|/?u/[\w-]{3,20})(?![\w@])")


def clean(text: str, options: TextOptions = DEFAULT) -> str:
    """Return the reading of a text; it can always be encoded as UTF-8, and nothing raises for any str.

    Halves of surrogate pairs are joined and lone ones become U+FFFD. Runs of over 512 non-ASCII characters without an
    ASCII one between are composed in pieces of 512, as sorting the marks on one letter takes quadratic time.

    >>> clean("Tom &amp;\\tJerry  @ home\\x00")
    'Tom & Jerry @ home'
    """
    if options.max_chars is not None:
        text = text[: options.max_chars]
    if options.unescape and "&" in text:
        text = _unescape(text)
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if options.controls:
        text = text.translate(_CONTROLS)
    if options.normalize and not text.isascii():
        text = "".join(unicodedata.normalize("NFC", piece) for piece in _PIECES.findall(text))
    if options.whitespace:
        text = " ".join(text.split())
    if options.lower:
        text = text.lower()
    if options.mask_urls:
        text = _URL.sub(URL, text)
    if options.mask_handles:
        text = _HANDLE.sub(HANDLE, text)
    return text


def _unescape(text: str) -> str:
    """Replace HTML entities; numbers beyond Unicode become U+FFFD here, as Python refuses to read very long ones."""
    text = _LEADING_ZEROS.sub(r"&#\1", text)
    return html.unescape(_HUGE_REFERENCE.sub("\ufffd", text))
