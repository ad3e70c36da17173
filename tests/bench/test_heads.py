"""The benchmark of heads compares like with like, and says what it could not measure."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.bench import heads as bench
from workbench.errors import WorkbenchError

SMALL = bench.HeadBench(spaces=("synthetic text and picture",), seeds=1, resamples=100)


@pytest.fixture
def few(monkeypatch):
    """A study with so few posts that measuring them takes a moment."""
    from workbench.studies.config import StudyConfig

    load = StudyConfig.load
    corpus = {"source": "synthetic", "posts": 600, "seed": 7, "oversample": {"paired": 0.7, "harm": 0.5}}
    monkeypatch.setattr(StudyConfig, "load", lambda path: load(path).model_copy(update={"corpus": corpus}))


def test_it_measures_and_keeps_what_it_measured(few, tmp_path, capsys):
    found = bench.heads(SMALL, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    row = found["spaces"][0]
    for plain in row["plain"].values():
        assert plain["difference"] == pytest.approx(row["roc_auc"] - plain["roc_auc"])
        assert plain["lo"] <= plain["difference"] <= plain["hi"]
    assert "synthetic text and picture" in capsys.readouterr().out


def test_a_logistic_head_of_the_same_strength_is_scikit_learns(few, monkeypatch):
    monkeypatch.setattr(bench, "STRENGTHS", bench.STRENGTHS.__class__(default=(1e-3,)))
    monkeypatch.setitem(
        bench.SPACES, "synthetic text and picture", bench.FeatureSpace("quickstart", "text-clip", {"C": 1e-3})
    )
    row = bench.heads(SMALL.model_copy(update={"head": "logistic"}))["spaces"][0]
    assert row["plain"]["log loss"]["difference"] == pytest.approx(0, abs=2e-3)


def test_what_is_not_at_hand_is_said_and_an_unknown_space_is_refused(monkeypatch, capsys):
    monkeypatch.delenv("WORKBENCH_TEXT_ENCODER", raising=False)
    found = bench.heads(SMALL.model_copy(update={"spaces": ("EDOS text",)}))
    assert "WORKBENCH_" in found["spaces"][0]["note"]
    assert "EDOS text was not measured" in capsys.readouterr().out
    with pytest.raises(WorkbenchError, match="space"):
        bench.heads(bench.HeadBench(spaces=("EDOS",)))


def test_an_absent_side_is_its_mean_with_a_flag():
    train = [np.array([[1.0, 0.0], [3.0, 4.0], [np.nan, np.nan]], np.float32)]
    found = bench._standardised([np.array([[3.0, 2.0], [np.nan, np.nan]], np.float32)], train)
    np.testing.assert_allclose(found, [[1, 0, 1], [0, 0, 0]])
