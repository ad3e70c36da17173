"""A file of posts in, a file of decisions out: what `workbench score` does, by the moderator that all entry points use.

Rows are read, decided and written some at a time, so that a file of any length fits; their order and number stay. A row
that cannot be read is decided like a post that cannot be read: it goes to review, with a sentence in `error`. The file
with the decisions appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from tqdm import tqdm

from workbench import device as devices
from workbench.artifacts import writing
from workbench.corpora.files.mapping import named
from workbench.corpora.files.reading import FORMATS
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError, explain, unknown
from workbench.features.store import FeatureStore
from workbench.schema import INPUTS, MODALITIES, Decision, Post

CHUNK = 1000  # posts that are decided together
PEEK = 100  # lines of JSON that are looked at to learn the columns
OUTPUTS = (".csv", ".jsonl", ".parquet")
_LONGEST_CELL = 64 * 2**20  # characters of a CSV cell
_ALIASES = {"post_id": ("post_id", "id")}
Row = dict[str, Any] | str  # the cells by the names of INPUTS, or the sentence that says why there are none


class Summary(NamedTuple):
    """What was done: posts by action, rows with an error, seconds, the file with the decisions, and idle labels."""

    actions: dict[str, int]
    errors: int
    seconds: float
    out: Path
    idle: Mapping[str, str]

    def __str__(self) -> str:
        total = sum(self.actions.values())
        counts = ", ".join(f"{self.actions.get(name, 0):,} {name}" for name in ("allow", "review", "remove"))
        rate = f"{total / self.seconds:,.0f} a second" if self.seconds else "at once"
        bad = f"; {self.errors:,} rows could not be read, see `error`" if self.errors else ""
        idle = "".join(f"\nno score on {label!r} leads to anything: {why}" for label, why in self.idle.items())
        return f"{total:,} posts in {self.seconds:.1f} s ({rate}): {counts}{bad}{idle}\n{self.out}"


def mapping(text: str) -> dict[str, str]:
    """Return column names by field from `field=column,...`; raises WorkbenchError for what is no such list.

    >>> mapping("text=body, image=path")
    {'text': 'body', 'image': 'path'}
    """
    columns = named(text)
    for field in columns:
        if field not in INPUTS.names:
            raise WorkbenchError(f"columns: {unknown('field', field, INPUTS.names)}")
    return columns


def score(bundle: Path, posts: Path, out: Path, *, device: str, columns: Mapping[str, str]) -> Summary:
    """Decide on every row of a file, and write one decision a row to `out`.

    columns: field of INPUTS -> column, where a column has another name than its field. Paths of pictures and clips
    start at the folder of the file and may not leave it. Raises WorkbenchError for a bundle, a file or an output that
    cannot be used as a whole, before anything is decided.
    """
    posts, out = Path(posts), Path(out)
    if out.suffix.lower() not in OUTPUTS:
        raise WorkbenchError(f"{out}: {unknown('file ending', out.suffix, OUTPUTS)}")
    if out.resolve() == posts.resolve():
        raise WorkbenchError(f"{out} is the file of posts itself; name another file for the decisions")
    rows = _rows(posts, columns)
    moderator = Moderator.load(bundle, store=FeatureStore(None, devices.device(device)))
    started, actions, errors = time.perf_counter(), Counter(), 0
    with _Output(out, moderator.labels) as file, tqdm(unit=" posts", disable=None) as bar:
        for number, some in enumerate(_chunks(rows, CHUNK)):
            decided = list(_decided(moderator, some, posts.parent, number * CHUNK))
            file.write([_line(decision, error, moderator.labels) for decision, error in decided])
            actions.update(decision.action for decision, _ in decided)
            errors += sum(error is not None for _, error in decided)
            bar.update(len(decided))
    return Summary(dict(actions), errors, time.perf_counter() - started, out, moderator.policy.idle())


# ------------------------------------------------------------------------------------------------------------ decisions


def _decided(
    moderator: Moderator, rows: Sequence[Row], folder: Path, start: int
) -> Iterator[tuple[Decision, str | None]]:
    """Yield the decision about each row, in order, and what is wrong with the row."""
    read = [_post(row, folder, f"row-{start + n + 1}") for n, row in enumerate(rows)]
    there = [post for post, error in read if error is None]
    try:
        decisions = iter(moderator.decide(there))
    except (ValueError, RuntimeError, MemoryError):  # one post must not take the others with it
        if len(rows) == 1:
            yield (
                _marked(moderator, read[0][0], "the model failed on this post; a person must look"),
                "the model failed",
            )
            return
        for n, row in enumerate(rows):
            yield from _decided(moderator, [row], folder, start + n)
        return
    for post, error in read:
        yield (next(decisions), None) if error is None else (_marked(moderator, post, error), error)


def _marked(moderator: Moderator, post: Post | str, error: str) -> Decision:
    """Return the decision about a row that is no post: a person looks."""
    reason = {"kind": "unread", "detail": f"The row could not be read: {error}."}
    return Decision(
        post_id=post if isinstance(post, str) else post.post_id,
        action="review",
        scores={},
        reasons=(reason,),
        model_id=moderator.model_id,
        policy_id=moderator.policy.id,
    )


def _post(row: Row, folder: Path, name: str) -> tuple[Post | str, str | None]:
    """Return a row as a post and None, or its id and the sentence on what is wrong with it."""
    if isinstance(row, str):
        return name, row
    cells = {field: value for field, value in row.items() if value is not None and value != ""}
    post_id = str(cells.pop("post_id", "") or name)
    try:
        for field in ("image", "video"):
            if field in cells:
                cells[field] = _media(cells[field], folder)
        if isinstance(cells.get("author"), str | int):
            cells["author"] = {"id": str(cells["author"])}
        for field in ("community", "language", "region"):
            if isinstance(cells.get(field), int | float):
                cells[field] = str(cells[field])
        return Post.model_validate({**cells, "post_id": post_id}), None
    except ValidationError as error:
        return post_id, explain(error, Post)
    except WorkbenchError as error:
        return post_id, str(error)


def _media(cell: Any, folder: Path) -> dict[str, Any]:
    """Return a picture or a clip as {bytes, path}, with an absolute path inside `folder`."""
    given = cell if isinstance(cell, dict) else {"bytes": cell} if isinstance(cell, bytes) else {"path": cell}
    if given.get("bytes") is not None:
        return {"bytes": given["bytes"]}
    path = given.get("path")
    if not isinstance(path, str) or not path.strip():
        raise WorkbenchError(f"a picture or clip must be a path or bytes, not {cell!r:.60}")
    root = os.path.abspath(folder)
    full = os.path.normpath(os.path.join(root, path.strip()))
    if os.path.commonpath([root, full]) != root:
        raise WorkbenchError(f"the path {path!r} leaves the folder of the file; put its media below {root}")
    return {"path": full}


# -------------------------------------------------------------------------------------------------------------- reading


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    """Return the rows of a file, to be read once; raises WorkbenchError where none of it can be used."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise WorkbenchError(f"{path}: {unknown('file ending', path.suffix, FORMATS)}")
    try:
        rows = {"csv": _csv, "tsv": _csv, "jsonl": _jsonl, "parquet": _parquet}[kind](path)
        names = next(rows)
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror or error}; check the path") from None
    except pa.ArrowException as error:
        message = " ".join(str(error).split())[:160]
        raise WorkbenchError(f"{path} cannot be read as Parquet: {message}; write the file again") from None
    for column in columns.values():
        if column not in names:
            raise WorkbenchError(f"{path}: {unknown('column', column, names)}")
    fields = {
        field: next((name for name in _ALIASES.get(field, (field,)) if name in names), None)
        for field in INPUTS.names
        if field not in columns
    }
    chosen = {field: name for field, name in {**fields, **columns}.items() if name is not None}
    if not set(chosen) & set(MODALITIES):
        have = ", ".join(names) or "no columns"
        raise WorkbenchError(
            f"{path} has no column text, image or video (it has {have}); name one, as in --columns text=COLUMN"
        )
    if kind == "jsonl":  # a line may bring what none of those looked at did
        chosen = {field: _ALIASES.get(field, (field,))[0] for field in INPUTS.names} | chosen
    return (row if isinstance(row, str) else {field: row.get(name) for field, name in chosen.items()} for row in rows)


