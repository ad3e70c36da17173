"""Attacks on texts, word by word."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from workbench.evidence.attacks import texts


def drawing(*shares: float, **more):
    """Return what draws these shares, whatever is asked for."""
    return SimpleNamespace(random=lambda n: np.array(shares[:n]), **more)


def test_a_space_is_taken_out_below_the_strength_and_never_beside_an_address():
    text = "one two three http://a.example four five"
    assert texts.joined(text, 0.5, drawing(0.4, 0.5, 0.0, 0.0, 0.1, 1)) == "onetwo three http://a.example fourfive"
    assert texts.joined("a b c", 1.0, np.random.default_rng(0)) == "abc"
    assert texts.joined("a b", 0.0, np.random.default_rng(0)) == "a b"


def test_a_share_of_the_longer_words_is_changed_and_the_rest_stays_where_it_was():
    text = "The quick, brown fox  jumps (over) it: http://quick.example !"
    changed = texts._some(text, 0.5, drawing(0.4, 0.5, 0.3, 0.6), lambda word: f"<{word}>")
    assert changed == "The <quick,> brown fox  <jumps> (over) it: http://quick.example !"


def test_a_word_is_split_anywhere_within_it():
    cuts = {texts.split("word", 1.0, np.random.default_rng(seed)) for seed in range(40)}
    assert cuts == {"w ord", "wo rd", "wor d"}


def test_praise_grows_from_one_sentence_to_all_five():
    for strength, count in ((0.0, 1), (0.2, 1), (0.4, 2), (0.8, 4), (1.0, 5)):
        given = texts.praise("no", strength, np.random.default_rng(1))
        assert given.startswith("no ")
        assert sum(sentence in given for sentence in texts.PRAISE) == count
