"""Folds: every post is tested once, no group, family or author crosses, rare labels are everywhere."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posts_to_divide import TAXONOMY, posts

from workbench.corpora.splits import SplitOptions, _regrouped, assign
from workbench.errors import WorkbenchError


def folded(table: pa.Table, folds: int, **options) -> np.ndarray:
    """Return the split of each post in each fold (folds, n_posts)."""
    return np.array([assign(table, TAXONOMY, SplitOptions(folds=folds, fold=fold, **options)) for fold in range(folds)])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 5), min_size=40, max_size=70),
    st.integers(3, 6),
    st.integers(0, 3),
    st.sampled_from([0.4, 0.7, 1.0]),
)
def test_every_post_is_tested_once_and_validates_at_most_once_and_no_group_crosses(sizes, folds, seed, share):
    groups = np.repeat(np.arange(len(sizes)), sizes).tolist()
    found = folded(posts(groups), folds, seed=seed, validation=share / folds)
    assert ((found == "test").sum(axis=0) == 1).all()
    assert ((found == "validation").sum(axis=0) <= 1).all()
    for of_fold in found:
        assert {*of_fold} == {"train", "validation", "test"}
        for group in {*groups}:
            assert len({*of_fold[np.array(groups) == group]}) == 1
    # what a fold validates is of the next one's test posts
    after = np.roll(found, -1, axis=0)
    assert (after[found == "validation"] == "test").all()


def test_rare_labels_pictures_and_sizes_are_dealt_out_evenly():
    rng = np.random.default_rng(0)
    abuse, pictures = (rng.random(2000) < 0.02).tolist(), (rng.random(2000) < 0.3).tolist()
    found = folded(posts(list(range(2000)), abuse=abuse, pictures=pictures), 5)
    for where in (np.ones(2000, bool), np.array(abuse), np.array(pictures), np.array(abuse) & np.array(pictures)):
        counts = (found[:, where] == "test").sum(axis=1)
        assert counts.max() - counts.min() <= 2, counts  # a post for each stratum that is rarer
    # 15 % of all posts validate, as without folds, and 65 % train
    assert (found == "validation").mean(axis=1) == pytest.approx(0.15, abs=0.002)
    assert (found == "train").mean(axis=1) == pytest.approx(0.65, abs=0.002)


def test_two_folds_share_what_they_train_on_with_validation():
    found = folded(posts(list(range(100))), 2)
    assert (found == "test").sum(axis=1).tolist() == [50, 50]
    assert (found == "validation").sum(axis=1).tolist() == [15, 15]


def test_validation_is_at_most_a_fold_by_default():
    found = folded(posts(list(range(400))), 10)
    assert (found == "validation").mean(axis=1) == pytest.approx(0.1)
    assert (found == "train").mean(axis=1) == pytest.approx(0.8)


def test_by_author_neither_an_author_nor_a_family_crosses():
    # authors 0 and 1 share family 0, authors 1 and 2 share family 1: all three stay together
    groups = [0, 0, 1, 1, *range(2, 62)]
    authors = ["0", "1", "1", "2", *(f"a{row // 3}" for row in range(60))]
    for of_fold in folded(posts(groups, authors=authors), 4, by="author"):
        assert len({*of_fold[:4]}) == 1
        for author in {*authors}:
            assert len({*of_fold[np.array(authors) == author]}) == 1


def test_the_order_of_rows_and_the_number_of_the_fold_change_nothing():
    table, order = posts(list(range(100))), np.random.default_rng(0).permutation(100)
    assert (folded(table.take(order), 3) == folded(table, 3)[:, order]).all()
    assert (assign(table, TAXONOMY, SplitOptions(folds=3)) == folded(table, 3)[0]).all()  # the first by itself
    assert not (folded(table, 3, seed=1) == folded(table, 3)).all()


def test_families_take_the_place_of_groups():
    table = posts(list(range(30)))
    joined = _regrouped(table, pa.array([f"f{row // 10}" for row in range(30)]))
    for of_fold in folded(joined, 3, validation=0.33):
        assert [len({*of_fold[start : start + 10]}) for start in (0, 10, 20)] == [1, 1, 1]
    assert joined.schema == table.schema


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 1}, "greater than or equal to 2"),
        ({"folds": 5, "test": 0.2}, "leave out `test`"),
        ({"folds": 5, "validation": 0.3}, "validation 0.3 is more than one of 5 folds; take at most 0.2"),
        ({"folds": 5, "by": "time"}, "by group or by author, not by time"),
        ({"folds": 5, "fold": 5}, "fold 5 is none of 5"),
        ({"fold": 1}, "write how many"),
    ],
)
def test_what_folds_cannot_be_is_said_in_a_sentence(options, words):
    with pytest.raises(WorkbenchError, match=words):
        SplitOptions.parse(options, "split")


def test_posts_with_a_split_of_their_own_and_too_few_groups_are_refused():
    with pytest.raises(WorkbenchError, match="folds divide all posts anew, but 40 of 40 have a split of their own"):
        folded(posts(list(range(40)), own=["train"] * 40), 4)
    with pytest.raises(WorkbenchError, match="30 posts in 3 groups cannot be divided into 5 folds"):
        folded(posts([0, 1, 2] * 10), 5)
