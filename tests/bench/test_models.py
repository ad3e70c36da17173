"""`bench models`: every way of scoring is measured and gives the same scores, or the ratio is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.bench import models as bench
from workbench.errors import WorkbenchError

TINY = bench.ModelBench(
    models=("prior", "text-tfidf"),
    corpus={"source": "synthetic", "posts": 120, "seed": 5, "oversample": {"paired": 0.7, "harm": 0.25}},
    repeats=1,
)


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """Measure in this process: starting others takes seconds each."""
    monkeypatch.setattr(bench, "_apart", bench.measure)


def test_each_model_has_speeds_ratios_and_memory(tmp_path, capsys):
    result = bench.models(TINY, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert [row["name"] for row in result["models"]] == ["prior", "text-tfidf"]
    for row in result["models"]:
        assert row["posts"] == 24
        assert row["differ"] <= 1e-5
        assert row["peak_mb"]["host"] > 10
        assert row["cold_ratio"] == pytest.approx(row["seconds"]["plain"][0] / row["seconds"]["cold"][0])
        assert row["targets"] == {"time": "met", "memory": "met"}
        assert row["warm_posts_per_s"] == pytest.approx(24 / row["seconds"]["warm"][0])
    said = capsys.readouterr().out
    assert "text-tfidf" in said
    assert "peak MB" in said


def test_a_model_that_is_too_slow_or_too_large_is_told_so():
    slow = {"cold_posts_per_s": 1000 / 21, "peak_mb": {"host": 25_000}}
    assert bench.targets(slow) == {"time": "missed", "memory": "missed"}
    assert bench._required({"targets": bench.targets(slow)}) == "missed: time, memory"


def test_scores_that_depend_on_their_batch_are_refused(monkeypatch):
    monkeypatch.setattr(bench, "apart_by", lambda a, b: 0.5)
    with pytest.raises(WorkbenchError, match="batched in prior, text-tfidf"):
        bench.models(TINY)


def test_how_far_scores_are_apart():
    a = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert bench.apart_by(a, a + 0.25) == 0.25
    assert bench.apart_by(a, np.nan_to_num(a)) == float("inf")
    assert bench.apart_by(a[:, 1:], a[:, 1:]) == 0


def test_an_unknown_model_is_refused_and_those_that_need_a_file_are_left_out():
    with pytest.raises(WorkbenchError, match="did you mean 'clip-cross'"):
        bench.models(TINY.model_copy(update={"models": ("clip-cros",)}))
    assert "scores" not in bench._names(bench.ModelBench())
    assert "clip-cross" in bench._names(bench.ModelBench())


def test_a_store_is_lent_to_every_model_within():
    from workbench import models
    from workbench.schema import Taxonomy

    outer = models.create("ensemble", {"members": ["prior", "per-group"]}, taxonomy=Taxonomy.load(), store=None)
    inner = outer.models[1]
    inner.by_group = {"en": models.create("prior", taxonomy=Taxonomy.load(), store=None)}
    store = bench.empty_store("cpu")
    bench.lend(outer, store)
    within = (*outer.models, inner.base, inner.by_group["en"])
    assert {id(model.store) for model in (outer, *within)} == {id(store)}
    assert outer.parts() == [outer.models[0], inner, inner.base, inner.by_group["en"]]


def test_what_cannot_be_measured_is_said_below_the_table(capsys, monkeypatch):
    options = TINY.model_copy(update={"models": ("prior", "text-hashing"), "options": {"text-hashing": {"bits": -1}}})

    def apart(name, options):
        try:
            return bench.measure(name, options)
        except WorkbenchError as error:
            return {"name": name, "note": str(error)}

    monkeypatch.setattr(bench, "_apart", apart)
    bench.models(options)
    assert "text-hashing was not measured: options of model 'text-hashing': bits" in capsys.readouterr().out
