"""Posts to try at once: words as people write them, one claim by two authors, and posts of the synthetic sample."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.schema import MODALITIES, ROOT, Taxonomy
from workbench.serving.demo.verdict import TITLES

SAMPLE = ROOT / "data" / "sample"
PER_KIND = 4


@dataclass(frozen=True)
class Example:
    """A post to fill the form with: `kind` says what it brings, `title` what it is; `service` is the one to ask."""

    kind: str
    title: str
    values: dict[str, str | None]  # text, image and video (paths), language, region, community
    service: str | None = None  # None: the one that fits
    around: dict[str, float] = field(default_factory=dict)  # numbers of author and engagement, as `page.AROUND`


WORDS = (
    Example("Real words", "A threat", {"text": "I will kill you"}),
    Example("Real words", "An insult", {"text": "You are a stupid, worthless idiot"}),
    Example("Real words", "A figure of speech", {"text": "This heat is killing me, let us go for a swim"}),
    Example("Real words", "Another language", {"text": "Tu es vraiment un imbécile, ferme-la"}),
)
CLAIM = {"text": "at 05:15 in Ranburg, Malin says: the vote was moved to Thursday, stay home", "language": "en"}
CLEAN = {"author.account_age_days": 900, "author.posts": 120, "author.prior_reports": 0, "author.prior_removals": 0}
REPORTED = CLEAN | {"author.prior_reports": 240, "author.prior_removals": 31}
AUTHORS = (
    Example("Symbolic claim", "An author without reports", CLAIM, "misinformation", CLEAN),
    Example("Symbolic claim", "An author with 240 reports", CLAIM, "misinformation", REPORTED),
)


def load(taxonomy: Taxonomy, copies: Path, sample: Path = SAMPLE) -> list[Example]:
    """Return examples in words, of authors, then the sample's by content kinds: a harmless one and one per label.

    There are at most four of a kind. Their files are copied into `copies`, so that the page needs no access to the data
    folder.
    """
    titles = {label.name: label.title for label in taxonomy.labels}
    examples: dict[tuple[str, ...], dict[str, Example]] = {}
    for post in _posts(sample):
        there = tuple(name for name in MODALITIES if post.get(name))
        labels = [titles[name] for name in titles if post.get("labels", {}).get(name)]
        if not there or len(labels) > 1:
            continue
        kind = " and ".join([TITLES[there[0]], *(TITLES[name].lower() for name in there[1:])])
        title = labels[0] if labels else "Harmless"
        same = examples.setdefault(there, {})
        if title not in same and (len(same) < PER_KIND or not labels):
            same[title] = Example(kind, title, _values(post, sample, copies), "post")
    order = ["Harmless", *titles.values()]
    kinds = sorted(examples, key=lambda there: (len(there), [MODALITIES.index(name) for name in there]))
    symbolic = [examples[kind][title] for kind in kinds for title in sorted(examples[kind], key=order.index)]
    return [*WORDS, *AUTHORS, *symbolic]


def _posts(sample: Path) -> Iterator[dict[str, Any]]:
    """Yield the sample's posts, the English ones first."""
    path = sample / "posts.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    posts = [json.loads(line) for line in lines if line.strip()]
    yield from sorted(posts, key=lambda post: post.get("language") != "en")


def _values(post: dict[str, Any], sample: Path, copies: Path) -> dict[str, str | None]:
    values = {name: post.get(name) or None for name in ("text", "language", "region", "community")}
    copies.mkdir(parents=True, exist_ok=True)
    for name in ("image", "video"):
        source = sample / post[name] if post.get(name) else None
        values[name] = str(shutil.copy(source, copies)) if source is not None and source.is_file() else None
    return values
