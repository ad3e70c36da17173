"""The benchmark of recording compares what writes the same."""

from __future__ import annotations

import json
import sqlite3

from workbench.bench.records import THREADS, Raw, _made, records
from workbench.records import Records


def test_it_measures_and_keeps_what_it_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_DATABASE_URL", raising=False)
    found = records(200, 1, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:2]] == ["raw sqlite3", "records in SQLite"]
    assert said[2].endswith(f"{found['ratio']:.2f}")
    assert found["ratio"] == found["median"]["records"]["cpu_us"] / found["median"]["raw"]["cpu_us"]
    assert found["machine"]["threads"] == THREADS
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_the_raw_way_writes_the_same_rows(tmp_path):
    for name in ("raw", "ours"):
        Records(tmp_path / name).close()
    made = _made(20, "same")
    raw = Raw(tmp_path / "raw" / "records.sqlite")
    with Records(tmp_path / "ours") as ours:
        for one in made:
            raw.record(*one)
            ours.record(*one)
    raw.close()
    rows = {}
    for name in ("raw", "ours"):
        database = sqlite3.connect(tmp_path / name / "records.sqlite")
        for table in ("entries", "decisions", "uses"):
            rows[name, table] = database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        rows[name, "texts"] = database.execute("SELECT content, data FROM texts ORDER BY 1").fetchall()
        database.close()
    for table in ("entries", "decisions", "uses", "texts"):
        assert rows["raw", table] == rows["ours", table]
        assert len(rows["raw", table]) == 20
