"""What a corpus tells of the cases of a functional test: which of its columns says what."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import WorkbenchError

SUITE = "suite_"  # before the name of a fact where a corpus maps its `suite`, and in `posts.parquet`
VALUES = 200  # a further column with more different values is no way to tell results by
CASES = {
    "functionality": ("functionality",),
    "target": ("target", "target_ident"),
    "case": ("case",),
    "label": ("label",),
    "note": ("note",),
}
"""What is known of a case of a functional test -> the columns of `meta` that tell it where a corpus maps no `suite`;
then there is no suite without a functionality. `label` is the label that a case is about, where its suite has cases of
several; `note` is for the reader.
"""
BY = "by:"  # before the name of a further column that results on a suite are told by


def case_columns(posts: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return what a corpus tells of its cases, by the names of CASES, as strings; empty where it is no suite."""
    if "meta" not in posts.column_names or not pa.types.is_struct(posts.schema.field("meta").type):
        return {}
    there = [field.name for field in posts.schema.field("meta").type]
    columns = {name.removeprefix(SUITE): name for name in there if name.startswith(SUITE)}  # as the corpus maps them
    if not columns:
        first = {name: next((field for field in choices if field in there), "") for name, choices in CASES.items()}
        columns = {name: field for name, field in first.items() if field} if first["functionality"] else {}
    cases = {name: pc.cast(pc.struct_field(posts["meta"], field), pa.string()) for name, field in columns.items()}
    for name, cells in cases.items():
        if name.startswith(BY) and (values := pc.count_distinct(cells).as_py()) > VALUES:
            raise WorkbenchError(
                f"suite.by: the column {name.removeprefix(BY)!r} has {values:,} different values, more than the "
                f"{VALUES} that a table can have; name another"
            )
    return cases
