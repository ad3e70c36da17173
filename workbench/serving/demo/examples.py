"""Posts to try at once: from the sample of the synthetic world, one per kind of content and of what it is labelled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.schema import MODALITIES, ROOT, Taxonomy
from workbench.serving.demo.verdict import TITLES

SAMPLE = ROOT / "data" / "sample"
PER_KIND = 4


@dataclass(frozen=True)
class Example:
    """A post to fill the form with: `kind` says what it brings, `title` what the sample calls it."""

    kind: str
    title: str
    values: dict[str, str | None]  # text, image and video (paths), language, region, community


def load(taxonomy: Taxonomy, copies: Path, sample: Path = SAMPLE) -> list[Example]:
    """Return examples in the order of content kinds: a harmless one and one per label, at most four a kind.

    Their files are copied into `copies`, so that the page needs no access to the data folder. Without a sample there
    are none.
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
            same[title] = Example(kind, title, _values(post, sample, copies))
    order = ["Harmless", *titles.values()]
    kinds = sorted(examples, key=lambda there: (len(there), [MODALITIES.index(name) for name in there]))
    return [examples[kind][title] for kind in kinds for title in sorted(examples[kind], key=order.index)]


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
