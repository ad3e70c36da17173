"""Leaks that are planted: the edits are what they are called, and plants and clean posts are counted."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from workbench.corpora.synthetic import clips
from workbench.evidence.proof import planted
from workbench.schema import Taxonomy, corpus_schema

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PIXELS = (np.arange(40 * 60 * 3).reshape(40, 60, 3) * 7 % 251).astype(np.uint8)


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load()


def test_a_gate_that_sees_no_edits_is_found_out(monkeypatch):
    monkeypatch.setattr(planted, "_named", lambda train, test, relation, taxonomy=None: 0)
    counts = planted.PlantTrial(40)(0)
    texts = {key[2]: n for key, n in counts.items() if key[0] != planted.OF}
    assert texts == dict.fromkeys(("repeated", *planted.REWRITES, "clean"), 0)


# --------------------------------------------------------------------------------------------------------------- texts


def rewritten(name, words):
    """Return all that a rewrite makes of words, over many draws."""
    rewrite = planted.REWRITES[name]
    return {tuple(rewrite(list(words), np.random.default_rng(seed))) for seed in range(400)}


def test_a_rewrite_does_what_it_is_called():
    many = range(len(WORDS))
    assert rewritten("cut off after two thirds", WORDS) == {(*WORDS[:6], "...")}
    assert rewritten("cut off after two thirds", WORDS[:8]) == {(*WORDS[:5], "...")}
    assert rewritten("two words dropped", WORDS[:5]) == set(itertools.combinations(WORDS[:5], 3))
    assert rewritten("two neighbours swapped", WORDS) == {
        (*WORDS[:at], WORDS[at + 1], WORDS[at], *WORDS[at + 2 :]) for at in many[:-1]
    }
    assert rewritten("a word more", WORDS) == {(*WORDS[:at], "indeed", *WORDS[at:]) for at in (*many, len(WORDS))}
    assert rewritten("a word changed", WORDS) == {(*WORDS[:at], "indeed", *WORDS[at + 1 :]) for at in many}
    assert rewritten("quoted", WORDS) == {("RT", "@somebody:", *WORDS, "this", "is", "so", "wrong")}
    assert rewritten("pasted into another", WORDS[:3]) == {
        (*others, *WORDS[:3]) for others in itertools.permutations(WORDS[:3])
    }


def test_what_is_pasted_before_a_text_is_drawn_from_its_end():
    (before,) = {tuple(planted.REWRITES["pasted into another"](WORDS, np.random.default_rng(1))[:9])}
    assert before == tuple(np.random.default_rng(1).permutation(WORDS[::-1]))


def test_every_word_is_rewritten_in_leet_and_in_spaces():
    for name in ("leet", "spaced letters"):
        (text,) = rewritten(name, ["toaster", "lioness"])
        assert not {"toaster", "lioness"} & set(text)


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


# ------------------------------------------------------------------------------------------------------------ pictures


def saved(image, quality):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


EDITED = {
    "JPEG 50": lambda image: saved(image, 50),
    "JPEG 20": lambda image: saved(image, 20),
    "half the size": lambda image: image.resize((30, 20)),
    "1.5 times the size": lambda image: image.resize((90, 60)),
    "palette": lambda image: image.quantize(128, Image.Quantize.FASTOCTREE).convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "crop 3 %": lambda image: image.crop((2, 1, 58, 39)),
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_of_a_picture_does_what_it_is_called(name):
    image = Image.fromarray(PIXELS)
    np.testing.assert_array_equal(planted.EDITS[name](image), EDITED[name](image))


def test_a_picture_keeps_a_pixel():
    assert planted.resized(Image.fromarray(PIXELS[:1]), 0.01).size == (1, 1)


def logo(image, edited):
    """Return the left, top, width, height and colour of the square that an edit puts over a picture."""
    before, after = np.asarray(image).astype(int), np.asarray(edited).astype(int)
    rows, columns = np.nonzero((before != after).any(axis=2))
    top, left = rows.min(), columns.min()
    square = after[top : rows.max() + 1, left : columns.max() + 1]
    assert (square == square[0, 0]).all()
    return int(left), int(top), square.shape[1], square.shape[0], square[0, 0].tolist()


@pytest.mark.parametrize(("name", "side"), [("logo 1 %", 5), ("logo 4 %", 10)])
def test_a_logo_is_a_square_of_one_colour_over_a_share_of_the_picture(name, side):
    image = Image.fromarray(PIXELS)
    rng = np.random.default_rng(PIXELS[0, 0])
    left, top = int(rng.integers(61 - side)), int(rng.integers(41 - side))
    colour = rng.integers(0, 256, 3).tolist()
    assert logo(image, planted.EDITS[name](image)) == (left, top, side, side, colour)


def test_a_logo_of_two_percent_is_saved_as_jpeg():
    image = Image.fromarray(PIXELS)
    expected = saved(planted.under_logo(image, 0.02), 50)
    np.testing.assert_array_equal(planted.EDITS["logo 2 % and JPEG 50"](image), expected)


def test_a_logo_comes_everywhere_within_a_picture():
    places = set()
    for grey in range(256):
        image = Image.new("RGB", (5, 4), (grey, 0, 255))
        left, top, width, height, _ = logo(image, planted.under_logo(image, 0.2))
        assert (width, height) == (2, 2)
        places.add((left, top))
    assert places == set(itertools.product(range(4), range(3)))


def test_a_darker_clip_has_four_fifths_of_its_light():
    film = clips.shoot(5, np.random.default_rng(0), 0.5)
    darker = planted.CUTS["darker"](film, None)
    np.testing.assert_array_equal(darker.frames, np.floor(film.frames * 0.8))
    assert darker.frames.dtype == np.uint8
    assert darker._replace(frames=None, times=None) == film._replace(frames=None, times=None)


# -------------------------------------------------------------------------------------------------------------- plants


@pytest.mark.parametrize(
    ("sort", "what", "edits", "clean"),
    [(0, "text", planted.REWRITES, 24), (1, "picture", planted.EDITS, 6), (2, "clip", planted.CUTS, 3)],
)
def test_all_of_a_few_plants_are_found_and_no_clean_post_is(heard, sort, what, edits, clean):
    shot = heard(planted.clips, "shoot")
    counts = planted.PlantTrial(3)(sort)
    wanted = {("clean", f"{what}s named", "clean"): 0, (planted.OF, f"{what}s named", "clean"): clean}
    for kind, edit in (("repeated", "repeated"), *(("near", edit) for edit in edits)):
        wanted[kind, f"{what} found", edit] = wanted[planted.OF, f"{what} found", edit] = 3
    assert counts == wanted
    assert all(1 <= scene < len(planted.SCENES) and share == 0.5 for (scene, _, share), _, _ in shot)
    assert [scene for (scene, _, _), _, _ in shot] == ([] if sort < 2 else SHOT)


SHOT = [22, 12, 7]  # of numpy's generator; the first draw is that of the last scene


def test_plants_of_another_seed_are_others(heard):
    made = heard(planted, "_posts")
    texts = []
    for about in ({}, {"seed": 0}, {"seed": 1}):
        made.clear()
        next(planted.plants(0, 2, **about))
        texts.append(made[0][1]["text"])
    assert texts[0] == texts[1] != texts[2]
    made.clear()
    planted.PlantTrial(2)(0)
    assert made[0][1]["text"] == texts[0]


def test_there_is_a_kind_for_every_edit():
    assert (len([*planted.REWRITES, *planted.EDITS, *planted.CUTS]) + 6, 3) == (planted.KINDS, planted.SORTS)


def test_posts_are_of_the_columns_of_a_corpus(taxonomy):
    posts = planted._posts(taxonomy, text=["a", "b"])
    assert posts.schema == corpus_schema(taxonomy)
    assert posts["text"].to_pylist() == ["a", "b"]
    assert len(set(posts["group"].to_pylist())) == len(set(posts["post_id"].to_pylist())) == 2


def test_a_plant_is_a_post_on_each_side(monkeypatch):
    monkeypatch.setattr(planted, "_findings", lambda sets, relation, taxonomy: {"posts": 5})
    found = planted._named(None, None, "text")
    assert (found, type(found)) == (2, int)


def test_clean_posts_are_divided_in_halves_and_counted_once_for_each_relation(taxonomy):
    first, leaked, last = (" ".join(f"{word}{k}" for word in WORDS) for k in range(3))
    plant = planted._clean("text", [first, leaked, leaked, last], ("text", "near_text"), taxonomy)
    exact = planted._clean("text", [first, leaked, leaked, last], ("text",), taxonomy)
    assert (plant.what, plant.edit, plant.pairs) == ("text", "clean", 4)
    assert exact.found == 2
    assert plant.found >= exact.found
    assert planted._clean("text", [first, first, leaked, leaked], ("text",), taxonomy).found == 0
