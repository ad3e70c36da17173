"""A picture of a corpus row, wherever its bytes are."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

from workbench.preprocessing.image import DEFAULT, Picture, decode


def content(media: dict[str, Any] | None) -> bytes | None:
    """Return the encoded picture of an `image` cell ({"bytes", "path"}), None where the post brings none.

    Raises OSError where its file cannot be read or is larger than any picture that is decoded.
    """
    if not media or (media["bytes"] is None and not media["path"]):
        return None
    if media["bytes"] is not None:
        return media["bytes"]
    try:
        about = Path(media["path"]).stat()  # before it is opened: a pipe would be waited for, a huge file fill memory
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from None
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    if about.st_size > DEFAULT.max_bytes:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes; at most {DEFAULT.max_bytes:,} are read")
    return Path(media["path"]).read_bytes()


def picture(media: dict[str, Any] | None) -> Picture | None:
    """Return the decoded picture of an `image` cell, None where the post brings none.

    A file that cannot be read is a picture without readings, like one that cannot be decoded.
    """
    try:
        data = content(media)
    except OSError as error:
        return Picture((), f"The file {Path(media['path']).name!r} cannot be read: {error.strerror}.")
    return None if data is None else decode(data)
