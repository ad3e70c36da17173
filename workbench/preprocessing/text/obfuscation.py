"""What undoes one obfuscation each, from a text to a text; `variants` says in which order and when they count.

Every function is linear in the text's length and leaves alone what does not carry its obfuscation.
"""

from __future__ import annotations

import html
import re
from functools import cache
from urllib.parse import unquote

from workbench.preprocessing.text.cleaning import compose
from workbench.preprocessing.text.normalization import ADDRESS, STOP_WORDS

# ------------------------------------------------------------------------------------------------------------- codes

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_]")
_TAG = re.compile(r"(?<=\w)(?:<[a-zA-Z/!][^<>]{0,80}>){1,8}(?=\w)")
_PERCENT = re.compile(r"(?:%[2-7][0-9a-fA-F]){2,}")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8}))")
_HUGE = re.compile(r"&#(?:0*[0-9]{8,}|[xX]0*[0-9a-fA-F]{7,});?")


def decoded(text: str) -> str:
    r"""Return a text without escape sequences, with backspaces done and with character codes as characters.

    >>> decoded("\x1b[31mid\x1b[0miox\x08t &amp;#105; %69%64 \\u0069")
    'idiot i id i'
    """
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\b" in text:
        text = _backspaced(text)
    for _ in range(3):  # "&amp;amp;" twice over is already more than any site does
        if "&" not in text:
            break
        text = html.unescape(_HUGE.sub("\ufffd", text))
    if "<" in text:
        text = _TAG.sub("", text)
    if "%" in text:
        text = _PERCENT.sub(lambda match: unquote(match[0], errors="replace"), text)
    return _ESCAPED.sub(_character, text) if "\\" in text else text


def _backspaced(text: str) -> str:
    kept: list[str] = []
    for character in text:
        if character != "\b":
            kept.append(character)
        elif kept:
            kept.pop()
    return "".join(kept)


def _character(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or match[3], 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def rightly_decoded(text: str) -> str:
    """Return a text whose UTF-8 was read in another encoding as it was meant."""
    if text.isascii():
        return text
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return fix_encoding(text) if is_bad(text) else text


# ---------------------------------------------------------------------------------------------------- what is unseen

_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]+")
# Joiners shape honest Arabic and Indic words, so they go behind letters of the alphabets before those only.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0100-\U000e01ef]+"
)
_JOINERS = re.compile("(?<=[\x00-\u052f])[\u200c\u200d]+")
_TURNED = re.compile("\u202e([^\u202a-\u202e\u2066-\u2069\n]*)[\u202a-\u202e\u2066-\u2069]*")
_TAGS = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007e]+")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")


def visible(text: str) -> str:
    """Return a text without invisible characters; what Unicode's tag characters spell out is written out.

    >>> visible("id\\u200bi\\u00adot")
    'idiot'
    """
    text = _CONTROLS.sub("", text)
    if text.isascii():
        return text
    text = _JOINERS.sub("", _UNSEEN.sub("", text))
    return _TAGS.sub(lambda match: "".join(chr(ord(tag) - 0xE0000) for tag in match[0]), text)


def as_displayed(text: str) -> str:
    """Return a text in which what follows U+202E, which displays it backwards, is backwards."""
    return _TURNED.sub(lambda match: match[1][::-1], text) if "\u202e" in text else text


def unmarked(text: str) -> str:
    """Return a text without any accent if it has marks that compose with no letter, such as zalgo's; else as it is.

    >>> unmarked("i\\u0336d\\u0336") + unmarked("caf\\u00e9")
    'idcaf\\xe9'
    """
    if text.isascii() or not _MARKS.search(compose(text, "NFC")):
        return text
    return without_accents(text)


def without_accents(text: str) -> str:
    """Return a text without the accents of Latin, Greek and Cyrillic letters."""
    return compose(_MARKS.sub("", compose(text, "NFD")), "NFC")


def compatible(text: str) -> str:
    """Return a text in Unicode's form NFKC: full-width, mathematical and circled letters become plain ones."""
    return text if text.isascii() else compose(text, "NFKC")


