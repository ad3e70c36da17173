"""The synthetic world: posts whose labels have known causes, so that the best possible score of any model is known.

`world` holds the causes and the exact probabilities, `phrases` and `pictures` the surfaces; this module puts them
together to a corpus, chunk by chunk, so that a chunk depends on the options and its own number alone, and a smaller
sample is the beginning of a larger one. What the numbers of this world can and cannot say stands in
`data/cards/synthetic.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import fingerprint
from workbench.corpora.synthetic import phrases, pictures
from workbench.corpora.synthetic.world import (
    LABELS,
    LANGUAGE_TAGS,
    PATTERNS,
    REGIONS,
    TRAITS,
    Shares,
    World,
    information_sets,
)
from workbench.schema import INPUTS, Options, Taxonomy, corpus_schema

CHUNK = 2000  # posts
COMMUNITIES = ("allotment", "kitchen", "workshop", "terrace", "platform", "shelf", "harbour", "plaza")
_LEAP = 128_154_397  # a golden part of all surfaces: samples of near seeds lie far apart on them
_START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


class ShareOptions(Options):
    """Which part of the harm among paired posts is told by what; if the three add up to less than 1, there is less."""

    pair: float = Field(0.5, ge=0, le=1, description="Told only by text and picture together.")
    text: float = Field(0.3, ge=0, le=1, description="Told by the text alone.")
    image: float = Field(0.2, ge=0, le=1, description="Told by the picture alone.")


class OversampleOptions(Options):
    """How the sample differs from the site; `weight` undoes it."""

    paired: float | None = Field(
        None, gt=0, lt=1, description="Share of posts with text and picture (0.1 at the site)."
    )
    harm: float | None = Field(None, gt=0, lt=1, description="Share of posts that have a label.")


class SourceOptions(Options):
    """One sample of the synthetic world."""

    posts: int = Field(10_000, ge=1, le=100_000_000, description="How many posts.")
    seed: int = Field(7, ge=0, lt=2**32, description="Which sample; the same seed gives the same posts.")
    prevalence: float = Field(0.03, gt=0, lt=0.5, description="Share of the site's posts that have a label.")
    shares: ShareOptions = Field(ShareOptions(), description="Who tells the harm of paired posts.")
    oversample: OversampleOptions = Field(OversampleOptions(), description="More pairs and more harm than at the site.")
    reposts: float = Field(0.05, ge=0, lt=1, description="Share of posts' families with one or two reposts.")
    difficulty: float = Field(0.5, ge=0, le=1, description="Typing errors, clutter and low contrast.")


def digest(options: SourceOptions, taxonomy: Taxonomy) -> str:
    """Return what the corpus depends on: the options, the labels and the code that generates it."""
    code = {path.name: fingerprint.of_module(path) for path in sorted(Path(__file__).parent.glob("*.py"))}
    return fingerprint.of_json({"options": options.model_dump(), "taxonomy": taxonomy.fingerprint, "code": code})


def world_of(options: SourceOptions) -> World:
    """Return the causes behind a sample."""
    more = options.oversample
    return World(Shares(**options.shares.model_dump()), options.prevalence, more.paired, more.harm)


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path | None = None) -> pa.Table:
    """Return the whole sample as one table, pictures as JPEG bytes; with `truth` unless it knows none of the labels."""
    return pa.Table.from_batches(stream(options, taxonomy))


def stream(options: SourceOptions, taxonomy: Taxonomy) -> Iterator[pa.RecordBatch]:
    """Yield the sample in batches of CHUNK posts, holding one at a time."""
    world = world_of(options)
    for start in range(0, options.posts, CHUNK):
        yield _chunk(world, options, taxonomy, start)


def _chunk(world: World, options: SourceOptions, taxonomy: Taxonomy, start: int) -> pa.RecordBatch:
    """One batch: families of posts that share their content, each post by its own author."""
    size = min(CHUNK, options.posts - start)
    # three streams, so that surfaces and site leave the causes alone; the encoder's pairs have a 1 where this has a 2
    causes, surfaces, site = (np.random.default_rng([options.seed, start, 2, part]) for part in range(3))
    copies = 1 + causes.choice(3, CHUNK, p=[1 - options.reposts, options.reposts / 2, options.reposts / 2])
    family = np.repeat(np.arange(CHUNK), copies)[:size]
    latents = {name: values[family] for name, values in world.draw(CHUNK, causes).items()}
    # a family shares what decides its labels, so that only the author can change them
    chance = causes.random((CHUNK, len(LABELS)))[family]
    latents["author"] = (causes.random(CHUNK) < TRAITS["prone"]).astype(np.int64)[:size]
    y = chance < world.label_probabilities(latents)
    first = np.r_[True, family[1:] != family[:-1]]
    columns = {
        "post_id": [f"s{options.seed}-{start + n:07d}" for n in range(size)],
        **_contents(latents, options, start, first, surfaces),
        **_site(latents, start, site),
        "group": [f"s{options.seed}-{start}-{n}" for n in family],
        "split": [None] * size,
        "weight": latents["weight"],
        "labels": _struct({name: pa.array(y[:, k]) for k, name in _shared(taxonomy)}, taxonomy.names, pa.bool_(), size),
    }
    schema = corpus_schema(taxonomy)
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    if _shared(taxonomy):
        arrays.append(_truth(world, latents, taxonomy))
        schema = schema.append(pa.field("truth", arrays[-1].type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _shared(taxonomy: Taxonomy) -> list[tuple[int, str]]:
    """The labels that the world has a table for and the taxonomy wants; any other is unknown here."""
    return [(k, name) for k, name in enumerate(LABELS) if name in taxonomy.names]


def _struct(values: dict[str, pa.Array], names: tuple[str, ...], kind: pa.DataType, size: int) -> pa.StructArray:
    return pa.StructArray.from_arrays([values.get(name, pa.nulls(size, kind)) for name in names], list(names))


def _truth(world: World, latents: dict[str, np.ndarray], taxonomy: Taxonomy) -> pa.StructArray:
    """Exact P(label | information) per post, for every information set of text and image and for late fusion."""
    exact = {name: world.posterior(fields, latents) for name, fields in information_sets().items()}
    exact["late-fusion"] = world.late_fusion(latents)
    shared = _shared(taxonomy)
    names = [name for _, name in shared]
    parts = [pa.StructArray.from_arrays([pa.array(p[:, k]) for k, _ in shared], names) for p in exact.values()]
    return pa.StructArray.from_arrays(parts, list(exact))


def _contents(
    latents: dict, options: SourceOptions, start: int, first: np.ndarray, rng: np.random.Generator
) -> dict[str, list]:
    """Texts and pictures: fresh for the first post of a family, repeated or slightly edited for its reposts."""
    texts, images = [], []
    typos = 0.2 * options.difficulty
    surface = options.seed * _LEAP + start  # of the first post
    for n in range(len(first)):
        pattern = PATTERNS[latents["pattern"][n]]
        text, image = None, None
        if "text" in pattern:
            if first[n]:
                index = (surface + n) % phrases.SURFACES
                said = phrases.say(latents["utterance"][n], latents["language"][n], index, rng, typos)
            text = said if first[n] or rng.random() < 0.5 else phrases.misspell(said, rng, 0.1)
        if "image" in pattern:
            if first[n]:
                picture = pictures.draw(latents["scene"][n], rng, options.difficulty)
                shown = pictures.encode(picture, rng)
            image = shown if first[n] or rng.random() < 0.5 else pictures.encode(picture, rng)
        texts.append(text)
        images.append(image if image is None else {"bytes": image, "path": None})
    return {"text": texts, "image": images, "video": [None] * len(first)}


def _site(latents: dict[str, np.ndarray], start: int, rng: np.random.Generator) -> dict[str, list]:
    """Who, where and when. Authors differ by trait only; everything else here is independent of the labels."""
    n = len(latents["author"])
    # drawn for a whole chunk, whatever part of it is asked
    number = rng.integers(0, 50_000, CHUNK)[:n]
    prone = latents["author"] == 1
    own = np.random.default_rng(11).random((4, 50_000))[:, number]  # an author's numbers stay the author's
    age = 10 ** (0.5 + 3.0 * own[0] - 0.4 * prone)
    posts = np.floor(age * own[1] ** 2).astype(np.int64)
    reports, removals = np.floor((3.0 + 9.0 * prone) * own[2] ** 3), np.floor((1.0 + 4.0 * prone) * own[3] ** 3)
    impressions = rng.geometric(0.004, CHUNK)
    reactions, reported = rng.binomial(impressions, 0.03), rng.binomial(impressions, 0.0005)
    ids = [f"u{'p' if p else 'o'}{a:05d}" for p, a in zip(prone, number, strict=True)]
    kept = zip(ids, age.round(1), posts, reports.astype(int), removals.astype(int), strict=True)
    authors = [dict(zip(INPUTS.field("author").type.names, row, strict=True)) for row in kept]
    seen = zip(reactions[:n], reported[:n], impressions[:n], strict=True)
    times = (_START + 37 * (start + np.arange(n)) + rng.integers(0, 37, CHUNK)[:n]) * 1_000_000
    return {
        "author": authors,
        "engagement": [{"reactions": a, "reports": b, "impressions": c} for a, b, c in seen],
        "community": [COMMUNITIES[c] for c in rng.integers(0, len(COMMUNITIES), CHUNK)[:n]],
        "language": [LANGUAGE_TAGS[c] for c in latents["language"]],
        "region": [list(REGIONS)[c] for c in latents["region"]],
        "created_at": pa.array(times, pa.timestamp("us")).cast(INPUTS.field("created_at").type),
    }
