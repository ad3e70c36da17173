"""The table of what must work names what is there: every part, commands that exist, and tests that can be run."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from workbench.cli import app
from workbench.schema import ROOT

FILE = ROOT / "docs" / "mission.md"
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in FILE.read_text().splitlines() if line[:3] == "| M"]


def test_every_part_stands_there_once_in_order():
    assert [row[0] for row in ROWS] == [f"M{number}" for number in range(1, 38)]
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_what_is_there(row):
    _, what, state, command, shown = row
    assert what
    assert re.match(r"works|in part: .|not yet", state), "a part works, works in part, which is said, or not yet"
    tests = re.findall(r"`(tests/[^`]+)`", shown)
    assert tests or state == "not yet"
    for path in tests:
        assert re.search(r"^(async )?def test_", (ROOT / path).read_text(), re.MULTILINE), f"{path} tests nothing"
    for name in re.findall(r"notebook (\d\d)", command):
        assert list((ROOT / "notebooks").glob(f"{name}-*.ipynb"))
    for target in re.findall(r"`make ([a-z-]+)", command):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for study in re.findall(r"experiments/[a-z0-9-]+\.yaml", command):
        assert (ROOT / study).is_file()
    for name in re.findall(r"`workbench ([a-z-]+)", command):
        assert name in get_command(app).commands
