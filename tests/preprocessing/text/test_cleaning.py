"""Cleaning text: what each option does, and that no str is too strange or too long."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.preprocessing.text.cleaning import HANDLE, URL, TextOptions, clean, left_out, stands_for_none
from workbench.preprocessing.text.spelling import Lexicon

RAW = TextOptions(max_chars=None, unescape=False, normalize=False, controls=False, whitespace=False)
ALL = TextOptions(max_chars=None, lower=True, mask_urls=True, mask_handles=True)
WORDS = {"emoji": "name", "split_hashtags": True, "repeats": 2, "spelling": True, "stop_words": ("en",), "stem": "en"}
EVERYTHING = ALL.model_copy(update={**WORDS, "missing": ("nan",)})
LEXICON = Lexicon(["walnut", "running"])


def only(**options) -> TextOptions:
    return RAW.model_copy(update=options)


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        (only(), " A\t&amp; B\x00", " A\t&amp; B\x00"),
        (only(unescape=True), "&lt;b&gt; &amp;amp; &#65;&#x42;", "<b> &amp; AB"),  # one layer, as a browser does
        (only(unescape=True), "&#0000000000000065;", "A"),  # leading zeros do not hide a letter
        (only(unescape=True), "&#" + "9" * 5000 + ";", "\ufffd"),  # Python itself refuses to read so long a number
        (only(normalize=True), "cafe\u0301", "caf\u00e9"),
        (only(controls=True), "k\x00i\x07ll\n", "kill\n"),
        (only(whitespace=True), "\u2003a \t\n b\u00a0c ", "a b c"),
        (only(lower=True), "STRASSE É", "strasse é"),
        (only(max_chars=3), "abcdef", "abc"),
        (only(mask_urls=True), "see HTTPS://x.y/z?q=1 and www.a.b.", f"see {URL} and {URL}"),
        (
            only(mask_handles=True),
            "@bob, /u/al-ice u/carol; a@b.org r/pics @",
            f"{HANDLE}, {HANDLE} {HANDLE}; a@b.org r/pics @",
        ),
        (ALL, "@Bob WWW.X.Y", f"{HANDLE} {URL}"),  # masks stay upper-case
        (only(missing=("nan", "[deleted]")), " NaN\n", ""),
        (only(missing=("nan", "[deleted]")), "my nan", "my nan"),
        (only(emoji="drop", whitespace=True), "a\U0001f600b", "a b"),
        (only(split_hashtags=True), "#TwoWords", "Two Words"),
        (only(repeats=2), "sooooo", "soo"),
        (only(stop_words=("en",)), "the walnut", " walnut"),
        (only(stem="en"), "Running", "run"),
        # Runs are cut before words are repaired, and words are repaired before they are cut to stems.
        (EVERYTHING, "The runnnnnning of #BigWalnuts, @bob \U0001f44d", f"run big walnut, {HANDLE} thumb"),
    ],
)
def test_each_option(options, before, after):
    assert clean(before, options, LEXICON) == after


def test_blanks_do_not_push_words_out_of_what_is_read_and_what_is_left_out_is_told():
    blanks = " " * 40_000 + "I will beat you" + "\n" * 40_000
    assert clean(blanks) == "I will beat you"
    assert left_out(blanks) is None
    long = "kind words " * 4000 + "I will beat you"
    assert "beat" not in clean(long)
    assert left_out(long) == f"only the first 40,000 of its {len(long):,} characters were read"
    assert left_out(long, TextOptions(max_chars=None)) is None
    assert left_out(None) is None


def test_a_missing_text_reads_as_empty():
    assert clean(None) == ""
    assert stands_for_none(None, TextOptions())
    assert not stands_for_none("nan", TextOptions())
    assert stands_for_none(" [Deleted] ", TextOptions(missing=("[deleted]",)))


def test_what_changes_words_is_off_by_default():
    text = "The runnnning of #BigWalnuts nan \U0001f44d wallnut"
    assert clean(text, lexicon=LEXICON) == text


def test_spelling_needs_the_words_of_the_training_texts():
    with pytest.raises(WorkbenchError, match="learn a Lexicon"):
        clean("text", TextOptions(spelling=True))
    assert clean("Runing walnt", TextOptions(**WORDS).before_spelling()) == "Runing walnt"


def test_surrogates_become_what_utf8_can_hold():
    assert clean("\ud83d\ude00 \ud83d \ude00", only()) == "\U0001f600 \ufffd \ufffd"


def test_the_default_keeps_words_case_and_names():
    assert clean("  Tom &amp; @Jerry\nat  http://x.y ") == "Tom & @Jerry at http://x.y"


def test_pieces_for_composing_do_not_show():
    # Two pieces of 512 meet inside the run; ASCII before a mark still composes with it.
    text = "x" + "\u4e2d" * 700 + " e\u0301"
    assert clean(text, only(normalize=True)) == unicodedata.normalize("NFC", text)


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_any_text_comes_out_as_utf8(text):
    for options in (TextOptions(), ALL, RAW, EVERYTHING):
        assert isinstance(clean(text, options, LEXICON).encode("utf-8"), bytes)


@given(st.binary(max_size=200))
def test_misread_bytes_come_out_as_utf8(data):
    assert isinstance(clean(data.decode("utf-8", "surrogateescape")).encode(), bytes)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "&",
        "&#",
        "&#0",
        "&#x",
        "&amp",
        "@",
        "u/",
        "u/a-",
        "www.",
        "http://",
        " ",
        "\x00",
        "\ud83d",
        "a\u0300\u0316",
        "\u0300\u0316",
        "#",
        "#a",
        "#aB1_",
        "aaab",
        "\U0001f44d",
        "\u2764\ufe0f",
        "a'",
        "[URL",
        "the ",
        "runing ",
        "a.",
        "a.aa/",
        "a.com",
        "a@",
        "a.b@",
        "r/",
    ],
)
def test_half_a_million_characters_take_no_time(unit):
    text = unit * (500_000 // len(unit))
    start = time.process_time()
    clean(text, EVERYTHING, LEXICON)
    # Linear code needs at most a second even on a slow machine; a quadratic step would need minutes.
    assert time.process_time() - start < 10


def test_options_are_checked():
    with pytest.raises(WorkbenchError, match="unknown key 'lowercase'; did you mean 'lower'"):
        TextOptions.parse({"lowercase": True}, "text")
