"""File formats, told from the first bytes and never from a name."""

from __future__ import annotations


def sniff(data: bytes) -> str | None:
    """Return the format that the first bytes tell: a name from `Format`, another kind in words, or None if unknown."""
    starts = {
        b"\xff\xd8\xff": "JPEG",
        b"\x89PNG\r\n\x1a\n": "PNG",
        b"GIF8": "GIF",
        b"BM": "BMP",
        b"II*\0": "a TIFF picture",
        b"MM\0*": "a TIFF picture",
        b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
        b"\0\0\0\x0cJXL ": "a JPEG XL picture",
        b"\xff\x0a": "a JPEG XL picture",
        b"\0\0\1\0": "an icon file",
        b"8BPS": "a Photoshop file",
        b"%PDF": "a PDF document",
        b"PK\3\4": "a ZIP archive",
        b"\x1a\x45\xdf\xa3": "a video",
    }
    head = bytes(data[:512])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "AVIF" if brand in (b"avif", b"avis") else _ISO_BRANDS.get(brand, "a video")
    detected = next((kind for start, kind in starts.items() if head.startswith(start)), None)
    return detected or _as_text(head)


_ISO_BRANDS = dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "a HEIC photo")


def _as_text(head: bytes) -> str | None:
    """Return what kind of text a file starts with, or None if its bytes are no text."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < 512:  # a character cut by the 512-byte window is still text
            return None
        text = head[: error.start].decode("utf-8-sig", "replace")
    if any(char < " " and char not in "\t\n\r\f" for char in text):
        return None
    lower = text.lstrip().lower()
    if "<svg" in lower:
        return "an SVG drawing"
    return "a web page" if lower.startswith(("<!doctype html", "<html")) else "a text file"
