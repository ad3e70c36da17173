"""Clusters without labels: every post in one, the largest first, told apart by the words that only it has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.questions.clusters import ClusterOptions, cluster, how_many, telling_words

KMEANS, HDBSCAN = ClusterOptions(), ClusterOptions(method="hdbscan", smallest=5)


def clouds(*sizes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around well-separated corners: x (n, 3) and which cloud each is from."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    return 10 * np.eye(3)[of] + rng.normal(0, 0.1, (len(of), 3)), of


@pytest.mark.parametrize("options", [ClusterOptions(clusters=3), HDBSCAN], ids=["kmeans", "hdbscan"])
def test_clouds_are_found_the_largest_first(options):
    x, cloud = clouds(20, 50, 30)
    found = cluster(x, options, seed=0)
    assert found.sizes.tolist() == [50, 30, 20]
    assert [set(cloud[found.of == c]) for c in range(3)] == [{1}, {2}, {0}]
    np.testing.assert_allclose(found.centres, [x[cloud == c].mean(axis=0) for c in (1, 2, 0)])
    np.testing.assert_allclose(found.distance, np.linalg.norm(x - found.centres[found.of], axis=1), atol=1e-6)


def test_noise_joins_the_nearest_centre():
    x, cloud = clouds(30, 30)
    x, cloud = np.vstack([x, [[6.0, 3.0, 0.0]]]), np.append(cloud, 0)  # far from both, nearer to the first
    found = cluster(x, HDBSCAN, seed=0)
    assert (found.of == found.of[0]).tolist() == (cloud == 0).tolist()


def test_the_nearest_posts_of_a_cluster_are_those_in_its_middle():
    x = np.array([[0.0], [1.0], [2.0], [50.0], [51.0]])  # means 1 and 50.5
    found = cluster(x, ClusterOptions(clusters=2), seed=0)
    assert [near.tolist() for near in found.nearest(2)] == [[1, 0], [3, 4]]
    assert found.rank.tolist() == [1, 0, 2, 0, 1]  # of equals the earlier post


@pytest.mark.parametrize(("n", "k"), [(0, 1), (1, 1), (2, 2), (50, 5), (3200, 40), (10**6, 200)])
def test_the_rule_says_how_many(n, k):
    assert how_many(n) == k  # sqrt(50 / 2) = 5; a million gives 707, more than people read through


@pytest.mark.parametrize("options", [KMEANS, HDBSCAN], ids=["kmeans", "hdbscan"])
@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.ones((1, 2)), np.ones((30, 2)), np.eye(3)[:2]])
def test_few_or_equal_posts_are_clustered_too(options, x):
    found = cluster(x, options, seed=0)
    assert len(found.of) == len(x) == found.sizes.sum()
    assert len(found.centres) <= len(np.unique(x, axis=0))
    assert np.isfinite(found.distance).all()


@settings(max_examples=25)
@given(arrays.arrays(np.float64, (40, 2), elements=st.floats(-100, 100, width=16)), st.integers(0, 3))
def test_every_post_is_in_one_cluster_and_none_is_empty(x, seed):
    found = cluster(x, ClusterOptions(clusters=6), seed=seed)
    assert (np.diff(found.sizes) <= 0).all()
    assert found.sizes.min() > 0
    again = cluster(x, ClusterOptions(clusters=6), seed=seed)
    assert (again.of == found.of).all()


def test_words_that_all_clusters_have_tell_nothing():
    texts = ["the cat sat", "the cat ran", None, "the dog sat", "the dog dog 42"]
    words = telling_words(texts, np.array([0, 0, 0, 1, 1]), n=2)
    # A = (6 + 6) / 2 words a cluster. Cluster 1: dog 3/6 * log(1 + 6/3) = .55, the 2/6 * log(1 + 6/4) = .31,
    # sat 1/6 * log(1 + 6/2) = .23; cluster 0: cat 2/6 * log(1 + 6/2) = .46, ran 1/6 * log 7 = .32, the .31
    assert words == [["cat", "ran"], ["dog", "the"]]
    assert telling_words(["12", None], np.array([0, 1])) == [[], []]
    assert telling_words([], np.zeros(0, int)) == []
