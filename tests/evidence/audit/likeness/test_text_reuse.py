"""Text reuse: every stated edit of real and made texts is found, also among many, and clean posts are left alone."""

from __future__ import annotations

import os
import random
import re

import numpy as np
import pandas as pd
import pytest

from workbench.evidence import attacks
from workbench.evidence.audit.likeness import text_reuse
from workbench.evidence.audit.likeness.text_reuse import letters, near_pairs

HEADS, TAILS = ("ba", "ke", "mi", "no", "su", "ra", "ti"), ("lon", "rek", "dim", "tus", "vag", "pib", "gor", "zem")
VOCABULARY = [head + tail for head in HEADS for tail in TAILS]
OTHERS = [f"{word[::-1]}{end}" for word in VOCABULARY for end in ("ow", "en", "ish")]
shared = pytest.mark.skipif("WORKBENCH_DATA" not in os.environ, reason="needs the shared data in WORKBENCH_DATA")


def near(one: str, other: str) -> bool:
    sides = [letters(text) for text in (one, other)]
    if set(sides[0]) & set(sides[1]):
        return True
    texts = [*sides[0], *sides[1]]
    kind = np.repeat([0, 1], [len(side) for side in sides])
    return len(near_pairs(texts, kind, ~np.eye(2, dtype=bool)).i) > 0


# ----------------------------------------------------------------------------------------------------------- the edits


def homoglyphs(text: str) -> str:
    return text.replace("a", "\u0430").replace("o", "\u043e")


def entities(text: str) -> str:
    return "".join(f"&#{ord(letter)};" if letter in "aeiou" else letter for letter in text) + " &amp;"


SAME = {
    "case": str.upper,
    "punctuation": lambda text: text.replace(" ", ", ", 1) + "!!!",
    "white space": lambda text: f"\n {text}".replace(" ", "  \t"),
    "no white space": lambda text: text.replace(" ", ""),
    "address": lambda text: f"{text} https://a.example/b?c=d",
    "masked address": lambda text: f"[URL] {text}",
    "handles": lambda text: f"RT @some_body: @other {text}",
    "homoglyphs": homoglyphs,
    "zero width": lambda text: "\u200b".join(text),
    "entities": entities,
    "leet": lambda text: text.translate(str.maketrans("aeio", "4310")),
    "spaced letters": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
    "vowels three times": lambda text: re.sub("([aeiou])", r"\1\1\1", text),
}


def cut_off(words: list[str], rng: random.Random) -> list[str]:
    return [*words[: round(2 * len(words) / 3)], "..."]


def two_dropped(words: list[str], rng: random.Random) -> list[str]:
    dropped = rng.sample(range(len(words)), 2)
    return [word for place, word in enumerate(words) if place not in dropped]


def swapped(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) - 1)
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def changed(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words))
    return [*words[:at], rng.choice(OTHERS), *words[at + 1 :]]


def added(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words) + 1)
    return [*words[:at], rng.choice(OTHERS), *words[at:]]


def pasted(words: list[str], rng: random.Random) -> list[str]:
    return [*rng.choices(OTHERS, k=rng.randrange(40)), *words, *rng.choices(OTHERS, k=rng.randrange(40))]


EDITS = {
    "cut off": cut_off,
    "quoted": lambda words, rng: ["this", "is", "wrong:", '"', *words, '"', "or", "is", "it?"],
    "pasted into another": pasted,
    "two words dropped": two_dropped,
    "two neighbours swapped": swapped,
    "a word changed": changed,
    "a word more": added,
    "spaced by the world": lambda words, rng: spelled(words, "spaced", rng),
    "leet by the world": lambda words, rng: spelled(words, "leet", rng),
}


def spelled(words: list[str], kind: str, rng: random.Random) -> list[str]:
    return attacks.texts.REWRITES[kind](" ".join(words), 1.0, np.random.default_rng(rng.randrange(2**32))).split()


def found(texts: list[str], edited: list[str], rest: list[str]) -> tuple[float, int]:
    """Return the share of texts that are named with their edited ones among all, and how many other pairs are."""
    each = [letters(text) for text in [*texts, *edited, *rest]]
    owner = np.repeat(np.arange(len(each)), [len(one) for one in each])
    n = len(texts)
    side = (owner >= n) & (owner < 2 * n)
    pairs = near_pairs([one for every in each for one in every], side.astype(int), ~np.eye(2, dtype=bool))
    named = {(owner[i], owner[j]) for i, j in zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)}
    hits = sum((k, n + k) in named or bool(set(each[k]) & set(each[n + k])) for k in range(n))
    return hits / n, sum(j - i != n for i, j in named)


