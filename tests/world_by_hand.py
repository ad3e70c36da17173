"""The synthetic world again, as a list of every combination of its causes: sums over it share no formula with the code.

Written from the sentences of the design and of the data card. `Cases` is a flat list of some million combinations; what
`exact` adds up factor by factor is added up here one combination after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from workbench.corpora.synthetic import causes as c
from workbench.corpora.synthetic.world import Design, ShareOptions, World

AXES = tuple(c.AXES)
SIZES = {"pattern": len(c.PATTERNS), **{axis: len(values) for axis, values in c.AXES.items()}}
CALM = {**dict.fromkeys(c.TOPICS, 1 / 6.6), "banter": 0.5 / 6.6, "custom": 0.1 / 6.6}
NOTHING = {"absent": 1.0}
PLACE = {"north": 0.5, "south": 0.3, "isles": 0.2}
SPOKEN = {"north": (0.90, 0.05, 0.05), "south": (0.25, 0.70, 0.05), "isles": (0.30, 0.10, 0.60)}
TRAIT = {"ordinary": 0.9, "prone": 0.1}
LINKED = {"calm": ((0.88, 0.05, 0.06, 0.01), (0.84, 0.09, 0.055, 0.015))}
LINKED |= {"harm": ((0.78, 0.03, 0.07, 0.12), (0.74, 0.05, 0.07, 0.14))}
LINKED |= {"spam": (LINKED["harm"][0], (0.40, 0.05, 0.10, 0.45))}
DISGUISED = {"calm": (0.996, 0.001, 0.001, 0.001, 0.001), "harm": (0.93, 0.02, 0.02, 0.015, 0.015)}
REPORTED = {"calm": (0.965, 0.030, 0.005), "annoying": (0.70, 0.15, 0.15), "harm": (0.70, 0.20, 0.10)}
TOLD = {  # by a field, of whether the post misleads: (axis, what each kind is worth if not, and if so)
    "author": ("record", (0.62, 0.25, 0.04, 0.01, 0.08), (0.15, 0.25, 0.20, 0.15, 0.25)),
    "engagement": ("spread", (0.55, 0.18, 0.02, 0.25), (0.28, 0.42, 0.25, 0.05)),
}
MATCHINGS = World(Design()).matchings  # which pairs match is the world's to choose; a test holds it to be a matching


class Cases(NamedTuple):
    """Combinations of causes: p (n,), codes (axis -> (n,)), and chance of each label (n, n_labels)."""

    p: np.ndarray
    codes: dict[str, np.ndarray]
    chance: np.ndarray


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def even(names) -> dict[str, float]:
    return {name: 1 / len(names) for name in names}


@cache
def label_chance(label: str, region: str, trait: str, link: str, intent: str, scene: str, norms: float) -> float:
    """P(label | causes)."""
    logit = -7.0
    if trait == "prone":
        logit += 0.8 if label == "misinformation" else 0.4
    if link == "short" and label == "misinformation":
        logit += 2.0
    if c.TEXT_HARM.get(intent) == label:
        logit += 9.5
    if c.IMAGE_HARM.get(scene) == label:
        logit += 9.5
    if (label, region, intent) == ("abuse", "isles", "custom"):
        logit += 9.5 * norms
    if (label, region, intent) in {("nudity", "isles", "undressing"), ("violence", "south", "beating")}:
        logit -= 9.5 * norms
    for remark, at in zip(c.REMARKS, MATCHINGS[c.LABELS.index(label)], strict=True):
        if intent == remark and scene == c.MATCHABLE[at]:
            logit += 9.5
    return sigmoid(logit)


def link_shares(intent: str, period: int) -> dict[str, float]:
    if intent == "absent":
        return dict(zip(c.LINKS, (1, 0, 0, 0), strict=True))
    kind = "spam" if intent in ("solicitation", "cure") else "harm" if intent in c.TEXT_HARM else "calm"
    return dict(zip(c.LINKS, LINKED[kind][period], strict=True))


@cache
def any_label(period: int, intent: str, scene: str, norms: float) -> float:
    """P(some label | intent, scene) in a period."""
    total = 0.0
    for (region, r), (trait, t), (link, q) in product(
        PLACE.items(), TRAIT.items(), link_shares(intent, period).items()
    ):
        none = math.prod(1 - label_chance(label, region, trait, link, intent, scene, norms) for label in c.LABELS)
        total += r * t * q * (1 - none)
    return total


def components(pattern: str, period: int, shares: ShareOptions) -> tuple[list, list]:
    """What posts of a pattern are mixed from: [(share of its harm, words, images)] and [(share of its calm, ...)]."""
    remarks, shapes, views = even(c.REMARKS), even(c.MATCHABLE), even(c.VIEWS)
    loud = {name: (3 if period and name in ("solicitation", "cure") else 1) for name in c.TEXT_HARM}
    words = {name: n / sum(loud.values()) for name, n in loud.items()}
    images = even(c.IMAGE_HARM)
    if pattern == "text":
        return [(1.0, words, NOTHING)], [(0.85, CALM, NOTHING), (0.15, remarks, NOTHING)]
    if pattern in ("image", "video"):
        return [(1.0, NOTHING, images)], [(0.85, NOTHING, views), (0.15, NOTHING, shapes)]
    harm = [(shares.pair, remarks, shapes), (shares.text, words, views), (shares.image, CALM, images)]
    return harm, [(0.8, CALM, views), (0.1, remarks, views), (0.1, CALM, shapes)]


def contents(pattern: str, period: int, factor: float, design: Design) -> dict[tuple[str, str], float]:
    """P(intent, scene | pattern, period), where harmful components bring labels to a share `factor` of posts."""
    harm, calm = components(pattern, period, design.shares)
    joint: dict[tuple[str, str], float] = {}
    left = 1.0
    for share, some, others in harm:
        cells = {(i, s): p * q for (i, p), (s, q) in product(some.items(), others.items())}
        mass = share * factor / sum(p * any_label(period, *cell, design.norms) for cell, p in cells.items())
        left -= mass
        for cell, p in cells.items():
            joint[cell] = joint.get(cell, 0) + mass * p
    for share, some, others in calm:
        for (i, p), (s, q) in product(some.items(), others.items()):
            joint[i, s] = joint.get((i, s), 0) + left * share * p * q
    return joint


def mix(design: Design, paired: float | None) -> list[dict[str, float]]:
    """P(pattern) before and after the drift."""
    found = []
    for shares in ((0.80, 0.075, 0.015, 0.085, 0.025), (0.80, 0.055, 0.035, 0.065, 0.045)):
        names = ("text", "image", "video", "text+image", "text+video")
        there = {n: p for n, p in zip(names, shares, strict=True) if set(n.split("+")) <= set(design.modalities)}
        both = sum(p for name, p in there.items() if "+" in name)
        total = sum(there.values())
        if paired is None:
            found.append({name: p / total for name, p in there.items()})
        else:
            rest = total - both
            found.append({n: p * (paired / both if "+" in n else (1 - paired) / rest) for n, p in there.items()})
    return found


def cells(design: Design, *, site: bool = False) -> dict[tuple[int, str, str, str], float]:
    """P(period, pattern, intent, scene) in the sample or at the site, the share of labels as the design asks."""
    patterns = mix(design, None if site else design.paired)
    asked = design.prevalence if site or design.harm is None else design.harm
    when = (1 - design.after, design.after)

    def at(factor: float) -> dict:
        return {
            (t, pattern, *cell): when[t] * share * p
            for t in (0, 1)
            for pattern, share in patterns[t].items()
            for cell, p in contents(pattern, t, factor, design).items()
        }

    low, high = (sum(p * any_label(t, i, s, design.norms) for (t, _, i, s), p in at(f).items()) for f in (0.0, 0.1))
    return at(0.1 * (asked - low) / (high - low))


@cache
def cases(design: Design) -> Cases:
    """Every combination of causes that can be."""
    rows: list[np.ndarray] = []
    for (t, pattern, intent, scene), mass in cells(design).items():
        if mass > 0:
            rows.append(_expanded(t, pattern, intent, scene, mass, design.norms))
    table = np.concatenate(rows, axis=1)
    names = ("pattern", *AXES)
    codes = {name: table[n].astype(np.int64) for n, name in enumerate(names)}
    return Cases(table[len(names)], codes, table[len(names) + 1 :].T)


def _expanded(t: int, pattern: str, intent: str, scene: str, mass: float, norms: float) -> np.ndarray:
    """Rows (pattern, AXES, p, chance per label), one column per combination of the other causes."""
    kind = "harm" if intent in c.TEXT_HARM else "calm"
    obfuscations = np.array(DISGUISED[kind] if intent != "absent" else (1, 0, 0, 0, 0), float)
    said = {intent: 1.0}
    if intent in ("insult", "banter"):
        shared = 0.3 if intent == "insult" else 0.4
        said = {intent: 1 - shared, "walnut": shared}
    spoken = np.array([[SPOKEN[region][n] for n in range(3)] for region in PLACE])
    chance = np.array(
        [
            [[[label_chance(k, r, a, q, intent, scene, norms) for q in c.LINKS] for a in TRAIT] for r in PLACE]
            for k in c.LABELS
        ]
    )  # (label, region, author, link)
    minded = [any(label_chance(k, r, "ordinary", "none", intent, scene, norms) > 0.5 for k in c.LABELS) for r in PLACE]
    harmless = "annoying" if intent == "match" else "calm"
    reported = np.array([REPORTED["harm" if one else harmless] for one in minded])
    # region, language, author, link, obfuscation, reports, utterance
    shape = (3, 3, 2, 4, 5, 3, len(said))
    r, w, a, q, o, e, u = np.indices(shape).reshape(len(shape), -1)
    p = mass * np.array(list(PLACE.values()))[r] * spoken[r, w] * np.array(list(TRAIT.values()))[a]
    p = p * np.array(list(link_shares(intent, t).values()))[q] * obfuscations[o] * reported[r, e]
    p = p * np.array(list(said.values()))[u]
    utterance = np.array([c.UTTERANCES.index(name) for name in said])[u]
    same = [np.full(len(p), value) for value in (c.INTENTS.index(intent), c.SCENES.index(scene))]
    where = [np.full(len(p), value) for value in (c.PATTERNS.index(pattern), t)]
    found = np.stack([*where, r, w, a, q, o, e, *same, utterance, p, *chance[:, r, a, q]])
    return found[:, p > 0]


REVEALED = {  # what somebody sees who sees a field
    "text": ("utterance", "language", "link", "obfuscation"),
    "image": ("scene",),
    "video": ("scene",),
    "author": ("author",),
    "region": ("region",),
    "language": ("language",),
    "engagement": ("reports",),
}


def observed(found: Cases, information: tuple[str, ...]) -> np.ndarray:
    """One number (n,) for what is seen of each combination: its pattern, its period and what the fields reveal."""
    key = found.codes["pattern"] * SIZES["period"] + found.codes["period"]
    for axis in sorted({axis for field in information for axis in REVEALED[field]}):
        fields = [field for field in information if axis in REVEALED[field]]
        brings = np.array(
            [any(f in pattern.split("+") for f in fields) for pattern in c.PATTERNS]
        )[found.codes["pattern"]]  # fmt: skip
        always = any(field not in ("text", "image", "video") for field in fields)
        key = _renumbered(key * (SIZES[axis] + 1) + np.where(brings | always, found.codes[axis] + 1, 0))
    return _renumbered(key)


def _renumbered(key: np.ndarray) -> np.ndarray:
    """Number the values that occur 0, 1, ... in their order; by a table, as sorting some million numbers takes long."""
    occurs = np.zeros(key.max() + 1, bool)
    occurs[key] = True
    return (np.cumsum(occurs) - 1)[key]


def posteriors(found: Cases, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return P(label | key) (n_keys, n_labels) by adding up, and the first combination of each key (n_keys,)."""
    total = np.bincount(key, found.p)
    mass = [np.bincount(key, found.p * chance) for chance in found.chance.T]
    first = np.empty(len(total), np.int64)
    first[key[::-1]] = np.arange(len(key))[::-1]
    return np.stack(mass, 1) / total[:, None], first


