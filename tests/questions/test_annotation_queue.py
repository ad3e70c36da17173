"""The list for people: in an order with reasons, harmless in a spreadsheet, read back as it was written."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from workbench import corpora
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks
from workbench.questions import annotation_queue
from workbench.questions.clusters import ClusterOptions, cluster
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


def picture(colour: tuple[int, int, int]) -> dict:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def posts(n: int = 60) -> pa.Table:
    """Posts about cats, dogs and sums; every tenth is abuse, the last does not know; the first has a picture."""
    words = ["a cat sat on the mat", "the dog barks at night", "=SUM(1) of all parts"]
    rows = [
        {
            "post_id": f"p{i}",
            "text": f"{words[i % 3]} {'idiot' if i % 10 == 0 else 'friend'}",
            "image": picture((200, 30, 30)) if i == 0 else None,
            "group": f"g{i}",
            "weight": 1.0,
            "labels": {"abuse": None if i == n - 1 else i % 10 == 0},
        }
        for i in range(n)
    ]
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


@pytest.fixture(scope="module")
def side():
    return annotation_queue.material(posts(), TAXONOMY, "abuse", 0.4, "words", None)


def test_both_sides_hold_the_posts_that_know_the_label(side):
    pool, test = side
    assert len(pool.posts.y) + len(test.posts.y) == 59
    assert not set(pool.table["post_id"].to_pylist()) & set(test.table["post_id"].to_pylist())
    np.testing.assert_allclose(np.linalg.norm(pool.posts.x, axis=1), 1)
    assert pool.summary()["harmful"] + test.summary()["harmful"] == 6
    assert pool.posts.x.shape[1] == test.posts.x.shape[1]


def test_words_of_the_held_out_posts_teach_the_embedding_nothing():
    one, other = posts(30), posts(60).slice(30)
    alone = annotation_queue.embed(one, one.slice(0, 5), "words", None)[0]
    np.testing.assert_array_equal(annotation_queue.embed(one, other, "words", None)[0], alone)


class Halves:
    """A store whose encoder gives two numbers for a text, and cannot read the second post's picture."""

    def text(self, name, table):
        counts = [1 if text else 0 for text in table["text"].to_pylist()]
        vectors = np.array([[len(t), 1.0] for t in table["text"].to_pylist() if t], dtype=np.float32).reshape(-1, 2)
        return Blocks.build(vectors, counts, [None] * len(table))

    def image(self, name, table):
        return Blocks.build(np.empty((0, 2), np.float32), [0, 0, 0, 0], [None, "torn", None, None])

    def video(self, name, table):
        return Blocks.empty(len(table), 2)


def test_an_encoder_gives_nan_only_where_nothing_of_a_post_can_be_read():
    rows = [{"post_id": str(i), "text": text} for i, text in enumerate(["a", None, "abc", "abcde"])]
    table = pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))
    pool, others = annotation_queue.embed(table, table, "any", Halves())
    assert np.isnan(pool).all(axis=1).tolist() == [False, True, False, False]
    np.testing.assert_array_equal(pool, others)
    # Lengths 1, 3, 5 whitened: mean 3, so the middle one is at the origin.
    assert abs(pool[2, 0]) < 1e-6
    assert pool[0, 0] == pytest.approx(-pool[3, 0])


def test_without_labels_the_middles_come_first_and_the_odd_ones_after(side):
    pool = side[0]
    clusters = cluster(pool.posts.x, ClusterOptions(clusters=3), seed=0)
    none = np.zeros(len(pool.posts.y), bool)
    chosen = annotation_queue.choose(pool.posts.x, clusters, 10, y=none, known=none, peek=1)
    assert len({row for row, _ in chosen}) == 10
    assert [clusters.of[row] for row, _ in chosen[:3]] == [0, 1, 2]
    assert chosen[0][1] == f"in the middle of cluster 0 ({clusters.sizes[0]} posts)"
    assert {reason for _, reason in chosen[3:]} == {"unlike all posts before it"}
    assert len(annotation_queue.choose(pool.posts.x, clusters, 999, y=none, known=none)) == len(none)


def test_with_labels_of_both_kinds_the_learner_speaks(side):
    pool = side[0]
    clusters = cluster(pool.posts.x, ClusterOptions(clusters=3), seed=0)
    known = np.arange(len(pool.posts.y)) < 25
    assert len(np.unique(pool.posts.y[known])) == 2
    chosen = annotation_queue.choose(pool.posts.x, clusters, 8, y=pool.posts.y, known=known)
    assert not {row for row, _ in chosen} & set(np.flatnonzero(known))
    assert chosen[0][1].startswith("likely harmful (")
    assert any("would teach most" in reason for _, reason in chosen)


def test_a_list_is_filled_in_and_read_back(tmp_path):
    table = posts(6)
    clusters = cluster(np.eye(6), ClusterOptions(clusters=2), seed=0)
    path = annotation_queue.write(
        tmp_path / "deep" / "list.csv", table, [(2, "why"), (0, "so"), (1, "")], clusters, "abuse"
    )
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert list(rows[0]) == ["post_id", "cluster", "reason", "text", "image", "video", "abuse"]
    assert rows[0]["text"] == " =SUM(1) of all parts friend"  # no formula
    assert [row["post_id"] for row in rows] == ["p2", "p0", "p1"]
    rows[0]["abuse"], rows[1]["abuse"] = "no", "yes"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    back = corpora.load(annotation_queue.read_config(path, "abuse"), TAXONOMY, cache=tmp_path / "cache").table
    assert [row["labels"]["abuse"] for row in back.to_pylist()] == [False, True, None]
    image = back["image"].to_pylist()
    assert [one is not None for one in image] == [False, True, False]


def test_cards_hide_what_pictures_show_and_escape_what_texts_say():
    table = posts(3).set_column(1, "text", pa.array(["<b>x</b> y", "long " * 100, None]))
    clusters = cluster(np.zeros((3, 1)), ClusterOptions(clusters=1), seed=0)
    page = annotation_queue.cards(table, clusters)
    assert "&lt;b&gt;x" in page
    assert "<b>" not in page
    assert "…" in page
    assert page.count("data:image/jpeg") == 1  # a blurred copy, never the PNG itself
    assert annotation_queue.summary(table, clusters)["posts"].tolist() == [3]


def test_what_is_missing_is_said():
    with pytest.raises(WorkbenchError, match="unknown label 'abus'; did you mean 'abuse'"):
        annotation_queue.material(posts(), TAXONOMY, "abus", 0.4, "words", None)
    with pytest.raises(WorkbenchError, match="no post of the corpus knows the label 'nudity'"):
        annotation_queue.material(posts(), TAXONOMY, "nudity", 0.4, "words", None)
    table = posts(4).set_column(1, "text", pa.array(["one", "two", "three", "four"]))
    with pytest.raises(WorkbenchError, match="no two texts of the pool share a word"):
        annotation_queue.embed(table, table, "words", None)
