"""What a cell means: yes, no or unknown by what a rule names, and what stands for nothing.

A value that a rule names is what the rule says. Of the others, words for missing are unknown. `1`, `1.0`, `true` and
`yes` are one value where all values of a column are of that kind, numbers are one where all are numbers; else values
are compared as they are written, and two spellings of one are refused where they would mean different things.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple, Self
from unicodedata import category as _kind

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench.corpora.reading.columns import EXACT, scalar_text
from workbench.corpora.wordless import MISSING
from workbench.errors import WorkbenchError
from workbench.schema import Options

Value = bool | int | float | str
YES, NO = ("1", "1.0", "true", "yes", "y", "t"), ("0", "0.0", "false", "no", "n", "f")
_UNSAID = ("-1", "-1.0")  # beside 0 and 1: nobody said
EMPTY = "empty"
_PLAIN = re.compile(r"[^\W\d_](?:[\w -]*\w)?")  # what YAML reads as text without quotes
Same = Callable[[str], str]  # gives one text for all spellings of a value


def texts_of(values: Iterable[Value]) -> set[str]:
    """Return a rule's values as the text that they are in a column."""
    return {str(scalar_text(value)).strip() for value in values}


class ValueRule(Options):
    """Which values of a column mean what."""

    positive: tuple[Value, ...] | None = Field(None, description="Values that mean true.")
    negative: tuple[Value, ...] | Literal["rest"] | None = Field(
        None, description="Values that mean false; `rest`: all others. Not needed where only one other value occurs."
    )
    unclear: tuple[Value, ...] = Field((), description="Values, or list elements, that leave the label unknown.")

    @model_validator(mode="after")
    def _no_value_on_two_sides(self) -> Self:
        named = [*(self.positive or ()), *(() if self.negative == "rest" else self.negative or ()), *self.unclear]
        texts = [scalar_text(value) for value in named]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise ValueError(f"the value {twice!r} is named twice; name it once, under what it means")
        return self

    @property
    def named(self) -> set[str]:
        """All values that are named, as text."""
        return texts_of(
            (*(self.positive or ()), *(() if self.negative == "rest" else self.negative or ()), *self.unclear)
        )


class Meaning(NamedTuple):
    """What a value says, None where it is unknown, and why it is."""

    says: bool | None
    why: str | None = None


def plain(cells: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    """Return single values as trimmed text, whole numbers without `.0`, empty ones as null.

    Raises WorkbenchError for a column of objects, lists or bytes, with what to name instead.
    """
    kind = cells.type
    if pa.types.is_struct(kind):
        fields = [field.name for field in kind]
        hint = f"name what is in them, such as `{name}.{fields[0]}`" if fields else "name another column"
        held = "objects" if not (fields and " " in fields[0]) else fields[0]
        hint = hint if held == "objects" else "write one kind of value in every row, or name another column"
        raise WorkbenchError(f"{where}: column {name!r} holds {held}, not single values; {hint}")
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        held = "lists" if pa.types.is_nested(kind) else "bytes"
        raise WorkbenchError(f"{where}: column {name!r} holds {held}, not single values; name another column")
    if pa.types.is_null(kind):
        return cells.cast(pa.string())
    if pa.types.is_floating(kind):
        cells = pc.if_else(pc.is_nan(cells), None, cells).cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(cells), cells), pc.less(pc.abs(cells), EXACT))
        digits = pc.cast(pc.cast(pc.if_else(whole, cells, None), pa.int64()), pa.string())
        return pc.coalesce(digits, pc.cast(cells, pa.string()))
    values = pc.utf8_trim_whitespace(pc.cast(cells, pa.string()))
    if pa.types.is_decimal(kind):
        values = pc.replace_substring_regex(values, r"\.0+$", "")
    return pc.if_else(pc.equal(values, ""), None, values)


def present(cells: pa.ChunkedArray, name: str, where: str, missing: Sequence[str] = MISSING) -> pa.ChunkedArray:
    """Return single values as text, words for missing as null."""
    values = plain(cells, name, where)
    absent = pc.is_in(pc.utf8_lower(values), value_set=pa.array(sorted(lowered(missing)), pa.string()))
    return pc.if_else(absent, None, values)


def lowered(words: Iterable[str]) -> set[str]:
    """Return words for missing as they are compared: the case of a letter does not matter."""
    return {word.strip().lower() for word in words}


