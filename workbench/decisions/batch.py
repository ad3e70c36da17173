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
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError, field_validator
from tqdm import tqdm

from workbench import device as devices
from workbench.artifacts import writing
from workbench.corpora.files.mapping import named
from workbench.corpora.files.posts import InputRow, PostFormat, parts_of, rows_of
from workbench.corpora.files.values import MISSING
from workbench.corpora.reading import OpenFile, Reading, opened
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError, explain, unknown
from workbench.features.store import FOLDER, FeatureStore
from workbench.schema import INPUTS, MODALITIES, Decision, Post

_FORMULA = re.compile(r"[=+@\t\r]|-(?!\d+$)")  # what a spreadsheet runs when it opens a CSV
CHUNK = 1000  # posts that are decided together
OUTPUTS = (".csv", ".jsonl", ".parquet")
_ALIASES = {"post_id": ("post_id", "id")}
_TIERS = {"memory": "from memory", "disk": "from disk"}


class Summary(NamedTuple):
    """What was done: posts by action, rows with an error, seconds, the file with the decisions, and idle labels.

    lacks: the labels of the bundle's taxonomy that it was not trained for.
    notes: what was noticed when the file was read.
    tiers: where the contents' vectors came from -> how many.
    """

    actions: dict[str, int]
    errors: int
    seconds: float
    out: Path
    idle: Mapping[str, str]
    lacks: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    tiers: Mapping[str, int] = MappingProxyType({})

    def __str__(self) -> str:
        total = sum(self.actions.values())
        counts = ", ".join(f"{self.actions.get(name, 0):,} {name}" for name in ("allow", "review", "remove"))
        rate = f"{total / self.seconds:,.0f} a second" if self.seconds else "at once"
        bad = f"; {self.errors:,} rows could not be read, see `error`" if self.errors else ""
        idle = "".join(f"\nno score on {label!r} leads to anything: {why}" for label, why in self.idle.items())
        lacks = f"\nnothing is said of {', '.join(self.lacks)}: the bundle was not trained for it" if self.lacks else ""
        notes = "".join(f"\n{note}" for note in self.notes)
        counted = ", ".join(f"{count:,} {_TIERS.get(tier, tier)}" for tier, count in self.tiers.items() if count)
        notes += f"\nfeatures: {counted}" if counted else ""
        return f"{total:,} posts in {self.seconds:.1f} s ({rate}): {counts}{bad}{idle}{notes}{lacks}\n{self.out}"


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


