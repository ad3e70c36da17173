"""What tests hold the workbench against: exact intervals, whole corpora as files, and everything that records hold."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from scipy import stats
from sqlalchemy import text

from workbench.corpora.export import write_media
from workbench.records import KINDS, Records


def clopper_pearson(successes: int, trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return the exact interval of a share of independent trials (Clopper and Pearson 1934)."""
    return tuple(stats.binomtest(int(successes), trials).proportion_ci(1 - alpha, method="exact"))


def write_jsonl(table: pa.Table, folder: Path) -> Path:
    """Write `posts.jsonl` with its pictures and clips beside it, as the `files` source reads it; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "posts.jsonl"
    plain = ("post_id", "text", "group", "community", "language", "region", "split", "weight", "labels")
    with open(path, "x", encoding="utf-8") as file:
        for row in table.to_pylist():
            line = {name: row[name] for name in plain}
            line |= {kind: write_media(row, kind, folder) for kind in ("image", "video")}
            line["author"] = (row["author"] or {}).get("id")
            line["created_at"] = row["created_at"].isoformat() if row["created_at"] else None
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return path


def counts(records: Records) -> dict[str, int]:
    """Return how many entries there are, how many of them deleted, decisions, and events of each kind."""
    read = lambda query: records._database.read(text(query))  # noqa: E731
    ((entries, deleted),) = read("SELECT count(*), count(deleted_at) FROM entries")
    ((decisions,),) = read("SELECT count(*) FROM decisions")
    kinds = dict(map(tuple, read("SELECT kind, count(*) FROM events GROUP BY kind")))
    return {"entries": entries, "deleted": deleted, "decisions": decisions} | {k: kinds.get(k, 0) for k in KINDS}


def history(records: Records, service: str, post_id: str) -> list[dict[str, Any]]:
    """Return every decision on a post, oldest first: {at, model_id, policy_id, decision}."""
    rows = records._database.read(
        text(
            "SELECT decisions.at, model_id, policy_id, decision FROM entries JOIN decisions ON entry = entries.seq"
            " WHERE service = :service AND post_id = :post_id ORDER BY decisions.seq"
        ),
        {"service": service, "post_id": post_id},
    )
    names = ("at", "model_id", "policy_id", "decision")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [row | {"at": datetime.fromisoformat(row["at"]), "decision": json.loads(row["decision"])} for row in found]