def signalled(
    found: Cases, key: np.ndarray, information: tuple[str, ...]
) -> Iterator[tuple[dict[str, int], np.ndarray]]:
    """Yield every kind of the signals that are seen, and P(label | key, these) (n_keys, n_labels) by adding up.

    What misinformation leaves behind depends on nothing else: the other labels go with it as the causes have it.
    """
    told, misleads = [TOLD[field] for field in information if field in TOLD], found.chance[:, 3]
    for kinds in product(*(range(len(no)) for _, no, _ in told)):
        no, yes = (math.prod(part[1 + side][n] for part, n in zip(told, kinds, strict=True)) for side in (0, 1))
        weight = found.p * ((1 - misleads) * no + misleads * yes)
        mass = [np.bincount(key, weight * chance) for chance in found.chance.T[:3]]
        mass.append(np.bincount(key, found.p * misleads * yes))
        codes = {axis: n for (axis, *_), n in zip(told, kinds, strict=True)}
        yield codes, np.stack(mass, 1) / np.bincount(key, weight)[:, None]


def late_fusion(found: Cases) -> np.ndarray:
    """E[label | P(every label | text), P(every label | vision)] of each combination, (n, n_labels)."""
    alike = []
    for fields in (("text",), ("image", "video")):
        key = observed(found, fields)
        values, first = posteriors(found, key)
        where = np.stack([found.codes["pattern"][first], found.codes["period"][first]], 1)
        alike.append(_near(np.hstack([where, values]))[key])
    both = alike[0] * (alike[1].max() + 1) + alike[1]
    key = np.unique(both, return_inverse=True)[1].ravel()
    return posteriors(found, key)[0][key]


def _near(rows: np.ndarray, apart: float = 1e-10) -> np.ndarray:
    """Give rows that differ nowhere by `apart` or more the same number: (n,)."""
    kinds: list[np.ndarray] = []
    number = np.empty(len(rows), int)
    for n, row in enumerate(rows):
        near = np.flatnonzero(np.abs(np.array(kinds) - row).max(1) < apart) if kinds else []
        number[n] = near[0] if len(near) else len(kinds)
        if not len(near):
            kinds.append(row)
    return number