class ReadOptions(Reading):
    """How `score` reads a file, where that does not say so itself."""

    time_format: str | None = Field(None, description="How times are written, as strptime has it.")
    missing: tuple[str, ...] = Field(MISSING, description="Words that stand for nothing, parted by `;`.")

    @field_validator("missing", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(value.split(";")) if isinstance(value, str) else value


def reading(text: str) -> ReadOptions:
    """Return how a file is read from `option=value,...`; raises WorkbenchError for an option that there is not.

    >>> reading("encoding=latin-1").encoding
    'latin-1'
    """
    return ReadOptions.parse(named(text), "--read")


def score(
    bundle: Path,
    posts: Path,
    out: Path,
    *,
    device: str,
    columns: Mapping[str, str],
    how: ReadOptions | None = None,
    features: Path | None = FOLDER,
) -> Summary:
    """Decide on every row of a file, and write one decision a row to `out`.

    columns: field of INPUTS -> column, where a column has another name than its field. features: the feature store's
    folder, which is looked into and not written to; None: memory alone.
    Paths of pictures and clips start at the folder of the file and may not leave it. Raises WorkbenchError for a
    bundle, a file or an output that cannot be used as a whole, before anything is decided.
    """
    posts, out = Path(posts), Path(out)
    if out.suffix.lower() not in OUTPUTS:
        raise WorkbenchError(f"{out}: {unknown('file ending', out.suffix, OUTPUTS)}")
    if out.resolve() == posts.resolve():
        raise WorkbenchError(f"{out} is the file of posts itself; name another file for the decisions")
    how = how or ReadOptions()
    source, chosen = _opened(posts, columns, how)
    form = PostFormat(chosen, posts.parent, how.time_format, how.missing)
    store = FeatureStore(features, devices.device(device), writes=False)
    moderator = Moderator.load(bundle, store=store)
    started, actions, errors = time.perf_counter(), Counter(), 0
    with _Output(out, moderator.labels) as file, tqdm(unit=" posts", disable=None) as bar:
        for batch in source.batches:
            rows = list(rows_of(batch, form, sum(actions.values())))
            decided = list(_decided(moderator, rows))
            file.write([_line(decision, error, moderator.labels) for decision, error in decided])
            actions.update(decision.action for decision, _ in decided)
            errors += sum(error is not None for _, error in decided)
            bar.update(len(decided))
    lacks = tuple(name for name in moderator.taxonomy.names if name not in moderator.labels)
    told = source.told.sentences()
    seconds, idle = time.perf_counter() - started, moderator.policy.idle()
    return Summary(dict(actions), errors, seconds, out, idle, lacks, told, store.hits)


# ------------------------------------------------------------------------------------------------------------ decisions


def _decided(moderator: Moderator, rows: Sequence[InputRow]) -> Iterator[tuple[Decision, str | None]]:
    """Yield the decision about each row, in order, and what is wrong with the row."""
    read = [_post(row) for row in rows]
    there = [post for post, error, _ in read if error is None]
    try:
        decisions = iter(moderator.decide(there))
    except (ValueError, RuntimeError, MemoryError):  # one post must not take the others with it
        if len(rows) == 1:
            said = "the model failed on this post; a person must look"
            yield _marked(moderator, rows[0].post_id, said), "the model failed"
            return
        for row in rows:
            yield from _decided(moderator, [row])
        return
    for row, (_, error, note) in zip(rows, read, strict=True):
        yield (next(decisions), note) if error is None else (_marked(moderator, row.post_id, error), error)


def _marked(moderator: Moderator, post_id: str, error: str) -> Decision:
    """Return the decision about a row that is no post: a person looks."""
    reason = {"kind": "unread", "detail": f"The row could not be read: {error.rstrip('.')}."}
    return Decision(
        post_id=post_id,
        action="review",
        scores={},
        reasons=(reason,),
        model_id=moderator.model_id,
        policy_id=moderator.policy.id,
    )


def _post(row: InputRow) -> tuple[Post | str, str | None, str | None]:
    """Return a row as a post, or its id and the sentence on what is wrong with it; and what it was read without."""
    if row.error is not None:
        return row.post_id, row.error, None
    try:
        return Post.model_validate({**row.cells, "post_id": row.post_id}), None, row.note
    except ValidationError as error:
        return row.post_id, explain(error, Post), None


# -------------------------------------------------------------------------------------------------------------- reading


def _opened(path: Path, columns: Mapping[str, str], how: Reading) -> tuple[OpenFile, dict[str, str]]:
    """Return a file of posts and which of its columns is which field.

    Raises WorkbenchError where none of it can be used.
    """
    usual = {field: _ALIASES.get(field, (field,)) for field in INPUTS.names if field not in columns}
    parts = parts_of(columns.get("text", ""), ())
    source = opened(path, [*columns.values(), *parts, *itertools.chain(*usual.values())], how, CHUNK)
    if not source.names:
        raise WorkbenchError(f"{path} is empty; check that it is the right file")
    for field, named_so in columns.items():
        for column in parts_of(named_so, source.names) if field == "text" else [named_so]:
            if column not in source.names:
                raise WorkbenchError(f"{path}: {unknown('column', column, source.names)}")
    # a later line of JSON may bring what none of the first did
    own = {field: next((name for name in names if name in source.names), names[0]) for field, names in usual.items()}
    if "text" not in columns and not any((own | columns)[field] in source.names for field in MODALITIES):
        have = ", ".join(name for name in source.names if name) or "no columns"
        raise WorkbenchError(
            f"{path} has no column text, image or video (it has {have}); name one, as in --columns text=COLUMN"
        )
    return source, {**own, **columns}


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
                self.csv.writerows([{**line, "post_id": as_text(line["post_id"])} for line in flat])

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


def as_text(post_id: str) -> str:
    """Return an id as a spreadsheet shows and does not run it: an apostrophe before what begins a formula."""
    return f"'{post_id}" if _FORMULA.match(post_id) else post_id


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
