"""Near-duplicate texts: the stated edits are found, every pair by definition is, and clean posts are left alone."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.evidence.audit.shingles import ShingledTexts, near_pairs, words_of

VOCABULARY = [f"{head}{tail}" for head in ("ba", "ke", "mi", "no", "su", "ra", "ti") for tail in ("lon", "rek", "dim")]


def near(one: str, other: str) -> bool:
    if words_of(one) == words_of(other):
        return True
    return len(near_pairs(ShingledTexts([words_of(one), words_of(other)])).i) == 1


def _homoglyphs(text: str) -> str:
    return text.replace("a", "\u0430").replace("o", "\u043e")


def _entities(text: str) -> str:
    return "".join(f"&#{ord(letter)};" if letter in "aeiou" else letter for letter in text) + " &amp;"


def _changed(text: str, rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = "changed"
    return " ".join(words)


def _dropped(text: str, rng: random.Random) -> str:
    words = text.split()
    del words[rng.randrange(len(words))]
    return " ".join(words)


def _added(text: str, rng: random.Random) -> str:
    words = text.split()
    words.insert(rng.randrange(len(words) + 1), "added")
    return " ".join(words)


SAME = {
    "case": str.upper,
    "punctuation": lambda text: text.replace(" ", ", ", 1) + "!!!",
    "white space": lambda text: f"\n {text}".replace(" ", "  \t"),
    "emoji": lambda text: f"\U0001f602 {text} \U0001f44d\U0001f3fd",
    "address": lambda text: f"{text} https://a.example/b?c=d",
    "masked address": lambda text: f"[URL] {text}",
    "homoglyphs": _homoglyphs,
    "zero width": lambda text: "\u200b".join(text),
    "entities": _entities,
}
WORDS = {"one word changed": _changed, "one word dropped": _dropped, "one word added": _added}


def planted(n: int, shortest: int, rng: random.Random) -> list[str]:
    return [" ".join(rng.choices(VOCABULARY, k=rng.randint(shortest, 40))) for _ in range(n)]


@pytest.mark.parametrize("edit", SAME)
def test_edits_that_leave_the_words_leave_the_text(edit):
    texts = planted(500, 1, random.Random(edit))
    found = [words_of(SAME[edit](text)) == words_of(text) for text in texts]
    assert np.mean(found) >= 0.99


@pytest.mark.parametrize("edit", WORDS)
def test_one_word_in_a_text_of_thirteen_and_more_is_found_among_all(edit):
    rng = random.Random(edit)
    texts = planted(500, 13, rng)
    edited = [WORDS[edit](text, rng) for text in texts]
    pairs = near_pairs(ShingledTexts([words_of(text) for text in texts + edited]))
    found = set(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))
    assert np.mean([(k, k + 500) in found for k in range(500)]) == 1
    assert len(found) == 500  # and no text is near another's


def test_what_is_near_by_definition():
    long = "one two three four five six seven eight nine ten eleven twelve"
    assert near(long, long.replace("six", "other"))  # 12 words
    assert not near(long.removesuffix(" twelve"), long.removesuffix(" twelve").replace("six", "other"))  # 11 words
    assert not near(long, long.replace("six", "other").replace("two", "other"))
    assert near("a b c d e f", "a b c d e f g")  # 4 of 5 shingles
    assert not near("a b c d e", "a b c d e f")  # 3 of 4
    assert near("Thank you", "thank you!!")
    assert not near("thank you", "thank me")


def test_scripts_without_spaces_are_compared_by_characters():
    assert words_of("今日は") == ["今", "日", "は"]
    assert near("今日はとてもいい天気ですね", "今日はとてもいい天気ですよ")


def test_nothing_is_near_nothing():
    assert len(near_pairs(ShingledTexts([])).i) == 0
    assert len(near_pairs(ShingledTexts([[], ["a"]])).i) == 0


def by_hand(one: list[str], other: list[str]) -> bool:
    sets = [{tuple(words[k : k + 3]) for k in range(max(len(words) - 2, 1))} for words in (one, other)]
    if len(sets[0] & sets[1]) >= 0.8 * len(sets[0] | sets[1]):
        return True
    short, long = sorted((one, other), key=len)
    if len(short) == len(long):
        return len(long) >= 12 and sum(a != b for a, b in zip(short, long, strict=True)) == 1
    return len(long) >= 13 and any(long[:k] + long[k + 1 :] == short for k in range(len(long)))


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=16).map(tuple), max_size=12, unique=True))
def test_no_pair_is_missed_and_none_is_invented(texts):
    texts = [list(text) for text in texts]
    found = near_pairs(ShingledTexts(texts))
    expected = {(i, j) for i, j in itertools.combinations(range(len(texts)), 2) if by_hand(texts[i], texts[j])}
    assert set(zip(found.i.tolist(), found.j.tolist(), strict=True)) == expected


def test_only_the_kinds_that_are_asked_about_are_compared():
    texts = [["a", "b", "c", "d", "e", "f", *tail] for tail in ((), ("g",), ("h",))]
    allowed = np.array([[False, True], [True, False]])
    found = near_pairs(ShingledTexts(texts), np.array([0, 0, 1]), allowed)
    assert (found.i.tolist(), found.j.tolist(), found.similarity.tolist()) == ([0], [2], [0.8])
