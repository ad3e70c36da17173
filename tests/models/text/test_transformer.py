"""Frozen and fine-tuned encoders on a tiny random BERT: windows, pieces, memory, disk; and a real one where it is."""

import os
import shutil
from threading import Thread

import numpy as np
import pytest
import torch
from code_tree import Tree
from random_transformer import write_transformer

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore, Truncated
from workbench.features.blocks import VARIANTS
from workbench.fingerprint import closure
from workbench.models.fit.checkpoints import Checkpoints
from workbench.models.text.transformer import tuning
from workbench.questions.evasion import without_variants

REAL = os.environ.get("WORKBENCH_TEXT_ENCODER")
TUNED = {"finetune": True, "epochs": 2, "batch_size": 16, "lr": 0.01, "max_tokens": 16, "dropout": 0.0}
FROZEN = {"finetune": False, "epochs": 4, "batch_size": 16, "lr": 0.02, "max_tokens": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_transformer(tmp_path_factory.mktemp("bert") / "bert")


@pytest.fixture
def fit(taxonomy, table, rows, folder):
    """The function that fits: fit(seed=0, posts=80, **options) -> (model, test table)."""

    def fit(seed=0, posts=80, train=None, **options):
        store = FeatureStore(None, "cpu")
        model = models.create("text-transformer", {"encoder": str(folder)} | options, taxonomy=taxonomy, store=store)
        parts = [table(rows(n, taxonomy, s), taxonomy) for n, s in ((posts, 1), (30, 2), (20, 3))]
        return model.fit(parts[0] if train is None else train, parts[1], seed=seed), parts[2]

    return fit


@pytest.mark.parametrize("options", [FROZEN, TUNED], ids=["frozen", "tuned"])
class TestBothWays:
    def test_seeds_order_and_neighbours(self, fit, options):
        model, posts = fit(**options)
        logits = model.logits(posts)
        assert np.array_equal(logits, fit(**options)[0].logits(posts), equal_nan=True)
        assert not np.array_equal(logits, fit(seed=1, **options)[0].logits(posts), equal_nan=True)
        order = np.random.default_rng(0).permutation(20)
        np.testing.assert_allclose(model.logits(posts.take(order)), logits[order], atol=1e-5)
        readable = np.array([text is not None for text in posts["text"].to_pylist()])
        assert (np.isfinite(logits) == readable[:, None]).all()

    def test_the_highest_window_of_all_variants_counts_and_is_named(self, fit, options, taxonomy, table):
        model, _ = fit(**options)
        posts = table([{"text": "rude " * 40 + word} for word in ("c4ts", "cats")], taxonomy)
        made, raw = (asked.predict(posts) for asked in (model, without_variants(model)))
        # The first text's only other variant is the second text; without variants each is its own windows alone.
        np.testing.assert_allclose(made.logits, [raw.logits.max(axis=0), raw.logits[1]], atol=1e-5)
        assert (
            abs(raw.logits[1] - raw.logits[0]).max() > 1e-4
        )  # else the last windows, where they differ, do not matter
        named = np.where(raw.logits[1] > raw.logits[0] + 1e-5, "digits and signs read as letters", None)
        assert made.variants.tolist() == [named.tolist(), [None, None]]
        assert raw.variants is None or not raw.variants.any()

    def test_windows_of_variants_that_are_not_read_are_told_where_variants_are(self, fit, options, taxonomy, table):
        model, _ = fit(**options)
        posts = table([{"text": "rude c4ts " * 150}], taxonomy)
        (told,) = model.predict(posts).unread["text"]
        of_text, of_variants = told.split("; ")
        assert of_text.startswith("long text: read 16 of its")
        assert of_variants.startswith(VARIANTS)
        assert without_variants(model).predict(posts).unread["text"] == [of_text]
        assert isinstance(told, Truncated)

    def test_what_is_saved_needs_what_it_says(self, fit, options, taxonomy, tmp_path, folder):
        own = shutil.copytree(folder, tmp_path / "bert")
        model, posts = fit(**options | {"encoder": str(own)})
        model.save(tmp_path / "model")
        shutil.rmtree(own)
        store = FeatureStore(None, "cpu")
        if options["finetune"]:  # weights, configuration and tokenizer are in the folder
            again = models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
            assert np.array_equal(again.logits(posts), model.logits(posts), equal_nan=True)
        else:
            with pytest.raises(WorkbenchError, match="neither a folder that is there nor a repository"):
                models.load(tmp_path / "model", taxonomy=taxonomy, store=store)
            write_transformer(own, seed=1)
            with pytest.raises(WorkbenchError, match="another encoder"):
                models.load(tmp_path / "model", taxonomy=taxonomy, store=store)

    def test_a_long_text_counts_by_its_highest_window(self, fit, options, table, taxonomy):
        model, _ = fit(**options)
        words = [f"word{i % 20}" for i in range(30)]  # 14 a window, in steps of 13: starts at 0, 13 and 16
        whole = model.logits(table([{"text": " ".join(words)}], taxonomy))
        parts = [{"text": " ".join(words[at : at + 14])} for at in (0, 13, 16)]
        np.testing.assert_allclose(whole[0], model.logits(table(parts, taxonomy)).max(axis=0), atol=5e-3)

    def test_a_label_of_one_class_and_one_that_nobody_knows(self, fit, options, table, rows, taxonomy):
        posts = rows(40, taxonomy, 6)
        for row in posts:
            row["labels"] = {"abuse": False}
        model, test = fit(train=table(posts, taxonomy), **options)
        logits = model.logits(test)
        readable = np.array([text is not None for text in test["text"].to_pylist()])
        np.testing.assert_allclose(logits[readable, 0], np.log(0.5 / 40.5), rtol=1e-5)
        assert np.isnan(logits[:, 1]).all()


def test_global_chance_is_left_alone_and_left_out(fit):
    torch.manual_seed(1)
    before = torch.random.get_rng_state().clone()
    model, posts = fit(**TUNED | {"dropout": 0.2})
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert np.array_equal(model.logits(posts), fit(**TUNED | {"dropout": 0.2})[0].logits(posts), equal_nan=True)


def network(folder, at_once=8):
    """A network without dropout, whose gradient is therefore the same whatever its pieces."""
    options = models.parse("text-transformer", {"encoder": str(folder), **TUNED, "at_once": at_once})
    found = tuning.Tuned.of(str(folder), options, 2, torch.device("cpu"), seed=0)
    for module in found.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return found.train()


def settled(folder, **changed):
    chosen = {**TUNED, "weight_decay": 0.0, "patience": 1, **changed}
    return models.parse("text-transformer", {"encoder": str(folder), **chosen}).settled()


def texts(n=12):
    rng = np.random.default_rng(0)
    rows = [[2, *rng.integers(4, 20, rng.integers(1, 9)).tolist(), 3] for _ in range(n)]
    known = rng.random((n, 2)) < 0.7
    return tuning.TokenRows(rows, rng.integers(0, 2, (n, 2)).astype(np.float32), known)


def test_a_piece_that_does_not_fit_is_halved_said_and_recorded(folder, monkeypatch, caplog):
    net, whole = network(folder, at_once=8), network(folder, at_once=12)
    real = tuning.Tuned.forward

    def forward(self, rows):
        if self is net and len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, rows)

    monkeypatch.setattr(tuning.Tuned, "forward", forward)
    # Adam divides by a gradient's own size, so rounding can move a weight that hardly has one by a step's lr at most
    plan = settled(folder, epochs=1, lr=1e-4, batch_size=12, warmup=0.0)
    records = [tuning.tune(one, texts(), texts(), plan, 0) for one in (net, whole)]
    assert [record["at_once"] for record in records] == [2, 12]
    assert "8 texts at once do not fit into the memory; from here on 4" in caplog.text
    for mine, other in zip(net.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2.1e-4)
    np.testing.assert_allclose(net.score(texts().rows), whole.score(texts().rows), atol=2e-3)


