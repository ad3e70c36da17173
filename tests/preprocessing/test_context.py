"""Numbers around a post: from its inputs alone, gaps kept as gaps, scalings by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from workbench.preprocessing import context
from workbench.preprocessing.context import ContextOptions, Scaling
from workbench.schema import INPUTS

ALL = ContextOptions(columns=("author", "engagement", "created_at"))


def posts(**columns) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({f.name: pa.array(columns.get(f.name, [None] * n), f.type) for f in INPUTS}, schema=INPUTS)


def test_counts_rates_and_hour_by_hand():
    author = {"id": "u", "account_age_days": 9.0, "posts": 4, "prior_reports": 10, "prior_removals": 1}
    reactions = {"reactions": 6, "reports": 3, "impressions": 299}
    when = dt.datetime(2025, 3, 1, 6, tzinfo=dt.UTC)  # a quarter of the day
    x = context.numbers(posts(author=[author], engagement=[reactions], created_at=[when]), ALL)
    expected = [9, 4, 10, 1, 10 / 5, 1 / 5, 4 / 10, 6, 3, 299, 3 / 300, 6 / 300, 1, 0]
    np.testing.assert_allclose(x, [expected], atol=1e-12)
    assert len(context.names(ALL)) == len(expected)
    plain = ContextOptions(rates=False)
    np.testing.assert_allclose(context.numbers(posts(author=[author]), plain), [[9, 4, 10, 1]])


def test_what_is_missing_or_cannot_be_true_is_a_gap():
    odd = {"account_age_days": float("inf"), "posts": -1, "prior_reports": 2, "prior_removals": None}
    table = posts(author=[None, odd, {"id": "u"}])
    x = context.numbers(table, ContextOptions(rates=False))
    np.testing.assert_array_equal(x, [[np.nan] * 4, [np.nan, np.nan, 2, np.nan], [np.nan] * 4])
    assert context.known(table, ContextOptions()).tolist() == [False, True, False]
    assert np.isnan(context.numbers(table.select(["post_id"]), ALL)).all()


def test_nothing_but_the_inputs_of_a_post_can_enter():
    """Labels, truth and whatever a source adds later stand in other columns; only those asked for are read."""
    author = {"id": "u", "account_age_days": 9.0, "posts": 4, "prior_reports": 10, "prior_removals": 1}
    table = posts(author=[author])
    later = table.append_column("removed_at", pa.array([dt.datetime(2026, 1, 1)])).append_column(
        "reports", pa.array([9])
    )
    assert {name.partition(".")[0] for name in context.names(ALL)} <= set(INPUTS.names)
    for options in (ContextOptions(), ALL):
        np.testing.assert_array_equal(context.numbers(later, options), context.numbers(table, options))
    other = posts(author=[author], engagement=[{"reactions": 1, "reports": 50, "impressions": 60}])
    np.testing.assert_array_equal(
        context.numbers(other, ContextOptions()), context.numbers(table, ContextOptions())
    )  # reactions count only where they are asked for


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("none", [0, 1, 3, 1]),
        ("standard", [-4 / 14**0.5, -1 / 14**0.5, 5 / 14**0.5, -1 / 14**0.5]),  # mean 4/3, deviation sqrt(14)/3
        ("robust", [-2 / 3, 0, 4 / 3, 0]),  # median 1, quartiles 0.5 and 2
    ],
)
def test_scalings_by_hand_and_the_training_median_fills_a_gap(scaling, expected):
    x = np.array([[0.0], [1.0], [3.0], [np.nan]])
    scaled = Scaling.fit(x, ContextOptions(scaling=scaling))(x)
    np.testing.assert_allclose(scaled, np.column_stack([expected, [0, 0, 0, 1]]))
    assert Scaling.fit(x, ContextOptions(scaling=scaling, nulls=False))(x).shape == (4, 1)


def test_the_logarithm_comes_before_the_standard_form():
    x = np.expm1(np.array([[0.0], [1.0], [2.0]]))
    np.testing.assert_allclose(Scaling.fit(x, ContextOptions())(x)[:, 0], np.array([-1, 0, 1]) / (2 / 3) ** 0.5)


def test_scaling_learns_from_training_posts_only_and_survives_what_it_never_saw():
    train = np.array([[1.0, np.nan], [1.0, np.nan]])  # a constant, and a number that no training post has
    for scaling in ("none", "standard", "robust", "log"):
        learnt = Scaling.fit(train, ContextOptions(scaling=scaling))
        assert np.isfinite(learnt(np.array([[1e300, 5.0], [np.nan, np.nan]]))).all()
    assert np.isfinite(Scaling.fit(np.zeros((0, 2)), ContextOptions())(train)).all()


def test_what_a_number_does_is_its_score_against_the_training_median_and_its_rates_go_with_it():
    options = ContextOptions(rates=True)
    # (age, posts, reports, removals, reports per post, removals per post, posts per day); the last post has no record
    values = np.array([[10, 4, 9, 0, 9 / 5, 0, 4 / 11], [10, 4, np.nan, 0, np.nan, 0, 4 / 11]])
    typical = np.array([10.0, 4, 1, 0, 0.5, 0, 4 / 11])

    def score(numbers):  # one label: 0.2 a report, 1 a report per post, and 2 where they are unknown
        told = 0.2 * numbers[:, 2] + numbers[:, 4]
        return np.where(np.isnan(told), 2.0, told)[:, None]

    moved = context.moved(values, options, typical, score)
    assert moved.fields == ("account_age_days", "posts", "prior_reports", "prior_removals")
    np.testing.assert_allclose(moved.by[:, 0], [[0, 0, 0.2 * 8 + 1.3, 0], [0, 0, 2 - 0.7, 0]])
    assert moved.words(0, 0) == ("the author's prior reports 9 (odds times 18)",)  # exp(2.9)
    assert moved.words(1, 0) == ("the author's prior reports unknown (odds times 3.7)",)
