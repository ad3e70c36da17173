"""The files of a corpus and the columns that its mapping names, stacked over the files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.pictures import as_media
from workbench.corpora.files.reading import column, read, stack
from workbench.schema import Taxonomy, WorkbenchError, unknown

SPLIT = "the split that a file's place says"
_STARTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}
_LAYOUT = {"post_id": "id", "image": "img", "text": "text"}


class Source:
    """A corpus's files, each with the split that its place says, and its mapping, completed and checked.

    Raises WorkbenchError for a missing file, a label outside the taxonomy and a mapping without content.
    """

    def __init__(self, options: SourceOptions, taxonomy: Taxonomy, folder: Path) -> None:
        self.where = f"corpus {options.name!r}"
        self.folder = folder
        self.files = _files(options, folder)
        if self.files[0][0].parent == folder / str(options.path):  # the layout of a folder, which names its own columns
            options = options.model_copy(update={key: getattr(options, key) or own for key, own in _LAYOUT.items()})
        for path, _ in self.files:
            if not path.is_file():
                hint = "check the path (relative ones start at the repository's root)"
                raise WorkbenchError(f"there is no file {path}; {hint}")
        self.options = options
        for label in options.labels:
            if label not in taxonomy.names:
                raise WorkbenchError(f"{self.where}: {unknown('label', label, taxonomy.names)}")
        if not (options.text or options.image):
            raise WorkbenchError(f"{self.where} maps neither `text` nor `image`; name the column of at least one")

    def columns(self) -> dict[str, pa.ChunkedArray]:
        """Return every mapped column over all files, the picture column as media; under SPLIT, what `paths` says."""
        wanted, parts, splits = self.options.columns, [], []
        for path, split in self.files:
            table, names = read(path, wanted, self.options.encoding, self.options.quotes)
            if not names:
                raise WorkbenchError(f"{path} is empty; check that it is the right file")
            parts.append({name: self._part(name, table, names, path) for name in wanted})
            splits.append(pa.array([split] * table.num_rows, pa.string()))
        found = {}
        for name in wanted:
            missing = [part[name] for part in parts if isinstance(part[name], WorkbenchError)]
            if len(missing) == len(parts) or (missing and name in (self.options.text, self.options.image)):
                raise missing[0]
            found[name] = stack(
                [
                    pa.nulls(len(split)) if isinstance(part[name], WorkbenchError) else part[name]
                    for part, split in zip(parts, splits, strict=True)
                ]
            )
        return found | {SPLIT: pa.chunked_array(splits)}

    def _part(self, name: str, table: pa.Table, names: list[str], path: Path) -> pa.ChunkedArray | WorkbenchError:
        """Return one file's part of a column, or the error that says that this file has none."""
        try:
            cells = column(table, name, names, str(path))
        except WorkbenchError as error:
            return error
        if name != self.options.image:
            return cells
        return as_media(cells, self.folder / self.options.images if self.options.images else path.parent, str(path))


def _files(options: SourceOptions, folder: Path) -> list[tuple[Path, str | None]]:
    """Return the files, each with the split that its place in `paths` or its name in a folder says, if any."""
    given = {None: options.path} if options.path else options.paths
    lists = {split: (names,) if isinstance(names, str) else names for split, names in given.items()}
    files = [(folder / one, split) for split, names in lists.items() for one in names]
    top = files[0][0]
    if len(files) > 1 or not top.is_dir():
        return files
    inside = sorted(top.glob("*.jsonl"))
    named = [(path, split) for start, split in _STARTS.items() for path in inside if path.name.startswith(start)]
    if not named:
        raise WorkbenchError(f"folder {top} has no train.jsonl, dev*.jsonl or test*.jsonl; name a file in `path`")
    return named
