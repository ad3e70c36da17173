"""Soft labels: models learn shares, the truth is what most say, and a hard corpus is learnt as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from workbench import corpora, models
from workbench.features.store import FeatureStore
from workbench.models.fit.targets import (
    as_classes,
    fit_shares,
    prevalence_logits,
    resampled,
    target_matrix,
    two_classes,
    without_shares,
)
from workbench.schema import Taxonomy, label_matrix

TAXONOMY = Taxonomy.load()


def load(folder: Path, shares: list, **rule):
    path = folder / "soft.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "share"])
        rows.writerows(
            (f"{'rude words' if (share or 0) > 0.2 else 'kind words'} {n}", share) for n, share in enumerate(shares)
        )
    config = {"source": "files", "path": str(path), "text": "text", "labels": {"abuse": {"column": "share", **rule}}}
    return corpora.load(config, TAXONOMY, cache=folder / "cache").table


def test_the_truth_is_what_most_say_and_one_half_is_learnt_from_but_unknown(tmp_path):
    table = load(tmp_path, [0, 0.25, 0.5, 0.75, 1, None], soft=True)
    assert [row["abuse"] for row in table["labels"].to_pylist()] == [False, False, None, True, True, None]
    assert [row["abuse"] for row in table["unknown"].to_pylist()] == [None, None, "one half", None, None, "empty"]
    y, known = target_matrix(table, TAXONOMY)
    assert y[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 0]
    assert known[:, 0].tolist() == [True] * 5 + [False]
    y, known = target_matrix(without_shares(table), TAXONOMY)
    assert (y[:, 0].tolist(), known[:, 0].tolist()) == ([0, 0, 0, 1, 1, 0], [True, True, False, True, True, False])
    hard = load(tmp_path, [0, 0.25, 0.5, 0.75, 1, None], threshold=0.5)
    for mine, theirs in zip(target_matrix(hard, TAXONOMY), label_matrix(hard, TAXONOMY), strict=True):
        assert (mine == theirs).all()


def test_a_share_counts_as_so_many_yes_and_so_many_no():
    x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0], [1.0], [1.0]])
    votes = np.array([0, 0, 0, 1, 0, 1, 1, 1], dtype=float)
    several = LogisticRegression(C=1.0).fit(x, votes > 0.5)
    shares = fit_shares(LogisticRegression(C=4.0), np.array([[0.0], [1.0]]), np.array([0.25, 0.75]))
    # four votes a post weigh four times a share, so a quarter of the penalty gives the same line
    assert shares.coef_ == pytest.approx(several.coef_, abs=1e-3)
    assert shares.intercept_ == pytest.approx(several.intercept_, abs=1e-3)


def test_a_post_of_a_share_is_a_yes_and_a_no_that_together_weigh_as_one():
    x, truth, weight = as_classes(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 0.25, 0.0]))
    assert x[:, 0].tolist() == [1, 2, 2, 3]
    assert truth.tolist() == [True, True, False, False]
    assert weight.tolist() == [1, 0.25, 0.75, 1]
    x, truth, weight = as_classes(np.array([[1.0], [2.0]]), np.array([1.0, 0.0]))
    assert (x[:, 0].tolist(), truth.tolist(), weight) == ([1, 2], [True, False], None)


def test_shares_that_most_deny_are_enough_to_learn_and_add_up_to_a_prevalence():
    y, known = np.array([[0.25, 0.0], [0.5, 0.0], [1.0, 1.0]]), np.array([[True, True], [True, True], [False, False]])
    assert two_classes(y, known).tolist() == [True, False]
    # (.25 + .5 + 1/2) / (2 + 1) has the odds 1.25 / 1.75, (0 + 1/2) / (2 + 1) those of .5 / 2.5
    assert prevalence_logits(y, known) == pytest.approx(np.log([1.25 / 1.75, 0.5 / 2.5]), rel=1e-6)


@pytest.mark.parametrize("name", ["text-tfidf", "text-hashing"])
def test_models_of_words_learn_shares(tmp_path, name):
    shares = [0.3, 0.6] * 30 + [0.1, 0.9] * 10
    scored = {}
    for kind, rule in {"soft": {"soft": True}, "hard": {"threshold": 0.5}}.items():
        table = load(tmp_path, shares, **rule)
        model = models.create(name, {}, taxonomy=TAXONOMY, store=FeatureStore(None, "cpu"))
        scored[kind] = model.fit(table, table, seed=0).logits(table)[:, 0]
    assert not np.allclose(scored["soft"], scored["hard"])
    assert np.abs(scored["soft"]).max() < np.abs(scored["hard"]).max()  # nobody is sure of shares near a half


def test_posts_are_drawn_as_often_as_their_weights_say():
    weights = np.random.default_rng(0).gamma(0.5, size=400)
    table = pa.table({"post_id": [str(i) for i in range(400)], "weight": weights})
    expected = 400 * weights / weights.sum()
    drawn = [resampled(table, seed) for seed in range(200)]
    counts = np.array([np.bincount(np.array(one["post_id"].to_pylist(), int), minlength=400) for one in drawn])
    assert (counts.sum(axis=1) == 400).all()
    assert (np.abs(counts - expected) < 1).all()  # rounded up or down
    assert np.abs(counts.mean(axis=0) - expected).max() < 5 * 0.5 / np.sqrt(200)
    assert all(set(one["weight"].to_pylist()) == {1.0} for one in drawn)  # a member that draws too leaves them


def test_equal_weights_leave_a_corpus_as_it_is():
    table = pa.table({"post_id": ["a", "b", "c"], "weight": [None, 1.0, 1.0]})
    assert resampled(table, 3) is table
    assert resampled(table.slice(0, 0), 3).num_rows == 0
