"""The leak gate: what stands on both sides of a split is counted, shown and refused, unless a reason is given."""

from __future__ import annotations

import pyarrow as pa
import pytest

from workbench.errors import WorkbenchError
from workbench.evidence.audit import LeakFound, LeakOptions, counted, hold, overlap
from workbench.preprocessing.media import LIMITS
from workbench.schema import Taxonomy, corpus_schema

SCHEMA = corpus_schema(Taxonomy.load())


def posts(*rows: dict) -> pa.Table:
    """Return a corpus of the given cells; each post has a group of its own where none is given."""
    filled = [{"group": row["post_id"], **row} for row in rows]
    return pa.Table.from_pylist([{**dict.fromkeys(SCHEMA.names), **row} for row in filled], schema=SCHEMA)


def post(name: str, text: str | None = None, **cells) -> dict:
    return {"post_id": name, "text": text, **cells}


def picture(data: bytes) -> dict:
    return {"bytes": data, "path": None}


def sets(train: list[dict], test: list[dict], **more: list[dict]) -> dict[str, pa.Table]:
    parts = {"train": train, "validation": [post("v", "nothing like the others")], "test": test, **more}
    return {name: posts(*rows) for name, rows in parts.items()}


def crossed(found: dict) -> dict[str, int]:
    return {name: one["overlap"] for name, one in found.items() if one["overlap"]}


def test_a_clean_split_passes():
    found = overlap(sets([post("a", "one"), post("b", "two")], [post("c", "three")]))
    assert crossed(found) == {}
    assert found["text"]["of"] == 4
    hold(found, LeakOptions())


@pytest.mark.parametrize(
    ("train", "test", "relation"),
    [
        ({"group": "g"}, {"group": "g"}, "group"),
        ({"text": "You  are STUPID"}, {"text": "you are stupid\u0007 "}, "text"),
        ({"text": "caf\u00e9 &amp; bar"}, {"text": "cafe\u0301 & bar"}, "text"),
        ({"image": picture(b"same")}, {"image": picture(b"same")}, "image"),
        ({"video": picture(b"same")}, {"video": picture(b"same")}, "video"),
    ],
)
def test_each_relation_is_held(train, test, relation):
    found = overlap(sets([post("a", **{"text": "one", **train})], [post("b", **{"text": "two", **test})]))
    assert crossed(found) == {relation: 1}
    assert found[relation]["posts"] == 2
    with pytest.raises(LeakFound, match=rf"posts leak across the split: {counted(relation, 1)} in 2 posts") as told:
        hold(found, LeakOptions())
    assert "train a, test b" in str(told.value)
    hold(found, LeakOptions(allow={relation: "kept as it was published"}))


def test_what_is_not_there_is_equal_to_nothing():
    blank = {"text": " \u200b ", "image": {"bytes": None, "path": "gone.jpg"}, "group": None}
    found = overlap(sets([post("a", **blank)], [post("b", **blank)]))
    assert crossed(found) == {}
    assert (found["image"]["of"], found["image"]["not_compared"], found["text"]["not_compared"]) == (0, 2, 0)


def test_a_picture_is_the_same_wherever_it_lies(tmp_path):
    (tmp_path / "copy.jpg").write_bytes(b"same")
    other = {"bytes": None, "path": str(tmp_path / "copy.jpg")}
    found = overlap(sets([post("a", image=picture(b"same"))], [post("b", image=other)]))
    assert crossed(found) == {"image": 1}


def test_a_clip_larger_than_any_picture_is_compared_too(tmp_path):
    with open(tmp_path / "long.mp4", "wb") as file:
        file.truncate(LIMITS["image"] + 1)
    clip = {"bytes": None, "path": str(tmp_path / "long.mp4")}
    assert crossed(overlap(sets([post("a", video=clip)], [post("b", video=clip)]))) == {"video": 1}


def test_repeats_within_a_set_do_not_cross_and_authors_are_only_counted():
    ann = {"author": {"id": "ann"}}
    found = overlap(sets([post("a", "one", **ann), post("b", "one")], [post("c", "two", **ann)]))
    assert crossed(found) == {"author": 1}
    hold(found, LeakOptions())


def test_a_further_test_set_may_repeat_the_test_set_but_not_what_was_fitted():
    train, test = [post("a", "one", group="1")], [post("b", "two", group="2")]
    again = overlap(sets(train, test, other=[post("x", "two", group="1")]))
    assert crossed(again) == {}  # and group "1" of another corpus is another group
    leaked = overlap(sets(train, test, other=[post("x", "nothing like the others")]))
    assert leaked["text"]["examples"] == [
        {"content": "'nothing like the others'", "posts": [["validation", "v"], ["other", "x"]]}
    ]


def test_the_most_frequent_repeats_are_shown_first():
    train = [post(f"a{n}", "often") for n in range(3)] + [post(f"b{n}", f"text {n}") for n in range(8)]
    test = [post("c", "often")] + [post(f"d{n}", f"text {n}") for n in range(8)]
    found = overlap(sets(train, test))["text"]
    assert (found["overlap"], found["posts"]) == (9, 3 + 1 + 16)
    assert found["examples"][0] == {"content": "'often'", "posts": [["train", "a0"], ["test", "c"]]}
    assert len(found["examples"]) == 5


@pytest.mark.parametrize(
    ("allow", "said"),
    [({"text": "because"}, "at least three words"), ({"words": "kept as it was published"}, "'group', 'text'")],
)
def test_a_reason_is_asked_for(allow, said):
    with pytest.raises(WorkbenchError, match=said):
        LeakOptions.parse({"allow": allow}, "leaks")
