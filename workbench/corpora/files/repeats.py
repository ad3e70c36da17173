"""Rows with one id: a row that is another once more is taken once, ids with different rows are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.files.values import plain
from workbench.errors import WorkbenchError


def once(
    given: dict[str, pa.ChunkedArray], name: str | None, parts: Sequence[tuple[str, int]], where: str
) -> tuple[dict[str, pa.ChunkedArray], int]:
    """Return the columns without rows that repeat an earlier one in every column, and how many those were.

    name: the column with the ids, None where rows are numbered; parts: name and rows of each file. Raises
    WorkbenchError for an id that stands over different rows, with the files that hold it.
    """
    if name is None:
        return given, 0
    ids = plain(given[name], name, where)
    if pc.count_distinct(ids).as_py() == len(ids) - ids.null_count:
        return given, 0
    values = ids.to_pandas()
    mask = values.duplicated(keep=False) & values.notna()
    rows = np.flatnonzero(mask)
    few = {column: cells.take(pa.array(rows)).to_pylist() for column, cells in given.items()}
    contents = [repr(row) for row in zip(*few.values(), strict=True)]
    frame = pd.DataFrame({"row": rows, "id": values[rows].to_numpy(), "content": contents})
    again = frame.duplicated(["id", "content"])
    left = frame[~again]
    unlike = left[left["id"].duplicated(keep=False)]
    if len(unlike):
        _refuse(unlike, parts, where)
    kept = np.ones(len(values), bool)
    kept[frame["row"][again]] = False
    keep = pa.array(kept)
    return {column: pc.filter(cells, keep) for column, cells in given.items()}, int(again.sum())


def _refuse(unlike: pd.DataFrame, parts: Sequence[tuple[str, int]], where: str) -> None:
    ids = sorted(unlike["id"].unique())
    some = ", ".join(repr(post_id) for post_id in ids[:3])
    ends = np.cumsum([rows for _, rows in parts])
    names = [Path(part).name for part, _ in parts]
    held = (
        dict.fromkeys(names[place] for place in np.searchsorted(ends, unlike["row"], side="right")) if len(ends) else {}
    )
    in_files = f" in {', '.join(held)}" if len(held) > 1 else ""
    hint = "name the files that do not overlap in `paths`" if in_files else "leave out `post_id` to number the rows"
    raise WorkbenchError(
        f"{where}: {len(ids):,} post ids occur more than once{in_files} over different rows, such as {some}; remove "
        f"the repeats, {hint}, or say in `annotators` who said what if each row is one annotator's"
    )
