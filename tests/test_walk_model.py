"""The walk "Add a model" of CONTRIBUTING.md, done as it is written, on a copy of the repository."""

from __future__ import annotations

import pytest
from walks import comparison, copied, in_order, steps, walked

from workbench.schema import ROOT


@pytest.mark.slow
def test_the_walk_ends_with_the_new_model_in_a_comparison(tmp_path):
    house = copied(tmp_path / "house")
    said = walked(house, "Add a model")
    assert " passed" in said[0]  # the contract, for the new model alone
    rows = comparison(house, "shouting")
    assert set(rows) == {"prior", "text-shouting"}
    assert rows["text-shouting"]["n"] == rows["prior"]["n"] > 500
    assert not (ROOT / "workbench" / "models" / "shouting.py").exists()


def test_the_module_of_the_walk_is_short_and_in_order(tmp_path):
    (module,) = [step for step in steps("Add a model") if "class Shouting" in step.code]
    in_order(module, tmp_path)
