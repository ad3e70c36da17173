"""Text variants: thirty obfuscations and how many are undone, and the honest texts that stay alone."""

from __future__ import annotations

import re
import time
import unicodedata

import ftfy
import pytest
from anyascii import anyascii
from hypothesis import given
from hypothesis import strategies as st

from workbench.preprocessing.text import obfuscation
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.variants import MOST, RAW, variants

PLAIN = "you are such an idiot"


def between(mark: str) -> str:
    return "".join(letter + mark if letter != " " else letter for letter in PLAIN)


def letters(start: int, capitals: bool = False) -> str:
    """The phrase in an alphabet of letters that lie one after the other in Unicode."""
    text, first = (PLAIN.upper(), "A") if capitals else (PLAIN, "a")
    return "".join(chr(start + ord(letter) - ord(first)) if letter != " " else letter for letter in text)


def mapped(before: str, after: str) -> str:
    return PLAIN.translate(str.maketrans(before, after))


FULLWIDTH = letters(0xFF41)
DISGUISES = {
    "zero-width spaces": between("\u200b"),
    "joiners": between("\u200d"),
    "soft hyphens": between("\u00ad"),
    "word joiners and byte order marks": between("\u2060\ufeff"),
    "direction marks": between("\u200e"),
    "variation selectors": between("\ufe0f"),
    "right-to-left override": f"\u202e{PLAIN[::-1]}\u202c",
    "tag characters": "".join(chr(0xE0000 + ord(letter)) for letter in PLAIN),
    "NUL": between("\x00"),
    "backspace": PLAIN.replace("i", "x\bi"),
    "ANSI colours": between("\x1b[31m"),
    "decimal entities": "".join(f"&#{ord(letter)};" for letter in PLAIN),
    "entities of entities": "".join(f"&amp;#x{ord(letter):x};" for letter in PLAIN),
    "percent codes": "".join(f"%{ord(letter):02x}" for letter in PLAIN),
    "tags inside words": PLAIN.replace("idiot", "id<b></b>iot").replace("such", "su<!-- -->ch"),
    "full width": FULLWIDTH,
    "mathematical": letters(0x1D4EA),
    "circled": letters(0x24D0),
    "negative squares": letters(0x1F170, capitals=True),
    "flags": " ".join(letters(0x1F1E6, capitals=True)),
    "small capitals": mapped("youareschnidt", "ʏᴏᴜᴀʀᴇꜱᴄʜɴɪᴅᴛ"),
    "mojibake": FULLWIDTH.encode().decode("latin-1"),
    "zalgo": "".join(letter + "\u0300\u0316\u0334\u0360" if letter != " " else letter for letter in PLAIN),
    "struck through": between("\u0336"),
    "accents": mapped("aeiou", "äëïöü").replace("n", "ñ").replace("c", "ç").replace("y", "ÿ").replace("s", "š"),
    "Cyrillic letters": mapped("yoaeci", "уоаесі"),
    "leet": mapped("oaesit", "043517"),
    "spaced letters": " ".join(PLAIN),
    "dotted letters": " ".join(".".join(word) if len(word) > 3 else word for word in PLAIN.split()),
    "backwards": PLAIN[::-1],
}
UPSIDE_DOWN = "ʇoıpı uɐ ɥɔns ǝɹɐ noʎ"


def recovered(views: list[str]) -> bool:
    """Whether a view is the plain text, up to case and runs of white space."""
    return PLAIN in [" ".join(view.casefold().split()) for view in views]


def test_all_of_thirty_disguises_are_undone_and_single_tools_undo_far_fewer():
    assert len(DISGUISES) == 30
    assert not any(recovered([text]) for text in DISGUISES.values())
    lost = [name for name, text in DISGUISES.items() if not recovered([variant.text for variant in variants(text)])]
    assert lost == []
    alone = {
        "NFKC": lambda text: unicodedata.normalize("NFKC", text),
        "ftfy": lambda text: unicodedata.normalize("NFKC", ftfy.fix_text(text)),
        "anyascii": anyascii,
        "clean": clean,
    }
    found = {name: sum(recovered([undo(text)]) for text in DISGUISES.values()) for name, undo in alone.items()}
    assert found == {"NFKC": 3, "ftfy": 8, "anyascii": 15, "clean": 2}


