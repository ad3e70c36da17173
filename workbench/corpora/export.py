"""A corpus as files that anyone can read: a JSONL of posts with their pictures beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa


def write_jsonl(table: pa.Table, folder: Path) -> Path:
    """Write `posts.jsonl` and `images/` into a folder; return the JSONL's path.

    One line a post: post_id, text, image (a path relative to the folder), group, author (the id), community, language,
    region, created_at, labels (null = unknown). Raises FileExistsError where the folder has posts already.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    path = folder / "posts.jsonl"
    with open(path, "x", encoding="utf-8") as file:
        for row in table.to_pylist():
            line = {name: row[name] for name in ("post_id", "text", "group", "community", "language", "region")}
            media = row["image"] or {}
            if media.get("bytes") is not None:
                line["image"] = f"images/{row['post_id']}.jpg"
                (folder / line["image"]).write_bytes(media["bytes"])
            line["author"] = (row["author"] or {}).get("id")
            line["created_at"] = row["created_at"].isoformat()
            line["labels"] = row["labels"]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return path
