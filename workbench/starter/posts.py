"""The posts of a recipe's sets: read from a folder of data sets, or fetched from where they were published.

Each set becomes one corpus table with the recipe's label. Training and validation are drawn from it so that every set,
and within it both classes, count alike; near-duplicates and pairs never cross.
"""

from __future__ import annotations

import ast
import hashlib
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench import artifacts, corpora
from workbench.corpora.splits import validating
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy, corpus_schema, label_matrix
from workbench.starter.recipe import Origin, PostSet, Recipe

FETCHED = ROOT / "data" / "cache" / "starter"
LEAST = 10  # characters that must be left of a post without its harmful part
PATIENCE = 60  # seconds without an answer

Fetch = Callable[[str], bytes]


class Balanced(NamedTuple):
    """Posts of all sets: balanced ones to train on, and those of validation, whose weights balance them."""

    train: pa.Table
    validation: pa.Table


def fetch(url: str) -> bytes:
    """Return what is at an address; raises OSError where nothing comes."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read()


def located(name: str, origin: Origin | None, get: Fetch = fetch, kept: Path = FETCHED) -> Path:
    """Return where a file is: in this repository's data, in $WORKBENCH_DATA, or else fetched from its origin.

    Raises WorkbenchError where it is nowhere, and for content other than the recipe's.
    """
    folder = os.environ.get("WORKBENCH_DATA")
    if (ROOT / "data" / name).is_file():
        return ROOT / "data" / name
    if folder and (Path(folder) / name).is_file():
        return Path(folder) / name
    if origin is None:
        raise WorkbenchError(f"there is no {name} in $WORKBENCH_DATA ({folder or 'not set'}), and no address to fetch")
    place = kept / origin.sha256[:16] / Path(name).name
    if not place.is_file():
        try:
            data = get(origin.url)
        except OSError as error:
            raise WorkbenchError(
                f"there is no {name} in $WORKBENCH_DATA ({folder or 'not set'}), and {origin.url} does not answer "
                f"({error}); set WORKBENCH_DATA to the folder that holds it, or come back with a network"
            ) from None
        if hashlib.sha256(data).hexdigest() != origin.sha256:
            raise WorkbenchError(f"{origin.url} is not what the recipe names (sha256 differs); nothing was kept")
        place.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_bytes(place, data)
    return place


def read(name: str, posts: PostSet, label: str, taxonomy: Taxonomy) -> pa.Table:
    """Return the posts of a set that say whether they have the label; their ids start with the set's name.

    Raises WorkbenchError for a missing file and for what a corpus of files refuses.
    """
    paths = [str(located(file, origin)) for file, origin in posts.files.items()]
    keep = [column for column in (posts.pair, posts.spans) if column]
    mapping = {**posts.corpus, "keep": [*posts.corpus.get("keep", ()), *keep]}
    table = corpora.load({"source": "files", "path": paths, **mapping}, taxonomy).table
    if posts.splits:
        table = table.filter(pc.is_in(table["split"], pa.array(posts.splits)))
    ids, groups = table["post_id"].to_pylist(), table["group"].to_pylist()
    if posts.pair:
        groups = [
            min(own, str(other)) if other else own for own, other in zip(ids, _meta(table, posts.pair), strict=True)
        ]
    if posts.spans:
        table = _without(table, _meta(table, posts.spans), label, taxonomy)
        ids, groups = table["post_id"].to_pylist(), table["group"].to_pylist()
    table = _with(table, "post_id", [f"{name} {value}" for value in ids])
    table = _with(table, "group", [f"{name} {value}" for value in groups])
    known = label_matrix(table, taxonomy)[1][:, taxonomy.names.index(label)]
    return some(table.filter(pa.array(known)), posts.most)


def some(table: pa.Table, most: int | None) -> pa.Table:
    """Return at most so many rows of a table, by chance, in their order."""
    if most is None or len(table) <= most:
        return table
    return table.take(pa.array(np.sort(np.random.default_rng(0).permutation(len(table))[:most])))


def drawn(tables: dict[str, pa.Table], recipe: Recipe, taxonomy: Taxonomy) -> Balanced:
    """Divide the posts of several sets by group, and draw as many training posts of each set and class."""
    k, train, validation = taxonomy.names.index(recipe.label), [], []
    for name, table in tables.items():
        table = table.select(corpus_schema(taxonomy).names)
        validates = validating(table, taxonomy, recipe.validation, recipe.seed)
        y = label_matrix(table, taxonomy)[0][:, k] > 0.5
        rng = np.random.default_rng([recipe.seed, *name.encode()])
        for side in (True, False):
            rows = np.flatnonzero((y == side) & ~validates)
            held = np.flatnonzero((y == side) & validates)
            if not len(rows) or not len(held):
                raise WorkbenchError(f"set {name!r} has too few posts that are{'' if side else ' not'} {recipe.label}")
            times, rest = divmod(recipe.posts, len(rows))
            taken = np.concatenate([np.tile(rows, times), rng.permutation(rows)[:rest]])
            train.append(table.take(pa.array(taken)))
            validation.append(_with(table.take(pa.array(held)), "weight", [1 / len(held)] * len(held)))
    return Balanced(pa.concat_tables(train), pa.concat_tables(validation))


def _without(table: pa.Table, spans: list[str | None], label: str, taxonomy: Taxonomy) -> pa.Table:
    """Return posts with harmful spans as harmful, and after each the same without them as harmless."""
    rows = []
    for row, cell in zip(table.to_pylist(), spans, strict=True):
        places = set(ast.literal_eval(cell)) if cell else set()
        if not places:
            continue
        rest = " ".join("".join(c for at, c in enumerate(row["text"]) if at not in places).split())
        unknown = dict.fromkeys(taxonomy.names)
        rows.append({**row, "group": row["post_id"], "labels": {**unknown, label: True}})
        if len(rest) >= LEAST:
            harmless = {"post_id": f"{row['post_id']} rest", "text": rest, "labels": {**unknown, label: False}}
            rows.append({**rows[-1], **harmless})
    return pa.Table.from_pylist(rows, schema=table.schema)


def _meta(table: pa.Table, column: str) -> list[str | None]:
    return pc.struct_field(table["meta"], column).to_pylist()


def _with(table: pa.Table, column: str, values: list) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
