"""The facts of posts that no model changes: `posts.parquet`, written once per study, and read as arrays.

Where a study comes to other posts, the facts of those before stay beside it for the runs that scored them: see `place`.
What results are compared on and sliced by stands here alone, so that another word list, another slice or another kind
of band needs no new run. Numbers are kept as they are and put into bands when they are compared. A corpus's `meta`
columns are kept as slices too where they hold few different values: whoever keeps a column can slice by it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench import fingerprint
from workbench.artifacts import write_bytes
from workbench.comparison.cases import SUITE, case_columns
from workbench.errors import WorkbenchError
from workbench.preprocessing.text.identities import Identities
from workbench.schema import MODALITIES, Taxonomy, declared

NAME = "posts.parquet"
PLAIN = ("community", "language", "region")
STANDARD = ("modality", *PLAIN, "length", "author_age", "month", "identity")
BANDS = {"length": (40.0, 140.0, 280.0, 1000.0), "author_age": (7.0, 30.0, 365.0)}
"""Upper edges of the bands, each within its band: characters of text, days since the account was made."""
VALUES = 200  # a column with more different values is no slice: names, addresses, running texts
OTHER, UNKNOWN = "other", "unknown"
_PREFIX, _IDENTITIES, _EXACT = "slice_", "identities", "exact_"


@dataclass(frozen=True, kw_only=True)
class PostFacts:
    """The facts of one set of n posts, sorted by post_id, with L labels.

    post_id, group (n,) str, a post without a group being its own; weight (n,) float64; paired (n,) bool, text with an
    image or a clip; y, known (n, L) bool, y False where unknown; exact: information set -> (n, L) float64, the world's
    own probability, empty where there is no truth; slices: name -> (n,), text with "" for unknown or numbers with NaN;
    identities: identity -> (n,) bool, who is mentioned, in alphabetical order; votes (n, L, 2) float64, how many
    annotators said yes and no, NaN where nobody counted; suite: name of `cases.CASES` -> (n,) str, empty if it is none;
    fold (n,) int, which fold's run scored it, None where posts are divided once.
    """

    post_id: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    paired: np.ndarray
    y: np.ndarray
    known: np.ndarray
    exact: dict[str, np.ndarray] = field(default_factory=dict)
    slices: dict[str, np.ndarray] = field(default_factory=dict)
    identities: dict[str, np.ndarray] = field(default_factory=dict)
    votes: np.ndarray | None = None
    suite: dict[str, np.ndarray] = field(default_factory=dict)
    fold: np.ndarray | None = None

    def of_fold(self, fold: int | None) -> PostFacts:
        """Return the facts of the posts that one fold's run scored; of a set that is not dealt out those of all."""
        if fold is None or self.fold is None:
            return self
        return replace(self, **{one.name: _taken(getattr(self, one.name), self.fold == fold) for one in fields(self)})


def _taken(values: Any, rows: np.ndarray) -> Any:
    """Return the rows of arrays (n, ...), also of those in a mapping."""
    if isinstance(values, dict):
        return {name: some[rows] for name, some in values.items()}
    return None if values is None else values[rows]


@dataclass(frozen=True)
class Facts:
    """What one `posts.parquet` says: `sets` by name, `digest` of its bytes, the labels and the taxonomy they are of.

    data: what decides which posts they are, as `run_files.scored` tells it of a run; None where the file does not say.
    """

    sets: dict[str, PostFacts]
    digest: str
    labels: tuple[str, ...]
    taxonomy: str
    data: dict[str, Any] | None = None


# ------------------------------------------------------------------------------------------------------------- writing


def write(
    path: Path, sets: Mapping[str, pa.Table], taxonomy: Taxonomy, made_from: Mapping[str, Any] | None = None
) -> None:
    """Write the facts of every set but `train` (corpus tables by name), whole or not at all.

    made_from: what they depend on, as `made_from` gives it back, `data` among it; facts of other data that lie there
    are kept beside them. The rows are in the order of the corpus. A column that is a number in one set and a text in
    another is a text.
    """
    parts = _of_one_type([pa.table(columns(table, name, taxonomy)) for name, table in sets.items() if name != "train"])
    about = {"labels": taxonomy.names, "taxonomy": taxonomy.fingerprint, "made_from": made_from}
    table = pa.concat_tables(parts, promote_options="default")
    file = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"workbench": json.dumps(about)}), file, compression="zstd")
    before = _data(path)
    if before is not None and before != (made_from or {}).get("data"):
        os.replace(path, _beside(path, before))
    write_bytes(path, file.getvalue().to_pybytes())


