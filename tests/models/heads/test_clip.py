"""What the heads learn, in a world of features whose best possible score is known, and how variants are combined."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from workbench import models
from workbench.features import Blocks, FeatureStore
from workbench.models.heads.bags import Vectors, combinations
from workbench.models.heads.clip import ClipConcat
from workbench.models.heads.options import PairOptions

HARM, CALM = 0.92, 0.001  # P(label) in a harmful cell and elsewhere
KINDS = 24  # 0-7 the block of pairs, 8-15 harmful alone (two per label), 16-23 calm


class FeatureWorld:
    """Posts whose sides are noisy points around cluster centres; the clusters decide P(label) exactly.

    Label k is pair-only harmful where the scene is (intent + 2 k) mod 8 within the block, and harmful by intents (or
    scenes) 8 + 2 k and 9 + 2 k. Directions of large variance say nothing. A text is the number of its vector.
    """

    dim, name, fingerprint, weights = 128, "points", "points", "points"

    def __init__(self, shares, n, seed):
        self.recipe = {"dtype": "float32"}
        draw = np.random.default_rng(seed)
        pair, text, image = shares
        part = draw.choice(4, n, p=[0.56 * pair, 0.28 * text, 0.28 * image, 1 - 0.56 * pair - 0.28 * (text + image)])
        calm = draw.integers(16, 24, (2, n))
        kind = [
            np.select([part == 0, part == own], [draw.integers(0, 8, n), draw.integers(8, 16, n)], calm[side])
            for side, own in ((0, 1), (1, 2))
        ]
        block = (kind[0] < 8) & (kind[1] < 8)
        harm = np.stack(
            [
                (block & (kind[1] == (kind[0] + 2 * k) % 8)) | np.any([(x - 8) // 2 == k for x in kind], axis=0)
                for k in range(4)
            ],
            axis=1,
        )
        self.truth = np.where(harm, HARM, CALM)
        self.y = draw.random((n, 4)) < self.truth
        self.has = draw.choice([3, 3, 3, 3, 1, 2], n)[:, None] & [1, 2] > 0
        self.vectors = [self._points(x, draw) for x in kind]

    def _points(self, kind, draw):
        centres = draw.normal(size=(KINDS, self.dim)) / np.sqrt(self.dim)
        nuisance = draw.normal(size=(24, self.dim)) / np.sqrt(self.dim) * 0.6
        n = len(kind)
        x = centres[kind] + draw.normal(size=(n, 24)) @ nuisance + draw.normal(size=(n, self.dim)) * 0.11
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def _encode(self, side, items):
        rows = [int(item) for item in items if item is not None]
        return Blocks.build(self.vectors[side][rows], [int(item is not None) for item in items], [None] * len(items))

    def identity(self, modality):
        return self.fingerprint

    def depends(self, modality):
        return {"weights": self.fingerprint}

    def encode_text(self, items, report=None):
        return self._encode(0, items)

    def encode_image(self, items, report=None):
        return self._encode(1, items)

    encode_video = encode_image


class Trial:
    """A world's tables, and the macro average precision of models on its paired test posts."""

    def __init__(self, shares, table, taxonomy, n=20_000, seed=0):
        world = FeatureWorld(shares, n, seed)
        self.taxonomy, self.store = taxonomy, FeatureStore(None, "cpu", load=lambda name, device: world)
        posts = [
            {
                "text": str(i) if has[0] else None,
                "image": str(i) if has[1] else None,
                "labels": dict(zip(taxonomy.names, map(bool, y), strict=True)),
                "group": str(i),
            }
            for i, (has, y) in enumerate(zip(world.has, world.y, strict=True))
        ]
        whole = table(posts, taxonomy)
        a, b = int(0.6 * n), int(0.75 * n)
        self.train, self.validation = whole.slice(0, a), whole.slice(a, b - a)
        test = b + np.flatnonzero(world.has[b:].all(axis=1))
        self.test, self.y = whole.take(pa.array(test)), world.y[test]
        draw = np.random.default_rng(seed)  # breaks the ties of the exact probabilities as a model's scores would
        self.ceiling = self.measure(world.truth[test] + 1e-6 * draw.random((len(test), 4)))

    def measure(self, scores):
        return np.mean([average_precision_score(self.y[:, k], scores[:, k]) for k in range(4)])

    def of(self, name, **options):
        model = models.create(name, {"encoder": "points", **options}, taxonomy=self.taxonomy, store=self.store)
        return self.measure(model.fit(self.train, self.validation, seed=0).logits(self.test))


@pytest.fixture(scope="module")
def world(table, new_taxonomy):
    """A world in which half of the harm is told by pairs, and a quarter by each side."""
    return Trial((0.5, 0.25, 0.25), table, new_taxonomy("a", "b", "c", "d"), n=20_000)


def test_the_cross_finds_harm_that_only_pairs_tell_where_sums_cannot(world):
    cross, text, image = (world.of(name) for name in ("clip-cross", "text-clip", "image-clip"))
    print(f"ceiling {world.ceiling:.4f} cross {cross:.4f} text {text:.4f} image {image:.4f}")
    assert cross >= 0.95 * world.ceiling
    assert max(text, image) < 0.5 * world.ceiling


@pytest.mark.slow
def test_other_fusions_learn_pairs_too_and_late_fusion_does_not(world):
    concat, align, late = (world.of(name) for name in ("clip-concat", "clip-align", "late-fusion"))
    print(f"ceiling {world.ceiling:.4f} concat {concat:.4f} align {align:.4f} late {late:.4f}")
    assert min(concat, align) > 0.75 * world.ceiling
    assert late < 0.7 * world.ceiling


