"""The walks of CONTRIBUTING.md, done as they are written, on a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from workbench.schema import ROOT

LEFT_OUT = (".venv", ".git", "cache", "__pycache__", "artifacts", "out", "build", "*.egg-info")
HANDED_DOWN = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")


class Step(NamedTuple):
    """A block of the walk: its language, its lines, and the words right before it."""

    language: str
    code: str
    before: str


def steps(title: str) -> list[Step]:
    """Return the fenced blocks of a section of CONTRIBUTING.md, in order."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
        blocks.append(Step(match[1], match[2], section[: match.start()].strip().splitlines()[-1]))
    assert len(blocks) == section.count("```") / 2
    return blocks


def copied(place: Path) -> Path:
    """Copy the repository to `place`, with an environment that has everything and runs the copy's code; return it."""
    results = [path.name for path in (ROOT / "experiments").iterdir() if path.is_dir()]
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*LEFT_OUT, *results), symlinks=True)
    commands = place / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, start in {"python": "", "workbench": ' -c "from workbench.cli import app; app()"'}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{start} "$@"\n')
        (commands / name).chmod(0o755)
    (place / ".venv" / ".installed").touch()  # nothing to install: `make` goes straight to work
    return place


def walked(house: Path, title: str) -> list[str]:
    """Do every step of a section in a copy of the repository; return what the commands printed."""
    said = []
    for step in steps(title):
        named = re.findall(r"`([^`\s]+\.(?:py|yaml))`", step.before)
        path = house / named[-1] if named else None
        if step.language == "sh":
            # without what a `make test ARGS=...` hands down to every make below it
            outside = {name: value for name, value in os.environ.items() if name not in (*HANDED_DOWN, "ARGS")}
            environment = {**outside, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                ["sh", "-e", "-c", step.code], cwd=house, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{step.code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            said.append(done.stdout)
        elif table := re.search(r"in `([A-Z]+)` of", step.before):
            head = re.compile(rf"^{table[1]}(: [^=]+)? = {{\n", re.MULTILINE)
            source = path.read_text(encoding="utf-8")
            (found,) = head.finditer(source)
            path.write_text(source[: found.end()] + step.code + source[found.end() :], encoding="utf-8")
        else:
            assert path is not None, f"no file is named before:\n{step.code}"
            assert not path.exists(), f"{path.name} is there already"
            path.write_text(step.code, encoding="utf-8")
    return said


def comparison(house: Path, study: str) -> dict[str, dict]:
    """Return the rows of a study's comparison for average precision over all posts, by model."""
    found = json.loads((house / "experiments" / study / "comparison.json").read_text(encoding="utf-8"))
    rows = (row for row in found["models"] if row["metric"] == "average_precision" and row["view"] == "all")
    return {row["model"]: row for row in rows if row["label"] == "macro"}


def in_order(step: Step, folder: Path) -> None:
    """Hold a module of a walk to the house's style."""
    (folder / "module.py").write_text(step.code, encoding="utf-8")
    for command in (["check"], ["format", "--check"]):
        given = [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), str(folder)]
        done = subprocess.run(given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert len(step.code.splitlines()) <= 50
