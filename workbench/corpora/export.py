"""Pictures and clips of a corpus as files that anyone can open, under names that any system takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args

from workbench import fingerprint
from workbench.preprocessing.image.decoding import Format
from workbench.preprocessing.image.formats import sniff
from workbench.preprocessing.media import content


def write_media(row: dict[str, Any], kind: Literal["image", "video"], folder: Path) -> str | None:
    """Write the picture or clip of a table's row and return its path in the folder, None where there is none."""
    try:
        data = content(row[kind], kind)
    except OSError:
        return f"{kind}s/{_file_name(row['post_id'], b'', kind)}"
    if data is None:
        return None
    path = folder / f"{kind}s" / _file_name(row["post_id"], data, kind)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return f"{kind}s/{path.name}"


def _file_name(post_id: str, data: bytes, kind: Literal["image", "video"]) -> str:
    """Return a name that any system takes (ids may hold slashes or differ by case alone), with the content's format."""
    stem = post_id if re.fullmatch("[a-z0-9][a-z0-9_-]{0,99}", post_id) else fingerprint.of_bytes(post_id.encode())[:32]
    return f"{stem}.{_ending(data) if kind == 'image' else _clip_ending(data)}"


def _ending(data: bytes) -> str:
    kind = sniff(data)
    return kind.lower().replace("jpeg", "jpg") if kind in get_args(Format) else "unreadable"


def _clip_ending(data: bytes) -> str:
    """Return what a clip's file is called, by its first bytes (ISO 14496-12 `ftyp` brand, Matroska's EBML head)."""
    if data[4:8] == b"ftyp":
        return "mov" if data[8:12] == b"qt  " else "mp4"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "webm" if b"webm" in data[:64] else "mkv"
    return "unreadable"
