"""Leaks planted among clean posts: of each kind the gate must find nearly all, and it must leave clean posts alone.

An original goes to the training posts, its edited copy to the test posts; a plant is found where the gate names both.
The edits are those that `evidence.audit` claims to see through: changes that cleaning undoes and none at all
for exact repeats, and for texts, pictures and clips `REWRITES`, `EDITS` and `CUTS`. Clean posts are fresh ones, each of
a family of its own, divided at random. Texts are words of the synthetic world in a random order, since the world itself
says the same sentence with another place and another name, which is no clean post.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance

from workbench import corpora
from workbench.corpora.synthetic import clips
from workbench.corpora.synthetic.causes import SCENES
from workbench.evidence import attacks, audit
from workbench.evidence.proof.claims import OF
from workbench.preprocessing import media
from workbench.schema import Taxonomy, corpus_schema

REPEATED, CLEAN, NEAR = "repeated", "clean", "near"
_WORDS = (8, 25)  # of a text, at least and fewer than
_STYLES = (str.upper, lambda text: f"  {text}\u200b ", lambda text: text.replace(" ", "  "))


class Plant(NamedTuple):
    """Of `pairs` planted pairs (or as many clean posts, where `edit` is CLEAN) how many the gate named."""

    what: str
    edit: str
    found: int
    pairs: int


# ---------------------------------------------------------------------------------------------------------------- edits


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return the picture as it is after JPEG of a quality."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def resized(image: Image.Image, factor: float) -> Image.Image:
    """Return the picture at another size, its shape kept."""
    return image.resize(tuple(max(1, round(factor * side)) for side in image.size))


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Return the picture without a share of each side."""
    width, height = image.size
    return image.crop((round(share * width), round(share * height), *(round((1 - share) * n) for n in (width, height))))


def under_logo(image: Image.Image, share: float) -> Image.Image:
    """Return the picture with a square of one colour over a share of it; where and which follows from the picture."""
    rng = np.random.default_rng(np.asarray(image)[0, 0])
    width, height = image.size
    side = round((share * width * height) ** 0.5)
    at = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    edited = image.copy()
    edited.paste(tuple(rng.integers(0, 256, 3).tolist()), (*at, at[0] + side, at[1] + side))
    return edited


def _cut_off(words: list[str], rng: np.random.Generator) -> list[str]:
    return [*words[: round(2 * len(words) / 3)], "..."]


def _two_dropped(words: list[str], rng: np.random.Generator) -> list[str]:
    dropped = rng.choice(len(words), 2, replace=False)
    return [word for place, word in enumerate(words) if place not in dropped]


def _swapped(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words) - 1))
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def _one_more(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words) + 1))
    return [*words[:at], "indeed", *words[at:]]


def _one_changed(words: list[str], rng: np.random.Generator) -> list[str]:
    at = int(rng.integers(len(words)))
    return [*words[:at], "indeed", *words[at + 1 :]]


REWRITES: dict[str, Callable[[list[str], np.random.Generator], list[str]]] = {
    "cut off after two thirds": _cut_off,
    "leet": lambda words, rng: attacks.texts.REWRITES["leet"](" ".join(words), 1.0, rng).split(),
    "spaced letters": lambda words, rng: attacks.texts.REWRITES["spaced"](" ".join(words), 1.0, rng).split(),
    "quoted": lambda words, rng: ["RT", "@somebody:", *words, "this", "is", "so", "wrong"],
    "pasted into another": lambda words, rng: [*rng.permutation(words[::-1]).tolist(), *words],
    "two words dropped": _two_dropped,
    "two neighbours swapped": _swapped,
    "a word more": _one_more,
    "a word changed": _one_changed,
}
"""What leaves a text of at least eight words near, from its words to other words."""

EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda image: jpeg(image, 50),
    "JPEG 20": lambda image: jpeg(image, 20),
    "half the size": lambda image: resized(image, 0.5),
    "1.5 times the size": lambda image: resized(image, 1.5),
    "palette": lambda image: image.quantize(128, Image.Quantize.FASTOCTREE).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "crop 3 %": lambda image: cropped(image, 0.03),
    "logo 1 %": lambda image: under_logo(image, 0.01),
    "logo 4 %": lambda image: under_logo(image, 0.04),
    "logo 2 % and JPEG 50": lambda image: jpeg(under_logo(image, 0.02), 50),
}
"""What leaves a picture near."""