def place(study: Path, data: Mapping[str, Any]) -> Path:
    """Return where a study keeps the facts of some posts: `posts.parquet`, or beside it where others took its place."""
    path = study / NAME
    kept = _beside(path, data)
    return kept if kept.is_file() and _data(path) not in alike(study, data) else path


def alike(study: Path, data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return `data` and whatever else facts of a study were made from that are of the same posts, sets and labels.

    Posts may come from another reader, or from a world whose code has changed, and be those that were scored before.
    """
    files = {path: _data(path) or {} for path in study.glob(f"{Path(NAME).stem}*.parquet")}
    own = next((_labelled(path) for path, of in files.items() if of == data), None)
    others = [path for path, of in files.items() if of != data and of.get("taxonomy") == data.get("taxonomy")]
    return [data, *(files[path] for path in others if own and _labelled(path) == own)]


def _labelled(path: Path) -> pa.Table | None:
    """Return the ids, sets and labels of a `posts.parquet`, sorted; None where it cannot be read."""
    try:
        labels = sorted(name for name in pq.read_schema(path).names if name.startswith("y_") or name == "fold")
        rows = pq.read_table(path, columns=["split", "post_id", *labels])
    except (OSError, pa.ArrowException):
        return None
    return rows.sort_by([("split", "ascending"), ("post_id", "ascending")])


def _beside(path: Path, data: Mapping[str, Any]) -> Path:
    return path.with_stem(f"{path.stem}-{fingerprint.of_json(data)}")


def _data(path: Path) -> dict[str, Any] | None:
    """Return which posts a `posts.parquet` is of, None where it does not say or cannot be read."""
    return (made_from(path) or {}).get("data")


def _of_one_type(parts: list[pa.Table]) -> list[pa.Table]:
    """Return tables in which each column has one type: text, without what is no slice, where one is no number."""
    kinds: dict[str, set[pa.DataType]] = {}
    for column in (column for part in parts for column in part.schema):
        kinds.setdefault(column.name, set()).add(column.type)
    for name, types in kinds.items():
        types -= {pa.null()}
        number = all(map(_is_number, types))
        for n, part in enumerate(parts) if len(types) > 1 else ():
            if name in part.column_names:
                cells = pc.cast(part[name], pa.float64() if number else pa.string())
                kept = number or pc.count_distinct(cells).as_py() <= VALUES
                at = part.column_names.index(name)
                parts[n] = part.set_column(at, name, cells) if kept else part.remove_column(at)
    return parts


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def made_from(path: Path) -> dict[str, Any] | None:
    """Return what a `posts.parquet` was made from, None where it does not say or cannot be read."""
    try:
        return json.loads((pq.read_schema(path).metadata or {})[b"workbench"])["made_from"]
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return None


def columns(table: pa.Table, split: str, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return the columns of `posts.parquet` for one set of a corpus (n_posts).

    `post_id`, `group`, `split`, `fold` where posts are dealt out to folds, `weight`, `has_MODALITY`, those of
    `slice_columns`; `y_LABEL`, null where unknown; `suite_FACT` of `cases.CASES`; `exact_INFORMATION_LABEL` where the
    world's own probabilities are known.
    """
    facts: dict[str, Any] = {"post_id": table["post_id"], "group": table["group"]}
    facts["split"] = pa.array([split] * len(table), pa.string())
    facts |= {"fold": table["fold"]} if "fold" in table.column_names else {}
    facts["weight"] = pc.fill_null(table["weight"], 1.0)
    facts |= {f"has_{name}": pa.array(there) for name, there in declared(table).items()}
    facts |= slice_columns(table)
    facts |= {f"y_{name}": pc.struct_field(table["labels"], name) for name in taxonomy.names}
    facts |= {f"{SUITE}{name}": cells for name, cells in case_columns(table).items()}
    if "truth" in table.column_names:
        for information in table.schema.field("truth").type:
            for label in information.type:
                exact = pc.struct_field(table["truth"], [information.name, label.name])
                facts[f"{_EXACT}{information.name}_{label.name}"] = exact
    return facts


def slice_columns(table: pa.Table, identities: Identities | None = None) -> dict[str, Any]:
    """Return the columns of a corpus table (n_posts) that slices are made from, as `posts.parquet` keeps them.

    `community`, `language`, `region`; `slice_length` in characters, null without a text; `slice_author_age` in days;
    `slice_month` as YYYY-MM in UTC; `slice_NAME` for each plain column of `meta` with at most VALUES values, numbers as
    numbers; `votes_LABEL_yes` and `votes_LABEL_no` where annotators were counted; `identities`, the list of identities
    that the text mentions, null without a text.
    """
    columns: dict[str, Any] = {name: table[name] for name in PLAIN}
    columns[f"{_PREFIX}length"] = pc.cast(pc.utf8_length(table["text"]), pa.int64())
    columns[f"{_PREFIX}author_age"] = pc.struct_field(table["author"], "account_age_days")
    columns[f"{_PREFIX}month"] = pc.strftime(table["created_at"], format="%Y-%m")
    for name, cells in _meta(table):
        if re.fullmatch(r"votes_.+_(yes|no)", name):
            columns[name] = pc.cast(cells, pa.int64())
            continue
        free = f"{_PREFIX}{name}" not in columns and name not in STANDARD
        columns[f"{_PREFIX}{name}" if free else f"{_PREFIX}meta_{name}"] = cells
    mentions = (identities or Identities.load()).mentions(table["text"])
    return columns | {_IDENTITIES: mentions}


def _meta(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield the plain columns of `meta` that hold few different values, or numbers."""
    if "meta" not in table.column_names:
        return
    for column in (column for column in table.schema.field("meta").type if not column.name.startswith(SUITE)):
        cells = pc.struct_field(table["meta"], column.name)
        if pa.types.is_boolean(column.type):
            yield column.name, pc.cast(cells, pa.string())
        elif _is_number(column.type):
            yield column.name, pc.cast(cells, pa.float64())
        elif pa.types.is_string(column.type) and pc.count_distinct(cells).as_py() <= VALUES:
            yield column.name, cells


# ------------------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> Facts:
    """Return what a `posts.parquet` says; raise WorkbenchError in one sentence where it is missing or torn."""
    try:
        data = Path(path).read_bytes()
        table = pq.read_table(pa.BufferReader(data))
        about = json.loads((table.schema.metadata or {})[b"workbench"])
        labels = tuple(about["labels"])
        posts = (about.get("made_from") or {}).get("data")
        return Facts(_sets(table, labels, str(path)), fingerprint.of_bytes(data), labels, about["taxonomy"], posts)
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        again = "`workbench compare STUDY` makes it from the corpus"
        raise WorkbenchError(f"cannot read the facts of posts in {path} ({reason}); {again}") from None


def of_predictions(table: pa.Table, labels: Sequence[str], taxonomy: str, what: str) -> Facts:
    """Return the facts that a run's own predictions hold: those of runs from before there was a `posts.parquet`."""
    own = [name for name in table.column_names if name != "seed" and not name.startswith(("logit_", "prob_"))]
    first = table.filter(pc.equal(table["seed"], pc.min(table["seed"]))).select(own)
    file = pa.BufferOutputStream()
    pq.write_table(
        first.replace_schema_metadata(None).sort_by([(name, "ascending") for name in ("split", "post_id")]), file
    )
    return Facts(_sets(first, labels, what), fingerprint.of_bytes(file.getvalue()), tuple(labels), taxonomy)


def _sets(table: pa.Table, labels: Sequence[str], what: str) -> dict[str, PostFacts]:
    """Return the posts of every split, in the order of their names."""
    table = table.sort_by([("split", "ascending"), ("post_id", "ascending")])
    names = sorted(table["split"].unique().to_pylist())
    return {
        name: _posts(table.filter(pc.equal(table["split"], name)), labels, f"{name!r} set in {what}") for name in names
    }


def _posts(rows: pa.Table, labels: Sequence[str], what: str) -> PostFacts:
    """Return one set as arrays; `rows` are sorted by post_id."""
    ids = rows["post_id"].to_numpy().astype(str)
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise WorkbenchError(
            f"the {what} holds post {str(twice[0])!r} more than once; post ids must differ within a set"
        )
    has = {name: _flags(rows, f"has_{name}") for name in MODALITIES}
    group = pc.coalesce(pc.cast(rows["group"], pa.string()), pc.cast(rows["post_id"], pa.string()))
    return PostFacts(
        post_id=ids,
        group=group.to_numpy().astype(str),
        weight=_numbers(rows, "weight", 1.0),
        paired=has["text"] & (has["image"] | has["video"]),
        y=np.stack([_flags(rows, f"y_{name}") for name in labels], axis=-1),
        known=np.stack([rows[f"y_{name}"].is_valid().to_numpy() for name in labels], axis=-1),
        exact={name: _exact(rows, name, labels) for name in _informations(rows, labels)},
        slices=_slices(rows, has),
        identities=_identities(rows),
        votes=_votes(rows, labels),
        suite=_suite(rows),
        fold=rows["fold"].to_numpy() if "fold" in rows.column_names and not rows["fold"].null_count else None,
    )


def _suite(rows: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns `suite_<fact>` that say anything, as strings, null as ""."""
    names = [name for name in rows.column_names if name.startswith(SUITE) and rows[name].null_count < len(rows)]
    return {name.removeprefix(SUITE): pc.fill_null(rows[name], "").to_numpy().astype(str) for name in names}


def _informations(rows: pa.Table, labels: Sequence[str]) -> list[str]:
    """Return the information sets that the columns `exact_<information>_<label>` name."""
    informations = set()
    for name in (name.removeprefix(_EXACT) for name in rows.column_names if name.startswith(_EXACT)):
        # one label's name may end another's, so the longest that fits is meant
        fitting = [label for label in labels if name.endswith(f"_{label}")]
        informations |= {name.removesuffix(f"_{max(fitting, key=len)}")} if fitting else set()
    return sorted(informations)


def _exact(rows: pa.Table, information: str, labels: Sequence[str]) -> np.ndarray:
    """Return the world's probabilities (n, L) for one information set, NaN for labels it does not have."""
    names = [f"{_EXACT}{information}_{label}" for label in labels]
    missing = np.full(len(rows), np.nan)
    return np.stack([_numbers(rows, name) if name in rows.column_names else missing for name in names], axis=-1)


def _numbers(rows: pa.Table, name: str, missing: float = np.nan) -> np.ndarray:
    """Return a column as float64, null as `missing`."""
    return pc.fill_null(pc.cast(rows[name], pa.float64()), missing).to_numpy()


def _flags(rows: pa.Table, name: str) -> np.ndarray:
    """Return a column as bool, null as False."""
    return pc.fill_null(pc.cast(rows[name], pa.bool_()), False).to_numpy().astype(bool)


def _slices(rows: pa.Table, has: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what `slice_columns` kept, by the slice's name: text (n,) with "" for unknown, or numbers with NaN.

    has: modality -> (n,) bool, from which the slice `modality` follows, such as "text+image".
    """
    stacked = np.array([np.where(there, f"{name}+", "") for name, there in has.items()], dtype=object)
    slices = {"modality": np.array([kinds.rstrip("+") or "nothing" for kinds in stacked.sum(axis=0)], dtype=str)}
    for column in rows.column_names:
        if column in PLAIN or column.startswith(_PREFIX):
            cells, name = rows[column], column.removeprefix(_PREFIX)
            number = _is_number(cells.type)
            texts = None if number else pc.fill_null(pc.cast(cells, pa.string()), "").to_pylist()
            slices[name] = _numbers(rows, column) if number else np.array(texts, dtype=str)
    return slices


def _identities(rows: pa.Table) -> dict[str, np.ndarray]:
    """Return identity -> which posts (n,) mention it, in alphabetical order."""
    if _IDENTITIES not in rows.column_names:
        return {}
    cells = rows[_IDENTITIES].combine_chunks()
    names, parents = pc.list_flatten(cells), pc.list_parent_indices(cells).to_numpy(zero_copy_only=False)
    mentions = {}
    for name in sorted(pc.unique(names).to_pylist()):
        mentions[name] = np.zeros(len(rows), dtype=bool)
        mentions[name][parents[pc.equal(names, name).to_numpy(zero_copy_only=False)]] = True
    return mentions


def _votes(rows: pa.Table, labels: Sequence[str]) -> np.ndarray:
    """Return how many annotators said yes and no, float (n, L, 2), NaN where nobody counted them."""
    votes = np.full((len(rows), len(labels), 2), np.nan)
    for k, label in enumerate(labels):
        for i, side in enumerate(("yes", "no")):
            if (name := f"votes_{label}_{side}") in rows.column_names:
                votes[:, k, i] = _numbers(rows, name)
    return votes


def banded(name: str, values: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return numbers (n,) as the names of their bands, "" for NaN, and the bands' inner edges.

    The edges of BANDS, or for other columns the quartiles of what is there; up to 12 different numbers stay themselves,
    without edges. An edge belongs to the band below it.

    >>> banded("length", np.array([10.0, 41.0, np.nan]))[0].tolist()
    ['40 or less', 'over 40 to 140', '']
    """
    there = values[~np.isnan(values)]
    if name not in BANDS and len(np.unique(there)) <= 12:
        return np.array(["" if np.isnan(value) else f"{value:g}" for value in values], dtype=str), ()
    edges = BANDS.get(name) or tuple(np.unique(np.quantile(there, [0.25, 0.5, 0.75])).tolist())
    names = [f"{edges[0]:g} or less", *(f"over {a:g} to {b:g}" for a, b in pairwise(edges))]
    names.append(f"over {edges[-1]:g}")
    places = np.searchsorted(edges, np.where(np.isnan(values), 0, values), side="left")
    return np.where(np.isnan(values), "", np.array(names)[places]), edges
