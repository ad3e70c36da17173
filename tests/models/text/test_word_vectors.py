"""Word vectors: counts and PPMI by hand, words of one use near each other, files that are right and wrong."""

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.models.text import word_vectors
from workbench.models.text.word_vectors import learn, read


def test_neighbours_are_counted_both_ways_within_the_window_and_within_a_text():
    counts = word_vectors._neighbours([["a", "b", "x", "a"], ["b"]], ["a", "b"], 2).toarray()
    # Known words in order: a b a | b. One apart: a-b, b-a; two apart: a-a. The last b stands alone in its text.
    assert counts.tolist() == [[2.0, 2.0], [2.0, 0.0]]


def test_ppmi_is_the_log_of_how_much_more_often_than_by_chance():
    counts = word_vectors.sparse.csr_array(np.array([[0.0, 3.0], [3.0, 1.0]]))
    smoothed = np.array([3.0, 4.0]) ** 0.75
    chance = np.outer([3.0, 4.0], smoothed / smoothed.sum())
    expected = np.maximum(0, np.log(np.array([[1e-9, 3.0], [3.0, 1.0]]) / chance))
    np.testing.assert_allclose(word_vectors._ppmi(counts).toarray(), expected)


def test_words_of_one_use_lie_near_each_other_and_learning_is_repeatable():
    texts = [f"the {animal} eats {food} now" for animal in ("dog", "cat") for food in ("meat", "fish", "cake")] * 3
    texts += [f"drive my {thing} to {place} fast" for thing in ("car", "van") for place in ("town", "work", "home")] * 3
    words, values = learn(texts, dim=4, window=2, min_df=2, most=100)
    assert values.shape == (len(words), 4)
    assert values.dtype == np.float32
    unit = dict(zip(words, values / np.linalg.norm(values, axis=1, keepdims=True), strict=True))
    assert unit["dog"] @ unit["cat"] > 0.9 > unit["dog"] @ unit["car"] + 0.5
    assert np.array_equal(values, learn(texts, dim=4, window=2, min_df=2, most=100).values)
    assert learn(texts, dim=4, window=2, min_df=2, most=5).words == words[:5]  # the most frequent


def test_hardly_any_words_give_no_vectors():
    assert learn(["one", "two"], dim=4, window=2, min_df=2, most=10).words == []


@pytest.mark.parametrize("header", ["", "3 2\n"])
def test_a_file_is_read_with_and_without_a_header_and_only_what_is_wanted(tmp_path, header):
    path = tmp_path / "vectors.vec"
    path.write_text(f"{header}dog 1 0.5\nçat -1 2e-1 \ndog 9 9\n", encoding="utf-8")
    words, values = read(path, {"dog", "çat", "absent"})
    assert words == ["dog", "çat"]
    np.testing.assert_allclose(values, [[1, 0.5], [-1, 0.2]])
    assert read(path, {"absent"}).values.shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "are empty"),
        (b"dog 1 2\ncat 1\n", "line 2 has 1 numbers, not 2"),
        (b"dog 1 x\n", "line 1 has something that is no number"),
        (b"dog 1 nan\n", "line 1 has a number that is not finite"),
        (b"\xff\xfe 1 2\n", "line 1 is no UTF-8"),
        (b"just\n", "line 1 has no word with numbers"),
        (b"a" * 3_000_000, "line 1 has no word with numbers"),  # no line end at all: a bounded part is looked at
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "vectors.vec"
    path.write_bytes(content)
    with pytest.raises(WorkbenchError, match=said):
        read(path, {"dog"})


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(WorkbenchError, match="cannot be read"):
        read(tmp_path / "nothing.vec", set())
