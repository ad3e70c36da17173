"""The bytes of a text file as characters: unpacked, without a byte order mark, in an encoding that is given or told.

Without a given one: what a byte order mark says, UTF-16 where every other byte is zero, UTF-8 where all bytes are, else
the code page of Latin letters that fits (`code_pages`) or, of other scripts, what charset-normalizer
(https://charset-normalizer.readthedocs.io) finds likeliest; a note says so. A file that mixes UTF-8 with something else
is read as UTF-8, and its other lines are faults.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from workbench.corpora.reading.code_pages import latin
from workbench.errors import WorkbenchError

_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_UTF8 = "it is not UTF-8; save the file as UTF-8, or set `encoding`"
UTF8 = ("utf-8", "utf-8-sig")
_BLOCK = 2**20
_SAMPLE = 2**18  # bytes of lines beyond ASCII that a guess looks at
_LIKELY = ["cp1251", "cp1253", "cp1255", "cp1256", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "euc_kr"]


class Coding(NamedTuple):
    """How a file is encoded, whether some of its bytes are not, whether quotes occur, and a sentence on a guess."""

    name: str
    mixed: bool = False
    quotes: bool = True
    note: str | None = None


def raw(path: Path) -> BinaryIO:
    """Open a file's bytes, those of a `.gz` unpacked."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system and the unpacking raise into a sentence that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise WorkbenchError(f"{path} cannot be unpacked: {error}; fetch or pack the file again") from None
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror or error}; check the path") from None


@contextmanager
def characters(path: Path, coding: Coding) -> Iterator[TextIO]:
    """Open a text file, line ends as they are; bytes that are not in its encoding come as surrogates where they can."""
    errors = "strict" if _is_wide(coding.name) else "surrogateescape"
    with raw(path) as data, io.TextIOWrapper(data, coding.name, errors=errors, newline="") as file:
        yield file


def _is_wide(name: str) -> bool:
    return name.startswith(("utf-16", "utf-32"))


def coding(path: Path, given: str | None) -> Coding:
    """Return how a file is encoded; raise WorkbenchError for an encoding that there is not."""
    try:
        named = given and codecs.lookup(given).name
    except LookupError:
        raise WorkbenchError(
            f"unknown encoding {given!r}; use a name such as utf-8, utf-16, latin-1 or cp1252"
        ) from None
    with raw(path) as file:
        head = file.read(4096)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked and (named is None or named.startswith(marked.removesuffix("-sig"))):
        named = marked  # whose codec takes the mark away
    if marked and named in UTF8 and marked != "utf-8-sig":
        raise WorkbenchError(undecodable(path, "utf-8"))
    named = named or _zeros(head)
    if named not in (None, *UTF8):
        return Coding(named)
    valid, quotes = _is_utf8(path)
    return Coding(named or "utf-8", not valid, quotes) if valid or named else _guess(path, quotes)


def _zeros(head: bytes) -> str | None:
    """Say UTF-16 of one order or the other: Latin text has a zero each two bytes, and line ends have in any script."""
    for name, zeros, others, end in (
        ("utf-16-le", head[1::2], head[0::2], b"\n\0"),
        ("utf-16-be", head[0::2], head[1::2], b"\0\n"),
    ):
        if len(zeros) > 1 and zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.2 * zeros.count(0):
            return name
        if end in head and zeros.count(0) > 2 and not others.count(0) and _decodes(head, name):
            return name
    return None


def _decodes(head: bytes, name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8(path: Path) -> tuple[bool, bool]:
    """Say whether all bytes of a file are UTF-8, and whether any is a quotation mark."""
    decoder, valid, quotes = codecs.getincrementaldecoder("utf-8")(), True, False
    with raw(path) as file:
        while block := file.read(_BLOCK):
            quotes = quotes or b'"' in block
            if valid:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    valid = False
        if valid:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                valid = False
    return valid, quotes


def _guess(path: Path, quotes: bool) -> Coding:
    """Return what a file that is not UTF-8 is encoded as: likeliest something else, or UTF-8 with other lines in it."""
    from charset_normalizer import from_bytes

    sample, sound, size = [], 0, 0
    with raw(path) as file:
        for line in file:
            if line.isascii():
                continue
            try:
                line.decode()
                sound += 1
            except UnicodeDecodeError:
                if size < _SAMPLE:
                    sample.append(line)
                    size += len(line)
    text = b"".join(sample)
    best = latin(text) or getattr(from_bytes(text, cp_isolation=_LIKELY, threshold=0.5).best(), "encoding", None)
    if 10 * sound >= len(sample) or best is None or b"\0" in b"".join(sample[:9]):
        return Coding("utf-8", mixed=True, quotes=quotes)
    note = f"{path.name} is not UTF-8 and was read as {best}, by its letters; set `encoding` where that is wrong"
    return Coding(best, quotes=quotes, note=note)


def undecodable(path: Path, encoding: str) -> str:
    """Return the sentence on the first bytes of a file that are not in its encoding."""
    with raw(path) as file:
        if encoding == "utf-8" and file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return f"{path} is not {encoding}: it starts like UTF-16; set `encoding: utf-16`"
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeError as found:
                at = getattr(found, "start", 0)
                if _is_wide(encoding):
                    break
                return (
                    f"{path}, line {number}, byte {at + 1} of the line (0x{line[at]:02x}) is not {encoding}; "
                    "set `encoding` (often latin-1 or cp1252), or mend the line if the file mixes encodings"
                )
    return f"{path} cannot be decoded as {encoding}; set another `encoding`"
