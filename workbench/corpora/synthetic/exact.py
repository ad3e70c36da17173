"""Every probability that follows from the world's joint distribution, as exact sums.

The joint distribution has tens of millions of cells, but it is a product of small factors,

    P(pattern | period) P(intent, scene | period, pattern) P(region, language) P(author) P(link | period, intent)
    P(obfuscation | intent) P(reports | region, intent, scene) P(utterance | intent) P(labels | causes)
    P(record | misinformation) P(spread | misinformation),

so that latents nobody observes are summed out factor by factor. What a text reveals (utterance and obfuscation) depends
on the intent alone and few intents share an utterance, what an author's record and the spread reveal on one label:
these are looked up at the end instead of being tabled.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

from workbench.corpora.synthetic import causes
from workbench.corpora.synthetic.causes import FIELDS, LABELS, PATTERNS, PERIODS, SIGNALS
from workbench.corpora.synthetic.world import World
from workbench.errors import WorkbenchError, unknown
from workbench.schema import MODALITIES

_MISLEADS = LABELS.index("misinformation")
_LETTERS = {"misleads": "y", "place": "w", "author": "a", "link": "l", "reports": "e", "scene": "s", "intent": "i"}


class Exact:
    """P(label | what some fields of a post reveal), its pattern and period always given.

    masses: pattern -> P(what is seen, intent, and the label or nothing more | period), shape (n_periods, n_labels + 1,
    misleads, place, author, link, reports, scene, intent), where a latent that is not seen has size 1. `place` is the
    region, the language where the region is not seen (it says nothing about labels beside the region), or 1. The intent
    is there where the text is seen, and only weighed by the utterance and the obfuscation when a post is looked up;
    whether the post misleads is there where a signal of it is seen, and weighed by that.
    """

    def __init__(self, world: World, information: tuple[str, ...]):
        for field in information:
            if field not in FIELDS:
                raise WorkbenchError(unknown("field", field, FIELDS))
        self.seen, self.masses = {}, {}
        for p, pattern in enumerate(PATTERNS):
            lacking = set(MODALITIES) - set(pattern.split("+"))
            self.seen[pattern] = {axis for name in information if name not in lacking for axis in FIELDS[name]}
            self.masses[pattern] = _masses(world, p, self.seen[pattern])

    def posterior(self, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return P(label | fields) (n_posts, n_labels); latents: `pattern` and AXES as index arrays (n_posts,)."""
        out = np.empty((len(latents["pattern"]), len(LABELS)))
        for number, pattern in enumerate(PATTERNS):
            rows = np.flatnonzero(latents["pattern"] == number)
            if len(rows):
                mass = self.mass(pattern, {axis: values[rows] for axis, values in latents.items()})
                out[rows] = ratio(mass[:, :-1], mass[:, -1:])
        return out

    def mass(self, pattern: str, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return the masses (n_posts, n_labels + 1) of posts that have one pattern."""
        table, seen = self.masses[pattern], self.seen[pattern]
        place = "region" if "region" in seen else "language"
        axes = (place, "author", "link", "reports", "scene")
        index = [latents[axis] if table.shape[n + 3] > 1 else 0 for n, axis in enumerate(axes)]
        cell = (latents["period"], slice(None), slice(None), *index)
        if "utterance" not in seen:
            total = table[(*cell, 0)]
        else:
            total = 0.0
            for intent, weight in zip(*_speakers(), strict=True):
                intent = intent[latents["utterance"]]
                share = weight[latents["utterance"]] * causes.obfuscations()[intent, latents["obfuscation"]]
                total = total + share[:, None, None] * table[(*cell, intent)]
        for axis in sorted(seen & {*SIGNALS}):
            total = total * causes.signals(axis).T[latents[axis]][:, None]
        return total.sum(2)


def _masses(world: World, pattern: int, seen: set[str]) -> np.ndarray:
    place = causes.places()
    if "region" in seen:
        place = np.diag(place.sum(1))
    elif "language" not in seen:
        place = place.sum(1, keepdims=True)
    labelled = np.concatenate([world.label_table, np.ones_like(world.label_table[:1])])
    author = np.array(list(causes.TRAITS.values()))
    factors = {"rw": place, "a": author, "til": causes.links(), "tis": world.contents[:, pattern]}
    factors |= {"kyralis": _by_misleading(labelled)} if seen & {*SIGNALS} else {"kralis": labelled}
    if "reports" in seen:
        factors["rise"] = world.reports
    kept = seen | {"place"} | ({"intent"} if "utterance" in seen else set())
    kept |= {"misleads"} if seen & {*SIGNALS} else set()
    letters = "tk" + "".join(letter for axis, letter in _LETTERS.items() if axis in kept)
    sums = np.einsum(f"{','.join(factors)}->{letters}", *factors.values(), optimize="greedy")
    return np.expand_dims(sums, [n + 2 for n, letter in enumerate(_LETTERS.values()) if letter not in letters])


def _by_misleading(labelled: np.ndarray) -> np.ndarray:
    """Split P(label | causes) (n_labels + 1, ...) by whether the post misleads: (n_labels + 1, 2, ...)."""
    misleads = labelled[_MISLEADS]
    split = np.stack([labelled * (1 - misleads), labelled * misleads], axis=1)
    split[_MISLEADS] = np.stack([np.zeros_like(misleads), misleads])
    return split


@cache
def _speakers() -> tuple[np.ndarray, np.ndarray]:
    """The intents that speak each utterance and how often they do, (most at once, n_utterances) both."""
    emission = causes.emission()
    order = np.argsort(-emission, axis=0, kind="stable")[: (emission > 0).sum(0).max()]
    return order, np.take_along_axis(emission, order, 0)


def ratio(mass: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return mass / total, 0 where both are."""
    total = np.broadcast_to(total, mass.shape)
    return np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)


