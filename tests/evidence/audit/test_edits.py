"""Edits that people make before they post again: each is what it is called, and those that are seen through count."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pyarrow as pa
import pytest
from audited_posts import drawing, encoded, posts
from PIL import Image, ImageEnhance

from workbench.evidence.attacks import clips
from workbench.evidence.audit import edits, near_text

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PIXELS = (np.arange(40 * 60 * 3).reshape(40, 60, 3) * 7 % 251).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------- texts


def rewritten(name, words):
    """Return all that a rewrite makes of words, over many draws."""
    rewrite = edits.REWRITES[name]
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
    (before,) = {tuple(edits.REWRITES["pasted into another"](WORDS, np.random.default_rng(1))[:9])}
    assert before == tuple(np.random.default_rng(1).permutation(WORDS[::-1]))


def test_every_word_is_rewritten_in_leet_and_in_spaces():
    for name in ("leet", "spaced letters"):
        (text,) = rewritten(name, ["toaster", "lioness"])
        assert not {"toaster", "lioness"} & set(text)


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
    np.testing.assert_array_equal(edits.ENCODED[name](image), EDITED[name](image))


def test_a_picture_keeps_a_pixel():
    assert edits.resized(Image.fromarray(PIXELS[:1]), 0.01).size == (1, 1)


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
    assert logo(image, edits.ENCODED[name](image)) == (left, top, side, side, colour)


def test_a_logo_of_two_percent_is_saved_as_jpeg():
    image = Image.fromarray(PIXELS)
    expected = saved(edits.under_logo(image, 0.02), 50)
    np.testing.assert_array_equal(edits.ENCODED["logo 2 % and JPEG 50"](image), expected)


def test_a_logo_comes_everywhere_within_a_picture():
    places = set()
    for grey in range(256):
        image = Image.new("RGB", (5, 4), (grey, 0, 255))
        left, top, width, height, _ = logo(image, edits.under_logo(image, 0.2))
        assert (width, height) == (2, 2)
        places.add((left, top))
    assert places == set(itertools.product(range(4), range(3)))


def test_a_picture_is_moved_as_it_is_called():
    image = Image.fromarray(PIXELS).resize((200, 160))
    sizes = {name: edit(image).size for name, edit in edits.MOVED.items()}
    assert sizes == {
        "crop 10 %": (160, 128),
        "turned by 3 degrees": (200, 160),
        "framed": (240, 200),
        "captioned above": (200, 200),
        "in a screenshot": (900, 1600),
    }
    inner = np.asarray(edits.MOVED["framed"](image))
    np.testing.assert_array_equal(inner[20:180, 20:220], np.asarray(image))
    assert (inner[:20] == 250).all()
    captioned = np.asarray(edits.MOVED["captioned above"](image))
    np.testing.assert_array_equal(captioned[40:], np.asarray(image))
    assert captioned[:40].min() < 50 < captioned[:40].mean()  # words on white
    page = edits.MOVED["in a screenshot"](image)
    np.testing.assert_array_equal(np.asarray(page)[400:1040, 50:850], np.asarray(image.resize((800, 640))))


# --------------------------------------------------------------------------------------------------------------- clips


def test_a_clip_is_cut_as_it_is_called():
    frames, times = np.arange(7 * 40 * 20 * 3).reshape(7, 40, 20, 3).astype(np.uint8), np.arange(8) / 2
    made = {name: cut(frames, times) for name, cut in edits.CUTS.items()}
    assert {name: (shown.shape, len(until) - 1, until[-1]) for name, (shown, until) in made.items()} == {
        "another encoding": ((7, 40, 20, 3), 7, 3.5),
        "its end cut off": ((5, 40, 20, 3), 5, 2.5),
        "its start cut off": ((5, 40, 20, 3), 5, 2.5),
        "twice as fast": ((7, 40, 20, 3), 7, 1.75),
        "darker": ((7, 40, 20, 3), 7, 3.5),
        "mirrored": ((7, 40, 20, 3), 7, 3.5),
        "crop 5 %": ((7, 36, 18, 3), 7, 3.5),
    }
    np.testing.assert_array_equal(made["darker"][0], np.floor(frames * 0.8))
    np.testing.assert_array_equal(made["mirrored"][0][:, :, ::-1], frames)
    np.testing.assert_array_equal(made["crop 5 %"][0], frames[:, 2:38, 1:19])


# ------------------------------------------------------------------------------------------------------ what is tried


def film(seed: int) -> dict:
    frames = np.stack([np.asarray(drawing(seed + k)) for k in range(3)])
    return {"bytes": clips.write(frames, np.arange(4) / 2), "path": None}


@pytest.mark.parametrize(
    ("kind", "cells", "column", "wanted"),
    [
        ("text", [" ".join(WORDS), " ".join(reversed(WORDS))], "text", len(edits.REWRITES)),
        ("picture", [encoded(drawing(1)), encoded(drawing(2))], "image", len(edits.ENCODED | edits.MOVED)),
        ("clip", [film(1), film(9)], "video", len(edits.CUTS)),
        ("still", [film(1), film(9)], "image", 1),
    ],
)
def test_every_edit_of_a_kind_is_looked_for_beside_its_originals(kind, cells, column, wanted):
    seen, relation = [], edits.KINDS[kind][2]

    def look(sets):
        seen.append(sets)
        return {relation: {"test_posts": len(seen)}}

    rows = list(edits.tried(kind, cells, look, np.random.default_rng(0)))
    assert [row["edit"] for row in rows] == list(edits.KINDS[kind][3])
    assert [(row["found"], row["of"]) for row in rows] == [(k + 1, 2) for k in range(wanted)]
    for sets in seen:
        assert sets["train"][edits.KINDS[kind][0]].to_pylist() == cells
        edited = sets["test"][column].to_pylist()
        assert len({str(cell) for cell in edited}) == 2
        assert not [cell for cell in edited if cell in cells]


def test_own_contents_are_different_ones_that_can_be_edited(monkeypatch):
    monkeypatch.setattr(edits, "OWN", 3)
    long = [" ".join(f"{word}{k}" for word in WORDS) for k in range(9)]
    cells = [encoded(drawing(k)) for k in (1, 1, 2)] + [{"bytes": b"none", "path": None}]
    rows = [{"text": text} for text in ("short", *long)] + [{"image": cell} for cell in cells] + [{"video": film(3)}]
    tried, done = {}, []
    monkeypatch.setattr(
        edits, "tried", lambda kind, own, look, rng: tried.update({kind: own}) or iter([{"edit": kind}] * 2)
    )
    relations = ["near_text", "near_image", "near_video", "still"]
    found = edits.own({"train": posts(*rows)}, None, relations, lambda *given: done.append(given))
    assert len(tried["text"]) == 3
    assert set(tried["text"]) <= set(long)
    assert sorted(cell["bytes"] for cell in tried["picture"]) == sorted(cells[k]["bytes"] for k in (0, 2))
    assert tried["clip"] == tried["still"] == [film(3)]
    assert found == {name: [{"edit": kind}] * 2 for name, kind in zip(relations, tried, strict=True)}
    assert (done[0], done[-1]) == ((1, 35), (8, 35))
    assert edits.own({"train": posts({"text": "short"})}, None, ["near_text"]) == {"near_text": []}


def test_rewrites_of_texts_are_seen_through():
    texts = [" ".join(np.random.default_rng(k).permutation(WORDS * 2)) + f" {k * 'x'}" for k in range(3)]
    table = edits.posts("text", texts)
    assert isinstance(table, pa.Table)
    assert len(set(table["group"].to_pylist())) == 3
    rows = edits.own({"train": table}, near_text.look, ["near_text"])["near_text"]
    assert len(rows) == len(edits.REWRITES)
    assert {row["of"] for row in rows} == {3}
    assert sum(row["found"] for row in rows) > 20


def test_what_an_edit_leaves_as_it_was_does_not_count_and_alike_originals_count_once():
    hindi = ["यह एक लंबा वाक्य है जो बदल नहीं सकता", "और यह भी एक लंबा वाक्य है जो रहता"]
    rows = list(edits.tried("text", [*hindi, " ".join(WORDS)], near_text.look, np.random.default_rng(0)))
    (leet,) = (row for row in rows if row["edit"] == "leet")
    assert leet == {"edit": "leet", "found": 1, "of": 1}
    alike = [" ".join([*WORDS, *WORDS[::-1], end]) for end in ("x", "y", "z")]

    def look(sets):
        return near_text.look({"train": sets["train"], "test": sets["test"].slice(0, 1)})

    assert next(edits.tried("text", alike, look, np.random.default_rng(0)))["found"] == 1
