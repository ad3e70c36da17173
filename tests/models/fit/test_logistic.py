"""Logistic regression against scikit-learn's, and penalties by blocks as validation chooses them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from workbench.models.fit.logistic import LogisticProblem

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@pytest.fixture
def data():
    """Two blocks of 8 and 30 features, of which the first tells the first label and the second all but nothing."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 38)).astype(np.float32)
    logits = np.stack([2 * x[:, 0] - 1 + x[:, 1], x[:, 2] + 0.2 * x[:, 20]], axis=1)
    y = (draw.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    known = draw.random(y.shape) < 0.8
    return x, y, known


def problem(x, y, known, block):
    x, y, known = (torch.from_numpy(part) for part in (x, y, known))

    def total(weights):
        return (cross_entropy(x @ weights[:-1] + weights[-1], y, reduction="none") * known).sum()

    return LogisticProblem(total, int(known.sum()), np.asarray(block), np.full((x.shape[1], 2), 40.0))


def worth(x, y, known):
    def of(weights):
        scores = x @ weights[:-1] + weights[-1]
        return -np.where(known, np.logaddexp(0, scores) - y * scores, 0).sum(axis=0)

    return of


@pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
def test_one_penalty_is_scikit_learns(data, c):
    x, y, known = data
    found = problem(x, y, known, np.zeros(38, int)).solve(np.full((1, 2), c)).weights
    for k in range(2):
        rows = known[:, k]
        theirs = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(x[rows], y[rows, k])
        np.testing.assert_allclose(found[:-1, k], theirs.coef_[0], atol=2e-3)
        assert found[-1, k] == pytest.approx(theirs.intercept_[0], abs=2e-3)


def test_a_penalty_per_block_is_that_of_scaled_features(data):
    x, y, known = data
    block = np.repeat([0, 1], [8, 30])
    found = problem(x, y, known, block).solve(np.array([[1.0, 0.5], [1e-3, 1e-2]])).weights
    for k, (first, second) in enumerate(((1.0, 1e-3), (0.5, 1e-2))):
        scale = np.sqrt(np.where(block == 0, first, second))
        rows = known[:, k]
        theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(x[rows] * scale, y[rows, k])
        np.testing.assert_allclose(found[:-1, k], theirs.coef_[0] * scale, atol=2e-3)


def test_validation_holds_back_the_block_that_says_nothing(data):
    x, y, known = data
    train, held = slice(0, 200), slice(200, 400)
    judge = worth(*(part[held] for part in data))
    apart = problem(x[train], y[train], known[train], np.repeat([0, 1], [8, 30]))
    both = apart.choose(GRID, judge, np.ones(2, bool))
    one = apart._replace(block=np.zeros(38, int)).choose(GRID, judge, np.ones(2, bool))
    assert (both.strengths[0] > both.strengths[1]).all()
    assert (judge(both.weights) >= judge(one.weights)).all()
    assert judge(both.weights).sum() > judge(one.weights).sum()


def test_every_label_has_the_strength_that_is_best_for_it(data):
    x, y, known = data
    train, held = slice(0, 200), slice(200, 400)
    judge = worth(*(part[held] for part in data))
    alone = problem(x[train], y[train], known[train], np.zeros(38, int))
    chosen = alone.choose(GRID, judge, np.ones(2, bool))
    each = np.stack([judge(alone.solve(np.full((1, 2), c)).weights) for c in GRID])
    np.testing.assert_array_equal(chosen.strengths[0], np.array(GRID)[each.argmax(axis=0)])
    some = alone.choose(GRID, judge, np.array([True, False]))
    assert some.strengths[0].tolist() == [chosen.strengths[0, 0], 1e-2]  # the middle one, unseen
