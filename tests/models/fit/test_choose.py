"""The strength that validation likes best, and what is taken where validation has too few posts to say."""

import numpy as np
import pytest

from workbench.models.fit.choose import ENOUGH, best_strength, enough

TRUTH = np.arange(40) < ENOUGH  # as few positives as suffice


def scores(right):
    """Scores (40,) that rank so many of the positives above all others, and the rest below."""
    return np.where(np.arange(40) < right, 2.0, np.where(TRUTH, 0.0, 1.0))


def test_ten_posts_of_each_class_are_enough():
    assert enough(TRUTH)
    assert enough(~TRUTH)
    assert not enough(np.arange(40) < ENOUGH - 1)
    assert not enough(np.arange(40) >= ENOUGH - 1)
    assert not enough(np.zeros(0, bool))


@pytest.mark.parametrize(("right", "chosen"), [((1, 9, 5), 0.3), ((9, 5, 9), 3.0), ((0, 0, 0), 3.0)])
def test_the_strength_that_ranks_best_wins_and_the_first_of_equal_ones(right, chosen):
    strengths = (3.0, 0.3, 1.0)
    fitted = []
    found = best_strength(
        strengths, lambda c: fitted.append(c) or strengths.index(c), TRUTH, lambda at: scores(right[at])
    )
    assert found == (chosen, strengths.index(chosen))
    assert fitted == list(strengths)


@pytest.mark.parametrize(("strengths", "middle"), [((3.0, 0.3, 1.0), 1.0), ((0.1, 1.0), 1.0), ((7.0,), 7.0)])
def test_with_too_few_posts_the_middle_one_is_fitted_alone(strengths, middle):
    fitted = []

    def scored(model):
        raise AssertionError("nothing is chosen")

    found = best_strength(strengths, lambda c: fitted.append(c) or "fit", np.arange(40) < ENOUGH - 1, scored)
    assert found == (middle, "fit")
    assert fitted == [middle]


def test_a_single_strength_is_not_scored_and_another_worth_can_decide():
    assert best_strength((2.0,), str, TRUTH, lambda model: 1 / 0) == (2.0, "2.0")
    losses = {1.0: 0.4, 2.0: 0.2, 3.0: 0.3}
    found = best_strength(tuple(losses), losses.get, TRUTH, lambda loss: loss, lambda truth, loss: -loss)
    assert found == (2.0, 0.2)
