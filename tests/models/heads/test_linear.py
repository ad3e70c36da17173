"""Logistic regression in one pass: scikit-learn's optimum, for every label and penalty; unknown posts left out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from workbench.errors import WorkbenchError
from workbench.models.heads import linear
from workbench.models.heads.networks import Head
from workbench.models.heads.training import Examples, score

STRENGTHS = (0.01, 1.0, 30.0)


def world(n=300, dim=12, labels=3, seed=0):
    draw = np.random.default_rng(seed)
    scales = np.linspace(0.2, 5, dim)  # directions of unequal size, as of embeddings that nobody whitened
    x = (draw.normal(size=(n, dim)) * scales + 1).astype(np.float32)
    truth = draw.normal(size=(dim, labels)) / scales[:, None]
    y = draw.random((n, labels)) < 1 / (1 + np.exp(2 - x @ truth))
    return x, y.astype(np.float32), draw.random((n, labels)) < 0.8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_label_and_penalty_has_scikit_learns_optimum(dtype):
    x, y, known = world()
    tensors = torch.from_numpy(x).to(dtype), torch.from_numpy(y), torch.from_numpy(known)
    fit = linear.logistic(*tensors, STRENGTHS)
    ours = linear.objective(*tensors, STRENGTHS, fit).numpy()
    for p, strength in enumerate(STRENGTHS):
        for k in range(3):
            rows = known[:, k]
            model = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000).fit(x[rows].astype(float), y[rows, k])
            z = x @ fit.weights[p, k].double().numpy() + float(fit.bias[p, k])
            theirs = model.predict_proba(x.astype(float))[:, 1]
            np.testing.assert_allclose(1 / (1 + np.exp(-z)), theirs, atol=1e-3)
            loss = np.logaddexp(0, z[rows]) - y[rows, k] * z[rows]
            assert ours[p, k] == pytest.approx(strength * loss.sum() + (fit.weights[p, k] ** 2).sum().item() / 2)
            inner = model.decision_function(x[rows].astype(float))
            best = strength * (np.logaddexp(0, inner) - y[rows, k] * inner).sum() + (model.coef_**2).sum() / 2
            assert ours[p, k] == pytest.approx(best, rel=1e-5)


def test_an_unknown_cell_teaches_nothing_whatever_it_holds():
    x, y, known = (torch.from_numpy(part) for part in world())
    expected = linear.logistic(x, y, known, STRENGTHS)
    found = linear.logistic(x, torch.where(known, y, torch.nan), known, STRENGTHS)
    assert torch.equal(found.weights, expected.weights)
    silent = known.clone()
    silent[:, 1] = False
    assert (linear.logistic(x, y, silent, STRENGTHS).weights[:, 1] == 0).all()


def test_posts_that_a_plane_divides_end_too():
    x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    y, known = (x > 0).float(), torch.ones(4, 1, dtype=torch.bool)
    fit = linear.logistic(x, y, known, (1e4,))
    assert fit.weights.isfinite().all()
    assert ((x @ fit.weights[0].T + fit.bias[0] > 0) == (y > 0)).all()


def test_validation_chooses_the_penalty_of_each_label():
    # two penalties, told apart by the sign of their weight: the first label is ranked well by the second, and so on
    fit = linear.Fit(torch.tensor([[[-1.0], [1.0]], [[1.0], [-1.0]]]), torch.zeros(2, 2))
    x = torch.linspace(-1, 1, 40)[:, None]
    y = np.repeat((x.numpy() > 0).astype(np.float32), 2, axis=1)
    known = np.ones_like(y, dtype=bool)
    assert linear.chosen(fit, (0.1, 1.0), x, y, known) == [1, 0]
    known[12:, 1] = False  # no positive of the second label is left: the middle one, of two the stronger C
    assert linear.chosen(fit, (0.1, 1.0), x, y, known) == [1, 1]
    assert linear.chosen(fit, (1.0, 0.1), None, y, known) == [0, 0]


def test_a_head_gives_the_scores_of_the_regressions():
    x, y, known = (torch.from_numpy(part) for part in world())
    present = torch.rand(len(x), 2, generator=torch.Generator().manual_seed(0)) < 0.7
    examples = Examples((x[:, :5], x[:, 5:]), present, y, known)
    network = Head((5, 7), 3, hidden=0, dropout=0.5, generator=torch.Generator().manual_seed(0))
    record = linear.fit_head(network, examples, examples, (1.0,))
    seen = torch.cat([x[:, :5] * present[:, [0]], x[:, 5:] * present[:, [1]], present.float()], dim=1)
    fit = linear.logistic(seen, y, known, (1.0,))
    torch.testing.assert_close(
        score(network, examples.halves, present), seen @ fit.weights[0].T + fit.bias[0], atol=1e-4, rtol=1e-4
    )
    assert record == {"C": [1.0, 1.0, 1.0]}
    several = examples._replace(count=torch.full((150,), 2))
    with pytest.raises(WorkbenchError, match="pooling: mean"):
        linear.fit_head(network, several, None, (1.0,))
