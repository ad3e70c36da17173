"""The joint distribution of what causes posts and labels: priors, oversampling, label probabilities and draws.

A post is caused by *latents* (`causes`): which modalities it has, when and where it was written, by whom, what its
words intend, which link and which obfuscation they carry, what its picture or clip shows, and how often it was
reported. Given the latents, the surfaces of different modalities are independent of each other, of the labels and of
everything else. A label's probability is a logistic table over the latents,

    P(label k) = sigmoid(base + text_k[intent] + sight_k[scene] + pair_k[intent, scene]
                         + author_k[trait] + link_k[link] + norm_k[region, intent]).

The labels come first, then what misinformation leaves behind: the author's record and the spread of the post are drawn
given whether the post misleads, so that they say something about it that its content does not.

A clip's scene terms are the maximum over its frames. A clip shows its scene and, around it, a calm view, whose terms
are 0; no scene's terms are below 0, so that the maximum is the terms of its scene, as for a picture.

*Pair-only* harm is a matching: remark i is harmful for label k only with scene match_k(i). All labels share one block
of remarks and scenes, each label has its own matching, and every remark and every scene of the block is equally likely;
so neither half alone says anything about the label. The sum of two scores that fits best is constant over the block as
well: fusing fitted scores gains there by luck alone. (Whoever knows the matching can build a sum that ranks better.)

Oversampling changes the weight of whole components of the prior and is undone by `weight`.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import Field

from workbench.corpora.synthetic import causes
from workbench.corpora.synthetic.causes import (
    AXES,
    IMAGE_HARM,
    INTENTS,
    LABELS,
    LINKS,
    MATCHABLE,
    PATTERNS,
    PERIODS,
    REGIONS,
    REMARKS,
    SCENES,
    TEXT_HARM,
    TOPICS,
    TRAITS,
    VIEWS,
)
from workbench.errors import WorkbenchError
from workbench.schema import MODALITIES, Options

_PAIRED = np.array(["+" in pattern for pattern in PATTERNS])


class ShareOptions(Options):
    """Which part of the harm among paired posts is told by what; if the three add up to less than 1, there is less."""

    pair: float = Field(0.5, ge=0, le=1, description="Told only by text and picture or clip together.")
    text: float = Field(0.3, ge=0, le=1, description="Told by the text alone.")
    image: float = Field(0.2, ge=0, le=1, description="Told by the picture or clip alone.")


class Design(NamedTuple):
    """What a world is made from; `after` is the share of posts after the drift, `norms` how strongly regions differ."""

    shares: ShareOptions = ShareOptions()
    prevalence: float = 0.03
    paired: float | None = None
    harm: float | None = None
    modalities: tuple[str, ...] = MODALITIES
    norms: float = 1.0
    after: float = 0.25


class World:
    """The factors of the joint distribution for one design.

    periods (n_periods,): P(period). patterns (n_periods, n_patterns): P(pattern | period), as sampled.
    contents (n_periods, n_patterns, n_intents, n_scenes): P(intent, scene | period, pattern), as sampled.
    weights, of the same shape: how much rarer a cell is in the sample than at the site.
    """

    def __init__(self, design: Design):
        self.design = design
        self.periods = np.array([1 - design.after, design.after])
        site = self._site()
        self.patterns = site if design.paired is None else self._with_paired(site, design.paired)
        natural = self._harm_factor("prevalence", design.prevalence, site)
        factor = natural if design.harm is None else self._harm_factor("oversample.harm", design.harm, self.patterns)
        at_site, self.contents = self._contents(natural), self._contents(factor)
        ratio = np.divide(at_site, self.contents, out=np.zeros_like(at_site), where=self.contents > 0)
        rarer = np.divide(site, self.patterns, out=np.zeros_like(site), where=self.patterns > 0)
        self.weights = ratio * rarer[..., None, None]

    def _site(self) -> np.ndarray:
        """P(pattern | period) at a site that has the design's modalities only, (n_periods, n_patterns)."""
        there = [set(pattern.split("+")) <= set(self.design.modalities) for pattern in PATTERNS]
        mix = np.array([causes.MIX[period] for period in PERIODS]) * there
        return mix / mix.sum(1, keepdims=True)

    @staticmethod
    def _with_paired(site: np.ndarray, paired: float) -> np.ndarray:
        if not site[:, _PAIRED].any():
            raise WorkbenchError(
                f"`oversample.paired` is {paired}, but with these `modalities` no post has text and a picture or clip; "
                "leave it out, or add to `modalities`"
            )
        now = site[:, _PAIRED].sum(1, keepdims=True)
        return np.where(_PAIRED, site * paired / now, site * (1 - paired) / (1 - now))

    # ------------------------------------------------------------------------------------------------------ labels

    @cached_property
    def matchings(self) -> np.ndarray:
        """match[k, i] (n_labels, n_remarks): the scene of the block with which remark i is harmful for label k."""
        shuffled = np.random.default_rng(20).permutation(len(REMARKS))
        return np.stack([(shuffled + 2 * k) % len(REMARKS) for k in range(len(LABELS))])

    @cached_property
    def label_table(self) -> np.ndarray:
        """P(label | causes), (n_labels, n_regions, n_traits, n_links, n_intents, n_scenes)."""
        sizes = [len(AXES[axis]) for axis in ("region", "author", "link", "intent", "scene")]
        logit = np.full((len(LABELS), *sizes), causes.BASE)
        for k, label in enumerate(LABELS):
            logit[k, :, 1] += causes.AUTHOR.get(label, 0.4)
            for link, more in causes.LINK.get(label, {}).items():
                logit[k, :, :, LINKS.index(link)] += more
            logit[k][..., [INTENTS.index(name) for name in TEXT_HARM if TEXT_HARM[name] == label], :] += causes.HARM
            logit[k][..., [SCENES.index(name) for name in IMAGE_HARM if IMAGE_HARM[name] == label]] += causes.HARM
            for remark, scene in enumerate(self.matchings[k]):
                logit[k][..., INTENTS.index(REMARKS[remark]), SCENES.index(MATCHABLE[scene])] += causes.HARM
        for norm in causes.NORMS:
            place = LABELS.index(norm.label), list(REGIONS).index(norm.region)
            logit[place][..., INTENTS.index(norm.intent), :] += causes.HARM * norm.harm * self.design.norms
        return 1.0 / (1.0 + np.exp(-logit))

    @cached_property
    def any_label(self) -> np.ndarray:
        """P(at least one label | period, intent, scene), (n_periods, n_intents, n_scenes)."""
        some = 1 - np.prod(1 - self.label_table, axis=0)  # (region, author, link, intent, scene)
        around = [np.array(list(table.values())) for table in (REGIONS, TRAITS)]
        return np.einsum("r,a,til,ralis->tis", *around, causes.links(), some)

    @cached_property
    def reports(self) -> np.ndarray:
        """P(reports | region, intent, scene), of shape (n_regions, n_intents, n_scenes, n_reports).

        People report what they mind: what is likely to have a label in their region, and what merely annoys them.
        """
        return causes.reports((self.label_table[:, :, 0, 0] > 0.5).any(0))

    # ------------------------------------------------------------------------------------------------------- prior

    def _components(self) -> tuple[np.ndarray, np.ndarray]:
        """What a sample is mixed from: P(intent, scene | component, period, pattern).

        Returns (n_periods, n_patterns, 3, n_intents, n_scenes) for harm told by pair, text and vision, and the same
        without the third axis for the calm rest.
        """
        harm = np.zeros((len(PERIODS), len(PATTERNS), 3, len(INTENTS), len(SCENES)))
        calm = np.zeros((len(PERIODS), len(PATTERNS), len(INTENTS), len(SCENES)))
        for t, p in np.ndindex(calm.shape[:2]):
            words, vision = "text" in PATTERNS[p], PATTERNS[p] != "text"
            topics = causes.spread(INTENTS, {**dict.fromkeys(TOPICS, 1.0), "banter": 0.5, "custom": 0.1}, words)
            views = causes.spread(SCENES, dict.fromkeys(VIEWS, 1.0), vision)
            remarks = causes.spread(INTENTS, dict.fromkeys(REMARKS, 1.0), words)
            shapes = causes.spread(SCENES, dict.fromkeys(MATCHABLE, 1.0), vision)
            # posts of one half have its share of the block too: a remark or a shape that nothing matches
            halves = [np.outer(remarks, views)] * words + [np.outer(topics, shapes)] * vision
            alone = 0.8 if words and vision else 0.85
            calm[t, p] = alone * np.outer(topics, views) + (1 - alone) * np.mean(halves, axis=0)
            harm[t, p, 0] = np.outer(remarks, shapes)
            harm[t, p, 1] = np.outer(causes.text_harm(PERIODS[t]), views)
            harm[t, p, 2] = np.outer(topics, causes.spread(SCENES, dict.fromkeys(IMAGE_HARM, 1.0)))
        return harm, calm

    @cached_property
    def _shares(self) -> np.ndarray:
        """Which part of a pattern's harm each component tells, (n_patterns, 3)."""
        alone = {"text": (0.0, 1.0, 0.0), "image": (0.0, 0.0, 1.0), "video": (0.0, 0.0, 1.0)}
        shares = self.design.shares
        return np.array([alone.get(pattern, (shares.pair, shares.text, shares.image)) for pattern in PATTERNS])

    def _masses(self) -> np.ndarray:
        """The mass of each component for one unit of labelled posts, (n_periods, n_patterns, 3)."""
        labelled = np.einsum("tpcis,tis->tpc", self._components()[0], self.any_label)
        return self._shares / labelled

    def _contents(self, factor: float) -> np.ndarray:
        """P(intent, scene | period, pattern) in which harmful components bring labels to a share `factor` of posts."""
        harm, calm = self._components()
        mass = factor * self._masses()
        rest = 1 - mass.sum(-1)
        return np.einsum("tpc,tpcis->tpis", mass, harm) + rest[..., None, None] * calm

    def _harm_factor(self, option: str, harm: float, patterns: np.ndarray) -> float:
        """The factor with which a share `harm` of posts has a label: harm is affine in it, so two points tell."""
        most = 1 / self._masses().sum(-1)[patterns > 0].max(initial=1.0)  # leaves no calm post
        weight = self.periods[:, None] * patterns
        low, high = (np.einsum("tp,tpis,tis->", weight, self._contents(at), self.any_label) for at in (0.0, most))
        if not low < harm < high:
            raise WorkbenchError(
                f"`{option}` is {harm}, but with these shares and this part of pairs between {low:.4f} and "
                f"{high:.4f} of the posts can have a label; choose a share in between"
            )
        return most * (harm - low) / (high - low)

    # ------------------------------------------------------------------------------------------------------ sampling

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return latents of n independent posts: `pattern` and AXES as index arrays (n,), and `weight` (n,)."""
        share = rng.random((8, n))
        period = (share[0] < self.design.after).astype(np.int64)
        pattern = _pick(self.patterns, (period,), share[1])
        region, language = np.divmod(_pick(causes.places().reshape(1, -1), (0,), share[2]), len(causes.LANGUAGE_TAGS))
        cells = self.contents.reshape(*self.contents.shape[:2], -1)
        intent, scene = np.divmod(_pick(cells, (period, pattern), share[3]), len(SCENES))
        latents = {
            "pattern": pattern,
            "weight": self.weights[period, pattern, intent, scene],
            "period": period,
            "region": region,
            "language": language,
            "author": (share[4] < TRAITS["prone"]).astype(np.int64),
            "link": _pick(causes.links(), (period, intent), share[5]),
            "obfuscation": _pick(causes.obfuscations(), (intent,), share[6]),
            "intent": intent,
            "scene": scene,
            "utterance": _pick(causes.emission(), (intent,), share[7]),
        }
        return latents | {"reports": self.draw_reports(latents, rng.random(n))}

    def draw_reports(self, latents: dict[str, np.ndarray], share: np.ndarray) -> np.ndarray:
        """Return how often posts were reported (n_posts,), given what they are and numbers from 0 to 1."""
        return _pick(self.reports, tuple(latents[axis] for axis in ("region", "intent", "scene")), share)

    def draw_signals(self, misleads: np.ndarray, share: np.ndarray) -> dict[str, np.ndarray]:
        """Return SIGNALS as index arrays (n_posts,), given which posts mislead and numbers from 0 to 1 (2, n_posts)."""
        rows = (misleads.astype(np.int64),)
        return {axis: _pick(causes.signals(axis), rows, part) for axis, part in zip(causes.SIGNALS, share, strict=True)}

    def label_probabilities(self, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return P(label | all latents) (n_posts, n_labels)."""
        index = (latents[axis] for axis in ("region", "author", "link", "intent", "scene"))
        return self.label_table[(slice(None), *index)].T


def _pick(p: np.ndarray, row: tuple, share: np.ndarray) -> np.ndarray:
    """Indices (n,) into the last axis of probabilities p: for each row the one up to which `share` (n,) of it lies."""
    below = p.cumsum(-1).reshape(-1, p.shape[-1])
    below /= np.where(below[:, -1:] > 0, below[:, -1:], 1)
    # rows one after the other make one ascending list; within it, the place of row + share is the index looked for
    number = np.ravel_multi_index(row, p.shape[:-1]) if p.ndim > 1 else 0
    place = np.searchsorted((below + np.arange(len(below))[:, None]).ravel(), number + share, side="right")
    return np.minimum(place - number * p.shape[-1], p.shape[-1] - 1)
