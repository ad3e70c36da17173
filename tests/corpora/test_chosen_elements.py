"""Lists without the elements of which a field, or a list beside them, says something else: `answers[status=done]`."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import corpora
from workbench.corpora.reading.columns import column
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy

ROWS = [
    {
        "kind": ["yes", "no"],
        "kind.state": ["done", "open"],
        "by": [{"ok": True, "said": "yes"}, {"ok": False, "said": "no"}],
    },
    {"kind": ["no"], "kind.state": ["done"], "by": [{"ok": True, "said": "no"}]},
    {"kind": ["yes"], "kind.state": ["open"], "by": [{"ok": False, "said": "yes"}]},
    {"kind": [], "kind.state": [], "by": []},
]
NESTED = [{"id": n, "text": f"words {n}", "inner": {"by": row["by"]}, **row} for n, row in enumerate(ROWS)]


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "jsonl.gz"])
@pytest.mark.parametrize("name", ["kind[state=done]", "by[ok=true].said", "inner.by[ok=true].said"])
def test_only_those_are_read(tmp_path, ending, name):
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(NESTED), path)
    else:
        lines = json.dumps(NESTED) if ending == "json" else "\n".join(map(json.dumps, NESTED))
        path.write_text(lines)
        if ending.endswith(".gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    votes = {"abuse": {"columns": [name], "positive": ["yes"], "negative": ["no"]}}
    config = {"source": "files", "path": str(path), "post_id": "id", "text": "text", "votes": votes}
    table = corpora.load(config, Taxonomy.load(), cache=tmp_path / "cache").table
    assert [row["abuse"] for row in table["labels"].to_pylist()] == [True, False, None, None]


def test_a_column_that_is_called_so_comes_first_and_one_that_is_not_there_is_told():
    table = pa.table({"a[b=c]": ["own"], "d": [["x"]]})
    assert column(table, "a[b=c]", ["a[b=c]", "d"], "here").to_pylist() == ["own"]
    with pytest.raises(WorkbenchError, match=r"unknown column 'd\[b=c\]'"):
        column(table, "d[b=c]", ["d"], "here")


def test_lists_of_unlike_lengths_say_nothing():
    table = pa.table({"d": [["x", "y"], ["x"]], "d.b": [["c"], ["c"]]})
    assert column(table, "d[b=c]", ["d", "d.b"], "here").to_pylist() == [None, ["x"]]
