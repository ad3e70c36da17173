"""Addresses of numbers: every row of a comparison has one, and no two are the same."""

from __future__ import annotations

from workbench.comparison import addresses


def test_every_number_has_an_address_of_its_own(comparison):
    found = [one for one, _, _ in addresses.rows(comparison)]
    tables = ("models", "differences", "late_fusion_limit", "leak_test")
    whole = [one for one, table, _ in addresses.rows(comparison) if table in tables]
    assert len(whole) == sum(len(comparison[table]) for table in tables)
    assert len(set(found)) == len(found)
    assert "test/paired/abuse/cross/recall" in found
    assert "test/paired/macro/cross:best-unimodal/average_precision" in found
    assert "test/paired/macro/cross:ceiling/average_precision" in found
    assert "test/paired/macro/:late-fusion-limit/average_precision" in found


def test_the_address_is_written_beside_the_number_and_nothing_else_changes(comparison):
    named = addresses.identified(comparison)
    assert named["models"][0]["id"] == addresses.of_row("models", comparison["models"][0])
    bare = [{name: value for name, value in row.items() if name != "id"} for row in named["differences"]]
    assert bare == comparison["differences"]
    assert named["items"] == comparison["items"]


def test_what_stands_on_a_part_of_the_posts_has_an_address_too():
    value = {"value": 0.5, "lo": 0.4, "hi": 0.6}
    part = {"name": "negation", "gold": "harmless", "n": 7, "few": True, **value}
    about = {"label": "abuse", "model": "m"}
    found = addresses.rows({
        "slices": [{"column": "language", "slice": "es", **about, "n": 9, "recall": value}],
        "bias": {"identities": [{"test": "t", "identity": "a/b", **about, "bpsn_auc": value}]},
        "suites": [{"test": "t", **about, "halves": [], "functionalities": [part], "targets": []}],
    })  # fmt: skip
    rows = {place: row for place, _, row in found}
    assert list(rows) == [
        "slice/language/es/abuse/m/recall",
        "identity/t/a%2Fb/abuse/m/bpsn_auc",
        "suite/t/abuse/functionalities/negation/harmless/m",
    ]
    assert all(row["value"] == 0.5 and row["model"] == "m" for row in rows.values())
    assert rows["slice/language/es/abuse/m/recall"]["n"] == 9


def test_names_cannot_break_out_of_an_address():
    row = {"test": "a/b", "view": "all", "label": "abuse", "model": '"><script>', "metric": "recall"}
    assert addresses.of_row("models", row) == "a%2Fb/all/abuse/%22%3E%3Cscript%3E/recall"
