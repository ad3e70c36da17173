"""Lines that are rows each: Arrow's cells are those that Python's reader has, and what is odd is told as ever."""

from __future__ import annotations

import csv
import random
from importlib import import_module

import pytest

from workbench.corpora.reading import Reading, opened

NAMES = ["id", "text", "y"]
TEXTS = ["plain", "", " ", 'he said "no"', "a,b", '"', "é😀", "\ufeff", "\x85", "\u2028", "a\tb", "nan", "NULL", "\x0b"]


@pytest.fixture
def asked_of_arrow(monkeypatch):
    """How many rows of each batch Arrow has parsed, None where it left them to Python."""
    module = import_module("workbench.corpora.reading.delimited")  # whose name its function has too
    rows, whole = [], module.cells_of_lines

    def counted(*given):
        columns = whole(*given)
        rows.append(None if columns is None else len(columns["id"]))
        return columns

    monkeypatch.setattr(module, "cells_of_lines", counted)
    return rows


def batches(path, wanted=NAMES, how=None, rows=4):
    source = opened(path, wanted, how, rows)
    return list(source.batches), source.told


@pytest.mark.parametrize("seed", range(30))
def test_the_cells_are_those_that_pythons_reader_has(tmp_path, seed, asked_of_arrow):
    rng = random.Random(seed)
    listed = [[f"{n:03}", rng.choice(TEXTS), rng.choice(["1", "0", ""])] for n in range(rng.randrange(9, 40))]
    path = tmp_path / "posts.csv"
    with open(path, "w", encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="") as file:
        quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        writer = csv.writer(file, quoting=quoting, lineterminator=rng.choice(["\n", "\r\n"]))
        writer.writerows([NAMES, *listed])
    found, told = batches(path)
    rows = [row for batch in found for row in zip(*(batch.columns[name].to_pylist() for name in NAMES), strict=True)]
    assert rows == [tuple(cell or None for cell in row) for row in listed]
    assert told.rows == len(listed)
    assert sum(asked_of_arrow) == len(listed) - 3  # the header's batch is Python's


def test_odd_rows_keep_place_line_and_reason(tmp_path, asked_of_arrow):
    lines = [b"id,text,y", *(b"%d,hi,1" % n for n in range(20))]
    lines[7], lines[11], lines[15] = b"6,hi", b"10,\xff,0", b"id,text,y"
    lines.insert(13, b"")
    (tmp_path / "posts.csv").write_bytes(b"\n".join(lines))
    found, told = batches(tmp_path / "posts.csv", how=Reading(encoding="utf-8"))
    faults = {fault.line: fault.why for batch in found for fault in batch.faults.values()}
    assert list(faults) == [8, 12]
    assert faults[8] == "it has 2 cells, but the header names 3 columns"
    assert told.left_out == {"the header once more": 1}
    ids = [post_id for batch in found for post_id in batch.columns["id"].to_pylist()]
    assert ids == [str(n) for n in range(20) if n != 14]
    assert asked_of_arrow.count(None) == 3


@pytest.mark.parametrize(
    "text",
    [
        'id,text\n1,"two\nlines"\n2,b\n',
        'id,text\n1,say "hi, all"\n2,b\n',
        'id,text\n1,"a" b\n2,b\n',
        "id,text\r1,a\r2,b\r",
    ],
)
def test_lines_that_are_no_rows_are_left_to_python(tmp_path, text, asked_of_arrow):
    (tmp_path / "posts.csv").write_text(text, newline="")
    with_quotes = Reading(quotes=True)
    batches(tmp_path / "posts.csv", ["id", "text"], with_quotes, rows=1)
    assert asked_of_arrow == []
