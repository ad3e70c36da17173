"""Thresholds of ours for those of another system, against what is counted by hand and what policies choose."""

from __future__ import annotations

import numpy as np
import pytest
from made_runs import World, sigmoid

from workbench.comparison.options import CompareOptions
from workbench.comparison.parts import migration
from workbench.comparison.parts.migration import CommonPosts, Cut, replaced
from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import MIN_FLAGGED, LabelObjectives, choose
from workbench.errors import WorkbenchError
from workbench.metrics import intervals
from workbench.metrics.prevalence import share

SETTINGS = CompareOptions(resamples=200)


def common(y, theirs, prob, weight=None, group=None) -> CommonPosts:
    n = len(y)
    codes, groups = intervals.group_codes(np.arange(n) if group is None else group)
    weight = np.ones(n) if weight is None else np.asarray(weight, float)
    ids = np.array([f"p{i}" for i in range(n)])
    y, theirs = np.asarray(y, bool), np.asarray(theirs, bool)
    return CommonPosts(y, theirs, theirs.astype(float), np.asarray(prob, float), weight, codes, groups, ids)


def at_once(posts: CommonPosts) -> list[float]:
    return posts.matching(np.ones((posts.groups, 1)))[:, 0].tolist()


def test_thresholds_are_those_counted_by_hand(monkeypatch):
    monkeypatch.setattr(migration, "MIN_FLAGGED", 1)
    # theirs flags 4 of 8 and is right in 3: a precision of 3/4, a recall of 3/4
    y = [1, 1, 0, 1, 0, 0, 1, 0]
    theirs = [1, 0, 0, 1, 1, 0, 1, 0]
    prob = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    # .6 flags 4; of those 3 are harmful; .6 is also the highest that catches 3 of 4
    assert at_once(common(y, theirs, prob)) == [0.6, 0.6, 0.6]
    # at a tie of .6 and .5 either four posts or five would be flagged; four are not to be had, and three are fewer
    tied = [0.9, 0.8, 0.7, 0.55, 0.55, 0.4, 0.3, 0.2]
    assert at_once(common(y, theirs, tied)) == [0.7, 0.8, 0.55]


def test_a_post_that_stands_for_three_counts_three_times(monkeypatch):
    monkeypatch.setattr(migration, "MIN_FLAGGED", 1)
    rng = np.random.default_rng(0)
    y, theirs, prob = rng.random(40) < 0.4, rng.random(40) < 0.3, rng.random(40)
    weight = rng.integers(1, 4, 40)
    again = np.repeat(np.arange(40), weight)
    assert at_once(common(y, theirs, prob, weight)) == at_once(common(y[again], theirs[again], prob[again]))


@pytest.mark.parametrize("seed", range(4))
def test_they_are_what_a_policy_with_the_same_objective_chooses(seed):
    rng = np.random.default_rng(seed)
    y = rng.random(300) < 0.3
    prob = np.round(sigmoid(rng.normal(size=300) + 2 * y), 2)  # with ties
    theirs = rng.normal(size=300) + 1.5 * y > 1
    caught, flagged = (theirs & y).sum(), theirs.sum()
    wanted = [
        Objective(capacity={"reviews_a_day": float(flagged), "posts_a_day": 300.0}),
        Objective(precision=caught / flagged),
        Objective(recall=caught / y.sum()),
    ]
    chosen = [
        choose(prob[:, None], y[:, None], np.ones((300, 1), bool), {"abuse": LabelObjectives(review=one, remove=None)})
        for one in wanted
    ]
    assert at_once(common(y, theirs, prob)) == [rules["abuse"].review_at for rules in chosen]


def test_draws_are_the_thresholds_of_repeated_groups():
    rng = np.random.default_rng(5)
    group = np.arange(200) // 2
    y, theirs, prob = rng.random(200) < 0.4, rng.random(200) < 0.3, rng.random(200)
    W = rng.integers(0, 3, (100, 4)).astype(float)
    drawn = common(y, theirs, prob, group=group).matching(W)
    for one in range(4):
        rows = np.repeat(np.arange(200), W[group, one].astype(int))
        np.testing.assert_array_equal(drawn[:, one], at_once(common(y[rows], theirs[rows], prob[rows])))


