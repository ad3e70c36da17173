"""What a post says besides its content: every column, file names, sizes, the digits of ids and times, its row.

Columns of `meta` are not asked, for they hold what annotators said and no model sees them; nor is how large or long a
clip is, for which it would have to be decoded.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.evidence.audit import exact
from workbench.preprocessing import media
from workbench.preprocessing.image import decoding
from workbench.preprocessing.text.cleaning import clean
from workbench.schema import declared

_AUTHOR = {
    "age": "account_age_days",
    "posts": "posts",
    "reports before": "prior_reports",
    "removals before": "prior_removals",
}
_KINDS = {"text": "text", "image": "picture", "video": "clip"}


def metadata(table: pa.Table) -> pd.DataFrame:
    """Return one row per post: numbers as floats (n_posts,), NaN where unknown; categories as texts, None there."""
    author, engagement = table["author"], table["engagement"]
    columns = {name: _numbers(pc.struct_field(author, field)) for name, field in _AUTHOR.items()}
    columns = {f"author's {name}": column for name, column in columns.items()}
    columns |= {name: _numbers(pc.struct_field(engagement, name)) for name in ("reactions", "reports", "impressions")}
    columns |= {f"has a {_KINDS[kind]}": there.astype(float) for kind, there in declared(table).items()}
    columns |= {name: _texts(table[name].to_pylist()) for name in ("community", "language", "region")}
    columns["author"] = _texts(pc.struct_field(author, "id").to_pylist())
    columns |= _times(table["created_at"])
    texts = pd.Series([clean(text) for text in table["text"].to_pylist()], dtype=object)
    columns |= {
        "characters": texts.str.len(),
        "words": texts.str.count(r"\S+"),
        "capitals": texts.str.count("[A-Z]"),
    }
    columns |= _name("post id", _texts(table["post_id"].to_pylist()))
    for kind in ("image", "video"):
        columns |= _file(table, kind)
    columns["row"] = pd.Series(range(len(table))) / max(len(table), 1)  # each set keeps the order of its corpus
    frame = pd.DataFrame(columns, index=range(len(table)))
    return frame.astype({name: float for name in frame if frame[name].dtype != object})


def _numbers(column: pa.ChunkedArray) -> pd.Series:
    return pd.Series(pc.cast(column, pa.float64(), safe=False).to_numpy())


def _texts(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype=object)


def _times(times: pa.ChunkedArray) -> dict[str, pd.Series]:
    """Return the parts of times; pandas' own clock ends within the years that a file may name, so Arrow's counts."""
    parts = {"hour": pc.hour, "minute": pc.minute, "second": pc.second, "weekday": pc.day_of_week}
    columns = {name: _numbers(part(times)) for name, part in parts.items()}
    since = _numbers(pc.cast(times, pa.int64()))
    return {"day": since / 86_400e6, **columns, "microsecond": since % 1e6}


def _name(what: str, names: pd.Series) -> dict[str, pd.Series]:
    """Return what names are made of: first letters, words, the first number, its last digits, last marks, length."""
    parts = {
        "letters": names.str.extract(r"^([^\W\d_]*)", expand=False),
        "words": names.str.replace(r"[\W\d_]+", " ", regex=True).str.strip(),
        "number": names.str.extract(r"(\d+)", expand=False).astype(float),
        "digits": names.str.extract(r"^\D*\d*?(\d{1,2})(?:\D|$)", expand=False).astype(float),
        "last mark": names.str[-1:],
        "last two marks": names.str[-2:],
        "length": names.str.len().astype(float),
    }
    return {f"{what}: {part}": column for part, column in parts.items()}


def _file(table: pa.Table, kind: str) -> dict[str, pd.Series]:
    paths = _texts(pc.struct_field(table[kind], "path").to_pylist())
    parts = paths.str.split(r"[/\\]", regex=True)
    what = f"{_KINDS[kind]}'s file"
    above = {"folder": 2, "folder above": 3}
    columns = {f"{what}: {name}": parts.str[-at].astype(object) for name, at in above.items()}
    split = parts.str[-1].astype(object).str.extract(r"(?s)^(?P<stem>.*?)(?:\.(?P<ending>[^.]*))?$")
    columns[f"{what}: ending"] = split["ending"].str.lower()
    columns |= _name(what, split["stem"].astype(object))
    sizes = [_sizes(cell, kind) for cell in exact.cells(table, kind)]
    held = ("bytes", "width", "height") if kind == "image" else ("bytes",)
    return columns | {f"{what}: {name}": pd.Series([size[at] for size in sizes]) for at, name in enumerate(held)}


def _sizes(cell: dict | None, kind: str) -> tuple[float, float, float]:
    """Return bytes, width and height of a file, NaN what cannot be read or is not asked."""
    nan = float("nan")
    try:
        data = media.content(cell, kind)
    except OSError:
        data = None
    if data is None:
        return nan, nan, nan
    return len(data), *((decoding.size(data) if kind == "image" else None) or (nan, nan))
