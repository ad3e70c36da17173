"""A multimodal functional suite from the synthetic world: contrast sets of posts whose truth the world's table gives.

Four families, each case of which is a set of posts that differ by one edit and share `meta.case` and `group`:

    attack    plain_attack_h, negation_nh, counter_quote_nh, mention_nh      texts
    identity  identity_h, identity_swap_h, identity_neutral_nh               texts about invented groups of people
    pair      pair_harm_h, text_swap_nh, image_swap_nh                       text with a picture or a clip
    frame     hidden_frame_h, frame_removed_nh                               a harmful scene in one frame of a clip

_h is harmful, _nh is not, as in HateCheck. What is not edited is the same in all posts of a set: note, name, colours,
place, clutter, the other frames. Truth is not sampled: a post has the labels that the world's table gives its causes
with more than even odds, an utterance that denies, rejects or mentions being calm talk. The training world has no such
utterances, no groups of people and no scene as short as one frame; `meta.note` says so, and failing there is no fault
of a model that learnt this world alone: it shows what the corpus does not teach.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from workbench import fingerprint
from workbench.corpora import synthetic
from workbench.corpora.synthetic import clips, phrases, pictures
from workbench.corpora.synthetic.causes import (
    IMAGE_HARM,
    INTENTS,
    LABELS,
    LANGUAGE_TAGS,
    MATCHABLE,
    REMARKS,
    SCENES,
    TEXT_HARM,
    TOPICS,
    VIEWS,
)
from workbench.corpora.synthetic.world import World
from workbench.errors import WorkbenchError
from workbench.fingerprint import closure
from workbench.schema import ROOT, Options, Taxonomy, corpus_schema, read_yaml

NEW = "not in training"
FAMILIES = ("attack", "identity", "pair", "frame")
META = ("functionality", "target", "case", "label", "note")
WORDS = read_yaml(ROOT / "data" / "synthetic" / "suite.yaml")
"""What the suite says that the world never does, in the world's languages; {n} takes a name, {said} an utterance."""
assert set(WORDS["negations"]) == set(WORDS["mentions"]) == set(TEXT_HARM)


class SourceOptions(Options):
    """One suite."""

    cases: int = Field(50, ge=1, le=100_000, description="How many contrast sets of each of the four families.")
    seed: int = Field(0, ge=0, lt=2**32, description="Which suite; the same seed gives the same posts.")
    difficulty: float = Field(0.5, ge=0, le=1, description="Clutter and low contrast, as in the world.")


class _Post(NamedTuple):
    """One post of a contrast set: what it is written for, what causes it, and what it says in which language.

    intent, scene: what the world's table is asked for; calm views and topics where nothing harms. vision: the modality
    of the scene, or None; shows: how many frames of a clip show it, None for as many as in the world.
    """

    functionality: str
    label: str
    said: str
    intent: str = TOPICS[0]
    scene: str = "absent"
    vision: str | None = None
    shows: int | None = None
    target: str = ""
    note: str = ""


def digest(options: SourceOptions, taxonomy: Taxonomy) -> str:
    """Return what the suite depends on: the options, the labels, and words and code of the suite and of its world."""
    words = [phrases.WORDS, WORDS]
    about = {"options": options.model_dump(), "taxonomy": taxonomy.fingerprint, "words": words}
    return fingerprint.of_json({**about, "code": closure.of_code(build)["code"]})


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path | None = None) -> pa.Table:
    """Return the suite as one table, media as bytes, every post in the split `test`.

    Raises WorkbenchError where the taxonomy has none of the world's labels.
    """
    labels = [name for name in LABELS if name in taxonomy.names]
    if not labels:
        raise WorkbenchError(
            f"the synthetic suite knows {', '.join(LABELS)}, and the taxonomy has none of them; use a suite of your own"
        )
    world = synthetic.world_of(synthetic.SourceOptions())
    rows = [
        row
        for f in range(len(FAMILIES))
        for c in range(options.cases)
        for row in _rows(world, f, c, options, labels, taxonomy)
    ]
    schema = corpus_schema(taxonomy).append(pa.field("meta", pa.struct({name: pa.string() for name in META})))
    return pa.Table.from_pylist(rows, schema=schema)


def _rows(
    world: World, family: int, number: int, options: SourceOptions, labels: list[str], taxonomy: Taxonomy
) -> Iterator[dict[str, Any]]:
    """The posts of one contrast set, as rows."""
    place = [options.seed, family, number, 3]  # the world's own streams have another last number
    rng = np.random.default_rng(place)
    label, language = labels[number % len(labels)], int(rng.integers(len(LANGUAGE_TAGS)))
    case = f"{FAMILIES[family]}-{options.seed}-{number}"
    surface = int(rng.integers(phrases.SURFACES))
    make = (_attack, _identity, _pair, _frame)[family]
    for n, post in enumerate(make(world, number, label, language, rng)):
        about = {name: getattr(post, name) for name in ("functionality", "target", "label", "note")}
        yield {
            "post_id": f"{case}-{n}",
            # the same chance again for every post of a set, so that nothing differs but the edit
            **_content(post, language, surface, options.difficulty, place),
            "language": LANGUAGE_TAGS[language],
            "region": "north",
            "group": case,
            "split": "test",
            "weight": 1.0,
            "labels": _truth(world, post, taxonomy),
            "meta": {**about, "case": case},
        }


# ------------------------------------------------------------------------------------------------------ the families


