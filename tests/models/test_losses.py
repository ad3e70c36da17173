"""The loss is a mean over what is known."""

import math

import torch

from workbench.models.losses import masked_bce

LOGITS = torch.tensor([[0.0, 2.0], [-1.0, 5.0]])
Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def test_it_is_the_mean_of_the_known_cells():
    known = torch.tensor([[True, True], [False, False]])
    # -log sigmoid(0) = log 2 for the positive, -log(1 - sigmoid(2)) = log(1 + e^2) for the negative.
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert math.isclose(masked_bce(LOGITS, Y, known).item(), expected, rel_tol=1e-6)


def test_an_unknown_cell_has_no_gradient_whatever_it_holds():
    logits = LOGITS.clone().requires_grad_()
    known = torch.tensor([[True, False], [True, False]])
    y = torch.where(known, Y, torch.nan)
    loss = masked_bce(logits, y, known)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad[:, 1].tolist() == [0.0, 0.0]
    assert (logits.grad[:, 0] != 0).all()


def test_repeating_a_batch_changes_nothing_and_nothing_known_costs_nothing():
    known = torch.tensor([[True, False], [True, True]])
    once = masked_bce(LOGITS, Y, known)
    twice = masked_bce(LOGITS.repeat(3, 1), Y.repeat(3, 1), known.repeat(3, 1))
    assert torch.isclose(once, twice)
    assert masked_bce(LOGITS, Y, torch.zeros(2, 2, dtype=torch.bool)).item() == 0
