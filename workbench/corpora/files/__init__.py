"""A corpus from anybody's files: the study's YAML says which column is what; everything not mapped stays unknown.

The Hateful Memes layout is a folder with train.jsonl, dev*.jsonl, test*.jsonl and img/ (Kiela et al. 2020,
arXiv 2005.04790); there `id`, `img` and `text` are mapped by default.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from workbench import fingerprint
from workbench.corpora.files import cells
from workbench.corpora.files.labels import plain_text, read_label
from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.pictures import MEDIA, contents, files_of, identities
from workbench.corpora.files.source import SPLIT, Source
from workbench.schema import ROOT, Taxonomy, WorkbenchError, corpus_schema

__all__ = ["SourceOptions", "build", "digest", "name"]


def name(options: SourceOptions) -> str:
    """Return what a report calls the corpus."""
    return options.name


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: mapping, labels, and the bytes of files and pictures, not where they lie."""
    source = Source(options, taxonomy, folder)
    image = source.options.image
    known = contents(files_of(source.columns()[image])) if image else {}
    mapping = source.options.model_dump(mode="json", exclude={"path", "paths", "images"})
    try:
        files = [[split, fingerprint.of_file(path)] for path, split in source.files]
    except OSError as error:
        raise WorkbenchError(
            f"{source.where}: cannot read {error.filename}: {error.strerror}; check the file"
        ) from None
    parts = {"mapping": mapping, "files": files, "pictures": list(known.values()), "taxonomy": taxonomy.fingerprint}
    return fingerprint.of_json(parts)


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return the files as one table; pictures stay where they are, by absolute path.

    Raises WorkbenchError for a missing file or column, a label outside the taxonomy, repeated ids, no rows, an unknown
    split value, a cell that is not what its column must hold, and when not one of the pictures is there. A row whose
    picture is missing stays: it is unread when it is encoded.
    """
    source = Source(options, taxonomy, folder)
    options, where = source.options, source.where
    given = source.columns()
    rows = len(given[SPLIT])
    if not rows:
        raise WorkbenchError(f"{where} has no rows; check that it is the right file")
    text = cells.words(given[options.text], where) if options.text else _nulls(rows, pa.string())
    media = given[options.image] if options.image else _nulls(rows, MEDIA)
    keys = cells.content_keys(text, identities(media, where))
    ids = cells.ids(given.get(options.post_id), keys, where)
    own = [key or f"post {one}" for key, one in zip(keys, ids.to_pylist(), strict=True)]
    found = {
        "post_id": ids,
        "text": text,
        "image": media,
        "author": cells.author(given.get(options.author)),
        "created_at": cells.times(given.get(options.created_at), where),
        "group": cells.filled(given.get(options.group), own),
        "split": _split(given, options, where),
        "weight": cells.weights(given.get(options.weight), rows, where),
        "labels": _labels(given, options, taxonomy, where),
    }
    for field in ("community", "language", "region"):
        found[field] = plain_text(given[getattr(options, field)]) if getattr(options, field) else None
    schema = corpus_schema(taxonomy)
    columns = [found.get(field.name) for field in schema]
    filled = [_nulls(rows, field.type) if one is None else one for one, field in zip(columns, schema, strict=True)]
    table = pa.table(filled, schema=schema)
    return (
        table.append_column("meta", cells.struct({one: given[one] for one in options.keep})) if options.keep else table
    )


def _nulls(rows: int, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column of unknowns."""
    return pa.chunked_array([pa.nulls(rows, kind)])


def _split(given: dict[str, pa.ChunkedArray], options: SourceOptions, where: str) -> pa.ChunkedArray:
    """Return the corpus's own split, null where it has none."""
    rule = options.split_column
    return cells.splits(given[rule.column], rule, where) if rule else given[SPLIT]


def _labels(
    given: dict[str, pa.ChunkedArray], options: SourceOptions, taxonomy: Taxonomy, where: str
) -> pa.ChunkedArray:
    """Return the struct of all labels; one that is not mapped is unknown in every row."""
    found = {one: pa.nulls(len(given[SPLIT]), pa.bool_()) for one in taxonomy.names}
    for label in options.labels:
        rule = options.rule(label)
        found[label] = read_label(given[rule.column], rule, f"{where}, labels.{label}")
    return cells.struct({one: pa.chunked_array([array]) for one, array in found.items()})
