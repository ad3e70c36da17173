"""A content named by its id, in the place of its bytes: what a post brings whose picture or clip lies elsewhere.

A reference stands where a path does (`Media.path`) and leads to no file: the feature store finds the vectors of its
content by it, and nothing else can be had of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PREFIX = "content:"
_FORM = re.compile(PREFIX + r"([0-9a-f]{64}):(\d+)")


class Reference(NamedTuple):
    """The sha256 of a content's bytes, in 64 hex digits, and how many bytes it has."""

    id: str
    bytes: int

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}:{self.bytes}"

    @classmethod
    def of(cls, path: str | None) -> Reference | None:
        """Return what a path refers to; None for the path of a file.

        >>> Reference.of(str(Reference("0" * 64, 12))).bytes
        12
        """
        match = _FORM.fullmatch(path or "")
        return cls(match.group(1), int(match.group(2))) if match else None