CUTS: dict[str, Callable[[clips.Film, np.random.Generator], clips.Film]] = {
    "another encoding": lambda film, rng: film,
    "its end cut off": clips.trim,
    "darker": lambda film, rng: film._replace(frames=(0.8 * film.frames).astype(np.uint8)),
}
"""What leaves a clip near; each is encoded anew."""


# --------------------------------------------------------------------------------------------------------------- plants


KINDS = len(REWRITES) + len(EDITS) + len(CUTS) + 3 + 3
"""How many kinds of plants there are, clean posts among them."""
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
            what = f"{plant.what}s named" if plant.edit == CLEAN else f"{plant.what} found"
            kind = plant.edit if plant.edit in (REPEATED, CLEAN) else NEAR
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
    train = _posts(taxonomy, text=some)
    yield Plant("text", REPEATED, _named(train, _posts(taxonomy, text=styled), "text"), pairs)
    for name, rewrite in REWRITES.items():
        edited = [" ".join(rewrite(text.split(), rng)) for text in some]
        yield Plant("text", name, _named(train, _posts(taxonomy, text=edited), "near_text", taxonomy), pairs)
    yield _clean("text", fresh, ("text", "near_text"), taxonomy)


def _pictures(pairs: int, rng: np.random.Generator, taxonomy: Taxonomy) -> Iterator[Plant]:
    fresh = _fresh({"modalities": ["image"]}, "image", 2 * pairs, rng, taxonomy)
    some = fresh[:pairs]
    train = _posts(taxonomy, image=some)
    yield Plant("picture", REPEATED, _named(train, _posts(taxonomy, image=some), "image"), pairs)
    shown = [Image.fromarray(media.picture(cell).variants[0]) for cell in some]
    for name, edit in EDITS.items():
        edited = [_cell(edit(image)) for image in shown]
        yield Plant("picture", name, _named(train, _posts(taxonomy, image=edited), "near_image", taxonomy), pairs)
    yield _clean("picture", fresh, ("image", "near_image"), taxonomy)


def _clips(pairs: int, rng: np.random.Generator, taxonomy: Taxonomy) -> Iterator[Plant]:
    films = [clips.shoot(int(rng.integers(1, len(SCENES))), rng, 0.5) for _ in range(pairs)]
    fresh = [{"bytes": clips.encode(film, rng), "path": None} for film in films]
    train = _posts(taxonomy, video=fresh)
    yield Plant("clip", REPEATED, _named(train, _posts(taxonomy, video=fresh), "video"), pairs)
    for name, cut in CUTS.items():
        edited = [{"bytes": clips.encode(cut(film, rng), rng), "path": None} for film in films]
        yield Plant("clip", name, _named(train, _posts(taxonomy, video=edited), "near_video", taxonomy), pairs)
    yield _clean("clip", fresh, ("video", "near_video"), taxonomy)


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


def _cell(image: Image.Image) -> dict[str, Any]:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return {"bytes": data.getvalue(), "path": None}


def _posts(taxonomy: Taxonomy, **columns: Sequence[Any]) -> pa.Table:
    """Return posts with some columns, each of a family of its own."""
    schema = corpus_schema(taxonomy)
    ((kind, cells),) = columns.items()
    own = ({"post_id": f"p{k}", "group": f"g{k}", kind: cell} for k, cell in enumerate(cells))
    return pa.Table.from_pylist([{**dict.fromkeys(schema.names), **row} for row in own], schema=schema)


def _named(train: pa.Table, test: pa.Table, relation: str, taxonomy: Taxonomy | None = None) -> int:
    """Return how many plants the gate named, a plant being one post on each side."""
    return _findings({"train": train, "test": test}, relation, taxonomy)["posts"] // 2


def _findings(sets: dict[str, pa.Table], relation: str, taxonomy: Taxonomy | None) -> dict[str, Any]:
    if relation in audit.HELD:
        return audit.overlap(sets)[relation]
    return audit.look(sets, taxonomy, [relation])[relation]


def _clean(what: str, fresh: Sequence[Any], relations: Sequence[str], taxonomy: Taxonomy) -> Plant:
    """Return how many of fresh posts, divided in halves, the gate names, counted once for each of the relations."""
    kind, half = relations[0], len(fresh) // 2
    sets = {name: _posts(taxonomy, **{kind: part}) for name, part in (("train", fresh[:half]), ("test", fresh[half:]))}
    return Plant(what, CLEAN, sum(_findings(sets, relation, taxonomy)["posts"] for relation in relations), len(fresh))
