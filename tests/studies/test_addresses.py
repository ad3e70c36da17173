"""Addresses of numbers: every row of a comparison has one, and no two are the same."""

from __future__ import annotations

from workbench.studies import addresses


def test_every_number_has_an_address_of_its_own(comparison):
    found = [one for one, _, _ in addresses.rows(comparison)]
    tables = ("models", "differences", "late_fusion_limit", "leak_test")
    assert len(found) == sum(len(comparison[table]) for table in tables)
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


def test_names_cannot_break_out_of_an_address():
    row = {"test": "a/b", "view": "all", "label": "abuse", "model": '"><script>', "metric": "recall"}
    assert addresses.of_row("models", row) == "a%2Fb/all/abuse/%22%3E%3Cscript%3E/recall"
