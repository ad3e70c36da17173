"""What causes a post: the values of every latent, and the small tables that say how often each occurs.

All numbers that shape the world stand here; `world` puts them together to a joint distribution, `exact` sums it.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from workbench.schema import MODALITIES

# ------------------------------------------------------------------------------------------------------------- labels

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

# -------------------------------------------------------------------------------------------------- when, where and who

PERIODS = ("before", "after")  # the drift date
PATTERNS = ("text", "image", "video", "text+image", "text+video")
MIX = {  # P(pattern | period) at the site; a quarter of the default year lies after the drift
    "before": (0.80, 0.075, 0.015, 0.085, 0.025),
    "after": (0.80, 0.055, 0.035, 0.065, 0.045),
}
REGIONS = {"north": 0.5, "south": 0.3, "isles": 0.2}
LANGUAGE_TAGS = ("en", "es", "de")
LANGUAGES = {"north": (0.90, 0.05, 0.05), "south": (0.25, 0.70, 0.05), "isles": (0.30, 0.10, 0.60)}  # P(tag | region)
TRAITS = {"ordinary": 0.9, "prone": 0.1}

# ------------------------------------------------------------------------------------------- links, evasion and reports

LINKS = ("none", "host", "site", "short")  # a host that moderates itself, any site, one that hides where it leads
SPAM = ("solicitation", "cure")  # what there is more of after the drift, with links that hide where they lead
_LINKS = {  # P(link | kind of intent, period)
    "calm": ((0.88, 0.05, 0.06, 0.01), (0.84, 0.09, 0.055, 0.015)),
    "harm": ((0.78, 0.03, 0.07, 0.12), (0.74, 0.05, 0.07, 0.14)),
    "spam": ((0.78, 0.03, 0.07, 0.12), (0.40, 0.05, 0.10, 0.45)),
}
SPAM_AFTER = 3.0  # how much more frequent than other harmful intents
OBFUSCATIONS = ("none", "leet", "spaced", "zero-width", "homoglyph")
_OBFUSCATIONS = {"calm": (0.996, 0.001, 0.001, 0.001, 0.001), "harm": (0.93, 0.02, 0.02, 0.015, 0.015)}
REPORTS = ("none", "few", "many")  # when the post is scored
ANNOYING = ("match",)  # harmless, and reported as if it were not: it annoys people
_REPORTS = {"calm": (0.965, 0.030, 0.005), "annoying": (0.70, 0.15, 0.15), "harm": (0.70, 0.20, 0.10)}

# ------------------------------------------------------------------------------- what misinformation leaves behind

# Drawn after the labels: who misleads now has misled before, and what misleads spreads. Of each the last kind is a gap.
RECORDS = ("clean", "few", "many", "notorious", "unknown")  # the author's reports and removals before this post
SPREADS = ("near", "far", "viral", "uncounted")  # how many have seen the post
SIGNALS = {"record": RECORDS, "spread": SPREADS}
_SIGNALS = {  # P(kind | the post misleads, no or yes)
    "record": ((0.62, 0.25, 0.04, 0.01, 0.08), (0.15, 0.25, 0.20, 0.15, 0.25)),
    "spread": ((0.55, 0.18, 0.02, 0.25), (0.28, 0.42, 0.25, 0.05)),
}

# --------------------------------------------------------------------------------------------------- what a label needs

BASE, HARM = -7.0, 9.5  # sigmoid(-7) = 0.0009 of harmless cells carry a label, sigmoid(2.5) = 0.92 of harmful ones
AUTHOR = {"misinformation": 0.8}  # what a prone author adds; 0.4 for the other labels
LINK = {"misinformation": {"short": 2.0}}  # what a kind of link adds


class Norm(NamedTuple):
    """What people of a region hold of an intent: `harm` 1 where only they mind it, -1 where only they do not."""

    label: str
    region: str
    intent: str
    harm: int


NORMS = (
    Norm("abuse", "isles", "custom", 1),  # folklore elsewhere, there it demeans people
    Norm("nudity", "isles", "undressing", -1),
    Norm("violence", "south", "beating", -1),  # talk about boxing there
)

AXES = {
    "period": PERIODS,
    "region": tuple(REGIONS),
    "language": LANGUAGE_TAGS,
    "author": tuple(TRAITS),
    "link": LINKS,
    "obfuscation": OBFUSCATIONS,
    "reports": REPORTS,
    "intent": INTENTS,
    "scene": SCENES,
    "utterance": UTTERANCES,
}
FIELDS = {  # what observing a field of a post reveals, where its pattern has it; pattern and period are always given
    "text": ("utterance", "language", "link", "obfuscation"),
    "image": ("scene",),
    "video": ("scene",),
    "author": ("author", "record"),
    "region": ("region",),
    "language": ("language",),
    "engagement": ("reports", "spread"),
}
assert tuple(FIELDS)[: len(MODALITIES)] == MODALITIES


# --------------------------------------------------------------------------------------------------------------- tables


def spread(names: tuple[str, ...], weights: dict[str, float], there: bool = True) -> np.ndarray:
    """A distribution over names in proportion to weights, or all on `absent` where the modality is not there."""
    values = np.array([weights.get(name, 0.0) if there else float(name == "absent") for name in names])
    return values / values.sum()


@cache
def emission() -> np.ndarray:
    """P(utterance | intent), shape (n_intents, n_utterances): each intent speaks its own phrases, two share one."""
    table = np.eye(len(INTENTS), len(UTTERANCES))
    for intent, share in (("insult", 0.3), ("banter", 0.4)):
        table[INTENTS.index(intent), [INTENTS.index(intent), UTTERANCES.index(AMBIGUOUS)]] = 1 - share, share
    return table


@cache
def links() -> np.ndarray:
    """P(link | period, intent), shape (n_periods, n_intents, n_links)."""
    table = np.array([_LINKS["calm"]] * len(INTENTS)).swapaxes(0, 1)
    for n, intent in enumerate(INTENTS):
        if intent in TEXT_HARM:
            table[:, n] = _LINKS["spam" if intent in SPAM else "harm"]
    table[:, INTENTS.index("absent")] = np.eye(len(LINKS))[0]
    return table


@cache
def obfuscations() -> np.ndarray:
    """P(obfuscation | intent), shape (n_intents, n_obfuscations)."""
    table = np.array([_OBFUSCATIONS["harm" if intent in TEXT_HARM else "calm"] for intent in INTENTS])
    table[INTENTS.index("absent")] = np.eye(len(OBFUSCATIONS))[0]
    return table


def reports(harmful: np.ndarray) -> np.ndarray:
    """P(reports | what the post is), for cells (n_regions, n_intents, n_scenes) that are harmful or not."""
    harmless = np.array([_REPORTS["annoying" if intent in ANNOYING else "calm"] for intent in INTENTS])
    return np.where(harmful[..., None], np.array(_REPORTS["harm"]), harmless[:, None])


def signals(axis: str) -> np.ndarray:
    """P(kind | the post misleads), shape (2, n_kinds): 0 where it does not, 1 where it does."""
    return np.array(_SIGNALS[axis])


def places() -> np.ndarray:
    """P(region, language), shape (n_regions, n_languages)."""
    return np.array(list(REGIONS.values()))[:, None] * np.array([LANGUAGES[name] for name in REGIONS])


def text_harm(period: str) -> np.ndarray:
    """P(intent | the text is harmful, period), shape (n_intents,)."""
    more = dict.fromkeys(SPAM, SPAM_AFTER if period == "after" else 1.0)
    return spread(INTENTS, dict.fromkeys(TEXT_HARM, 1.0) | more)