def runs(tmp_path, *, world=None, theirs=None, thresholds=0.5):
    world = world or World(600, seed=3)
    ours = world.write(tmp_path, "ours", world.good(), thresholds=thresholds)
    logit = world.good(scale=1.5) if theirs is None else theirs(world)
    return world, world.write(tmp_path, "vendor", logit), ours


def cut(threshold=0.3, label="abuse") -> Cut:
    return Cut(label, threshold, float(np.float32(np.log(threshold / (1 - threshold)))))


def test_found_on_validation_and_measured_on_test(tmp_path):
    _, vendor, ours = runs(tmp_path)
    found = replaced(vendor, ours, "test", cut(), SETTINGS)
    validation = CommonPosts.of(vendor.sets["validation"], ours.sets["validation"], 0, cut())
    assert (found.chosen_on, found.chosen_posts, found.covered) == ("validation", 150, 1)
    assert [match.match for match in found.matches] == ["share", "precision", "recall", "own"]
    assert [match.threshold.value for match in found.matches[:3]] == at_once(validation)
    prob, y = ours.sets["test"].prob[0, :, 0], ours.sets["test"].y[:, 0]
    flags = prob >= found.matches[0].threshold.value
    does = found.matches[0].does
    assert does["flagged"].value == pytest.approx(flags.mean())
    assert does["precision"].value == pytest.approx(y[flags].mean())
    assert does["recall"].value == pytest.approx(flags[y].mean())
    assert does["false_positive_rate"].value == pytest.approx(flags[~y].mean())
    theirs = vendor.sets["test"].prob[0, :, 0] >= 0.3
    assert found.does["flagged"].value == pytest.approx(theirs.mean())
    minus = found.matches[0].minus["recall"]
    assert minus.value == pytest.approx(flags[y].mean() - theirs[y].mean())
    assert minus.lo < minus.value < minus.hi
    # every post is a group of its own, so the interval is Wilson's up to the chance of resamples
    near = share(flags[y], np.ones(y.sum()))
    assert (does["recall"].lo, does["recall"].hi) == pytest.approx((near.lo, near.hi), abs=0.03)


def test_disagreements_are_all_posts_the_surest_first(tmp_path):
    _, vendor, ours = runs(tmp_path)
    match = replaced(vendor, ours, "test", cut(), SETTINGS).matches[0]
    prob = ours.sets["test"].prob[0, :, 0]
    theirs, flags = vendor.sets["test"].prob[0, :, 0] >= 0.3, prob >= match.threshold.value
    ids = dict(zip(ours.sets["test"].post_id, prob, strict=True))
    yes = [post for post in match.disagreed if post.theirs]
    no = [post for post in match.disagreed if not post.theirs]
    assert match.disagreed == (*yes, *no)
    assert (len(yes), len(no)) == ((theirs & ~flags).sum(), (~theirs & flags).sum())
    assert [post.prob for post in yes] == sorted(post.prob for post in yes)
    assert [post.prob for post in no] == sorted((post.prob for post in no), reverse=True)
    assert all(ids[post.post_id] == post.prob for post in match.disagreed)


def test_without_their_validation_scores_it_is_chosen_where_it_is_measured(tmp_path):
    def only_test(world):
        return np.where((world.split == "test")[:, None], world.good(scale=1.5), np.nan)

    _, vendor, ours = runs(tmp_path, theirs=only_test)
    found = replaced(vendor, ours, "test", cut(), SETTINGS)
    assert (found.chosen_on, found.covered) == ("test", 0)
    assert found.matches[0].minus["flagged"].value == pytest.approx(0, abs=0.005)
    assert found.matches[2].minus["recall"].value >= 0
    assert found.matches[1].minus["precision"].value >= 0


