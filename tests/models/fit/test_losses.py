"""Losses: each by hand, each a mean over what is known, whatever the batch."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from workbench.errors import WorkbenchError
from workbench.models.fit import losses
from workbench.models.fit.losses import LOSSES, balanced, charges, log_odds, masked_bce
from workbench.models.fit.options import LOSS_NUMBERS, LossOptions

LOGITS = torch.tensor([[0.0, 2.0], [-1.0, 5.0]])
Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
SETS = ((0, 1),)


def loss_of(name):
    return losses.of(LossOptions(name=name), SETS)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def cell(name, logit, y, **numbers):
    """What one known cell costs."""
    one = torch.tensor([[logit]], dtype=torch.float64)
    return LOSSES[name](one, torch.full_like(one, y), torch.ones(1, 1, dtype=torch.bool), **numbers).item()


def test_it_is_the_mean_of_the_known_cells():
    known = torch.tensor([[True, True], [False, False]])
    # -log sigmoid(0) = log 2 for the positive, -log(1 - sigmoid(2)) = log(1 + e^2) for the negative.
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert math.isclose(masked_bce(LOGITS, Y, known).item(), expected, rel_tol=1e-6)


P = sigmoid(1.0)  # 0.731: what a post with logit 1 is given


@pytest.mark.parametrize(
    ("name", "y", "numbers", "expected"),
    [
        ("bce", 1.0, {}, -math.log(P)),
        ("bce", 0.0, {}, -math.log(1 - P)),
        # a smoothed 1 is 0.95: 95 % of the cost of a positive and 5 % of that of a negative
        ("bce", 1.0, {"smoothing": 0.1}, -0.95 * math.log(P) - 0.05 * math.log(1 - P)),
        ("kl", 1.0, {}, -math.log(P)),
        # three of ten voted for harm: 0.3 log(0.3 / p) + 0.7 log(0.7 / (1 - p))
        ("kl", 0.3, {}, 0.3 * math.log(0.3 / P) + 0.7 * math.log(0.7 / (1 - P))),
        ("squared", 1.0, {}, (1 - P) ** 2),
        ("squared", 0.0, {}, P**2),
        ("focal", 1.0, {}, -((1 - P) ** 2) * math.log(P)),
        ("focal", 0.0, {}, -(P**2) * math.log(1 - P)),
        ("focal", 0.0, {"gamma": 0.0}, -math.log(1 - P)),
        ("focal", 1.0, {"gamma": 1.0, "alpha": 0.25}, -0.25 * (1 - P) * math.log(P)),
        ("focal", 0.0, {"gamma": 1.0, "alpha": 0.25}, -0.75 * P * math.log(1 - P)),
        ("asymmetric", 1.0, {}, -math.log(P)),
        ("asymmetric", 0.0, {}, -((P - 0.05) ** 4) * math.log(1 - P + 0.05)),
        ("asymmetric", 1.0, {"gamma_positive": 1.0}, -(1 - P) * math.log(P)),
        ("asymmetric", 0.0, {"gamma_negative": 0.0, "shift": 0.0}, -math.log(1 - P)),
        ("asymmetric", 0.0, {"shift": 0.8}, 0.0),  # below the shift: free
        ("hinge", 1.0, {}, 0.0),  # right by the margin
        ("hinge", 0.0, {}, 2.0),  # 1 + 1
        ("hinge", 1.0, {"margin": 2.5}, 1.5),
    ],
)
def test_one_cell_by_hand(name, y, numbers, expected):
    assert math.isclose(cell(name, 1.0, y, **numbers), expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("name", ["bce", "squared", "focal", "asymmetric", "hinge"])
def test_a_share_costs_so_many_yes_and_so_many_no(name):
    mixed = 0.3 * cell(name, 1.0, 1.0) + 0.7 * cell(name, 1.0, 0.0)
    spread = 0.3 * 0.7 if name == "squared" else 0.0  # of the votes about their share, which no probability mends
    assert math.isclose(cell(name, 1.0, 0.3), mixed - spread, rel_tol=1e-9)


def test_shares_of_an_exclusive_set_are_the_mean_over_its_answers():
    logits = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    whole = math.log(1 + math.exp(1) + math.exp(2))

    def cost(y, known):
        return losses.softmax(logits, torch.tensor([y]).double(), torch.tensor([known]), exclusive=SETS).item()

    # a fifth said the first, half the second, and the rest none of them
    expected = 0.2 * (whole - 1) + 0.5 * (whole - 2) + 0.3 * whole
    assert math.isclose(cost([0.2, 0.5], [True, True]), expected, rel_tol=1e-6)
    # of the second nobody was asked: the rest said none of them or the second
    expected = 0.2 * (whole - 1) + 0.8 * (whole - math.log(1 + math.exp(2)))
    assert math.isclose(cost([0.2, 0.5], [True, False]), expected, rel_tol=1e-6)
    # shares that add up to two are halved
    assert math.isclose(cost([1.0, 1.0], [True, True]), 0.5 * (whole - 1) + 0.5 * (whole - 2), rel_tol=1e-6)


def test_an_exclusive_set_is_one_answer_of_three():
    logits = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    whole = 1 + math.exp(1) + math.exp(2)  # none of them, the first, the second
    outside = math.log(1 + math.exp(0.5))  # the third label is in no set, and is negative: cross-entropy

    def cost(y, known):
        y, known = torch.tensor([y], dtype=torch.float64), torch.tensor([known])
        return losses.softmax(logits, y, known, exclusive=SETS).item()

    yes, all_known = math.log(whole) - 2, [True, True, True]
    assert math.isclose(cost([0, 1, 0], all_known), (yes + outside) / 2, rel_tol=1e-9)
    assert math.isclose(cost([0, 0, 0], all_known), (math.log(whole) + outside) / 2, rel_tol=1e-9)
    # the first is known not to hold, the second is unknown: none of them or the second
    partly = math.log(whole) - math.log(1 + math.exp(2))
    assert math.isclose(cost([0, 1, 0], [True, False, False]), partly, rel_tol=1e-9)
    # the second holds, so the first cannot, known or not
    assert math.isclose(cost([0, 1, 0], [False, True, False]), yes, rel_tol=1e-9)
    assert cost([0, 1, 0], [False, False, False]) == 0


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    p = torch.tensor([0.0, 1.0, 2.0]).softmax(0)[1:]
    expected = [*(p / (1 - p)).log().tolist(), 0.5]
    np.testing.assert_allclose(log_odds(logits, SETS)[0].tolist(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_an_unknown_cell_has_no_gradient_whatever_it_holds(name):
    logits = torch.tensor([[0.3, 2.0, 0.1], [-1.0, 5.0, 0.2]]).requires_grad_()
    known = torch.tensor([[True, True, False]] * 2)
    y = torch.tensor([[1.0, 0.0, torch.nan], [0.0, 1.0, torch.nan]])
    loss = loss_of(name)(logits, y, known)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad[:, 2].tolist() == [0.0, 0.0]
    assert (logits.grad[0, :2] != 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_whole_is_the_mean_of_its_parts_by_known_cells(name):
    draw = torch.Generator().manual_seed(0)
    logits, known = torch.randn(12, 3, generator=draw) * 3, torch.rand(12, 3, generator=draw) < 0.7
    y = functional.one_hot(torch.randint(3, (12,), generator=draw), 3).float()
    cost = loss_of(name)
    parts = [cost(logits[rows], y[rows], known[rows]) for rows in (slice(0, 5), slice(5, 12))]
    # a set is one cell; the third label is in none
    cells = torch.stack([known[:, :2].any(dim=1), known[:, 2]], dim=1) if name == "softmax" else known
    counts = [cells[:5].sum(), cells[5:].sum()]
    together = sum(part * count for part, count in zip(parts, counts, strict=True)) / sum(counts)
    assert torch.isclose(cost(logits, y, known), together, rtol=1e-5)
    assert torch.isclose(cost(logits.repeat(3, 1), y.repeat(3, 1), known.repeat(3, 1)), cost(logits, y, known))
    assert cost(logits, y, torch.zeros_like(known)).item() == 0


@pytest.mark.parametrize("name", LOSSES)
@given(logit=st.floats(-200, 200, width=32), y=st.sampled_from([0.0, 1.0]))
@settings(max_examples=40)
def test_any_logit_has_a_finite_cost_and_slope(name, logit, y):
    logits = torch.tensor([[logit, 0.0]], requires_grad=True)
    loss = loss_of(name)(logits, torch.tensor([[y, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() >= 0
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_weights_multiply_cells_and_balance_the_classes():
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    known = torch.tensor([[True] * 2] * 4 + [[False, True]])
    down, up = balanced(y, known)
    # one positive and three negatives are known: 4 / 6 and 4 / 2; the second label has one class only
    np.testing.assert_allclose([down.tolist(), up.tolist()], [[2 / 3, 1], [2, 1]], rtol=1e-6)
    weight = torch.where(y > 0.5, up, down)
    logits = torch.zeros(5, 2)
    # at logit 0 every cell costs log 2, so the weighted mean is that too: 4 cells of mean weight 1 and 5 of 1
    assert masked_bce(logits, y, known, weight=weight).item() == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="weighed"):
        losses.softmax(logits, y, known, weight=weight, exclusive=SETS)


def test_options_name_every_loss_and_refuse_numbers_that_it_does_not_read():
    assert list(LOSSES) == [*LOSS_NUMBERS] == [*LossOptions.model_fields["name"].annotation.__args__]
    assert LossOptions.parse("focal", "loss") == LossOptions(name="focal")
    for name in LOSSES:
        options = LossOptions(name=name)
        assert LossOptions.parse(options.model_dump(mode="json"), "loss") == options
    with pytest.raises(WorkbenchError, match="loss 'hinge' does not read 'gamma'; it reads margin"):
        LossOptions.parse({"name": "hinge", "gamma": 1.0}, "loss")
    with pytest.raises(WorkbenchError, match="no such set"):
        losses.of(LossOptions(name="softmax"))


def test_charges_are_the_losses_themselves():
    found = charges(["bce", "hinge", {"name": "focal", "gamma": 1.0}], np.array([-1.0, 0.0, 1.0]))
    assert list(found) == ["bce", "hinge", "focal, 1.0"]
    np.testing.assert_allclose(found["bce"][0], [math.log(1 + math.e), math.log(2), -math.log(P)])
    np.testing.assert_allclose(found["hinge"], [[2, 1, 0], [0, 1, 2]])


def test_options_can_be_read_without_torch():
    code = "import sys, workbench.models.heads.options\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
