"""Variants of several posts as one list, and the highest score of each post."""

import numpy as np
import pytest

from workbench import models
from workbench.features.blocks import Truncated
from workbench.models.text import variants
from workbench.models.text.tfidf import TfidfOptions
from workbench.preprocessing.text.cleaning import TextOptions


def test_the_highest_score_counts_and_of_equal_ones_the_raw_texts():
    part = variants.TextVariants(["a", "b", "b again", "c"], [None, None, "leet", None], np.array([0, 1, 3]))
    scores = np.array([[1.0, 2.0], [0.0, 5.0], [3.0, 5.0], [7.0, 8.0]])
    best, kinds = part.highest(scores)
    assert best.tolist() == [[1, 2], [3, 5], [7, 8]]
    assert kinds.tolist() == [[None, None], ["leet", None], [None, None]]


def test_variants_are_cleaned_and_chunks_end_between_posts(monkeypatch):
    monkeypatch.setattr(variants, "CHUNK", 2)
    options = TfidfOptions(text=TextOptions(lower=True))
    parts = list(variants.parts(["A 1d10t", "B", "C"], options, None))
    assert [part.texts for part in parts] == [["a 1d10t", "a idiot", "a ldlot", "b"], ["c"]]
    assert [part.start.tolist() for part in parts] == [[0, 3], [0]]
    raw = list(variants.parts(["A 1d10t", "B", "C"], options.model_copy(update={"variants": False}), None))
    assert [part.texts for part in raw] == [["a 1d10t", "b"], ["c"]]


def test_texts_that_stand_for_none_are_not_said(table, taxonomy):
    posts = table([{"text": text} for text in ("nan", "none of it", None, " ")], taxonomy)
    assert variants.said(posts, TextOptions(missing=("nan",))).tolist() == [False, True, False, False]
    assert variants.said(posts, TextOptions()).tolist() == [True, True, False, False]


def test_what_cleaning_leaves_out_of_a_long_text_is_told_as_a_part(table, taxonomy):
    texts = ("four", "a few words more", None, f"a{' ' * 20}b")  # white space does not count: it is taken out first
    notes = variants.shortened(table([{"text": text} for text in texts], taxonomy), TextOptions(max_chars=5))
    assert notes == [None, "only the first 5 of its 16 characters were read", None, None]
    assert isinstance(notes[1], Truncated)


def test_words_are_learnt_only_where_spelling_is_repaired():
    assert variants.learn_words(["walnut"] * 3, TextOptions()) is None
    assert variants.learn_words(["Walnuuuut"] * 3, TextOptions(spelling=True, repeats=1)).words == ("walnut",)


@pytest.mark.parametrize("name", ["text-tfidf", "text-vectors", "text-tokens", "text-hashing"])
def test_texts_that_stand_for_none_teach_nothing(table, rows, taxonomy, name):
    def fitted(posts):
        options = {"text": {"missing": ["nan"], "lower": True}} | ({"epochs": 2} if name == "text-tokens" else {})
        model = models.create(name, options, taxonomy=taxonomy, store=None)
        return model.fit(table(posts, taxonomy), table(rows(20, taxonomy, 2), taxonomy), seed=0)

    posts, labels = rows(60, taxonomy, 1), {"abuse": True, "nudity": False}
    more = [{"text": text, "labels": labels, "post_id": f"m{n}"} for n, text in enumerate(["nan", None] * 10)]
    first, second = (fitted([*posts, *some]) for some in (more, [{**row, "text": None} for row in more]))
    test = table(rows(20, taxonomy, 3), taxonomy)
    np.testing.assert_array_equal(first.logits(test), second.logits(test))
