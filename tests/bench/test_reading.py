"""The benchmark of reading compares like with like."""

from __future__ import annotations

import json

from workbench.bench.reading import OURS, reading


def test_it_measures_and_keeps_what_it_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("workbench.bench.reading.TURNS", 1)
    found = reading(2000, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    said = capsys.readouterr().out.splitlines()
    heads = [line.split(", ")[:2] for line in said]
    assert heads == [["csv", "2,000 rows"]] * len(OURS) + [["jsonl", "400 rows"]] * len(OURS)
    assert min(ratio for kind in ("csv", "jsonl") for ratio in found[kind]["ratio"].values()) > 0
