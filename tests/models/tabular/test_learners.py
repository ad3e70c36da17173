"""Trees as plain arrays give what scikit-learn's give; validation chooses how many count."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from workbench.models.tabular.learners import Tabular, TabularOptions

LABELS = ("abuse", "nudity")
NOTHING = (np.zeros((0, 5)), np.zeros((0, 2)), np.zeros((0, 2), bool))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(600, 5)), 2)  # ties with thresholds happen
    z = np.stack([x[:, 0] * x[:, 1], x[:, 2] - 1], axis=1)
    y = (z + rng.logistic(size=z.shape) > 0).astype(np.float32)
    return x, y


@pytest.mark.parametrize("weight", [None, "balanced", {"nudity": 3.0}])
def test_trees_score_as_scikit_learns(data, weight):
    x, y = data
    options = TabularOptions(trees=30, leaf=5, class_weight=weight)
    learner = Tabular(options, LABELS)
    assert learner.fit(x, y, np.ones_like(y, bool), np.array([True, True]), NOTHING) == [30, 30]
    for k in range(2):
        theirs = GradientBoostingClassifier(n_estimators=30, min_samples_leaf=5, random_state=0)
        share = y[:, k].mean()
        each = {None: (1, 1), "balanced": (0.5 / share, 0.5 / (1 - share))}.get(str(weight), (3 if k else 1, 1))
        each = (1, 1) if weight is None else each
        theirs.fit(x, y[:, k] > 0, sample_weight=np.where(y[:, k] > 0, *each))
        np.testing.assert_allclose(learner.logits(x)[:, k], theirs.decision_function(x), rtol=0, atol=1e-6)


def test_thresholds_hold_at_numbers_that_float32_cannot_tell_apart(data):
    x, y = data
    x = np.concatenate([x, x + 1e-9])  # in float32 the same
    y = np.concatenate([y, y])
    learner = Tabular(TabularOptions(trees=10), LABELS)
    learner.fit(x, y, np.ones_like(y, bool), np.array([True, True]), NOTHING)
    theirs = GradientBoostingClassifier(n_estimators=10, min_samples_leaf=20, random_state=0).fit(x, y[:, 0] > 0)
    np.testing.assert_allclose(learner.logits(x)[:, 0], theirs.decision_function(x), rtol=0, atol=1e-6)


def test_validation_chooses_how_many_trees_count(data):
    x, y = data
    noise = np.random.default_rng(1).random(y.shape) < 0.5
    many = Tabular(TabularOptions(trees=60, rate=0.5), LABELS)
    held = (x, noise.astype(float), np.ones_like(noise))  # nothing that is learnt holds there
    assert max(many.fit(x, y, np.ones_like(y, bool), np.array([True, True]), held)) < 20
    assert len(many.owner) < 40


def test_the_linear_learner_is_scikit_learns(data):
    x, y = data
    learner = Tabular(TabularOptions(learner="linear"), LABELS)
    assert learner.fit(x, y, np.ones_like(y, bool), np.array([True, False]), NOTHING) == [0.1, None]
    expected = LogisticRegression(C=0.1, solver="newton-cholesky").fit(x, y[:, 0] > 0).decision_function(x)
    np.testing.assert_allclose(learner.logits(x)[:, 0], expected, atol=1e-6)
    assert not learner.logits(x)[:, 1].any()


def test_unknown_posts_of_a_label_do_not_teach_it(data):
    x, y = data
    known = np.ones_like(y, bool)
    known[:300, 0] = False
    scores = []
    for flipped in (y, np.where(known, y, 1 - y)):
        learner = Tabular(TabularOptions(trees=5), LABELS)
        learner.fit(x, flipped, known, np.array([True, True]), NOTHING)
        scores.append(learner.logits(x))
    np.testing.assert_array_equal(*scores)
