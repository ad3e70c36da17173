"""The joint prior of what causes posts and labels, and every probability that follows from it, as exact sums.

A post is caused by *latents*: which modalities it has, when and where it was written, by whom, what its words intend
and what its picture shows. Given the latents, the surfaces of different modalities are independent of each other, of
the labels and of everything else. A label's probability is a logistic table over the latents,

    P(label k) = sigmoid(base + text_k[intent] + image_k[scene] + pair_k[intent, scene]
                         + author_k[trait] + norm_k[region, intent]).

*Pair-only* harm is a matching: remark i is harmful for label k only with scene match_k(i). All labels share one block
of remarks and scenes, each label has its own matching, and every remark and every scene of the block is equally likely;
so neither half alone says anything about the label. The sum of two scores that fits best is constant over the block as
well: fusing fitted scores gains there by luck alone. (Whoever knows the matching can build a sum that ranks better.)

Because the table is small, `World.exact` sums it: P(label | any set of observed fields). The prior is the one that the
corpus is sampled from; oversampling changes the weight of whole components of the prior and is undone by `weight`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from workbench.schema import WorkbenchError, unknown

# Axes of the joint table. Those with one value keep the place of what the world does not vary yet.
PERIODS = ("steady",)
LINKS = ("none",)
OBFUSCATIONS = ("none",)
PATTERNS = ("text", "image", "text+image")
REGIONS = {"north": 0.5, "south": 0.3, "isles": 0.2}
LANGUAGE_TAGS = ("en", "es", "de")
LANGUAGES = {"north": (0.90, 0.05, 0.05), "south": (0.25, 0.70, 0.05), "isles": (0.30, 0.10, 0.60)}  # P(tag | region)
TRAITS = {"ordinary": 0.9, "prone": 0.1}

LABELS = ("abuse", "nudity", "violence", "misinformation")
TOPICS = ("garden", "recipe", "bicycle", "match", "commute", "book")
REMARKS = tuple(f"remark-{n}" for n in range(8))
TEXT_HARM = {
    "insult": "abuse",
    "exclusion": "abuse",
    "solicitation": "nudity",
    "undressing": "nudity",
    "beating": "violence",
    "smashing": "violence",
    "cure": "misinformation",
    "ballot": "misinformation",
}
INTENTS = ("absent", *TOPICS, "banter", "custom", *REMARKS, *TEXT_HARM)
AMBIGUOUS = "walnut"  # a phrase that an insult and friendly banter share
UTTERANCES = (*INTENTS, AMBIGUOUS)

VIEWS = ("house", "tree", "boat", "mug", "fish", "cloud")
MATCHABLE = ("star", "ring", "arrow", "cross", "moon", "heart", "bolt", "key")
IMAGE_HARM = {
    "cage": "abuse",
    "muzzle": "abuse",
    "peach": "nudity",
    "curtain": "nudity",
    "hammer": "violence",
    "shard": "violence",
    "pill": "misinformation",
    "stamp": "misinformation",
}
SCENES = ("absent", *VIEWS, *MATCHABLE, *IMAGE_HARM)

AXES = ("period", "region", "language", "author", "link", "obfuscation", "intent", "scene", "utterance")
_VALUES = (PERIODS, REGIONS, LANGUAGE_TAGS, TRAITS, LINKS, OBFUSCATIONS, INTENTS, SCENES, UTTERANCES)
SIZES = tuple(len(values) for values in _VALUES)
FIELDS = {  # what observing a field of a post reveals; pattern and period are always given
    "text": ("utterance", "language", "link", "obfuscation"),
    "image": ("scene",),
    "author": ("author",),
    "region": ("region",),
    "language": ("language",),
}
BASE, HARM = -7.0, 9.5  # sigmoid(-7) = 0.0009 of harmless cells carry a label, sigmoid(2.5) = 0.92 of harmful ones
_RATE = 1.0 / (1.0 + np.exp(-(BASE + HARM)))  # of what a harmful component holds
_CROWDING = len(LABELS) / len(REMARKS)  # the part of the block's cells that is harmful for some label
AUTHOR = {"misinformation": 0.8}  # what a prone author adds; 0.4 for the other labels


class Shares(NamedTuple):
    """Which part of the harm among posts with text and picture is told by the pair only, the text, the picture."""

    pair: float
    text: float
    image: float


class World:
    """The joint table for one set of shares, prevalence and oversampling.

    prior: for each pattern, an array over AXES (P(axes | pattern)); patterns: P(pattern), both as sampled.
    weights: for each pattern, how much rarer (intent, scene) is in the sample than at the site (n_intents, n_scenes).
    """

    def __init__(self, shares: Shares, prevalence: float, paired: float | None = None, harm: float | None = None):
        self.shares = shares
        self._tables: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
        site = {"text": 0.8, "image": 0.1, "text+image": 0.1}
        self.patterns = site if paired is None else self._with_paired(site, paired)
        natural = self._harm_factor("prevalence", prevalence, site)
        factor = natural if harm is None else self._harm_factor("oversample.harm", harm, self.patterns)
        self.contents, self.weights = {}, {}
        for pattern in PATTERNS:
            at_site, sampled = self._contents(pattern, natural), self._contents(pattern, factor)
            self.contents[pattern] = sampled
            ratio = np.divide(at_site, sampled, out=np.zeros_like(sampled), where=sampled > 0)
            self.weights[pattern] = ratio * site[pattern] / self.patterns[pattern]

    @staticmethod
    def _with_paired(site: dict[str, float], paired: float) -> dict[str, float]:
        rest = 1.0 - site["text+image"]
        return {name: paired if name == "text+image" else p * (1 - paired) / rest for name, p in site.items()}

    # ------------------------------------------------------------------------------------------------------ labels

    @cached_property
    def matchings(self) -> np.ndarray:
        """match[k, i] (n_labels, n_remarks): the scene of the block with which remark i is harmful for label k."""
        shuffled = np.random.default_rng(20).permutation(len(REMARKS))
        return np.stack([(shuffled + 2 * k) % len(REMARKS) for k in range(len(LABELS))])

    @cached_property
    def label_table(self) -> np.ndarray:
        """P(label | region, author, intent, scene), shape (n_labels, n_regions, n_traits, n_intents, n_scenes)."""
        logit = np.full((len(LABELS), len(REGIONS), len(TRAITS), len(INTENTS), len(SCENES)), BASE)
        for k, label in enumerate(LABELS):
            logit[k, :, 1] += AUTHOR.get(label, 0.4)
            for names, harm, axis in ((INTENTS, TEXT_HARM, 2), (SCENES, IMAGE_HARM, 3)):
                for name in (name for name, target in harm.items() if target == label):
                    index = [slice(None)] * 4
                    index[axis] = names.index(name)
                    logit[(k, *index)] += HARM
            for remark, scene in enumerate(self.matchings[k]):
                logit[k, :, :, INTENTS.index(REMARKS[remark]), SCENES.index(MATCHABLE[scene])] += HARM
        # a regional norm: what is folklore elsewhere demeans people in the isles
        logit[LABELS.index("abuse"), list(REGIONS).index("isles"), :, INTENTS.index("custom")] += HARM
        return 1.0 / (1.0 + np.exp(-logit))

    # ------------------------------------------------------------------------------------------------------- prior

    def _contents(self, pattern: str, factor: float) -> np.ndarray:
        """P(intent, scene | pattern) with a mass of harmful components in proportion to `factor`."""
        words, pictures = "text" in pattern, "image" in pattern
        calm_words = _spread(INTENTS, {**dict.fromkeys(TOPICS, 1.0), "banter": 0.5, "custom": 0.1}, words)
        calm_views = _spread(SCENES, dict.fromkeys(VIEWS, 1.0), pictures)
        remarks = _spread(INTENTS, dict.fromkeys(REMARKS, 1.0), words)
        matchable = _spread(SCENES, dict.fromkeys(MATCHABLE, 1.0), pictures)
        harm_words = _spread(INTENTS, dict.fromkeys(TEXT_HARM, 1.0), words)
        harm_views = _spread(SCENES, dict.fromkeys(IMAGE_HARM, 1.0), pictures)
        harmful = factor / _RATE
        if not (words and pictures):
            calm = np.outer(calm_words, calm_views)
            confounders = np.outer(remarks, calm_views) if words else np.outer(calm_words, matchable)
            loud = np.outer(harm_words, calm_views) if words else np.outer(calm_words, harm_views)
            return harmful * loud + (1 - harmful) * (0.85 * calm + 0.15 * confounders)
        pair, text, image = self.shares
        mass = harmful * np.array([pair / _CROWDING, text, image])
        half_calm = np.outer(remarks, calm_views) + np.outer(calm_words, matchable)  # block halves without their match
        calm = 0.8 * np.outer(calm_words, calm_views) + 0.1 * half_calm
        parts = [np.outer(remarks, matchable), np.outer(harm_words, calm_views), np.outer(calm_words, harm_views), calm]
        return np.tensordot(np.append(mass, 1 - mass.sum()), np.stack(parts), 1)

    def _harm_factor(self, option: str, harm: float, patterns: dict[str, float]) -> float:
        """The factor with which a share `harm` of posts has a label: harm is affine in it, so two points tell."""
        pair, text, image = self.shares
        most = _RATE / max(1.0, pair / _CROWDING + text + image)  # leaves no calm post
        ends = []
        for factor in (0.0, most):
            share = 0.0
            for pattern, p in patterns.items():
                joint = _surroundings()[..., None, None] * self._contents(pattern, factor)
                share += p * (joint.sum(1) * (1 - np.prod(1 - self.label_table, axis=0))).sum()
            ends.append(share)
        if not ends[0] < harm < ends[1]:
            raise WorkbenchError(
                f"`{option}` is {harm}, but with these shares and this part of pairs between {ends[0]:.4f} and "
                f"{ends[1]:.4f} of the posts can have a label; choose a share in between"
            )
        return most * (harm - ends[0]) / (ends[1] - ends[0])

    @cached_property
    def prior(self) -> dict[str, np.ndarray]:
        """P(axes | pattern) over AXES, for each pattern."""
        around = _surroundings()  # (region, language, author)
        joint = {}
        for pattern in PATTERNS:
            cells = np.einsum("rla,is,iu->rlaisu", around, self.contents[pattern], emission())
            joint[pattern] = cells.reshape(SIZES)
        return joint

    # ------------------------------------------------------------------------------------------------------- exact

    def exact(self, information: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return P(label | the fields observed), for each pattern, over all AXES (n_labels, *SIZES), broadcast.

        information: any of FIELDS; a field that the pattern lacks tells nothing. Hidden axes have size 1 in the result.
        """
        if information in self._tables:
            return self._tables[information]
        for field in information:
            if field not in FIELDS:
                raise WorkbenchError(unknown("field", field, FIELDS))
        harm = self.label_table  # (k, region, author, intent, scene)
        harm = harm[:, None, :, None, :, None, None, :, :, None]
        tables = {}
        for pattern, joint in self.prior.items():
            lacking = {"text", "image"} - set(pattern.split("+"))
            seen = {axis for field in information if field not in lacking for axis in FIELDS[field]} | {"period"}
            hidden = tuple(n for n, axis in enumerate(AXES) if axis not in seen)
            total = joint.sum(hidden, keepdims=True)
            mass = (joint[None] * harm).sum(tuple(n + 1 for n in hidden), keepdims=True)
            tables[pattern] = np.divide(mass, total[None], out=np.zeros_like(mass), where=total[None] > 0)
        self._tables[information] = tables
        return tables

    def posterior(self, information: tuple[str, ...], latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return P(label | fields) (n_posts, n_labels); latents: `pattern` and AXES as index arrays (n_posts,)."""
        return self._look_up(self.exact(information), latents)

    @staticmethod
    def _look_up(tables: dict[str, np.ndarray], latents: dict[str, np.ndarray]) -> np.ndarray:
        """Each post's row of its pattern's table: (n_labels, *SIZES with hidden axes 1) to (n_posts, n_labels)."""
        out = np.empty((len(latents["pattern"]), len(LABELS)))
        for number, pattern in enumerate(PATTERNS):
            rows = latents["pattern"] == number
            table = tables[pattern]
            index = tuple(latents[axis][rows] if table.shape[n + 1] > 1 else 0 for n, axis in enumerate(AXES))
            found = table[(slice(None), *index)].T.reshape(-1, len(LABELS))
            out[rows] = np.broadcast_to(found, (rows.sum(), len(LABELS)))
        return out

    def late_fusion(self, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return E[label | the posteriors of the halves] (n_posts, n_labels): the best that any fusion of scores does.

        Whoever fuses scores sees P(every label | text) and P(every label | image), not the halves. Cells of the joint
        table with the same two posteriors (to 1e-9) are one cell to a fuser.
        """
        return self._look_up(self._fused, latents)

    @cached_property
    def _fused(self) -> dict[str, np.ndarray]:
        """E[label | the posteriors of the halves], for each pattern, over the axes that text and image show."""
        text, image, both = (self.exact(fields) for fields in (("text",), ("image",), ("text", "image")))
        tables = {}
        for pattern in PATTERNS:
            seen = both[pattern].shape[1:]
            signature = np.concatenate([np.broadcast_to(t[pattern], (len(LABELS), *seen)) for t in (text, image)])
            _, cell = np.unique(np.round(signature.reshape(2 * len(LABELS), -1).T, 9), axis=0, return_inverse=True)
            hidden = tuple(n for n, size in enumerate(seen) if size == 1)
            mass = np.broadcast_to(self.prior[pattern].sum(hidden, keepdims=True), seen).ravel()
            total = np.bincount(cell, mass)
            fused = np.stack([np.bincount(cell, mass * both[pattern][k].ravel()) for k in range(len(LABELS))])
            fused = np.divide(fused, total, out=np.zeros_like(fused), where=total > 0)[:, cell]
            tables[pattern] = fused.reshape(len(LABELS), *seen)
        return tables

    # ------------------------------------------------------------------------------------------------------ sampling

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return latents of n independent posts: `pattern` and AXES as index arrays (n,), and `weight` (n,)."""
        pattern = rng.choice(len(PATTERNS), n, p=[self.patterns[name] for name in PATTERNS])
        latents = {"pattern": pattern, "weight": np.empty(n), **{axis: np.zeros(n, np.int64) for axis in AXES}}
        around = _surroundings()
        cell = rng.choice(around.size, n, p=around.ravel())
        latents["region"], latents["language"], latents["author"] = np.unravel_index(cell, around.shape)
        for number, name in enumerate(PATTERNS):
            rows = np.flatnonzero(pattern == number)
            table = self.contents[name]
            cell = rng.choice(table.size, len(rows), p=table.ravel())
            latents["intent"][rows], latents["scene"][rows] = np.unravel_index(cell, table.shape)
            latents["weight"][rows] = self.weights[name].ravel()[cell]
        latents["utterance"] = (emission().cumsum(1)[latents["intent"]] < rng.random((n, 1))).sum(1)
        return latents

    def label_probabilities(self, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return P(label | all latents) (n_posts, n_labels)."""
        index = (latents[axis] for axis in ("region", "author", "intent", "scene"))
        return self.label_table[(slice(None), *index)].T


def emission() -> np.ndarray:
    """P(utterance | intent), shape (n_intents, n_utterances): each intent speaks its own phrases, two share one."""
    table = np.eye(len(INTENTS), len(UTTERANCES))
    for intent, share in (("insult", 0.3), ("banter", 0.4)):
        table[INTENTS.index(intent), [INTENTS.index(intent), UTTERANCES.index(AMBIGUOUS)]] = 1 - share, share
    return table


def information_sets(fields: tuple[str, ...] = ("text", "image")) -> dict[str, tuple[str, ...]]:
    """Return every combination of fields by the name it has in result files: `none`, `text`, `image`, `text+image`."""
    sets = [chosen for size in range(len(fields) + 1) for chosen in combinations(fields, size)]
    return {"+".join(chosen) or "none": chosen for chosen in sets}


def _surroundings() -> np.ndarray:
    """P(region, language, author trait), shape (3, 3, 2)."""
    place = np.array(list(REGIONS.values()))[:, None] * np.array([LANGUAGES[name] for name in REGIONS])
    return place[:, :, None] * np.array(list(TRAITS.values()))


def _spread(names: tuple[str, ...], weights: dict[str, float], there: bool) -> np.ndarray:
    """A distribution over names in proportion to weights, or all on `absent` where the modality is not there."""
    spread = np.array([weights.get(name, 0.0) if there else float(name == "absent") for name in names])
    return spread / spread.sum()