@pytest.mark.parametrize("edit", SAME)
def test_edits_that_leave_what_people_read_leave_the_letters(edit):
    rng = random.Random(edit)
    texts = [" ".join(rng.choices(VOCABULARY, k=rng.randint(8, 30))) for _ in range(300)]
    same = [bool(set(letters(SAME[edit](text))) & set(letters(text))) for text in texts]
    assert np.mean(same) >= 0.99


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_a_text_of_eight_words_and_more_is_found_among_all_and_no_other_text(edit):
    rng = random.Random(edit)
    made = [rng.choices(VOCABULARY, k=rng.randint(8, 40)) for _ in range(1200)]
    edited = [" ".join(EDITS[edit](words, rng)) for words in made[:400]]
    texts = [" ".join(words) for words in made]
    share, others = found(texts[:400], edited, texts[400:])
    assert share >= 0.95
    assert others == 0


@shared
@pytest.mark.parametrize("edit", [*SAME, *EDITS])
def test_an_edit_of_a_real_text_is_found_among_all(edit):
    rng = random.Random(edit)
    posts = pd.read_csv(f"{os.environ['WORKBENCH_DATA']}/edos/edos_train_dev.csv")["text"].drop_duplicates().tolist()
    rng.shuffle(posts)
    few = {"a word changed": (8, 11)}.get(edit, (8, 10_000))  # a long text has words to lose
    chosen = [text for text in posts if few[0] <= len(text.split()) <= few[1]][:400]
    rest = sorted(set(posts) - set(chosen))[:6000]
    edited = [SAME[edit](text) if edit in SAME else " ".join(EDITS[edit](text.split(), rng)) for text in chosen]
    share, others = found(chosen, edited, rest)
    assert share >= (0.85 if edit == "a word changed" else 0.95)
    assert others <= 0.005 * len(rest)


# ------------------------------------------------------------------------------------------------------ what near means


def test_what_is_near_by_definition():
    long = "one two three four five six seven eight nine ten eleven twelve"
    assert near(long, long.replace("six", "other"))
    assert not near(long, long.replace("six", "other").replace("two", "many").replace("ten", "more"))
    assert near("so they say that " + long + " and so on and so forth, day after day", long)
    assert not near("the bus was late again today", "the train was early once more")


@pytest.mark.parametrize(
    ("one", "other"), [("yes", "YES!!!"), ("ok", "OK...."), ("thank you", "Thank you all"), ("", "")]
)
def test_two_or_three_words_in_common_are_no_finding(one, other):
    assert not near(one, other)


def test_of_whole_texts_however_short_it_can_be_asked_whether_they_are_alike():
    pairs = [
        ("yes", "YES!!!"),
        ("yes", "no"),
        ("when you see it", "When you see 1t"),
        ("when you see it", "when I do it"),
    ]
    short = [[letters(text, words=1, letters=1) for text in pair] for pair in pairs]
    assert [text_reuse.alike(*pair) for pair in short] == [True, False, True, False]


def test_scripts_without_spaces_are_compared_by_characters_and_emoji_are_content():
    assert near("今日はとてもいい天気ですね", "今日はとてもいい天気ですよ")
    assert not near("今日はとてもいい天気ですね", "明日は雨が降るでしょう、きっと")
    faces = "\U0001f600\U0001f52a\U0001f602\U0001f44d\U0001f4a9\U0001f525\U0001f680\U0001f52b"
    assert near(faces, " ".join(faces))
    texts = (faces[:2], faces[1::-1], "\U0001f44d\U0001f3fd", "\U0001f44d")
    told = [letters(text, words=1, letters=1) for text in texts]
    assert told[0] != told[1]
    assert told[2] == told[3]  # in whatever colour of skin


def test_a_lone_surrogate_and_nothing_at_all_are_compared():
    assert near_pairs([]).i.tolist() == near_pairs([""]).i.tolist() == []
    assert near("one two three four five six seven\ud800", "one two three four five six seven")


