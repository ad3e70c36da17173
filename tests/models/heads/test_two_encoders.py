"""Heads whose two sides have encoders of their own, of different lengths and families, or words for the text."""

import io

import numpy as np
import pyarrow as pa
import pytest
import torch
from checkpoints import checkpoint
from PIL import Image
from quick_models import QUICK, TINY
from random_backbone import write_backbone

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features import Blocks, FeatureStore
from workbench.features.encoders import load_encoder
from workbench.models.heads.bags import Vectors
from workbench.models.heads.networks import Head
from workbench.questions.evasion import without_variants
from workbench.schema import label_matrix

PAIRS = ("clip-concat", "clip-align", "clip-cross", "clip-retrieval", "clip-attention")
WORDS = ("text-tfidf", "text-hashing")
HEAD = {key: value for key, value in QUICK.items() if key != "encoder"}
SMALL = {"name": "text-hashing", "options": {"bits": 12, "epochs": 2}}


@pytest.fixture
def encoders(store):
    """Two fake encoders by name, of lengths 12 and 10, which remember what they were asked for."""
    asked = []
    kind = type(store.encoder("words"))

    class Short(kind):
        name, dim, fingerprint, weights = "short", 10, "short 1", "short"
        unpooled = property(lambda self: ShortPieces(**self.recipe))

        def encode_image(self, pictures, report=None):
            asked.append("short")
            return super().encode_image(pictures, report)

        def encode_text(self, texts, report=None):
            raise AssertionError("the encoder of pictures is asked for a text")

        def vector(self, words):
            return np.mean([self.word(word) for word in words], axis=0)[:10]

    class ShortPieces(Short):
        fingerprint, width, dim = "short tokens 1", 10, 9 * 10

        def vector(self, words):
            embeddings = np.zeros((9, 10))
            embeddings[0] = np.mean([self.word(word) for word in words], axis=0)[:10]
            embeddings[1 : 1 + len(words[:8])] = [self.word(word)[:10] for word in words[:8]]
            return embeddings.ravel()

    def make(version=1):
        made = {"words": kind(), "short": Short(version)}
        return FeatureStore(None, "cpu", load=lambda name, device: made[name])

    make.asked = asked
    return make


def options(name, text):
    known = models.option_names(name)
    text = SMALL if text == "text-hashing" else text
    return (
        {k: v for k, v in HEAD.items() if k in known}
        | TINY.get(name, {})
        | {
            "text_encoder": text,
            "image_encoder": "short",
        }
    )


def cases():
    pairs = [(name, "words") for name in PAIRS]
    return pairs + [(name, words) for name in PAIRS if name != "clip-attention" for words in WORDS]


@pytest.fixture
def fit(world, encoders):
    def make(name, text, train=None, seed=0, **more):
        model = models.create(name, options(name, text) | more, taxonomy=world.taxonomy, store=encoders())
        return model.fit(world.train if train is None else train, world.validation, seed=seed)

    return make


@pytest.mark.parametrize(("name", "text"), cases())
def test_each_side_is_read_by_its_own_and_a_saved_model_brings_both(world, fit, encoders, name, text, tmp_path):
    model = fit(name, text)
    logits = model.logits(world.test)
    assert np.isfinite(logits[: len(world.test)]).any()
    assert encoders.asked
    assert np.array_equal(fit(name, text).logits(world.test), logits, equal_nan=True)
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=encoders())
    assert np.array_equal(again.logits(world.test), logits, equal_nan=True)
    assert again.options == model.options
    assert again.parameters == model.parameters > 0
    with pytest.raises(WorkbenchError, match="another encoder than 'short'"):
        models.load(tmp_path / "model", taxonomy=world.taxonomy, store=encoders(version=2))


