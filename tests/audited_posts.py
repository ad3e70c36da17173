"""Posts for tests of what the audit looks for: rows of a corpus, divided corpora, pictures."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from workbench import corpora
from workbench.corpora import splits
from workbench.schema import Taxonomy, corpus_schema

TAXONOMY = Taxonomy.load()
SCHEMA = corpus_schema(TAXONOMY)
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen"


def posts(*rows: dict) -> pa.Table:
    filled = [{"post_id": f"p{k}", "group": f"g{k}", **row} for k, row in enumerate(rows)]
    return pa.Table.from_pylist([{**dict.fromkeys(SCHEMA.names), **row} for row in filled], schema=SCHEMA)


def divided(config: dict, **split) -> dict[str, pa.Table]:
    table = corpora.load(config, TAXONOMY).table
    part = splits.assign(table, TAXONOMY, splits.SplitOptions(**split))
    return {name: table.filter(pa.array(part == name)) for name in splits.SPLITS}


def drawing(seed: int) -> Image.Image:
    """Return blobs of many sizes; without any detail a hash would be made of rounding."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((64, 64), 3) for n in (3, 6, 12, 24)]
    return Image.fromarray(np.mean([np.asarray(one, float) for one in layers], axis=0).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> dict:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return {"bytes": data.getvalue(), "path": None}
