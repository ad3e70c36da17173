"""Steps that change words: each does what it says, and masks stay."""

import pytest

from workbench.preprocessing import words


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("#StopTheNoise", "Stop The Noise"),
        ("#abc_def1", "abc def 1"),
        ("#USAToday", "USA Today"),
        ("#ÜberAlles und #go", "Über Alles und go"),
        ("a#b ##c &#105; http://x.y/#z", "a#b ##c &#105; http://x.y/#z"),  # no hashtags
    ],
)
def test_hashtags_become_words(text, split):
    assert words.split_hashtags(text) == split


def test_runs_of_letters_are_cut_and_runs_of_others_are_not():
    assert words.shorten_runs("sooooo !!!! 10000 aab", 2) == "soo !!!! 10000 aab"
    assert words.shorten_runs("Üüü ßßß", 1) == "Üü ß"  # a capital is another letter


def test_stop_words_go_whatever_their_case_and_negations_stay():
    assert words.without_stop_words("You’re NOT The best, no", ("en",)).split() == ["NOT", "best,", "no"]
    assert words.without_stop_words("Du bist nicht la mejor", ("de", "es")).split() == ["nicht", "mejor"]
    for language, negation in (("en", "not no never"), ("es", "no nunca"), ("de", "nicht kein nie")):
        assert words.STOP_WORDS[language].isdisjoint(negation.split())


def test_stems_are_those_of_snowball_and_masks_and_very_long_words_stay():
    assert words.stems("Running [URL] dogs’ ponies [USER]", "en") == "run [URL] dog’ poni [USER]"
    assert words.stems("Häuser", "de") == "haus"
    assert words.stems("a" * 1000 + "ing", "en") == "a" * 1000 + "ing"


def test_every_stemming_language_has_its_rules():
    for language in words._STEMMERS:
        assert words.stems("Test", language)


def test_emoji_are_named_or_dropped():
    text = "well\U0001f44d\U0001f3fd done \u2764\ufe0f"
    assert words.without_emoji(text, named=True).split() == [
        "well",
        "thumbs",
        "up",
        "medium",
        "skin",
        "tone",
        "done",
        "red",
        "heart",
    ]
    assert words.without_emoji(text, named=False).split() == ["well", "done"]
    assert words.without_emoji("a: b :x: é", named=True) == "a: b :x: é"  # nothing that only looks like a name
