"""The profile of a corpus, on a table small enough to count by hand."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from made_clips import clip
from PIL import Image

from workbench.corpora import profile
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


def png(shade: int, size=(4, 2)) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size, shade).save(buffer, "PNG")
    return buffer.getvalue()


def table(rows: list[dict]) -> pa.Table:
    """Return a corpus table from rows that name only what matters; ids and groups are numbered."""
    labels = dict.fromkeys(TAXONOMY.names)
    full = [
        {"post_id": f"p{n}", "group": f"g{n}", **row, "labels": {**labels, **row.get("labels", {})}}
        for n, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=corpus_schema(TAXONOMY))


def as_bytes(data: bytes) -> dict:
    return {"bytes": data, "path": None}


A, B = as_bytes(png(10)), as_bytes(png(200))


@pytest.fixture
def posts() -> pa.Table:
    """Six posts; the site has 9 posts for each paired one of the sample and 1 for each other."""
    yes, no = {"abuse": True}, {"abuse": False}
    return table(
        [
            {"text": "hello", "labels": yes, "weight": 1.0, "language": "en", "group": "g"},
            {"text": "hello", "labels": yes, "weight": 1.0, "language": "en", "group": "g"},
            {"text": "there", "labels": no, "language": "de"},  # no weight: it stands for itself
            {"text": "with a picture", "image": A, "labels": no | {"nudity": True}, "weight": 9.0},
            {"image": B, "weight": 1.0},  # nobody has labelled it
            {"text": "\u200b ", "weight": 1.0, "language": "en", "labels": yes},  # nothing of it shows on a page
        ]
    )


def test_patterns_count_posts_and_undo_the_sampling(posts):
    found = profile.patterns(posts)
    assert found["posts"].to_dict() == {"text": 3, "text+image": 1, "image": 1, "nothing": 1}
    assert found["share"].to_dict() == pytest.approx(
        {"text": 3 / 6, "text+image": 1 / 6, "image": 1 / 6, "nothing": 1 / 6}
    )
    # the weights sum to 1 + 1 + 1 + 9 + 1 + 1 = 14
    site = {"text": 3 / 14, "text+image": 9 / 14, "image": 1 / 14, "nothing": 1 / 14}
    assert found["share at the site"].to_dict() == pytest.approx(site)
    assert found.index[0] == "text"  # the most frequent first


def test_labels_count_only_what_is_known(posts):
    found = profile.labels(posts, TAXONOMY)
    abuse = found.loc["abuse"]
    assert abuse[["known", "positives", "positive groups"]].tolist() == [5, 3, 2]  # two of the three are one family
    assert abuse["prevalence"] == pytest.approx(3 / 5)
    assert abuse["at the site"] == pytest.approx(3 / 13)  # weights 1, 1, 1 of 1 + 1 + 1 + 9 + 1
    assert found.loc["nudity"].tolist() == [1, 1, 1, 1.0, 1.0]
    # nobody knows violence here: undefined, not zero
    assert found.loc["violence", ["known", "positives", "positive groups"]].tolist() == [0, 0, 0]
    assert found.loc["violence", ["prevalence", "at the site"]].isna().all()
    assert list(found.index) == list(TAXONOMY.names)


def test_what_a_label_does_not_know_has_its_reasons(posts):
    found = profile.unlabelled(posts, TAXONOMY)
    known = profile.labels(posts, TAXONOMY)["known"]
    assert (found.sum(axis=1) == len(posts) - known[found.index]).all()
    assert found.loc["abuse", "no reason given"] == len(posts) - known["abuse"] > 0
    silent = profile.unlabelled(table([{"text": "hello", "labels": {"abuse": True}}]), TAXONOMY)
    assert "abuse" not in silent.index
    assert silent.loc["nudity"].to_dict() == {"not mapped": 1}


def test_harm_by_pattern_leaves_unknown_labels_out(posts):
    found = profile.harm_by_pattern(posts, TAXONOMY)
    assert found.loc["text", "abuse"] == pytest.approx(2 / 3)
    assert found.loc["text+image", "abuse"] == 0
    assert found.loc["nothing", "abuse"] == 1
    assert np.isnan(found.loc["image", "abuse"])  # its one post is not labelled
    assert found.loc["text+image", "nudity"] == 1
    assert found["violence"].isna().all()


def test_values_are_counted_with_the_missing_ones_named(posts):
    found = profile.values(posts, "language")
    assert found.to_dict() == {"en": 3, "unknown": 2, "de": 1}
    assert list(found) == [3, 2, 1]
    assert profile.values(posts, "region").to_dict() == {"unknown": 6}


def test_repeated_texts_are_found_after_cleaning_and_across_groups():
    texts = ["Tom &amp; Jerry", "Tom  &  Jerry ", "tom & jerry", "once", "\u200b", "\u200b", "  ", None]
    posts = table([{"text": text, "group": "a" if n < 2 else f"g{n}"} for n, text in enumerate(texts)])
    # the first two are one text, in one group; cleaning keeps the case; what shows nothing is no text
    assert profile.duplicates(posts).loc["text"].tolist() == [3, 1, 2, 0]
    across = table([{"text": "same", "group": "a"}, {"text": "same", "group": "a"}, {"text": "same", "group": "b"}])
    assert profile.duplicates(across).loc["text"].tolist() == [1, 1, 3, 1]


def test_pictures_repeat_by_what_is_in_them_wherever_it_lies(tmp_path):
    (tmp_path / "one.png").write_bytes(png(10))
    (tmp_path / "two.png").write_bytes(png(10))
    files = [{"bytes": None, "path": str(tmp_path / name)} for name in ("one.png", "two.png", "gone.png", "gone.png")]
    images = [
        *files,
        A,
        B,
        {"bytes": None, "path": ""},
        {"bytes": None, "path": ""},
        None,
        as_bytes(b""),
        as_bytes(b""),
    ]
    found = profile.duplicates(table([{"image": image} for image in images])).loc["image"]
    # contents: the shade 10 in three places, the missing file, the shade 200, the empty file; an empty path is nothing
    assert found.tolist() == [4, 3, 3 + 2 + 2, 3]


def test_pictures_tell_size_readings_and_what_is_wrong():
    posts = table([{"text": "no picture"}, {"image": A}, {"image": as_bytes(b"words")}, {"image": as_bytes(b"")}])
    found = profile.pictures(posts)
    assert found["post_id"].tolist() == ["p1", "p2", "p3"]
    assert found[["width", "height", "variants"]].to_numpy().tolist() == [[4, 2, 1], [0, 0, 0], [0, 0, 0]]
    assert found["unreadable because"].isna().tolist() == [True, False, False]
    assert "empty" in found["unreadable because"][2]


def test_pictures_stop_after_the_limit_of_posts_that_bring_one():
    posts = table([{"text": "no picture"}, {"image": A}, {"text": "none"}, {"image": B}, {"image": A}])
    assert profile.pictures(posts, limit=2)["post_id"].tolist() == ["p1", "p3"]


def test_the_notes_of_a_picture_are_shown():
    buffer = io.BytesIO()
    Image.new("RGBA", (3, 3), (1, 2, 3, 0)).save(buffer, "PNG")
    found = profile.pictures(table([{"image": as_bytes(buffer.getvalue())}])).iloc[0]
    assert found["variants"] == 3  # as it is, on white, on black
    assert "transparent" in found["notes"]


def test_clips_repeat_by_their_bytes_and_are_no_pictures(tmp_path):
    (tmp_path / "c.mp4").write_bytes(b"one")
    cells = [as_bytes(b"one"), {"bytes": None, "path": str(tmp_path / "c.mp4")}, as_bytes(b"two"), None]
    found = profile.duplicates(table([{"video": cell, "image": as_bytes(b"one")} for cell in cells]))
    assert found.loc["video"].tolist() == [2, 1, 2, 1]
    assert found.loc["image"].tolist() == [1, 1, 4, 1]
    assert profile.patterns(table([{"video": cells[0], "text": "a"}, {"video": cells[2]}]))["posts"].to_dict() == {
        "text+video": 1, "video": 1,
    }  # fmt: skip


def test_clips_tell_time_frames_size_and_what_is_wrong():
    data = clip(24, rate=12)  # 24 frames of 64 x 48 in two seconds
    posts = table(
        [{"text": "none"}, {"video": as_bytes(data)}, {"video": as_bytes(b"words")}, {"video": as_bytes(b"")}]
    )
    found = profile.clips(posts)
    assert found["post_id"].tolist() == ["p1", "p2", "p3"]
    assert found[["frames", "width", "height"]].to_numpy().tolist() == [[12, 64, 48], [0, 0, 0], [0, 0, 0]]
    assert 1.8 < found["seconds"][0] < 2  # the middle of the last of twelve slices is at 1.92 s
    assert found["seconds"].isna().tolist() == [False, True, True]
    assert found["unreadable because"].isna().tolist() == [True, False, False]
    assert "empty" in found["unreadable because"][2]
    assert profile.clips(posts, limit=1)["post_id"].tolist() == ["p1"]


def test_an_empty_table_has_an_empty_profile_and_nothing_is_divided_by_zero():
    none = table([])
    assert len(profile.patterns(none)) == len(profile.harm_by_pattern(none, TAXONOMY)) == 0
    assert profile.labels(none, TAXONOMY)["known"].sum() == 0
    assert profile.duplicates(none).to_numpy().sum() == 0
    for found in (profile.pictures(none), profile.clips(none)):
        assert found.describe().loc[["count", "min"]].shape[1] >= 3  # numbers stay numbers, as notebook 01 shows them
    assert len(profile.pictures(none)) == len(profile.clips(none)) == len(profile.values(none, "language")) == 0