@pytest.mark.parametrize(("name", "text"), cases())
def test_what_cannot_be_read_leaves_the_other_side_to_score(fit, world, table, name, text):
    model = fit(name, text)
    posts = [
        {"text": "abuseword word1", "image": None},
        {"text": "abuseword word1", "image": "unreadable"},
        {"text": None, "image": "word2 word3"},
        {"text": " \n", "image": "word2 word3"},
        {"text": None, "image": "unreadable"},
        {"text": "", "image": None},
    ]
    made = model.predict(table(posts, world.taxonomy))
    np.testing.assert_allclose(made.logits[1], made.logits[0], atol=1e-5)
    np.testing.assert_allclose(made.logits[3], made.logits[2], atol=1e-5)
    assert np.isfinite(made.logits[:4]).all()
    assert np.isnan(made.logits[4:]).all()
    assert [why is not None for why in made.unread["image"]] == [False, True, False, False, True, False]
    order = [3, 0, 2, 1]
    some = table([posts[at] for at in order], world.taxonomy)
    np.testing.assert_allclose(model.logits(some), made.logits[order], atol=1e-5)


@pytest.mark.parametrize("text", ["words", *WORDS])
@pytest.mark.parametrize("name", ["clip-concat", "clip-align"])
def test_words_of_either_side_are_learnt(world, fit, table, rows, name, text):
    train = table(rows(600, world.taxonomy, 5), world.taxonomy)
    more = {"epochs": 40, "batch_size": 64}
    if text == "text-hashing":
        more["text_encoder"] = {"name": text, "options": {"bits": 12, "epochs": 8}}
    model = fit(name, text, train, **more)
    test = table(rows(200, world.taxonomy, 6), world.taxonomy)
    logits, (y, _) = model.logits(test), label_matrix(test, world.taxonomy)
    for half, least in (("text", 0.9), ("image", 0.75)):  # ten numbers hold a word less well
        values = [v if half == "text" or v is None else v["bytes"].decode() for v in test[half].to_pylist()]
        for k, label in enumerate(world.taxonomy.names):
            marked = np.array([v is not None and f"{label}word" in v for v in values])
            high, low = logits[marked, k], logits[y[:, k] == 0, k]
            assert np.mean(high[:, None] > low[None, :]) > least


@pytest.mark.parametrize("words", WORDS)
def test_an_obfuscated_word_counts_as_the_plain_one_and_is_told(world, fit, table, rows, words):
    train = table(rows(600, world.taxonomy, 5), world.taxonomy)
    model = fit("clip-concat", words, train, epochs=30)
    posts = table([{"text": text} for text in ("abuseword", "abusew0rd", "word1 " * 800)], world.taxonomy)
    made = model.predict(posts)
    assert made.logits[1, 0] >= made.logits[0, 0] - 1e-4
    assert made.variants[0, 0] is None
    assert made.variants[1, 0]
    raw = without_variants(model).logits(posts)
    assert raw[1, 0] < made.logits[1, 0] - 1e-3
    np.testing.assert_allclose(raw[0], made.logits[0], atol=1e-5)


@pytest.mark.parametrize("words", WORDS)
def test_the_head_learns_from_log_odds_that_have_not_seen_their_post(world, fit, monkeypatch, words):
    seen = []
    plain = Vectors.of
    monkeypatch.setattr(Vectors, "of", staticmethod(lambda blocks, there: seen.append(blocks) or plain(blocks, there)))
    draw = np.random.default_rng(0)
    labels = [{name: bool(draw.random() < 0.5) for name in world.taxonomy.names} for _ in range(len(world.train))]
    at = world.train.schema.get_field_index("labels")
    train = world.train.set_column(at, "labels", pa.array(labels, world.train.schema.field("labels").type))
    model = fit("clip-concat", words, train)
    learnt_from, n = seen[0], len(world.taxonomy.names)
    assert isinstance(learnt_from, Blocks)
    assert learnt_from.counts.max() == 1  # the raw text alone
    y, _ = label_matrix(train, world.taxonomy)
    there = learnt_from.counts > 0
    own = model.word_sides["text"].blocks(train)
    gap = [
        np.mean(x[y[there, 0] > 0.5]) - np.mean(x[y[there, 0] < 0.5])
        for x in (learnt_from.first()[there, -n], own.first()[there, -n])
    ]
    assert gap[0] < 0.3 * gap[1]  # labels are by lot: only the model that was fitted on these posts tells them
    np.testing.assert_allclose(learnt_from.first()[there, :-n], own.first()[there, :-n], atol=1e-3)


