"""Leaks planted among clean posts: of each kind the gate must find nearly all, and it must leave clean posts alone.

An original goes to the training posts, its edited copy to the test posts; a plant is found where the gate names both.
The edits are those that the gate claims to see through: changes that cleaning undoes and none at all for exact repeats,
and those of `audit.edits`. Clean posts are fresh ones, each of a family of its own, divided at random. Texts are words
of the synthetic world in a random order, since the world itself says the same sentence with another place and another
name, which is no clean post. Its pictures are too small and too even for anything to be recognised once it is moved, so
for that `drawing`s are planted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from workbench import corpora
from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import SCENES
from workbench.evidence import audit
from workbench.evidence.audit import edits
from workbench.evidence.proof.claims import OF
from workbench.features import FeatureStore
from workbench.schema import Taxonomy

REPEATED, CLEAN, NEAR = "repeated", "clean", "near"
_WORDS = (8, 25)  # of a text, at least and fewer than
_STYLES = (str.upper, lambda text: f"  {text}\u200b ", lambda text: text.replace(" ", "  "))


class Plant(NamedTuple):
    """Of `pairs` planted pairs (or as many clean posts, where `edit` is CLEAN) how many the gate named."""

    what: str
    edit: str
    found: int
    pairs: int


# --------------------------------------------------------------------------------------------------------------- plants


KINDS = sum(len(every) for *_, every in edits.KINDS.values()) + 3 + 4
"""How many kinds of plants there are, exact repeats and clean posts among them."""
SORTS = 3  # of content: texts, pictures, clips


@dataclass(frozen=True)
class PlantTrial:
    """Called with the number of a sort of content, it plants and returns what was found, see `claims.claimed`."""

    pairs: int
    seed: int = 0

    def __call__(self, number: int) -> Counter:
        """Return the counts of one sort: texts, pictures or clips."""
        counts: Counter = Counter()
        for plant in plants(number, self.pairs, self.seed):
            clean = plant.edit.startswith(CLEAN)
            what = f"{plant.what}s named" if clean else f"{plant.what} found"
            kind = CLEAN if clean else REPEATED if plant.edit == REPEATED else NEAR
            counts[kind, what, plant.edit] += plant.found
            counts[OF, what, plant.edit] += plant.pairs
        return counts


def plants(sort: int, pairs: int, seed: int = 0) -> Iterator[Plant]:
    """Yield each kind of plant of a sort of content and what was found of it, at the end the clean posts."""
    rng, taxonomy = np.random.default_rng([seed, sort]), Taxonomy.load()
    yield from (_texts, _pictures, _clips)[sort](pairs, rng, taxonomy)


def _texts(pairs: int, rng: np.random.Generator, taxonomy: Taxonomy) -> Iterator[Plant]:
    fresh = _sentences(8 * pairs, rng, taxonomy)
    some = fresh[:pairs]
    styled = [_STYLES[k % len(_STYLES)](text) for k, text in enumerate(some)]
    yield _repeated("text", some, styled)
    yield from _edited("text", some, rng)
    yield _clean("text", fresh, ("text", "near_text"))


def _pictures(pairs: int, rng: np.random.Generator, taxonomy: Taxonomy) -> Iterator[Plant]:
    fresh = _fresh({"modalities": ["image"]}, "image", 2 * pairs, rng, taxonomy)
    some = fresh[:pairs]
    yield _repeated("picture", some, some)
    yield from _edited("picture", some, rng, edits.ENCODED)
    yield _clean("picture", fresh, ("image", "near_image"))
    drawn = [edits.picture(drawing(rng)) for _ in range(2 * pairs)]
    yield from _edited("picture", drawn[:pairs], rng, edits.MOVED)
    yield _clean("picture", drawn, ("image", "near_image"), "clean, drawn")


def _clips(pairs: int, rng: np.random.Generator, taxonomy: Taxonomy) -> Iterator[Plant]:
    films = [clips.shoot(int(rng.integers(1, len(SCENES))), rng, 0.5) for _ in range(pairs)]
    fresh = [{"bytes": clips.encode(film, rng), "path": None} for film in films]
    yield _repeated("clip", fresh, fresh)
    yield from _edited("clip", fresh, rng)
    yield from _edited("still", fresh, rng)
    yield _clean("clip", fresh, ("video", "near_video"))


def drawing(rng: np.random.Generator) -> Image.Image:
    """Return a picture of 320 by 240 pixels: rectangles, as many corners as a photograph has, on a ground of blobs."""
    size = (320, 240)
    image = Image.fromarray(rng.integers(60, 200, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, width, height = (*rng.integers(0, size), *rng.integers(6, 40, 2))
        draw.rectangle((x, y, x + width, y + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def _edited(what: str, cells: Sequence[Any], rng: np.random.Generator, some: Any = None) -> Iterator[Plant]:
    relation, store = edits.KINDS[what][2], FeatureStore(None)  # originals are read once for all edits

    def look(sets: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
        return {relation: _findings(sets, relation, store)}

    for row in edits.tried(what, cells, look, rng, some):
        yield Plant(what, row["edit"], row["found"], row["of"])


def _fresh(options: dict[str, Any], kind: str, n: int, rng: np.random.Generator, taxonomy: Taxonomy) -> list[Any]:
    """Return what n posts of the synthetic site hold of a kind, each post of another family."""
    seed = int(rng.integers(2**31))
    table = corpora.load({"source": "synthetic", "posts": 2 * n, "seed": seed, **options}, taxonomy).table
    _, first = np.unique(table["group"].to_numpy(), return_index=True)
    return table[kind].take(pa.array(np.sort(first)[:n])).to_pylist()


def _sentences(n: int, rng: np.random.Generator, taxonomy: Taxonomy) -> list[str]:
    """Return texts of words of the synthetic world in a random order."""
    words = " ".join(_fresh({"modalities": ["text"]}, "text", max(n // 4, 100), rng, taxonomy)).split()
    return [" ".join(rng.choice(words, rng.integers(*_WORDS))) for _ in range(n)]


def _repeated(what: str, cells: Sequence[Any], again: Sequence[Any]) -> Plant:
    column = edits.KINDS[what][0]
    sets = {"train": edits.posts(column, cells), "test": edits.posts(column, again)}
    return Plant(what, REPEATED, _findings(sets, column)["posts"] // 2, len(cells))


def _findings(sets: Mapping[str, pa.Table], relation: str, store: FeatureStore | None = None) -> dict[str, Any]:
    if relation in audit.HELD:
        return audit.overlap(sets)[relation]
    return audit.look(sets, Taxonomy.load(), [relation], store=store)[relation]


def _clean(what: str, fresh: Sequence[Any], relations: Sequence[str], called: str = CLEAN) -> Plant:
    """Return how many of fresh posts, divided in halves, the gate names, counted once for each of the relations."""
    column, half = edits.KINDS[what][0], len(fresh) // 2
    sets = {name: edits.posts(column, part) for name, part in (("train", fresh[:half]), ("test", fresh[half:]))}
    return Plant(what, called, sum(_findings(sets, relation)["posts"] for relation in relations), len(fresh))
