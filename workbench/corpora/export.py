"""A corpus as files that anyone can read: a JSONL of posts with their pictures beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from workbench import fingerprint
from workbench.preprocessing.image import Format, sniff
from workbench.preprocessing.media import content

_PLAIN = ("post_id", "text", "group", "community", "language", "region", "split", "weight")


def write_jsonl(table: pa.Table, folder: Path) -> Path:
    """Write `posts.jsonl` and `images/` into a folder; return the JSONL's path.

    One line a post: post_id, text, image (a path relative to the folder), group, author (the id), community, language,
    region, created_at, split, weight, labels (null = unknown). A picture that cannot be read stays named, so that it is
    missing to whoever reads the files as well. Raises FileExistsError where the folder has posts already.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    path = folder / "posts.jsonl"
    with open(path, "x", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=1000):  # a slice at a time: all pictures may not fit into memory
            for row in batch.to_pylist():
                file.write(json.dumps(_line(row, folder), ensure_ascii=False) + "\n")
    return path


def _line(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the JSONL says of a post, after writing its picture."""
    line = {name: row[name] for name in _PLAIN}
    line["image"] = _picture(row["post_id"], row["image"], folder)
    line["author"] = (row["author"] or {}).get("id")
    line["created_at"] = row["created_at"].isoformat() if row["created_at"] else None
    line["labels"] = row["labels"]
    return line


def _picture(post_id: str, media: dict[str, Any] | None, folder: Path) -> str | None:
    """Write a post's picture and return its path in the folder, None where there is none."""
    try:
        data = content(media)
    except OSError:
        return f"images/{_file_name(post_id, b'')}"
    if data is None:
        return None
    name = f"images/{_file_name(post_id, data)}"
    (folder / name).write_bytes(data)
    return name


def _file_name(post_id: str, data: bytes) -> str:
    """Return a name that any system takes (ids may hold slashes or differ by case alone), with the picture's format."""
    stem = post_id if re.fullmatch("[a-z0-9][a-z0-9_-]{0,99}", post_id) else fingerprint.of_bytes(post_id.encode())[:32]
    kind = sniff(data)
    return f"{stem}.{kind.lower().replace('jpeg', 'jpg') if kind in get_args(Format) else 'unreadable'}"