@pytest.mark.parametrize("words", WORDS)
def test_a_logistic_head_that_is_held_back_ranks_as_its_words_do(world, fit, words):
    model = fit("clip-concat", words, head="logistic", C=1e-9)
    told = np.array([text is not None for text in world.test["text"].to_pylist()])
    alone, both = model.word_sides["text"].member.logits(world.test)[told], model.logits(world.test)[told]
    changed = np.sort(both - alone, axis=0)  # by as much in all posts that have vision, and in all that have none
    assert ((np.diff(changed, axis=0) > 0.02).sum(axis=0) <= 1).all()
    assert not np.allclose(fit("clip-concat", words, head="logistic").logits(world.test)[told], both, atol=0.1)


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_before_training_the_answer_is_what_the_words_say(pooling):
    generator = torch.Generator().manual_seed(0)
    head = Head((5, 3), 2, hidden=4, dropout=0.0, generator=generator, pooling=pooling, told=True).eval()
    text, picture = torch.randn(6, 5, generator=generator), torch.randn(6, 3, generator=generator)
    present = torch.tensor([[True, True], [True, False]] * 3)
    logits = head((text, picture), present)[:, :2]
    torch.testing.assert_close(logits, text[:, 3:])  # the bias begins at 0
    nothing = head((text, picture), torch.tensor([[False, True]] * 6))[:, :2]
    torch.testing.assert_close(nothing, head.absent[0][3:].expand(6, 2))


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("size", [10, 120])
def test_few_posts_no_text_and_one_class_are_survived(world, fit, words, size):
    train = world.train.slice(0, size)
    assert np.isfinite(fit("clip-concat", words, train).logits(world.test)).any()
    column = world.train.schema.get_field_index("text")
    blank = train.set_column(column, "text", pa.nulls(size, pa.string()))
    logits = fit("clip-concat", words, blank).logits(world.test)
    told = [value is not None for value in world.test["image"].to_pylist()]
    assert np.isfinite(logits[told]).all()
    labels = pa.array([{"abuse": False, "nudity": None}] * size, world.train.schema.field("labels").type)
    one = train.set_column(train.schema.get_field_index("labels"), "labels", labels)
    model = fit("clip-concat", words, one)
    assert not model.trained.any()
    assert np.isnan(model.logits(world.test)[:, 1]).all()


def pictured(posts):
    """The same posts with a picture, a tint of its own each, where they have one in words."""
    cells = []
    for number, cell in enumerate(posts["image"].to_pylist()):
        file = io.BytesIO()
        Image.new("RGB", (40, 24), (number % 250, 90, 160)).save(file, "PNG")
        cells.append(None if cell is None else {"bytes": file.getvalue(), "path": None})
    return posts.set_column(posts.schema.get_field_index("image"), "image", pa.array(cells, posts["image"].type))


def test_files_members_and_code_are_those_of_both_sides(tmp_path):
    backbone = write_backbone(tmp_path / "backbone")
    bert = checkpoint("bert")
    given = {"text_encoder": bert, "image_encoder": str(backbone)}
    files = {path.parent.resolve() for path in models.artefacts("clip-concat", given)}
    assert files == {backbone.resolve(), type(backbone)(bert).resolve()}
    words = {"text_encoder": "text-tfidf", "image_encoder": str(backbone)}
    assert models.entries("clip-align", words) == [models.MODELS["clip-align"], models.MODELS["text-tfidf"]]
    assert {path.parent for path in models.artefacts("clip-align", words)} == {backbone.resolve()}


