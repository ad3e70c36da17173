"""Shares of worlds are judged by one exact one-sided binomial test a side."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy import stats

from workbench.evidence.proof.claims import OF, Band, Claim, claimed

COVERAGE = Band(0.93, 0.97)


def claim(hits, worlds, band):
    return Claim("what", "setting", "method", hits, worlds, None, band)


# of 1,000 worlds at .93, 915 or fewer have a chance of .0391, 916 of .0501; at .97, 980 or more .0333, 979 .0519
@pytest.mark.parametrize(("hits", "held"), [(915, False), (916, True), (950, True), (979, True), (980, False)])
def test_a_share_fails_only_beyond_chance(hits, held):
    assert claim(hits, 1000, COVERAGE).held() is held
    assert claim(hits, 1000, COVERAGE._replace(wrong=True)).held() is not held  # a wrong method must be found out
    assert claim(hits, 1000, None).held() is None


def test_the_level_is_that_of_one_side():
    below = stats.binom.cdf(915, 1000, 0.93)
    assert claim(915, 1000, COVERAGE).rejected(below * 1.01)
    assert not claim(915, 1000, COVERAGE).rejected(below * 0.99)


@pytest.mark.parametrize(
    ("band", "hits", "held"), [((0.9, 1.0), 100, True), ((0.9, 1.0), 80, False), ((0.0, 0.1), 0, True)]
)
def test_a_band_may_be_open_on_one_side(band, hits, held):
    assert claim(hits, 100, Band(*band)).held() is held


def test_with_few_worlds_a_share_just_outside_passes_and_one_far_off_does_not():
    assert claim(36, 40, COVERAGE).held()  # .90
    assert not claim(32, 40, COVERAGE).held()  # .80


def test_counts_become_claims():
    counts = Counter({("few", "a", "m"): 3, ("few", "b", "m"): 0, ("none", "c", "m"): 5, "positives": 70})
    counts.update({(OF, "b", "m"): 0, (OF, "c", "m"): 6, ("size", "d", "m"): 2.5})
    found = {
        one.what: one for one in claimed("setting", counts, 10, {"few": lambda seen, worlds: Band(0, worlds / 20)})
    }
    assert set(found) == {"a", "c", "d"}  # in no world could b happen
    assert (found["a"].share, found["a"].band, found["a"].positives) == (0.3, (0, 0.5, False), 7.0)
    assert (found["c"].share, found["c"].band) == (5 / 6, None)
    assert found["d"].share == 0.25


@pytest.mark.parametrize(
    ("band", "said"),
    [
        (Band(0.93, 0.97), "93.0% to 97.0%"),
        (Band(0.9, 1.0), "at least 90.0%"),
        (Band(0.0, 0.07, wrong=True), "not at most 7.0%"),
        (None, ""),
    ],
)
def test_a_row_says_what_must_be(band, said):
    row = claim(95, 100, band).row()
    assert row["must be"] == said
    assert row["verdict"] == ("" if band is None else "holds")


@pytest.mark.parametrize(
    ("band", "said"),
    [
        (Band(0.0, 1.0), "at most 100.0%"),
        (Band(0.0, 0.07), "at most 7.0%"),
        (Band(0.5, 1.0, wrong=True), "not at least 50.0%"),
        (Band(0.035, 0.065), "3.5% to 6.5%"),
    ],
)
def test_a_band_is_said_by_its_inner_bounds(band, said):
    assert claim(50, 100, band).row()["must be"] == said


def test_a_row_has_all_facts():
    row = Claim("what", "setting", "method", 10, 100, 71.5, Band(0.2, 0.5)).row()
    assert row == {
        "claim": "what",
        "setting": "setting",
        "method": "method",
        "share": 0.1,
        "must be": "20.0% to 50.0%",
        "verdict": "fails",
        "worlds": 100,
        "positive families": 71.5,
    }


def test_the_interval_is_that_of_clopper_and_pearson():
    low, high = stats.beta.ppf(0.025, 7, 14), stats.beta.ppf(0.975, 8, 13)
    assert claim(7, 20, None).interval() == pytest.approx((low, high))
    assert claim(7, 20, None).interval(0.5) == pytest.approx((stats.beta.ppf(0.25, 7, 14), stats.beta.ppf(0.75, 8, 13)))


def test_a_chance_at_the_level_rejects_nothing():
    chance = stats.binomtest(915, 1000, 0.93, "less").pvalue
    assert not claim(915, 1000, COVERAGE).rejected(chance)


def test_a_wrong_method_is_one_whose_band_says_so():
    assert claim(1, 2, COVERAGE._replace(wrong=True)).wrong
    assert not claim(1, 2, COVERAGE).wrong
    assert not claim(1, 2, None).wrong
    assert not claim(0, 1000, None).rejected()


def test_without_positives_a_claim_has_none():
    (found,) = claimed("setting", Counter({("kind", "of", "m"): 1}), 2, {"kind": COVERAGE})
    assert (found.positives, found.worlds, found.band) == (None, 2, COVERAGE)
