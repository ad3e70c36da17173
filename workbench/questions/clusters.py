"""Posts that are alike, without any label: clusters of embeddings, the posts in their middle, the words they have.

Every post belongs to a cluster, so that looking at all clusters is looking at all posts: what HDBSCAN calls noise joins
the nearest centre. The number of clusters follows from a rule that is stated, not from labels, which there are none of.

Sources: mini-batch k-means, Sculley 2010; HDBSCAN, Campello, Moulavi and Sander 2013, both by scikit-learn; sqrt(n / 2)
clusters, Mardia, Kent and Bibby 1979; c-TF-IDF, Grootendorst 2022 (BERTopic), https://arxiv.org/abs/2203.05794.
Open doubt: k-means makes round clusters of similar size, so harm that is rarer than one post in sqrt(n / 2) shares its
cluster with harmless posts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import sparse
from sklearn.cluster import HDBSCAN, MiniBatchKMeans
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import pairwise_distances_argmin_min

from workbench.schema import Options

FEWEST, MOST = 2, 200  # clusters by the rule: more than people read through are no help
WORD = r"(?u)\b[^\W\d_]{2,}\b"  # at least two letters, no digits


class ClusterOptions(Options):
    """How posts are put together."""

    method: Literal["kmeans", "hdbscan"] = Field("kmeans", description="k-means in small batches, or by density.")
    clusters: int | None = Field(
        None, ge=1, description="How many k-means makes; null: sqrt(n / 2), at least 2 and at most 200."
    )
    smallest: int = Field(10, ge=2, description="The fewest posts that HDBSCAN calls a cluster.")


class Clusters(NamedTuple):
    """Which cluster each post is in, and how far from its centre.

    of (n,): 0 to k - 1, the largest cluster first; distance (n,): Euclidean; centres (k, d).
    """

    of: np.ndarray
    distance: np.ndarray
    centres: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Posts in each cluster (k,)."""
        return np.bincount(self.of, minlength=len(self.centres))

    @property
    def rank(self) -> np.ndarray:
        """The place (n,) of each post in its cluster, 0 for the one nearest to the centre."""
        rank = np.empty(len(self.of), dtype=np.int64)
        for members in self.nearest(len(self.of)):
            rank[members] = np.arange(len(members))
        return rank

    def nearest(self, n: int) -> list[np.ndarray]:
        """Return, for each cluster, its n posts nearest to the centre, the nearest first."""
        order = np.lexsort((np.arange(len(self.of)), self.distance))
        return [order[self.of[order] == cluster][:n] for cluster in range(len(self.centres))]


def how_many(n: int) -> int:
    """Return the number of clusters for n posts, by the rule sqrt(n / 2) within FEWEST and MOST.

    >>> how_many(3200)
    40
    """
    return min(max(round(math.sqrt(n / 2)), FEWEST), MOST, max(n, 1))


def cluster(x: np.ndarray, options: ClusterOptions, *, seed: int) -> Clusters:
    """Return the clusters of embeddings x (n, d), none of them NaN, numbered by falling size."""
    if not len(x):
        return Clusters(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, x.shape[1])))
    x = np.asarray(x, dtype=np.float64)
    if options.method == "kmeans":
        k = min(options.clusters or how_many(len(x)), len(np.unique(x, axis=0)))
        assigned = MiniBatchKMeans(k, random_state=seed, n_init=3, batch_size=1024).fit(x).labels_
    else:
        few = min(options.smallest, len(x))
        assigned = HDBSCAN(min_cluster_size=max(few, 2), copy=True).fit(x).labels_ if few > 1 else np.zeros(1, int)
        if (assigned < 0).all():  # no density stands out: one cluster
            assigned = np.zeros(len(x), int)
    names = np.unique(assigned[assigned >= 0])
    centres = np.stack([x[assigned == name].mean(axis=0) for name in names])
    of, distance = pairwise_distances_argmin_min(x, centres)
    order = np.argsort(-np.bincount(of, minlength=len(centres)), kind="stable")
    order = order[: len(np.unique(of))]  # moving posts to the nearest mean can empty a cluster
    place = np.zeros(len(centres), np.int64)
    place[order] = np.arange(len(order))
    return Clusters(place[of], distance, centres[order])


def telling_words(texts: Sequence[str | None], of: np.ndarray, *, n: int = 8) -> list[list[str]]:
    """Return, for each cluster, the n words that tell it from the others, the most telling first.

    A word's weight in a cluster is its share of the cluster's words times log(1 + A / f): f is how often it occurs in
    all clusters, A the mean number of words of a cluster (Grootendorst 2022, equation 2).

    >>> telling_words(["red fox", "red fox", "red hen"], np.array([0, 0, 1]), n=1)
    [['fox'], ['hen']]
    """
    k = int(of.max()) + 1 if len(of) else 0
    counter = CountVectorizer(token_pattern=WORD)
    try:
        counts = counter.fit_transform([text or "" for text in texts])
    except ValueError:  # no text has a word
        return [[] for _ in range(k)]
    member = sparse.csr_array((np.ones(len(of)), (of, np.arange(len(of)))), shape=(k, len(of)))
    per = np.asarray((member @ counts).todense(), dtype=np.float64)  # (k, n_words)
    total = per.sum(axis=1, keepdims=True)
    weight = per / np.maximum(total, 1) * np.log1p(total.mean() / np.maximum(per.sum(axis=0), 1))
    words = counter.get_feature_names_out()
    order = np.argsort(-weight, axis=1, kind="stable")[:, :n]
    return [[str(words[w]) for w in row if weight[c, w] > 0] for c, row in enumerate(order)]
