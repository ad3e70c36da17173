"""A picture or a clip of a corpus row, wherever its bytes are."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any, Literal

from workbench.preprocessing.image import decoding
from workbench.preprocessing.video import reader

LIMITS = {"image": decoding.DEFAULT.max_bytes, "video": reader.DEFAULT.max_bytes}
"""The bytes of the largest file of each kind that is decoded."""


def content(media: dict[str, Any] | None, kind: Literal["image", "video"] = "image") -> bytes | None:
    """Return the encoded content of an `image` or `video` cell ({"bytes", "path"}), None where the post brings none.

    Raises OSError where its file cannot be read or is larger than any of its kind that is decoded.
    """
    if not media or (media["bytes"] is None and not media["path"]):
        return None
    if media["bytes"] is not None:
        return media["bytes"]
    return read(media["path"], LIMITS[kind])


def read(path: str, most: int) -> bytes:
    """Return the bytes of a file; raises OSError where it cannot be read, is none or has more than `most` bytes."""
    try:
        about = Path(path).stat()  # before it is opened: a pipe would be waited for, a huge file fill memory
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes; at most {most:,} are read")
    with Path(path).open("rb") as file:
        return file.read(most)


def picture(media: dict[str, Any] | None) -> decoding.Picture | None:
    """Return the decoded picture of an `image` cell, None where the post brings none.

    A file that cannot be read is a picture without variants, like one that cannot be decoded.
    """
    data = _content(media, "image")
    if isinstance(data, str):
        return decoding.Picture((), data)
    return None if data is None else decoding.decode(data)


def clip(media: dict[str, Any] | None) -> reader.Clip | None:
    """Return the decoded clip of a `video` cell, None where the post brings none.

    A file that cannot be read is a clip without frames, like one that cannot be decoded.
    """
    data = _content(media, "video")
    if isinstance(data, str):
        return reader.Clip((), (), data)
    return None if data is None else reader.decode(data)


def _content(media: dict[str, Any] | None, kind: Literal["image", "video"]) -> bytes | str | None:
    """Return a cell's content, or in a sentence why it cannot be read."""
    try:
        return content(media, kind)
    except OSError as error:
        return f"The file {Path(media['path']).name!r} cannot be read: {error.strerror}."