def test_of_pairs_of_runs_that_most_texts_share_the_largest_are_left_out_and_told(monkeypatch):
    rng = random.Random(0)
    texts = [
        letters("always the same beginning of all, " + " ".join(rng.choices(VOCABULARY, k=5)))[0] for _ in range(60)
    ]
    assert near_pairs(texts).left_out == 0
    monkeypatch.setattr(text_reuse, "MOST_PAIRS", 500)
    assert near_pairs(texts).left_out > 0


def test_only_the_kinds_that_are_asked_about_are_compared():
    texts = ["abcdefghijklmnopqrstuvwxyz" + tail for tail in ("", "0", "1")]
    pairs = near_pairs(texts, np.array([0, 0, 1]), np.array([[False, True], [True, False]]))
    assert list(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)) == [(0, 2), (1, 2)]
    assert pairs.similarity.round(2).tolist() == [0.98, 0.96]


# ------------------------------------------------------------------------------------------------- counted by hand


def pairs_of(*given, **more) -> list[tuple[int, int, float]]:
    pairs = near_pairs(*given, **more)
    return sorted(zip(pairs.i.tolist(), pairs.j.tolist(), pairs.similarity.round(4).tolist(), strict=True))


def test_a_text_of_four_words_and_twenty_letters_is_compared_and_one_of_fewer_is_not():
    assert letters("abcdefg hijkx mnopqr st") == ("abcdefghijkxmnopqrst",)
    assert letters("abcdefg hijkx mnopqr s") == ()
    assert letters("abcdefg hijkx mnopqrst") == ()
    long = "abcdefghijkmnopqrtuvwxyzabcdefgh"
    assert letters(long) == (long,)  # four times eight letters are four words
    assert letters(long[1:]) == ()
    assert letters("abcdefg hijkx mnopqr", words=3, letters=18) == ("abcdefghijkxmnopqr",)
    assert letters("ABCDEFG hijkx mnopqr st") == letters("abcdefg hijkx mnopqr st")
    long = "word is here " * 4000
    assert len(letters(long)[0]) == len("wordishere") * 4000


def test_letters_count_in_blocks_of_four():
    assert text_reuse._in_blocks("abcdxefg", "abcdyefg") == 4  # three letters are no block
    assert text_reuse._in_blocks("abcdxefgh", "abcdyefgh") == 8
    assert text_reuse._in_blocks("abc", "abc") == 0
    assert text_reuse._whole("abcdefgh", "abcdefghxy") == pytest.approx(2 * 8 / 18)
    assert text_reuse._whole("abcdefxxxx", "abcdefxxxx"[:6]) == pytest.approx(2 * 6 / 16)  # six of ten is long enough
    assert text_reuse._whole("abcdefghijk", "abcdef") == 0
    assert text_reuse._around("abcdefghij", 3, 2, 1) == "cdef"
    assert text_reuse._around("abcdefghij", 1, 2, 3) == "abcdef"
    assert text_reuse._around("abcdefghij", -9, 2, 3) == ""
    assert text_reuse.alike(("abcdefgh",), ("xxxxxxxx", "abcdefgh"))
    assert text_reuse.alike(("abcdefghij", "x"), ("abcdefgh" + "yz",))  # 8 of 10 letters of both
    assert not text_reuse.alike(("abcdefghij",), ("abcdefg" + "xyz",))


def test_a_part_may_lie_two_letters_or_a_twentieth_beside_its_place():
    word = "abcdefghij"
    assert [text_reuse._part(word, "0123" + word + "456789", at) for at in (2, 4, 6)] == [1, 1, 1]
    assert [text_reuse._part(word, "0123" + word + "456789", at) for at in (1, 7)] == [0.9, 0.9]
    long = "".join(chr(0x4E00 + k) for k in range(80))
    assert [text_reuse._part(long, "12345678" + long + "12345678", at) for at in (4, 12)] == [1, 1]
    assert [text_reuse._part(long, "12345678" + long + "12345678", at) for at in (3, 13)] == [79 / 80, 79 / 80]


def test_pairs_meet_in_two_runs_at_the_median_of_their_places():
    i, j = np.array([0, 0, 0, 1, 1, 0, 0, 2]), np.array([3, 3, 3, 2, 2, 4, 4, 3])
    met = text_reuse._met(i, j, np.array([9, 1, 5, 7, 7, -2, 8, 4]), 5)
    assert [part.tolist() for part in met] == [[0, 0, 1], [3, 4, 2], [5, 8, 7]]


