"""Thresholds that hold for sure: by hand where one error decides, and by simulation how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import clopper_pearson
from scipy import stats
from scipy.special import expit

from workbench.decisions import guarantee
from workbench.decisions.guarantee import Held, hold, one_of_each, outlook
from workbench.decisions.objective import Capacity, Objective
from workbench.decisions.thresholds import LabelObjectives, choose, objectives
from workbench.errors import WorkbenchError


def test_recall_holds_by_the_exact_binomial_tail():
    # 14 of 14 caught: 0.8^14 = .044 < .05, so a threshold below all harmful posts is proven; with 13 it is not (.055)
    for harmful, proven in ((14, True), (13, False)):
        y = np.r_[np.zeros(100, bool), np.ones(harmful, bool)]
        found = hold(y, np.r_[np.linspace(0, 0.4, 100), np.full(harmful, 0.9)], kind="recall", target=0.8)
        assert (found.at is not None) is proven
        if not proven:
            assert "14 harmful groups without one error are needed" in found.why


def test_recall_moves_up_until_a_miss_too_many():
    # 30 harmful posts between harmless ones; 2 misses: P(Binomial(30, .2) <= 2) = .044, with 3 it is .123
    score = np.arange(60) / 60
    y = np.arange(60) % 2 == 1
    found = hold(y, score, kind="recall", target=0.8)
    assert stats.binom.cdf(2, 30, 0.2) < 0.05 < stats.binom.cdf(3, 30, 0.2)
    assert (y & (score < found.at)).sum() == 2


def test_a_precision_takes_the_lowest_threshold_that_is_proven():
    score = np.linspace(1, 0, 1000)
    y = np.arange(1000) < 300  # the first 300 are harmful, none after
    found = hold(y, score, kind="precision", target=0.8)
    flagged = score >= found.at
    assert flagged.sum() > 300  # some harmless ones are affordable
    assert stats.binom.cdf((flagged & ~y).sum(), flagged.sum(), 0.2) <= 0.05
    assert y[flagged].mean() >= 0.8
    assert hold(y, score, kind="precision", target=0.8, floor=2.0).at is None
    assert hold(~y, score, kind="precision", target=0.8).at is None


@pytest.mark.parametrize("kind", ["precision", "recall"])
def test_the_post_whose_score_sets_a_threshold_is_not_tested_by_it(kind):
    # given that the k-th highest score is t, the posts above t are a sample of all such posts; the k-th itself is not
    score, y = np.linspace(1, 0, 1000), np.arange(1000) < 300
    at = hold(y, score, kind=kind, target=0.8).at
    assert at not in score
    assert np.nextafter(at, -np.inf) in score


def test_certainty_is_never_proven():
    assert hold(np.ones(500, bool), np.linspace(0, 1, 500), kind="recall", target=1.0).at is None


def test_one_post_of_each_group_is_tested():
    rows = one_of_each(np.array(["a", "b", "a", "c", "c"]))
    assert len(rows) == 3
    # 14 copies of one harmful post are one piece of evidence
    y = np.r_[np.zeros(100, bool), np.ones(14, bool)]
    score = np.r_[np.linspace(0, 0.4, 100), np.full(14, 0.9)]
    group = np.r_[np.arange(100), np.full(14, 100)]
    assert hold(y, score, kind="recall", target=0.8).at is not None
    assert hold(y, score, kind="recall", target=0.8, group=group).at is None


def flat(seed: int, share: float, n: int = 400):
    """Posts whose score says nothing: every threshold has the same precision."""
    rng = np.random.default_rng(seed)
    return rng.random(n) < share, rng.random(n)


def test_what_is_told_as_proven_instead_is_true_as_often_as_it_says():
    # no threshold has a precision above .84, so that whoever tells of .85 or more is wrong
    told = [outlook(*flat(seed, 0.84), target=0.95, sure=0.9, expected=0.84).proven for seed in range(150)]
    wrong = sum(one is not None and one > 0.84 for one in told)
    assert clopper_pearson(wrong, 150, alpha=0.001)[0] <= 0.1
    assert sum(one == 0.8 for one in told) > 50  # what is true is told often enough


def test_lower_precisions_are_told_from_the_lowest_up_and_stay_below_the_one_asked_for():
    y, score = np.ones(300, bool), np.linspace(1, 0, 300)
    assert outlook(y, score, target=0.9, sure=0.9).proven == 0.85
    assert outlook(y, score, target=0.7, sure=0.9).proven is None
    assert outlook(~y, score, target=0.9, sure=0.9) == (None, 0.0, None)
    assert outlook(y[:15], score[:15], target=0.9, sure=0.9)[1:] == (None, None)  # too few to speak of


def test_the_first_precision_that_is_not_proven_ends_the_telling(monkeypatch):
    # .85 would pass by luck where .8 has not: told of it, .9 and .95, many tries would add up
    monkeypatch.setattr(guarantee, "hold", lambda *_, target, **more: Held(None if target == 0.8 else 0.5, ""))
    assert outlook(np.ones(99, bool), np.linspace(1, 0, 99), target=0.95, sure=0.9).proven == 0.7


def test_each_start_has_its_share_of_the_level():
    # starts at 35 and 70 posts with .05 each: of 35 posts 3 errors, P(Binomial(35, .2) <= 3) = .061, would do at .1
    score = np.linspace(1, 0, 1000)
    y = np.zeros(1000, bool)
    y[:35] = True
    y[[5, 15, 25]] = False
    assert 0.05 < stats.binom.cdf(3, 35, 0.2) < 0.1
    about = {"kind": "precision", "target": 0.8, "sure": 0.9, "expected": 0.1}
    assert hold(y, score, **about).at is None
    y[25] = True
    assert stats.binom.cdf(2, 35, 0.2) < 0.05
    assert (score >= hold(y, score, **about).at).sum() >= 35


def test_how_many_groups_it_would_take():
    # 95 of 100 harmful among 1,000 groups, none after; two starts share .1, so 184 flagged posts would do where the
    # test sees a precision of .95, that is at its rank of 100 posts: 1,840 groups
    y, score = np.arange(1000) < 100, np.linspace(1, 0, 1000)
    y[[10, 30, 50, 70, 90]] = False
    found = outlook(y, score, target=0.9, sure=0.9, expected=0.1 / 0.7)
    assert (found.proven, found.seen, found.needed) == (0.85, 0.95, 1800)
    copies = outlook(
        np.repeat(y, 2),
        np.repeat(score, 2),
        target=0.9,
        sure=0.9,
        expected=0.1 / 0.7,
        group=np.repeat(np.arange(1000), 2),
    )
    assert copies == found  # groups, not posts


@pytest.mark.parametrize(("sure", "flagged", "needed"), [(0.8, 130, 1300), (0.9, 184, 1800), (0.95, 239, 2400)])
def test_how_many_groups_it_would_take_follows_from_how_sure_one_wants_to_be(sure, flagged, needed):
    y, score = np.arange(1000) < 100, np.linspace(1, 0, 1000)
    y[[10, 30, 50, 70, 90]] = False
    # by the normal law, each of two starts with half of the level; 100 of 1,000 groups are flagged
    reach = stats.norm.isf((1 - sure) / 2) * 0.09**0.5 + stats.norm.ppf(0.8) * 0.0475**0.5
    assert np.ceil((reach / 0.05) ** 2) == flagged
    assert outlook(y, score, target=0.9, sure=sure, expected=0.1 / 0.7).needed == needed


def test_an_expectation_that_is_wrong_costs_power_only():
    # precision .75 everywhere: a proof of .8 is wrong, whatever number of harmful posts was expected
    for expected in (0.001, 0.1, 0.75, 1.0, None):
        found = [
            hold(*flat(seed, 0.75), kind="precision", target=0.8, sure=0.9, expected=expected).at for seed in range(60)
        ]
        assert clopper_pearson(sum(at is not None for at in found), 60, alpha=0.001)[0] <= 0.1


# ------------------------------------------------------------------------------------- against a plain count, by hand


# n posts, the harmful ones expected, target -> the posts above each threshold, those where tests start, the least
RANKED = [
    # 1 + floor(log .025 / log .8) = 17 and .7 * 30 = 21; .35 * 30 = 11 are too few to prove anything
    (100, 0.3, 0.8, [17, 20, 21, 24, 28, 34, 40, 48, 57, 68, 80, 96, 99], [17, 21], 17),
    (100, 0.5, 0.8, [18, 21, 25, 30, 35, 36, 42, 50, 60, 72, 85, 99], [18, 35], 17),  # .35 * 50 = 17.5
    # without an expectation three doublings of ten share .05: 1 + floor(log .0167 / log .8) = 19
    (80, None, 0.8, [19, 22, 26, 31, 38, 45, 53, 63, 76, 79], [19, 38, 76], 19),
    (79, None, 0.8, [17, 20, 24, 28, 34, 40, 48, 57, 68, 78], [17, 34], 17),
    (45, None, 0.9, [36, 42, 44], [36, 44], 36),  # 72 are more than there are
    (15, None, 0.8, [14], [14], 14),
    (14, None, 0.8, [], [], 14),
]


@pytest.mark.parametrize(("n", "expected", "target", "above", "starts", "least"), RANKED)
def test_where_a_precision_is_tested(n, expected, target, above, starts, least):
    score = np.random.default_rng(n).permutation(n) + 0.5
    grid, at_start, needed = guarantee._ranked(score, target, 0.05, expected)
    assert [(score >= at).sum() for at in grid] == above
    assert [above[place] for place in at_start] == starts
    assert needed == least
    assert at_start.dtype.kind == "i"
    assert (grid == np.nextafter(np.sort(score)[::-1][above], np.inf)).all()  # just above the score of that rank


def test_equal_scores_are_one_threshold():
    # of 100 posts in pairs; the ranks 20 and 21 are one pair, and what starts there starts at the same threshold
    grid, starts, _ = guarantee._ranked(np.arange(100) // 2, 0.8, 0.05, 0.3)
    assert (49 - np.floor(grid)).astype(int).tolist() == [8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 48, 49]
    assert starts.tolist() == [0, 1]


def test_a_precision_is_tested_from_each_start_until_one_fails():
    rng, found = np.random.default_rng(0), set()
    (n, expected, target, above, starts, _), about = RANKED[0], {"kind": "precision", "sure": 0.95}
    for _ in range(200):
        score, y = rng.permutation(n) / n, np.zeros(n, bool)
        order = np.argsort(-score)
        y[order[: rng.integers(10, 60)]] = True
        y[order[rng.integers(0, 40, rng.integers(4))]] = False
        proven = []
        for start in starts:  # each with half of .05
            for rank in above[above.index(start) :]:
                errors = rank - int(y[order[:rank]].sum())
                if stats.binom.cdf(errors, rank, 1 - target) > 0.025:
                    break
                proven.append(rank)
        at = hold(y, score, target=target, expected=expected, **about).at
        assert (at is None) == (not proven)
        if proven:
            assert (score >= at).sum() == max(proven)
            assert hold(y, score, target=target, expected=expected, floor=at, **about).at == at
            higher = hold(y, score, target=target, expected=expected, floor=np.nextafter(at, 1), **about).at
            rest = [rank for rank in set(proven) if rank < max(proven)]
            assert (higher is None) == (not rest)
            assert higher is None or (score >= higher).sum() == max(rest)
        found.add(max(proven, default=None))
    assert len(found) > 5


def over(floor: float) -> str:
    return f" from {floor:.3f} on" if floor > 0 else ""


def test_a_recall_is_tested_at_a_hundred_scores_of_harmless_posts_from_the_lowest_up():
    rng = np.random.default_rng(0)
    for _ in range(30):
        y = rng.random(2000) < 0.04
        score = rng.normal(1.5 * y)
        harmless, harmful = np.sort(score[~y])[::-1], score[y]
        ranks = sorted({int(rank) for rank in np.geomspace(1, len(harmless), 100)}, reverse=True)
        best = None
        for rank in ranks:
            at = np.nextafter(harmless[rank - 1], np.inf)
            if stats.binom.cdf((harmful < at).sum(), len(harmful), 0.3) > 0.05:
                break
            best = at
        assert hold(y, score, kind="recall", target=0.7).at == best is not None
        assert hold(y, score, kind="recall", target=0.7, floor=best).at == best
        told = hold(y, score, kind="recall", target=0.7, floor=np.nextafter(best, np.inf))
        assert told.at is None
        assert told.why.startswith(
            f"of 2,000 groups, one post each, {y.sum()} harmful; none of {len(ranks)} thresholds"
        )


def test_the_lowest_threshold_and_the_highest_are_tried():
    y, score = np.r_[False, np.ones(14, bool), False], np.r_[0.1, np.full(14, 0.5), 0.9]
    assert hold(y, score, kind="recall", target=0.8).at == np.nextafter(0.1, 1)  # the other one misses all
    y, score = np.r_[np.zeros(40, bool), np.ones(14, bool)], np.r_[np.linspace(0, 0.4, 40), np.full(14, 0.9)]
    assert hold(y, score, kind="recall", target=0.8).at == np.nextafter(0.4, 1)
    assert hold(np.ones(50, bool), np.linspace(0, 1, 50), kind="recall", target=0.8).at is None  # no harmless score


def test_why_nothing_is_proven_says_from_where_on():
    y, score = np.arange(100) < 50, np.linspace(1, 0, 100)
    for floor, over in ((0.9, " from 0.900 on"), (0.0, ""), (-1.0, "")):
        found = hold(~y, score, kind="precision", target=0.8, floor=floor)
        tried = f"of 100 groups, one post each, 50 harmful; none of 11 thresholds tried{over} is proven to reach it"
        assert found == (None, tried)
    few = hold(y[:19], score[:19], kind="precision", target=0.9)
    assert few.why == "of 19 groups, one post each, 19 harmful; 29 groups without one error are needed to be sure"


def test_labels_may_be_numbers_and_scores_single_floats():
    y, score = np.arange(400) % 2, (np.arange(400) % 2 * 2 + np.arange(400) / 400).astype(np.float32)
    for kind in ("precision", "recall"):
        plain = hold(y.astype(bool), score.astype(np.float64), kind=kind, target=0.8)
        assert plain.at is not None
        assert hold(y, score, kind=kind, target=0.8) == plain


def test_the_post_of_a_group_is_drawn_by_a_fixed_seed():
    assert one_of_each(np.array(list("aabbccddee") * 2)).tolist() == [2, 4, 6, 11, 19]


@pytest.mark.parametrize(("target", "proven"), [(0.75, 0.7), (0.85, 0.8), (0.9, 0.85), (0.95, 0.9), (0.99, 0.95)])
def test_each_lower_precision_is_tried(target, proven):
    assert outlook(np.ones(300, bool), np.linspace(1, 0, 300), target=target, sure=0.9).proven == proven


def test_what_is_seen_and_needed_by_hand():
    # 21 posts: tests at 11, 13, 15, 18 and 20 flagged ones, of which only the last are enough to speak of
    y, score = np.ones(21, bool), np.linspace(1, 0, 21)
    assert outlook(y[:20], score[:20], target=0.8, sure=0.9)[1:] == (None, None)
    y[[1, 4, 7, 9]] = False
    assert outlook(y, score, target=0.8, sure=0.9) == (None, 0.8, None)  # 16 of 20 is no more than that
    assert outlook(np.ones(300, bool), np.linspace(1, 0, 300), target=0.7, sure=0.9) == (None, 1.0, 301)


# ------------------------------------------------------------------------------------------------------- as objectives


def test_an_objective_that_is_sure_is_asked_for_in_the_policy():
    found = objectives({"default": {"remove": {"precision": 0.8, "sure": 0.9}}}, ("abuse",))["abuse"].remove
    assert str(found) == "precision of at least 0.8, sure to 90 %"
    assert found.model_dump() == {"precision": 0.8, "sure": 0.9}
    assert "sure" not in Objective(precision=0.8).model_dump()
    for wrong in ({"f1": "best", "sure": 0.9}, {"precision": 0.8, "mix": "site", "sure": 0.9}):
        with pytest.raises(WorkbenchError, match="`sure` goes with a precision or recall"):
            objectives({"default": {"remove": wrong}}, ("abuse",))
    with pytest.raises(ValueError, match="sure"):
        Objective(capacity=Capacity(reviews_a_day=1, posts_a_day=2), sure=0.9)


def made(seed: int, groups: int = 600, copies: int = 1):
    """A calibrated world: probabilities p, labels y; copies of a post share its score and label."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.0, 2.5, groups)
    y = rng.random(groups) < expit(z)
    group = np.repeat(np.arange(groups), copies)
    return y[group], expit(z)[group], group


