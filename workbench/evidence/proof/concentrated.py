"""Worlds in which little evidence looks like much: a few large families of copies, a few posts of great weight.

Scores are normal, so the truth about all posts is known exactly. `CopiesTrial`: most posts stand alone, of a hundred
groups one or three are families of 20 or 60 copies of one post, with its truth and its scores. `HeavyTrial`: a sample
in which most posts with harm were drawn thirty times as often as the site has them, so that of its 150 harmful posts
the few that were not speak for most of the site's harm, and they are harder to find.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.evidence.proof.claims import OF
from workbench.evidence.proof.simulated_worlds import binormal_average_precision, binormal_precision
from workbench.metrics import intervals
from workbench.metrics.classification import ratio
from workbench.metrics.ranking import Ranking
from workbench.metrics.shares import few_groups

ALPHA = 0.05
METHOD = "groups resampled"
POSTS, THRESHOLD = 2000, 1.6
PREVALENCE, APART, ALIKE = 0.1, (2.0, 1.7), 0.5  # of copies: two models' distances, the correlation of their scores
HARMFUL, WEIGHT = 150, 30.0
EASY, HARD = 2.5, 1.0  # how far the scores of light and of heavy harmful posts lie above those of harmless ones


class Share(NamedTuple):
    """A share of posts: what of the counts (4, groups) of tn, fp, fn, tp it counts, and of how many."""

    of: str
    part: tuple[int, ...]
    whole: tuple[int, ...]

    def totals(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both (...,) of counts (4, ...)."""
        return counts[list(self.part)].sum(axis=0), counts[list(self.whole)].sum(axis=0)


SHARES = (Share("recall", (3,), (2, 3)), Share("precision", (3,), (1, 3)), Share("false positive rate", (1,), (0, 1)))
ALERTS = Share("share of posts flagged", (1, 3), (0, 1, 2, 3))


class Covered(Counter):
    """Which intervals held the truth in one world, and how wide they were; see `claims.claimed`."""

    def share(self, what: str, interval: tuple[float, float], truth: float) -> None:
        """Count an interval that must hold the truth in any case."""
        self["share", what, METHOD] += bool(interval[0] <= truth <= interval[1])
        self._width(what, interval)

    def or_few(self, few: bool, what: str, interval: tuple[float, float], truth: float) -> None:
        """Count an interval that must hold the truth unless its row says few."""
        holds, unmarked = bool(interval[0] <= truth <= interval[1]), f"{what}: where the row does not say few"
        self["or few", f"{what}, or few", METHOD] += few or holds
        self["few", f"{what}: few", METHOD] += few
        self["unmarked", unmarked, METHOD] += holds and not few
        self[OF, unmarked, METHOD] += not few
        self._width(what, interval)

    def _width(self, what: str, interval: tuple[float, float]) -> None:
        self["width", f"{what}: width", METHOD] += float(interval[1] - interval[0])