def test_a_text_for_which_there_is_no_memory_is_one_sentence(folder, monkeypatch):
    net = network(folder)

    def forward(self, rows):
        raise MemoryError

    monkeypatch.setattr(tuning.Tuned, "forward", forward)
    with pytest.raises(WorkbenchError, match="not even one text fits into the memory"):
        net.score([[2, 5, 3]])


def test_an_error_that_is_not_about_memory_is_raised(folder, monkeypatch):
    net = network(folder)

    def forward(self, rows):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(tuning.Tuned, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes differ"):
        net.score([[2, 5, 3]])


@pytest.fixture
def tuned(taxonomy, table, rows, folder, tmp_path, monkeypatch):
    """The function that fine-tunes beside a store that knows only what is on disk: -> (model, steps, test table)."""
    steps, original = [], tuning.gradient
    monkeypatch.setattr(tuning, "gradient", lambda *given: steps.append(1) or original(*given))
    posts = [table(rows(n, taxonomy, s), taxonomy) for n, s in ((32, 1), (16, 2), (20, 3))]

    def tuned(train=posts[0], seed=0, name="text-transformer", **options):
        steps.clear()
        store = FeatureStore(tmp_path / "cache" / "features", "cpu")
        options = {"encoder": str(folder), **TUNED, "dropout": 0.2, **options}
        if name == "ensemble":
            options = {"combine": "mean", "members": [{"name": "text-transformer", "options": options}]}
        model = models.create(name, options, taxonomy=taxonomy, store=store).fit(train, posts[1], seed=seed)
        return model, len(steps), posts[2]

    tuned.posts = posts
    return tuned


def test_what_was_tuned_is_found_again_and_only_for_the_same_question(tuned, folder, tmp_path):
    first, steps, posts = tuned()
    assert steps == 4  # 32 posts in batches of 16, two epochs
    again, none, _ = tuned()
    assert none == 0
    assert np.array_equal(first.logits(posts), again.logits(posts), equal_nan=True)
    assert again.record == first.record
    member, none, _ = tuned(name="ensemble")
    assert none == 0
    np.testing.assert_allclose(member.logits(posts), first.logits(posts), atol=1e-5)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert tuned(encoder=str(moved), variants=False)[1] == 0
    write_transformer(moved, seed=1)
    for other in ({"encoder": str(moved)}, {"seed": 1}, {"lr": 0.02}, {"train": tuned.posts[0].slice(1)}):
        assert tuned(**other)[1] > 0, other


def test_who_wants_the_same_at_once_waits_and_finds_it(tmp_path):
    found, first = [], Checkpoints(tmp_path, "key")

    def second():
        same = Checkpoints(tmp_path, "key")
        with same.turn():
            found.append(same.done())

    other = Thread(target=second)
    with first.turn():
        other.start()
        other.join(0.2)
        assert not found
        first.finish({"x": torch.ones(1)}, {"epochs": 1})
    other.join(60)
    assert found[0][1] == {"epochs": 1}
    with Checkpoints(None, "key").turn():  # without a folder nobody waits
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(WorkbenchError, match="cannot save the checkpoint in"),
        Checkpoints(tmp_path / "file", "key").turn(),
    ):
        pass


