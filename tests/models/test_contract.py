"""Every model in the table keeps the contract of `workbench.models`."""

import hashlib
import math
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from quick_models import (
    BY_VECTORS,
    LEARN_NOTHING,
    LEARNING,
    PAIRS,
    QUICK,
    SHIPPED,
    WITH_ENCODER,
    WITH_TEXT,
    WORDLESS,
    build,
    hesitating,
    options,
)

from workbench import models
from workbench.features.items import key
from workbench.features.store.contents import StoredContent
from workbench.models import MODELS
from workbench.questions.evasion import without_variants
from workbench.records.references import Reference
from workbench.schema import INPUTS, MODALITIES, label_matrix

# ------------------------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("name", SHIPPED)
def test_logits_are_float32_with_one_finite_column_per_label(world, name):
    model = world.fit(name)
    logits = model.logits(world.test)
    assert logits.dtype == np.float32
    assert logits.shape == (30, 2)
    assert set(model.modalities) <= set(MODALITIES)
    has = {half: np.array([v is not None for v in world.test[half].to_pylist()]) for half in MODALITIES}
    if "author" in model.columns:
        has["author"] = np.array([author is not None for author in world.test["author"].to_pylist()])
    looked_at = [has[name] for name in model.columns if name in has]
    seen = np.any(looked_at, axis=0) if looked_at else np.ones(30, bool)
    if name != "scores":  # which has a score for every id, whatever the post holds
        assert (np.isfinite(logits) == seen[:, None]).all()
        # Nearly every post has a text or an author, so that both together may leave none out.
        assert not seen.all() or model.columns in ((), MODALITIES) or len({*model.columns} & {"text", "author"}) == 2
    assert model.logits(world.test.slice(0, 0)).shape == (0, 2)
    assert model.parameters > 0 or name in ("prior", "scores", "vlm-prompt")  # these learn nothing but the prevalence


@pytest.mark.parametrize("name", SHIPPED)
def test_the_seed_decides_and_nothing_else_does(world, name):
    first = world.fit(name, seed=3).logits(world.test)
    np.random.default_rng().random()
    assert np.array_equal(first, world.fit(name, seed=3).logits(world.test), equal_nan=True)
    other = np.array_equal(first, world.fit(name, seed=4).logits(world.test), equal_nan=True)
    assert other != world.make(name).seeded  # where `seeded` is False one fit stands for all seeds


def by_vectors(model):
    """The media that a model sees by the store's vectors."""
    return [kind for kind in MODALITIES[1:] if kind in model.modalities and kind not in model.opens]


def test_the_models_that_see_by_stored_vectors_are_those_listed(world):
    assert {name for name in SHIPPED if by_vectors(world.make(name))} == set(BY_VECTORS)


@pytest.mark.parametrize("name", BY_VECTORS)
def test_what_a_model_does_not_open_is_scored_from_stored_vectors_alone(world, name):
    """Pictures and clips are named by their ids, and there is no file: the same scores, but of what `opens` tells."""
    model = world.fit(name)
    named = by_vectors(model)
    assert named
    expected = model.predict(world.test)  # which leaves the vectors in memory
    posts, keys = world.test, {}
    for kind in named:
        cells = posts[kind].to_pylist()
        for row, cell in enumerate(cells):
            if cell is not None:
                digest = hashlib.sha256(cell["bytes"]).hexdigest()
                keys[digest, kind] = StoredContent(digest, kind, key(kind, cell["bytes"]), len(cell["bytes"]))
                cells[row] = {"bytes": None, "path": str(Reference(digest, len(cell["bytes"])))}
        at = posts.column_names.index(kind)
        posts = posts.set_column(at, posts.schema.field(at), pa.array(cells, posts.schema.field(at).type))
    world.store.contents = SimpleNamespace(find=lambda digest, kind: [keys[digest, kind]])
    found = model.predict(posts)
    assert keys
    assert np.array_equal(found.logits, expected.logits, equal_nan=True)
    assert found.unread == expected.unread