def chosen(seed: int, objective: Objective, **more):
    y, p, group = made(seed, **more)
    wanted = {"a": LabelObjectives(review=objective, remove=None)}
    return choose(p[:, None], y[:, None], np.ones((len(y), 1), bool), wanted, group=group)["a"]


def test_a_rule_says_what_its_proof_rests_on():
    rule = chosen(0, Objective(precision=0.8, sure=0.9), copies=2)
    assert rule.review_at is not None
    assert rule.review_for.posts == 1200
    assert "tested on one post of each group: of 600 groups" in rule.review_for.promise
    none = chosen(0, Objective(precision=0.999, sure=0.9))
    assert none.review_at is None
    assert "no threshold qualifies (of 600 groups" in none.review_for.promise


def misses(objective: Objective, of: int, **more) -> tuple[int, int]:
    """How often a chosen threshold misses its target on all posts there could be, and how often there is one."""
    z = np.linspace(-1 - 20, -1 + 20, 40_001)
    density, p = stats.norm.pdf(z, -1, 2.5), expit(z)
    missed = some = 0
    for seed in range(of):
        at = chosen(seed, objective, **more).review_at
        if at is None:
            continue
        flagged = density * (p >= at)
        worth = {"precision": (flagged * p).sum() / flagged.sum(), "recall": (flagged * p).sum() / (density * p).sum()}
        some, missed = some + 1, missed + (worth[objective.kind] < getattr(objective, objective.kind))
    return missed, some


@pytest.mark.parametrize("asked", [{"precision": 0.8}, {"recall": 0.8}])
def test_sure_thresholds_hold_as_often_as_they_say_and_plain_ones_do_not(asked):
    missed, some = misses(Objective(**asked, sure=0.9), 150)
    assert some > 100  # a guarantee that is never given would be kept, too
    assert clopper_pearson(missed, 150, alpha=0.001)[0] <= 0.1
    plain, _ = misses(Objective(**asked), 150)
    assert clopper_pearson(plain, 150, alpha=0.001)[0] > 0.1


def test_copies_would_break_the_guarantee_if_they_were_counted(monkeypatch):
    kept, _ = misses(Objective(recall=0.8, sure=0.9), 150, copies=12)
    assert clopper_pearson(kept, 150, alpha=0.001)[0] <= 0.1
    monkeypatch.setattr(guarantee, "one_of_each", lambda group: np.arange(len(group)))
    broken, _ = misses(Objective(recall=0.8, sure=0.9), 150, copies=12)
    assert clopper_pearson(broken, 150, alpha=0.001)[0] > 0.1
