"""Which posts to label first: orders of labelling, compared by what each buys per hundred labels.

The simulation hides all labels and pays for each one that it looks at. Every hundred labels a logistic regression on
fixed embeddings learns what is known by then and ranks a held-out set. Each seed draws its own pool from the unlabelled
posts, its own clusters and its own chance; all orders of a seed get the same pool and the same first hundred wherever
they need a model to start from, so that differences are paired. `questions.annotation_queue` makes the list for people.

Sources: uncertainty, Lewis and Gale 1994, and Settles 2009 (Active learning literature survey); core-set, Sener and
Savarese 2018 (arXiv 1708.00489); BADGE, Ash et al. 2020 (arXiv 1906.03671); typical posts first, Hacohen et al. 2022
(arXiv 2202.02794); certainty sampling for rare classes, Attenberg and Provost 2010.
Open doubts: few seeds make the interval over seeds too narrow; people label whole clusters with an eye for the odd one
out, the simulation looks at a few posts and believes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from sklearn.linear_model import LogisticRegression

from workbench.errors import WorkbenchError, unknown
from workbench.metrics.intervals import bootstrap_weights, difference_interval, group_codes, value_interval
from workbench.metrics.ranking import Ranking
from workbench.questions.clusters import ClusterOptions, Clusters, cluster
from workbench.schema import Options

RANDOM, WHOLE = "random", "whole-clusters"


class LabellingOptions(Options):
    """How orders of labelling are compared."""

    orders: tuple[str, ...] = Field(
        (RANDOM, "clusters", "coreset", "uncertain", "likely", "badge", "mixed", WHOLE),
        min_length=1,
        description="Which orders; `random` is what the others are compared with and always runs.",
    )
    step: int = Field(100, ge=1, description="Labels bought between two trainings.")
    budget: int = Field(800, ge=1, description="Labels bought in all.")
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1, description="One pool, clustering and run each.")
    pool: float = Field(0.8, gt=0, le=1, description="Share of the unlabelled posts in a seed's pool.")
    peek: int = Field(
        3, ge=1, description="PoolPosts of a cluster that are looked at before all of it is labelled alike."
    )
    C: float = Field(
        1.0, gt=0, description="Inverse strength of the learner's L2 penalty; about 0.03 suits an encoder's vectors."
    )
    cluster: ClusterOptions = Field(ClusterOptions(), description="How posts are put together.")

    @field_validator("orders")
    @classmethod
    def _orders_exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in ORDERS:
                raise ValueError(unknown("order", name, ORDERS))
        return tuple(dict.fromkeys((RANDOM, *value)))


@dataclass
class Pool:
    """Posts that could be labelled next, and what is known of them.

    x (n, d): embeddings; clusters: of the same n posts; labelled (m,): rows in the order they were labelled;
    prob (n,): the learner's probabilities, None while there is no learner.
    """

    x: np.ndarray
    clusters: Clusters
    labelled: np.ndarray
    prob: np.ndarray | None
    rng: np.random.Generator

    @property
    def left(self) -> np.ndarray:
        """The rows without a label, in their own order."""
        return np.setdiff1d(np.arange(len(self.x)), self.labelled)


# --------------------------------------------------------------------------------------------------------- the orders


def at_random(pool: Pool, n: int) -> np.ndarray:
    """Return n rows drawn without replacement."""
    return pool.rng.permutation(pool.left)[:n]


def by_clusters(pool: Pool, n: int) -> np.ndarray:
    """Return the post nearest to the centre of each cluster, the largest cluster first, then the next nearest ..."""
    left, of, rank = pool.left, pool.clusters.of, pool.clusters.rank
    return left[np.lexsort((of[left], rank[left]))][:n]


def farthest(pool: Pool, n: int) -> np.ndarray:
    """Return posts each of which is the one farthest from all that are labelled or chosen (greedy k-centre)."""
    left = pool.left
    if not len(pool.labelled):
        first = left[np.linalg.norm(pool.x[left] - pool.x.mean(axis=0), axis=1).argmin()]
        gap = _squares(pool.x, pool.x[first])
        chosen = [first]
    else:
        gap, chosen = np.min([_squares(pool.x, pool.x[row]) for row in pool.labelled], axis=0), []
    gap[pool.labelled] = gap[chosen] = -1
    while len(chosen) < min(n, len(left)):
        row = int(gap.argmax())
        chosen.append(row)
        gap = np.minimum(gap, _squares(pool.x, pool.x[row]))
        gap[chosen] = -1
    return np.array(chosen, dtype=np.int64)


def most_uncertain(pool: Pool, n: int) -> np.ndarray:
    """Return the posts whose probability is nearest to 1/2."""
    return _by(pool, lambda prob: -np.abs(prob - 0.5), n)


def most_likely(pool: Pool, n: int) -> np.ndarray:
    """Return the posts that are most probably harmful."""
    return _by(pool, lambda prob: prob, n)


def badge(pool: Pool, n: int) -> np.ndarray:
    """Return posts far apart in what they would teach: k-means++ over the gradients that their likelier label has."""
    if pool.prob is None:
        return at_random(pool, n)
    left = pool.left
    # The gradient of the log loss for the likelier label is (p - [p >= 1/2]) x.
    return left[spread(pool.x[left] * np.minimum(pool.prob, 1 - pool.prob)[left, None], n, pool.rng)]


def mixed(pool: Pool, n: int) -> np.ndarray:
    """Return half of n posts as the likeliest, a quarter as BADGE's, and a quarter drawn at random, in turn."""
    return at_random(pool, n) if pool.prob is None else in_turn(pool, n)[0]


