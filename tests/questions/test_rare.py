"""Rare labels: what is thinned, and what a recipe is worth, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.questions import rare
from workbench.schema import label_matrix

pytestmark = pytest.mark.usefixtures("_readers")


def test_positives_of_one_label_in_train_are_thinned_and_nothing_else(small):
    yes, no = True, False
    train = small.table([("0 0", yes, yes)] * 5 + [("0 0", no, yes), ("0 0", None, no), ("0 0", no, no)], "a")
    given = small.material(train=train)
    found = rare.thinned(given, "abuse", 2, seed=0)
    y, known = label_matrix(found.sets["train"], given.taxonomy)
    assert (y[:, 0] * known[:, 0]).sum() == 2
    assert len(found.sets["train"]) == 5
    assert found.sets["test"] is given.sets["test"]
    assert rare.thinned(given, "abuse", 2, seed=0).sets["train"].equals(found.sets["train"])
    assert len(rare.thinned(given, "abuse", 99, seed=0).sets["train"]) == 8
    with pytest.raises(WorkbenchError, match="unknown label 'abus'"):
        rare.thinned(given, "abus", 2, seed=0)
    with pytest.raises(WorkbenchError, match="none is left"):
        rare.thinned(given, "abuse", 0, seed=0)


def test_a_recipe_is_worth_its_ranking_and_its_threshold(small, store):
    found = rare.compare("fixed", {"one": {}, "same": {}}, small.material(), "abuse", [0], store)
    # the test posts by score: a hit and three misses (1.5, 1, 0.5, 0), and a hit without text, which counts with the
    # prevalence of 1 in 4 posts, log((1 + 1/2) / (3 + 1/2)) < 0, so it comes last: (1 + 2/5) / 2
    assert found.loc["one", "AP"] == pytest.approx((1 + 2 / 5) / 2)
    # the best F1 on validation is at a score of 0: that flags four posts, one of the two hits among them
    assert found.loc["one", "recall"] == pytest.approx(1 / 2)
    assert found.loc["one", "precision"] == pytest.approx(1 / 4)
    assert (found["positives"] == 2).all()
    assert (found["prevalence"] == 2 / 5).all()
    assert found.loc["same", ["AP minus first", "AP minus first, from", "AP minus first, to"]].tolist() == [0, 0, 0]
    assert (found["AP, from"] <= found["AP"]).all()
    assert np.isfinite(found["recall, to"]).all()


def test_without_a_threshold_nobody_knows_what_would_be_flagged(small, store):
    none = small.material(validation=small.table([("1 1", False, None), ("2 2", False, None)], "b"))
    found = rare.compare("fixed", {"one": {}}, none, "abuse", [0], store)
    assert found.loc["one", "AP"] == pytest.approx((1 + 2 / 5) / 2)
    assert found.loc["one", ["recall", "recall, from", "precision"]].isna().all()
