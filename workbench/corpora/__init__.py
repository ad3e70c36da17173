"""Where posts come from: one table whatever the source, known by its content and kept as a memory-mapped Arrow file.

A source is a module with `SourceOptions`, `digest(options, taxonomy)` and `build(options, taxonomy, folder)`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import sweep_drafts, trim, writing
from workbench.errors import WorkbenchError, unknown
from workbench.fingerprint import closure
from workbench.schema import ROOT, Options, Taxonomy, corpus_schema

SOURCES = {
    "synthetic": "workbench.corpora.synthetic",
    "synthetic-suite": "workbench.corpora.synthetic_suite",
    "files": "workbench.corpora.files",
    "hub": "workbench.corpora.hub",
    "log": "workbench.corpora.log",
}
KEEP = 50 * 2**30  # bytes of tables in the cache; those that were used longest ago go first


@dataclass(frozen=True, eq=False)
class Corpus:
    """Posts with their labels.

    `table` has the columns of `schema.corpus_schema`, and maybe `meta` and `truth`; `digest` tells everything that the
    table and the media it refers to depend on, by content.
    """

    table: pa.Table
    digest: str


def load(config: dict[str, Any], taxonomy: Taxonomy, *, cache: Path | None = None) -> Corpus:
    """Return the corpus that `{source: NAME, ...options}` describes, built once and then memory-mapped from `cache`.

    Relative paths start at the repository's root. `cache` is a folder (default `data/cache/corpora`); its files are
    named by what is in them, a torn one is made again, and where none can be written the table stays in memory.
    Raises WorkbenchError for an unknown source or option and for what the source cannot read.
    """
    module, options = _parse(config)
    content = module.digest(options, taxonomy)
    # Media stay where they lie, so a table with their paths holds for this place only; the digest holds anywhere.
    # A table is as old as the code that made it, and as the libraries that this uses.
    place = fingerprint.of_json({"config": config, "root": str(ROOT), **closure.of_code(module.build)})
    folder = Path(cache) if cache is not None else ROOT / "data" / "cache" / "corpora"
    path = folder / f"{content}-{place}.arrow"
    table = _mapped(path, taxonomy)
    if table is None:
        table = module.build(options, taxonomy, ROOT)
        _check(table, taxonomy, config["source"])
        table = _mapped(path, taxonomy) if _stored(table, path) else table
    return Corpus(table, content)


def digest(config: dict[str, Any], taxonomy: Taxonomy) -> str:
    """Return the digest that `load` would give, without building the table."""
    module, options = _parse(config)
    return module.digest(options, taxonomy)


def code(config: dict[str, Any]) -> str:
    """Return the digest of the code that builds a corpus: other code may read other posts and labels from the same."""
    return closure.of_code(_parse(config)[0].build)["code"]


def _parse(config: dict[str, Any]) -> tuple[ModuleType, Options]:
    source = config.get("source")
    if source not in SOURCES:
        raise WorkbenchError(unknown("corpus source", source, SOURCES))
    module = import_module(SOURCES[source])
    values = {key: value for key, value in config.items() if key != "source"}
    return module, module.SourceOptions.parse(values, f"corpus source {source!r}")


def _check(table: pa.Table, taxonomy: Taxonomy, source: str) -> None:
    """Hold a source to the columns and types that every corpus has."""
    for field in corpus_schema(taxonomy):
        if field.name not in table.column_names or table.schema.field(field.name).type != field.type:
            raise TypeError(f"source {source!r} built no column {field.name!r} of type {field.type}")


# -------------------------------------------------------------------------------------------------------------- cache


def _mapped(path: Path, taxonomy: Taxonomy) -> pa.Table | None:
    """Return the memory-mapped table of a cache file, or None where there is no whole one."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        _check(table, taxonomy, path.name)
        with suppress(OSError):
            os.utime(path)  # it counts as used now
    except (OSError, pa.ArrowException, TypeError):
        return None
    return table


def _stored(table: pa.Table, path: Path) -> bool:
    """Write a table whole or not at all, and say whether that worked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as draft, pa.ipc.new_file(str(draft), table.schema) as writer:
            writer.write_table(table)
        sweep_drafts(path.parent)
        trim(path.parent.glob("*.arrow"), KEEP, spare=path)
    except OSError:  # a full or read-only disk costs the cache, not the study
        return False
    return True