@pytest.mark.parametrize("name", LEARNING)
def test_global_random_state_is_neither_used_nor_touched(world, name):
    import torch

    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.random.get_rng_state().clone(), np.random.get_state()[1].copy()
    first = world.fit(name).logits(world.test)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    torch.manual_seed(2)
    assert np.array_equal(first, world.fit(name).logits(world.test), equal_nan=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_only_the_declared_inputs_are_looked_at(world, name, table, rows):
    model = world.fit(name)
    expected = model.logits(world.test)
    strangers = table(rows(30, world.taxonomy, 9), world.taxonomy)
    changed = world.test
    looked_at = {"scores": ("post_id",)}.get(name, model.columns)
    for column in world.test.column_names:
        if column not in looked_at:
            values = pa.array(["x"] * 30) if changed.schema.field(column).type == pa.string() else strangers[column]
            changed = changed.set_column(changed.schema.get_field_index(column), column, values)
    assert np.array_equal(model.logits(changed), expected, equal_nan=True)
    needed = [field for field in INPUTS.names if field in {"post_id", *MODALITIES, *looked_at}]
    assert np.array_equal(model.logits(changed.select(needed)), expected, equal_nan=True)
    assert set(model.modalities) <= set(model.columns) <= set(INPUTS.names)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_post_scores_the_same_whatever_its_neighbours(world, name):
    model = world.fit(name)
    expected = model.logits(world.test)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(model.logits(world.test.take(order)), expected[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.logits(world.test.slice(7, 1)), expected[7:8], rtol=0, atol=1e-5)


def learnt(world, name, train):
    """Return a model fitted on `train` for as long as it takes to learn each label's word."""
    more = {**QUICK, "epochs": 40, "batch_size": 64}
    known = models.option_names(name) if name in WITH_ENCODER or name == "text-tokens" else ()
    chosen = options(name, world.scores_file) | {
        key: value for key, value in more.items() if key in known and name != "late-fusion"
    }
    chosen |= {"epochs": 8} if name in ("text-hashing", "text-transformer") else {}
    if name == "late-fusion":
        chosen["members"] = [{"name": f"{half}-clip", "options": more} for half in MODALITIES]
    model = models.create(name, chosen, taxonomy=world.taxonomy, store=world.store)
    return model.fit(train, world.validation, seed=0)


@pytest.mark.parametrize(
    "name", ["text-tfidf", "text-hashing", "text-tokens", "text-transformer", "video-clip", *PAIRS]
)
def test_what_a_label_is_told_by_is_learnt(world, name, table, rows):
    times = 3 if name == "video-clip" else 1  # a third of the posts have a clip
    sizes = ((900 * times, 5), (100 * times, 4))
    train, test = (table(rows(n, world.taxonomy, seed, clips=True), world.taxonomy) for n, seed in sizes)
    model = learnt(world, name, train)
    logits = model.logits(test)
    y, _ = label_matrix(test, world.taxonomy)
    marked = np.zeros_like(y, dtype=bool)
    for half in model.modalities:
        for number, value in enumerate(test[half].to_pylist()):
            said = "" if value is None else value if half == "text" else value["bytes"].decode()
            marked[number] |= [f"{label}word" in said for label in world.taxonomy.names]
    for k in range(2):
        seen = ~np.isnan(logits[:, k])
        # Posts whose words tell the label score above nearly all others: the mean rank gap is an ROC AUC over 0.9.
        high, low = logits[marked[:, k], k], logits[~marked[:, k] & seen, k]
        assert np.mean(high[:, None] > low[None, :]) > 0.9


# ------------------------------------------------------------------------------------ texts: obfuscated and late words


def test_models_that_read_no_words_are_listed_with_the_reason(world):
    assert {name for name in MODELS if "text" not in world.make(name).modalities} <= set(WORDLESS) <= set(MODELS)


@pytest.fixture
def counting(monkeypatch):
    """A promptable model whose log-odds are how often the post says the harmful word."""

    def odds(self, question, pictures):
        return float(question.count("abuseword"))

    monkeypatch.setattr("workbench.features.encoders.vlm.VisionLanguage.odds", odds)


@pytest.mark.parametrize("name", WITH_TEXT)
def test_an_obfuscated_word_counts_as_the_plain_one_and_a_late_word_counts(world, name, table, rows, counting):
    model = learnt(world, name, table(rows(600, world.taxonomy, 5, clips=True), world.taxonomy))
    long = "word1 " * 800  # 5,000 characters: beyond the first window of every model
    texts = ["abuseword", "abusew0rd", long, f"{long} abuseword"]
    posts = table([{"text": text} for text in texts], world.taxonomy)
    plain, obfuscated, harmless, late = model.logits(posts)[:, 0]
    # its learner weighs what the text model says of all labels, each by the variant that is highest for it
    enough = plain - (0.1 if name == "misinformation" else 1e-4)
    assert obfuscated >= enough
    assert late > harmless + 1e-3
    raw_plain, raw_obfuscated, raw_harmless, raw_late = without_variants(model).logits(posts)[:, 0]
    assert raw_obfuscated < enough - 1e-3  # a model without variants would fail above
    np.testing.assert_allclose([raw_plain, raw_harmless, raw_late], [plain, harmless, late], atol=1e-4)


@pytest.mark.parametrize("words", [150, 1000])
@pytest.mark.parametrize("name", WITH_TEXT)
def test_an_obfuscated_word_anywhere_in_a_long_text_counts_or_the_text_is_told_to_be_unread(
    world, name, words, table, rows, counting
):
    model = learnt(world, name, table(rows(600, world.taxonomy, 5, clips=True), world.taxonomy))
    places = (0, words // 5, words // 3, words // 2, 2 * words // 3, words - 1)
    texts = [f"{'word1 ' * at}abusew0rd 1d10t {'word1 ' * (words - at)}" for at in places]
    made = model.predict(table([{"text": "word1 " * words}, *({"text": text} for text in texts)], world.taxonomy))
    counts = made.logits[1:, 0] > made.logits[0, 0] + 1e-3
    told = [why is not None for why in made.unread["text"][1:]]
    assert (counts | told).all()


# ------------------------------------------------------------------------------------------ halves and their variants


@pytest.mark.parametrize("name", PAIRS)
def test_a_half_that_cannot_be_read_leaves_the_other_to_score(world, name, table):
    model = world.fit(name)
    posts = [
        {"text": "abuseword word1", "image": None},
        {"text": "abuseword word1", "image": "unreadable"},
        {"text": None, "image": "word2 word3"},
        {"text": "unreadable", "image": "word2 word3"},
        {"text": " \n", "image": "word2 word3"},
        {"text": "unreadable", "image": "unreadable"},
        {"text": "", "image": None},
    ]
    logits = model.logits(table(posts, world.taxonomy))
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-5)
    np.testing.assert_allclose(logits[3:5], logits[[2, 2]], atol=1e-5)
    assert np.isfinite(logits[:5]).all()
    assert np.isnan(logits[5:]).all()


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_the_score_is_the_maximum_over_combinations_of_variants(world, name, table):
    model = world.fit(name)
    vision = "image" if "image" in model.modalities else "video"
    texts, images = ["abuseword word1", "word4 nudityword"], ["word5", "nudityword word6", "word7 word8"]
    whole = model.logits(table([{"text": "|".join(texts), vision: "|".join(images)}], world.taxonomy))
    apart = model.logits(table([{"text": t, vision: i} for t in texts for i in images], world.taxonomy))
    np.testing.assert_allclose(whole[0], apart.max(axis=0), atol=1e-5)
    assert np.ptp(apart, axis=0).min() > 1e-3  # else the maximum would prove nothing


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_training_sees_the_raw_text_and_picture_only(world, name):
    def more(half):
        text = world.train["text"].to_pylist()
        if half == "text":
            return pa.array([None if t is None else f"{t}|abuseword" for t in text])
        pictures = [p if p is None else {"bytes": p["bytes"] + b"|abuseword", "path": None} for p in image]
        return pa.array(pictures, world.train.schema.field("image").type)

    image = world.train["image"].to_pylist()
    changed = world.train
    for half in ("text", "image"):
        changed = changed.set_column(changed.schema.get_field_index(half), half, more(half))
    if name in ("late-fusion", "ensemble"):  # the stacker sees scores over all variants, as serving does
        first, second = (world.fit(name, train=t).models[0].logits(world.test) for t in (world.train, changed))
    else:
        first, second = (world.fit(name, train=t).logits(world.test) for t in (world.train, changed))
    assert np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize("name", PAIRS)
def test_a_half_that_training_never_had_is_not_looked_at(world, name, table):
    texts = world.train.filter(pa.compute.is_valid(world.train["text"]))
    texts = texts.set_column(texts.schema.get_field_index("image"), "image", pa.nulls(len(texts), texts["image"].type))
    model = world.fit(name, train=texts)
    posts = [{"text": "word1"}, {"text": "word1", "image": "abuseword"}, {"image": "abuseword"}]
    logits = model.logits(table(posts, world.taxonomy))
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-5)
    assert np.isnan(logits[2]).all()


# ------------------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("name", ["prior", *LEARNING])
def test_an_unknown_label_teaches_nothing(world, name, monkeypatch):
    hidden = np.random.default_rng(0).random((120, 2)) < 0.3
    labels = [
        {label: None if hide else row[label] for label, hide in zip(world.taxonomy.names, hides, strict=True)}
        for row, hides in zip(world.train["labels"].to_pylist(), hidden, strict=True)
    ]
    column = pa.array(labels, world.train.schema.field("labels").type)
    train = world.train.set_column(world.train.schema.get_field_index("labels"), "labels", column)
    expected = world.fit(name, train=train).logits(world.test)

    def flipped(table, taxonomy):
        y, known = label_matrix(table, taxonomy)
        return np.where(known, y, 1.0 - y).astype(np.float32), known

    flips = 0
    bases = {kind.__module__ for kind in type(world.make(name)).__mro__}  # models can share how they learn
    for module in {
        "workbench.models.fit.targets",
        *(e.partition(":")[0] for e in models.entries(name, options(name))),
        *bases,
    }:
        if hasattr(import_module(module), "label_matrix"):
            monkeypatch.setattr(f"{module}.label_matrix", flipped)
            flips += 1
    assert flips
    assert np.array_equal(world.fit(name, train=train).logits(world.test), expected, equal_nan=True)


def test_models_that_learn_no_shares_are_those_that_learn_nothing():
    assert set(MODELS) - {"prior", *LEARNING} == set(LEARN_NOTHING)
    assert not any(models.learns(name) or "labels" in models.option_names(name) for name in LEARN_NOTHING)


@pytest.mark.parametrize("name", ["prior", *LEARNING])
def test_shares_teach_what_most_say_does_not_tell(world, name):
    hesitant = replace(world, train=hesitating(world.train), validation=hesitating(world.validation))
    soft, hard = (hesitant.fit(name, labels=kind).logits(world.train)[:, 0] for kind in ("soft", "hard"))
    assert np.array_equal(hard, world.fit(name).logits(world.train)[:, 0], equal_nan=True)  # labels that most say
    doubtful, sure = ((label_matrix(world.train, world.taxonomy)[0] == row).all(axis=1) for row in ([0, 1], [0, 0]))
    seen = ~np.isnan(soft)
    assert soft[seen].mean() > hard[seen].mean()
    if name != "prior":  # which says the same of all posts
        gaps = [logits[doubtful & seen].mean() - logits[sure & seen].mean() for logits in (soft, hard)]
        assert gaps[0] > gaps[1]


@pytest.mark.parametrize("name", ["prior", "text-tfidf", "text-clip", "late-fusion"])
def test_a_model_learns_from_posts_drawn_by_their_weights(world, name):
    rows = np.arange(len(world.train) // 2 * 2)
    weights, place = pa.array((rows % 2) * 2.0), world.train.column_names.index("weight")
    told = world.train.slice(0, len(rows)).set_column(place, world.train.schema.field("weight"), weights)
    expected = world.fit(name, train=world.train.take(np.repeat(rows[1::2], 2))).logits(world.test)
    assert np.array_equal(world.fit(name, train=told, resample="weights").logits(world.test), expected, equal_nan=True)
    assert not np.array_equal(world.fit(name, train=told).logits(world.test), expected, equal_nan=True)
    assert world.make(name, resample="weights").varies


@pytest.mark.parametrize("name", ["prior", *LEARNING])
def test_a_label_of_one_class_gets_its_smoothed_prevalence_and_an_unknown_one_no_score(world, name, table, rows):
    posts = rows(40, world.taxonomy, 6, clips=True)
    for row in posts:
        row["labels"] = {"abuse": False}
    model = world.fit(name, train=table(posts, world.taxonomy))
    logits = model.logits(world.test)
    readable = ~np.isnan(logits[:, 0])
    # No positive among 40 known posts: prevalence (0 + 1/2) / (40 + 1), log-odds log(0.5 / 40.5).
    np.testing.assert_allclose(logits[readable, 0], math.log(0.5 / 40.5), rtol=1e-5)
    assert readable.any()
    assert np.isnan(logits[:, 1]).all()
    assert np.isnan(model.constants).tolist() == [False, True]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("held_out", [0, 3])
def test_ten_posts_are_enough_to_train(world, name, held_out):
    model = world.make(name).fit(world.train.slice(0, 10), world.validation.slice(0, held_out), seed=0)
    assert np.isfinite(model.logits(world.test)).any()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_fifth_label_needs_configuration_only(store, table, rows, new_taxonomy, tmp_path, name):
    five = new_taxonomy("abuse", "nudity", "violence", "misinformation", "spam")
    world = build(five, store, table, rows, tmp_path)
    logits = world.fit(name).logits(world.test)
    assert logits.shape == (30, 5)
    assert np.isfinite(logits[:, 4]).any()


def test_prior_is_the_smoothed_prevalence_for_every_post(world):
    y, _ = label_matrix(world.train, world.taxonomy)
    expected = np.log((y.sum(axis=0) + 0.5) / (120 - y.sum(axis=0) + 0.5))
    np.testing.assert_allclose(world.fit("prior").logits(world.test), np.tile(expected, (30, 1)), rtol=1e-5)
