"""Worlds in which one of nine models is chosen, and the value that is printed for it.

Scores are normal, so the truth about all posts is known exactly. A study chooses its winner by average precision on
validation and prints what that model is worth on test; to print the highest value on test is a wrong method.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from workbench.evidence.proof.simulated_worlds import binormal_average_precision
from workbench.metrics import intervals
from workbench.metrics.classification import average_precision
from workbench.metrics.ranking import Ranking

ALPHA = 0.05
MODELS, POSTS, HARMFUL = 9, 2000, 150
EQUAL, UNEQUAL = (2.0,) * MODELS, tuple(np.linspace(1.7, 2.0, MODELS))
CHOSEN, HIGHEST = "chosen on validation", "highest on test"


@dataclass(frozen=True)
class WinnerTrial:
    """Called with the number of a world, it returns what happened there.

    apart (MODELS,): how far each model's scores of harmful posts lie above those of others; correlation: of two models'
    scores of a post.
    """

    apart: tuple[float, ...]
    correlation: float
    resamples: int
    seed: int = 0

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        counts: Counter = Counter(positives=HARMFUL)
        rng = np.random.default_rng([7, self.seed, round(100 * self.correlation), len(set(self.apart)), number])
        y, validation, test = np.arange(POSTS) < HARMFUL, self._scores(rng), self._scores(rng)
        seen, shown = ([average_precision(y, score) for score in scores] for scores in (validation, test))
        for method, winner in ((CHOSEN, int(np.argmax(seen))), (HIGHEST, int(np.argmax(shown)))):
            truth = binormal_average_precision(self.apart[winner], HARMFUL / POSTS)
            low, high = self._interval(y, test[winner], number)
            counts[method, "the winner's interval misses the truth", method] += not low <= truth <= high
            counts["size", "the winner's value above the truth", method] += float(shown[winner] - truth)
        return counts

    def _scores(self, rng: np.random.Generator) -> np.ndarray:
        """Return the models' scores (MODELS, n) of fresh posts, the harmful ones first."""
        shared, own = rng.normal(size=POSTS), rng.normal(size=(MODELS, POSTS))
        y = np.arange(POSTS) < HARMFUL
        return np.outer(self.apart, y) + self.correlation**0.5 * shared + (1 - self.correlation) ** 0.5 * own

    def _interval(self, y: np.ndarray, score: np.ndarray, seed: int) -> tuple[float, float]:
        statistic = Ranking.build(y, score, np.arange(POSTS), POSTS).average_precision
        draws = intervals.bootstrap(statistic, POSTS, self.resamples, seed=seed)
        left_out = intervals.leave_out(statistic, POSTS, seed=seed)
        return intervals.value_interval(draws, left_out, alpha=ALPHA, units=HARMFUL)