def test_only_posts_that_both_scored_count(tmp_path):
    def every_second(world):
        return np.where((np.arange(world.n) % 2 == 0)[:, None], world.good(scale=1.5), np.nan)

    world, vendor, ours = runs(tmp_path, theirs=every_second)
    found = replaced(vendor, ours, "test", cut(), SETTINGS)
    assert found.posts == ((np.arange(600) % 2 == 0) & (world.split == "test")).sum()


def test_yes_and_no_is_one_operating_point(tmp_path):
    _, vendor, ours = runs(tmp_path, theirs=lambda world: np.where(world.good(scale=1.5) > 0, 27.6, -27.6))
    found = replaced(vendor, ours, "test", Cut("abuse", None, 0.0), SETTINGS)
    assert found.does["flagged"].value == pytest.approx((vendor.sets["test"].logit[0, :, 0] > 0).mean())
    assert str(found.cut) == "abuse"


def test_a_precision_out_of_reach_says_the_best_there_is(tmp_path):
    def oracle(world):
        return np.where(world.y, 3.0, -3.0)[None]

    _, vendor, ours = runs(tmp_path, theirs=oracle)
    match = replaced(vendor, ours, "test", cut(0.5), SETTINGS).matches[1]
    posts = CommonPosts.of(vendor.sets["validation"], ours.sets["validation"], 0, cut(0.5))
    order = np.argsort(-posts.prob)
    best = (np.cumsum(posts.y[order]) / np.arange(1, len(order) + 1))[MIN_FLAGGED - 1 :].max()
    assert match.threshold is None
    assert match.why == f"no threshold of ours reaches its precision of 1.000; the best is {best:.3f}"


def test_equal_scores_everywhere_flag_as_few_as_nobody(tmp_path):
    world = World(200, seed=1)
    constant = world.write(tmp_path, "ours", np.zeros((1, 200, 2)))
    vendor = world.write(tmp_path, "vendor", world.good(scale=1.5))
    share_, precision, recall, _ = replaced(vendor, constant, "test", cut(), SETTINGS).matches
    assert share_.why == "the posts that tie at our highest score are more than it flags"
    assert precision.threshold is None
    assert recall.does["flagged"].value == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [(0.999999, "flags none of the 450 posts of 'test' that both scored"), (1e-6, "flags every one of the 450 posts")],
)
def test_a_threshold_that_flags_nothing_or_everything_is_refused(tmp_path, given, says):
    _, vendor, ours = runs(tmp_path)
    with pytest.raises(WorkbenchError, match=says):
        replaced(vendor, ours, "test", cut(given), SETTINGS)


def test_a_label_without_scores_and_no_common_posts_are_refused(tmp_path):
    def one_label(world):
        logit = world.good()
        logit[:, :, 1] = np.nan
        return logit

    world, vendor, ours = runs(tmp_path, theirs=one_label)
    with pytest.raises(WorkbenchError, match=r"vendor has no scores of 'violence' on 'test'.*choices are: abuse"):
        replaced(vendor, ours, "test", cut(label="violence"), SETTINGS)
    blind = world.write(tmp_path, "blind", np.full((1, 600, 2), np.nan))
    with pytest.raises(WorkbenchError, match="vendor and blind have no post of 'test' in common"):
        replaced(vendor, blind, "test", cut(), SETTINGS)


@pytest.mark.slow
def test_intervals_of_thresholds_and_of_shares_cover_the_truth():
    """The truth is that of a very large sample of the same world."""

    def sample(n, rng):
        y = rng.random(n) < 0.3
        return y, rng.normal(size=n) + 1.5 * y > 1, sigmoid(rng.normal(size=n) + 2 * y - 1)

    rng = np.random.default_rng(0)
    truth = at_once(common(*sample(200_000, rng)))
    covered = np.zeros(3)
    worlds = 120
    for _ in range(worlds):
        posts = common(*sample(400, rng))
        draws = migration._drawn(posts, SETTINGS)
        low, high = np.quantile(draws[:, 1:], [0.025, 0.975], axis=1)
        covered += (low <= truth) & (truth <= high)
    assert (covered / worlds >= 0.88).all(), covered / worlds
