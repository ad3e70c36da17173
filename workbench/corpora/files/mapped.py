"""From the named Arrow columns of any table to the columns of a corpus, by a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workbench.corpora.files import cells
from workbench.corpora.files.labels import plain_text, read_label
from workbench.corpora.files.mapping import Mapping
from workbench.corpora.files.media import KINDS, MEDIA, as_media, identities
from workbench.corpora.files.reading import column, stack
from workbench.corpora.files.votes import majority, read_votes
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, corpus_schema

SPLIT = "the split that a part's place says"


class Part(NamedTuple):
    """One file, or one split, of a corpus."""

    table: pa.Table  # at least the mapped columns that it has
    names: list[str]  # all its columns
    split: str | None  # what its place says
    where: str  # for messages
    folders: dict[str, tuple[Path, ...]]  # for `image` and `video`: where paths start, and what else they may lead into


def stacked(parts: list[Part], mapping: Mapping) -> dict[str, pa.ChunkedArray]:
    """Return every mapped column over all parts, those of media as {bytes, path}; under SPLIT, what the place says.

    A column that only some of the parts have is empty in the others. Raises WorkbenchError for a column that none has,
    and for content that one of them lacks.
    """
    splits = [pa.array([part.split] * part.table.num_rows, pa.string()) for part in parts]
    content = (mapping.text, mapping.image, mapping.video)
    columns = {}
    for name in mapping.columns:
        pieces = [_piece(name, part, mapping) for part in parts]
        missing = [piece for piece in pieces if isinstance(piece, WorkbenchError)]
        if len(missing) == len(pieces) or (missing and name in content):
            raise missing[0]
        columns[name] = stack(
            [
                pa.nulls(len(split)) if isinstance(piece, WorkbenchError) else piece
                for piece, split in zip(pieces, splits, strict=True)
            ]
        )
    return columns | {SPLIT: pa.chunked_array(splits)}


def _piece(name: str, part: Part, mapping: Mapping) -> pa.ChunkedArray | WorkbenchError:
    """Return one part's piece of a column, or the error that says that it has none."""
    try:
        values = column(part.table, name, part.names, part.where)
    except WorkbenchError as error:
        return error
    kind = next((kind for kind in KINDS if getattr(mapping, kind.column) == name), None)
    return values if kind is None else as_media(values, kind, part.folders[kind.column], part.where)


def table_of(given: dict[str, pa.ChunkedArray], mapping: Mapping, taxonomy: Taxonomy, where: str) -> pa.Table:
    """Return the corpus's table from the columns that `stacked` gives; media stay where they are, by absolute path.

    Raises WorkbenchError for repeated ids, no rows, an unknown split value, a cell that is not what its column must
    hold, and when not one of the pictures, or of the clips, is there.
    """
    rows, own_split = len(given[SPLIT]), mapping.split_column
    if not rows:
        raise WorkbenchError(f"{where} has no rows; check that it is the right one")
    text = cells.words(given[mapping.text], where) if mapping.text else _nulls(rows, pa.string())
    media = {kind: given[name] if (name := getattr(mapping, kind.column)) else _nulls(rows, MEDIA) for kind in KINDS}
    keys = cells.content_keys(text, *(identities(column, kind, where) for kind, column in media.items()))
    ids = cells.ids(given.get(mapping.post_id), keys, where)
    own = [key or f"post {item}" for key, item in zip(keys, ids.to_pylist(), strict=True)]
    votes = {label: read_votes(given, rule, f"{where}, votes.{label}") for label, rule in mapping.votes.items()}
    given_columns = {
        "post_id": ids,
        "text": text,
        **{kind.column: column for kind, column in media.items()},
        "author": cells.author(given.get(mapping.author)),
        "created_at": cells.times(given.get(mapping.created_at), where, mapping.time_format),
        "group": cells.filled(given.get(mapping.group), own),
        "split": cells.splits(given[own_split.column], own_split, where) if own_split else given[SPLIT],
        "weight": cells.weights(given.get(mapping.weight), rows, where),
        "labels": _labels(given, mapping, votes, taxonomy, where),
    }
    for field in ("community", "language", "region"):
        given_columns[field] = plain_text(given[getattr(mapping, field)]) if getattr(mapping, field) else None
    schema = corpus_schema(taxonomy)
    columns = [given_columns.get(field.name) for field in schema]
    filled = [_nulls(rows, field.type) if item is None else item for item, field in zip(columns, schema, strict=True)]
    table = pa.table(filled, schema=schema)
    meta = {item: given[item] for item in mapping.keep}
    for label, counts in votes.items():
        meta |= {f"votes_{label}_{side}": pa.chunked_array([counts[:, i]]) for i, side in enumerate(("yes", "no"))}
    return table.append_column("meta", cells.struct(meta)) if meta else table


def _nulls(rows: int, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows, kind)])


def _labels(
    given: dict[str, pa.ChunkedArray],
    mapping: Mapping,
    votes: dict[str, np.ndarray],
    taxonomy: Taxonomy,
    where: str,
) -> pa.ChunkedArray:
    """Return the struct of all labels; one that is not mapped is unknown in every row."""
    columns = {name: pa.nulls(len(given[SPLIT]), pa.bool_()) for name in taxonomy.names}
    for label in mapping.labels:
        rule = mapping.rule(label)
        columns[label] = read_label(given[rule.column], rule, f"{where}, labels.{label}")
    columns |= {label: majority(counts) for label, counts in votes.items()}
    return cells.struct({name: pa.chunked_array([array]) for name, array in columns.items()})