def test_slices_hold_whole_texts_up_to_a_chunk(monkeypatch):
    monkeypatch.setattr(text_reuse, "_CHUNK", 10)

    def sliced(sizes: list[int], owner: list[int]) -> list[tuple[int, int]]:
        return [(part.start, part.stop) for part in text_reuse._slices(np.array(sizes), np.array(owner))]

    assert sliced([5, 5, 1, 9, 2], [0, 1, 2, 3, 4]) == [(0, 2), (2, 4), (4, 5)]
    assert sliced([5, 4, 2, 9, 2], [0, 1, 1, 2, 3]) == [(0, 3), (3, 4), (4, 5)]
    assert sliced([30, 40, 2], [0, 1, 2]) == [(0, 1), (1, 2), (2, 3)]
    assert sliced([30, 1, 1, 1], [0, 0, 1, 1]) == [(0, 2), (2, 4)]
    assert sliced([], []) == []


def test_runs_are_looked_up_rarest_first_and_meet_where_they_stand(monkeypatch):
    monkeypatch.setattr(text_reuse, "LOOKED_UP", 2)
    texts = ["abcdefghij", "0abcdefghi", "abcdefgh", "zzzzzzzzzzzz", "12abcdefghij"]
    table = text_reuse._RunTable(texts, np.array([len(text) for text in texts]))
    runs = {}
    for text, place in zip(table.text.tolist(), table.place.tolist(), strict=True):
        runs.setdefault(text, []).append(texts[text][place : place + 8])
    assert {text: sorted(each) for text, each in runs.items()} == {
        k: sorted({text[at : at + 8] for at in range(len(text) - 7)}) for k, text in enumerate(texts)
    }
    shown = [
        texts[text][place : place + 8] for text, place in zip(table.text.tolist(), table.place.tolist(), strict=True)
    ]
    assert table.size.tolist() == [shown.count(run) for run in shown]
    rows, left_out = table.looked_up()
    looked = {}
    for row in rows.tolist():
        looked.setdefault(int(table.text[row]), []).append(shown[row])
    assert looked == {
        0: ["cdefghij", "bcdefghi"],
        1: ["bcdefghi", "abcdefgh"],
        2: ["abcdefgh"],
        4: ["cdefghij", "bcdefghi"],
    }
    assert left_out == 0
    met = [part for chunk in table.meetings(rows) for part in zip(*(each.tolist() for each in chunk), strict=True)]
    assert sorted(one for one in met if one[0] == 0) == [(0, 0, 0), (0, 0, 0), (0, 1, 1), (0, 4, 2), (0, 4, 2)]
    assert sorted(one for one in met if one[0] == 2) == [(2, 0, 0), (2, 1, 1), (2, 2, 0), (2, 4, 2)]
    # of run sizes 2, 2 | 3, 3, 3 | 4, 4 the sum is 4, 13, 21
    assert sorted(table.size[rows].tolist()) == [2, 2, 3, 3, 3, 4, 4]
    for most, kept, without in ((21, 7, 0), (20, 5, 1), (13, 5, 1), (12, 2, 2), (4, 2, 2), (3, 0, 3)):
        monkeypatch.setattr(text_reuse, "MOST_PAIRS", most)
        rows, left_out = table.looked_up()
        assert (len(rows), left_out) == (kept, without)


def test_all_texts_are_compared_with_each_other_once_and_the_shorter_one_is_the_part():
    base = "abcdefghijklmnopqrstuvwxyz"
    assert pairs_of([base, base[:24], "0123456789" * 3 + base, base.upper()]) == [
        (0, 1, round(48 / 50, 4)),
        (0, 2, 1.0),
        (1, 2, 1.0),
    ]
    assert pairs_of([base + "0", base + "1", base + "2"]) == [
        (k, m, round(26 / 27, 4)) for k, m in ((0, 1), (0, 2), (1, 2))
    ]
    # eight of ten letters of both are enough, and so are 23 of 25 of a part
    forty = "".join(chr(97 + k % 26) + chr(97 + k // 26) for k in range(20))
    assert pairs_of([forty, forty[:32] + "01234567"]) == [(0, 1, 0.8)]
    assert pairs_of([forty, forty[:31] + "012345678"]) == []
    short = base[:25]
    assert pairs_of([short, "9" * 40 + short[:23] + "01" + "9" * 40]) == [(0, 1, 0.92)]
    assert pairs_of([short, "9" * 40 + short[:22] + "012" + "9" * 40]) == []
