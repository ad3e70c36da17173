"""Orders of labelling: what each picks from a handful of posts, and that what they buy is compared fairly."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.errors import WorkbenchError
from workbench.questions import active_learning
from workbench.questions.active_learning import ORDERS, LabellingOptions, Pool, PoolPosts, compare, simulate, verdicts
from workbench.questions.clusters import ClusterOptions, Clusters, cluster

X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [30.0]])
OF = np.array([0, 0, 0, 1, 1, 2])
CLUSTERS = Clusters(OF, np.array([1.0, 0, 1, 0.5, 0.5, 0]), np.array([[1.0], [10.5], [30.0]]))


def pool(labelled=(), prob=None, x=X) -> Pool:
    of = CLUSTERS if len(x) == len(X) else cluster(x, ClusterOptions(clusters=3), seed=0)
    prob = None if prob is None else np.asarray(prob)
    return Pool(np.asarray(x), of, np.array(labelled, dtype=np.int64), prob, np.random.default_rng(0))


def test_clusters_are_visited_in_turn_from_their_middles():
    assert active_learning.by_clusters(pool(), 4).tolist() == [1, 3, 5, 0]
    assert active_learning.by_clusters(pool([1, 3]), 2).tolist() == [5, 0]


def test_the_farthest_post_comes_next():
    # The mean is 9, nearest to it the post at 10; then 30, which is 20 away, then 0, 10 away.
    assert active_learning.farthest(pool(), 3).tolist() == [3, 5, 0]
    assert active_learning.farthest(pool([0, 3]), 1).tolist() == [5]
    assert sorted(active_learning.farthest(pool([0, 3]), 99).tolist()) == [1, 2, 4, 5]  # all that are left, each once


def test_a_learner_is_asked_for_doubt_and_for_likelihood():
    prob = [0.1, 0.45, 0.9, 0.6, 0.2, 0.99]
    assert active_learning.most_uncertain(pool([1], prob), 2).tolist() == [3, 4]  # .1 and .3 from 1/2
    assert active_learning.most_likely(pool([5], prob), 2).tolist() == [2, 3]


def test_badge_spreads_over_what_would_teach():
    # Lengths min(p, 1 - p) * x: 0, .5, 0, 0, 0, 30 * .1 = 3. The longest first; the only other with a length next.
    prob = [0.5, 0.5, 0.0, 1.0, 0.0, 0.9]
    assert active_learning.badge(pool([], prob), 1).tolist() == [5]
    assert len(set(active_learning.badge(pool([], prob), 6).tolist())) == 6  # all, though most would teach nothing


def test_mixed_takes_every_second_post_from_the_likeliest():
    rows, why = active_learning.in_turn(pool([], [0.1, 0.45, 0.9, 0.6, 0.2, 0.99]), 6)
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5]
    assert (rows[0], why[0]) == (5, 0)
    assert {0, 1, 2} >= set(why.tolist())


@pytest.mark.parametrize("name", sorted(ORDERS))
@pytest.mark.parametrize("prob", [None, [0.1, 0.45, 0.9, 0.6, 0.2, 0.99]])
def test_an_order_never_repeats_a_post_and_takes_no_more_than_there_are(name, prob):
    picked = ORDERS[name](pool([2], prob), 99)
    assert sorted(picked.tolist()) == [0, 1, 3, 4, 5]


def world(n: int, seed: int, share: float = 0.1) -> PoolPosts:
    """Harm is a cloud of its own beside four clouds of harmless posts; every post is a group."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < share
    corner = np.where(y, 4, rng.integers(0, 4, n))
    return PoolPosts(3 * np.eye(5)[corner] + rng.normal(0, 0.7, (n, 5)), y, np.array([f"{seed}-{i}" for i in range(n)]))


@pytest.fixture(scope="module")
def bought():
    options = LabellingOptions(step=20, budget=80, seeds=(0, 1), cluster=ClusterOptions(clusters=8))
    return simulate(world(400, 1), world(300, 2), options)


def test_every_order_pays_for_what_it_sees(bought):
    assert bought.labels.tolist() == [20, 40, 60, 80]
    assert set(bought.scores) == set(ORDERS)
    for name, found in bought.found.items():
        assert bought.scores[name].shape == (2, 4, 300)
        assert (np.diff(found, axis=1) >= 0).all()
        assert (found <= bought.labels).all()
    # Orders that need a learner start with the same posts as the random one of their seed.
    for name in ("uncertain", "likely", "badge", "mixed"):
        np.testing.assert_array_equal(bought.scores[name][:, 0], bought.scores["random"][:, 0])


def test_likely_finds_most_harm_and_the_comparison_says_so(bought):
    table = compare(bought, resamples=50)
    last = table[table["labels"] == 80].set_index("order")
    assert last["found per 100"].idxmax() == "likely"
    # A tenth is harmful: 80 labels at random find about 8, 10 per 100.
    assert 3 < last.loc["random", "found per 100"] < 20
    assert last.loc["random", ["gain", "gain lo", "gain hi"]].tolist() == [0, 0, 0]
    assert ((last["AP lo"] <= last["AP"]) & (last["AP"] <= last["AP hi"])).all()
    np.testing.assert_allclose(last["gain"], last["AP"] - last.loc["random", "AP"])
    assert table.attrs["all labels"] > 0.9
    assert set(verdicts(table, 80)) == set(ORDERS) - {"random"}


def test_the_same_seeds_give_the_same_run(bought):
    options = LabellingOptions(orders=("badge",), step=20, budget=80, seeds=(0, 1), cluster=ClusterOptions(clusters=8))
    again = simulate(world(400, 1), world(300, 2), options)
    np.testing.assert_array_equal(again.scores["badge"], bought.scores["badge"])
    assert set(again.scores) == {"random", "badge"}


def test_a_cluster_that_agrees_is_labelled_as_a_whole_and_one_that_does_not_is_left():
    y = np.array([True, True, True, False, True, False])
    options = LabellingOptions(peek=2, step=6, budget=6)
    run = active_learning._Run("whole-clusters", pool(), y, options)
    looked = run._whole(6)
    assert len(looked) == 5  # two of each of the first clusters, and all of the last, which has one
    assert run.believed[:3].tolist() == [1, 1, 1]  # any two of them agree
    assert np.isnan(run.believed[3:5]).all()  # one harmful, one not
    assert run.believed[5] == 0
    assert run.wrong == 0.0
    fewer = active_learning._Run("whole-clusters", pool(), y, options)
    assert len(fewer._whole(3)) == 2  # the second cluster would cost more than is left


def test_verdicts_follow_the_interval():
    import pandas as pd

    rows = [("random", 0, 0), ("a", 0.1, 0.2), ("b", -0.2, -0.1), ("c", -0.1, 0.1)]
    table = pd.DataFrame([{"order": o, "labels": 9, "gain lo": lo, "gain hi": hi} for o, lo, hi in rows])
    assert list(verdicts(table, 9).values()) == ["better than random", "worse than random", "no difference shown"]


def test_what_cannot_be_simulated_is_said():
    with pytest.raises(WorkbenchError, match="unknown order 'likly'; did you mean 'likely'"):
        LabellingOptions.parse({"orders": ["likly"]}, "options")
    with pytest.raises(WorkbenchError, match="pool of 40 posts is smaller than the budget of 800"):
        simulate(world(50, 1), world(50, 2), LabellingOptions())
    harmless = PoolPosts(np.zeros((9, 1)), np.zeros(9, bool), np.arange(9))
    with pytest.raises(WorkbenchError, match="harmful posts on both sides"):
        simulate(world(50, 1), harmless, LabellingOptions())
