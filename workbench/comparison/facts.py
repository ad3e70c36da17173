"""What a post can be sliced by: the columns that `predictions.parquet` keeps beside scores, and the bands of numbers.

Numbers are kept as they are and put into bands when they are compared, so that other edges need no new run. A corpus's
`meta` columns are kept as slices too where they hold few different values: whoever keeps a column can slice by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.preprocessing.text.identities import Identities

PLAIN = ("community", "language", "region")
STANDARD = ("modality", *PLAIN, "length", "author_age", "month", "identity")
BANDS = {"length": (40.0, 140.0, 280.0, 1000.0), "author_age": (7.0, 30.0, 365.0)}
"""Upper edges of the bands, each within its band: characters of text, days since the account was made."""
VALUES = 200  # a column with more different values is no slice: names, addresses, running texts
OTHER, UNKNOWN = "other", "unknown"
_PREFIX, _IDENTITIES = "slice_", "identities"


def slice_columns(table: pa.Table, identities: Identities | None = None) -> dict[str, Any]:
    """Return the columns of a corpus table (n_posts) that slices are made from, as `predictions.parquet` keeps them.

    `community`, `language`, `region`; `slice_length` in characters, null without a text; `slice_author_age` in days;
    `slice_month` as YYYY-MM in UTC; `slice_NAME` for each plain column of `meta` with at most VALUES values, numbers as
    numbers; `votes_LABEL_yes` and `votes_LABEL_no` where annotators were counted; `identities`, the list of identities
    that the text mentions, null without a text.
    """
    found: dict[str, Any] = {name: table[name] for name in PLAIN}
    found[f"{_PREFIX}length"] = pc.cast(pc.utf8_length(table["text"]), pa.int64())
    found[f"{_PREFIX}author_age"] = pc.struct_field(table["author"], "account_age_days")
    found[f"{_PREFIX}month"] = pc.strftime(table["created_at"], format="%Y-%m")
    for name, cells in _meta(table):
        if re.fullmatch(r"votes_.+_(yes|no)", name):
            found[name] = pc.cast(cells, pa.int64())
            continue
        free = f"{_PREFIX}{name}" not in found and name not in STANDARD
        found[f"{_PREFIX}{name}" if free else f"{_PREFIX}meta_{name}"] = cells
    mentions = (identities or Identities.load()).mentions(table["text"])
    return found | {_IDENTITIES: mentions}


def _meta(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield the plain columns of `meta` that hold few different values, or numbers."""
    if "meta" not in table.column_names:
        return
    for field in table.schema.field("meta").type:
        cells = pc.struct_field(table["meta"], field.name)
        if pa.types.is_boolean(field.type):
            yield field.name, pc.cast(cells, pa.string())
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            yield field.name, pc.cast(cells, pa.float64())
        elif pa.types.is_string(field.type) and pc.count_distinct(cells).as_py() <= VALUES:
            yield field.name, cells


def read_slices(rows: pa.Table, has: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what `slice_columns` kept, by the slice's name: text (n,) with "" for unknown, or numbers with NaN.

    rows: those of one set and one seed; has: modality -> (n,) bool, from which the slice `modality` follows, such as
    "text+image".
    """
    stacked = np.array([np.where(there, f"{name}+", "") for name, there in has.items()], dtype=object)
    found = {"modality": np.array([one.rstrip("+") or "nothing" for one in stacked.sum(axis=0)], dtype=str)}
    for column in rows.column_names:
        if column in PLAIN or column.startswith(_PREFIX):
            cells, name = rows[column], column.removeprefix(_PREFIX)
            number = pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)
            found[name] = (
                pc.fill_null(pc.cast(cells, pa.float64()), np.nan).to_numpy()
                if number
                else np.array(pc.fill_null(pc.cast(cells, pa.string()), "").to_pylist(), dtype=str)
            )
    return found


def read_identities(rows: pa.Table) -> dict[str, np.ndarray]:
    """Return identity -> which posts (n,) mention it, of the rows of one set and one seed, in alphabetical order."""
    if _IDENTITIES not in rows.column_names:
        return {}
    cells = rows[_IDENTITIES].combine_chunks()
    names, parents = pc.list_flatten(cells), pc.list_parent_indices(cells).to_numpy(zero_copy_only=False)
    found = {}
    for name in sorted(pc.unique(names).to_pylist()):
        found[name] = np.zeros(len(rows), dtype=bool)
        found[name][parents[pc.equal(names, name).to_numpy(zero_copy_only=False)]] = True
    return found


def read_votes(rows: pa.Table, labels: Sequence[str]) -> np.ndarray:
    """Return how many annotators said yes and no, float (n, L, 2), NaN where nobody counted them."""
    found = np.full((len(rows), len(labels), 2), np.nan)
    for k, label in enumerate(labels):
        for i, side in enumerate(("yes", "no")):
            if f"votes_{label}_{side}" in rows.column_names:
                cells = pc.cast(rows[f"votes_{label}_{side}"], pa.float64())
                found[:, k, i] = pc.fill_null(cells, np.nan).to_numpy()
    return found


def banded(name: str, values: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return numbers (n,) as the names of their bands, "" for NaN, and the bands' inner edges.

    The edges of BANDS, or for other columns the quartiles of what is there; up to 12 different numbers stay themselves,
    without edges. An edge belongs to the band below it.

    >>> banded("length", np.array([10.0, 41.0, np.nan]))[0].tolist()
    ['40 or less', 'over 40 to 140', '']
    """
    there = values[~np.isnan(values)]
    if name not in BANDS and len(np.unique(there)) <= 12:
        return np.array(["" if np.isnan(one) else f"{one:g}" for one in values], dtype=str), ()
    edges = BANDS.get(name) or tuple(np.unique(np.quantile(there, [0.25, 0.5, 0.75])).tolist())
    names = [f"{edges[0]:g} or less", *(f"over {a:g} to {b:g}" for a, b in pairwise(edges))]
    names.append(f"over {edges[-1]:g}")
    places = np.searchsorted(edges, np.where(np.isnan(values), 0, values), side="left")
    return np.where(np.isnan(values), "", np.array(names)[places]), edges
