"""The synthetic world: posts whose labels have known causes, so that the best possible score of any model is known.

`causes` holds the tables, `world` the joint distribution and its draws, `exact` every probability that follows;
`phrases`, `links`, `evasion`, `pictures`, `clips`, `reposts` and `site` make what can be seen. This module puts them
together to a corpus, chunk by chunk, so that a chunk depends on the options and its own number alone, and a smaller
sample is the beginning of a larger one. What the numbers of this world can and cannot say stands in
`data/cards/synthetic.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import fingerprint
from workbench.corpora.synthetic import clips, evasion, links, phrases, pictures, reposts, site
from workbench.corpora.synthetic.causes import LABELS, PATTERNS, TRAITS
from workbench.corpora.synthetic.exact import Truth
from workbench.corpora.synthetic.world import Design, ShareOptions, World
from workbench.fingerprint import closure
from workbench.schema import MODALITIES, Options, Taxonomy, corpus_schema

CHUNK = 2000  # posts
_LEAP = 128_154_397  # a golden part of all surfaces: samples of near seeds lie far apart on them


class OversampleOptions(Options):
    """How the sample differs from the site; `weight` undoes it."""

    paired: float | None = Field(
        None, gt=0, lt=1, description="Share of posts with text and a picture or clip (0.11 at the site)."
    )
    harm: float | None = Field(None, gt=0, lt=1, description="Share of posts that have a label.")


class SourceOptions(Options):
    """One sample of the synthetic world."""

    posts: int = Field(10_000, ge=1, le=100_000_000, description="How many posts.")
    seed: int = Field(7, ge=0, lt=2**32, description="Which sample; the same seed gives the same posts.")
    prevalence: float = Field(0.03, gt=0, lt=0.5, description="Share of the site's posts that have a label.")
    modalities: tuple[Literal["text", "image", "video"], ...] = Field(
        MODALITIES, min_length=1, description="What posts of this site can have; [text] makes posts without media."
    )
    shares: ShareOptions = Field(ShareOptions(), description="Who tells the harm of paired posts.")
    oversample: OversampleOptions = Field(OversampleOptions(), description="More pairs and more harm than at the site.")
    norms: float = Field(1.0, ge=0, le=1, description="How strongly regions differ in what they mind; 0: not at all.")
    drift: date | None = Field(
        date(2025, 10, 1), description="From this day of 2025 on there are more clips and a new spam; null: never."
    )
    reposts: float = Field(0.05, ge=0, lt=1, description="Share of posts' families with one or two reposts.")
    difficulty: float = Field(0.5, ge=0, le=1, description="Typing errors, clutter and low contrast.")


def digest(options: SourceOptions, taxonomy: Taxonomy) -> str:
    """Return what the corpus depends on: the options, the labels, the words and the code that makes and encodes it."""
    about = {"options": options.model_dump(), "taxonomy": taxonomy.fingerprint, "words": phrases.WORDS}
    return fingerprint.of_json({**about, "code": closure.of_code(build)["code"]})


def world_of(options: SourceOptions) -> World:
    """Return the causes behind a sample."""
    more = options.oversample
    modalities = tuple(name for name in MODALITIES if name in options.modalities)
    after = site.share_after(options.drift)
    return World(Design(options.shares, options.prevalence, more.paired, more.harm, modalities, options.norms, after))


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path | None = None) -> pa.Table:
    """Return the whole sample as one table, media as bytes; with `truth` unless it knows none of the labels."""
    return pa.Table.from_batches(stream(options, taxonomy))


def stream(options: SourceOptions, taxonomy: Taxonomy) -> Iterator[pa.RecordBatch]:
    """Yield the sample in batches of CHUNK posts, holding one at a time."""
    world = world_of(options)
    truth = Truth(world) if _shared(taxonomy) else None
    for start in range(0, options.posts, CHUNK):
        yield _chunk(world, truth, options, taxonomy, start)


def _chunk(world: World, truth: Truth | None, options: SourceOptions, taxonomy: Taxonomy, start: int) -> pa.RecordBatch:
    """One batch: families of posts that share their content, each post by its own author."""
    size = min(CHUNK, options.posts - start)
    # four streams, so that surfaces, site and signals leave the causes alone; the encoder's pairs have a 1 for this 2
    causes, surfaces, around, told = (np.random.default_rng([options.seed, start, 2, part]) for part in range(4))
    copies = 1 + causes.choice(3, CHUNK, p=[1 - options.reposts, options.reposts / 2, options.reposts / 2])
    family = np.repeat(np.arange(CHUNK), copies)[:size]
    latents = {name: values[family] for name, values in world.draw(CHUNK, causes).items()}
    # a family shares what decides its labels, so that only the author can change them
    chance = causes.random((CHUNK, len(LABELS)))[family]
    latents["author"] = (causes.random(CHUNK) < TRAITS["prone"]).astype(np.int64)[:size]
    latents["reports"] = world.draw_reports(latents, causes.random(CHUNK)[:size])
    y = chance < world.label_probabilities(latents)
    latents |= world.draw_signals(y[:, LABELS.index("misinformation")], told.random((2, CHUNK))[:, :size])
    labels = dict.fromkeys(taxonomy.names, pa.nulls(size, pa.bool_()))
    labels |= {name: pa.array(y[:, k]) for k, name in _shared(taxonomy)}
    first = np.r_[True, family[1:] != family[:-1]]
    columns = {
        "post_id": [f"s{options.seed}-{start + n:07d}" for n in range(size)],
        **_contents(latents, options, start, first, surfaces),
        **site.columns(latents, first, options.drift, (around, told), CHUNK),
        "group": [f"s{options.seed}-{start}-{n}" for n in family],
        "split": pa.nulls(size, pa.string()),
        "weight": latents["weight"],
        "labels": pa.StructArray.from_arrays(list(labels.values()), list(labels)),
    }
    schema = corpus_schema(taxonomy)
    given = ((columns[field.name], field.type) for field in schema)
    arrays = [values if isinstance(values, pa.Array) else pa.array(values, kind) for values, kind in given]
    if truth:
        arrays.append(_truth(truth, latents, taxonomy))
        schema = schema.append(pa.field("truth", arrays[-1].type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@lru_cache
def _shared(taxonomy: Taxonomy) -> list[tuple[int, str]]:
    """The labels that the world has a table for and the taxonomy wants; any other is unknown here."""
    return [(k, name) for k, name in enumerate(LABELS) if name in taxonomy.names]


def _truth(truth: Truth, latents: dict[str, np.ndarray], taxonomy: Taxonomy) -> pa.StructArray:
    """Exact P(label | information) per post, for every information set of the modalities and for late fusion."""
    exact, shared = truth.of(latents), _shared(taxonomy)
    names = [name for _, name in shared]
    parts = [pa.StructArray.from_arrays([pa.array(p[:, k]) for k, _ in shared], names) for p in exact.values()]
    return pa.StructArray.from_arrays(parts, list(exact))


class _Content(NamedTuple):
    """What the first post of a family says and shows: the words, and pictures and clips before and after encoding."""

    text: str | None
    picture: Any
    image: bytes | None
    film: Any
    video: bytes | None


def _contents(
    latents: dict[str, np.ndarray], options: SourceOptions, start: int, first: np.ndarray, rng: np.random.Generator
) -> dict[str, pa.Array]:
    """Texts, pictures and clips: fresh for the first post of a family, repeated or slightly edited for its reposts."""
    texts, images, videos = [], [], []
    surface = options.seed * _LEAP + start  # of the first post
    causes = {name: values.tolist() for name, values in latents.items() if name != "weight"}
    for n, fresh in enumerate(first.tolist()):
        cause = {name: values[n] for name, values in causes.items()}
        if fresh:
            content = _fresh(cause, (surface + n) % phrases.SURFACES, options.difficulty, rng)
            text, image, video = content.text, content.image, content.video
        else:
            text = content.text and reposts.text(content.text, cause["language"], rng)
            image = content.image and reposts.picture(content.picture, content.image, rng)
            video = content.video and reposts.clip(content.film, content.video, rng)
        texts.append(text)
        images.append(image)
        videos.append(video)
    return {"text": pa.array(texts, pa.string()), "image": _media(images), "video": _media(videos)}


def _fresh(cause: dict[str, int], surface: int, difficulty: float, rng: np.random.Generator) -> _Content:
    """What a post says and shows that repeats no other."""
    pattern = PATTERNS[cause["pattern"]]
    text = picture = image = film = video = None
    if "text" in pattern:
        kind = cause["obfuscation"]
        obfuscation = (lambda phrase: evasion.obfuscate(phrase, kind, rng)) if kind else None
        text = phrases.say(cause["utterance"], cause["language"], surface, rng, 0.2 * difficulty, obfuscation)
        if cause["link"]:
            text = f"{text} {links.address(cause['link'], rng)}"
    if "image" in pattern:
        picture = pictures.draw(cause["scene"], rng, difficulty)
        image = pictures.encode(picture, rng)
    if "video" in pattern:
        film = clips.shoot(cause["scene"], rng, difficulty)
        video = clips.encode(film, rng)
    return _Content(text, picture, image, film, video)


def _media(files: list[bytes | None]) -> pa.StructArray:
    """Files as a column of INPUTS, null where there is none."""
    data = pa.array(files, pa.binary())
    paths = pa.nulls(len(files), pa.string())
    return pa.StructArray.from_arrays([data, paths], ["bytes", "path"], mask=data.is_null())
