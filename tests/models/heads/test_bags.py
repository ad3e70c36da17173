"""What becomes of the rows of a post: noisy-or and attention by hand, in any order, and within variants."""

import math

import numpy as np
import pytest
import torch

from workbench import models
from workbench.models.heads.bags import Vectors, bags, combinations
from workbench.models.heads.networks import POOLS, Head, attended, highest, noisy_or
from workbench.models.heads.training import pooled

QUICK = {"encoder": "words", "epochs": 8, "batch_size": 16, "lr": 0.02, "dropout": 0.1, "weight_decay": 0.0}
OWNER = torch.tensor([0, 0, 0, 1, 2, 2])


def test_noisy_or_is_the_chance_of_any():
    p = torch.tensor([[0.2], [0.5], [0.1], [0.3], [0.0], [0.6]], dtype=torch.float64)
    found = torch.sigmoid(noisy_or(torch.logit(p, eps=1e-15), OWNER))
    # 1 - 0.8 * 0.5 * 0.9 = 0.64; one row is itself; 1 - 1 * 0.4 = 0.6
    np.testing.assert_allclose(found[:, 0], [0.64, 0.3, 0.6], rtol=1e-9)


def test_noisy_or_of_extremes_is_finite_and_has_a_gradient():
    rows = torch.tensor([[-200.0], [-200.0], [300.0], [-90.0], [0.0], [60.0]], requires_grad=True)
    found = noisy_or(rows, OWNER)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(rows.grad).all()
    assert found.detach()[0, 0].item() == pytest.approx(300)
    assert noisy_or(rows, None) is rows


def test_attention_is_a_mean_weighted_by_a_softmax_of_its_score():
    rows = torch.tensor([[1.0, 0.0], [3.0, math.log(3)], [9.0, -1000.0], [4.0, 7.0], [0.0, 2.0], [2.0, 2.0]])
    # weights 1/4, 3/4 and 0; one row is itself; equal scores make a plain mean
    np.testing.assert_allclose(attended(rows, OWNER)[:, 0], [2.5, 4.0, 1.0], rtol=1e-6)
    assert torch.equal(attended(rows, None), rows[:, :1])


@pytest.mark.parametrize("pooling", POOLS)
def test_the_order_of_rows_changes_nothing(pooling):
    chance = torch.Generator().manual_seed(0)
    head = Head((5,), 2, hidden=4, dropout=0.0, generator=chance, pooling=pooling).eval()
    x, there = torch.randn(6, 5, generator=chance), torch.ones(6, 1, dtype=torch.bool)
    order = torch.tensor([2, 0, 1, 3, 5, 4])
    with torch.inference_mode():
        rows = head((x,), there)
        first, second = pooled(head, rows, OWNER), pooled(head, head((x[order],), there), OWNER)
    assert first.shape == (3, 2)
    np.testing.assert_allclose(first, second, atol=1e-6)
    if pooling in ("max", "mean"):
        assert torch.equal(first, highest(rows, OWNER))
    else:
        assert (first - highest(rows[:, :2], OWNER)).abs().max() > 1e-3


def test_a_bag_holds_all_frames_and_one_variant_of_the_text_and_the_picture():
    # post 0: two texts, two variants of a picture and a frame; post 1: no text, two frames; post 2: a text alone
    counts = np.array([[2, 0, 1], [3, 2, 0]])
    sides = [Vectors.runs(np.zeros((count.sum(), 1)), count, np.zeros(count.sum(), np.uint8)) for count in counts]
    post, (text, vision) = combinations(sides)
    found = bags(sides, np.array([2, 0, 0]))
    assert found.post.tolist() == [0, 0, 0, 0, 1, 2]
    held = [sorted((int(text[row]), int(vision[row])) for row in found.row[found.bag == bag]) for bag in range(6)]
    # rows of vision 0 and 1 are variants of post 0's picture, 2 is its frame, 3 and 4 are post 1's; -1 is absent
    assert held[:4] == [[(0, 0), (0, 2)], [(0, 1), (0, 2)], [(1, 0), (1, 2)], [(1, 1), (1, 2)]]
    assert held[4:] == [[(-1, 3), (-1, 4)], [(2, -1)]]
    assert (post[found.row] == found.post[found.bag]).all()
    one = bags(sides[1:], np.array([2, 0, 0]))  # without a text side
    assert (one.post.tolist(), np.bincount(one.bag).tolist()) == ([0, 0, 1, 2], [2, 2, 2, 1])


def fitted(name, pooling, taxonomy, store, table, rows):
    train, validation, test = (
        table(rows(n, taxonomy, seed, clips=True), taxonomy) for n, seed in ((120, 1), (40, 2), (30, 3))
    )
    chosen = {key: value for key, value in QUICK.items() if key in models.option_names(name)}
    model = models.create(name, {**chosen, "pooling": pooling}, taxonomy=taxonomy, store=store)
    return model.fit(train, validation, seed=0), test


@pytest.mark.parametrize("pooling", ["noisy-or", "attention"])
@pytest.mark.parametrize("name", ["video-clip", "clip-concat"])
def test_a_pooled_model_keeps_the_contract(name, pooling, taxonomy, store, table, rows, tmp_path):
    model, test = fitted(name, pooling, taxonomy, store, table, rows)
    expected = model.logits(test)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(model.logits(test.take(order)), expected[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.logits(test.slice(6, 1)), expected[6:7], rtol=0, atol=1e-5)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
    assert np.array_equal(again.logits(test), expected, equal_nan=True)
    assert np.array_equal(fitted(name, pooling, taxonomy, store, table, rows)[0].logits(test), expected, equal_nan=True)
    posts = [{"video": "abuseword word1|word2|word3 word4"}, {"video": "word3 word4|abuseword word1|word2"}]
    frames = model.logits(table(posts, taxonomy))
    np.testing.assert_allclose(frames[0], frames[1], atol=1e-5)
    many = "|".join(["word1 word2"] * 40 + ["abuseword"])
    assert np.isfinite(model.logits(table([{"video": many}, {"video": "word1"}], taxonomy))).all()


@pytest.mark.parametrize("pooling", ["noisy-or", "attention"])
def test_variants_still_count_by_their_maximum(pooling, taxonomy, store, table, rows):
    model, _ = fitted("clip-concat", pooling, taxonomy, store, table, rows)
    texts, pictures, clip = ["abuseword word1", "word4"], ["word5", "nudityword word6"], "word7|abuseword|word9"
    whole = model.logits(table([{"text": "|".join(texts), "image": "|".join(pictures), "video": clip}], taxonomy))
    apart = model.logits(table([{"text": t, "image": i, "video": clip} for t in texts for i in pictures], taxonomy))
    np.testing.assert_allclose(whole[0], apart.max(axis=0), atol=1e-5)
    assert np.ptp(apart, axis=0).min() > 1e-4
