"""What leaks, as the page tells it: what edits are seen through, which columns tell most, pairs of pictures."""

from __future__ import annotations

import importlib
import io
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from workbench.comparison.run_files import Overlap
from workbench.evidence.attacks import clips
from workbench.report import gallery
from workbench.schema import INPUTS

leaks = importlib.import_module("workbench.report.sections.leaks")


def test_each_kind_of_edit_is_told_with_the_share_found_the_most_first():
    rows = [("JPEG", 16, 16), ("framed", 3, 16), ("cropped", 0, 16), ("mirrored", 16, 16), ("leet", 0, 0)]
    edits = [{"edit": edit, "found": found, "of": of} for edit, found, of in rows]
    told = leaks.edits({"near_image": Overlap.model_validate({"edits": edits}), "template": Overlap()})
    assert told == [
        "Near-duplicate pictures: all of 16 (JPEG, mirrored); 3 of 16 (framed); none of 16 (cropped).",
    ]


def test_the_columns_that_tell_most_are_shown_and_every_shortcut():
    scores = [
        {"fields": f"column {k}", "label": label, "average_precision": 0.1 + 0.01 * k, "prevalence": 0.1}
        for k in range(20)
        for label in ("abuse", "nudity")
    ]
    scores[2]["shortcut"] = True  # column 1 for abuse
    shown = leaks._shortcuts(Overlap.model_validate({"scores": scores}))
    assert list(shown.index) == ["a random order", "column 1", *(f"column {k}" for k in range(19, 12, -1))]
    assert shown.loc["column 1"].tolist() == ["0.110 (a shortcut)", "0.110"]
    assert leaks._shortcuts(Overlap()).empty


@pytest.fixture
def posts() -> pa.Table:
    rng = np.random.default_rng(0)

    def png() -> dict:
        data = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(data, "PNG")
        return {"bytes": data.getvalue(), "path": None}

    film = rng.integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)
    clip = {"bytes": clips.write(film, np.arange(4.0)), "path": None}
    images, videos = [png(), png(), None, {"bytes": b"none", "path": None}], [None, clip, clip, None]
    media = INPUTS.field("image").type
    return pa.table({"post_id": list("abcd"), "image": pa.array(images, media), "video": pa.array(videos, media)})


def test_pairs_are_shown_side_by_side_and_blurred(posts):
    def cards(columns: tuple[str, ...], *pairs: tuple[str, str, str]) -> str:
        told = [(words, [("train", a), ("test", b)]) for words, a, b in pairs]
        return gallery.side_by_side({"train": posts, "test": posts}, columns, told)

    shown = cards(("image",), ("<turned>", "a", "b"), ("one is gone", "a", "z"))
    assert shown.count('class="card"') == 1
    assert shown.count("data:image/jpeg") == 2
    assert "&lt;turned&gt;" in shown
    assert cards(("image",), ("no picture", "a", "c")) == ""
    assert cards(("video",), ("clips", "b", "c")).count("data:image/jpeg") == 2
    assert cards(("image", "video"), ("a still", "a", "c")).count("data:image/jpeg") == 2


def test_a_post_of_another_set_with_the_same_id_is_not_shown_for_it(posts):
    pair = [("alike", [("train", "a"), ("outside", "a")])]
    assert gallery.side_by_side({"train": posts}, ("image",), pair) == ""
    both = gallery.side_by_side({"train": posts, "outside": posts.slice(1)}, ("image",), pair)
    assert both == ""
    swapped = posts.set_column(0, "post_id", pa.array(list("badc")))
    shown = gallery.side_by_side({"train": posts, "outside": swapped}, ("image",), pair)
    assert len(set(re.findall(r"data:image/jpeg[^\"]*", shown))) == 2


def test_found_pairs_of_pictures_and_clips_are_shown_with_what_they_are_taken_for(posts):
    def found(*pairs: tuple[str, str]) -> Overlap:
        examples = [{"content": f"like {k}", "posts": [["train", a], ["test", b]]} for k, (a, b) in enumerate(pairs)]
        return Overlap.model_validate({"examples": examples})

    sets = {"train": posts, "test": posts}
    shown = leaks._pairs({"near_image": found(*[("a", "b")] * 5), "still": found(("a", "c"))}, sets, leaks.PAIRS)
    assert shown.count('class="card"') == leaks.PAIRS + 1
    assert shown.index("Near-duplicate pictures") < shown.index("Stills of clips")
    assert leaks._pairs({"near_text": found(("a", "b"))}, sets, None) == ""
    assert leaks._pairs({"near_image": found(*[("a", "b")] * 5)}, sets, None).count('class="card"') == 5
