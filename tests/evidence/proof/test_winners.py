"""Nine models: which one is chosen, and what is counted of its interval."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.proof import winners
from workbench.evidence.proof.simulated_worlds import binormal_average_precision
from workbench.evidence.proof.winners import CHOSEN, EQUAL, HIGHEST, UNEQUAL, WinnerTrial

ABOVE, MISSES = "the winner's value above the truth", "the winner's interval misses the truth"


def test_scores_of_the_nine_are_alike_as_said():
    scores = winners.WinnerTrial(winners.EQUAL, 0.5, 100)._scores(np.random.default_rng(0))[:, winners.HARMFUL :]
    others = np.corrcoef(scores)[np.triu_indices(winners.MODELS, 1)]
    assert others.mean() == pytest.approx(0.5, abs=0.02)
    assert len(winners.UNEQUAL) == winners.MODELS > len({*winners.EQUAL})


def test_the_winner_is_chosen_on_validation(monkeypatch):
    # one model is far better on validation, another on test; what is printed is the first one's value on test
    validation, test = np.zeros((9, winners.POSTS)), np.random.default_rng(0).normal(size=(9, winners.POSTS))
    validation[3, : winners.HARMFUL] = test[5, : winners.HARMFUL] = 9.0
    scores = iter((validation, test))
    monkeypatch.setattr(winners.WinnerTrial, "_scores", lambda self, rng: next(scores))
    counts = winners.WinnerTrial(winners.EQUAL, 0.0, 100)(0)
    what = "the winner's value above the truth"
    assert counts["size", what, winners.HIGHEST] == pytest.approx(1 - binormal_average_precision(2.0, 0.075))
    assert counts["size", what, winners.CHOSEN] < 0


# low and high of the chosen one and of the highest, and how far their values lie above the truth. Drawn and resampled
# by numpy's generators: another order of draws changes the rows.
@pytest.mark.parametrize(
    ("apart", "correlation", "rows"),
    [
        (EQUAL, 0.5, [[0.56770347, 0.73040135, 0.040878547], [0.62842813, 0.74963085, 0.079688497]]),
        (UNEQUAL, 0.5, [[0.47064215, 0.62059793, -0.037659364], [0.50359058, 0.66908872, -0.023796982]]),
        (EQUAL, 0.0, [[0.52302916, 0.68642447, -0.0049080573], [0.58932184, 0.73105068, 0.051216699]]),
    ],
)
def test_a_world_of_nine_in_full(heard, apart, correlation, rows):
    asked = heard(winners.intervals, "value_interval")
    counts = WinnerTrial(apart, correlation, 100)(0)
    found = [
        [*interval, counts["size", ABOVE, method]]
        for (_, _, interval), method in zip(asked, (CHOSEN, HIGHEST), strict=True)
    ]
    np.testing.assert_allclose(found, rows, rtol=1e-6)
    missed = {method: counts[method, MISSES, method] for method in (CHOSEN, HIGHEST)}
    assert missed == {CHOSEN: 0, HIGHEST: int((apart, correlation) == (EQUAL, 0.5))}
    assert counts["positives"] == 150
    assert len(counts) == 5
    assert {about["units"] for _, about, _ in asked} == {150}


def test_an_interval_holds_its_bounds(monkeypatch):
    truth = binormal_average_precision(2.0, 0.075)
    for interval, missed in (((truth, 1.0), 0), ((0.0, truth), 0), ((truth + 1e-9, 1.0), 1), ((0.0, truth - 1e-9), 1)):
        monkeypatch.setattr(WinnerTrial, "_interval", lambda self, y, score, seed, told=interval: told)
        assert WinnerTrial(EQUAL, 0.5, 100)(0)[CHOSEN, MISSES, CHOSEN] == missed


def test_the_interval_is_of_the_level_that_is_named(heard, monkeypatch):
    asked = heard(winners.intervals, "value_interval")
    WinnerTrial(EQUAL, 0.5, 100)(0)
    monkeypatch.setattr(winners, "ALPHA", 0.5)
    WinnerTrial(EQUAL, 0.5, 100)(0)
    wide, _, narrow, _ = (high - low for _, _, (low, high) in asked)
    assert narrow < wide


def test_the_unequal_rise_in_equal_steps():
    assert pytest.approx([1.7 + 0.0375 * k for k in range(9)]) == UNEQUAL
    assert EQUAL == (2.0,) * 9
