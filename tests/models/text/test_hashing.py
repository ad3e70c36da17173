"""Hashed n-grams against the same n-grams counted one by one, and a fit that holds a stretch of posts at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workbench import artifacts, models
from workbench.errors import WorkbenchError
from workbench.metrics.classification import average_precision
from workbench.models.text import hashing
from workbench.models.text.hashing import Adagrad, hashed
from workbench.schema import label_matrix


def number(gram, kind, bits):
    """The number and sign of an n-gram, by Python's integers: sum of (code + 1) * B**i, then splitmix64's finaliser."""
    whole = 2**64
    value = sum((ord(mark) + 1) * pow(int(hashing.BASE), i, whole) for i, mark in enumerate(gram)) % whole
    value = (value + kind * 0xD1B54A32D192ED03) % whole
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> shift)) * factor % whole
    value ^= value >> 31
    return value % 2**bits, -1 if value >> 63 else 1


def ngrams(text, words, characters):
    """All n-grams of a text with the kind that tells words from characters."""
    tokens = text.split()
    for n in range(words[0], words[1] + 1) if words else ():
        yield from ((" ".join(tokens[i : i + n]), 2 * n) for i in range(len(tokens) - n + 1))
    for n in range(characters[0], characters[1] + 1) if characters else ():
        for token in tokens:
            edged = f" {token} "
            grams = [edged[i : i + n] for i in range(len(edged) - n + 1)]
            yield from ((gram, 2 * n + 1) for gram in grams if gram != " ")


@pytest.mark.parametrize(("words", "characters"), [((1, 2), (3, 5)), ((1, 1), None), (None, (1, 3)), ((2, 3), (2, 2))])
def test_the_arithmetic_of_arrays_counts_what_a_loop_counts(words, characters):
    texts = ["you are rude", "", "caf\u00e9 \U0001f600  a", "one", "a b a b"]
    found = hashed(texts, words, characters, bits=10)
    expected = np.zeros((len(texts), 1024))
    for row, text in enumerate(texts):
        grams = list(ngrams(text, words, characters))
        for gram, kind in grams:
            column, sign = number(gram, kind, 10)
            expected[row, column] += sign / np.sqrt(len(grams))
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)
    assert found.dtype == np.float32


def test_a_text_hashes_alike_in_any_company_and_in_any_part(monkeypatch):
    texts = [f"post number {i} about cats and dogs" for i in range(50)]
    whole = hashed(texts, (1, 2), (3, 4), bits=14).toarray()
    assert np.array_equal(hashed(texts[7:8], (1, 2), (3, 4), bits=14).toarray()[0], whole[7])
    monkeypatch.setattr(hashing, "STRETCH_CHARACTERS", 100)
    assert np.array_equal(hashed(texts, (1, 2), (3, 4), bits=14).toarray(), whole)
    assert hashed([], (1, 1), None, bits=14).shape == (0, 2**14)


def test_one_step_of_adagrad_by_hand():
    from scipy import sparse

    learner = Adagrad(4, (0.0, 0.1), labels=1, lr=0.5)
    x = sparse.csr_array(np.array([[1.0, 0, 2.0, 0], [0, 0, 0, 0]], np.float32))
    learner.step(x, np.array([[1.0], [1.0]], np.float32), np.array([[True], [False]]))
    # p = 1/2, so the first post's error is 1/2 - 1 = -1/2; the second is unknown. Slopes are -1/2, -1 and (the bias)
    # -1/2; sums of squares start at 1, so the steps are 0.5 * slope / sqrt(1 + slope**2).
    first, third = 0.25 / np.sqrt(1.25), 0.5 / np.sqrt(2)
    np.testing.assert_allclose(learner.weights[:, 0, 0], [first, 0, third, 0], rtol=1e-5)
    np.testing.assert_allclose(learner.weights[:, 1, 0], [first, 0, third, 0], rtol=1e-5)  # the penalty of zero weights
    np.testing.assert_allclose(learner.bias, first, rtol=1e-5)
    learner.step(x, np.array([[1.0], [1.0]], np.float32), np.array([[False], [False]]))
    np.testing.assert_allclose(learner.weights[:, 0, 0], [first, 0, third, 0], rtol=1e-5)  # nothing known, no slope
    slope = 2 * 0.1 * first  # two posts, each with a penalty of 0.1
    np.testing.assert_allclose(learner.weights[0, 1, 0], first - 0.5 * slope / np.sqrt(1.25 + slope**2), rtol=1e-5)


def test_posts_are_read_a_stretch_at_a_time(taxonomy, table, rows, monkeypatch):
    seen = []
    real = hashing.hashed
    monkeypatch.setattr(hashing, "hashed", lambda texts, *rest: seen.append(len(texts)) or real(texts, *rest))
    model = models.create("text-hashing", {"bits": 10, "stretch": 16, "epochs": 2}, taxonomy=taxonomy, store=None)
    model.fit(table(rows(100, taxonomy, 1), taxonomy), table(rows(40, taxonomy, 2), taxonomy), seed=0)
    assert max(seen) <= 16
    assert len(seen) == 2 * 7 + 3  # seven stretches in each of two passes, three of validation
    assert set(model.record["penalty"]) <= set(taxonomy.names)


def test_long_and_odd_texts_are_scored(taxonomy, table, rows):
    model = models.create("text-hashing", {"bits": 10, "epochs": 1}, taxonomy=taxonomy, store=None)
    model.fit(table(rows(60, taxonomy, 1), taxonomy), table(rows(20, taxonomy, 2), taxonomy), seed=0)
    texts = ["x" * 100_000, "\u200b\ufeff", "a\ud83d".encode("utf-8", "replace").decode(), "\x00 b", "\U0001f600"]
    logits = model.logits(table([{"text": text} for text in texts], taxonomy))
    assert np.isfinite(logits[[0, 2, 3, 4]]).all()
    assert np.isnan(logits[1]).all()  # nothing that leaves a mark


def test_options_that_make_no_sense_are_refused():
    for wrong in ({"ngrams": [2, 1]}, {"ngrams": None, "char_ngrams": None}, {"penalties": [-1.0]}):
        with pytest.raises(WorkbenchError):
            models.parse("text-hashing", wrong)


def test_a_table_sorted_by_its_labels_is_learnt_like_a_shuffled_one(taxonomy, table, rows):
    posts = table(rows(1500, taxonomy, 3), taxonomy)
    y = label_matrix(posts, taxonomy)[0][:, 0]
    held = table(rows(300, taxonomy, 4), taxonomy)
    held = held.filter(pc.is_valid(held["text"]))
    truth, known = (part[:, 0] for part in label_matrix(held, taxonomy))
    ranked = []
    for order in (np.argsort(y, kind="stable"), np.random.default_rng(0).permutation(len(y))):
        model = models.create("text-hashing", {"bits": 14, "stretch": 256}, taxonomy=taxonomy, store=None)
        model.fit(posts.take(order), held, seed=0)
        ranked.append(average_precision(truth[known] > 0.5, model.logits(held)[known, 0]))
    assert abs(ranked[0] - ranked[1]) < 0.03


def test_stretches_have_every_row_once_from_everywhere():
    parts = hashing._stretches(5000, 1024, np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(5000))
    assert all(len(part) <= 1024 and np.ptp(part) > 3000 for part in parts)


def test_labels_that_are_not_trained_take_no_room_on_disk(taxonomy, table, rows, tmp_path):
    posts = table(rows(100, taxonomy, 1), taxonomy)
    model = models.create("text-hashing", {"bits": 10, "epochs": 1}, taxonomy=taxonomy, store=None)
    unknown = pa.array([{**row, taxonomy.names[1]: None} for row in posts["labels"].to_pylist()], posts["labels"].type)
    posts = posts.set_column(posts.schema.get_field_index("labels"), "labels", unknown)
    model.fit(posts, posts, seed=0)
    model.save(tmp_path / "model")
    _, arrays = artifacts.read_model(tmp_path / "model")
    assert arrays["weights"].shape == (1024, len(taxonomy.names) - 1)
    loaded = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    np.testing.assert_array_equal(loaded.logits(posts), model.logits(posts))
    np.testing.assert_array_equal(loaded.weights, model.weights)
