"""The picture and clip columns of a table: paths made absolute and kept inside their folder, and each by content."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from workbench import fingerprint
from workbench.corpora.files.values import MISSING, lowered
from workbench.errors import WorkbenchError
from workbench.schema import INPUTS

MEDIA = INPUTS.field("image").type
_CONTENT = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD[dl]h|UklGR|SUkq|GkXfo|AAAA[A-Za-z0-9+/]{2,4}ZnR5c).{30}", re.DOTALL)
_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]+:)?//|www\.", re.IGNORECASE)

_MISSING = "missing "


class Kind(NamedTuple):
    """A column of media: its name in a mapping, the option that names its folder, and what one is called."""

    column: str
    folder: str
    noun: str


KINDS = (Kind("image", "images", "picture"), Kind("video", "videos", "clip"))


def as_media(
    cells: pa.ChunkedArray,
    kind: Kind,
    folders: tuple[Path, ...],
    where: str,
    missing: Sequence[str] = MISSING,
    hint: str | None = None,
) -> pa.ChunkedArray:
    """Return a column of paths, bytes or {bytes, path} as {bytes, path}, with paths absolute and inside a folder.

    Relative paths start at the first of `folders`; a path may lead into any of them. Media that have bytes keep their
    path as a name only. Raises WorkbenchError for a path that leaves the folders (a data set from elsewhere must not
    make the workbench read other files) and for a column of another type.
    """
    found = _Finder([os.path.abspath(folder) for folder in folders], kind, lowered(missing), where, hint)
    return pa.chunked_array([_media_chunk(chunk, kind, found, where) for chunk in cells.chunks], MEDIA)


def _media_chunk(cells: pa.Array, kind: Kind, found: _Finder, where: str) -> pa.Array:
    data, paths = pa.nulls(len(cells), pa.binary()), pa.nulls(len(cells), pa.string())
    held = cells.type
    if held == MEDIA and cells.null_count == len(cells):
        return cells
    if pa.types.is_struct(held) and {field.name for field in held} & {"bytes", "path"}:
        given = {field.name: pc.struct_field(cells, field.name) for field in held}
        data = given.get("bytes", data).cast(pa.binary())
        paths = given.get("path", paths).cast(pa.string())
    elif pa.types.is_binary(held) or pa.types.is_large_binary(held):
        data = cells.cast(pa.binary())
    elif pa.types.is_string(held):
        paths = cells
    elif not pa.types.is_null(held):
        raise WorkbenchError(
            f"{where}: the {kind.noun} column holds {held}; it must hold paths, bytes or {{bytes, path}}"
        )
    if paths.null_count < len(paths):
        is_file = pc.is_null(data).to_pylist()
        resolved = [found.path(path) if alone else path for path, alone in zip(paths.to_pylist(), is_file, strict=True)]
        paths = pa.array(resolved, pa.string())
    absent = pc.and_(pc.is_null(data), pc.is_null(paths))
    return pa.StructArray.from_arrays([data, paths], fields=list(MEDIA), mask=absent)


class _Finder:
    """Where paths of one column lead: inside its folders, a name without ending to the file that has one."""

    def __init__(self, roots: list[str], kind: Kind, missing: set[str], where: str, hint: str | None) -> None:
        self.roots, self.kind, self.missing, self.where = roots, kind, missing, where
        self.hint = hint or f"set `{kind.folder}` to the {kind.noun}s' folder"
        self.folders: dict[str, dict[str, list[str]]] = {}

    def path(self, path: str | None) -> str | None:
        """Return an absolute path; None for an empty one and a word for missing.

        Raises WorkbenchError for an address, for content in place of a path, and for a path that leaves the folders.
        """
        path = path and path.strip()
        if not path or path.lower() in self.missing:
            return None
        self._is_no_path(path)
        roots = self.roots
        full = os.path.normpath(os.path.join(roots[0], path))
        if "\\" in path and not os.path.lexists(full):  # as Windows writes paths
            full = os.path.normpath(os.path.join(roots[0], path.replace("\\", "/")))
        if not any(os.path.commonpath([root, full]) == root for root in roots):
            raise WorkbenchError(
                f"{self.where}: the {self.kind.noun} path {path!r:.200} leaves the folder {roots[0]}; {self.hint}"
            )
        return full if os.path.splitext(full)[1] else self._with_ending(full)

    def _is_no_path(self, path: str) -> None:
        noun = self.kind.noun
        if path[:5].lower() == "data:" or _is_base64(path):
            raise WorkbenchError(
                f"{self.where}: a {noun} cell holds base64, {len(path):,} characters of it, and no path; write the "
                f"{noun}s to files and name those, or save bytes in Parquet"
            )
        if _ADDRESS.match(path):
            raise WorkbenchError(
                f"{self.where}: {path!r:.80} is an address and no path; nothing is fetched, so download the {noun}s "
                "first and name their files"
            )

    def _with_ending(self, full: str) -> str:
        """Return the one file that is called so but for its ending, else the path as it is."""
        folder, name = os.path.split(full)
        if folder not in self.folders:
            names: dict[str, list[str]] = {}
            with suppress(OSError, ValueError):
                for entry in sorted(os.listdir(folder)):
                    names.setdefault(os.path.splitext(entry)[0], []).append(entry)
            self.folders[folder] = names
        near = self.folders[folder].get(name, [])
        return os.path.join(folder, near[0]) if len(near) == 1 else full


def _is_base64(path: str) -> bool:
    """Say whether a cell is content and no name: by how pictures and clips begin, or long and without an ending."""
    return bool(_CONTENT.match(path) or len(path) > 200) and re.fullmatch(r"[A-Za-z0-9+/_=\s-]+", path) is not None


def files_of(media: pa.ChunkedArray) -> list[str]:
    """Return the distinct files that a column refers to, in order of appearance."""
    paths = pc.if_else(pc.is_null(pc.struct_field(media, "bytes")), pc.struct_field(media, "path"), None)
    return [path for path in pc.unique(paths).to_pylist() if path is not None]


def content(path: str) -> str | None:
    """Return the sha256 of a file's bytes, None where there is no readable file."""
    try:
        return fingerprint.of_file(path) if os.path.isfile(path) else None  # a pipe would be waited for
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None