@pytest.mark.parametrize(
    ("text", "undone", "kind"),
    [
        (UPSIDE_DOWN, PLAIN, "upside-down letters turned round"),
        ("you 1d10t!", "you idiot!", "digits and signs read as letters"),
        ("a$$ and @$$hole", "ass and asshole", "digits and signs read as letters"),
        ("i-d-i-o-t", "idiot", "spaced letters joined"),
        # Both halves at once: the letters look alike, and an invisible one lies between them.
        ("іd\u200bіot", "idiot", "invisible characters removed and look-alike letters undone"),
        ("Привет, idiоt", "Привет, idiot", "look-alike letters undone"),  # one Cyrillic letter among Latin ones
        ("i d 1 o t", "idiot", "spaced letters joined and digits and signs read as letters"),
    ],
)
def test_a_reading_says_what_was_undone(text, undone, kind):
    assert (undone, kind) in variants(text)


@pytest.mark.parametrize(
    "text",
    [
        "A plain post, with words; and (some) more: it's 5 pm!",
        "It's $5 at 3pm, the 2nd time; 100k of them, gr8",
        "I’m at the café… naïve, isn’t it? 👍🏽❤️ – “sure”",
        "Она поет, а он нет",  # some of its words have Latin twins throughout, others show that it is Cyrillic
        "Здравствуйте, как дела?",
        "Σήμερα είναι ωραία μέρα",
        "今天天气很好，我们去公园。",
        "السلام عليكم",
        "می‌خواهم بروم",  # a joiner that Persian needs
        "नमस्ते दुनिया",
        "U.S.A. and e.g. the E.U.",
        "Tom &amp; Jerry",
        "Vote 🇩🇪 and 🇫🇷",
        "see https://x.org/a1b2c3?q=%20x",
        "Scunthorpe, Penistone, Lightwater",
    ],
)
def test_honest_text_has_its_raw_reading_alone(text):
    assert variants(text) == ((clean(text), RAW),)


def test_the_raw_reading_comes_first_and_is_the_cleaned_text_itself():
    for text in [*DISGUISES.values(), "", None, " \n"]:
        assert variants(text)[0] == (clean(text), RAW)


@given(st.text(st.characters(exclude_categories=[]), max_size=200))
def test_any_text_has_a_few_different_variants_that_are_utf8(text):
    found = variants(text)
    assert 1 <= len(found) <= MOST
    words = [re.findall(r"[^\W_]+", view.text.casefold()) for view in found]
    assert all(words.count(one) == 1 for one in words)
    for view in found:
        assert isinstance(view.text.encode("utf-8"), bytes)


def test_variants_are_cleaned_as_asked():
    assert [variant.text for variant in variants("YOU 1D10T", lambda text: clean(text).lower())][:2] == [
        "you 1d10t",
        "you idiot",
    ]


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "a ", "a b ", "1", "a1", "@1", "$", "<a", "&#", "%4", "\\u00", "\x1b[", "\u202e", "\u0300", "а", "аa"),
        *("\b", "<b>", "a.", "ï»", "\ud83d", "\u200d", "\U0001f1fa", "\U000e0041", "a\u0300\u0316", "ɐ", "era "),
        *("a$", "é"),
    ],
)
def test_a_quarter_of_a_million_characters_take_no_time(unit):
    text, whole = unit * (250_000 // len(unit)), TextOptions(max_chars=None)
    start = time.process_time()
    variants(text, lambda text: clean(text, whole))
    # Linear code takes about a second; a quadratic step would need minutes.
    assert time.process_time() - start < 20


def test_every_disguise_can_be_undone_by_itself():
    assert obfuscation.decoded("x\x08idiot\x1b[0m &#105; %69%64") == "idiot i id"
    assert obfuscation.as_displayed("a \u202etoidi\u202c b") == "a idiot b"
    assert (
        obfuscation.visible("\U000e0068\U000e0069 \U0001f3f4\U000e0067\U000e007f")
        == "hi \U0001f3f4\U000e0067\U000e007f"
    )
    assert obfuscation.joined("U.S.A. a b c i.d.i.o.t 1 2 3") == "U.S.A. abc idiot 1 2 3"
    assert obfuscation.leet("1 k1d, 9am, http://x.org/k1d", "i") == "1 kid, 9am, http://x.org/k1d"
    assert obfuscation.backwards("toidi na era uoy")
    assert not obfuscation.backwards("you are an idiot")
