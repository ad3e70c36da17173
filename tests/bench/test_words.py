"""`bench words`: the same posts for both sides, the threshold from validation, differences that can tell."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from workbench.bench import words as bench
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


def posts(n, seed):
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        rude = bool(rng.random() < 0.4)
        text = " ".join([*rng.choice([f"w{i}" for i in range(30)], 5), "walnut" if rude and rng.random() < 0.8 else ""])
        labels = {"abuse": rude}
        rows.append({"post_id": f"{seed}-{number}", "text": text, "group": f"{seed}-{number // 2}", "labels": labels})
    return pa.Table.from_pylist(rows, schema=corpus_schema(TAXONOMY))


def test_it_compares_on_test_posts_and_says_what_the_choice_costs(tmp_path, capsys, monkeypatch):
    parts = {"train": posts(120, 0), "validation": posts(60, 1), "test": posts(80, 2)}
    monkeypatch.setattr(bench, "divided", lambda name, taxonomy: parts)
    found = bench.words(bench.WordBench(sets=("made",), resamples=100), tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert [(row["plain"], row["metric"]) for row in found["rows"]] == [
        (plain, metric) for plain in bench.PLAIN for metric in bench.METRICS
    ]
    for row in found["rows"]:
        assert row["n"] == 80
        assert row["lo"] <= row["delta"] == row["ours"] - row["theirs"] <= row["hi"]
        assert min(row["ours"], row["theirs"]) > 0.7  # both find the one word that tells
    assert found["costs"][0]["ratio"] > 0
    said = capsys.readouterr().out
    assert "made: choosing takes" in said
    assert "f1_macro" in said


def test_a_ranking_of_chance_is_told_from_a_right_one_and_the_threshold_is_validations():
    parts = {"validation": posts(60, 1), "test": posts(200, 2)}
    y = [bench._truth(parts[name], TAXONOMY)[0].astype(float) for name in ("validation", "test")]
    rows = bench.compared(parts, TAXONOMY, (y[0], y[1]), (y[0], np.random.default_rng(0).random(200)), 200)
    assert all(row["ours"] == 1 and row["lo"] > 0 for row in rows)
    # The threshold that validation gives, 1.0, is above all scores of these test posts: half of them are right.
    shifted = bench.compared(parts, TAXONOMY, (y[0], y[1]), (y[0], y[1] - 0.5), 200)
    assert [row["theirs"] < 0.5 for row in shifted] == [True, False, False]


def test_an_unknown_set_is_refused():
    with pytest.raises(WorkbenchError, match="there is no set 'edoss'; there are edos, convabuse"):
        bench.divided("edoss", TAXONOMY)


def test_pairs_of_opposite_labels_stay_together(workbench_data):
    parts = bench.divided("hatemoji", TAXONOMY)
    groups = [set(part["group"].to_pylist()) for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert min(map(len, parts.values())) > 500
    assert max(map(len, groups)) < len(parts["train"])  # there are pairs
