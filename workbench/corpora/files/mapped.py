"""From the named Arrow columns of any table to the columns of a corpus, by a mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.counts import NOT_MAPPED, TOLD
from workbench.corpora.files import cells
from workbench.corpora.files.annotators import Annotated, AnnotatorOptions, one_row_a_post
from workbench.corpora.files.labels import LabelCells, read_label
from workbench.corpora.files.mapping import Mapping
from workbench.corpora.files.media import KINDS, MEDIA, Kind, as_media, identities
from workbench.corpora.files.repeats import once
from workbench.corpora.files.times import times
from workbench.corpora.files.values import plain
from workbench.corpora.files.votes import majority, read_votes
from workbench.corpora.reading import column, stack
from workbench.errors import WorkbenchError
from workbench.schema import Taxonomy, corpus_schema

SPLIT = "the split that a part's place says"


class Part(NamedTuple):
    """One file, or one split, of a corpus."""

    table: pa.Table  # at least the mapped columns that it has
    names: list[str]  # all its columns
    rows: int
    split: str | None  # what its place says
    where: str  # for messages
    folders: dict[str, tuple[Path, ...]]  # for `image` and `video`: where paths start, and what else they may lead into
    told: dict[str, Any] = {}  # noqa: RUF012 (never written to): what was noticed when it was read


def stacked(parts: list[Part], mapping: Mapping) -> dict[str, pa.ChunkedArray]:
    """Return every mapped column over all parts; under SPLIT, what the place says, under `held` media, {bytes, path}.

    A column that only some of the parts have is empty in the others. Raises WorkbenchError for a column that none has,
    for content that one of them lacks, and where one has the column under a name that is nearly the same.
    """
    splits = [pa.array([part.split] * part.rows, pa.string()) for part in parts]
    content = (*mapping.texts, mapping.image, mapping.video)
    columns = {}
    for name in mapping.columns:
        pieces = [_piece(name, part) for part in parts]
        missing = [piece for piece in pieces if isinstance(piece, WorkbenchError)]
        if len(missing) == len(pieces) or (missing and name in content):
            raise missing[0]
        for part, piece in zip(parts, pieces, strict=True):
            _is_no_near_miss(name, part, piece)
        filled = [
            pa.chunked_array([pa.nulls(part.rows)]) if isinstance(piece, WorkbenchError) else piece
            for piece, part in zip(pieces, parts, strict=True)
        ]
        columns[name.strip()] = stack(filled)
        for kind in (kind for kind in KINDS if getattr(mapping, kind.column) == name):
            media = [
                as_media(piece, kind, part.folders[kind.column], part.where, mapping.missing)
                for piece, part in zip(filled, parts, strict=True)
            ]
            columns[held(kind)] = stack(media)
    return columns | {SPLIT: pa.chunked_array(splits)}


def _is_no_near_miss(name: str, part: Part, piece: pa.ChunkedArray | WorkbenchError) -> None:
    """Raise WorkbenchError where a part has a column by another spelling of its name."""
    plain = _letters(name)
    near = next((other for other in part.names if _letters(other) == plain and other != name.strip()), None)
    if isinstance(piece, WorkbenchError) and near is not None:
        raise WorkbenchError(
            f"{part.where} has no column {name!r}; did you mean {near!r}? Rename it, so that all files call it the same"
        )


def _letters(name: str) -> str:
    return "".join(mark for mark in name.lower() if mark.isalnum())


def held(kind: Kind) -> str:
    """Return under which name the media of a kind stand among the columns."""
    return f"the {kind.noun}s"


def _piece(name: str, part: Part) -> pa.ChunkedArray | WorkbenchError:
    """Return one part's piece of a column, or the error that says that it has none."""
    try:
        return column(part.table, name, part.names, part.where)
    except WorkbenchError as error:
        return error


def table_of(
    given: dict[str, pa.ChunkedArray], mapping: Mapping, taxonomy: Taxonomy, where: str, parts: Sequence[Part] = ()
) -> pa.Table:
    """Return the corpus's table from the columns that `stacked` gives; media stay where they are, by absolute path.

    parts: those that were stacked. A row that is another once more is left out. The column `unknown` says why a label
    is, and `soft` holds shares, where there are any; what was noticed is in the schema's metadata (see `told`).

    Raises WorkbenchError for repeated ids, no rows, an unknown split value, a cell that is not what its column must
    hold, and when not one of the pictures, or of the clips, is there.
    """
    if not len(given[SPLIT]):
        raise WorkbenchError(f"{where} has no rows; check that it is the right one")
    told: dict[str, Any] = {"files": [{"file": Path(part.where).name, **part.told} for part in parts if part.told]}
    votes: dict[str, np.ndarray] = {}
    if mapping.annotators:
        kept = {name.strip() for name in mapping.keep} - {*mapping.model_copy(update={"keep": ()}).columns}
        annotated = one_row_a_post(given, mapping.annotators, kept, where, mapping.missing)
        given, votes = annotated.columns, annotated.votes
        told |= {"annotations": annotated.rows, "annotations_twice": annotated.repeated}
        told["warnings"] = list(_joined_nothing(annotated, mapping.annotators))
    named = mapping.post_id or (mapping.annotators and mapping.annotators.item)
    given, told["merged"] = once(given, named, [(part.where, part.rows) for part in parts], where)
    votes |= {
        label: read_votes(given, rule, f"{where}, votes.{label}", mapping.missing)
        for label, rule in mapping.votes.items()
    }
    return _Columns(given, mapping, named, where, told).table(votes, taxonomy)