def in_turn(pool: Pool, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `mixed`'s n posts and why each is there (n,): 0 the likeliest, 1 BADGE's, 2 at random; needs a learner."""
    queues = [most_likely(pool, n), badge(pool, n), at_random(pool, n)]
    # Every second place goes to the likeliest, every fourth to each of the others; a post counts where it is first.
    turns = np.concatenate(
        [np.arange(len(q)) * gap + start for q, gap, start in zip(queues, (2, 4, 4), (0, 1, 3), strict=True)]
    )
    rows, why = np.concatenate(queues), np.repeat(np.arange(3), [len(q) for q in queues])
    order = np.argsort(turns, kind="stable")
    _, first = np.unique(rows[order], return_index=True)
    kept = order[np.sort(first)][:n]
    return rows[kept], why[kept]


Order = Callable[[Pool, int], np.ndarray]
ORDERS: dict[str, Order] = {
    RANDOM: at_random,
    "clusters": by_clusters,
    "coreset": farthest,
    "uncertain": most_uncertain,
    "likely": most_likely,
    "badge": badge,
    "mixed": mixed,
    WHOLE: mixed,  # once every cluster has been looked at
}


def spread(x: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n rows of x (m, d) by k-means++: the longest first, then each with odds of its squared distance.

    Source: Arthur and Vassilvitskii 2007, with BADGE's first choice.
    """
    chosen = [int((x * x).sum(axis=1).argmax())] if len(x) else []
    gap = _squares(x, x[chosen[0]]) if chosen else np.zeros(0)
    free = np.ones(len(x), dtype=bool)
    free[chosen] = False
    while len(chosen) < min(n, len(x)):
        odds = np.where(free, gap, 0.0)
        odds = odds / odds.sum() if odds.sum() > 0 else free / free.sum()
        row = int(rng.choice(len(x), p=odds))
        chosen.append(row)
        free[row] = False
        gap = np.minimum(gap, _squares(x, x[row]))
    return np.array(chosen, dtype=np.int64)


def _by(pool: Pool, value: Callable[[np.ndarray], np.ndarray], n: int) -> np.ndarray:
    if pool.prob is None:
        return at_random(pool, n)
    left = pool.left
    return left[np.argsort(-value(pool.prob[left]), kind="stable")][:n]


def _squares(x: np.ndarray, point: np.ndarray) -> np.ndarray:
    return ((x - point) ** 2).sum(axis=1)


# ------------------------------------------------------------------------------------------------------ the simulation


@dataclass(frozen=True)
class Bought:
    """What labels bought: held-out scores and the harmful posts found, by order, seed and number of labels.

    labels (b,); scores: order -> (seeds, b, n_held_out); found: order -> (seeds, b); y, group (n_held_out,);
    everything (seeds, n_held_out): scores with all labels of the pool; wrong: share of labels, per seed, that labelling
    whole clusters got wrong.
    """

    labels: np.ndarray
    scores: dict[str, np.ndarray]
    found: dict[str, np.ndarray]
    everything: np.ndarray
    y: np.ndarray
    group: np.ndarray
    wrong: list[float]


@dataclass(frozen=True)
class PoolPosts:
    """Embeddings x (n, d) without NaN, the label y (n,) bool, and the repost family of each post (n,)."""

    x: np.ndarray
    y: np.ndarray
    group: np.ndarray


def simulate(unlabelled: PoolPosts, held_out: PoolPosts, options: LabellingOptions) -> Bought:
    """Return what each order buys; raises WorkbenchError for too few posts or posts of one class only."""
    if not held_out.y.any() or held_out.y.all() or not unlabelled.y.any():
        raise WorkbenchError("the simulation needs harmful posts on both sides and harmless ones to tell them from")
    size = round(options.pool * len(unlabelled.y))
    if size < options.budget:
        raise WorkbenchError(f"a pool of {size} posts is smaller than the budget of {options.budget} labels")
    labels = np.arange(options.step, options.budget + 1, options.step)
    scores, hits, everything, wrong = {}, {}, [], []
    for seed in options.seeds:
        rows = np.random.default_rng(seed).permutation(len(unlabelled.y))[:size]
        x, y = unlabelled.x[rows], unlabelled.y[rows]
        clusters = cluster(x, options.cluster, seed=seed)
        everything.append(learn(x, y, options.C)(held_out.x))
        for name in options.orders:
            run = _Run(name, Pool(x, clusters, np.zeros(0, np.int64), None, np.random.default_rng(seed)), y, options)
            bought = [run.buy(held_out.x) for _ in labels]
            scores.setdefault(name, []).append([score for score, _ in bought])
            hits.setdefault(name, []).append([harmful for _, harmful in bought])
            wrong += [run.wrong] if name == WHOLE else []
    return Bought(
        labels,
        {name: np.array(values) for name, values in scores.items()},
        {name: np.array(values) for name, values in hits.items()},
        np.array(everything),
        held_out.y,
        held_out.group,
        wrong,
    )


class _Run:
    """One order with one pool: buys labels step by step."""

    def __init__(self, name: str, pool: Pool, y: np.ndarray, options: LabellingOptions) -> None:
        self.name, self.pool, self.y, self.options = name, pool, y, options
        self.believed = np.full(len(y), np.nan)  # what whole clusters were labelled
        self.next_cluster = 0

    @property
    def wrong(self) -> float:
        """The share of labels given to whole clusters that are wrong, NaN without any."""
        given = ~np.isnan(self.believed)
        return float((self.believed[given] != self.y[given]).mean()) if given.any() else float("nan")

    def buy(self, held_out: np.ndarray) -> tuple[np.ndarray, int]:
        """Buy one step of labels; return the held-out posts' scores and how many harmful posts are found so far."""
        pool, step = self.pool, self.options.step
        seen = self._whole(step) if self.name == WHOLE else np.zeros(0, np.int64)
        pool.labelled = np.concatenate([pool.labelled, seen])
        more = ORDERS[self.name](pool, step - len(seen)) if step > len(seen) else seen[:0]
        pool.labelled = np.concatenate([pool.labelled, more])
        trained = self.believed.copy()
        trained[pool.labelled] = self.y[pool.labelled]
        rows = ~np.isnan(trained)
        learnt = learn(pool.x[rows], trained[rows] > 0.5, self.options.C)
        one_class = len(np.unique(trained[rows])) < 2
        pool.prob = None if one_class else learnt(pool.x)
        return learnt(held_out), int(self.y[pool.labelled].sum())

    def _whole(self, most: int) -> np.ndarray:
        """Look at a few posts of the next clusters, at most `most` in all; where they agree, believe it of all."""
        looked: list[np.ndarray] = []
        while self.next_cluster < len(self.pool.clusters.centres):
            members = np.flatnonzero(self.pool.clusters.of == self.next_cluster)
            peeked = self.pool.rng.permutation(members)[: self.options.peek]
            if sum(map(len, looked)) + len(peeked) > most:
                break
            if len(np.unique(self.y[peeked])) == 1:
                self.believed[members] = self.y[peeked[0]]
            looked.append(peeked)
            self.next_cluster += 1
        return np.concatenate([np.zeros(0, np.int64), *looked])


def learn(x: np.ndarray, y: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from embeddings (n, d) to probabilities (n,): both classes weigh alike; 1/2 for one class."""
    if len(np.unique(y)) < 2:
        return lambda rows: np.full(len(rows), 0.5)
    fitted = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(x, y)
    return lambda rows: fitted.predict_proba(rows)[:, 1]


# --------------------------------------------------------------------------------------------------------- the results


def compare(bought: Bought, *, resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Return a row per order and number of labels: AP, its gain over random order, harmful posts found per 100 labels.

    Values are means over seeds; [lo, hi] are 95 % intervals over seeds and held-out groups, both resampled with the
    same draws for every order, so that gains are paired.
    """
    codes, groups = group_codes(bought.group)
    seeds = len(bought.everything)
    drawn = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    shares = np.vstack([np.full(seeds, 1 / seeds), drawn]).T  # (seeds, 1 + resamples)
    W = np.concatenate(list(bootstrap_weights(groups, resamples, seed=seed)), axis=1)

    def value(scores: np.ndarray) -> np.ndarray:
        """(seeds, n_held_out) -> the mean AP (1 + resamples,), the sample's own first."""
        each = [Ranking.build(bought.y, score, codes, groups).average_precision(W) for score in scores]
        return (np.array(each) * shares).sum(axis=0)

    rows, base = [], [value(bought.scores[RANDOM][:, b]) for b in range(len(bought.labels))]
    for name, scores in bought.scores.items():
        for b, labels in enumerate(bought.labels):
            ap = base[b] if name == RANDOM else value(scores[:, b])
            gain = ap - base[b]
            row = {"order": name, "labels": int(labels), "AP": ap[0]}
            row["AP lo"], row["AP hi"] = value_interval(ap)
            row["gain"] = gain[0]
            row["gain lo"], row["gain hi"] = difference_interval(ap, base[b])
            row["found per 100"] = 100 * bought.found[name][:, b].mean() / labels
            rows.append(row)
    frame = pd.DataFrame(rows)
    frame.attrs["all labels"] = float(value(bought.everything)[0])
    return frame


def verdicts(table: pd.DataFrame, labels: int) -> dict[str, str]:
    """Return, per order, whether its AP at a number of labels is better or worse than random order's, or cannot say."""
    at = table[(table["labels"] == labels) & (table["order"] != RANDOM)]
    words = np.where(
        at["gain lo"] > 0, "better than random", np.where(at["gain hi"] < 0, "worse than random", "no difference shown")
    )
    return dict(zip(at["order"], words.tolist(), strict=True))
