"""`bench gpu`: a device against the CPU, its tolerances, little memory, and what is said where there is no device."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from workbench import cli, models
from workbench.bench import gpu as bench
from workbench.bench.gpu import agreement as agreeing
from workbench.bench.gpu.agreement import TOLERANCES, CheckedModel, agreement
from workbench.errors import WorkbenchError
from workbench.features.encoders.forward.towers import Towers
from workbench.schema import Taxonomy

QUICK = bench.GpuBench.quick().model_copy(update={"device": "cpu", "seconds": 1000.0, "corpus": {"posts": 120}})


class Here:
    """Measures in this process: starting another takes seconds."""

    def __init__(self, work):
        self.work = work

    def call(self, *given, seconds):
        return self.work(*given)

    def end(self):
        return


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(bench, "Worker", Here)


def test_without_a_cuda_device_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        bench.random_models, "write_full", lambda *given, **named: pytest.fail("wrote 6 GB for nothing")
    )
    done = CliRunner().invoke(cli.app, ["bench", "gpu", "--out", str(tmp_path / "out.json")])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: there is no CUDA device here to compare with the CPU; run this where")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_the_cpu_agrees_with_itself_exactly_and_everything_is_measured(in_this_process, tmp_path, capsys):
    """One family of each way to a score: a fine-tuned encoder, a head on frozen ones, a prompt."""
    names = ("minilm-tuned", "cross-b32", "vlm")
    result = bench.gpu(QUICK.model_copy(update={"models": names}), tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert [row["name"] for row in result["models"]] == list(names)
    for row in result["models"]:
        assert row["probabilities_apart"] == row["logits_apart"] == 0
        assert row["agrees"]
        assert row["posts"] == row["compared"] == 16
        assert row["dtype"] == "float32"
        assert row["times_the_cpu"] == pytest.approx(row["posts_per_s"] / row["cpu_posts_per_s"])
        assert min(row["posts_per_s"], row["fit_peak_mb"], row["score_peak_mb"]) > 0
    cosines = {row["name"]: row["smallest_cosine"] for row in result["models"]}
    assert cosines["minilm-tuned"] is cosines["vlm"] is None  # whose vectors stay in their network
    assert cosines["cross-b32"] == pytest.approx(1)
    said = capsys.readouterr().out
    assert said.count("agrees") == len(names) + 1
    assert "cosine of vectors is 0.99999 or more" in said


def test_half_precision_is_held_against_single_precision(in_this_process, monkeypatch):
    """The reference stays in float32 on a machine that computes in bfloat16, emulated here as a GPU would."""
    monkeypatch.setenv("WORKBENCH_CPU_BF16", "1")
    monkeypatch.setattr(agreeing.devices, "multiplies_bf16", lambda: True)
    rows = bench.gpu(QUICK.model_copy(update={"models": ("cross-b32", "vlm")}))["models"]
    for row in rows:
        assert row["dtype"] == "bfloat16"
        assert 0 < row["probabilities_apart"] <= TOLERANCES["bfloat16"].every
    assert 0.999 <= rows[0]["smallest_cosine"] < 0.999999
    assert 0.001 < rows[0]["vectors_apart"] <= TOLERANCES["bfloat16"].share


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu(in_this_process):
    asked = QUICK.model_copy(update={"device": "cuda", "models": ("minilm-tuned", "cross-b32", "vlm")})
    rows = bench.gpu(asked)["models"]
    assert all(row["agrees"] and row["score_peak_mb"] > 0 for row in rows)
    assert all("logits_apart" in row["scarce"] or "note" in row["scarce"] for row in rows)


def test_scores_that_differ_are_refused_after_the_table(in_this_process, monkeypatch, capsys):
    monkeypatch.setitem(agreeing.TOLERANCES, "float32", TOLERANCES["float32"]._replace(every=-1.0))
    with pytest.raises(WorkbenchError, match="cpu and the CPU are further apart than the tolerance in prior"):
        bench.gpu(QUICK.model_copy(update={"models": ("prior",)}))
    assert "differs" in capsys.readouterr().out


def test_the_distance_of_scores():
    tolerance = TOLERANCES["float32"]
    here = np.zeros((200, 1))
    there = here.copy()
    there[0] = 4e-4  # moves a probability by a quarter of it
    assert agreement(here, there, None, tolerance)["probabilities_apart"] == pytest.approx(1e-4)
    assert agreement(here, there, None, tolerance)["logits_apart"] == pytest.approx(4e-4)
    vectors = ((1.0, 0.0), True), ((0.9999, 0.0), False), ((1.0, 0.1), False)
    assert all(agreement(here, here, each, tolerance)["agrees"] is agrees for each, agrees in vectors)
    for posts, apart, agrees in ((200, 2, True), (200, 3, False), (20, 1, True), (20, 2, False)):
        moved = np.where(np.arange(posts)[:, None] < apart, 0.1, 0)  # 0.025 in probability
        found = agreement(here[:posts], moved, None, TOLERANCES["bfloat16"])
        assert found["agrees"] == agrees == (found["probabilities_apart_99"] == 0)
        assert found["probabilities_apart"] == pytest.approx(0.025, abs=1e-4)


def test_vectors_are_apart_as_a_share_of_what_tells_posts_from_each_other():
    y = np.array([[1.0, 0.01], [1.0, -0.01]])  # nearly the same, as untrained towers see posts: 0.01 from their mean
    x = y + np.array([[0.0, 0.005], [0.0, 0.0]])
    cosine, share = agreeing._apart(x, y)
    assert cosine > 0.99998
    assert share == pytest.approx(0.5)
    assert agreeing._apart(y[::-1], y)[1] == pytest.approx(2.0)  # each the other's, by cosine all but the same
    assert agreeing._apart(y[:1], y[:1])[1] == 0


def test_a_post_that_one_side_cannot_score_is_infinitely_apart():
    here = np.array([[0.5, np.nan]])
    both = agreement(here, here, None, TOLERANCES["float32"])
    assert (both["agrees"], both["probabilities_apart"]) == (True, 0)
    one = agreement(here, np.array([[0.5, 0.5]]), None, TOLERANCES["float32"])
    assert (one["agrees"], one["probabilities_apart"], one["logits_apart"]) == (False, float("inf"), float("inf"))


@pytest.fixture
def scored():
    """A model on texts, posts, and their scores with all the memory there is."""
    taxonomy = Taxonomy.load()
    corpus = {"source": "synthetic", "posts": 120, "seed": 5, "oversample": {"paired": 0.7, "harm": 0.25}}
    train, validation, rest = agreeing._parts(agreeing.corpora.load(corpus, taxonomy).table)
    store = agreeing._store("cpu", set())
    model = models.create("text-clip", {"encoder": "tiny"}, taxonomy=taxonomy, store=store)
    model.fit(train, validation, seed=0)
    posts = agreeing._chosen(rest, ("text",), 32)
    return model, posts, model.logits(posts)


def test_little_memory_halves_batches_and_moves_no_score(scored, monkeypatch):
    model, posts, logits = scored
    embed = Towers.embed_texts

    def with_little(self, rows):
        if len(rows) > 4:
            raise torch.OutOfMemoryError("no room")
        return embed(self, rows)

    monkeypatch.setattr(Towers, "embed_texts", with_little)
    agreeing.encoders.forget()
    told = agreeing.scarce(model, posts, logits, nullcontext(64.0))
    agreeing.encoders.forget()  # it has learnt to take few at once
    assert told["limit_mb"] == 64
    assert told["halved"] == len(told["said"]) >= 1
    assert "at once do not fit into the memory" in told["said"][0]
    assert told["logits_apart"] < 1e-2


def test_no_memory_at_all_is_told_and_another_error_is_not_hidden(scored, monkeypatch):
    model, posts, logits = scored

    def fail(error):
        def logits(posts):
            raise error

        return logits

    monkeypatch.setattr(model, "logits", fail(torch.OutOfMemoryError("CUDA out of memory")))
    assert agreeing.scarce(model, posts, logits, nullcontext(1.0))["note"] == "CUDA out of memory"
    monkeypatch.setattr(model, "logits", fail(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        agreeing.scarce(model, posts, logits, nullcontext(1.0))


def test_how_little_memory_cuda_is_left_and_that_it_gets_all_back(monkeypatch):
    fractions = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda where: 1000 * agreeing.MIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (0, 10_000 * agreeing.MIB))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: fractions.append(given))
    with agreeing.little(torch.device("cuda"), peak=2000.0) as left:
        assert left == 1400  # what lies there, and four tenths of what scoring took
    assert fractions == [(0.14, 3), (1.0, 3)]
    with agreeing.little(torch.device("cuda", 1), peak=900.0) as left:
        assert left == 1032
    assert fractions[2:] == [(0.1032, 1), (1.0, 1)]


def test_batches_grow_until_the_seconds_are_over():
    class Slow:
        def __init__(self):
            self.batches = []

        def logits(self, posts):
            self.batches.append(len(posts))
            return np.zeros((len(posts), 1))

    table = agreeing.pa.table({"text": ["a"] * 20})
    model = Slow()
    assert len(agreeing.score(model, table, seconds=60).logits) == 20
    assert model.batches == [1, 1, 2, 4, 8, 4]
    model = Slow()
    assert len(agreeing.score(model, table, seconds=0).logits) == 2  # one to load what it needs, one that counts
    assert model.batches == [1, 1]


def test_when_the_minutes_are_over_the_rest_is_told(monkeypatch, capsys):
    class Late(Here):
        def call(self, *given, seconds):
            raise WorkbenchError("the time was over before it was finished")

    monkeypatch.setattr(bench, "Worker", Late)
    rows = bench.gpu(QUICK.model_copy(update={"models": ("prior",)}))["models"]
    assert rows == [{"name": "prior", "note": "the time was over before it was finished"}]
    assert "prior was not measured: the time was over" in capsys.readouterr().out
    assert bench._row(None, CheckedModel("prior", "prior", {}), {}, QUICK, 0.0)["note"] == "the 10 minutes were over"


def test_an_unknown_model_of_the_study_is_refused():
    with pytest.raises(WorkbenchError, match="did you mean 'cross-l14'"):
        bench.gpu(QUICK.model_copy(update={"models": ("cross-114",)}))


def test_the_quick_form_reads_tiny_encoders_only(tmp_path):
    families, _ = bench._families(QUICK)
    written = json.dumps([bench._replaced(family.options, tmp_path, tiny=True) for family in families])
    assert "full-random" not in written
    assert "ViT" not in written
    assert "vit_base" not in written
    assert str(tmp_path / "qwen2-vl-2b") in written
    full = json.dumps([bench._replaced(f.options, bench.random_models.FULL_FOLDER, tiny=False) for f in families])
    assert str(bench.random_models.FULL_FOLDER / "minilm") in full
    assert "ViT-L-14@random" in full
