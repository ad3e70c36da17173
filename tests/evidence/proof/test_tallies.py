"""Counts are kept in a file and found again."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from workbench.errors import WorkbenchError
from workbench.evidence.proof.tallies import Key, Tallies

ONE, OTHER = Key("a", "options", "code"), Key("b", "options", "code")
COUNTS = Counter({("kind", "what", "method"): 3, ("size", "what", "method"): 0.1 + 0.2, "positives": 70, "whole": 2.0})


def test_chunks_are_found_again_as_they_were(tmp_path):
    path = tmp_path / "some" / "folder" / "kept.jsonl"
    kept = Tallies(path, [ONE, OTHER])
    assert kept.known(ONE) == {}
    kept.add(ONE, range(10), COUNTS)
    kept.add(ONE, range(10, 13), Counter())
    kept.add(OTHER, range(10), Counter(positives=1))
    again = Tallies(path, [ONE, OTHER])
    assert again.known(ONE) == kept.known(ONE) == {(0, 10): COUNTS, (10, 13): Counter()}
    assert again.known(OTHER) == {(0, 10): Counter(positives=1)}


def test_a_line_says_what_it_holds(tmp_path):
    path = tmp_path / "kept.jsonl"
    Tallies(path, [ONE]).add(ONE, range(4, 6), COUNTS)
    line = json.loads(path.read_text())
    assert line == {
        "setting": "a",
        "options": "options",
        "code": "code",
        "worlds": [4, 6],
        "counts": [
            [["kind", "what", "method"], 3],
            [["size", "what", "method"], 0.1 + 0.2],
            ["positives", 70],
            ["whole", 2],
        ],
    }
    assert [type(n) for _, n in line["counts"]] == [int, float, int, int]


def test_without_a_file_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = Tallies(None, [ONE])
    kept.add(ONE, range(2), COUNTS)
    assert kept.known(ONE) == {(0, 2): COUNTS}
    assert list(tmp_path.iterdir()) == []


def test_lines_of_earlier_code_and_torn_ones_go_and_all_others_stay(tmp_path):
    path = tmp_path / "kept.jsonl"
    now, other = [json.dumps({**key._asdict(), "worlds": [0, 2], "counts": [["positives", 5]]}) for key in (ONE, OTHER)]
    options = json.dumps({**ONE._asdict(), "options": "others", "worlds": [0, 2], "counts": []})
    earlier = json.dumps({**ONE._asdict(), "code": "earlier", "worlds": [2, 4], "counts": []})
    path.write_text("\n".join((now, earlier, "{torn", options, other, now)))  # the last has no end
    assert Tallies(path, [ONE]).known(ONE) == {(0, 2): Counter(positives=5)}
    assert path.read_text() == "".join(f"{line}\n" for line in (now, options, other))


def test_a_file_without_fault_is_not_written_again(tmp_path):
    path = tmp_path / "kept.jsonl"
    Tallies(path, [ONE]).add(ONE, range(2), COUNTS)
    before = path.stat().st_ino, path.stat().st_mtime_ns
    Tallies(path, [ONE])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    path = tmp_path / "kept.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WorkbenchError, match=r"cannot read the counts in .*; delete it to start anew"):
        Tallies(path, [ONE])
