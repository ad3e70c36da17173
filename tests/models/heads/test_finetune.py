"""Tuning both towers: what a kill costs (nothing), what memory costs (time), and the real path on a random CLIP."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from code_tree import Tree
from PIL import Image
from random_clip import write_encoder

from workbench import models
from workbench.errors import WorkbenchError
from workbench.features import FeatureStore
from workbench.fingerprint import closure
from workbench.models.fit import checkpoints
from workbench.models.fit.checkpoints import Checkpoints
from workbench.models.heads import tuning
from workbench.models.heads.finetune import FinetuneOptions

QUICK = {"epochs": 2, "tune_epochs": 3, "tune_batch": 16, "tower_lr": 0.01, "hidden": 16, "rank": 4, "dropout": 0.1}
QUICK |= {"encoder": "words", "tune_patience": 3}


@pytest.fixture
def world(taxonomy, table, rows):
    train, validation = (table(rows(n, taxonomy, seed, clips=True), taxonomy) for n, seed in ((48, 1), (24, 2)))
    return taxonomy, train, validation


@pytest.fixture
def disk(store, tmp_path):
    """Stores that share a folder, each of which knows nothing but what is there."""
    return lambda: FeatureStore(tmp_path / "cache" / "features", "cpu", load=store._load)


def fit(world, store, seed=0, **options):
    taxonomy, train, validation = world
    model = models.create("clip-finetune", {**QUICK, **options}, taxonomy=taxonomy, store=store)
    return model.fit(train, validation, seed=seed)


def weights(model):
    return model._state()[1]


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


class Killed(Exception):
    """In the place of a kill."""


@pytest.mark.parametrize("interrupted", [(1,), (4,), (8,), (2, 3)], ids=str)  # after so many steps, each time
def test_training_that_was_interrupted_ends_with_the_same_weights(world, store, disk, monkeypatch, interrupted):
    whole = fit(world, store)  # a store without a folder: no checkpoint
    original = tuning.Tuning._step
    for steps in interrupted:
        done = []

        def step(self, *args, steps=steps, done=done):
            if len(done) == steps:
                raise Killed
            done.append(args)
            original(self, *args)

        monkeypatch.setattr(tuning.Tuning, "_step", step)
        with pytest.raises(Killed):
            fit(world, disk(), save_minutes=0)  # after every step
    taken = []
    monkeypatch.setattr(tuning.Tuning, "_step", lambda self, *args: taken.append(1) or original(self, *args))
    resumed = fit(world, disk(), save_minutes=0)
    assert len(taken) == 9 - sum(interrupted)  # 48 posts in batches of 16, three epochs
    assert same(weights(resumed), weights(whole))
    assert resumed.record == whole.record


def test_what_was_trained_is_found_again_and_only_for_the_same_question(world, disk, monkeypatch, tmp_path):
    first = fit(world, disk())
    files = sorted(path.name for path in (tmp_path / "cache" / "finetune").glob("*/*"))
    assert files == ["done.safetensors"]
    steps, original = [], tuning.Tuning._step
    monkeypatch.setattr(tuning.Tuning, "_step", lambda self, *args: steps.append(1) or original(self, *args))
    again = fit(world, disk())
    assert not steps
    assert same(weights(again), weights(first))
    assert again.record == first.record
    fit(world, disk(), seed=1)
    assert len(steps) == 9
    fit(world, disk(), tower_lr=0.02)
    assert len(steps) == 18
    taxonomy, train, validation = world
    fit((taxonomy, train.slice(1), validation), disk())
    assert len(steps) == 27


def test_weights_are_as_old_as_the_code_that_trained_them(world, disk, monkeypatch):
    steps, original = [], tuning.Tuning._step
    monkeypatch.setattr(tuning.Tuning, "_step", lambda self, *args: steps.append(1) or original(self, *args))
    tree = Tree()

    def trained(module, old, new):
        """The steps that a fit takes, were the code edited so."""
        library = tree.edit(module, old, new).library()
        monkeypatch.setattr(closure, "_here", lambda: library)
        steps.clear()
        fit(world, disk())
        return len(steps)

    assert trained("models.heads.tuning", "(done + 1) / warm", "(done + 1) / warm  # a comment") == 9
    assert trained("models.heads.tuning", "diverged; lower it", "went wrong; lower it") == 0
    assert trained("models.heads.tuning", "watched", "seen") == 0
    assert trained("models.heads.frozen", "def _state(self)", "def _state(self, more=())") == 0
    assert trained("models.heads.frozen", "scores.append(self._rows(*chunk))", "scores += [self._rows(*chunk)]") == 0
    assert trained("models.heads.tuning", 'group["lr"] = rate * share', 'group["lr"] = rate * share * 0.5') == 9
    assert trained("models.fit.losses", "def _over_known(", "BIG = 1\n\n\ndef _over_known(") == 0
    assert trained("features.encoders.trainable", "sum(other > at", "1 + sum(other > at") == 9


def test_a_torn_checkpoint_is_training_from_the_start(world, disk, tmp_path):
    first = fit(world, disk())
    path = next((tmp_path / "cache" / "finetune").glob("*/done.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    assert same(weights(fit(world, disk())), weights(first))


def test_what_was_used_longest_ago_is_deleted_first(tmp_path, monkeypatch):
    tensors = {"x": torch.zeros(1000)}
    monkeypatch.setattr(checkpoints, "KEEP", 10_000)  # two of 4 kB and a little
    for number, key in enumerate(("a", "b", "c")):
        Checkpoints(tmp_path, key).finish(tensors, {"n": number})
        os.utime(tmp_path / key / checkpoints.DONE, (number, number))
        if key == "b":
            os.utime(tmp_path / "a" / checkpoints.DONE, (9, 9))  # as a use does
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    assert Checkpoints(tmp_path, "a").done()[1] == {"n": 0}
    assert Checkpoints(tmp_path, "b").done() is None


def test_training_that_was_given_up_is_trimmed_and_what_may_still_run_is_not(tmp_path, monkeypatch):
    tensors = {"x": torch.zeros(1000)}
    monkeypatch.setattr(checkpoints, "KEEP", 10_000)
    for key in ("given-up", "running"):
        Checkpoints(tmp_path, key).save(tensors, {})
    week = time.time() - 8 * 86_400
    for path in ((tmp_path / "given-up" / checkpoints.RUNNING), tmp_path / "given-up"):
        os.utime(path, (week, week))
    Checkpoints(tmp_path, "b").finish(tensors, {})
    Checkpoints(tmp_path, "c").finish(tensors, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c", "running"]


def test_the_draft_of_a_process_that_is_writing_stays_and_that_of_a_killed_one_goes(tmp_path):
    (tmp_path / "a").mkdir()
    living, killed = (tmp_path / "a" / f".running.safetensors.{number}-1.tmp" for number in (1, 2))
    for path in (living, killed):
        path.write_bytes(b"half")
    os.utime(killed, (9, 9))
    Checkpoints(tmp_path, "a").save({"x": torch.zeros(1)}, {})
    assert living.exists()
    assert not killed.exists()


def test_a_checkpoint_that_another_process_deletes_meanwhile_is_no_error(tmp_path, monkeypatch):
    Checkpoints(tmp_path, "a").finish({"x": torch.zeros(1)}, {})
    original = Path.stat

    def gone(path, **options):
        if path.parent.name == "a" and path.name == checkpoints.DONE:
            raise FileNotFoundError(path)
        return original(path, **options)

    monkeypatch.setattr(Path, "stat", gone)
    Checkpoints(tmp_path, "b").finish({"x": torch.zeros(1)}, {})


def test_a_disk_that_takes_no_checkpoint_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="cannot save the checkpoint"):
        Checkpoints(tmp_path / "file", "key").save({"x": torch.zeros(1)}, {})
    Checkpoints(None, "key").save({"x": torch.zeros(1)}, {})  # without a folder nothing is kept


def test_parts_of_a_batch_add_up_to_the_batch(world, store):
    plain = {"dropout": 0.0, "modality_dropout": 0.0, "tune_epochs": 1}
    whole, parts = fit(world, store, at_once=16, **plain), fit(world, store, at_once=5, **plain)
    assert whole.record["best_tuned_epoch"] == 1
    left, right = weights(whole), weights(parts)
    # Adam divides by a gradient's own size, so rounding can move a weight that hardly has one by a step's lr at most
    np.testing.assert_allclose(left["tower.weight"], right["tower.weight"], atol=1e-4)
    for name in (name for name in left if name.startswith("network.")):
        np.testing.assert_allclose(left[name], right[name], atol=2e-4)


def test_what_does_not_fit_is_halved_and_said(world, store, monkeypatch, caplog):
    original = tuning.Tuning._logits

    def logits(self, posts, part, present):
        if len(part) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, posts, part, present)

    monkeypatch.setattr(tuning.Tuning, "_logits", logits)
    model = fit(world, store, at_once=16, tune_epochs=1)
    assert model.record["tuned_epochs"] == 1
    said = [record.getMessage() for record in caplog.records if "do not fit" in record.getMessage()]
    assert [line.split("; ")[1] for line in said] == ["from here on 8", "from here on 4"]
    assert model.record["at_once"] == 4


def test_layers_learn_the_slower_the_nearer_they_are_to_the_input():
    class Towers:
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))

        def depths(self):
            return {"0.weight": 1, "0.bias": 1, "1.weight": 0, "1.bias": 0}

    options = FinetuneOptions(tower_lr=0.01, layer_decay=0.5, tune_head_lr=0.1, weight_decay=1.0)
    head = torch.nn.Linear(2, 1)
    groups = tuning.Tuning(Towers(), head, [], options, 0).optimizer.param_groups
    assert [group["lr"] for group in groups] == [0.005, 0.005, 0.01, 0.01, 0.1, 0.1]
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0, 0.05, 0.0, 0.1, 0.0]  # a tenth for the head
    for wrong in ({"loss": "focal"}, {"class_weight": "balanced"}, {"upsample": 0.3}):
        with pytest.raises(WorkbenchError, match=f"cross-entropy as it is and do not read '{next(iter(wrong))}'"):
            models.check("clip-finetune", wrong)


def test_the_frozen_towers_are_kept_where_tuning_only_does_harm(world, store):
    model = fit(world, store, tower_lr=1.0, tune_head_lr=1.0, tune_patience=1)
    assert model.record["best_tuned_epoch"] == 0
    assert model.record["loss"] == model.record["frozen"]["loss"]
    assert np.array_equal(weights(model)["tower.weight"], np.eye(12, dtype=np.float32))


# ------------------------------------------------------------------------------------------------------ a real CLIP


def picture(red):
    pixels = np.random.default_rng(red).integers(0, 100, (36, 36, 3), dtype=np.uint8)
    pixels[..., 0] = 200 if red % 2 else 20
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def real_posts(table, taxonomy, n, seed):
    rows = []
    for i in range(n):
        labels = {"abuse": bool(i % 2), "nudity": bool(i % 3 == 0)}
        rows.append(
            {"text": f"rude words {i}" if i % 3 == 0 else f"cats {i}", "labels": labels, "post_id": f"{seed}-{i}"}
        )
    made = table(rows, taxonomy)
    images = [{"bytes": picture(2 * i * seed + i % 2), "path": None} for i in range(n)]
    import pyarrow as pa

    column = pa.array(images, made.schema.field("image").type)
    return made.set_column(made.schema.get_field_index("image"), "image", column)


def test_a_random_clip_is_tuned_saved_and_loaded(table, taxonomy, tmp_path):
    encoder = str(write_encoder(tmp_path / "clip"))
    store = FeatureStore(tmp_path / "cache" / "features", "cpu")
    train, validation = real_posts(table, taxonomy, 48, 1), real_posts(table, taxonomy, 24, 101)
    # whitening stretches the small variance of random towers, so small steps go far
    options = {**QUICK, "encoder": encoder, "tower_lr": 3e-5, "tune_epochs": 4}
    model = models.create("clip-finetune", options, taxonomy=taxonomy, store=store).fit(train, validation, seed=0)
    assert model.record["best_tuned_epoch"] > 0
    assert model.record["loss"] < model.record["frozen"]["loss"]
    frozen = store.encoder(encoder).model.state_dict()
    moved = [n for n, v in model.tuned.model.state_dict().items() if not torch.equal(v, frozen[n])]
    assert any(name.startswith("visual.") for name in moved)
    assert any(name.startswith("transformer.") for name in moved)
    assert not [name for name in moved if "running_" in name]
    model.save(tmp_path / "model")
    fresh = FeatureStore(None, "cpu")
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=fresh)
    assert np.array_equal(again.logits(validation), model.logits(validation))
    other = write_encoder(tmp_path / "other", seed=1)  # the weights are the model's own: another CLIP's do no harm
    for name in ("open_clip_model.safetensors",):
        (Path(encoder) / name).write_bytes((other / name).read_bytes())
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=FeatureStore(None, "cpu"))
    assert np.array_equal(again.logits(validation), model.logits(validation))


KILLED = """
import os, signal, sys, json
sys.path[:0] = json.loads(sys.argv[1])
from conftest import WordEncoder, make_rows, make_table, make_taxonomy
from workbench import models
from workbench.features import FeatureStore
from workbench.models.heads import tuning
folder, steps, out = sys.argv[2], int(sys.argv[3]), sys.argv[4]
original, done = tuning.Tuning._step, []
def step(self, *args):
    if len(done) == steps:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(1)
    original(self, *args)
tuning.Tuning._step = step
taxonomy = make_taxonomy("abuse", "nudity")
train, validation = (make_table(make_rows(n, taxonomy, seed, clips=True), taxonomy) for n, seed in ((48, 1), (24, 2)))
store = FeatureStore(folder, "cpu", load=lambda name, device: WordEncoder())
options = json.loads(sys.argv[5])
model = models.create("clip-finetune", options, taxonomy=taxonomy, store=store).fit(train, validation, seed=0)
model.save(out)
"""


@pytest.mark.slow
def test_a_process_killed_in_the_middle_goes_on_where_it_was(world, store, tmp_path):
    fit(world, store, save_minutes=0).save(tmp_path / "whole")
    here = json.dumps([str(folder) for folder in Path(__file__).parents[1:3]])
    options = json.dumps({**QUICK, "save_minutes": 0})
    for steps, expected in ((3, -signal.SIGKILL), (99, 0)):  # more than once: above, in one process
        command = [sys.executable, "-c", KILLED, here, tmp_path / "cache" / "features", steps, tmp_path / "m", options]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "m" / path.name).read_bytes()
