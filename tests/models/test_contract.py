"""Every model in the table keeps the contract of `workbench.models`."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pyarrow as pa
import pytest

from workbench import models
from workbench.models import MODELS
from workbench.schema import MODALITIES, TaxonomyMismatch, WorkbenchError, label_matrix

LEARNING = [name for name in MODELS if name not in ("prior", "scores")]
WITH_ENCODER = [name for name in LEARNING if name != "text-tfidf"]
PAIRS = ["late-fusion", "clip-concat", "clip-cross", "clip-align"]
QUICK = {"encoder": "words", "epochs": 8, "batch_size": 16, "lr": 0.02, "dropout": 0.1, "weight_decay": 0.0}


def options(name, scores_file=None):
    """Options with which a model trains in a moment on the fake encoder."""
    if name in ("prior", "text-tfidf"):
        return {}
    if name == "scores":
        return {"path": str(scores_file), "modalities": ["text"]}
    if name == "late-fusion":
        members = [{"name": f"{half}-clip", "options": QUICK} for half in ("text", "image")]
        return {"encoder": "words", "members": members}
    return QUICK


@dataclass
class World:
    """Train, validation and test tables, and how to make and fit a model for them."""

    taxonomy: object
    store: object
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    scores_file: object

    def make(self, name):
        return models.create(name, options(name, self.scores_file), taxonomy=self.taxonomy, store=self.store)

    def fit(self, name, seed=0, train=None):
        return self.make(name).fit(self.train if train is None else train, self.validation, seed=seed)


@pytest.fixture
def world(taxonomy, store, table, rows, tmp_path):
    return build(taxonomy, store, table, rows, tmp_path)


def build(taxonomy, store, table, rows, folder):
    tables = [table(rows(n, taxonomy, seed), taxonomy) for n, seed in ((120, 1), (40, 2), (30, 3))]
    file = folder / "scores.jsonl"
    draw = np.random.default_rng(0)
    with open(file, "w") as lines:
        for name in tables[2]["post_id"].to_pylist():
            print(json.dumps({"post_id": name, **{label: draw.random() for label in taxonomy.names}}), file=lines)
    return World(taxonomy, store, *tables, file)


# ------------------------------------------------------------------------------------------------------------ scores


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_float32_with_one_finite_column_per_label(world, name):
    model = world.fit(name)
    logits = model.logits(world.test)
    assert logits.dtype == np.float32
    assert logits.shape == (30, 2)
    assert set(model.modalities) <= set(MODALITIES)
    has = {half: np.array([v is not None for v in world.test[half].to_pylist()]) for half in ("text", "image")}
    seen = np.any([has[half] for half in model.modalities], axis=0) if model.modalities else np.ones(30, bool)
    if name != "scores":  # which has a score for every id, whatever the post holds
        assert (np.isfinite(logits) == seen[:, None]).all()
        assert not seen.all() or model.modalities in ((), ("text", "image"))
    assert model.logits(world.test.slice(0, 0)).shape == (0, 2)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_and_nothing_else_does(world, name):
    first = world.fit(name, seed=3).logits(world.test)
    np.random.default_rng().random()
    assert np.array_equal(first, world.fit(name, seed=3).logits(world.test), equal_nan=True)
    other = np.array_equal(first, world.fit(name, seed=4).logits(world.test), equal_nan=True)
    assert other != world.make(name).seeded  # where `seeded` is False one fit stands for all seeds


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


@pytest.mark.parametrize("name", MODELS)
def test_only_the_declared_inputs_are_looked_at(world, name, table, rows):
    model = world.fit(name)
    expected = model.logits(world.test)
    strangers = table(rows(30, world.taxonomy, 9), world.taxonomy)
    changed = world.test
    looked_at = {"scores": ("post_id",)}.get(name, model.modalities)
    for column in world.test.column_names:
        if column not in looked_at:
            values = pa.array(["x"] * 30) if changed.schema.field(column).type == pa.string() else strangers[column]
            changed = changed.set_column(changed.schema.get_field_index(column), column, values)
    assert np.array_equal(model.logits(changed), expected, equal_nan=True)
    assert np.array_equal(model.logits(changed.select(["post_id", "text", "image", "video"])), expected, equal_nan=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_post_scores_the_same_whatever_its_neighbours(world, name):
    model = world.fit(name)
    expected = model.logits(world.test)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(model.logits(world.test.take(order)), expected[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.logits(world.test.slice(7, 1)), expected[7:8], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["text-tfidf", *PAIRS])
def test_what_a_label_is_told_by_is_learnt(world, name, table, rows):
    train = table(rows(600, world.taxonomy, 5), world.taxonomy)
    chosen = options(name) | ({"epochs": 40, "batch_size": 64} if name in PAIRS[1:] else {})
    if name == "late-fusion":
        chosen["members"] = [
            {"name": f"{half}-clip", "options": {**QUICK, "epochs": 40, "batch_size": 64}} for half in ("text", "image")
        ]
    model = models.create(name, chosen, taxonomy=world.taxonomy, store=world.store)
    logits = model.fit(train, world.validation, seed=0).logits(world.test)
    y, _ = label_matrix(world.test, world.taxonomy)
    marked = np.zeros_like(y, dtype=bool)
    for half in model.modalities:
        for number, value in enumerate(world.test[half].to_pylist()):
            said = "" if value is None else value if half == "text" else value["bytes"].decode()
            marked[number] |= [f"{label}word" in said for label in world.taxonomy.names]
    for k in range(2):
        seen = ~np.isnan(logits[:, k])
        # Posts whose words tell the label score above nearly all others: the mean rank gap is an ROC AUC over 0.9.
        high, low = logits[marked[:, k], k], logits[~marked[:, k] & seen, k]
        assert np.mean(high[:, None] > low[None, :]) > 0.9


# ------------------------------------------------------------------------------------------ halves and their readings


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
def test_the_score_is_the_maximum_over_combinations_of_readings(world, name, table):
    model = world.fit(name)
    texts, images = ["abuseword word1", "word4 nudityword"], ["word5", "nudityword word6", "word7 word8"]
    whole = model.logits(table([{"text": "|".join(texts), "image": "|".join(images)}], world.taxonomy))
    apart = model.logits(table([{"text": t, "image": i} for t in texts for i in images], world.taxonomy))
    np.testing.assert_allclose(whole[0], apart.max(axis=0), atol=1e-5)
    assert np.ptp(apart, axis=0).min() > 1e-3  # else the maximum would prove nothing


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_training_sees_the_first_reading_only(world, name):
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
    if name == "late-fusion":  # its stacker sees scores as serving does, over all readings; its members do not
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
    for module in {"workbench.models", *models.modules(name, options(name))}:
        if hasattr(import_module(module), "label_matrix"):
            monkeypatch.setattr(f"{module}.label_matrix", flipped)
            flips += 1
    assert flips
    assert np.array_equal(world.fit(name, train=train).logits(world.test), expected, equal_nan=True)


@pytest.mark.parametrize("name", ["prior", *LEARNING])
def test_a_label_of_one_class_gets_its_smoothed_prevalence_and_an_unknown_one_no_score(world, name, table, rows):
    posts = rows(40, world.taxonomy, 6)
    for row in posts:
        row["labels"] = {"abuse": False}
    model = world.fit(name, train=table(posts, world.taxonomy))
    logits = model.logits(world.test)
    readable = ~np.isnan(logits[:, 0])
    # No positive among 40 known posts: prevalence (0 + 1/2) / (40 + 1), log-odds log(0.5 / 40.5).
    np.testing.assert_allclose(logits[readable, 0], math.log(0.5 / 40.5), rtol=1e-5)
    assert readable.any()
    assert np.isnan(logits[:, 1]).all()
    assert model.untaught == ("nudity",)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("held_out", [0, 3])
def test_ten_posts_are_enough_to_train(world, name, held_out):
    model = world.make(name).fit(world.train.slice(0, 10), world.validation.slice(0, held_out), seed=0)
    assert np.isfinite(model.logits(world.test)).any()


@pytest.mark.parametrize("name", MODELS)
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


# --------------------------------------------------------------------------------------------------------------- disk


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_gives_bit_equal_scores(world, name, tmp_path):
    model = world.fit(name)
    for _ in range(2):  # a second save takes the place of the first
        model.save(tmp_path / "model")
    if world.scores_file.exists():
        world.scores_file.unlink()
    again = models.load(tmp_path / "model", taxonomy=world.taxonomy, store=world.store)
    assert np.array_equal(again.logits(world.test), model.logits(world.test), equal_nan=True)
    assert (again.name, again.options, again.modalities, again.record) == (
        model.name,
        model.options,
        model.modalities,
        model.record,
    )
    again.save(tmp_path / "copy")
    files = {f.relative_to(tmp_path / "model"): f.read_bytes() for f in (tmp_path / "model").rglob("*") if f.is_file()}
    assert {path.suffix for path in files} <= {".json", ".safetensors"}
    assert files == {path: (tmp_path / "copy" / path).read_bytes() for path in files}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "model"]  # no temporary folder is left


@pytest.mark.parametrize("name", MODELS)
def test_every_changed_file_is_refused(world, name, tmp_path):
    folder = tmp_path / "model"
    world.fit(name).save(folder)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        middle = len(whole) // 2
        for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], b""):
            path.write_bytes(damaged)
            with pytest.raises(WorkbenchError, match=r"sha256|not the head"):
                models.load(folder, taxonomy=world.taxonomy, store=world.store)
        path.unlink()
        with pytest.raises(WorkbenchError, match=r"lacks|holds no model"):
            models.load(folder, taxonomy=world.taxonomy, store=world.store)
        path.write_bytes(whole)
    models.load(folder, taxonomy=world.taxonomy, store=world.store)


@pytest.mark.parametrize("name", MODELS)
def test_another_taxonomys_model_is_refused(world, name, tmp_path, new_taxonomy):
    world.fit(name).save(tmp_path / "model")
    with pytest.raises(TaxonomyMismatch, match="train it again"):
        models.load(tmp_path / "model", taxonomy=new_taxonomy("nudity", "abuse"), store=world.store)


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_another_encoder_under_the_same_name_is_refused(world, name, tmp_path, store_of):
    world.fit(name).save(tmp_path / "model")
    with pytest.raises(WorkbenchError, match="another encoder than 'words'"):
        models.load(tmp_path / "model", taxonomy=world.taxonomy, store=store_of(version=2))
    # The number format depends on the device: what a GPU trained in bfloat16 must serve on a CPU.
    models.load(tmp_path / "model", taxonomy=world.taxonomy, store=store_of(dtype="bfloat16"))


# ------------------------------------------------------------------------------------------------------------ the table


@pytest.mark.parametrize("name", MODELS)
def test_unknown_options_are_refused_with_the_choices(name):
    with pytest.raises(WorkbenchError, match=r"unknown key 'hiden'") as caught:
        models.check(name, {"hiden": 3})
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_refused_with_the_nearest_name():
    for call in (models.check, models.artefacts, models.modules):
        with pytest.raises(WorkbenchError, match="did you mean 'clip-cross'"):
            call("clip-cros", {})


@pytest.mark.parametrize("name", MODELS)
def test_an_untrained_model_says_so(world, name, tmp_path):
    for call in (lambda model: model.logits(world.test), lambda model: model.save(tmp_path / "m")):
        with pytest.raises(WorkbenchError, match="not trained yet"):
            call(world.make(name))


def test_modules_and_artefacts_include_those_of_members(tmp_path):
    members = {"members": ["text-tfidf", {"name": "scores", "options": {"path": str(tmp_path / "s.csv")}}]}
    assert models.modules("late-fusion", members) == [f"workbench.models.{n}" for n in ("ensemble", "text", "scores")]
    assert models.artefacts("late-fusion", members) == [tmp_path / "s.csv"]
    assert models.artefacts("prior") == []
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"x")
    assert models.artefacts("late-fusion", {"encoder": f"ViT-B-32@{weights}"}) == [weights]


def test_names_and_options_are_known_without_torch():
    code = (
        "import sys; from workbench import models\n"
        "for name in models.MODELS: models.check(name, {'path': 'x.csv'} if name == 'scores' else {})\n"
        "models.modules('late-fusion'); assert not {'torch', 'open_clip', 'datasets'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
