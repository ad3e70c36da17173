"""What a study may ask of a comparison: the defaults, and which numbers are in range."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from workbench.comparison.options import LEAK_ALPHA, CompareOptions, CostOptions

# name -> the default, what is still allowed at either end, and what is refused beyond it
COMPARE = {
    "resamples": (2000, [100], [99]),
    "draws": (10_000, [10_000], [9_999]),
    "alpha": (0.05, [1e-9, 0.49], [0, 0.5]),
    "margin": (0.01, [1e-9, 0.99], [0, 1]),
    "power": (0.8, [0.51, 0.99], [0.5, 1]),
    "prevalences": ((0.001, 0.01, 0.05), [(1e-9, 0.99)], [(0,), (1,)]),
    "slice_resamples": (500, [100], [99]),
    "few": (20, [1], [0]),
    "seed": (0, [0], [-1]),
}
COST = {
    "price_per_hour": (1.0, [1e-9], [0]),
    "currency": ("USD", ["$", "twelve chars"], ["", "thirteen char"]),
    "posts_per_day": (None, [1], [0]),
}


@pytest.mark.parametrize("name", [*COMPARE, *COST])
def test_a_number_has_a_default_and_a_range(name):
    kind, given = (CompareOptions, {}) if name in COMPARE else (CostOptions, {"price_per_hour": 1.0})
    default, allowed, refused = (COMPARE | COST)[name]
    assert getattr(kind(**given), name) == default
    for value in allowed:
        assert getattr(kind(**given | {name: value}), name) == value
    for value in refused:
        with pytest.raises(ValidationError):
            kind(**given | {name: value})


def test_a_leak_must_be_surer_than_a_difference_and_a_metric_must_exist():
    assert LEAK_ALPHA == 0.01
    assert CompareOptions(metric="roc_auc").metric == "roc_auc"
    with pytest.raises(ValidationError, match="unknown metric"):
        CompareOptions(metric="roc")
