"""Costs by hand: what a price per hour makes of milliseconds, and what stays unknown."""

from __future__ import annotations

import pytest

from workbench.comparison.compare import compare
from workbench.comparison.options import CompareOptions, CostOptions
from workbench.comparison.rows import Comparison
from workbench.errors import WorkbenchError
from workbench.report.sections.cost import cost

PRICE = {"machine": "two cores", "price_per_hour": 3.6, "currency": "EUR", "posts_per_day": 86_400_000}


def priced(runs: list, **price) -> Comparison:
    stated = CostOptions.parse(PRICE | price, "cost")
    return compare("tiny", "?", runs, CompareOptions(resamples=100), cost=stated)


def test_money_follows_from_time_and_price(runs):
    # 1.5 ms a post; 3.6 an hour is .001 a second, so 1.5e-6 a post; 1,000 posts a second keep 1.5 machines busy
    row = priced(runs).costs[-1]
    assert row.model == "cross"
    assert row.per_million == pytest.approx(1.5)
    assert row.per_day == pytest.approx(129.6)
    assert row.busy == pytest.approx(1.5)
    assert row.training is None  # these runs do not say how long they trained


def test_without_a_price_or_a_load_there_is_no_money(comparison, runs):
    rows = Comparison.model_validate(comparison).costs
    assert {(row.per_million, row.per_day, row.busy, row.training) for row in rows} == {(None,) * 4}
    row = priced(runs, posts_per_day=None).costs[0]
    assert (row.per_day, row.busy) == (None, None)
    assert row.per_million == pytest.approx(1.5)


@pytest.mark.parametrize("wrong", [{"price_per_hour": 0}, {"posts_per_day": 0}, {"price": 1}])
def test_a_price_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(WorkbenchError, match="cost"):
        CostOptions.parse(PRICE | wrong, "cost")


def test_the_section_shows_money_only_where_a_price_is_stated(comparison, runs):
    bare = cost(Comparison.model_validate(comparison))
    assert "No price is stated" in bare.prose
    assert not [name for name in bare.tables[""].columns if "million" in name]
    table = cost(priced(runs)).tables[""]
    assert table.loc["cross", "EUR per million posts"] == "1.50"
    assert table.loc["cross", "posts a second"] == "667"  # 1000 / 1.5
    assert table.loc["cross", "EUR a day at 86,400,000 posts"] == "130"
    assert table.loc["cross", "machines kept busy"] == "1.50"


def test_the_section_is_left_out_where_no_run_recorded_its_time(comparison):
    untimed = comparison | {"costs": [row | {"ms_per_post": None} for row in comparison["costs"]]}
    assert cost(Comparison.model_validate(untimed)) is None
