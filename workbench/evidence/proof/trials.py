"""What is counted in each simulated world: which intervals held the truth, which tests found something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import expit, logit

from workbench.comparison.options import LEAK_ALPHA
from workbench.decisions.objective import Objective
from workbench.decisions.thresholds import LabelObjectives, choose
from workbench.evidence.proof.simulated_worlds import Sample, SimulatedWorlds, SortedScores
from workbench.metrics import intervals, testing
from workbench.metrics.classification import Confusion
from workbench.metrics.ranking import Ranking
from workbench.schema import Options

ALPHA = 0.05
METRICS = ("average_precision", "recall", "precision")
SHARES = ("recall", "precision")  # of counted posts
MODELS = ("words", "both")
METHOD, WRONG = "groups resampled", "posts resampled"
TARGETS = {"recall": 0.8, "precision": 0.8}  # that thresholds are chosen for
SURE = 0.95  # how surely a threshold with a guarantee is to reach its target
PLANTED = 3.0  # standard deviation of the errors in log-odds that make a model a little worse


class ProofOptions(Options):
    """How much is simulated."""

    worlds: int = Field(1000, ge=20, description="Samples of the world per setting.")
    families: int = Field(3000, ge=100, description="Families of posts in a sample; about 6 in 100 are harmful.")
    smaller: tuple[int, ...] = Field((500, 1000), description="Smaller samples, tabulated and not judged.")
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples in each sample.")
    draws: int = Field(999, ge=99, description="Permutations in each sample.")
    population: int = Field(1_500_000, ge=10_000, description="Families that stand for all posts of the world.")
    pairs: int | None = Field(500, ge=20, description="Leaks planted of each kind for the leak gate; null: none.")
    seed: int = Field(0, ge=0, description="Which samples.")
    jobs: int = Field(2, ge=1, description="Processes at once.")

    @classmethod
    def quick(cls) -> ProofOptions:
        """Return sizes for a look that takes a minute: it fails what is far off and lets the rest pass."""
        size = {"worlds": 40, "families": 2000, "smaller": (500,), "population": 300_000, "pairs": 20}
        return cls(**size, resamples=120, draws=199)


class ThresholdClaim(NamedTuple):
    """A way to choose a threshold: choose(y, score, group) -> threshold or None, what it is to reach, and how surely.

    Must be picklable.

    sure: the share of samples in which the target may be missed is 1 - sure; None for a choice that promises nothing.
    """

    name: str
    choose: Callable[[np.ndarray, np.ndarray, np.ndarray], float | None]
    metric: Literal["precision", "recall"]
    target: float
    method: str
    sure: float | None = None


def threshold_claims(sure: float = SURE) -> list[ThresholdClaim]:
    """Return both ways in which a policy chooses a threshold for each target: sure of it, and best on validation."""
    claims = []
    for metric, target in TARGETS.items():
        name = f"{metric} of at least {100 * target:g} %"
        certain, plain = Objective(**{metric: target, "sure": sure}), Objective(**{metric: target})
        claims.append(
            ThresholdClaim(name, partial(chosen, objective=certain), metric, target, "with a guarantee", sure)
        )
        claims.append(ThresholdClaim(name, partial(chosen, objective=plain), metric, target, "best on validation"))
    return claims


def chosen(y: np.ndarray, score: np.ndarray, group: np.ndarray, *, objective: Objective) -> float | None:
    """Return the score from which a policy with this objective reviews, None where no threshold serves it.

    y (n,) bool, score (n,) in log-odds, group (n,): what validation would hold.
    """
    wanted = {"label": LabelObjectives(review=objective, remove=None)}
    known = np.ones((len(y), 1), dtype=bool)
    at = choose(expit(score)[:, None], y[:, None], known, wanted, group=group)["label"].review_at
    return None if at is None else float(logit(at))


class SimulatedTrial:
    """Called with the number of a world, it returns what happened there: a Counter.

    Keys (kind, what, method) count worlds; `positives`, `planted` and `se` are sums over worlds. full: with tests and
    thresholds, and with posts resampled in the place of groups.
    """

    def __init__(
        self,
        worlds: SimulatedWorlds,
        families: int,
        options: ProofOptions,
        threshold_claims: Sequence[ThresholdClaim] = (),
        *,
        full: bool,
    ) -> None:
        self.families, self.options, self.full = families, options, full
        self.threshold_claims = threshold_claims
        self.truth: dict[tuple[str, str], float] = worlds.truth
        self.thresholds: dict[str, float] = worlds.thresholds
        self.curve: SortedScores = worlds.curve
        self.worlds = SimulatedWorlds(worlds.sizes, population=worlds.population)  # without all those posts

    def __call__(self, number: int) -> Counter:
        """Return the counts of one world."""
        counts: Counter = Counter()
        sample = self.worlds.sample(self.families, [1, self.options.seed, number])
        counts["positives"] += sample.positive_families
        self._intervals(sample, sample.codes, METHOD, number, counts)
        if self.full:
            self._intervals(sample, np.arange(len(sample.y)), WRONG, number, counts)
            self._tests(sample, number, counts)
            self._leaks(sample, number, counts)
            self._threshold_claims(sample, counts)
        return counts

    def _draws(self, sample: Sample, codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return draws (MODELS, METRICS, 1 + resamples), the sample's own value first, and the same left out."""
        units = int(codes.max()) + 1
        rankings = [Ranking.build(sample.y, sample.scores[name], codes, units) for name in MODELS]
        flags = [sample.scores[name] >= self.thresholds[name] for name in MODELS]
        counts = [intervals.group_confusions(sample.y, flagged, codes, units) for flagged in flags]

        def statistic(W: np.ndarray) -> np.ndarray:
            rates = [Confusion(*(one @ W)) for one in counts]
            return np.stack([
                [ranking.average_precision(W), rate.recall, rate.precision]
                for ranking, rate in zip(rankings, rates, strict=True)
            ])  # fmt: skip

        draws = intervals.bootstrap(statistic, units, self.options.resamples, seed=seed, rows=units)
        return draws, intervals.leave_out(statistic, units, seed=seed)

    def _intervals(self, sample: Sample, codes: np.ndarray, method: str, seed: int, counts: Counter) -> None:
        """Count which 95 % intervals hold the truth, of both models and of their difference."""
        draws, left_out = self._draws(sample, codes, seed)
        kind = "interval" if method == METHOD else "interval of posts"
        for m, metric in enumerate(METRICS):
            true = [self.truth[name, metric] for name in MODELS]
            for name, value, draw, left in zip(MODELS, true, draws[:, m], left_out[:, m], strict=True):
                about = {"alpha": ALPHA, "units": sample.positive_families, "share": metric in SHARES}
                low, high = intervals.value_interval(draw, left, **about)
                counts[kind, f"{_said(metric)} of {name}", method] += bool(low <= value <= high)
            left = left_out[1, m] - left_out[0, m]
            low, high = intervals.difference_interval(draws[1, m], draws[0, m], left, alpha=ALPHA)
            counts[kind, f"{_said(metric)}, difference", method] += bool(low <= true[1] - true[0] <= high)

    def _tests(self, sample: Sample, seed: int, counts: Counter) -> None:
        """Count where the primary test finds a difference: of equal models, and of one made a little worse."""
        rng = np.random.default_rng([2, self.options.seed, seed])
        worse = sample.scores["twin"] + PLANTED * rng.normal(size=sample.families)[sample.codes]
        draws = self._pair(sample, sample.scores["both"], worse, seed)
        counts["planted"] += draws[0]
        counts["se"] += draws[1:].std(ddof=1)
        for kind, what, other in (
            ("level", "a difference found where there is none", sample.scores["twin"]),
            ("power", "a planted difference found", worse),
        ):
            swaps = testing.swapped_ranking(sample.y, sample.scores["both"], other, sample.codes, sample.families)
            p = testing.permutation_test([swaps], sample.families, draws=self.options.draws, seed=seed)[1]
            counts[kind, what, "groups swapped"] += bool(p <= ALPHA)

    def _pair(self, sample: Sample, one: np.ndarray, other: np.ndarray, seed: int) -> np.ndarray:
        """Return draws (1 + resamples,) of the average precision of one list of scores (n,) less that of another."""
        both = [Ranking.build(sample.y, score, sample.codes, sample.families) for score in (one, other)]

        def difference(W: np.ndarray) -> np.ndarray:
            return both[0].average_precision(W) - both[1].average_precision(W)

        rows = max(ranking.rows for ranking in both)
        return intervals.bootstrap(difference, sample.families, self.options.resamples, seed=seed, rows=rows)

    def _leaks(self, sample: Sample, seed: int, counts: Counter) -> None:
        """Count where the test for leaks trips: for a model as good as can be, and for one that saw some of the truth.

        The ceiling is the average precision of the world's own probabilities, ties broken at random.
        """
        rng = np.random.default_rng([3, self.options.seed, seed])
        for name in ("optimal", "leaky"):
            draws = self._pair(
                sample, *(_untied(np.round(sample.scores[one], 9), rng) for one in (name, "optimal")), seed
            )
            p = testing.one_sided_p(draws[0], draws[1:])
            kind = "leak" if name == "leaky" else "no leak"
            counts[kind, f"the test for leaks trips for the {name} model", METHOD] += bool(p < LEAK_ALPHA)

    def _threshold_claims(self, sample: Sample, counts: Counter) -> None:
        """Count which thresholds, chosen on the sample, miss on all posts of the world what they were chosen for."""
        for promise in self.threshold_claims:
            at = promise.choose(sample.y, sample.scores["both"], sample.codes)
            missed = at is not None and self.curve.at(at, promise.metric) < promise.target
            counts["promise" if promise.sure else "plain", f"{promise.name} is missed", promise.method] += bool(missed)
            counts["chosen", f"{promise.name}: a threshold is found", promise.method] += at is not None


def _said(metric: str) -> str:
    return metric.replace("_", " ")


def _untied(score: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ranks (n,) in the order of the scores, ties broken at random."""
    ranks = np.empty(len(score))
    ranks[np.lexsort((rng.random(len(score)), score))] = np.arange(len(score))
    return ranks
