"""When a post was made: times as they are written in files, and none that cannot be meant.

Numbers are seconds since 1970, or milliseconds, micro- or nanoseconds where all are too large for seconds; the years
between are far apart, so that one number is never plausible in two units.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.files.values import MISSING, present
from workbench.errors import WorkbenchError
from workbench.schema import INPUTS

_TIME = INPUTS.field("created_at").type
FIRST, LAST = 1980, 2100  # years in which a post can have been made
_SECONDS = (pd.Timestamp(FIRST, 1, 1).timestamp(), pd.Timestamp(LAST, 1, 1).timestamp())
_UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_KNOWN = ("%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z")  # Twitter's; RFC 5322


def times(
    cells: pa.ChunkedArray | None,
    where: str,
    form: str | None = None,
    name: str = "created_at",
    missing: Sequence[str] = MISSING,
    notes: list[str] | None = None,
) -> pa.ChunkedArray | None:
    """Return UTC times from times, text in ISO 8601 or in a form of strptime (without a zone: UTC), or since 1970.

    Words for missing are null. What was assumed is added to `notes`. Raises WorkbenchError for what is no time, and for
    one outside the years from FIRST to LAST.
    """
    if cells is None:
        return None
    place = f"{where}: column {name!r}, `created_at`,"
    if pa.types.is_temporal(cells.type) and not pa.types.is_time(cells.type) and not pa.types.is_duration(cells.type):
        with suppress(pa.ArrowException):
            return _plausible(cells.cast(_TIME), place)
        raise WorkbenchError(f"{place} holds times that no post can have been made at; clear those cells")
    values = present(cells, name, where, missing)
    if form:
        return _plausible(_parsed(values, form, place), place)
    numbers = _numbers(values)
    if numbers is not None:
        return _since_1970(numbers, place, notes)
    return _plausible(_written(values, place), place)


def _numbers(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    if values.null_count == len(values):
        return values.cast(pa.float64())
    with suppress(pa.ArrowException):
        return values.cast(pa.float64())
    return None


def _since_1970(numbers: pa.ChunkedArray, place: str, notes: list[str] | None) -> pa.ChunkedArray:
    """Return the times that numbers mean, all in one unit."""
    given = numbers.drop_null()
    for unit, scale in _UNITS.items():
        low, high = (edge * scale for edge in _SECONDS)
        if pc.all(pc.and_(pc.greater_equal(given, low), pc.less(given, high))).as_py() is not False:
            if unit != "seconds" and len(given) and notes is not None:
                notes.append(f"{place} holds {unit} since 1970, and was read so")
            micros = pc.round(pc.multiply(numbers, 1e6 / scale))
            return pc.cast(micros, pa.int64()).cast(pa.timestamp("us")).cast(_TIME)
    low, high = _SECONDS
    odd = next((value for value in given.to_pylist() if not low <= value < high), given[0].as_py())
    raise WorkbenchError(f"{place} holds {_short(odd)}, {_hint(odd)}")


def _hint(value: float) -> str:
    compact = value == value and value == int(value) and len(str(int(value))) == 8 if abs(value) < 1e15 else False
    if value == value and FIRST <= value < LAST:
        return "which looks like a year; say so by `time_format: '%Y'`"
    if compact and FIRST <= value // 10_000 < LAST:
        return "which looks like a date; say so by `time_format: '%Y%m%d'`"
    unit = next((unit for unit, scale in _UNITS.items() if _SECONDS[0] <= value / scale < _SECONDS[1]), None)
    if unit and unit != "seconds":
        return f"which looks like {unit} where others are not; write all in one unit, seconds since 1970"
    if value in (-1, 0, 1):  # as a word for missing it would be one in labels too
        return "which is no time; clear those cells, so that it is unknown"
    return (
        f"which is no time between {FIRST} and {LAST} in seconds, milliseconds, micro- or nanoseconds since 1970; say "
        "how it is written in `time_format`, or clear the cell (or add it to `missing`) if it stands for no time"
    )


def _short(value: float) -> str:
    return str(int(value)) if abs(value) < 1e20 and value == int(value) else f"{value:g}"


def _written(values: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """Return times from text in ISO 8601, or in a form that nothing else is written in."""
    for read in (lambda texts: texts.cast(_TIME), lambda texts: texts.cast(pa.timestamp("us")).cast(_TIME)):
        with suppress(pa.ArrowException):
            return read(values)
    for form in ("ISO8601", *_KNOWN):
        with suppress(WorkbenchError):
            return _parsed(values, form, place)
    odd = next((text for text in values.to_pylist() if text and not _is_iso(text)), "values of several forms")
    raise WorkbenchError(
        f"{place} must hold ISO 8601 times or seconds since 1970, or `time_format` must say how they are written: it "
        f"holds {odd!r:.60}"
    )


def _is_iso(text: str) -> bool:
    try:
        pd.to_datetime(text, format="ISO8601", utc=True)
    except ValueError:
        return False
    return True


def _parsed(texts: pa.ChunkedArray, form: str, place: str) -> pa.ChunkedArray:
    try:
        parsed = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format=form, utc=True)
        return pa.chunked_array([pa.Array.from_pandas(parsed.dt.as_unit("us"), type=_TIME)])
    except (ValueError, OverflowError) as error:
        cause = " ".join(str(error).partition("You might want")[0].split())
        raise WorkbenchError(
            f"{place} is not written as {form!r}: {cause:.150}; mend `time_format` or the cell"
        ) from None


def _plausible(moments: pa.ChunkedArray, place: str) -> pa.ChunkedArray:
    """Return times as they are; raise WorkbenchError for one at which no post can have been made."""
    micros = moments.cast(pa.int64())
    low, high = (int(edge * 1e6) for edge in _SECONDS)
    outside = pc.or_(pc.less(micros, low), pc.greater_equal(micros, high))
    if pc.any(outside).as_py():
        odd = moments.filter(outside).cast(pa.string())[0].as_py()
        raise WorkbenchError(
            f"{place} holds {odd}, but a post is made between {FIRST} and {LAST}; say how it is written in "
            "`time_format`, or clear the cell (or add it to `missing`) if it stands for no time"
        )
    return moments
