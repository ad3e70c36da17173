"""What `workbench init --yes` writes about a file, and what the corpus of that study then says, for its tests."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.compute as pc
from typer.testing import CliRunner

from workbench import cli, corpora
from workbench.schema import Taxonomy, read_yaml

WORDS = "river lamp garden window paper cloud train bread music stone winter market chair letter bridge coffee"
WORDS = WORDS.split()
N = 60


def texts(count: int = N) -> list[str]:
    """Different posts of a few words."""
    return [" ".join(WORDS[(n * step + n // 7) % len(WORDS)] for step in (1, 3, 5, 7)) + f" {n}" for n in range(count)]


HARMFUL = [n % 3 == 0 for n in range(N)]
AS_WRITTEN = (sum(HARMFUL), N - sum(HARMFUL), 0)  # yes, no, unknown


def init(path: Path, *more: str) -> tuple[dict, str]:
    """Return the study that `init --yes` writes for a file, and what it said."""
    out = (path if path.is_dir() else path.parent) / "study.yaml"
    done = CliRunner().invoke(cli.app, ["init", str(path), "-o", str(out), "--yes", *more])
    assert done.exit_code == 0, done.output
    return read_yaml(out), done.output


def taxonomy_of(study: dict) -> Taxonomy:
    if "taxonomy" not in study:
        return Taxonomy.load()
    labels = [{"name": name, "title": name, "definition": ""} for name in study["taxonomy"]]
    return Taxonomy.parse({"labels": labels}, "the test's labels")


def table(study: dict):
    return corpora.load(study["corpus"], taxonomy_of(study)).table


def told(study: dict) -> dict[str, tuple[int, int, int]]:
    """Return yes, no and unknown posts of each label that the study tells."""
    posts, out = table(study), {}
    for label in taxonomy_of(study).names:
        says = pc.struct_field(posts["labels"], label)
        if says.null_count < len(says):
            yes = pc.sum(says).as_py()
            out[label] = (yes, len(says) - says.null_count - yes, says.null_count)
    return out


def delimited(rows: list[dict], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def lines(path: Path, rows: list[dict]) -> Path:
    """Write rows as lines of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
