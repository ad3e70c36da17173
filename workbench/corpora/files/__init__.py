"""A corpus from anybody's files: the study's YAML says which column is what; everything not mapped stays unknown.

The Hateful Memes layout is a folder with train.jsonl, dev*.jsonl, test*.jsonl and img/ (Kiela et al. 2020,
arXiv 2005.04790); there `id`, `img` and `text` are mapped by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from workbench import fingerprint
from workbench.corpora.files.mapped import Part, held, stacked, table_of
from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.media import KINDS, content, files_of
from workbench.corpora.reading import read
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy

__all__ = ["SourceOptions", "build", "digest"]

_STARTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}
_LAYOUT = {"post_id": "id", "image": "img", "text": "text"}


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: mapping, labels, and the bytes of files and media, not where they lie."""
    options, files, columns, *_ = _read(options, taxonomy, folder)
    media = [columns.get(held(kind)) for kind in KINDS]
    known = [[] if cells is None else [content(path) for path in files_of(cells)] for cells in media]
    mapping = options.model_dump(mode="json", exclude={"path", "paths", *(kind.folder for kind in KINDS)})
    digests = [[split, fingerprint.of_file(path)] for path, split in files]
    return fingerprint.of_json({"mapping": mapping, "files": digests, "media": known, "taxonomy": taxonomy.fingerprint})


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return the files as one table; pictures and clips stay where they are, by absolute path.

    Raises WorkbenchError for a missing file or column, a label outside the taxonomy, repeated ids, no rows, an unknown
    split value, a cell that is not what its column must hold, and when not one of the pictures, or of the clips, is
    there. A row whose picture is missing stays: it is unread when it is encoded.
    """
    source = _read(options, taxonomy, folder)
    return table_of(source.columns, source.options, taxonomy, source.where, source.parts)


class _Source(NamedTuple):
    """The mapping, completed, the files, each with the split that its place says, the mapped columns of all, a name."""

    options: SourceOptions
    files: list[tuple[Path, str | None]]
    columns: dict[str, pa.ChunkedArray]
    where: str
    parts: list[Part]


def _read(options: SourceOptions, taxonomy: Taxonomy, folder: Path) -> _Source:
    """Return what the files hold; raise WorkbenchError for a missing file, a wrong label, a mapping without content."""
    where, files, parts = f"corpus {options.name!r}", _files(options, folder), []
    if files[0][0].parent == folder / str(options.path):  # the layout of a folder, which names its own columns
        options = options.model_copy(update={key: getattr(options, key) or own for key, own in _LAYOUT.items()})
    for path, _ in files:
        if not path.is_file():
            hint = "check the path (relative ones start at the repository's root)"
            raise WorkbenchError(f"there is no file {path}; {hint}")
    options.check(taxonomy, where)
    for path, split in files:
        found = read(path, options.columns, options.reading)
        if not found.names:
            raise WorkbenchError(f"{path} is empty; check that it is the right file")
        named = {kind.column: getattr(options, kind.folder) for kind in KINDS}
        folders = {column: (folder / start if start else path.parent,) for column, start in named.items()}
        parts.append(Part(found.table, found.names, found.rows, split, str(path), folders, found.told))
    return _Source(options, files, stacked(parts, options), where, parts)


def _files(options: SourceOptions, folder: Path) -> list[tuple[Path, str | None]]:
    """Return the files, each with the split that its place in `paths` or its name in a folder says, if any."""
    given = {None: options.path} if options.path else options.paths
    lists = {split: (names,) if isinstance(names, str) else names for split, names in given.items()}
    files = [(folder / name, split) for split, names in lists.items() for name in names]
    top = files[0][0]
    if len(files) > 1 or not top.is_dir():
        return files
    inside = sorted(top.glob("*.jsonl"))
    named = [(path, split) for start, split in _STARTS.items() for path in inside if path.name.startswith(start)]
    if not named:
        raise WorkbenchError(f"folder {top} has no train.jsonl, dev*.jsonl or test*.jsonl; name a file in `path`")
    return named
