"""Lists and numbers as people and programs write them into one cell of text.

Lists: JSON, Python's lists, tuples and sets, NumPy's arrays (`['a' 'b']`), PostgreSQL's (`{a,"b c"}`), tags (`<a><b>`),
or elements that a separator parts. Numbers: with a point or a comma, or as percentages.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import pyarrow as pa

from workbench.corpora.reading.columns import scalar_text
from workbench.errors import WorkbenchError

SEPARATORS = (";", "|", ",")
_MARKS = ("/", "+", "&", ";", "|", ",", "\n", "\t", "#")  # may part elements too, but need not
_CALL = re.compile(r"(?:np\.|numpy\.)?(?:array|frozenset|set|list|tuple)\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_OPEN = re.compile(r"[\[{(]\s*[\"'{\[]")  # how a list or an object begins, and no remark in brackets
_TAGS = re.compile(r"(?:<[^<>]+>\s*)+")
_PAIRS = {"[": "]", "{": "}", "(": ")"}
_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


# --------------------------------------------------------------------------------------------------------------- lists


def elements(cells: Collection[str], named: Collection[str], separator: str | None, place: str) -> dict[str, list[str]]:
    """Return the elements of each of some distinct cells; a cell that is one of `named` is one element.

    separator: what parts elements, None to tell it from the cells. Raises WorkbenchError where it cannot be told, and
    for objects and lists that do not end.

    >>> elements(["insult;threat", "['insult' 'mild']", "insult"], ["insult"], None, "here")["['insult' 'mild']"]
    ['insult', 'mild']
    """
    plain = [cell for cell in cells if cell not in named and not _is_listed(cell)]
    mark = separator or _separator(plain, place)
    found = {cell: [cell] if cell in named else elements_in(cell, mark, place) for cell in cells}
    if separator is None:
        _parted(found, {*named}, mark, place)
    return found


def elements_in(text: str, separator: str | None, place: str | None = None) -> list[str]:
    """Return the elements of a list in a cell.

    Raises WorkbenchError, if there is a `place` to name, for objects and for a list that does not end.
    """
    listed = _listed(text, place)
    if listed is not None:
        return listed
    parts = text.split(separator) if separator else [text]
    return [part.strip().strip("'\"") for part in parts if part.strip()]


def _is_listed(cell: str) -> bool:
    return (_CALL.fullmatch(cell) or _TAGS.fullmatch(cell)) is not None or _PAIRS.get(cell[:1]) == cell[-1:]


def _separator(cells: Iterable[str], place: str) -> str | None:
    """Return what parts the elements of cells; raise WorkbenchError where that is open."""
    used = [mark for mark in SEPARATORS if any(mark in cell for cell in cells)]
    if len(used) > 1:
        raise WorkbenchError(
            f"{place}: both {used[0]!r} and {used[1]!r} may part its elements; say which in `separator`"
        )
    return used[0] if used else None


def _parted(found: dict[str, list[str]], named: set[str], mark: str | None, place: str) -> None:
    """Raise WorkbenchError where what was taken for one element looks like several."""
    known = named | {element for parts in found.values() for element in parts}
    for element in known - named:
        marks = [other for other in _MARKS if other in element and other != mark]
        parts = next(([*filter(None, map(str.strip, element.split(other)))] for other in marks), [])
        words = element.split()
        sure = len(words) > 1 and {*words} & named and all(word in known or _POINT.fullmatch(word) for word in words)
        if sure or {*parts} & named:
            raise WorkbenchError(
                f"{place}: {element!r:.80} may be several elements; say what parts them, as in `separator: "
                f"{json.dumps(marks[0] if {*parts} & named else ' ')}`, or name it as it is under what it means"
            )


def _listed(text: str, place: str | None) -> list[str] | None:
    """Return the elements of a list that is written as one, None for what is none."""
    if _TAGS.fullmatch(text):
        return [tag.strip() for tag in re.findall("<([^<>]+)>", text)]
    call = _CALL.fullmatch(text)
    inner = call[1].strip() if call else text
    ends, wrong = _PAIRS.get(inner[:1]) == inner[-1:], None
    value = _parsed(inner) if ends else None
    if not inner or value in ({}, [], ()):
        return []
    if not ends:
        wrong = f"the list {inner!r:.60} does not end; mend that cell" if _OPEN.match(inner) else None
    elif isinstance(value, dict):
        wrong = f"{inner!r:.60} is an object, no list; write what it says into columns of its own"
    elif any(isinstance(item, dict | list | tuple | set) for item in value or ()):
        wrong = f"{inner!r:.60} is a list of objects or lists; write what is in them as one list of words"
    if wrong and place:
        raise WorkbenchError(f"{place}: {wrong}")
    if value is None or wrong:
        return _bare(inner[1:-1]) if ends and inner[0] != "(" else None
    texts = (scalar_text(item) for item in value)
    return [word.strip() for word in texts if word and word.strip()]


def _parsed(inner: str) -> Any:
    """Return what JSON or Python reads, None where neither can, or Python would make one text of two side by side."""
    with suppress(ValueError, RecursionError):
        return json.loads(inner)
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        value = ast.literal_eval(inner)
        texts = [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple | set) else []
        if isinstance(value, dict) or (isinstance(value, list | tuple) and len(texts) == len(_QUOTED.findall(inner))):
            return value
        if isinstance(value, set) and inner.count(",") >= len(value) - 1 == len({*_QUOTED.findall(inner)}) - 1:
            return sorted(value, key=str)
    return None


def _bare(inner: str) -> list[str]:
    """Return the elements between brackets that neither JSON nor Python reads: parted by commas, or as NumPy does."""
    quoted = _QUOTED.findall(inner)
    rest = _QUOTED.sub(" ", inner)
    words = rest.split()
    if "," not in rest and ((quoted and not words) or (words and all(map(_POINT.fullmatch, words)) and not quoted)):
        return [word[1:-1].strip() for word in quoted if word[1:-1].strip()] or words
    rows = csv.reader([inner], skipinitialspace=True)
    return [part for cell in next(rows, []) if (part := cell.strip().strip("'\""))]


# ------------------------------------------------------------------------------------------------------------- numbers


class NoNumbers(ValueError):
    """Some cells hold no numbers: which, and what their writer can do."""

    def __init__(self, odd: list[str], hint: str | None = None) -> None:
        super().__init__(", ".join(odd[:3]))
        self.odd, self.hint = odd, hint


def numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers written as text as float64, null for null; percentages are shares of one.

    A comma is a decimal one where all cells can be read so. Raises NoNumbers.

    >>> numbers(pa.chunked_array([["0,5", "1", None]])).to_pylist()
    [0.5, 1.0, None]
    """
    with suppress(pa.ArrowException):
        return texts.cast(pa.float64())
    values = [value for value in texts.unique().to_pylist() if value is not None]
    percent = [value for value in values if value.endswith("%")]
    bare = [value.removesuffix("%").rstrip() for value in values] if len(percent) == len(values) else values
    commas = [value for value in bare if _COMMA.fullmatch(value)]
    decimal = commas and not any("." in value for value in bare)
    if decimal and all(map(THOUSANDS.fullmatch, commas)):
        raise NoNumbers(commas, "whose comma may be a decimal one or part thousands; write a point, or none")
    odd = [
        value
        for value, core in zip(values, bare, strict=True)
        if not (_POINT.fullmatch(core) or (decimal and core in {*commas}))
    ]
    if odd:
        hint = "which are percentages beside other numbers; write all in one way" if {*odd} <= {*percent} else None
        raise NoNumbers(odd, hint)
    scale = 100 if percent else 1
    read = {value: float(core.replace(",", ".")) / scale for value, core in zip(values, bare, strict=True)}
    return pa.chunked_array(
        [pa.array([None if text is None else read[text] for text in texts.to_pylist()], pa.float64())]
    )
