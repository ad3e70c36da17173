"""Steps that change words: each does what it says, and masks stay."""

import pytest

from workbench.preprocessing.text import normalization
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.spelling import Lexicon


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
    assert normalization.split_hashtags(text) == split


def test_runs_of_letters_are_cut_and_runs_of_others_are_not():
    assert normalization.shorten_runs("sooooo !!!! 10000 aab", 2) == "soo !!!! 10000 aab"
    assert normalization.shorten_runs("Üüü ßßß", 1) == "Üü ß"  # a capital is another letter


def test_stop_words_go_whatever_their_case_and_negations_stay():
    assert normalization.without_stop_words("You’re NOT The best, no", ("en",)).split() == ["NOT", "best,", "no"]
    assert normalization.without_stop_words("Du bist nicht la mejor", ("de", "es")).split() == ["nicht", "mejor"]
    for language, negation in (("en", "not no never"), ("es", "no nunca"), ("de", "nicht kein nie")):
        assert normalization.STOP_WORDS[language].isdisjoint(negation.split())


@pytest.mark.parametrize(
    "link",
    [
        "http://a.example/the/of?to=in#theOff",
        "www.the-of.example/Running",
        "all.about.it/off",
        "the.com",
        "who.is@the.example",
        "@the_dogs",
        "/u/the-running",
        "r/the_doooogs",
        "[URL]",
    ],
)
def test_steps_leave_links_and_names_whole(link):
    text = f"see {link} and"
    everything = TextOptions(stop_words=("en",), stem="en", repeats=2, split_hashtags=True, spelling=True)
    assert clean(text, everything, Lexicon(["dogs", "thee"])) == f"see {link}"


def test_only_words_that_stand_alone_are_stop_words():
    kept = "#me_too #the over.The to2 _of_"
    assert normalization.without_stop_words(kept, ("en",)) == "#me_too #the . to2 _of_"  # a full stop ends a word
    assert normalization.without_stop_words("(the) of- to/from 'it' is.", ("en",)) == "() - / '' ."


def test_stems_are_those_of_snowball_and_masks_and_very_long_words_stay():
    assert normalization.stems("Running [URL] dogs’ ponies [USER]", "en") == "run [URL] dog’ poni [USER]"
    assert normalization.stems("Häuser", "de") == "haus"
    assert normalization.stems("a" * 1000 + "ing", "en") == "a" * 1000 + "ing"


def test_every_stemming_language_has_its_rules():
    for language in normalization._STEMMERS:
        assert normalization.stems("Test", language)


def test_emoji_are_named_or_dropped():
    text = "well\U0001f44d\U0001f3fd done \u2764\ufe0f"
    assert normalization.without_emoji(text, named=True).split() == [
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
    assert normalization.without_emoji(text, named=False).split() == ["well", "done"]
    assert normalization.without_emoji("a: b :x: é", named=True) == "a: b :x: é"  # nothing that only looks like a name