def _joined_nothing(annotated: Annotated, rule: AnnotatorOptions) -> Iterator[str]:
    """Say where no two rows of annotators are about one post, so that nobody's answers were put together."""
    posts = len(annotated.columns[rule.item])
    if posts == annotated.rows > 1:
        yield (
            f"annotators: each of the {posts:,} rows has a {rule.item!r} of its own, so no post has a second answer; "
            "check that `item` names the post and not the row"
        )


class _Columns:
    """The columns of a corpus, one by one, from those of a mapping."""

    def __init__(
        self, given: dict[str, pa.ChunkedArray], mapping: Mapping, named: str | None, where: str, told: dict[str, Any]
    ) -> None:
        self.given, self.mapping, self.named, self.where, self.told = given, mapping, named, where, told
        self.notes, self.warnings = told.setdefault("notes", []), told.setdefault("warnings", [])
        self.rows = len(given[SPLIT])

    def table(self, votes: dict[str, np.ndarray], taxonomy: Taxonomy) -> pa.Table:
        """Return them as the corpus's table."""
        found = self._labels(votes)
        columns = self._inputs() | {"labels": self._struct(found, taxonomy, "says", pa.bool_())}
        schema = corpus_schema(taxonomy)
        filled = [
            _nulls(self.rows, field.type) if (column := columns.get(field.name)) is None else column for field in schema
        ]
        table = pa.table(filled, schema=schema)
        meta = {item: self.given[item.strip()] for item in self.mapping.keep}
        cases = self.mapping.suite.columns if self.mapping.suite else {}
        suite = f"{self.where}, suite"
        meta |= {f"suite_{fact}": plain(self.given[name.strip()], name, suite) for fact, name in cases.items()}
        for label, counts in votes.items():
            meta |= {f"votes_{label}_{side}": pa.chunked_array([counts[:, i]]) for i, side in enumerate(("yes", "no"))}
        if meta:
            table = table.append_column("meta", cells.struct(meta))
        if any(label.says.null_count for label in found.values()):
            table = table.append_column("unknown", self._struct(found, taxonomy, "why", pa.string()))
        if any(label.share is not None for label in found.values()):
            table = table.append_column("soft", self._struct(found, taxonomy, "share", pa.float64()))
        return table.replace_schema_metadata({TOLD: json.dumps(self.told)})

    def _inputs(self) -> dict[str, pa.ChunkedArray]:
        given, mapping, where, missing = self.given, self.mapping, self.where, self.mapping.missing
        texts = [cells.words(given[name.strip()], where, name) for name in mapping.texts]
        text = cells.in_lines(texts, missing) if texts else _nulls(self.rows, pa.string())
        media = {kind: given.get(held(kind), _nulls(self.rows, MEDIA)) for kind in KINDS}
        known = [identities(media[kind], kind, where, self.warnings) if held(kind) in given else None for kind in KINDS]
        keys = cells.content_keys(text, *known)
        ids = cells.ids(given.get(self.named), keys, where, self.named or "")
        own = pc.coalesce(keys, pc.binary_join_element_wise("post ", ids, ""))
        split = mapping.split_column
        splits = cells.splits(given[split.column], split, where, missing) if split else given[SPLIT]
        if split and 0 < splits.null_count < self.rows:
            self.notes.append(
                f"{splits.null_count:,} rows name no split in {split.column!r}: they follow their group or are dealt "
                "out, and in a further test set they are test posts"
            )
        places = {
            field: cells.place_of_post(given[name], name, where, missing)
            for field in ("community", "language", "region")
            if (name := getattr(mapping, field))
        }
        created = mapping.created_at
        return places | {
            "post_id": ids,
            "text": text,
            **{kind.column: column for kind, column in media.items()},
            "author": cells.author(given.get(mapping.author), mapping.author or "", where, missing),
            "created_at": created and times(given[created], where, mapping.time_format, created, missing, self.notes),
            "group": cells.filled(given.get(mapping.group), own, mapping.group or "", where, missing),
            "split": splits,
            "weight": cells.weights(given.get(mapping.weight), self.rows, where, mapping.weight or "", missing),
        }

    def _labels(self, votes: dict[str, np.ndarray]) -> dict[str, LabelCells]:
        """Return what is known of each mapped label."""
        found = {}
        for label in self.mapping.labels:
            rule = self.mapping.rule(label)
            place = f"{self.where}, labels.{label}"
            found[label] = read_label(self.given[rule.column.strip()], rule, place, self.mapping.missing)
        for label, counts in votes.items():
            rule = self.mapping.votes.get(label) or self.mapping.annotators
            found[label] = majority(counts, rule.soft)
        return found

    def _struct(
        self, found: dict[str, LabelCells], taxonomy: Taxonomy, part: str, kind: pa.DataType
    ) -> pa.ChunkedArray:
        """Return one part of all labels as a struct; a label that is not mapped is null in every row."""
        arrays = {name: getattr(found.get(name), part, None) for name in taxonomy.names}
        if part == "why":
            unsaid = pa.array([NOT_MAPPED] * self.rows, pa.string())
            arrays = {name: unsaid if array is None else array for name, array in arrays.items()}
        return cells.struct(
            {
                name: pa.chunked_array([pa.nulls(self.rows, kind) if array is None else array])
                for name, array in arrays.items()
            }
        )


def _nulls(rows: int, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(rows, kind)])
