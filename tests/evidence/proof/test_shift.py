"""`workbench shift` where probabilities are exact: what it tells holds, and nothing that it offers makes them worse."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from workbench.corpora.synthetic.causes import LABELS
from workbench.decisions.drawn import Drawn
from workbench.evidence.proof.shift import SAMPLED, SITE, shift_trial, shift_world
from workbench.metrics.calibration import shift
from workbench.metrics.prevalence import estimate_from_probabilities

DRAWS = 80


def refuted(hits: int, of: int, share: float) -> bool:
    """Whether an exact one-sided binomial test says that it is less than a share, one time in a thousand by luck."""
    return stats.binomtest(hits, of, share, alternative="less").pvalue < 0.001


@pytest.mark.parametrize(("kind", "told"), [("site", 0.75), ("label shift", 0.95)])
def test_what_is_told_holds(kind, told):
    counts = Counter()
    for seed in range(DRAWS):
        counts.update({name: int(value) for name, value in shift_trial(seed, kind).items()})
    for way in ("", " by probabilities"):
        answered, covered = counts[f"answered{way}"], counts[f"covered{way}"]
        assert not refuted(answered, DRAWS, told), counts
        assert not refuted(covered, answered, 0.93), counts


def test_probabilities_that_start_from_the_unweighted_sample_are_found_out():
    sampled, site = shift_world(SAMPLED), shift_world(SITE)
    covered, k = 0, LABELS.index("violence")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        prob, there = sampled.draw(3500, rng)[1], sampled.exact.posterior(site.world.draw(4000, rng))
        found = estimate_from_probabilities(there[:, k], prob[:, k])
        covered += found.lo <= site.shares[k] <= found.hi
    assert refuted(covered, 20, 0.93)


def test_the_shares_are_those_of_what_is_drawn():
    for design in (SAMPLED, SITE):
        world = shift_world(design)
        y, prob, weight = world.draw(60_000, np.random.default_rng(1))
        np.testing.assert_allclose(prob.mean(0), world.shares, rtol=0.08)
        np.testing.assert_allclose(y.mean(0), world.shares, rtol=0.2)
        np.testing.assert_allclose(np.average(y, axis=0, weights=weight), shift_world(SITE).shares, rtol=0.25)


def test_no_probability_of_the_sample_is_worse_at_the_site_for_its_weights():
    sampled, site = shift_world(SAMPLED), shift_world(SITE)
    latents = site.world.draw(20_000, np.random.default_rng(0))
    truth, before = site.exact.posterior(latents), logit(sampled.exact.posterior(latents))

    def loss(k: int, z: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, z) - truth[:, k] * z))

    for k, label in enumerate(LABELS):
        plain = loss(k, before[:, k])
        for seed in range(8):
            y, prob, weight = sampled.draw(2100, np.random.default_rng([seed, k]))
            drawn = Drawn.of(y[:, k], logit(prob[:, k]), weight, np.arange(2100))
            assert not drawn.by_label
            assert loss(k, drawn.line(before[:, k])) <= plain
        moved = before[:, k] + shift(float(sampled.shares[k]), float(site.shares[k]))
        # what is refused: it makes them worse by a third, but for abuse, whose probabilities differ at the site
        assert label == "abuse" or loss(k, moved) > 1.2 * plain
        assert expit(moved).mean() < 0.7 * site.shares[k]
