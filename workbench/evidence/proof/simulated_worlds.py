"""Samples of the synthetic world without its surfaces: truths, families of near-duplicates, scores of made-up models.

A model's score is the log-odds that its half of a post allows, plus errors, of which a family of near-duplicates shares
a part. So its metrics over all posts of the world are known as exactly as one likes, and every interval and test can be
held against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.special import logit

from workbench.corpora.synthetic.exact import Exact
from workbench.corpora.synthetic.world import Design, World
from workbench.metrics.table import METRICS

LABEL = 0  # the first of the world's labels is the one told apart
FLAGGED = 0.06  # the share of all posts that a model flags: about as many as are harmful
SINGLE = (1.0,)
FAMILIES = (0.6, 0.2, 0.12, 0.0, 0.0, 0.08)
"""P(size 1, 2, ... of a family): in FAMILIES four posts of ten stand alone, two are one of six near-copies."""
_SHARED, _OWN = 1.0, 0.3  # standard deviations of a model's errors in log-odds: a family's part, a post's own


@dataclass(frozen=True)
class Sample:
    """Posts of one world: y (n,) bool, codes (n,) of `families` families, scores: model -> (n,)."""

    y: np.ndarray
    codes: np.ndarray
    families: int
    scores: dict[str, np.ndarray]

    @property
    def positive_families(self) -> int:
        """How many independent pieces of harm there are."""
        return len(np.unique(self.codes[self.y]))


class SortedScores(NamedTuple):
    """Scores of all posts and of the harmful ones, each rising."""

    everything: np.ndarray
    harmful: np.ndarray

    def at(self, threshold: float, metric: str) -> float:
        """Return precision or recall at a threshold (score >= threshold is flagged)."""
        flagged, caught = (len(side) - np.searchsorted(side, np.float32(threshold)) for side in self)
        return float(caught / max(flagged, 1)) if metric == "precision" else float(caught / len(self.harmful))


class SimulatedWorlds:
    """Any number of samples of one world, whose families have `sizes`, and the truth about all of its posts.

    Models: `words` sees the text; `both` and `twin` see everything and are equally good; `optimal` is as good as
    anything can be; `leaky` has seen a little of the truth itself.
    """

    def __init__(self, sizes: tuple[float, ...] = SINGLE, *, population: int = 1_500_000) -> None:
        self.sizes, self.population = sizes, population
        self.world = World(Design(paired=0.6, harm=0.25))
        self.tables = {name: Exact(self.world, fields) for name, fields in _SEEN.items()}

    def sample(self, families: int, seed: int | list[int]) -> Sample:
        """Return one sample of so many families; the same seed gives the same."""
        rng = np.random.default_rng(seed)
        latents = self.world.draw(families, rng)
        codes = np.repeat(np.arange(families), rng.choice(len(self.sizes), families, p=self.sizes) + 1)
        y = (rng.random(families) < self.world.label_probabilities(latents)[:, LABEL])[codes]
        seen = {name: logit(table.posterior(latents)[:, LABEL])[codes] for name, table in self.tables.items()}

        def errors() -> np.ndarray:
            return _SHARED * rng.normal(size=families)[codes] + _OWN * rng.normal(size=len(codes))

        scores = {"words": seen["text"] + errors(), "both": seen["all"] + errors(), "twin": seen["all"] + errors()}
        # ties broken at random, as among posts that look alike; a tie left standing counts against a model
        scores["optimal"] = seen["all"] + 1e-10 * rng.random(len(codes))
        scores["leaky"] = scores["optimal"] + 3.0 * y
        return Sample(y, codes, families, scores)

    @cached_property
    def _everything(self) -> Sample:
        return self.sample(self.population, [0, 0])

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Model -> the score from which it flags."""
        return {name: float(np.quantile(score, 1 - FLAGGED)) for name, score in self._everything.scores.items()}

    @cached_property
    def curve(self) -> SortedScores:
        """What `both` is worth at any threshold, counted over one post of each family."""
        everything = self._everything
        first = np.unique(everything.codes, return_index=True)[1]
        score, y = everything.scores["both"][first], everything.y[first]
        return SortedScores(np.sort(score).astype(np.float32), np.sort(score[y]).astype(np.float32))

    @cached_property
    def truth(self) -> dict[tuple[str, str], float]:
        """(model, metric) -> its value over all posts of the world, measured on `population` families."""
        values = {}
        for name, score in self._everything.scores.items():
            for metric in ("average_precision", "recall", "precision"):
                values[name, metric] = METRICS[metric](self._everything.y, score, threshold=self.thresholds[name])
        return values


_SEEN = {"text": ("text",), "all": ("text", "image", "video")}


def binormal_precision(threshold, apart: float, prevalence: float):
    """Return the precision above thresholds where scores are normal, those of harmful posts `apart` higher."""
    caught = prevalence * special.ndtr(apart - threshold)
    return caught / (caught + (1 - prevalence) * special.ndtr(-threshold))


def binormal_average_precision(apart: float, prevalence: float) -> float:
    """Return the average precision over all posts of a model whose scores are normal with a standard deviation of 1,
    around 0 for harmless posts and around `apart` for harmful ones: precision in the mean over harmful posts.

    >>> round(binormal_average_precision(0.0, 0.1), 6), round(binormal_average_precision(2.0, 0.1), 3)
    (0.1, 0.665)
    """
    threshold = np.linspace(apart - 9.0, apart + 9.0, 4001)
    density = np.exp(-((threshold - apart) ** 2) / 2)
    return float(np.average(binormal_precision(threshold, apart, prevalence), weights=density))
