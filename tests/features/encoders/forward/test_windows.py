"""Tokens: open_clip's ids, faster; windows over long texts; hostile texts."""

import re
import time

import numpy as np
import open_clip
import pytest
from random_clip import WORDS

from workbench.features.blocks import VARIANTS
from workbench.features.encoders.forward import windows as tokens

ORDINARY = [
    "a photo of a cat",
    "Don't  STOP\n\t&amp; <b>it's</b> 1,234.5 !!?",
    "caf\u00e9 cafe\u0301 \u65e5\u672c\u8a9e \U0001f600\U0001f3fd \u0627\u0644",
    "\u201cquotes\u201d \u2014 dashes\u2026 na\u00efve \ufb01ne",
    "x" * 300,
    "one two three " * 60,
    "L'S 'S 's I'LL",
]


@pytest.fixture(scope="module")
def native():
    """open_clip's own Python tokenizer and ours."""
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    return tokenizer, tokens.fast_tokens(tokenizer, 77)


@pytest.fixture(scope="module")
def own(random_clip):
    """The tokenizer of a local folder and ours."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{random_clip}")
    return tokenizer, tokens.fast_tokens(tokenizer, 24)


@pytest.mark.parametrize("which", ["native", "own"])
def test_the_first_window_is_what_open_clip_would_see(which, request):
    tokenizer, fast = request.getfixturevalue(which)
    assert fast.windowed
    expected = tokenizer(ORDINARY, context_length=fast.context).tolist()
    windows = fast.windows(ORDINARY)
    starts = np.cumsum([0, *windows.counts])
    for i, ids in enumerate(expected):
        row = windows.rows[starts[i]]
        assert row + [fast.pad] * (fast.context - len(row)) == ids, ORDINARY[i]


@pytest.mark.parametrize("which", ["native", "own"])
def test_a_special_token_spelled_out_in_a_post_stays_text(which, request):
    # open_clip's tokenizers make it the real token; a post could end itself before its abuse
    tokenizer, fast = request.getfixturevalue(which)
    end = {"native": "<end_of_text>", "own": "<end>"}[which]
    (theirs,) = tokenizer([f"a {end} b"]).tolist()
    assert theirs.count(fast.suffix[-1]) == 2
    (row,) = fast.windows([f"a {end} b"]).rows
    assert row.count(fast.suffix[-1]) == 1
    assert row[-1] == fast.suffix[-1]


def test_windows_cover_every_token_and_overlap_by_an_eighth(own):
    # context 24 leaves 22 ids, of which 22 // 8 = 2 are shared with the next window, so windows start 20 apart
    _, fast = own
    words = (WORDS + " ") * 4
    (ids,) = fast.encode([words.strip()])
    windows = fast.windows([words])
    assert windows.counts == [1 + -(-(len(ids) - 22) // 20)]
    bodies = [row[1:-1] for row in windows.rows]
    assert all(len(row) == 24 and (row[0], row[-1]) == (*fast.prefix, *fast.suffix) for row in windows.rows)
    for i, body in enumerate(bodies[:-1]):
        assert body == ids[20 * i : 20 * i + 22]
    assert bodies[-1] == ids[-22:]
    assert windows.notes == [None]


def test_a_text_of_exactly_the_context_is_one_window_and_one_more_token_makes_two(own):
    _, fast = own
    # digits are never merged in this vocabulary; the tokenizer puts one blank in front, an id of its own
    assert [len(ids) for ids in fast.encode(["1" * 21, "1" * 22])] == [22, 23]
    assert fast.windows(["1" * 21, "1" * 22]).counts == [1, 2]


def test_a_very_long_text_is_read_at_its_start_its_end_and_evenly_between_with_a_note(own):
    _, fast = own
    text = "cats " + "1 " * 4000 + "rude"
    windows = fast.windows([text])
    assert windows.counts == [tokens.WINDOWS]
    (cats,), (rude,) = (fast.encode([word]) for word in ("cats", "rude"))
    assert windows.rows[0][1 : 1 + len(cats)] == cats
    assert windows.rows[-1][-1 - len(rude) : -1] == rude
    assert windows.notes[0].startswith(f"long text: read {tokens.WINDOWS} of its ")


@pytest.mark.parametrize(
    "text",
    [
        "lorem ipsum " * 90_000,
        "a" * 1_000_000,
        "\u0301" * 1_000_000,
        "\U0001f600" * 400_000,
        "\u00c3\u00a9\u00c2" * 300_000,
    ],
)
def test_a_megabyte_is_cut_to_its_ends_before_anything_slow_happens(native, text):
    began = time.monotonic()
    windows = native[1].windows([text])
    assert time.monotonic() - began < 60  # uncut, several of these take minutes
    assert 1 <= windows.counts[0] <= 2 * tokens.WINDOWS  # its own, and those of all other variants together
    assert f"first and last 20000 of {len(text.strip())} characters" in windows.notes[0]


def test_words_between_walls_of_blanks_are_read(own):
    _, fast = own
    assert fast.windows([" " * 100_000 + "rude words" + "\n" * 100_000]).rows == fast.windows(["rude words"]).rows


def test_lone_surrogates_are_replaced_and_pairs_joined(own):
    _, fast = own
    rows = fast.windows(["rude \ud83d\ude00", "rude \U0001f600", "rude \ud800 words", "rude \ufffd words"]).rows
    assert rows[0] == rows[1]
    assert rows[2] == rows[3]


@pytest.mark.parametrize("reference", ["&#" + "9" * 5000 + ";", "&amp;#" + "9" * 5000, "&#" + "&#57;" * 5000])
def test_a_character_reference_of_thousands_of_digits_is_no_error(own, reference):
    # Python refuses to turn more than 4300 digits into a number, and html.unescape lets that through
    assert own[1].windows([f"rude {reference} words"]).counts[0] > 1


def test_towers_of_combining_marks_are_broken_and_ordinary_marks_are_not(own):
    towers = "a" + "\u0301\u0316" * 20_000
    assert own[1].windows([towers]).counts == [tokens.WINDOWS + 1]  # and the letter without its marks
    assert tokens.mend("e\u0301" * 50 + "o" + "\u0301" * 30) == "e\u0301" * 50 + "o" + "\u0301" * 30
    assert tokens.mend("o" + "\u0301" * 31) == "o" + "\u0301" * 30 + "\u034f" + "\u0301"


def test_the_absent_has_no_rows_and_what_nothing_is_left_of_has_a_reason(own):
    windows = own[1].windows([None, "", " \n\u3000", "\0\0"])
    assert windows.counts == [0, 0, 0, 0]
    assert windows.reasons[:3] == [None] * 3
    assert windows.reasons[3] == "the encoder's tokenizer leaves nothing of this text"


def test_an_unusual_tokenizer_is_used_as_it_is():
    class Odd:
        def __call__(self, texts, context_length):
            return np.array([[len(text)] * context_length for text in texts])

    odd = tokens.fast_tokens(Odd(), 5)
    assert not odd.windowed
    assert odd.windows(["abc", None, "\ud800"]).rows == [[3] * 5, [1] * 5]


def test_a_tokenizer_that_our_copy_does_not_match_is_used_as_it_is(random_clip, monkeypatch):
    tokenizer = open_clip.get_tokenizer(f"local-dir:{random_clip}")
    monkeypatch.setattr(tokenizer, "clean_fn", lambda text: f"{time.perf_counter_ns()} {text}")
    assert not tokens.fast_tokens(tokenizer, 24).windowed


def test_windows_cover_a_text_from_end_to_end_and_are_not_too_many():
    assert tokens.starts(7, 16) == ([0], 1)  # shorter than a window
    for n in (16, 17, 40, 300, 5000):
        begins, total = tokens.starts(n, 16)
        assert (begins[0], begins[-1]) == (0, n - 16)
        assert len(begins) == min(total, tokens.WINDOWS)
        assert n > 40 or (np.diff(begins) <= 14).all()  # an eighth of 16 is in both


def test_behind_the_windows_of_a_text_come_those_of_its_other_variants(own):
    _, fast = own
    texts = ["rude cats", "rud\u200be cats", None, "r.u.d.e c4ts"]
    windows = fast.windows(texts)
    assert windows.counts == [1, 2, 0, 3]
    (plain,) = fast.windows(["rude cats"]).rows
    first = fast.encode(["rud\u200be cats", "r.u.d.e c4ts"])
    assert [row[1:-1] for row in (windows.rows[1], windows.rows[3])] == first  # the text as it stands comes first
    assert windows.rows[2] == windows.rows[5] == plain
    leet = "spaced letters joined and digits and signs read as letters"
    assert windows.variants == [0, 0, 1, 0, 1, 2]
    assert fast.kinds(texts[1]) == [None, "invisible characters removed"]
    assert fast.kinds(texts[3])[:3] == [None, "spaced letters joined", leet]


def test_other_variants_take_a_bounded_number_of_windows(own):
    _, fast = own
    windows = fast.windows(["id1ot r.u.d.e c4ts \u200b " + WORDS * 40])
    assert windows.variants[: tokens.WINDOWS + 1] == [0] * tokens.WINDOWS + [1]
    assert windows.variants == sorted(windows.variants)
    assert tokens.WINDOWS < windows.counts[0] <= 2 * tokens.WINDOWS
    assert windows.notes[0].startswith("long text: read 16 of its")


def test_windows_of_a_variant_that_are_not_read_are_told(own):
    _, fast = own
    (note,) = fast.windows(["1d10t " * 50]).notes
    assert re.fullmatch(f"{VARIANTS}16 of [0-9]+ are read", note)
    assert fast.windows(["1d10t"]).notes == [None]
    # of a text that variants change at its end alone, only that end is read again
    windows = fast.windows([WORDS * 20 + " 1d10t"])
    assert windows.counts[0] - windows.variants.count(0) < 4
    assert VARIANTS not in str(windows.notes[0])