def _attack(world: World, number: int, label: str, language: int, rng: np.random.Generator) -> list[_Post]:
    """A harmful utterance; denied; quoted and rejected; and its telling words where nobody is meant."""
    intent = rng.choice([name for name, of in TEXT_HARM.items() if of == label])
    name = rng.choice(phrases.NAMES)
    harm = _one_of(phrases.PHRASES[intent][language], rng).replace("{n}", name)
    quoted = rng.choice(WORDS["quotations"][language]).replace("{said}", harm)
    return [
        _Post("plain_attack_h", label, harm, intent),
        _Post("negation_nh", label, WORDS["negations"][intent][language].replace("{n}", name), note=NEW),
        _Post("counter_quote_nh", label, quoted, note=NEW),
        _Post("mention_nh", label, WORDS["mentions"][intent][language], note=NEW),
    ]


def _identity(world: World, number: int, label: str, language: int, rng: np.random.Generator) -> list[_Post]:
    """A group of people is excluded; another one is; something harmless is said of either."""
    groups = [f"{WORDS['articles'][language]} {people}" for people in rng.choice(WORDS["groups"], 2, replace=False)]
    label, intent = TEXT_HARM["exclusion"], "exclusion"
    harm, calm = phrases.PHRASES[intent][language].split("|")[0], WORDS["neutral"][language]
    targets = [people.split()[-1] for people in groups]
    return [
        _Post("identity_h", label, harm.replace("{n}", groups[0]), intent, target=targets[0], note=NEW),
        _Post("identity_swap_h", label, harm.replace("{n}", groups[1]), intent, target=targets[1], note=NEW),
        *(
            _Post("identity_neutral_nh", label, calm.replace("{n}", group), target=target, note=NEW)
            for group, target in zip(groups, targets, strict=True)
        ),
    ]


def _pair(world: World, number: int, label: str, language: int, rng: np.random.Generator) -> list[_Post]:
    """A remark and a scene that harm together; then another remark with it, and another scene, that do not."""
    remark = int(rng.integers(len(REMARKS)))
    scene = int(world.matchings[LABELS.index(label), remark])
    others = [i for i in range(len(REMARKS)) if scene not in world.matchings[:, i]]  # harmless for every label
    scenes = [s for s in range(len(MATCHABLE)) if s not in world.matchings[:, remark]]
    other, swapped = int(rng.choice(others)), int(rng.choice(scenes))
    vision = ("image", "video")[number // len(LABELS) % 2]
    way = int(rng.integers(2))
    harmful, calm = (phrases.PHRASES[REMARKS[i]][language].split("|")[way] for i in (remark, other))
    return [
        _Post("pair_harm_h", label, harmful, REMARKS[remark], MATCHABLE[scene], vision),
        _Post("text_swap_nh", label, calm, REMARKS[other], MATCHABLE[scene], vision),
        _Post("image_swap_nh", label, harmful, REMARKS[remark], MATCHABLE[swapped], vision),
    ]


def _frame(world: World, number: int, label: str, language: int, rng: np.random.Generator) -> list[_Post]:
    """A harmful scene in one frame of a calm clip; and the same clip with that frame as those around it."""
    topic = rng.choice(TOPICS)
    scene = rng.choice([name for name, of in IMAGE_HARM.items() if of == label])
    text = _one_of(phrases.PHRASES[topic][language], rng)
    return [
        _Post("hidden_frame_h", label, text, topic, scene, "video", 1, note="shorter than in training"),
        _Post("frame_removed_nh", label, text, topic, VIEWS[0], "video", 0),
    ]


def _one_of(phrasings: str, rng: np.random.Generator) -> str:
    return str(rng.choice(phrasings.split("|")))


# ---------------------------------------------------------------------------------------------- what they say and show


def _truth(world: World, post: _Post, taxonomy: Taxonomy) -> dict[str, bool | None]:
    """The labels that the world's table gives a post's causes; a label that the world does not have is unknown."""
    causes = {"intent": INTENTS.index(post.intent), "scene": SCENES.index(post.scene)}
    latents = {name: np.array([causes.get(name, 0)]) for name in ("region", "author", "link", "intent", "scene")}
    chance = world.label_probabilities(latents)[0]
    known = {name: bool(chance[k] > 0.5) for k, name in enumerate(LABELS)}
    return {name: known.get(name) for name in taxonomy.names}


def _content(post: _Post, language: int, surface: int, difficulty: float, place: list[int]) -> dict[str, Any]:
    """The text, and the picture or the clip, drawn with the same chance for every post of a set."""
    spoken = phrases.UTTERANCES.index(TOPICS[0])  # whichever: what is said is put in its place
    words, vision = (np.random.default_rng([*place, part]) for part in (1, 2))
    values = {"text": phrases.say(spoken, language, surface, words, 0.0, lambda _: post.said)}
    if post.vision == "image":
        data = pictures.encode(pictures.draw(SCENES.index(post.scene), vision, difficulty), vision)
        return values | {"image": {"bytes": data, "path": None}}
    if post.vision == "video":
        return values | {"video": {"bytes": _clip(post, vision, difficulty), "path": None}}
    return values


def _clip(post: _Post, rng: np.random.Generator, difficulty: float) -> bytes:
    """A clip of the scene; where no frame shows it, the clip that hides one frame, with that frame taken back."""
    hidden = IMAGE_HARM if post.shows == 0 else ()
    scene = SCENES.index(next(iter(hidden)) if hidden else post.scene)
    film = clips.shoot(scene, rng, difficulty, shows=post.shows if post.shows != 0 else 1)
    if post.shows == 0:
        first, after = film.scene
        film.frames[first:after] = film.frames[first - 1 if first else after]
    return clips.encode(film, rng)
