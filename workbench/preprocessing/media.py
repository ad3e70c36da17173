"""A picture of a corpus row, wherever its bytes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.preprocessing.image import Picture, decode


def picture(media: dict[str, Any] | None) -> Picture | None:
    """Return the decoded picture of an `image` cell ({"bytes", "path"}), None where the post brings none.

    A file that cannot be opened is a picture without readings, like one that cannot be decoded.
    """
    if not media or (media["bytes"] is None and not media["path"]):
        return None
    if media["bytes"] is not None:
        return decode(media["bytes"])
    try:
        return decode(Path(media["path"]).read_bytes())
    except OSError as error:
        return Picture((), f"the file {media['path']} cannot be opened: {error.strerror}", ())
