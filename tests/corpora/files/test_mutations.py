"""Small files, spoilt at random: labels as pandas reads them or one sentence; no traceback, no lost row."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pandas as pd
import pytest

from workbench.corpora.files import SourceOptions, build
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

TAXONOMY = Taxonomy.load()
WORDS = ["you are great", "go away, all", "so nice; really", "café au lait", 'he said "no"', "a\tb", "1,5 metres", "ok"]
YES, NO = {"1", "1.0", "true", "yes", "y", "t"}, {"0", "0.0", "false", "no", "n", "f"}
MISSING = {"nan", "na", "n/a", "#n/a", "<na>", "nat", "none", "null", "-", ""}
CELLS = ["", "nan", "NA", "None", "null", "1", "0", "1.0", "0.0", "true", "False", "yes", "-1", "0.5", "maybe", "hate"]
CELLS += ["Hate", "HATE", "ok", "Ok", "1e308", "2", " 1 ", "insult;threat", "[]", "2021", '"', 'x"', '"x', "a\nb", "é"]


def rows(rng: random.Random) -> list[dict[str, str]]:
    return [
        {"id": f"p{n}", "text": f"{rng.choice(WORDS)} {n}", "y": str(n % 2), "z": ("hate", "ok")[n % 3 == 0]}
        for n in range(12)
    ]


def spoilt(listed: list[dict[str, str]], rng: random.Random) -> list[dict[str, str]]:
    """Blank, swap or replace cells, drop a column or a row, repeat a row."""
    for _ in range(rng.randrange(4)):
        row, column = rng.choice(listed), rng.choice(list(listed[0]))
        match rng.randrange(7):
            case 0:
                row[column] = ""
            case 1 | 2:
                row[rng.choice(["y", "z"]) if "z" in row and "y" in row else column] = rng.choice(CELLS)
            case 3:
                other = rng.choice(list(row))
                row[column], row[other] = row[other], row[column]
            case 4 if len(listed[0]) > 2:
                listed = [{name: cell for name, cell in row.items() if name != column} for row in listed]
            case 5:
                listed.insert(rng.randrange(len(listed)), dict(rng.choice(listed)))
            case 6:
                listed = [{**row, column: row[column].replace("1", "1.0").replace("0", "0.0")} for row in listed]
    return listed


def written(listed: list[dict[str, str]], kind: str, delimiter: str, quoting: int) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in listed).encode()
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(listed[0]), delimiter=delimiter, quoting=quoting, escapechar=None, quotechar='"')
    if quoting == csv.QUOTE_NONE:
        clean = str.maketrans({delimiter: " ", "\n": " ", "\r": " "})
        lines = [list(listed[0]), *([cell.translate(clean) for cell in row.values()] for row in listed)]
        return "".join(delimiter.join(line) + "\n" for line in lines).encode()
    writer.writeheader()
    writer.writerows(listed)
    return file.getvalue().encode()


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Flip a bit, cut the end, take out a byte or put in a quotation mark."""
    at = rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at]
        case 2:
            return data[:at] + data[at + 1 :]
        case 3:
            return data[:at] + b'"' + data[at:]
        case 4:
            return data.replace(b"\n", b"\r\n")
    return data


def readings(data: bytes, kind: str, delimiter: str) -> list[pd.DataFrame]:
    """Return the ways in which pandas can read a file without losing a line."""
    text = data.decode("utf-8", errors="replace")
    if kind == "jsonl":
        try:
            return [pd.DataFrame([json.loads(line) for line in text.splitlines() if line.strip()], dtype=object)]
        except (ValueError, TypeError, AttributeError):
            return []
    lines = sum(bool(line.strip("\r")) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    found = []
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        try:
            frame = pd.read_csv(
                io.StringIO(text, newline=""),
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                quoting=quoting,
                index_col=False,
            )
        except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning):
            continue
        breaks = sum(
            cell.replace("\r\n", "\n").replace("\r", "\n").count("\n")
            for cell in frame.to_numpy().ravel()
            if isinstance(cell, str)
        )
        if len(frame) + 1 + breaks == lines or quoting == csv.QUOTE_NONE:
            found.append(frame.rename(columns=str.strip))
    return found


def meant(cell: object, column: str) -> bool | None:
    text = "" if cell is None or cell != cell else str(cell).strip()
    if column == "z":
        return {"hate": True, "ok": False}.get(text)
    low = text.lower()
    assert low in YES | NO | MISSING | {"-1"}, f"{text!r} was read as a label"
    return True if low in YES else False if low in NO else None


def agrees(frame: pd.DataFrame, found: list[dict], mapped: dict[str, str], merged: int) -> bool:
    columns = [name for name in ("id", "text", *mapped.values()) if name in frame.columns]
    kept = frame.drop_duplicates(columns) if merged else frame
    if len(kept) != len(found) or "id" not in frame.columns:
        return False
    for row, (_, told) in zip(found, kept.iterrows(), strict=True):
        name = str(told["id"]).strip() if isinstance(told["id"], str) else ""
        if name and row["post_id"] != name:
            return False
        for label, column in mapped.items():
            if row["labels"][label] is not (meant(told[column], column) if column in frame.columns else None):
                return False
    return True


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.campaign)])
def test_a_spoilt_file_has_the_labels_that_pandas_reads_or_a_sentence(tmp_path, count):
    read, said = 0, []
    for seed in range(count):
        rng = random.Random(seed)
        kind, delimiter = rng.choice([("csv", ","), ("csv", ";"), ("tsv", "\t"), ("jsonl", "")])
        quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE])
        data = written(spoilt(rows(rng), rng), kind, delimiter, quoting)
        data = flipped(data, rng) if rng.random() < 0.6 else data
        path = Path(tmp_path / f"{seed}.{kind}")
        path.write_bytes(data)
        labels = {"abuse": "y", "violence": {"column": "z", "positive": ["hate"], "negative": ["ok"]}}
        try:
            options = SourceOptions.parse({"path": str(path), "post_id": "id", "text": "text", "labels": labels}, "it")
            table = build(options, TAXONOMY, Path("/"))
        except WorkbenchError as error:
            said.append(str(error))
            continue
        found = [
            {"post_id": row["post_id"], "labels": row["labels"]}
            for row in table.select(["post_id", "labels"]).to_pylist()
        ]
        told = json.loads(table.schema.metadata[b"told"])
        assert len(found) + told["merged"] == sum(file["rows"] for file in told["files"]), seed
        mapped = {"abuse": "y", "violence": "z"}
        assert any(agrees(frame, found, mapped, told["merged"]) for frame in readings(data, kind, delimiter)), (
            seed,
            data,
        )
        read += 1
    assert not [sentence for sentence in said if "\n" in sentence]
    assert read > count / 3  # most of what is spoilt is still a file