def identities(
    media: pa.ChunkedArray, kind: Kind, where: str | None, warnings: list[str] | None = None
) -> list[str | None]:
    """Return what each row's picture or clip is by content, None for none; a missing file is known by its name.

    Files that are not there are told in `warnings`. Raises WorkbenchError when files are referred to and not one of
    them is there, unless `where` is None.
    """
    files = files_of(media)
    known = {path: content(path) for path in files}
    absent = [path for path in files if known[path] is None]
    if where is not None and absent and len(absent) == len(files):
        raise WorkbenchError(
            f"{where}: none of the {len(files):,} {kind.noun}s is there, such as {_some(absent)}{_beside(absent)}; "
            f"{_elsewhere(files[0], kind)}"
        )
    if absent and warnings is not None:
        warnings.append(
            f"{len(absent):,} of {len(files):,} {kind.noun}s are not there, such as {_some(absent)}; their posts are "
            "read without them"
        )
    keys: list[str | None] = []
    for chunk in media.chunks:
        data, paths = chunk.field("bytes"), chunk.field("path").to_pylist()
        for row, path in enumerate(paths):
            if data[row].is_valid:
                keys.append(fingerprint.of_bytes(data[row].as_buffer()))
            else:
                keys.append(path and (known[path] or f"{_MISSING}{os.path.basename(path)}"))
    return keys


def _some(paths: Sequence[str], most: int = 3) -> str:
    named = (path if number == 0 else os.path.basename(path) for number, path in enumerate(paths[:most]))
    return ", ".join(f"{name:.300}" for name in named)


def _beside(absent: Sequence[str]) -> str:
    """Return what the folder of missing files holds instead, to compare how both are called."""
    folder = os.path.dirname(absent[0])
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (OSError, ValueError):
        return f" (there is no folder {folder})"
    return f" (the folder holds {_some(names)})" if names else " (the folder holds no file)"


def _elsewhere(path: str, kind: Kind) -> str:
    """Say where files may be: often a path begins with the folder that is named too."""
    parts = Path(path).parts
    for size in range(1, len(parts) // 2):
        for at in range(1, len(parts) - 2 * size):
            again = parts[at : at + size] == parts[at + size : at + 2 * size]
            if again and Path(*parts[:at], *parts[at + size :]).is_file():
                return f"their paths begin in {Path(*parts[:at])}: set `{kind.folder}` to it"
    return f"set `{kind.folder}` to their folder"
