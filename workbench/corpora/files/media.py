"""The picture and clip columns of a table: paths made absolute and kept inside their folder, and each by content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from workbench import fingerprint
from workbench.errors import WorkbenchError
from workbench.schema import INPUTS

MEDIA = INPUTS.field("image").type


class Kind(NamedTuple):
    """A column of media: its name in a mapping, the option that names its folder, and what one is called."""

    column: str
    folder: str
    noun: str


KINDS = (Kind("image", "images", "picture"), Kind("video", "videos", "clip"))


def as_media(cells: pa.ChunkedArray, kind: Kind, folders: tuple[Path, ...], where: str) -> pa.ChunkedArray:
    """Return a column of paths, bytes or {bytes, path} as {bytes, path}, with paths absolute and inside a folder.

    Relative paths start at the first of `folders`; a path may lead into any of them. Media that have bytes keep their
    path as a name only. Raises WorkbenchError for a path that leaves the folders (a data set from elsewhere must not
    make the workbench read other files) and for a column of another type.
    """
    roots = [os.path.abspath(folder) for folder in folders]
    return pa.chunked_array([_media_chunk(chunk, kind, roots, where) for chunk in cells.chunks], MEDIA)


def _media_chunk(cells: pa.Array, kind: Kind, roots: list[str], where: str) -> pa.Array:
    data, paths = pa.nulls(len(cells), pa.binary()), pa.nulls(len(cells), pa.string())
    held = cells.type
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
        resolved = [
            _inside(roots, path, kind, where) if alone else path
            for path, alone in zip(paths.to_pylist(), is_file, strict=True)
        ]
        paths = pa.array(resolved, pa.string())
    absent = pc.and_(pc.is_null(data), pc.is_null(paths))
    return pa.StructArray.from_arrays([data, paths], fields=list(MEDIA), mask=absent)


def _inside(roots: list[str], path: str | None, kind: Kind, where: str) -> str | None:
    """Return an absolute path; None for an empty one."""
    if not path or not path.strip():
        return None
    full = os.path.normpath(os.path.join(roots[0], path.strip()))
    if not any(os.path.commonpath([root, full]) == root for root in roots):
        raise WorkbenchError(
            f"{where}: the {kind.noun} path {path!r} leaves {roots[0]}; set `{kind.folder}` to the {kind.noun}s' folder"
        )
    return full


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


def identities(media: pa.ChunkedArray, kind: Kind, where: str) -> list[str | None]:
    """Return what each row's picture or clip is by content, None for none; a missing file is known by its name.

    Raises WorkbenchError when files are referred to and not one of them is there.
    """
    files = files_of(media)
    known = {path: content(path) for path in files}
    if files and not any(known.values()):
        raise WorkbenchError(
            f"{where}: none of the {len(files)} {kind.noun}s is there, for example {files[0]}; "
            f"set `{kind.folder}` to their folder"
        )
    keys: list[str | None] = []
    for chunk in media.chunks:
        data, paths = chunk.field("bytes"), chunk.field("path").to_pylist()
        for row, path in enumerate(paths):
            if data[row].is_valid:
                keys.append(fingerprint.of_bytes(data[row].as_buffer()))
            else:
                keys.append(path and (known[path] or f"missing {os.path.basename(path)}"))
    return keys