def _csv(path: Path) -> Iterator[Any]:
    """Yield the names of the columns, then the rows; so do the readers of other formats."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            cells = _unbroken(csv.reader(file, delimiter=delimiter))
            first = next(cells, [])
            names = first if isinstance(first, list) else []
            yield names
            for row in cells:
                if isinstance(row, str) or not row:  # an empty line is no row
                    yield from [row] if row else []
                elif len(row) != len(names):
                    yield f"it has {len(row)} cells, but the header names {len(names)} columns"
                elif any("\udc80" <= char <= "\udcff" for cell in row for char in cell if char > "\ud7ff"):
                    yield "it is not UTF-8; save the file as UTF-8"
                else:
                    yield dict(zip(names, row, strict=True))
    finally:
        csv.field_size_limit(before)


def _unbroken(reader: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """Yield the rows of a CSV reader, a sentence in the place of one that it cannot parse."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"it is not valid CSV ({error})"


def _jsonl(path: Path) -> Iterator[Any]:
    with open(path, "rb") as file:
        rows = (_json(line) for line in file if line.strip(b" \t\r\n\xef\xbb\xbf"))
        first = list(itertools.islice(rows, PEEK))
        yield list(dict.fromkeys(name for row in first if isinstance(row, dict) for name in row))
        yield from itertools.chain(first, rows)