def test_a_text_encoder_of_transformers_and_a_backbone_of_timm_meet_in_one_head(world, table, rows, tmp_path):
    backbone = write_backbone(tmp_path / "backbone")
    store = FeatureStore(tmp_path / "features", "cpu", load=load_encoder)
    train, test = (pictured(table(rows(n, world.taxonomy, seed), world.taxonomy)) for n, seed in ((60, 1), (20, 2)))
    given = {"text_encoder": checkpoint("bert"), "image_encoder": str(backbone), "fit": "pad", "epochs": 2}
    model = models.create("clip-cross", given, taxonomy=world.taxonomy, store=store).fit(train, test, seed=0)
    assert np.isfinite(model.logits(test)).any()
    kept = {path.parent.name for path in (tmp_path / "features").rglob("*.json")} | {
        path.name for path in (tmp_path / "features").glob("*/*")
    }
    assert {"text", "image"} <= kept
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=store)
    assert np.array_equal(again.logits(test), model.logits(test), equal_nan=True)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("clip-concat", {"image_encoder": "timm:resnet18@random"}, "image_encoder is given without text_encoder"),
        ("clip-concat", {"text_encoder": "text-tfidf"}, "text_encoder is given without image_encoder"),
        (
            "late-fusion",
            {"members": [{"name": "clip-align", "options": {"text_encoder": "tiny"}}]},
            "without image_enc",
        ),
        ("clip-concat", {"text_encoder": "timm:resnet18@random", "encoder": "tiny"}, "reads pictures only"),
        ("clip-align", {"image_encoder": "transformer:mean:128:a/b", "encoder": "tiny"}, "reads texts only"),
        ("clip-concat", {"text_encoder": {"name": "text-clip"}, "encoder": "tiny"}, "words come from text-tfidf"),
        ("clip-concat", {"text_encoder": "tiny", "image_encoder": ""}, "an encoder needs a name"),
        ("clip-concat", {"text_encoder": {"options": {}}, "encoder": "tiny"}, "'text_encoder.name' is missing"),
        ("clip-concat", {"text_encoder": 3, "encoder": "tiny"}, "text_encoder: Input should be"),
        ("clip-concat", {"text_encoder": {"name": "text-tfidf", "options": {"x": 1}}, "encoder": "tiny"}, "key 'x'"),
        ("clip-concat", {"text_encoder": "no-such", "encoder": "tiny"}, "unknown encoder 'no-such'"),
        ("clip-attention", {"text_encoder": "text-tfidf", "encoder": "tiny"}, "'text-tfidf' gives one vector"),
        ("clip-attention", {"image_encoder": "timm:resnet18@random", "encoder": "tiny"}, "needs tokens and patches"),
        ("clip-finetune", {"text_encoder": "tiny", "image_encoder": "tiny"}, "two towers of one CLIP"),
        ("clip-concat", {"encoder": "tiny?fit=pad", "fit": "crop"}, "ask for two fits"),
        ("clip-concat", {"fit": "stretch"}, "fit: Input should be 'crop', 'squash' or 'pad'"),
        ("image-clip", {"encoder": "tiny?fit=stretch"}, "options of encoder"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_anything_is_loaded(name, given, said):
    with pytest.raises(WorkbenchError, match=said) as caught:
        models.check(name, given)
    assert "\n" not in str(caught.value)


def test_a_saved_model_of_one_encoder_from_before_is_read(world, tmp_path):
    model = world.fit("clip-concat")
    whole = model._state
    digest = model.encoder_digests["text"]
    model._state = lambda: ({"encoder": digest, "trained": True}, whole()[1])  # as earlier versions wrote it
    model.save(tmp_path / "model")
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=world.store)
    assert np.array_equal(again.logits(world.test), model.logits(world.test), equal_nan=True)
