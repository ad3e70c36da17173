"""The files of a corpus, each with the columns that the mapping names."""

from __future__ import annotations

from pathlib import Path

from workbench.corpora.files.mapped import Part
from workbench.corpora.files.mapping import SourceOptions
from workbench.corpora.files.media import KINDS
from workbench.corpora.files.reading import read
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

_STARTS = {"train": "train", "dev": "validation", "val": "validation", "test": "test"}
_LAYOUT = {"post_id": "id", "image": "img", "text": "text"}


class FileSource:
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
        options.check(taxonomy, self.where)

    def parts(self) -> list[Part]:
        """Return the mapped columns of each file."""
        parts = []
        for path, split in self.files:
            table, names = read(path, self.options.columns, self.options.encoding, self.options.quotes)
            if not names:
                raise WorkbenchError(f"{path} is empty; check that it is the right file")
            folders = {kind.column: (self._folder(getattr(self.options, kind.folder), path),) for kind in KINDS}
            parts.append(Part(table, names, split, str(path), folders))
        return parts

    def _folder(self, named: str | None, path: Path) -> Path:
        """Return where the media paths of a file start."""
        return self.folder / named if named else path.parent


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
