"""Worlds of recipes: procedures that train another model each time, one per seed, and whose models are equally good.

Scores are normal. A recipe's models tell harmful posts apart by `apart` in the mean, each by a little more or less;
all models see the same in a post, a recipe may have errors of its own there, which all its models make, and every model
makes errors of its own. How much of each there is, is set so that average precision, measured on one sample, has the
standard deviation over seeds that the trial is named by. The truth, the average precision over all posts and all seeds,
is known exactly and equal for both recipes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import optimize

from workbench.evidence.proof.simulated_worlds import binormal_average_precision
from workbench.metrics import intervals
from workbench.metrics.ranking import Ranking

Resampled = tuple[np.ndarray, np.ndarray]  # draws (models, 1 + resamples) and the same left out (models, blocks)
ALPHA = 0.05
RECIPE, POSTS_ALONE = "the recipe's test", "posts resampled alone"
POSTS, HARMFUL, APART = 2000, 150, 2.0
SEEDS = (3, 5)
PLANTED = 0.06  # of average precision, taken from one recipe's to see what the tests find
ALIKE = 0.01
"""Spread below which all models rank nearly all posts alike. What tells two of them apart are then pairs of posts that
change places, whose variance resampling overstates (2.2 times at .004): where one side has no seeds to show how much of
it is a training's own, the test is too strict, and is only held to an upper bound."""
PECULIAR = 0.3  # the share of the variance of scores that is one recipe's alone, where recipes differ post by post


class Chance(NamedTuple):
    """What a seed changes: the standard deviation of `apart`, and the share of scores' variance that is one model's."""

    quality: float
    own: float


CHANCE = {
    0.004: Chance(0.0074, 0.004),
    0.02: Chance(0.038, 0.1),
    0.035: Chance(0.076, 0.2),
    0.08: Chance(0.208, 0.2),
}
"""Standard deviation of average precision over seeds -> what makes it so."""


PAIRS = {
    "": ("one", "other"),
    " against a recipe without chance": ("one", "constant"),
    " of recipes that differ post by post": ("own", "other own"),
}
"""What is said of the number of seeds -> which recipes are compared."""


@dataclass(frozen=True)
class RecipeTrial:
    """Called with the number of a world, it returns what happened there; spread: a key of CHANCE."""

    spread: float
    resamples: int
    seed: int = 0

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        counts: Counter = Counter(positives=HARMFUL)
        y, scores = self.models(np.random.default_rng([6, self.seed, round(1000 * self.spread), number]))
        of = {name: _resampled(y, some, self.resamples, number) for name, some in scores.items()}
        for what, (one, other) in PAIRS.items():
            for seeds in SEEDS:
                sides = (tuple(part[:seeds] for part in of[name]) for name in (one, other))
                level = "level at most" if other == "constant" and self.spread < ALIKE else "level"
                _tests(counts, f"{seeds} seeds{what}", *sides, level, judged=not what)
        for seeds in SEEDS:
            sd = of["one"][0][:seeds, 0].std(ddof=1)
            counts["size", f"{seeds} seeds: standard deviation of average precision", "of one sample"] += float(sd)
        return counts

    def models(self, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return y (n,) and recipe -> its models' scores (seeds, n)."""
        y, chance = np.arange(POSTS) < HARMFUL, CHANCE[self.spread]
        seen = rng.normal(size=POSTS)  # by all models

        def trained(apart: np.ndarray, peculiar: float) -> np.ndarray:
            errors = rng.normal(size=POSTS) * peculiar**0.5 + rng.normal(size=(len(apart), POSTS)) * chance.own**0.5
            return apart[:, None] * y + seen * (1 - peculiar - chance.own) ** 0.5 + errors

        recipes = {}
        for name in ("one", "other", "own", "other own"):
            quality = APART + chance.quality * rng.normal(size=max(SEEDS))
            recipes[name] = trained(quality, PECULIAR if "own" in name else 0.0)
        recipes["constant"] = trained(np.array([as_good(chance.quality)]), 0.0)
        return y, recipes


@cache
def as_good(quality: float) -> float:
    """Return how far apart one model's scores lie that is as good as a recipe's models are in the mean over seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    prevalence = HARMFUL / POSTS
    values = [binormal_average_precision(APART + quality * node, prevalence) for node in nodes]
    mean = float(np.average(values, weights=weights))
    return float(optimize.brentq(lambda apart: binormal_average_precision(apart, prevalence) - mean, 1.0, 3.0))


def _resampled(y: np.ndarray, scores: np.ndarray, resamples: int, seed: int) -> Resampled:
    """Return what the average precision of each model is under resampled posts, and where some are left out."""
    rankings = [Ranking.build(y, score, np.arange(POSTS), POSTS) for score in scores]

    def statistic(W: np.ndarray) -> np.ndarray:
        return np.stack([ranking.average_precision(W) for ranking in rankings])

    draws = intervals.bootstrap(statistic, POSTS, resamples, seed=seed)
    return draws, intervals.leave_out(statistic, POSTS, seed=seed)


def _tests(counts: Counter, what: str, one: Resampled, other: Resampled, level: str, *, judged: bool) -> None:
    """Count what both tests find between two recipes, as they are and where the other is made worse by PLANTED.

    level: the kind that false findings count as; judged: whether resampling posts alone must be found out here.
    """
    (a, left_a), (b, left_b) = one, other
    left_out = left_a.mean(axis=0) - left_b.mean(axis=0)
    for planted, kind, found in (
        (0.0, level, "a difference found where there is none"),
        (PLANTED, "found", f"a difference of {PLANTED:g} found"),
    ):
        test = intervals.recipe_difference(a, b - planted, left_out, alpha=ALPHA)
        low, high = intervals.difference_interval(a.mean(axis=0), b.mean(axis=0) - planted, left_out, alpha=ALPHA)
        alone = f"{kind} alone" if judged else "tabulated"
        counts[kind, f"{what}: {found}", RECIPE] += bool(test.p <= ALPHA)
        counts[alone, f"{what}: {found}", POSTS_ALONE] += not low <= 0 <= high
    wider = float((test.hi - test.lo) / (high - low))
    counts["size", f"{what}: width of the interval, of that of posts alone", RECIPE] += wider
