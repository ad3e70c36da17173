"""Calibrators: their words, and numbers of fixed samples."""

from __future__ import annotations

import numpy as np
import pytest
from made_families import families
from scipy.special import expit, logit

from workbench.metrics import calibration
from workbench.metrics.calibration import (
    IDENTITY,
    calibration_error,
    reliability_curve,
    shift,
)

# ------------------------------------------------------------------------------------------- numbers on a fixed sample


def test_the_words_of_a_calibrator():
    assert calibration.Line(2.0, 0.0, method="temperature").words == "temperature: 2.00 x log-odds"
    assert calibration.Line(2.0, -1.0).words == "2.00 x log-odds -1.00"
    assert IDENTITY.words == "none"
    knots = calibration.Knots([[0.0, -1.0], [2.0, 1.0]], 0.5)
    assert knots.words == "isotonic with 2 knots"
    assert knots.numbers == [[[0.0, -1.0], [2.0, 1.0]], 0.5]
    np.testing.assert_allclose(knots([-2.0, 0.5, 4.0]), [-2.0, -0.5, 2.0])


def test_reliability_by_hand():
    y, p = np.array([0, 1, 0, 1, 1, 1]), np.array([0.1, 0.1, 0.3, 0.6, 0.8, 0.9])
    predicted, observed, count = reliability_curve(y, p, bins=3, weight=[1, 3, 2, 2, 1, 1])
    np.testing.assert_allclose(predicted, [0.1, (0.6 + 1.2) / 4, 0.85])
    np.testing.assert_allclose(observed, [0.75, 0.5, 1.0])
    assert count.tolist() == [2, 2, 2]
    error = calibration_error(y, p, bins=3, weight=[1, 3, 2, 2, 1, 1])
    assert error == pytest.approx((0.65 + 0.05 + 0.15) / 3)
    known = np.array([True, True, True, True, False, True])
    assert calibration_error(y, p, bins=2, known=known) == pytest.approx(calibration_error(y[known], p[known], bins=2))
    assert [part.tolist() for part in reliability_curve([], [])] == [[], [], []]
    assert np.isnan(calibration_error([], []))
    y, x, _, masks = families()
    for found, bins in ((calibration_error(y, expit(x)), 10), (calibration_error(y, expit(x), bins=10), 10)):
        assert found == pytest.approx(0.1227388, rel=1e-6), bins
    assert calibration_error(y, expit(x), bins=4, **masks) == pytest.approx(0.1407166, rel=1e-6)
    assert reliability_curve(y, expit(x))[2].tolist() == [70] * 10


def test_what_probabilities_are_worth_before_and_after():
    y, x, _, masks = families()
    prob = np.where(np.arange(700) % 9 == 0, np.nan, expit(2 * x))
    found = calibration.worth(y * 1.0, masks["known"], x, prob)
    use = masks["known"] & ~np.isnan(prob)
    assert (found["n"], found["positives"]) == (use.sum(), y[use].sum())
    for side, p in (("before", expit(x[use])), ("after", prob[use])):
        target = np.where(y[use], p, 1 - p)
        assert found[side]["brier"] == pytest.approx(np.mean((1 - target) ** 2))
        assert found[side]["log_loss"] == pytest.approx(-np.mean(np.log(target)))
        assert found[side]["calibration_error"] == pytest.approx(calibration_error(y[use], p))
        assert found[side]["bins"] == [57, 56, 57, 56, 57, 57, 56, 56, 57, 57]
    nothing = calibration.worth(y * 1.0, np.zeros(700, bool), x, prob)
    assert nothing["after"] == {"calibration_error": None, "brier": None, "log_loss": None, "bins": []}
    unscored = calibration.worth(y * 1.0, np.ones(700, bool), np.where(np.arange(700) < 3, np.nan, x), expit(x))
    assert unscored["n"] == 697


def test_the_error_of_an_excess_counts_groups():
    values, codes, weight = np.array([1.0, 3, 5, 1]), np.array([0, 0, 1, 2]), np.array([1.0, 1, 2, 4])
    mean = (1 + 3 + 10 + 4) / 8
    off = np.array([(1 - mean) + (3 - mean), 2 * (5 - mean), 4 * (1 - mean)])
    expected = np.sqrt(np.sum(off**2) * 3 / 2) / 8
    assert calibration._mean_and_error(values, codes, weight) == pytest.approx((mean, expected))
    off = np.array([-1.0, 2.5, -1.5])
    assert calibration._mean_and_error(values, codes, None) == pytest.approx((2.5, np.sqrt(np.sum(off**2) * 1.5) / 4))
    assert calibration._mean_and_error(values[:2], codes[:2], None) == (2, 0)  # one group


def test_shift_is_the_difference_of_log_odds():
    assert shift(0.2, 0.05) == pytest.approx(logit(0.05) - logit(0.2))
    for prevalence, serving in ((0.5, 0.0), (0.5, 1.0), (1.0, 0.5), (0.0, 0.5)):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            shift(prevalence, serving)
