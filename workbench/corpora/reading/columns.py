"""Columns: from Python's values to Arrow, stacked from parts, and reached by a name with dots in objects and lists."""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.errors import WorkbenchError, unknown

MIXED = pa.struct({"objects or lists beside single values": pa.string()})
"""How a column looks that holds both: nothing that is mapped can be of this type, so it is told and not guessed."""
_CHOICE = re.compile(r"(.+)\[([\w-]+)=([\w-]+)\]")  # those of a list of which a field says so: `notes[status=done]`
EXACT = 2**53  # whole numbers up to here are floats without loss


def wanted_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names as they are looked for: each with its steps into objects."""
    return {name: name.split(".") for name in dict.fromkeys(name.strip() for name in names if name)}


def read_for(name: str) -> list[str]:
    """Return the columns of a file that a name can be made of: itself, the outermost, a list and the one beside it.

    >>> read_for("a.b"), read_for("a.b[c=d]")
    (['a.b', 'a'], ['a.b[c=d]', 'a', 'a.b', 'a.b.c'])
    """
    return [name, name.split(".")[0].partition("[")[0], *beside(name)]


def beside(name: str) -> list[str]:
    """Return the column of lists, and the one beside it that says which of their elements a name means, if any."""
    choice = _CHOICE.fullmatch(name)
    return [choice[1], f"{choice[1]}.{choice[2]}"] if choice else []


def number_text(value: float) -> str:
    """Return a number as people write it: whole ones without a point.

    >>> number_text(10.0), number_text(0.5), number_text(1e20)
    ('10', '0.5', '1e+20')
    """
    return str(int(value)) if value == value and abs(value) < EXACT and value == int(value) else repr(value)


def scalar_text(value: Any) -> str | None:
    """Return a single value as text, None for none."""
    if value is None or value != value:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def cells_of(values: list[Any]) -> pa.Array:
    """Return values as an array; single values of several kinds become text, objects stay objects, field by field."""
    try:
        return pa.array(values)
    except UnicodeEncodeError:  # lone halves of surrogate pairs, which UTF-8 cannot hold
        return cells_of(
            [json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace")) for value in values]
        )
    except (pa.ArrowException, OverflowError):
        there = [value for value in values if value is not None]
    if all(isinstance(value, dict) for value in there):
        fields = {str(key): None for value in there for key in value}
        inner = [cells_of([value and value.get(name) for value in values]) for name in fields]
        return pa.StructArray.from_arrays(inner, list(fields), mask=pa.array([value is None for value in values]))
    if all(isinstance(value, list) for value in there) and not any(
        isinstance(item, dict | list) for value in there for item in value
    ):
        lists = [value and [scalar_text(item) for item in value] for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    if any(isinstance(value, dict | list | bytes) for value in there):
        texts = [value if value is None else json.dumps(value, default=str) for value in values]
        return pa.StructArray.from_arrays(
            [pa.array(texts)], fields=list(MIXED), mask=pa.array([value is None for value in values])
        )
    texts = [scalar_text(value) for value in values]
    return pa.array([text and text.encode(errors="replace").decode() for text in texts], pa.string())


def stack(parts: Sequence[pa.Array | pa.ChunkedArray]) -> pa.ChunkedArray:
    """Return one column from its parts; parts of different kinds are promoted where Arrow can, else become text."""
    kinds = {part.type for part in parts}
    if len(kinds) == 1:
        chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
        return pa.chunked_array(chunks, kinds.pop())
    if pa.string() not in kinds or kinds == {pa.string(), pa.null()}:
        with suppress(pa.ArrowException):
            tables = [pa.table({"column": part}) for part in parts]
            return pa.concat_tables(tables, promote_options="permissive")["column"]
    return pa.chunked_array([cells_of([value for part in parts for value in part.to_pylist()])])


def column(table: pa.Table, name: str, names: list[str], where: str) -> pa.ChunkedArray:
    """Return a column by its name, or through nested ones by its dots; raise WorkbenchError listing what there is."""
    name = name.strip()
    if name in table.column_names:
        return simple(table[name])
    if (chosen := _chosen_beside(table, name)) is not None:
        return chosen
    first, *steps = name.split(".")
    if choice := _CHOICE.fullmatch(first):
        cells = table[choice[1]] if choice[1] in table.column_names else None
        table = (
            table
            if cells is None
            else pa.table({first: [reach({choice[1]: row}, [first]) for row in cells.to_pylist()]})
        )
    if first not in table.column_names or not steps:
        raise WorkbenchError(f"{where}: {unknown('column', name, _shown(name, names))}")
    cells = table[first]
    for at, step in enumerate(steps):
        if not pa.types.is_struct(cells.type) or _CHOICE.fullmatch(step):
            reached = [reach(value, steps[at:]) for value in cells.to_pylist()]
            if all(value is None for value in reached):
                raise WorkbenchError(f"{where}: {unknown('column', name, _shown(name, names))}")
            return simple(pa.chunked_array([cells_of(reached)]))
        fields = [field.name for field in cells.type]
        if step not in fields:
            nested = [f"{first}.{field}" for field in fields]
            raise WorkbenchError(f"{where}: {unknown('column', name, _shown(name, [*names, *nested]))}")
        cells, first = pc.struct_field(cells, step), f"{first}.{step}"
    return simple(cells)


def _chosen_beside(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    """Return lists without the elements of which a list beside them, `NAME.FIELD`, says something else."""
    lists = beside(name)
    if not lists or not {*lists} <= {*table.column_names}:
        return None
    both, wanted = (table[column].to_pylist() for column in lists), _CHOICE.fullmatch(name)[3]
    return pa.chunked_array([cells_of([_those(values, said, wanted) for values, said in zip(*both, strict=True)])])


def _those(values: Any, said: Any, wanted: str) -> Any:
    if not isinstance(values, list) or not isinstance(said, list) or len(values) != len(said):
        return None
    return [value for value, word in zip(values, said, strict=True) if scalar_text(word) == wanted]


def reach(value: Any, steps: list[str]) -> Any:
    """Return what steps lead to in nested values, None where there is nothing.

    A number is a place in a list; `notes[status=done]` is a list without the objects whose `status` is another; any
    other step into a list is taken in each of its elements, and lists of lists become one, so that all answers of all
    annotators are one list.

    >>> reach([{"choices": ["insult"]}, {"choices": ["threat"]}], ["choices"])
    ['insult', 'threat']
    >>> reach({"notes": [{"by": "a", "done": True}, {"by": "b", "done": False}]}, ["notes[done=true]", "by"])
    ['a']
    """
    for at, step in enumerate(steps):
        if isinstance(value, dict):
            choice = None if step in value else _CHOICE.fullmatch(step)
            value = value.get(choice[1] if choice else step)
            if choice and isinstance(value, list):
                value = [
                    item for item in value if isinstance(item, dict) and scalar_text(item.get(choice[2])) == choice[3]
                ]
        elif isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        elif isinstance(value, list):
            inner = [reach(item, steps[at:]) for item in value]
            return [leaf for item in inner if item is not None for leaf in (item if isinstance(item, list) else [item])]
        else:
            return None
    return value


def has(value: Any, steps: list[str]) -> bool:
    """Say whether steps lead anywhere in nested values, be it to null."""
    if isinstance(value, list):
        return any(has(item, steps) for item in value) or (
            steps[0].isdecimal() and has(reach(value, steps[:1]), steps[1:])
        )
    if not isinstance(value, dict) or not steps:
        return not steps
    choice = None if steps[0] in value else _CHOICE.fullmatch(steps[0])
    first = choice[1] if choice else steps[0]
    return first in value and (len(steps) == 1 or has(value[first], steps[1:]))


def _shown(name: str, names: list[str], most: int = 40) -> list[str]:
    """Return the column names as a message shows them: printable, short, and not too many."""
    near = difflib.get_close_matches(name, names, n=1)
    chosen = names if len(names) <= most else [*near, *(header for header in names[:most] if header not in near), "..."]
    return [header[:60] if header.isprintable() else ascii(header[:20])[1:-1] for header in chosen]


def simple(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return dictionary-encoded and large or view types as the plain ones."""
    if pa.types.is_dictionary(cells.type):
        return simple(cells.cast(cells.type.value_type))
    if pa.types.is_large_string(cells.type) or str(cells.type) == "string_view":
        return cells.cast(pa.string())
    if pa.types.is_large_binary(cells.type) or pa.types.is_fixed_size_binary(cells.type):
        return cells.cast(pa.binary())
    if pa.types.is_large_list(cells.type) or pa.types.is_fixed_size_list(cells.type):
        return cells.cast(pa.list_(cells.type.value_type))
    return cells
