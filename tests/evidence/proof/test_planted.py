"""Leaks that are planted: the edits are what they are called, and plants and clean posts are counted."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.evidence.audit import edits
from workbench.evidence.proof import planted
from workbench.schema import Taxonomy

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load()


def test_a_gate_that_sees_no_edits_is_found_out(monkeypatch):
    monkeypatch.setattr(planted, "_findings", lambda *_: {"posts": 0, "test_posts": 0})
    counts = planted.PlantTrial(40)(0)
    texts = {key[2]: n for key, n in counts.items() if key[0] != planted.OF}
    assert texts == dict.fromkeys(("repeated", *edits.REWRITES, "clean"), 0)


# --------------------------------------------------------------------------------------------------------------- texts


def test_sentences_are_drawn_as_they_always_were(taxonomy):
    # from texts of the synthetic world: they change with its words
    few = planted._sentences(12, np.random.default_rng(5), taxonomy)
    assert few[1] == "in 13:38, Totburg, novedad: sagt Worte in (at esta the de"
    many = planted._sentences(500, np.random.default_rng(5), taxonomy)
    assert many[0].startswith("el dice dough 00:38 see sin lost es a this says: broke Tadburg,")
    lengths = [len(text.split()) for text in many]
    assert (min(lengths), max(lengths), len(few), len(many)) == (8, 24, 12, 500)


def test_fresh_posts_are_of_a_family_each(taxonomy, heard):
    asked = heard(planted.corpora, "load")
    texts = planted._fresh({"modalities": ["text"]}, "text", 5, np.random.default_rng(1), taxonomy)
    ((about, _), _, corpus) = asked[0]
    assert about == {
        "source": "synthetic",
        "posts": 10,
        "seed": int(np.random.default_rng(1).integers(2**31)),
        "modalities": ["text"],
    }
    table = corpus.table.to_pandas()
    assert texts == table.loc[~table["group"].duplicated(), "text"].tolist()[:5]


# -------------------------------------------------------------------------------------------------------------- plants


@pytest.mark.parametrize(
    ("sort", "whats", "clean"),
    [
        (0, {"text": edits.REWRITES}, {"clean": 24}),
        (1, {"picture": edits.ENCODED | edits.MOVED}, {"clean": 6, "clean, drawn": 6}),
        (2, {"clip": edits.CUTS, "still": edits.KINDS["still"][3]}, {"clean": 3}),
    ],
)
def test_all_of_a_few_plants_are_found_and_no_clean_post_is(heard, sort, whats, clean):
    shot = heard(planted.clips, "shoot")
    counts = planted.PlantTrial(3)(sort)
    first = next(iter(whats))
    wanted = {("repeated", f"{first} found", "repeated"): 3, (planted.OF, f"{first} found", "repeated"): 3}
    for what, every in whats.items():
        for edit in every:
            wanted["near", f"{what} found", edit] = wanted[planted.OF, f"{what} found", edit] = 3
    for called, n in clean.items():
        wanted["clean", f"{first}s named", called], wanted[planted.OF, f"{first}s named", called] = 0, n
    assert counts == wanted
    assert all(1 <= scene < len(planted.SCENES) and share == 0.5 for (scene, _, share), _, _ in shot)
    assert [scene for (scene, _, _), _, _ in shot] == ([] if sort < 2 else SHOT)


SHOT = [22, 12, 7]  # of numpy's generator; the first draw is that of the last scene


def test_plants_of_another_seed_are_others(heard):
    made = heard(planted.edits, "posts")
    texts = []
    for about in ({}, {"seed": 0}, {"seed": 1}):
        made.clear()
        next(planted.plants(0, 2, **about))
        texts.append(made[0][0][1])
    assert texts[0] == texts[1] != texts[2]
    made.clear()
    planted.PlantTrial(2)(0)
    assert made[0][0][1] == texts[0]


def test_there_is_a_kind_for_every_edit():
    every = [*edits.REWRITES, *edits.ENCODED, *edits.MOVED, *edits.CUTS, *edits.KINDS["still"][3]]
    assert (len(every) + 7, 3) == (planted.KINDS, planted.SORTS)


def test_a_plant_is_a_post_on_each_side(monkeypatch):
    monkeypatch.setattr(planted, "_findings", lambda sets, relation: {"posts": 5})
    plant = planted._repeated("text", ["a"] * 3, ["b"] * 3)
    assert plant == ("text", "repeated", 2, 3)
    assert type(plant.found) is int


def test_clean_posts_are_divided_in_halves_and_counted_once_for_each_relation():
    first, leaked, last = (" ".join(f"{word}{k}" for word in WORDS) for k in range(3))
    plant = planted._clean("text", [first, leaked, leaked, last], ("text", "near_text"))
    exact = planted._clean("text", [first, leaked, leaked, last], ("text",))
    assert (plant.what, plant.edit, plant.pairs) == ("text", "clean", 4)
    assert exact.found == 2
    assert plant.found >= exact.found
    assert planted._clean("text", [first, first, leaked, leaked], ("text",)).found == 0
