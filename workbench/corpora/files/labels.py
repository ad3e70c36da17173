"""From a file's own annotations to true, false or unknown: what a mapping does not name stays unknown."""

from __future__ import annotations

import difflib
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench.errors import WorkbenchError
from workbench.schema import Options

Value = bool | int | float | str
YES, NO = ("1", "1.0", "true", "yes", "y", "t"), ("0", "0.0", "false", "no", "n", "f")


class LabelOptions(Options):
    """How one label is read off one column: by its values, by a threshold, or by the elements of its lists."""

    column: str = Field(description="The column; a dot reaches into nested ones.")
    positive: tuple[Value, ...] | None = Field(None, description="Values that mean true.")
    negative: tuple[Value, ...] | None = Field(
        None, description="Values that mean false; without it, all values that are neither positive nor unclear."
    )
    unclear: tuple[Value, ...] = Field((), description="Values, or list elements, that leave the label unknown.")
    contains: tuple[Value, ...] | None = Field(
        None, description="For columns of lists: true where a list has one of these, else false."
    )
    threshold: float | None = Field(None, description="For columns of numbers: true from this value on, else false.")

    @model_validator(mode="after")
    def _one_way_to_read(self) -> Self:
        ways = [name for name in ("positive", "contains", "threshold") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"give only one of {', '.join(ways)}")
        if ways != ["positive"] and self.negative is not None:
            raise ValueError("`negative` goes with `positive`")
        return self


def read_label(cells: pa.ChunkedArray, rule: LabelOptions, where: str) -> pa.Array:
    """Return a bool array (n_rows,) with nulls where the label is unknown.

    Raises WorkbenchError naming `where` when the rule does not fit the column: no listed value occurs in it, a listed
    one looks mistyped, a plain column says neither yes nor no, or its type does not suit the rule.
    """
    is_list = pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type)
    if pa.types.is_null(cells.type):
        return pa.nulls(len(cells), pa.bool_())
    if rule.contains is not None:
        if not is_list:
            raise WorkbenchError(f"{where}: `contains` needs a column of lists, but {rule.column!r} holds {cells.type}")
        return _by_element(cells, rule, where)
    if is_list or pa.types.is_struct(cells.type):
        raise WorkbenchError(
            f"{where}: column {rule.column!r} holds {cells.type}; use `contains` for lists, a dot for structs"
        )
    if rule.threshold is not None:
        return _by_threshold(cells, rule, where)
    return _by_value(cells, rule, where)


def _by_value(cells: pa.ChunkedArray, rule: LabelOptions, where: str) -> pa.Array:
    values = plain_text(cells)
    if rule.positive is None:
        values = pc.utf8_lower(values)
        yes, no = _is_in(values, YES), _is_in(values, NO)
        if pc.any(pc.is_valid(values)).as_py() and not pc.any(pc.or_(yes, no)).as_py():
            raise WorkbenchError(
                f"{where}: column {rule.column!r} holds {_some(values)}, not yes or no; list the `positive` values"
            )
    else:
        positive, negative = _texts(rule.positive), _texts(rule.negative or ())
        _occur(values, (*positive, *negative), where, rule)
        yes = _is_in(values, positive)
        no = _is_in(values, negative) if rule.negative is not None else pc.and_(pc.is_valid(values), pc.invert(yes))
    clear = pc.invert(_is_in(values, _texts(rule.unclear)))
    return _array(pc.if_else(pc.and_(pc.or_(yes, no), clear), yes, None))


def _by_threshold(cells: pa.ChunkedArray, rule: LabelOptions, where: str) -> pa.Array:
    """Read numbers; what is missing or NaN stays unknown."""
    try:
        numbers = pc.cast(cells, pa.float64())
    except pa.ArrowException as error:
        raise WorkbenchError(f"{where}: column {rule.column!r} must hold numbers: {error}") from None
    return _array(pc.if_else(pc.is_nan(numbers), None, pc.greater_equal(numbers, rule.threshold)))


def _by_element(cells: pa.ChunkedArray, rule: LabelOptions, where: str) -> pa.Array:
    """Read lists by their elements; an empty list has none of them, a missing one is unknown."""
    rows = cells.combine_chunks()
    elements = plain_text(pa.chunked_array([pc.list_flatten(rows)]))
    parents = pc.list_parent_indices(rows).to_numpy(zero_copy_only=False)
    _occur(elements, _texts(rule.contains), where, rule)

    def rows_with(values: tuple[str, ...]) -> np.ndarray:
        hits = _array(_is_in(elements, values)).to_numpy(zero_copy_only=False)
        mask = np.zeros(len(rows), bool)
        mask[parents[hits]] = True
        return mask

    yes, unclear = rows_with(_texts(rule.contains)), rows_with(_texts(rule.unclear))
    missing = rows.is_null().to_numpy(zero_copy_only=False)
    return pa.array(yes, mask=missing | (unclear & ~yes))


# ------------------------------------------------------------------------------------------------------------- values


def plain_text(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return single values as trimmed text, numbers without a needless `.0`, empty ones as null."""
    if pa.types.is_floating(cells.type):
        whole = pc.all(pc.or_kleene(pc.is_null(cells, nan_is_null=True), pc.equal(pc.floor(cells), cells))).as_py()
        cells = pc.if_else(pc.is_nan(cells), None, cells)
        cells = pc.cast(cells, pa.int64(), safe=False) if whole and len(cells) else cells
    values = pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
    return pc.if_else(pc.equal(values, ""), None, values)


def _texts(values: tuple[Value, ...] | None) -> tuple[str, ...]:
    """Return the values of a rule as `plain_text` writes them."""
    cells = [
        str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
        for value in values or ()
    ]
    return tuple(str(cell).strip() for cell in cells)


def _is_in(values: pa.ChunkedArray, chosen: tuple[str, ...]) -> pa.ChunkedArray:
    """Say which values are among the chosen; a missing one is not."""
    return pc.is_in(values, value_set=pa.array(chosen, pa.string()), skip_nulls=True)


def _array(cells: pa.ChunkedArray | pa.Array) -> pa.Array:
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


def _some(values: pa.ChunkedArray, most: int = 8) -> str:
    """Return a few distinct values, quoted."""
    distinct = sorted(value for value in pc.unique(values).to_pylist() if value is not None)
    return ", ".join(f"{value:.40}" for value in distinct[:most]) + (" ..." if len(distinct) > most else "")


def _occur(values: pa.ChunkedArray, listed: tuple[str, ...], where: str, rule: LabelOptions) -> None:
    """Raise WorkbenchError when the listed values look mistyped; a corpus that really lacks some is fine."""
    distinct = {value for value in pc.unique(values).to_pylist() if value is not None}
    absent = [value for value in listed if value not in distinct]
    if not distinct or not absent:
        return
    others = sorted(distinct - set(listed) - set(_texts(rule.unclear)))[:1000]
    near = next((match for value in absent for match in difflib.get_close_matches(value, others, 1, 0.85)), None)
    if near or (len(absent) == len(listed) and rule.contains is None):
        hint = f"; did you mean {near!r}?" if near else "; list the `negative` values too if no row is positive;"
        raise WorkbenchError(
            f"{where}: the value {absent[0]!r} does not occur in column {rule.column!r}{hint} It holds {_some(values)}"
        )
