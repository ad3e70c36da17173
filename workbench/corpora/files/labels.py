"""From a file's own annotations to true, false or unknown: what a mapping does not name stays unknown, with the reason.

A soft label is a share: models learn from it where they can, and as a truth it is what more than half says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench.corpora.files.values import (
    MISSING,
    ValueRule,
    counted,
    looked_up,
    lowered,
    meanings,
    plain,
    present,
    shown,
    texts_of,
)
from workbench.corpora.reading.written import NoNumbers, elements, numbers
from workbench.errors import WorkbenchError


class LabelOptions(ValueRule):
    """How one label is read off one column: by its values, its numbers, or by the elements of its lists."""

    column: str = Field(description="The column; a dot reaches into nested ones.")
    contains: tuple[Any, ...] | None = Field(
        None, description="For columns of lists: true where a list has one of these, else false."
    )
    separator: str | None = Field(
        None, description="What parts the elements of lists that are written in cells; default: told from the cells."
    )
    threshold: float | None = Field(None, description="For columns of numbers: true from this value on, else false.")
    soft: bool = Field(
        False, description="For columns of shares from 0 to 1: models learn the share; the truth is what most say."
    )

    @model_validator(mode="after")
    def _one_way_to_read(self) -> Self:
        ways = [name for name in ("positive", "contains", "threshold") if getattr(self, name) is not None]
        ways += ["soft"] if self.soft else []
        if len(ways) > 1:
            raise ValueError(f"give only one of {', '.join(ways)}")
        if ways not in (["positive"], ["contains"]) and self.negative is not None:
            raise ValueError("`negative` goes with `positive`")
        if self.separator is not None and ways != ["contains"]:
            raise ValueError("`separator` goes with `contains`")
        return self


class LabelCells(NamedTuple):
    """What a column says of a label, each (n_rows,): bool with nulls, why where it is unknown, and shares if soft."""

    says: pa.Array
    why: pa.Array
    share: pa.Array | None = None


def read_label(cells: pa.ChunkedArray, rule: LabelOptions, where: str, missing: Sequence[str] = MISSING) -> LabelCells:
    """Return what the column says of the label.

    Raises WorkbenchError naming `where` when the rule does not fit the column: it leaves open what a value means, a
    listed one looks mistyped, a plain column says neither yes nor no, or its type does not suit the rule.
    """
    place = f"{where}: column {rule.column!r}"
    if rule.contains is not None:
        return _by_element(cells, rule, place, where, missing)
    if pa.types.is_list(cells.type):
        raise WorkbenchError(f"{place} holds lists; use `contains` for lists, a dot for structs")
    if rule.threshold is not None or rule.soft:
        return _by_number(cells, rule, place, where, missing)
    values = plain(cells, rule.column, where)
    return LabelCells(*looked_up(values, meanings(counted(values), rule, missing, place)))


def _by_number(
    cells: pa.ChunkedArray, rule: LabelOptions, place: str, where: str, missing: Sequence[str]
) -> LabelCells:
    """Read numbers; what is missing stays unknown, and so does half of a soft label."""
    written = plain(cells, rule.column, where)
    values = present(cells, rule.column, where, missing)
    try:
        read = numbers(values).combine_chunks()
    except NoNumbers as error:
        odd = {value: n for value, n in counted(values).items() if value in error.odd}
        hint = f", {error.hint}" if error.hint else "; add words for missing to `missing`"
        raise WorkbenchError(f"{place} must hold numbers, not {shown(odd)}{hint}") from None
    if (rule.threshold or 0) > 1 and pc.any(pc.ends_with(values, "%")).as_py():
        raise WorkbenchError(
            f"{place} holds percentages, which are shares of 1: write `threshold: {rule.threshold / 100:g}`, not "
            f"{rule.threshold:g}"
        )
    outside = pc.invert(pc.is_finite(read))
    if rule.soft:
        outside = pc.or_(outside, pc.or_(pc.less(read, 0), pc.greater(read, 1)))
    if pc.any(outside).as_py():
        bad = read.filter(outside)[0].as_py()
        hint = "must hold shares from 0 to 1" if rule.soft else "must hold finite numbers"
        raise WorkbenchError(f"{place} {hint}, not {bad:g}; divide it, or name another column")
    blank = pc.if_else(
        pc.is_null(written).combine_chunks(),
        "empty",
        pc.binary_join_element_wise("missing: ", written.combine_chunks(), ""),
    )
    if rule.soft:
        says = pc.if_else(pc.equal(read, 0.5), None, pc.greater(read, 0.5))
        why = pc.if_else(pc.is_null(read), blank, pc.if_else(pc.equal(read, 0.5), "one half", None))
        return LabelCells(says, why, read)
    return LabelCells(pc.greater_equal(read, rule.threshold), pc.if_else(pc.is_null(read), blank, None))


# --------------------------------------------------------------------------------------------------------------- lists


def _by_element(
    cells: pa.ChunkedArray, rule: LabelOptions, place: str, where: str, missing: Sequence[str]
) -> LabelCells:
    """Read lists by their elements; an empty list has none of them, a missing one is unknown."""
    lists, why = _lists(cells, rule, place, where, missing)
    named = ValueRule(positive=rule.contains, negative=rule.negative or "rest", unclear=rule.unclear)
    written = [element for row in lists if row is not None for element in row]
    counts = counted(pa.chunked_array([pa.array(written, pa.string())]))
    found = meanings(counts, named, (), place, may_lack=True)
    says = {element: meaning.says for element, meaning in found.items()}
    unclear = {element for element, meaning in found.items() if (meaning.why or "").startswith("unclear")}
    out, whys = [], []
    for row, reason in zip(lists, why, strict=True):
        yes = row is not None and any(says[element] is True for element in row)
        doubt = next((element for element in row or () if element in unclear), None)
        known = row is not None and (yes or doubt is None)
        out.append(yes if known else None)
        whys.append(None if known else reason or f"unclear: {doubt}")
    return LabelCells(pa.array(out, pa.bool_()), pa.array(whys, pa.string()))


def _lists(
    cells: pa.ChunkedArray, rule: LabelOptions, place: str, where: str, missing: Sequence[str]
) -> tuple[list[list[str] | None], list[str | None]]:
    """Return each row's elements as text, None for none, and then why."""
    if pa.types.is_null(cells.type):
        return [None] * len(cells), ["empty"] * len(cells)
    if pa.types.is_list(cells.type):
        inner = cells.type.value_type
        if pa.types.is_nested(inner) or pa.types.is_binary(inner):
            held = "objects" if pa.types.is_struct(inner) else "lists or bytes"
            fields = (
                f"such as `{rule.column}.{inner[0].name}`" if pa.types.is_struct(inner) and len(inner) else "with dots"
            )
            raise WorkbenchError(f"{place} holds lists of {held}; name what is in them, {fields}")
        flat = plain(pa.chunked_array([pc.list_flatten(cells.combine_chunks())]), rule.column, where).to_pylist()
        ends = np.cumsum(pc.fill_null(pc.list_value_length(cells), 0).to_numpy())
        lists = [
            [element for element in flat[end - size : end] if element is not None] if size is not None else None
            for end, size in zip(ends, pc.list_value_length(cells).to_pylist(), strict=True)
        ]
        return lists, [None if row is not None else "empty" for row in lists]
    written = plain(cells, rule.column, where)
    named = rule.named | texts_of(rule.contains)
    absent, counts = lowered(missing), counted(written)
    found: dict[str | None, list[str] | None] = dict(
        elements([cell for cell in counts if cell in named or cell.lower() not in absent], named, rule.separator, place)
    )
    texts = written.to_pylist()
    lists = [found.get(text) for text in texts]
    if any(row is None and text is not None for row, text in zip(lists, texts, strict=True)) and all(
        row is None or {*row} & texts_of(rule.contains) for row in lists
    ):
        words = sorted({text for row, text in zip(lists, texts, strict=True) if row is None and text is not None})
        raise WorkbenchError(
            f"{place}: nothing but words for missing ({', '.join(words)}) is left to mean no; say what they are, as in "
            f"`negative: [{words[0]!r}]` or `unclear: [{words[0]!r}]`"
        )
    return lists, [
        None if row is not None else ("empty" if text is None else f"missing: {text}")
        for row, text in zip(lists, texts, strict=True)
    ]
