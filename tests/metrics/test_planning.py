"""Planning a test set: the three formulas against each other and against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.metrics import planning


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_the_three_formulas_agree(alpha, power):
    found = planning.detectable(0.02, alpha=alpha, power=power)
    assert planning.chance_to_find(found, 0.02, alpha=alpha) == pytest.approx(power, abs=1e-4)
    needed = planning.positives_needed(found / 3, 0.02, 150, alpha=alpha, power=power)
    assert needed == pytest.approx(9 * 150, abs=1)
    assert planning.rescaled(0.02, 150, 9 * 150) == pytest.approx(0.02 / 3)


def test_the_chance_to_find_a_difference_is_that_of_simulated_tests():
    rng = np.random.default_rng(0)
    seen = rng.normal(0.03, 0.01, 20_000)
    assert planning.chance_to_find(0.03, 0.01) == pytest.approx(np.mean(np.abs(seen) > 1.959964 * 0.01), abs=0.01)
    assert planning.chance_to_find(0.0, 0.01) == pytest.approx(0.05)  # nothing there: the level of the test


def test_what_no_test_set_can_do_is_refused():
    with pytest.raises(ValueError, match="difference of 0"):
        planning.positives_needed(0.0, 0.01, 100)
    with pytest.raises(ValueError, match="above 0, not 0 and 5"):
        planning.rescaled(0.01, 0, 5)
    assert np.isnan(planning.chance_to_find(0.1, np.nan))
