"""A picture of a corpus row, wherever its bytes are."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from workbench.preprocessing.image import DEFAULT, Picture, decode


def picture(media: dict[str, Any] | None) -> Picture | None:
    """Return the decoded picture of an `image` cell ({"bytes", "path"}), None where the post brings none.

    A file that cannot be opened is a picture without readings, like one that cannot be decoded.
    """
    if not media or (media["bytes"] is None and not media["path"]):
        return None
    if media["bytes"] is not None:
        return decode(media["bytes"])
    path = Path(media["path"])
    try:
        about = path.stat()  # before it is opened: a pipe would be waited for, a huge file fill the memory
        if not stat.S_ISREG(about.st_mode):
            return Picture((), f"{path.name!r} is not a file.")
        if about.st_size > DEFAULT.max_bytes:
            return Picture((), f"The file has {about.st_size:,} bytes; at most {DEFAULT.max_bytes:,} are read.")
        return decode(path.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        return Picture((), f"The file {path.name!r} cannot be opened: {why}.")