PLAIN = (
    (decoded, "codes decoded"),
    (as_displayed, "its direction undone"),
    (rightly_decoded, "a wrong decoding mended"),
    (visible, "invisible characters removed"),
    (compatible, "styled letters made plain"),
    (unmarked, "stacked marks removed"),
)
"""The mild steps, in the order in which they are done."""

# -------------------------------------------------------------------------------------------------- letters for letters

_CLOSE = str.maketrans(
    "асԁеɡһіјӏорԛѕухѵԝАВСЕНІЈКМОРЅТХУԌԚԜҮү" + "ονυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օսհՏՕ" + "ᎪᏴᏟᎠᎬᎻᎫᏦᏞᎷᏢᏒᏚᎢᏙᏔᏃ",
    "acdeghijlopqsyxvwABCEHIJKMOPSTXYGQWYy" + "ovuABEZHIKMNOPTYX" + "ouhSO" + "ABCDEHJKLMPRSTVWZ",
)
_LOOSE = str.maketrans("вкмнтпгзчґёїўαβεηικρτχωγ", "bkmhtnrzyreiyabenikptxwy")
TWINS = {**_LOOSE, **_CLOSE}
"""Letters that pass for Latin ones: close twins alone, loose ones only beside Latin letters."""
_FOREIGN = re.compile("[\u0370-\u058f\u13a0-\u13ff]")
_LATIN = re.compile("[a-zA-Z\u00c0-\u024f]")
_WORD = re.compile(r"\w+")
# Phonetic letters, small capitals, raised letters and Latin letters that only specialists use.
_PHONETIC = re.compile("[\u0180-\u024f\u0250-\u02bc\u1d00-\u1dbf\u2071\u207f\u2090-\u209c\u2c60-\u2c7f\ua722-\ua7ff]")
_STYLED = re.compile("[\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]")
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FLAG_LETTERS = {0x1F1E6 + at: 65 + at for at in range(26)}


def look_alikes(text: str) -> str:
    """Return a text whose letters of other alphabets are the Latin ones that they pose as.

    >>> look_alikes("уоu аre"), look_alikes("Она поет")
    ('you are', 'Она поет')
    """
    if text.isascii():
        return text
    text = _STYLED.sub(lambda match: chr(65 + (ord(match[0]) - 0x1F130) % 32), text)
    text = _FLAGS.sub(lambda run: run[0] if len(run[0]) == 2 else run[0].translate(_FLAG_LETTERS), text)
    foreign = (word for word in set(_WORD.findall(text)) if _FOREIGN.search(word) and not _LATIN.search(word))
    honest = any(_FOREIGN.search(word.translate(_CLOSE)) for word in foreign)
    twins = not honest or _LATIN.search(text) is not None
    return _WORD.sub(lambda match: match[0] if match[0].isascii() else _latin(match[0], twins), text)


def _latin(word: str, twins: bool) -> str:
    """Return a word in Latin letters if it poses as one; twins: whether a word all of twins does."""
    if _PHONETIC.search(word):
        from anyascii import anyascii

        word = _PHONETIC.sub(lambda match: anyascii(match[0]), word)
    if _FOREIGN.search(word):
        whole = word.translate(_CLOSE)
        if _LATIN.search(word):
            word = word.translate(TWINS)
        elif twins and not _FOREIGN.search(whole):
            word = whole
    bare = without_accents(word) if not word.isascii() else word
    accents = sum(letter != other for letter, other in zip(word, bare, strict=False))
    return bare if len(bare) == len(word) and accents >= 2 and 5 * accents >= 2 * len(word) else word


# ------------------------------------------------------------------------------------------------------ spaced letters

_SPACED = re.compile(
    r"(?<![^\W_])[^\W_](?P<gap>[^\w\s] ?|[_ \t])(?:[^\W_](?P=gap))+[^\W_]"
    r"(?![^\W_]|[^\w\s][^\W_](?![^\W_]))"  # what follows is neither a longer word nor a run with another gap
)
_PAIR = re.compile(r"(?<=\s\s)([^\W_]) ([^\W_])(?=\s\s|\Z)")
_LETTERS = re.compile(r"[^\W_]")
_INITIALS = 4  # letters with dots between that are still initials: "U.S.A."


