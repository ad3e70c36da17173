"""Worlds of few copies and of few heavy posts: what they hold, and every interval that they count."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from workbench.evidence.proof import concentrated
from workbench.evidence.proof.concentrated import CopiesTrial, Covered, HeavyTrial
from workbench.evidence.proof.simulated_worlds import binormal_average_precision, binormal_precision

METHOD = "groups resampled"


def test_the_truth_at_the_site_counts_by_weight():
    tn, fp, fn, tp = concentrated._confusion(
        np.array([True, True, False]), np.array([1.0, 30.0, 30.0]), np.array([1.0, 0.5, 0.1])
    )
    assert [tn, fp, fn, tp] == pytest.approx([27.0, 3.0, 15.0, 16.0])
    assert [
        float(part / whole)
        for part, whole in (share.totals(np.array([tn, fp, fn, tp])) for share in concentrated.SHARES)
    ] == (pytest.approx([16 / 31, 16 / 19, 3 / 30]))


def test_shares_are_those_of_tn_fp_fn_tp():
    counts = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]])
    shares = (*concentrated.SHARES, concentrated.ALERTS)
    told = {share.of: [total.tolist() for total in share.totals(counts)] for share in shares}
    assert told == {
        "recall": [[8, 80], [12, 120]],
        "precision": [[8, 80], [10, 100]],
        "false positive rate": [[2, 20], [3, 30]],
        "share of posts flagged": [[10, 100], [15, 150]],
    }


def test_a_row_that_says_few_need_not_hold_the_truth():
    held = concentrated.Covered()
    held.or_few(True, "ap", (0.1, 0.2), 0.5)
    held.or_few(False, "ap", (0.1, 0.3), 0.2)
    held.or_few(False, "ap", (0.1, 0.5), 0.6)
    counts = {key[:2]: n for key, n in held.items()}
    assert counts == {
        ("or few", "ap, or few"): 2,
        ("few", "ap: few"): 1,
        ("unmarked", "ap: where the row does not say few"): 1,
        ("of", "ap: where the row does not say few"): 2,
        ("width", "ap: width"): pytest.approx(0.7),
    }


def test_an_interval_holds_its_bounds():
    held = Covered()
    for truth in (0.1, 0.25, 0.3, 0.09, 0.31):
        held.share("recall", (0.1, 0.3), truth)
        held.or_few(False, "ap", (0.1, 0.3), truth)
    assert held["share", "recall", METHOD] == held["or few", "ap, or few", METHOD] == 3
    assert held["width", "recall: width", METHOD] == pytest.approx(1.0)


def test_a_world_of_copies_has_as_many_posts_as_others_in_fewer_groups(monkeypatch):
    seen = []
    build = concentrated.Ranking.build
    monkeypatch.setattr(concentrated.Ranking, "build", lambda *about: seen.append(about) or build(*about))
    counts = concentrated.CopiesTrial(60, 0.03, 100)(0)
    y, score, codes, groups = seen[0]
    sizes = np.bincount(codes)
    assert set(sizes) == {1, 60}
    assert groups == len(sizes) == 722  # 2,000 posts / (1 + .03 * 59)
    assert 5 <= (sizes == 60).sum() <= 45  # 21.7 of them on average
    assert counts["positives"] == len(np.unique(codes[y]))
    for code in np.flatnonzero(sizes == 60):
        assert np.ptp(score[codes == code]) == 0
        assert len(set(y[codes == code])) == 1


# ------------------------------------------------------------------------------------- one world of each kind, in full


@pytest.fixture
def rows(monkeypatch):
    """What a world counts: (what, few or None, low, high, truth) of every interval."""
    kept, share, or_few = [], Covered.share, Covered.or_few

    def heard_share(self, what, interval, truth):
        kept.append((what, None, *interval, truth))
        share(self, what, interval, truth)

    def heard_or_few(self, few, what, interval, truth):
        kept.append((what, few, *interval, truth))
        or_few(self, few, what, interval, truth)

    monkeypatch.setattr(Covered, "share", heard_share)
    monkeypatch.setattr(Covered, "or_few", heard_or_few)
    return kept


def assert_rows(found, expected):
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    np.testing.assert_allclose([row[2:] for row in found], [row[2:] for row in expected], rtol=1e-6, atol=1e-12)


def counted(rows, positives):
    """Return what must be counted of rows, each of another number."""
    counts = {"positives": positives}
    for what, few, low, high, truth in rows:
        holds, unmarked = low <= truth <= high, f"{what}: where the row does not say few"
        if few is None:
            counts["share", what, METHOD] = holds
        else:
            counts["or few", f"{what}, or few", METHOD] = few or holds
            counts["few", f"{what}: few", METHOD] = few
            counts["unmarked", unmarked, METHOD] = holds and not few
            counts["of", unmarked, METHOD] = not few
        counts["width", f"{what}: width", METHOD] = pytest.approx(high - low)
    return counts


# drawn and resampled by numpy's generators: another order of draws, another interval or other sizes change these rows
COPIES = [
    ("recall", None, 0.2651503, 0.77052007, 0.65542174),
    ("precision", None, 0.24804094, 0.72580568, 0.57061899),
    ("false positive rate", None, 0.033829169, 0.092774169, 0.054799292),
    ("average precision", True, 0.49864156, 0.83263681, 0.66547128),
    ("average precision, difference", True, 0.033758983, 0.21943066, 0.10957364),
    ("recall, difference", False, 0.028781594, 0.1684015, 0.1155939),
    ("precision, difference", True, -0.15985768, 0.18796366, 0.048047237),
    ("false positive rate, difference", True, -0.033378735, 0.045283496, 0.0),
]
HEAVY = [
    ("recall at the site", False, 0.29809053, 0.87350596, 0.44660799),
    ("precision at the site", False, 0.055922142, 0.15041096, 0.0606904),
    ("false positive rate at the site", False, 0.043500816, 0.063076961, 0.054799292),
    ("share of posts flagged at the site", False, 0.048360084, 0.06788522, 0.057881091),
]


def test_a_world_of_copies_in_full(rows):
    counts = CopiesTrial(20, 0.01, 100)(1)
    assert_rows(rows, COPIES)
    assert counts == counted(rows, 175)


def test_a_world_of_heavy_posts_in_full(rows):
    counts = HeavyTrial(10, 100)(0)
    assert_rows(rows, HEAVY)
    assert counts == counted(rows, 150)


def test_the_truths_of_a_world_are_those_of_normal_scores(rows):
    CopiesTrial(20, 0.01, 100)(1)
    better, worse = (
        [binormal_average_precision(apart, 0.1), special.ndtr(apart - 1.6), binormal_precision(1.6, apart, 0.1)]
        for apart in (2.0, 1.7)
    )
    alarms = special.ndtr(-1.6)
    differences = [*(one - other for one, other in zip(better, worse, strict=True)), 0.0]
    assert [row[-1] for row in rows] == pytest.approx([better[1], better[2], alarms, better[0], *differences])


@pytest.mark.parametrize(("trial", "few"), [(CopiesTrial(60, 0.03, 100), True), (HeavyTrial(4, 100), True)])
def test_a_world_of_few_groups_is_few_in_every_row(rows, trial, few):
    trial(0)
    assert {row[1] for row in rows} - {None} == {few}


@pytest.mark.parametrize(("trial", "units"), [(CopiesTrial(20, 0.01, 100), 175), (HeavyTrial(10, 100), 150)])
def test_independent_harm_is_counted_by_groups(heard, trial, units):
    asked = heard(concentrated.intervals, "value_interval")
    trial(1)
    assert len(asked) == 4
    assert {about["units"] for _, about, _ in asked} == {units}


@pytest.mark.parametrize("trial", [CopiesTrial(20, 0.01, 100), HeavyTrial(10, 100)])
def test_every_interval_is_of_the_level_that_is_named(rows, monkeypatch, trial):
    trial(1)
    wide = [row[3] - row[2] for row in rows]
    rows.clear()
    monkeypatch.setattr(concentrated, "ALPHA", 0.5)
    trial(1)
    assert all(row[3] - row[2] < before for row, before in zip(rows, wide, strict=True))


def test_few_is_said_of_harmful_groups_by_their_posts(heard):
    asked = heard(concentrated, "few_groups")
    counts = CopiesTrial(20, 0.01, 100)(1)
    ((weights,), _, few), *others = asked
    assert others == []
    assert few is False
    assert (weights > 0).sum() == counts["positives"]
    assert set(weights) == {0, 1, 20}
