"""Does `workbench shift` tell how frequent harm is? Trials in the synthetic world, with probabilities known exactly.

`site`: labelled posts are drawn as studies draw them, with more pairs and more harm of every kind, and weighted; others
are posts of the site. `label shift`: both are drawn as the study draws them, and of the others' harmful posts of one
label one in four is kept, without weights. No model is in the way: the probabilities are those of the world for all
that a post shows, as it was sampled.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from workbench.corpora.synthetic import causes
from workbench.corpora.synthetic.causes import LABELS
from workbench.corpora.synthetic.exact import Exact
from workbench.corpora.synthetic.world import Design, World
from workbench.evidence.prior_shift import Labelled, Shift, estimated

SAMPLED, SITE = Design(paired=0.7, harm=0.25), Design()
TEST, OTHERS = 3500, 4000  # posts; so many test experiments/quickstart.yaml
KEPT = 0.25  # of harmful posts, under label shift
FLAGGED = 0.3  # probabilities from here on are flagged
_SEEN = ("text", "image", "video")


class ShiftWorld(NamedTuple):
    """A world with its exact probabilities and the share of each label (n_labels,)."""

    world: World
    exact: Exact
    shares: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return y and exact probabilities (n, n_labels) and weights (n,) of posts."""
        latents = self.world.draw(n, rng)
        y = rng.random((n, len(LABELS))) < self.world.label_probabilities(latents)
        return y, self.exact.posterior(latents), latents["weight"]


@cache
def shift_world(design: Design) -> ShiftWorld:
    """Return the world of a design; its shares are exact sums."""
    world = World(design)
    traits = np.array(list(causes.TRAITS.values()))
    around = (causes.links(), causes.places().sum(1), traits, world.label_table)
    subscripts = "t,tp,tpis,til,r,a,kralis->k"
    shares = np.einsum(subscripts, world.periods, world.patterns, world.contents, *around, optimize="greedy")
    return ShiftWorld(world, Exact(world, _SEEN), shares)


def shift_trial(seed: int, kind: Literal["site", "label shift"]) -> dict[str, bool]:
    """Return what one draw of all samples tells of one label, which the seed chooses in turn.

    `answered`, `covered`: whether the estimate by flags is told, and whether its interval holds the truth where it is;
    `answered by probabilities`, `covered by probabilities`: the same of the other estimate. What is not answered is not
    covered: the share that must be covered is that of the answered.
    """
    k, rng = seed % len(LABELS), np.random.default_rng([seed, kind == "site"])
    found, truth = (_at_site if kind == "site" else _under_label_shift)(k, rng)
    outcomes = {}
    for name, estimate in (("", found.by_flags), (" by probabilities", found.by_probabilities)):
        answered = not (found.doubtful or np.isnan(estimate.value))
        outcomes[f"answered{name}"] = bool(answered)
        outcomes[f"covered{name}"] = bool(answered and estimate.lo <= truth <= estimate.hi)
    return outcomes


def _at_site(k: int, rng: np.random.Generator) -> tuple[Shift, float]:
    """Return the estimates for posts of the site and the share of the label there."""
    sampled, site = shift_world(SAMPLED), shift_world(SITE)
    theirs = sampled.exact.posterior(site.world.draw(OTHERS, rng))
    return _told(k, theirs[:, k], rng), float(site.shares[k])


def _under_label_shift(k: int, rng: np.random.Generator) -> tuple[Shift, float]:
    """Return the estimates where only the share of the label has changed, and that share; nothing is weighted."""
    sampled = shift_world(SAMPLED)
    y, prob, _ = sampled.draw(2 * OTHERS, rng)
    kept = ~y[:, k] | (rng.random(len(y)) < KEPT)
    share = sampled.shares[k] * KEPT / (sampled.shares[k] * KEPT + 1 - sampled.shares[k])
    return _told(k, prob[kept, k][:OTHERS], rng, weighted=False), float(share)


def _told(k: int, theirs: np.ndarray, rng: np.random.Generator, *, weighted: bool = True) -> Shift:
    """Return what a bundle with exact probabilities tells of other posts, from a fresh sample of test posts."""
    y, prob, weight = shift_world(SAMPLED).draw(TEST, rng)
    weight = weight if weighted else np.ones(TEST)
    return estimated(LABELS[k], Labelled(y[:, k], prob[:, k], weight, np.arange(TEST), FLAGGED), theirs, None)