def test_tuned_weights_are_as_old_as_the_code_that_tuned_them(tuned, monkeypatch):
    tuned()
    tree = Tree()

    def steps(module, old, new):
        library = tree.edit(module, old, new).library()
        monkeypatch.setattr(closure, "_here", lambda: library)
        return tuned()[1]

    assert steps("models.text.transformer.tuning", "CLIP = 1.0  # the", "CLIP = 1.0  # a comment: the") == 0
    assert steps("models.text.transformer.tuning", '"pad": self.pad, "context"', '"pad": 0 + self.pad, "context"') == 0
    assert steps("models.text.transformer", "highest_rows(each,", "highest_rows(1 * each,") == 0
    assert steps("models.text.transformer.tuning", "CLIP = 1.0", "CLIP = 2.0") == 4


def test_batches_hold_every_row_once_and_rows_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, 1000).tolist()
    found = tuning.batches(lengths, 16, [0, 1])
    assert sorted(np.concatenate(found).tolist()) == list(range(1000))
    assert max(len(batch) for batch in found) == 16
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in found)
    assert padded < 1.1 * sum(lengths)  # in plain order it is about 1.9 times
    again, other = tuning.batches(lengths, 16, [0, 1]), tuning.batches(lengths, 16, [0, 2])
    assert all(map(np.array_equal, found, again))
    assert not all(map(np.array_equal, found, other))


def test_training_stops_when_validation_no_longer_gains_and_keeps_the_best(folder):
    net, some = network(folder), texts()
    losses = iter([0.5, 0.4, 0.45, 0.3])
    plan = settled(folder, epochs=4, lr=0.01, batch_size=4)
    seen, kept = [], []

    def loss(net, texts):
        kept.append(net.output.weight.detach().clone())
        return next(losses)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_loss", loss)
        record = tuning.tune(net, some, some, plan, 0, lambda done, total, what: seen.append((done, total)))
    assert (record["epochs"], record["best_epoch"], record["loss"]) == (3, 2, 0.4)
    assert torch.equal(net.output.weight, kept[1])
    assert seen == [(i, 12) for i in range(1, 10)]


def test_a_loss_that_is_no_number_is_one_sentence(folder):
    some = texts()
    plan = settled(folder, epochs=1, lr=0.01, batch_size=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_loss", lambda *_: float("nan"))
        with pytest.raises(WorkbenchError, match="diverged; lower `lr`"):
            tuning.tune(network(folder), some, some, plan, 0)


@pytest.mark.skipif(not REAL, reason="WORKBENCH_TEXT_ENCODER names no folder with a pretrained text encoder")
def test_a_real_encoder_learns_what_no_shared_word_tells(taxonomy, table):
    angry = ["I hate you", "you are disgusting", "shut your mouth", "get lost, idiot", "what a pathetic loser"]
    kind = ["I love this", "have a nice day", "thank you so much", "what a lovely garden", "see you tomorrow"]
    rows = [{"text": text, "labels": {"abuse": text in angry, "nudity": False}} for text in (angry + kind) * 4]
    model = models.create(
        "text-transformer", {"encoder": REAL, "max_tokens": 16}, taxonomy=taxonomy, store=FeatureStore(None, "cpu")
    )
    train = table(rows, taxonomy)
    logits = model.fit(train, train, seed=0).logits(
        table([{"text": "you make everyone sick, fool"}, {"text": "many thanks, enjoy the evening"}], taxonomy)
    )
    assert logits[0, 0] > logits[1, 0]
