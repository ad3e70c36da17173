"""A corpus from anybody's files: the study's YAML says which column is what; everything not mapped stays unknown.

The Hateful Memes layout is a folder with train.jsonl, dev*.jsonl, test*.jsonl and img/ (Kiela et al. 2020,
arXiv 2005.04790); there `id`, `img` and `text` are mapped by default.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from workbench import fingerprint
from workbench.corpora.files.mapped import stacked, table_of
from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.media import KINDS, contents, files_of
from workbench.corpora.files.source import FileSource
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy

__all__ = ["SourceOptions", "build", "digest", "name"]


def name(options: SourceOptions) -> str:
    """Return what a report calls the corpus."""
    return options.name


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: mapping, labels, and the bytes of files and media, not where they lie."""
    source = FileSource(options, taxonomy, folder)
    columns = stacked(source.parts(), source.options)
    named = (getattr(source.options, kind.column) for kind in KINDS)
    known = [list(contents(files_of(columns[name])).values()) if name else [] for name in named]
    mapping = source.options.model_dump(mode="json", exclude={"path", "paths", *(kind.folder for kind in KINDS)})
    try:
        files = [[split, fingerprint.of_file(path)] for path, split in source.files]
    except OSError as error:
        raise WorkbenchError(
            f"{source.where}: cannot read {error.filename}: {error.strerror}; check the file"
        ) from None
    return fingerprint.of_json({"mapping": mapping, "files": files, "media": known, "taxonomy": taxonomy.fingerprint})


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return the files as one table; pictures and clips stay where they are, by absolute path.

    Raises WorkbenchError for a missing file or column, a label outside the taxonomy, repeated ids, no rows, an unknown
    split value, a cell that is not what its column must hold, and when not one of the pictures, or of the clips, is
    there. A row whose picture is missing stays: it is unread when it is encoded.
    """
    source = FileSource(options, taxonomy, folder)
    return table_of(stacked(source.parts(), source.options), source.options, taxonomy, source.where)