# ----------------------------------------------------------------------------------------------------------- variants


def test_rows_that_are_no_numbers_or_of_posts_without_the_side_are_dropped():
    values = np.array([[1.0], [np.nan], [3.0], [4.0], [np.nan]], dtype=np.float32)
    blocks = Blocks(values, np.array([0, 2, 2, 3, 4, 5]), [None, None, None, None, "broken"])
    side = Vectors.of(blocks, np.array([True, True, True, False, True]))
    assert side.values.ravel().tolist() == [1.0, 3.0]
    assert side.count.tolist() == [1, 0, 1, 0, 0]
    assert side.start[side.count > 0].tolist() == [0, 1]


def test_raw_rows_are_all_windows_and_frames_of_the_first_variant_that_can_be_read():
    # a long text with an obfuscated word; nothing; a clip; a text of which only two other variants could be read
    values, variants = np.arange(9.0)[:, None], np.array([0, 0, 1, 2, 0, 0, 1, 1, 3], np.uint8)
    side = Vectors.of(Blocks(values, np.array([0, 4, 4, 6, 9]), [None] * 4, variants=variants), np.ones(4, bool))
    raw = side.raw()
    assert raw.values.ravel().tolist() == [0, 1, 4, 5, 6, 7]
    assert raw.count.tolist() == [2, 0, 2, 2]
    assert raw.variant.tolist() == [0, 0, 0, 0, 1, 1]
    assert side.first().values.ravel().tolist() == [0, 4, 6]
    assert side.beside(raw).variant.tolist() == [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 1, 1, 3, 1, 1]


def test_every_combination_of_rows_stands_once_and_nothing_stands_for_nothing():
    def side(*counts):
        count = np.array(counts)
        return Vectors.runs(np.zeros((count.sum(), 1)), count, np.zeros(count.sum(), np.uint8))

    post, rows = combinations([side(2, 0, 1, 0), side(3, 2, 0, 0)])
    found = list(zip(post.tolist(), *(row.tolist() for row in rows), strict=True))
    pairs = {(0, text, image) for text in (0, 1) for image in (0, 1, 2)}  # post 0: two texts by three pictures
    assert set(found) == pairs | {(1, -1, 3), (1, -1, 4), (2, 2, -1), (3, -1, -1)}
    assert len(found) == len(set(found))
    assert post.tolist() == sorted(post)


@pytest.mark.parametrize(
    ("asked", "lacking", "expected"),
    [
        (None, (0.0, 0.0), (0.1, 0.1)),  # every training post has both sides: absence must be shown
        (None, (0.3, 0.01), (0.0, 0.1)),
        (None, (0.3, 0.3), (0.0, 0.0)),
        (0.0, (0.0, 0.0), (0.0, 0.0)),
        (0.25, (0.3, 0.3), (0.25, 0.25)),
    ],
)
def test_sides_are_hidden_in_training_where_too_few_posts_lack_them(asked, lacking, expected, taxonomy):
    model = ClipConcat("clip-concat", PairOptions(modality_dropout=asked), taxonomy=taxonomy, store=None)
    present = np.ones((1000, 2), dtype=bool)
    for side, share in enumerate(lacking):
        present[side * 500 : side * 500 + int(1000 * share), side] = False
    assert model.options.hide(present) == expected


def test_a_model_of_pairs_only_still_scores_sides(table, rows, taxonomy, store):
    posts = [row for row in rows(400, taxonomy, 1) if row["text"] and row["image"]]
    chosen = {"encoder": "words", "epochs": 40, "batch_size": 32}
    model = models.create("clip-cross", chosen, taxonomy=taxonomy, store=store)
    model.fit(table(posts, taxonomy), table(rows(60, taxonomy, 2), taxonomy), seed=0)
    harmful, harmless = model.logits(table([{"text": "abuseword"}, {"text": "word1"}], taxonomy))
    assert harmful[0] > harmless[0] + 1


@pytest.mark.gpu
def test_a_head_scores_the_same_on_a_gpu(table, rows, taxonomy, store, tmp_path):
    quick = {"encoder": "words", "epochs": 10, "batch_size": 32}
    model = models.create("clip-cross", quick, taxonomy=taxonomy, store=store)
    model.fit(table(rows(200, taxonomy, 1), taxonomy), table(rows(40, taxonomy, 2), taxonomy), seed=0)
    model.save(tmp_path / "model")
    there = FeatureStore(None, "cuda", load=lambda name, device: store.encoder(name))
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=there)
    posts = table(rows(100, taxonomy, 3), taxonomy)
    np.testing.assert_allclose(again.logits(posts), model.logits(posts), atol=1e-4)
    again.fit(posts, posts, seed=0)
    assert np.isfinite(again.logits(posts)).any()


def test_the_variant_that_gave_the_score_is_named(taxonomy, table, rows, store):
    options = {"encoder": "words", "epochs": 8, "batch_size": 16, "lr": 0.02, "weight_decay": 0.0}
    train = table(rows(120, taxonomy, 1), taxonomy)
    model = models.create("clip-concat", options, taxonomy=taxonomy, store=store).fit(train, train, seed=0)
    texts, images = ["word1", "word2", "abuseword word1"], ["word3", "word4"]
    made = model.predict(table([{"text": "|".join(texts), "image": "|".join(images)}, {"text": "word1"}], taxonomy))
    apart = model.logits(table([{"text": t, "image": i} for t in texts for i in images], taxonomy))
    for k in range(2):
        best = int(apart[:, k].argmax()) // len(images)
        assert made.variants[0, k] == (f"kind {best}" if best else None)
    assert made.variants[0, 0] == "kind 2"
    assert made.variants[1].tolist() == [None, None]
