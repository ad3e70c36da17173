"""A whole comparison: every part of it is as it was."""

from __future__ import annotations

import pytest
from made_varied import SETTINGS, told, varied

from workbench.comparison import compare as comparing
from workbench.comparison.options import CostOptions, Family

# what `told` says of the parts of a comparison; other draws, intervals or metrics change it
# fmt: off
WHOLE = {"models": 816509.95, "differences": 1600.3839, "late_fusion_limit": 2370.9688, "leak_test": 4023.6234,
    "bundle": 132611.37, "slices": 7569.8106, "disagreement": 3554.3492, "suites": 4271.9492}
# fmt: on
MENTIONS = 2743.4729


def _parts(found):
    """Yield the parts of a comparison of one test set, without what stands on the posts that every model scored."""
    for name in WHOLE:
        rows = [row.model_dump() for row in getattr(found, name)]
        alone = [row for row in rows if row.get("view") != "scored"]
        new = {"test"} if name in ("slices", "disagreement") else set()
        yield name, [{key: value for key, value in row.items() if key not in new} for row in alone]


def test_every_part_of_a_comparison_is_as_it_was():
    runs, price = varied()[1:3], CostOptions(price_per_hour=1.8, posts_per_day=3_000_000)
    settings = SETTINGS.model_copy(update={"pairs": (("pixels", "words"),), "slices": ("language",)})
    found = comparing.compare("s", "?", runs, settings, Family((("pixels", "words"), ("later", "words"))), price)
    assert (found.best_unimodal, found.chosen, found.seeds) == ("words", "words", {"words": 3, "pixels": 4})
    assert (found.peers["test"], found.labels_used["test"]["all"]) == (("pixels",), ("abuse", "violence"))
    assert {row.seed for row in found.bundle} == {3}
    assert {name: sum(told(of).values()) for name, of in _parts(found)} == pytest.approx(WHOLE, rel=2e-7)
    assert [(row.view, row.primary) for row in found.differences] == [("paired", True), ("scored", False)]
    assert told(found.bias.identities)["n"] == pytest.approx(MENTIONS, rel=2e-7)
    (words, pixels) = found.costs  # 0.0005 a second; 2 and 4 ms a post
    assert (words.per_million, words.per_day, words.busy, words.training) == pytest.approx((1, 3, 6 / 86.4, 0.0035))
    assert (pixels.per_million, pixels.per_day, pixels.busy) == pytest.approx((2, 6, 12 / 86.4))
    unpriced = comparing._cost(runs[0], None)
    assert (unpriced.ms_per_post, unpriced.per_million, unpriced.per_day, unpriced.busy) == (2, None, None, None)
