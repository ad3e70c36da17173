"""Nearest neighbours across a split by cosine."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.audit import neighbours
from workbench.evidence.audit.neighbours import Neighbours


def test_the_nearest_training_post_is_named_and_what_has_no_vector_has_none():
    train = np.array([[1.0, 0], [0, 1], [np.nan, 0]])
    found = neighbours.nearest(train, np.array([[0, 5.0], [1, 1], [0, 0]]))
    assert found.nearest.tolist()[::2] == [1, -1]
    assert found.counted == 2
    assert found.cosine[:2] == pytest.approx([1, 2**-0.5])
    told = found.told([["a", "b", "c"], ["x", "y", "z"]])
    assert told["closest"][0] == (1.0, "x", "b")
    assert told["n"] == 2


def test_block_by_block_it_is_what_one_comparison_after_the_other_finds(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", 4)
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(9, 5)), rng.normal(size=(14, 5))
    test[3], test[9, 2], train[1], train[6, 0] = 0, np.nan, 0, np.nan
    test[5], test[6] = 0.01 * train[7], -train[7]
    cosine = np.array(
        [[a @ b / np.sqrt((a @ a) * (b @ b)) if a.any() and b.any() else np.nan for b in train] for a in test]
    )
    usable = np.flatnonzero(~np.isnan(cosine).all(axis=1))
    found = neighbours.nearest(train, test)
    assert usable.tolist() == [k for k in range(14) if k not in (3, 9)]
    assert found.nearest[usable].tolist() == np.nanargmax(cosine[usable], axis=1).tolist()
    assert found.cosine[usable] == pytest.approx(np.nanmax(cosine[usable], axis=1))
    assert found.cosine[usable].min() < 0.5
    assert found.nearest[[3, 9]].tolist() == [-1, -1]
    assert np.isnan(found.cosine[[3, 9]]).all()
    assert found.counted == 12


def test_a_cosine_is_never_above_one():
    vectors = np.random.default_rng(0).normal(size=(200, 7))
    assert neighbours.nearest(vectors, 3 * vectors).cosine.max() == 1


def test_without_a_training_vector_no_post_has_a_neighbour():
    for train in (np.zeros((0, 2)), np.zeros((3, 2))):
        found = neighbours.nearest(train, np.ones((2, 2)))
        assert (found.nearest.tolist(), found.counted) == ([-1, -1], 0)
        told = found.told([["a"] * len(train), ["x", "y"]])
        assert (told["n"], told["closest"]) == (0, [])
        assert list(told["quantiles"]) == ["0.01", "0.1", "0.5", "0.9", "0.99"]
        assert np.isnan(list(told["quantiles"].values())).all()


def test_the_ten_closest_are_told_first_come_first_and_quantiles_to_four_digits():
    cosine = np.where(np.arange(101) % 3 == 0, 0.5, 0.25)
    cosine[100] = np.nan
    ids = [[f"a{k}" for k in range(101)], [f"b{k}" for k in range(101)]]
    told = Neighbours(99 - np.arange(101), cosine).told(ids)
    assert told["n"] == 100  # the last one has none
    assert told["closest"] == [(0.5, f"b{k}", f"a{99 - k}") for k in range(0, 30, 3)]
    cosine = np.arange(1, 8) / 7.0
    told = Neighbours(np.zeros(7, int), cosine).told([["a"], list("tuvwxyz")])
    assert told["quantiles"] == {"0.01": 0.1514, "0.1": 0.2286, "0.5": 0.5714, "0.9": 0.9143, "0.99": 0.9914}
    assert told["closest"][0] == (1.0, "z", "a")
