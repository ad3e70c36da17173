"""The benchmark of reading compares like with like."""

from __future__ import annotations

import json

from workbench.bench.reading import reading


def test_it_measures_and_keeps_what_it_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("workbench.bench.reading.TURNS", 1)
    found = reading(2000, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert "csv, 2,000 rows" in (said := capsys.readouterr().out)
    assert "jsonl, 400 rows" in said
    assert min(found[kind]["ratio"] for kind in ("csv", "jsonl")) > 0
