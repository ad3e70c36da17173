"""Posts of given groups, labels, authors and pictures, to divide them."""

from __future__ import annotations

import pyarrow as pa

from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()


def posts(groups: list, *, abuse=None, authors=None, own=None, pictures=None) -> pa.Table:
    """Return a corpus of posts with a text each; what is not given is unknown."""
    n = len(groups)
    columns = {field.name: pa.nulls(n, field.type) for field in corpus_schema(TAXONOMY)}
    columns["post_id"] = pa.array([f"p{row}" for row in range(n)])
    columns["text"] = pa.array(["words"] * n)
    columns["group"] = pa.array([None if one is None else str(one) for one in groups], pa.string())
    columns["labels"] = pa.array(
        [{"abuse": one} for one in (abuse if abuse is not None else [None] * n)], columns["labels"].type
    )
    if authors:
        columns["author"] = pa.array([{"id": one} if one else None for one in authors], columns["author"].type)
    if own:
        columns["split"] = pa.array(own, pa.string())
    if pictures:
        columns["image"] = pa.array([{"path": "x.png"} if one else None for one in pictures], columns["image"].type)
    return pa.table(columns, schema=corpus_schema(TAXONOMY))
