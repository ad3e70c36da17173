"""Neighbours: who they are, how they vote, and that the memory is bounded."""

import numpy as np
import pytest

from workbench import models
from workbench.models.heads.retrieval import NAMED, TrainingPosts

WHITE = {"encoder": "words", "space": "whitened"}


def fit(taxonomy, store, table, posts, **options):
    model = models.create("clip-retrieval", {**WHITE, **options}, taxonomy=taxonomy, store=store)
    return model.fit(table(posts, taxonomy), table(posts[:4], taxonomy), seed=0)


@pytest.fixture
def posts(rows, taxonomy):
    return rows(60, taxonomy, 1)


def test_a_score_names_the_training_posts_with_the_label_that_it_comes_from(taxonomy, store, table, posts):
    model = fit(taxonomy, store, table, posts, k=5, temperature=0.1)
    alike = model.predict(table(posts, taxonomy)).alike
    for named, post in zip(alike, posts, strict=True):
        for k, label in enumerate(taxonomy.names):
            if post["labels"].get(label):
                assert named[k][0] == post["post_id"]  # a post is the most like itself
            elif named[k]:
                assert post["post_id"] not in named[k]
    held = {label: {post["post_id"] for post in posts if post["labels"].get(label)} for label in taxonomy.names}
    for k, label in enumerate(taxonomy.names):
        named = [row for row in alike[:, k] if row]
        assert named
        assert all(set(row) <= held[label] and len(set(row)) == len(row) <= NAMED for row in named)
    unreadable = table([{"text": "unreadable"}, {"text": None}], taxonomy)
    assert not model.predict(unreadable).alike.any()


def test_the_neighbours_named_are_those_of_the_variant_that_scores(taxonomy, store, table):
    harm = [{"post_id": f"h{i}", "text": "abuseword", "labels": {"abuse": True, "nudity": False}} for i in range(4)]
    calm = [{"post_id": f"c{i}", "text": f"word{i}", "labels": {"abuse": False, "nudity": i == 0}} for i in range(4)]
    model = fit(taxonomy, store, table, harm + calm, k=3, temperature=0.1)
    made = model.predict(table([{"text": "word1|abuseword"}, {"text": "word1"}], taxonomy))
    assert set(made.alike[0, 0]) <= {"h0", "h1", "h2", "h3"}
    assert made.logits[0, 0] > made.logits[1, 0]


def test_votes_by_hand(taxonomy, store, table, posts):
    model = fit(taxonomy, store, table, posts, k=2, temperature=0.5, smoothing=0.5)
    y = np.array([[True, False], [False, False], [True, True]])
    known = np.array([[True, True], [True, True], [True, False]])
    model.memory = TrainingPosts(np.eye(3, dtype=np.float16), np.arange(3, dtype=np.int32), y, known)
    model.constants = np.zeros(2, np.float32)  # a prevalence of one side
    logits = model._votes(np.array([[0, 1, 2]]), np.array([[0.9, 0.8, 0.4]]), 2, 0.5)
    # weights count from the third, which is left out: 1 - e^-1 and e^-0.2 - e^-1
    near, next_ = 1 - np.exp(-1.0), np.exp(-0.2) - np.exp(-1.0)
    share = (near + 0.25) / (near + next_ + 0.5)
    none = 0.25 / (near + next_ + 0.5)
    expected = [np.log(share / (1 - share)), np.log(none / (1 - none))]
    np.testing.assert_allclose(logits[0], expected, rtol=1e-6)


def test_a_score_does_not_jump_where_two_neighbours_swap_places(taxonomy, store, table, posts):
    model = fit(taxonomy, store, table, posts, k=2, temperature=0.1)
    first, second = (
        model._votes(np.array([order]), np.array([[0.9, 0.8, 0.8]]), 2, 0.1) for order in ([0, 1, 2], [0, 2, 1])
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_memory_is_bounded_and_ids_are_saved(taxonomy, store, table, posts, tmp_path):
    model = fit(taxonomy, store, table, posts, max_posts=7)
    assert len(model.post_ids) == 7 == model.record["posts"]
    assert model.memory.vectors.dtype == np.float16
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    asked = table(posts[:5], taxonomy)
    assert again.predict(asked).alike.tolist() == model.predict(asked).alike.tolist()


def test_search_is_exact():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(300, 8)).astype(np.float16)
    memory = TrainingPosts(vectors, np.arange(300, dtype=np.int32), np.zeros((300, 1), bool), np.ones((300, 1), bool))
    queries = draw.normal(size=(20, 8)).astype(np.float32)
    rows, cosines = memory.search(queries, 5)
    everything = queries @ vectors.astype(np.float32).T
    assert (rows == np.argsort(-everything, axis=1)[:, :5]).all()
    np.testing.assert_allclose(cosines, -np.sort(-everything, axis=1)[:, :5], rtol=1e-6)
    assert memory.search(queries, 1000)[0].shape == (20, 300)


def test_frames_of_a_clip_vote_once(taxonomy, store, table):
    clip = {"video": "|".join(f"word{i} frame{i}" for i in range(12)), "labels": {"abuse": True, "nudity": True}}
    calm = [{"image": f"word{i} calm{i}", "labels": {"abuse": False, "nudity": False}} for i in range(6)]
    model = fit(taxonomy, store, table, [clip, *calm])
    assert np.bincount(model.memory.post).tolist() == [4, *[1] * 6]  # at most FRAMES of twelve
    assert model.memory.weight[model.memory.post == 0].sum() == pytest.approx(1.0)
