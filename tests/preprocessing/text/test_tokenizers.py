"""Cutting texts: what each scheme makes of one sentence by hand, what is unknown, and hostile texts."""

import functools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.preprocessing.text import tokenizers
from workbench.preprocessing.text.tokenizers import PADDING, UNKNOWN, Tokenizer, TokenOptions, counts

HERE = [name for name in tokenizers.Name.__args__ if name != "tiktoken"]  # its file is not on every machine
TEXTS = ["you are stupid, Tom", "the lock is stupid", "you are kind", "the lock is new", ""]


def made(scheme, texts=TEXTS, **options):
    return Tokenizer(TokenOptions(scheme=scheme, **options)).fit(texts)


@functools.cache
def made_once(scheme):
    return made(scheme)


@pytest.mark.parametrize(
    ("scheme", "length"),
    # "you are kind" has 12 bytes, 11 + 10 runs of 2 and 3 characters, ceil(12 / 8) chunks and 3 words. "you are" is in
    # two training texts, so it is one phrase; "you are kind" is in one.
    # Overlapping, "are" begins no known run, "kind" neither.
    [("bytes", 12), ("characters", 21), ("chunks", 2), ("words", 3), ("phrases", 2), ("overlapping", 3)],
)
def test_how_many_tokens_a_sentence_has(scheme, length):
    assert [len(ids) for ids in made(scheme).encode(["you are kind", ""])] == [length, 0]


def test_pieces_of_too_few_posts_are_unknown_and_the_most_frequent_come_first():
    tokenizer = made("words")
    # In two texts or more: are, is, lock, stupid, the, you - twice each, so in the order of their names.
    assert tokenizer.pieces == ["are", "is", "lock", "stupid", "the", "you"]
    assert tokenizer.size == 8  # with padding and unknown
    assert tokenizer.encode(["you lock Tom"])[0].tolist() == [7, 4, UNKNOWN]
    assert made("words", min_count=1).size == 2 + 10  # and Tom, the comma, kind and new
    assert made("words", ["a b c"] * 3 + ["a"] * 20, size=16).pieces[0] == "a"


def test_size_keeps_the_most_frequent():
    texts = [" ".join(f"w{i}" for i in range(n)) for n in range(1, 30)]  # w0 is in all, w28 in one
    assert made("words", texts, size=16).pieces == [f"w{i}" for i in range(16)]


def test_a_word_in_two_posts_counts_once_a_post():
    assert made("words", ["go go go", "stay"]).pieces == []


@pytest.mark.parametrize("scheme", HERE)
def test_state_is_plain_json_and_brings_the_tokens_back(scheme):
    tokenizer = made(scheme)
    state = json.loads(json.dumps(tokenizer.state()))
    again = Tokenizer(TokenOptions(scheme=scheme)).restore(state)
    new = [*TEXTS, "nobody has said this caf\u00e9 \U0001f600"]
    for mine, theirs in zip(tokenizer.encode(new), again.encode(new), strict=True):
        assert mine.dtype == np.int32
        assert mine.tolist() == theirs.tolist()
    with pytest.raises(WorkbenchError, match="train again"):
        Tokenizer(TokenOptions(scheme="bytes" if scheme != "bytes" else "words")).restore(state)


HOSTILE = {
    "a megabyte": "you are " * 125_000,
    "one letter": "a" * 100_000,
    "one mark": "!" * 100_000,
    "emoji": "\U0001f600" * 10_000,
    "accents": "\u0301" * 10_000,
    "surrogates": "\ud800 you \udfff\ud83d\ude00",
    "white": " \n\t" * 1000,
    "nothing": "",
    "specials": "<|endoftext|> <end_of_text> <pad> [UNK]",
}


@pytest.mark.parametrize("scheme", HERE)
def test_hostile_texts_are_cut_too(scheme):
    tokenizer = made(scheme)
    for name, text in HOSTILE.items():
        ids = tokenizer.encode([text])[0]
        # No piece is empty and none is counted more than three times a byte (2 and 3 characters: twice a character).
        assert len(ids) <= 3 * max(len(text.encode(errors="replace")), 4 * len(text)), name
        assert not len(ids) or (ids.min() > PADDING and ids.max() < tokenizer.size), name


@given(st.lists(st.text(max_size=40), max_size=5))
@settings(max_examples=10)
def test_a_text_is_cut_the_same_alone_and_among_others(texts):
    for scheme in ("bytes", "characters", "phrases", "bpe", "tiny"):
        tokenizer = made_once(scheme)
        together = tokenizer.encode(texts)
        for text, ids in zip(texts, together, strict=True):
            assert tokenizer.encode([text])[0].tolist() == ids.tolist()


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=9), min_size=1, max_size=6), st.integers(16, 20) | st.none())
@settings(max_examples=50)
def test_a_phrase_is_the_longest_known_run(texts, size):
    texts = [" ".join(text) for text in texts]
    scheme = tokenizers.Phrases(size, 1)
    scheme.learn(texts)
    for text, pieces in zip(texts, scheme.cut(texts), strict=True):
        left = text.split()
        for piece in pieces:
            runs = [" ".join(left[:n]) for n in range(4, 1, -1)]
            assert piece == next((run for run in runs if run in scheme.known), left[0])
            left = left[len(piece.split()) :]
        assert not left


def test_overlapping_runs_are_all_that_are_known_at_each_word():
    scheme = tokenizers.Overlapping(None, 2)
    scheme.learn(["a b c d e", "a b c d e"])
    # All runs of 2 to 4 are known; b b is none, so the first b stands alone.
    assert list(scheme.cut(["a b b c d e"])) == [["a b", "b", "b c", "b c d", "b c d e", "c d", "c d e", "d e", "e"]]


def test_counts_add_up():
    found = counts([np.array([2, 3, 2]), np.array([], np.int32), np.array([1])], 5)
    assert found.toarray().tolist() == [[0, 0, 2, 1, 0], [0] * 5, [0, 1, 0, 0, 0]]
    assert found.indices.dtype == np.int32  # what liblinear takes
    assert counts([], 5).shape == (0, 5)


def test_learning_from_nothing_leaves_everything_unknown():
    for scheme in HERE:
        tokenizer = made(scheme, [])
        assert set(tokenizer.encode(["you are kind"])[0].tolist()) <= {UNKNOWN}