@dataclass(frozen=True)
class CopiesTrial:
    """Called with the number of a world, it returns what happened there.

    share: of groups that are families of `size` copies.
    """

    size: int
    share: float
    resamples: int
    seed: int = 0

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        held, rng = Covered(), np.random.default_rng([4, self.seed, self.size, round(1000 * self.share), number])
        groups = round(POSTS / (1 + self.share * (self.size - 1)))
        y = rng.random(groups) < PREVALENCE
        noise = rng.normal(size=(3, groups))
        shared, own = ALIKE**0.5 * noise[0], (1 - ALIKE) ** 0.5 * noise[1:]
        scores = [apart * y + shared + errors for apart, errors in zip(APART, own, strict=True)]
        codes = np.repeat(np.arange(groups), np.where(rng.random(groups) < self.share, self.size, 1))
        rankings = [Ranking.build(y[codes], score[codes], codes, groups) for score in scores]
        counts = [intervals.group_confusions(y[codes], score[codes] >= THRESHOLD, codes, groups) for score in scores]

        def statistic(W: np.ndarray) -> np.ndarray:
            sums = [one @ W for one in counts]
            shares = [[ratio(*share.totals(one)) for share in SHARES] for one in sums]
            return np.stack([[ranking.average_precision(W), *of] for ranking, of in zip(rankings, shares, strict=True)])

        draws = intervals.bootstrap(statistic, groups, self.resamples, seed=number, rows=groups)
        left_out = intervals.leave_out(statistic, groups, seed=number)
        held["positives"] += int(y.sum())
        few = bool(few_groups(np.bincount(codes, weights=y[codes], minlength=groups)))
        self._values(held, draws[0], left_out[0], counts[0], few)
        self._differences(held, draws, left_out, few)
        return held

    def _values(self, held: Covered, draws: np.ndarray, left_out: np.ndarray, counts: np.ndarray, few: bool) -> None:
        """Count intervals of the better model's values: draws (metrics, 1 + resamples), left_out (metrics, blocks)."""
        units = float((counts[2:].sum(axis=0) > 0).sum())
        for share, draw, left, truth in zip(SHARES, draws[1:], left_out[1:], _truths(APART[0])[1:], strict=True):
            about = {"alpha": ALPHA, "units": units, "share": True, "totals": share.totals(counts)}
            held.share(share.of, intervals.value_interval(draw, left, **about), truth)
        interval = intervals.value_interval(draws[0], left_out[0], alpha=ALPHA, units=units)
        held.or_few(few or intervals.decided_by_few(left_out[0]), "average precision", interval, _truths(APART[0])[0])

    def _differences(self, held: Covered, draws: np.ndarray, left_out: np.ndarray, few: bool) -> None:
        """Count intervals of differences: draws (2, metrics, 1 + resamples), left_out (2, metrics, blocks)."""
        for m, what in enumerate(("average precision", *(share.of for share in SHARES))):
            left = left_out[0, m] - left_out[1, m]
            interval = intervals.difference_interval(draws[0, m], draws[1, m], left, alpha=ALPHA)
            truth = _truths(APART[0])[m] - _truths(APART[1])[m]
            held.or_few(few or intervals.decided_by_few(left), f"{what}, difference", interval, truth)


@cache
def _truths(apart: float) -> tuple[float, ...]:
    """Return average precision, recall, precision and false positive rate over all posts."""
    caught, alarms = float(special.ndtr(apart - THRESHOLD)), float(special.ndtr(-THRESHOLD))
    precision = float(binormal_precision(THRESHOLD, apart, PREVALENCE))
    return binormal_average_precision(apart, PREVALENCE), caught, precision, alarms


@dataclass(frozen=True)
class HeavyTrial:
    """Called with the number of a world, it returns what happened there; heavy: harmful posts of weight WEIGHT."""

    heavy: int
    resamples: int
    seed: int = 0

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        held, rng = Covered(), np.random.default_rng([5, self.seed, self.heavy, number])
        apart = np.repeat([HARD, EASY, 0.0], [self.heavy, HARMFUL - self.heavy, POSTS - HARMFUL])
        weight, y = np.where(apart == EASY, 1.0, WEIGHT), apart > 0
        flagged, codes = apart + rng.normal(size=POSTS) >= THRESHOLD, np.arange(POSTS)
        counts = intervals.group_confusions(y, flagged, codes, POSTS, weight=weight)
        expected = _confusion(y, weight, special.ndtr(apart - THRESHOLD))
        few = bool(few_groups(weight * y))
        held["positives"] += HARMFUL

        for share in (*SHARES, ALERTS):
            part, whole = share.totals(counts)
            statistic = partial(_quotient, np.stack([part, whole]))
            draws = intervals.bootstrap(statistic, POSTS, self.resamples, seed=number)
            left_out = intervals.leave_out(statistic, POSTS, seed=number)
            about = {"alpha": ALPHA, "units": HARMFUL, "share": True, "totals": (part, whole)}
            interval = intervals.value_interval(draws, left_out, **about)
            held.or_few(few, f"{share.of} at the site", interval, float(ratio(*share.totals(expected))))
        return held


def _quotient(totals: np.ndarray, W: np.ndarray) -> np.ndarray:
    return ratio(*(totals @ W))


def _confusion(y: np.ndarray, weight: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """Return tn, fp, fn, tp (4,) where post i is flagged with a probability."""
    cells = [(1 - flagged) * ~y, flagged * ~y, (1 - flagged) * y, flagged * y]
    return np.array([(weight * cell).sum() for cell in cells])