def counted(values: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each text occurs."""
    counts = pc.value_counts(values.drop_null())
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def looked_up(values: pa.ChunkedArray, meanings: dict[str, Meaning]) -> tuple[pa.Array, pa.Array]:
    """Return what each cell says, bool (n_rows,) with nulls, and why where it says nothing."""
    keys = pa.array(list(meanings), pa.string())
    places = _whole(pc.index_in(values, value_set=keys, skip_nulls=True))
    says = pa.array([meaning.says for meaning in meanings.values()], pa.bool_()).take(places)
    why = pa.array([meaning.why for meaning in meanings.values()], pa.string()).take(places)
    return says, pc.if_else(_whole(pc.is_null(values)), EMPTY, why)


def _whole(cells: pa.ChunkedArray | pa.Array) -> pa.Array:
    return cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells


# --------------------------------------------------------------------------------------------------------- the meanings


def meanings(
    counts: dict[str, int], rule: ValueRule, missing: Sequence[str], where: str, *, may_lack: bool = False
) -> dict[str, Meaning]:
    """Return what each of the values, which occur so often, means by a rule; `where` names the column in messages.

    may_lack: whether none of the listed values need occur. Raises WorkbenchError with values, counts and a line to
    paste where the rule leaves open what a value means.
    """
    absent = lowered(missing)
    unclear = {str(scalar_text(value)) for value in rule.unclear}
    values = [value for value in counts if value.lower() not in absent]
    same = _sameness([value for value in values if value not in unclear])
    sides = _sides(rule, counts, same, where, may_lack)
    others = [value for value in values if same(value) not in sides]
    unsaid = {value for value in others if same is _truth and value in _UNSAID}
    default = _default(rule, [value for value in others if value not in unsaid], same, counts, where)
    found = {}
    for value in counts:
        if same(value) in sides:
            says = sides[same(value)]
            found[value] = Meaning(says, f"unclear: {value}" if says is None else None)
        elif value.lower() in absent:
            found[value] = Meaning(None, f"missing: {value}")
        elif value in unsaid:
            found[value] = Meaning(None, f"not said: {value}")
        else:
            says = same(value) == "1" if rule.positive is None else default
            found[value] = Meaning(says, f"not named: {value}" if says is None else None)
    _spellings(found, counts, rule, where)
    _some_no(found, counts, rule, where)
    return found


def _sides(rule: ValueRule, counts: dict[str, int], same: Same, where: str, may_lack: bool) -> dict[str, bool | None]:
    """Return what the named values mean, by the one text of each."""
    negative = rule.negative if isinstance(rule.negative, tuple) else ()
    named = {True: rule.positive or (), False: negative, None: rule.unclear}
    sides: dict[str, bool | None] = {}
    for says, listed in named.items():
        for text in (text for value in listed for text in _spelt(value, counts, same)):
            if sides.setdefault(text, says) is not says:
                raise WorkbenchError(f"{where}: the value {text!r} is named for two things; name it once")
    _occurs(named, sides, counts, same, where, may_lack)
    return sides


def _some_no(found: dict[str, Meaning], counts: dict[str, int], rule: ValueRule, where: str) -> None:
    """Raise WorkbenchError where only words for missing are left to mean no: a class may be called so."""
    if rule.positive is None or isinstance(rule.negative, tuple) or any(item.says is False for item in found.values()):
        return
    words = [value for value, meaning in found.items() if (meaning.why or "").startswith("missing")]
    if words and any(meaning.says for meaning in found.values()):
        raise WorkbenchError(
            f"{where} holds {shown(counts)}: nothing but words for missing is left to mean no; say what they are, as "
            f"in `negative: {_list(words)}` or `unclear: {_list(words)}`"
        )


def _default(rule: ValueRule, others: list[str], same: Same, counts: dict[str, int], where: str) -> bool | None:
    """Return what values mean that no one names; raise WorkbenchError where that must be said."""
    if rule.positive is None:
        if others and same is not _truth:
            raise WorkbenchError(f"{where} {_no_answers(others, same, counts)}")
        return None
    if rule.negative == "rest":
        return False
    if rule.negative is not None:
        return None
    if len({same(value) for value in others}) > 1:
        raise WorkbenchError(
            f"{where} holds {shown(counts)}: more than one value is neither positive nor unclear; say which mean no, "
            f"as in `negative: {_list(others)}`, or `negative: rest`"
        )
    return False


def _no_answers(others: list[str], same: Same, counts: dict[str, int]) -> str:
    said = f"holds {shown(counts)}, not yes or no"
    if same is _number or all(_is_number(value.removesuffix("%").strip().replace(",", ".")) for value in others):
        return f"{said}; say from where on it is yes, as in `threshold: 0.5`, or learn its shares with `soft: true`"
    odd = [value for value in others if value.lower() not in (*YES, *NO)]
    if len(odd) < len(others):
        return (
            f"{said} throughout; say what the others mean, as in `unclear: {_list(odd)}`, or list the `positive` values"
        )
    return f"{said}; list the `positive` values, as in `positive: {_list(others[:1])}`"


def _occurs(
    named: dict, sides: dict[str, bool | None], counts: dict[str, int], same: Same, where: str, may_lack: bool
) -> None:
    """Raise WorkbenchError when listed values look mistyped; a corpus that really lacks some is fine."""
    there = {same(value) for value in counts}
    absent = {
        says: [str(scalar_text(value)) for value in listed if not {*_spelt(value, counts, same)} & there]
        for says, listed in named.items()
    }
    others = sorted(value for value in counts if same(value) not in sides)[:1000]
    for says, texts in absent.items():
        for text in texts if counts else ():
            near = next(iter(difflib.get_close_matches(text, others, 1, 0.75 if says is None else 0.85)), None)
            near = near or next((value for value in others if value.lower() == text.lower()), None)
            if near:
                raise WorkbenchError(
                    f"the value {text!r} does not occur in {where}; did you mean {near!r}? It holds {shown(counts)}"
                )
    gone = [*absent[True], *absent[False]]
    if counts and gone and len(gone) == len([*named[True], *named[False]]) and not may_lack:
        hint = "list the `negative` values too if no row is positive"
        raise WorkbenchError(f"the value {gone[0]!r} does not occur in {where}; {hint}. It holds {shown(counts)}")


def _spellings(found: dict[str, Meaning], counts: dict[str, int], rule: ValueRule, where: str) -> None:
    """Raise WorkbenchError where two spellings of one value mean different things."""
    first: dict[str, str] = {}
    for value, meaning in found.items():
        if (meaning.why or "").startswith("missing"):
            continue
        other = first.setdefault(_number(_letters(value)), value)
        if found[other].says is not meaning.says:
            words = {True: "yes", False: "no", None: "unknown"}
            side = "positive" if True in (meaning.says, found[other].says) else "negative"
            named = getattr(rule, side) if isinstance(getattr(rule, side), tuple) else ()
            added = value if meaning.says is not (side == "positive") else other
            raise WorkbenchError(
                f"{where}: {other!r} ({counts[other]}) would mean {words[found[other].says]} and {value!r} "
                f"({counts[value]}) {words[meaning.says]}; name both spellings, as in `{side}: "
                f"{_list([*map(str, named), added])}`"
            )


def _letters(value: str) -> str:
    """Return a value without what only looks different: case, width, dashes, quotes, a full stop, invisible marks."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    visible = "".join("-" if _kind(mark) == "Pd" else mark for mark in folded if _kind(mark) != "Cf")
    spaced = " ".join(re.sub(r"(?<=\w)[-_](?=\w)", " ", visible).split())
    return spaced.strip("'\"‘’“”").rstrip(".,;:!") or spaced


def shown(counts: dict[str, int], most: int = 8) -> str:
    """Return the most frequent values with their counts."""
    frequent = sorted(counts, key=lambda value: (-counts[value], value))
    listed = ", ".join(f"{' '.join(value.split()):.40} ({counts[value]:,})" for value in frequent[:most])
    return listed + (f" and {len(frequent) - most:,} more" if len(frequent) > most else "")


def _list(values: Sequence[str], most: int = 12) -> str:
    """Return values as a list to paste into YAML."""
    quoted = lowered(MISSING) | {*YES, *NO}
    bare = [value if _PLAIN.fullmatch(value) and value.lower() not in quoted else _quoted(value) for value in values]
    bare = bare[:most]
    return f"[{', '.join(bare)}{', ...' if len(values) > most else ''}]"


def _quoted(value: str) -> str:
    """Return a value in YAML's quotes, spelt out where it looks like another."""
    alike = not value.isprintable() or unicodedata.normalize("NFKC", value) != value
    return json.dumps(value, ensure_ascii=alike)


# ------------------------------------------------------------------------------------------------------- the same value


def _sameness(values: list[str]) -> Same:
    """Return the function that gives one text for all spellings of a value, by the kind that all values are of."""
    bits = [value.lower() for value in values]
    numeric = {*bits} <= {*YES[:2], *NO[:2], *_UNSAID}
    if (bits and all(bit in YES or bit in NO for bit in bits)) or (numeric and {*bits} - {*_UNSAID}):
        return _truth
    return _number if values and all(_is_number(value) for value in values) else str


def _truth(value: str) -> str:
    bit = value.lower()
    return "1" if bit in YES else "0" if bit in NO else "-1" if bit in _UNSAID else value


def _number(value: str) -> str:
    return format(Decimal(value).normalize(), "f") if _is_number(value) else value


def _is_number(value: str) -> bool:
    try:
        return abs(Decimal(value).adjusted()) < 40 and Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _spelt(value: Value, counts: dict[str, int], same: Same) -> list[str]:
    """Return what a rule's value is called among the column's; a truth value in whatever case it is written."""
    text = str(scalar_text(value)).strip()
    if isinstance(value, bool) and same is str:
        return [other for other in counts if other.lower() == text] or [text]
    return [same(text)]