def joined(text: str) -> str:
    """Return a text in which letters with one and the same character between them are words.

    >>> joined("y o u  i-d-i-o-t of the U.S.A.")
    'you  idiot of the U.S.A.'
    """
    after = _SPACED.sub(_joined, text)
    return after if after == text else _PAIR.sub(r"\1\2", after)


def _joined(match: re.Match[str]) -> str:
    letters = "".join(_LETTERS.findall(match[0]))
    if letters.isdigit() or (match["gap"].strip() in {".", "&", "/", "-", ","} and len(letters) < _INITIALS):
        return match[0]
    return letters


# ----------------------------------------------------------------------------------------------- digits as letters

_LEET = str.maketrans("03457869@$!|+€£¢", "oeastbggasiitelc")
_WITH_LEET = re.compile(r"(?:[^\W_]|[@$!|+€£¢])+")
_MIXED = re.compile(r"[^\W\d_]")
_INSIDE = re.compile(r"[a-zA-Z][0-9@$!|+€£¢]+[a-zA-Z]|^@?[$013457]+[a-zA-Z]|[a-zA-Z][$@]+$")
_HONEST = re.compile(r"\$?\d+(?:st|nd|rd|th|s|k|m|x|am|pm|d|h|g|kg|km|cm|mm|min|px|gb|mb)", re.IGNORECASE)


def leet(text: str, letter: str) -> str:
    """Return a text whose digits and signs among letters are letters; `letter` is what a 1 is read as.

    >>> leet("a b1tch with 2 k1ds at 9am", "i")
    'a bitch with 2 kids at 9am'
    """
    table = {**_LEET, ord("1"): letter, ord("|"): letter, ord("!"): letter}
    parts, at = [], 0
    for address in ADDRESS.finditer(text):
        parts += [text[at : address.start()], address[0]]
        at = address.end()
    parts.append(text[at:])
    if not any(_is_leet(word) for part in parts[::2] for word in _WITH_LEET.findall(part)):
        return text

    def word(match: re.Match[str]) -> str:
        """Read every word with a letter in it, now that one is leet beyond doubt: "m454" beside "m3j0r4"."""
        body = match[0].rstrip("!|+")  # "idiot!" ends in no letter
        if body.isalpha() or not _MIXED.search(body) or _HONEST.fullmatch(body):
            return match[0]
        return body.translate(table) + match[0][len(body) :]

    parts[::2] = [_WITH_LEET.sub(word, part) for part in parts[::2]]
    return "".join(parts)


def _is_leet(word: str) -> bool:
    body = word.rstrip("!|+")
    return not body.isalpha() and _INSIDE.search(body) is not None and not _HONEST.fullmatch(body)


# ------------------------------------------------------------------------------------------------------- turned round


@cache
def _reversed_words() -> frozenset[str]:
    """Function words read backwards that are none forwards."""
    known = frozenset().union(*STOP_WORDS.values()) | {"not", "no", "nicht"}
    return frozenset(word[::-1] for word in known if len(word) > 1) - known - {"ton", "dam", "mad", "net", "rams"}


def backwards(text: str) -> bool:
    """Return whether a text has many function words backwards and fewer forwards (of English, Spanish and German)."""
    words = text.lower().split()
    turned = _reversed_words()
    if turned.isdisjoint(words):
        return False
    forwards = sum(word in known for word in words for known in STOP_WORDS.values())
    hits = sum(word in turned for word in words)
    return hits > forwards and 5 * hits >= len(words)  # of plain sentences function words are about half


_UPRIGHT = str.maketrans("ɐɔǝɟƃɓɥᴉıɾʞɯɹʇʌʍʎ˙¡¿‾∀ƎℲ⅁ſ⅂ԀᴚՈ", "acefgghiijkmrtvwy.!?_AEFGJLPRU")
_UPSIDE_DOWN = re.compile("[ɐɔǝɟƃɥᴉıɾʞɯɹʇʌʍʎ]")
_SWAPPED = str.maketrans("bdpqnu", "qpdbun")


def upside_down(text: str) -> bool:
    """Return whether a text has several letters that are others upside down."""
    return len(_UPSIDE_DOWN.findall(text[:2000])) >= 2


def turned(text: str) -> str:
    """Return an upside-down text upright: read from its end, each letter turned."""
    return text[::-1].translate({**_SWAPPED, **_UPRIGHT})
