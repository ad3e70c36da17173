"""A corpus from anybody's files: the study's YAML says which column is what; everything not mapped stays unknown.

The Hateful Memes layout is a folder with train.jsonl, dev*.jsonl, test*.jsonl and img/ (Kiela et al. 2020,
arXiv 2005.04790); there `id`, `img` and `text` are mapped by default.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from workbench import fingerprint
from workbench.corpora.files.mapped import Part, held, stacked, table_of
from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.media import KINDS, content, files_of
from workbench.corpora.reading import column, header, read
from workbench.corpora.reading.columns import read_for
from workbench.corpora.reading.text import readable
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy

__all__ = ["SourceOptions", "build", "digest"]

Files = list[tuple[Path, str | None]]  # each with the split that its place says
_STARTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}
_LAYOUT = {"post_id": "id", "image": "img", "text": "text"}


def digest(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> str:
    """Return what the corpus depends on: mapping, labels, and the bytes of files and media, not where they lie.

    Files are parsed only for the media that they name, else their headers are; what else is wrong in them is told when
    they are built.
    """
    options, files = _there(options, taxonomy, folder)
    if options.image or options.video:
        columns = stacked(_parts(options, files, folder), options)
    else:
        columns = {}
        _has_columns(options, files)
    media = [columns.get(held(kind)) for kind in KINDS]
    known = [[] if cells is None else [content(path) for path in files_of(cells)] for cells in media]
    mapping = options.model_dump(mode="json", exclude={"path", "paths", *(kind.folder for kind in KINDS)})
    digests = []
    for path, split in files:
        with readable(path):
            digests.append([split, fingerprint.of_file(path)])
    return fingerprint.of_json({"mapping": mapping, "files": digests, "media": known, "taxonomy": taxonomy.fingerprint})


def build(options: SourceOptions, taxonomy: Taxonomy, folder: Path = ROOT) -> pa.Table:
    """Return the files as one table; pictures and clips stay where they are, by absolute path.

    Raises WorkbenchError for a missing file or column, a label outside the taxonomy, repeated ids, no rows, an unknown
    split value, a cell that is not what its column must hold, and when not one of the pictures, or of the clips, is
    there. A row whose picture is missing stays: it is unread when it is encoded.
    """
    options, files = _there(options, taxonomy, folder)
    parts = _parts(options, files, folder)
    return table_of(stacked(parts, options), options, taxonomy, _name(options), parts)


def _name(options: SourceOptions) -> str:
    return f"corpus {options.name!r}"


def _there(options: SourceOptions, taxonomy: Taxonomy, folder: Path) -> tuple[SourceOptions, Files]:
    """Return the mapping, completed, and the files; raise WorkbenchError for a missing one and for a wrong mapping."""
    files = _files(options, folder)
    if files[0][0].parent == folder / str(options.path):  # the layout of a folder, which names its own columns
        options = options.model_copy(update={key: getattr(options, key) or own for key, own in _LAYOUT.items()})
    for path, _ in files:
        if not path.is_file():
            hint = "check the path (relative ones start at the repository's root)"
            raise WorkbenchError(f"there is no file {path}; {hint}")
    options.check(taxonomy, _name(options))
    return options, files


def _has_columns(options: SourceOptions, files: Files) -> None:
    """Raise WorkbenchError for a mapped column that no header names, if all files have one."""
    headers = {str(path): header(path, options.columns, options.reading) for path, _ in files}
    if all(headers.values()):
        for name in options.columns:
            if not any({*read_for(name.strip())} & {*names} for names in headers.values()):
                where, names = next(iter(headers.items()))
                column(pa.table({other: [] for other in names}), name, names, where)


def _parts(options: SourceOptions, files: Files, folder: Path) -> list[Part]:
    """Return what each file holds."""
    parts = []
    for path, split in files:
        found = read(path, options.columns, options.reading)
        if not found.names:
            raise WorkbenchError(f"{path} is empty; check that it is the right file")
        named = {kind.column: getattr(options, kind.folder) for kind in KINDS}
        folders = {column: (folder / start if start else path.parent,) for column, start in named.items()}
        parts.append(Part(found.table, found.names, found.rows, split, str(path), folders, found.told))
    return parts


def _files(options: SourceOptions, folder: Path) -> Files:
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
