"""Columns that are worth slicing by: few values, each of many posts, of which none tells a label by itself."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.comparison.facts import STANDARD
from workbench.studies.init.answers import is_hinted
from workbench.studies.init.draft import Draft
from workbench.studies.init.labels import is_taken
from workbench.studies.init.look import Contents, FileColumn, plainly

_MOST, _VALUES, _POSTS = 4, 8, 20  # columns, values of one, posts of a value that counts
_EACH = 5  # posts that say yes, and that say no, in a part worth a look
_LONGEST = 40


def keep(seen: Contents, draft: Draft) -> None:
    """Keep the columns by whose values a comparison can be sliced."""
    rules = [*draft.corpus.get("labels", {}).values(), *draft.corpus.get("votes", {}).values()]
    rules += [*draft.corpus.get("annotators", {}).get("label", {}).values()]
    used = {
        name
        for rule in rules
        for name in ([rule] if isinstance(rule, str) else rule.get("columns", [rule.get("column")]))
    }
    found = [
        column
        for column in seen.columns.values()
        if column.name not in used
        and not is_taken(column, draft)
        and _slices(column)
        and _of_posts(seen, draft, column)
    ]
    if found:
        draft.set("keep", [column.name for column in found], "to slice by, seen by no model")


def _slices(found: FileColumn) -> bool:
    """Say whether a column has few values, two of them in many posts, and does not look like an annotation."""
    if found.kind != "values" or is_hinted(found) or found.name in STANDARD or re.match("votes_|suite_", found.name):
        return False
    large = [value for value, count in found.said.items() if count >= _POSTS]
    told = sum(found.said.values())
    few = 2 <= len(found.said) <= _VALUES and max(map(len, found.said)) <= _LONGEST
    return few and len(large) > 1 and 5 * told >= 4 * len(found.cells)


def _of_posts(seen: Contents, draft: Draft, found: FileColumn) -> bool:
    """Say whether a column says the same in all rows of a post."""
    if "annotators" not in draft.corpus:
        return True
    item = seen.columns[draft.corpus["annotators"]["item"]].values.to_pandas()
    return bool((found.values.to_pandas().fillna("").groupby(item).nunique() == 1).all())


def narrow(table: pa.Table, seen: Contents, draft: Draft) -> None:
    """Leave out kept columns that tell a label alone, that have not two parts of both classes, or are too many."""
    parts = {name: _parts(table, name, draft.labels) for name in draft.corpus.get("keep", ())}
    telling = [name for name, counts in parts.items() if any(map(_tells, counts))]
    worth = [name for name, counts in parts.items() if name not in telling and any(map(_is_fair, counts))]
    if telling:
        draft.tell(f"not kept to slice by, as they tell a label without its post: {', '.join(map(repr, telling))}")
    why = [draft.why.get("keep", ""), *(f"{name}: {plainly(seen.columns[name].said, 3)}" for name in worth[:_MOST])]
    why += [f"{', '.join(worth[_MOST:])} would do too"] if worth[_MOST:] else []
    draft.corpus.pop("keep", None)
    if worth:
        draft.set("keep", worth[:_MOST], "; ".join(why))


def _parts(table: pa.Table, name: str, labels: list[str]) -> list[np.ndarray]:
    """Return for each label how many posts of each value say no and yes, int (n_values, 2)."""
    values = pc.struct_field(table["meta"], name).cast(pa.string()).to_pandas()
    out = []
    for label in labels:
        says = pc.struct_field(table["labels"], label).to_pandas()
        known = values.notna() & says.notna()
        counts = pd.crosstab(values[known], says[known].astype(bool))
        out.append(counts.reindex(columns=[False, True], fill_value=0).to_numpy())
    return out


def _tells(counts: np.ndarray) -> bool:
    """Say whether guessing by the value leaves less than a fifth of the errors of always guessing the same."""
    return counts.min(axis=1).sum() < 0.2 * counts.sum(axis=0).min()


def _is_fair(counts: np.ndarray) -> bool:
    return int((counts >= _EACH).all(axis=1).sum()) > 1
