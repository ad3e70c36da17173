"""Spelling repair: one edit towards a word that the training texts know."""

import pickle

import pytest

from workbench.preprocessing.text.spelling import KNOWN, LONG, Lexicon

LEXICON = Lexicon(["walnut", "garden", "gardens", "kind", "kinds"])


@pytest.mark.parametrize(
    ("word", "repaired"),
    [
        ("walnt", "walnut"),  # a letter too few
        ("wallnut", "walnut"),  # a letter too many
        ("walnot", "walnut"),  # another letter
        ("Wlanut", "walnut"),  # two swapped; capitals of a repaired word are lost
        ("Walnut", "Walnut"),  # known words keep theirs
        ("gardenss", "gardens"),
        ("gardenx", "garden"),  # garden and gardens are both one edit away; the more frequent comes first
        ("wulnat", "wulnat"),  # two letters swapped that are not adjacent: two edits
        ("kin", "kin"),  # too short
        ("x" * (LONG + 1), "x" * (LONG + 1)),
    ],
)
def test_the_nearest_known_word_is_taken(word, repaired):
    assert LEXICON.repair(word) == repaired


def test_a_lexicon_travels_to_another_process():
    LEXICON.repair("walnt")
    assert pickle.loads(pickle.dumps(LEXICON)).repair("walnt") == "walnut"


def test_words_are_known_that_enough_texts_have_the_most_frequent_first():
    texts = ["A walnut, a walnut"] * KNOWN + ["garden"] * (KNOWN + 1) + ["rare"] * (KNOWN - 1)
    assert Lexicon.learn(texts).words == ("garden", "a", "walnut")


def test_nothing_known_changes_nothing():
    assert Lexicon([]).repair("anything") == "anything"
