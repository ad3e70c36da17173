"""Exact repeats across a split: what is compared, what could not be read, and which posts are shown."""

from __future__ import annotations

import hashlib

from audited_posts import posts

from workbench.evidence.audit.exact import keys_of, overlap

PICTURE = {"bytes": b"one", "path": None}
GONE = {"bytes": None, "path": "gone.jpg"}


def test_contents_that_cannot_be_read_are_counted_in_every_set_and_compared_with_nothing():
    train = posts({"image": PICTURE}, {"image": GONE}, {"image": GONE}, {}, {"image": {"bytes": b"two", "path": None}})
    test = posts({"image": PICTURE}, {"image": GONE}, {"text": "alone"})
    found = overlap({"train": train, "test": test})
    assert found["image"] == {
        "overlap": 1,
        "of": 2,
        "posts": 2,
        "not_compared": 3,
        "examples": [
            {
                "content": f"sha256 {hashlib.sha256(b'one').hexdigest()[:12]}",
                "posts": [["train", "p0"], ["test", "p0"]],
            }
        ],
    }
    assert found["author"] == found["video"] == {"overlap": 0, "of": 0, "posts": 0, "not_compared": 0, "examples": []}
    assert found["text"] == {"overlap": 0, "of": 1, "posts": 0, "not_compared": 0, "examples": []}


def test_the_first_post_of_each_set_is_shown_with_the_words_of_the_first_set():
    train = posts({"text": "other"}, {"text": "Said TWICE"}, {"text": "said twice"})
    test = posts({"text": "more"}, {"text": "SAID twice"}, {"text": "said Twice"})
    found = overlap({"train": train, "test": test})["text"]
    assert found["examples"] == [{"content": "'Said TWICE'", "posts": [["train", "p1"], ["test", "p1"]]}]
    assert (found["overlap"], found["of"], found["posts"]) == (1, 3, 4)


def test_a_file_is_shown_by_its_path_and_a_name_as_it_is(tmp_path):
    cell = {"bytes": None, "path": str(tmp_path / "one.jpg")}
    (tmp_path / "one.jpg").write_bytes(b"one")
    row = {"image": cell, "author": {"id": "ann"}, "group": "of two"}
    found = overlap({"train": posts(row), "validation": posts({}, {"author": {"id": "bob"}}), "test": posts(row)})
    shown = {name: one["examples"][0]["content"] for name, one in found.items() if one["examples"]}
    assert shown == {"group": "of two", "author": "ann", "image": cell["path"]}
    assert (found["group"]["of"], found["author"]["of"]) == (3, 2)


def test_texts_that_differ_only_after_forty_thousand_letters_differ():
    long = "word " * 9000
    one, other, again = keys_of(
        posts({"text": f"{long} a"}, {"text": f"{long} b"}, {"text": f"{long.upper()} A"}), "text"
    )
    assert one == again
    assert one != other


def test_posts_of_all_contents_that_cross_are_counted():
    train, test = posts({"text": "a"}, {"text": "a"}, {"text": "b"}, {"text": "c"}), posts({"text": "a"}, {"text": "b"})
    found = overlap({"train": train, "test": test})["text"]
    assert (found["overlap"], found["of"], found["posts"]) == (2, 3, 5)
