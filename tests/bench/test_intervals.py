"""The benchmark of intervals compares like with like."""

from __future__ import annotations

import json

import pytest

from workbench.bench import intervals as bench
from workbench.errors import WorkbenchError

SMALL = bench.IntervalBench(posts=200, models=2, labels=2, resamples=100, plain=5)


def test_it_measures_and_keeps_what_it_measured(tmp_path, capsys):
    found = bench.intervals(SMALL, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert found["ratio"] == pytest.approx(found["plain_seconds"] / found["seconds"])
    assert "100 resamples of average precision, 2 models, 2 labels, 200 posts" in capsys.readouterr().out


def test_it_fails_where_the_two_ways_differ(monkeypatch):
    monkeypatch.setattr(bench, "_plain", lambda y, score, codes, W: [0.5] * W.shape[1])
    with pytest.raises(WorkbenchError, match="differ"):
        bench.intervals(SMALL)
