"""One row per annotator and post to one row per post: answers become votes, the most of them the label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from workbench.corpora.files.labels import LabelOptions, read_label
from workbench.corpora.files.values import plain, present
from workbench.errors import WorkbenchError
from workbench.schema import Options


class AnnotatorOptions(Options):
    """Columns of a file with one row per annotator and post."""

    item: str = Field(description="Column with the id of the post.")
    who: str | None = Field(None, description="Column with the id of the annotator.")
    label: dict[str, str | LabelOptions] = Field(
        min_length=1, description="Label -> column with the annotator's answer, or a rule on one, as under `labels`."
    )
    soft: bool = Field(False, description="Whether models learn the share of votes for a label, not what most say.")

    @property
    def rules(self) -> dict[str, LabelOptions]:
        """The rule of each label, however it was written."""
        rules = self.label.items()
        return {label: LabelOptions(column=rule) if isinstance(rule, str) else rule for label, rule in rules}

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (self.item, *((self.who,) if self.who else ()), *(rule.column for rule in self.rules.values()))


class Annotated(NamedTuple):
    """Columns with one row per post, votes (n_posts, 2) per label, and how many rows they came from."""

    columns: dict[str, pa.ChunkedArray]
    votes: dict[str, np.ndarray]
    rows: int
    repeated: int


def one_row_a_post(
    given: Mapping[str, pa.ChunkedArray],
    rule: AnnotatorOptions,
    kept: Collection[str],
    where: str,
    missing: Sequence[str],
) -> Annotated:
    """Return one row per post, in the order of the first row of each, with the votes of its annotators.

    kept: columns that nothing is made of; of those the first row that says anything is taken. An answer that one
    annotator gave twice to one post counts once; two different ones count both. Raises WorkbenchError for a row without
    a post's id, and where rows of one post say different things of it: another text, another split.
    """
    where = f"{where}, annotators"
    items = plain(given[rule.item], rule.item, where)
    if items.null_count:
        raise WorkbenchError(
            f"{where}: {items.null_count:,} rows have no {rule.item!r}; remove them or name another column"
        )
    codes, names = pd.factorize(items.to_numpy(zero_copy_only=False))
    own = {name: column for name, column in given.items() if name not in rule.names}
    columns = {name: _of_post(column, codes, names, name, where, name in kept) for name, column in own.items()}
    first = pa.array(np.unique(codes, return_index=True)[1])
    columns |= {name: given[name].take(first) for name in given if name not in own}
    who = np.arange(len(codes)).astype(str)
    if rule.who:
        people = present(given[rule.who], rule.who, where, missing).to_pylist()
        who = np.array([own if person is None else f"by {person}" for own, person in zip(who, people, strict=True)])
    votes, repeated = {}, 0
    for label, read in rule.rules.items():
        says = read_label(given[read.column], read, f"{where}.label.{label}", missing).says
        known = says.is_valid().to_numpy(zero_copy_only=False)
        frame = pd.DataFrame({"item": codes, "who": who, "no": ~says.fill_null(False).to_numpy(zero_copy_only=False)})
        frame = frame[known]
        once = frame.drop_duplicates()
        repeated = max(repeated, len(frame) - len(once))
        votes[label] = np.zeros((len(names), 2), dtype=int)
        np.add.at(votes[label], (once["item"], once["no"].astype(int)), 1)
    return Annotated({name: columns[name] for name in given}, votes, len(codes), repeated)


def _of_post(
    cells: pa.ChunkedArray, codes: np.ndarray, names: Sequence[str], name: str, where: str, kept: bool
) -> pa.ChunkedArray:
    """Return what the rows of each post say of it, each from the first row that says anything.

    codes: the post of each row, int (n_rows,), numbered as they come. Raises WorkbenchError where rows of one post say
    different things, unless the column is only `kept`.
    """
    values = cells if pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type) else plain(cells, name, where)
    said = values.is_valid().to_numpy()
    order = np.lexsort((np.arange(len(codes)), ~said, codes))
    first = pa.array(order[np.unique(codes[order], return_index=True)[1]])
    if not kept:
        texts = np.array([repr(value) for value in values.to_pylist()]) if values.type != pa.string() else values
        unlike = said & _differ(texts, first, codes)
        if unlike.any():
            post = names[codes[np.flatnonzero(unlike)[0]]]
            raise WorkbenchError(
                f"{where}: the rows of post {post!r} differ in {name!r}; give each content an id of its own, or name "
                "a column that says the same in all rows of a post"
            )
    return cells.take(first)


def _differ(texts: np.ndarray | pa.ChunkedArray, first: pa.Array, codes: np.ndarray) -> np.ndarray:
    """Say which rows, bool (n_rows,), are not as the first of their post."""
    texts = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([pa.array(texts, pa.string())])
    unlike = pc.not_equal(texts, texts.take(first).take(pa.array(codes)))
    return pc.fill_null(unlike, False).to_numpy()