class LateFusionLimit:
    """E[label | the posteriors of the text and of the vision]: the best that any fusion of these posteriors does.

    Whoever fuses calibrated probabilities sees P(every label | text) and P(every label | picture or clip), not the
    halves; other scores may tell more than their probability, and no limit holds for them. Cells with the
    same two posteriors (to 1e-9) are one cell to a fuser. A post of one modality has one posterior: that is the answer.
    """

    def __init__(self, world: World):
        self.either = Exact(world, MODALITIES)
        self.fused = {}
        for p, pattern in enumerate(PATTERNS):
            if "+" in pattern:
                self.fused[p] = [_fused(self.either.masses[pattern][t, :, 0]) for t in range(len(PERIODS))]

    def posterior(self, latents: dict[str, np.ndarray]) -> np.ndarray:
        """Return E[label | the posteriors of the halves] (n_posts, n_labels)."""
        out = self.either.posterior(latents)
        for p, periods in self.fused.items():
            for t, (spoken, shown, table) in enumerate(periods):
                rows = np.flatnonzero((latents["pattern"] == p) & (latents["period"] == t))
                text = tuple(latents[axis][rows] for axis in ("language", "link", "utterance", "obfuscation"))
                out[rows] = table[:, spoken[text], shown[latents["scene"][rows]]].T
        return out


def _fused(masses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the cell of each text (language, link, utterance, obfuscation), of each scene, and (label, text, scene).

    masses: those of one period and pattern, (n_labels + 1, language, 1, link, 1, scene, intent).
    """
    spoken = causes.emission()[:, :, None] * causes.obfuscations()[:, None]  # (intent, utterance, obfuscation)
    joint = np.tensordot(masses[:, :, 0, :, 0], spoken, 1)  # (k, language, link, scene, utterance, obfuscation)
    joint = joint.transpose(0, 1, 2, 4, 5, 3)
    texts = joint.shape[1:-1]
    joint = joint.reshape(len(joint), -1, joint.shape[-1])  # (k, text, scene)
    cells = []
    for half in (joint.sum(2), joint.sum(1)):  # (k, n)
        signature = np.round(ratio(half[:-1], half[-1:]), 9).T
        cells.append(np.unique(signature, axis=0, return_inverse=True)[1].ravel())
    text, scene = (np.eye(cell.max() + 1)[cell] for cell in cells)  # (n, n_cells), one 1 a row
    together = np.einsum("kns,nc,sd->kcd", joint, text, scene, optimize="greedy")
    return cells[0].reshape(texts), cells[1], ratio(together[:-1], together[-1:])


def information_sets(fields: tuple[str, ...] = MODALITIES) -> dict[str, tuple[str, ...]]:
    """Return every combination of fields by its name in result files: `none`, `text`, ..., `text+image+video`."""
    sets = [chosen for size in range(len(fields) + 1) for chosen in combinations(fields, size)]
    return {"+".join(chosen) or "none": chosen for chosen in sets}


# What models see besides content: few, as each is summed and stored for every post. A set is named in the order of
# `schema.INPUTS`; the time tells the period, which is always given, and the community nothing.
AROUND = (
    ("author",),
    ("author", "engagement"),
    ("text", "author"),
    ("text", "author", "engagement"),
    ("text", "region"),
    ("text", "image", "video", "region"),
    ("text", "image", "video", "author", "engagement"),
)


class Truth:
    """P(label | information) by name: for every set of modalities, for AROUND, and for the limit of late fusion."""

    def __init__(self, world: World):
        sets = information_sets() | {"+".join(fields): fields for fields in AROUND}
        self.tables = {name: Exact(world, fields) for name, fields in sets.items()}
        self.tables["late-fusion"] = LateFusionLimit(world)

    def of(self, latents: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return name -> (n_posts, n_labels)."""
        return {name: table.posterior(latents) for name, table in self.tables.items()}