def _json(line: bytes) -> Row:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return "it is not UTF-8; save the file as UTF-8"
    except (ValueError, RecursionError) as error:
        return f"it is not valid JSON ({getattr(error, 'msg', None) or 'too deep or too long'})"
    return row if isinstance(row, dict) else f"it holds a {type(row).__name__}, not an object"


def _parquet(path: Path) -> Iterator[Any]:
    file = pq.ParquetFile(path)
    yield file.schema_arrow.names
    for batch in file.iter_batches(batch_size=CHUNK):
        yield from batch.to_pylist()


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, size)):
        yield some


# -------------------------------------------------------------------------------------------------------------- writing


def _line(decision: Decision, error: str | None, labels: Sequence[str]) -> dict[str, Any]:
    """Return a decision as one row of the output."""
    fields = decision.model_dump(mode="json")
    return {
        "post_id": fields["post_id"].encode(errors="replace").decode(),
        "action": fields["action"],
        **{f"p_{label}": fields["scores"].get(label) for label in labels},
        "reasons": fields["reasons"],
        "unread": fields["unread"],
        "unseen": fields["unseen"],
        "due_at": fields["due_at"],
        "model_id": fields["model_id"],
        "policy_id": fields["policy_id"],
        "error": error,
    }


class _Output:
    """A file that gets its name when it is whole; its rows are those of `_line`."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self.path, self.kind = path, path.suffix.lower()
        texts = ("post_id", "action", "reasons", "unread", "unseen", "due_at", "model_id", "policy_id", "error")
        scores = [(f"p_{label}", pa.float64()) for label in labels]
        named = [(name, pa.string()) for name in texts]
        self.schema = pa.schema([*named[:2], *scores, *named[2:]])

    def __enter__(self) -> _Output:
        with self._writable(), contextlib.ExitStack() as stack:
            draft = stack.enter_context(writing(self.path))
            if self.kind == ".parquet":
                self.parquet = stack.enter_context(pq.ParquetWriter(draft, self.schema))
            else:
                self.text = stack.enter_context(open(draft, "w", encoding="utf-8", errors="replace", newline=""))
                self.csv = csv.DictWriter(self.text, self.schema.names, lineterminator="\n")
            if self.kind == ".csv":
                self.csv.writeheader()
            self.stack = stack.pop_all()
        return self

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Add rows."""
        with self._writable():
            if self.kind == ".jsonl":
                self.text.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                return
            flat = [{name: _flat(value) for name, value in line.items()} for line in lines]
            if self.kind == ".parquet":
                self.parquet.write_table(pa.Table.from_pylist(flat, schema=self.schema))
            else:
                self.csv.writerows(flat)

    def __exit__(self, *error: Any) -> None:
        with self._writable():
            self.stack.__exit__(*error)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise WorkbenchError(f"cannot write {self.path}: {reason}; make room, or name another file") from None


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
