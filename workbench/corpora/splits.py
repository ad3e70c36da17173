"""Train, validation and test: no group crosses, rare labels are spread first, and the order of the rows says nothing.

Groups are dealt out stratum by stratum (label combination, with or without media beside text), the stratum of the
rarest label first, each group to the split that lacks most rows; what a stratum lacks or has too much is carried over
to the next. Source: the idea of iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011, on whole groups.

Held-out communities and later months ask for more: a repost family can stand in two communities or on both sides of a
date. It stays where it came first, and its posts elsewhere are dropped: the test then holds only what training has not
seen, and training nothing from after its time. Authors are free to cross, unless `apart` names them, as a site's future
is written by the authors of its past; the audit counts them.

With `folds` every post is tested: groups are dealt out to so many folds, each of which is the test set once, of a model
that a part of the next fold validates and the rest trains. So a post is tested once, and validates at most one model.
Which posts are near-duplicates is not known here: who divides says it (`kin`).

A corpus's own split is kept as it is, leaks included: published splits are what published numbers refer to. Whether a
study accepts what crosses is for the leak gate (`evidence.audit`) to ask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench import corpora
from workbench.corpora import counts
from workbench.errors import WorkbenchError
from workbench.schema import Options, Taxonomy, label_matrix, paired

SPLITS = ("train", "validation", "test")
DROPPED = "dropped"  # by community or time: what would stand on both sides of a cut
Kin = Callable[[corpora.Corpus], pa.Array]
"""From a corpus to the name of each post's family, near-duplicates and the corpus's own groups in one."""


class SplitOptions(Options):
    """How posts are divided."""

    by: Literal["group", "author", "community", "time", "column"] = Field(
        "group",
        description="What stays together: repost families, an author's posts, or a community's, so that whole "
        "communities are held out; `time` trains on the past, validates on what follows and tests on the latest posts; "
        "`column` relies on the corpus's own split and refuses rows without one.",
    )
    apart: tuple[Literal["group", "author"], ...] = Field(
        ("group",),
        description="By community or time: what may stand in one split only. It stays in the first of train, "
        "validation and test that it stands in, and its posts in the others are left out of the study.",
    )
    validation: float = Field(0.15, gt=0, lt=1, description="Share of the rows for thresholds and calibration.")
    test: float = Field(0.25, gt=0, lt=1, description="Share of the rows for the final scores.")
    seed: int = Field(0, ge=0, description="Which random split.")
    folds: int | None = Field(
        None,
        ge=2,
        le=50,
        description="So many folds, each of them the test set of models that the others train: every post is tested "
        "once. No group, no author (`by: author`) and no near-duplicate crosses them. `validation` is at most a fold.",
    )
    fold: int | None = Field(None, ge=0, description="Which of the folds is tested; a study tests each.")

    @model_validator(mode="after")
    def _folds_are_whole(self) -> Self:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError("fold says which of `folds` is tested; write how many, as in `folds: 5`")
            return self
        if self.by not in ("group", "author"):
            raise ValueError(f"folds are dealt out by group or by author, not by {self.by}; leave out one of the two")
        if "test" in self.model_fields_set:
            raise ValueError("with folds every post is tested once; leave out `test`")
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is none of {self.folds}, which are numbered from 0")
        if "validation" in self.model_fields_set and self.validation > 1 / self.folds:
            raise ValueError(
                f"validation {self.validation:g} is more than one of {self.folds} folds; take at most "
                f"{1 / self.folds:.3g}, or fewer folds"
            )
        return self

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing for training")
        return self


def divide(
    corpus: dict[str, Any],
    split: dict[str, Any],
    tests: dict[str, dict[str, Any]],
    taxonomy: Taxonomy,
    kin: Kin | None = None,
) -> tuple[dict[str, pa.Table], dict[str, str], int]:
    """Return the posts of train, validation, test and each further test set, the corpora's digests, how many were left.

    Of a further test set, rows whose own split is not test are left out. With folds it is the division of one of them,
    by default the first; train, validation and test then say in a column `fold` which, and their groups are the
    families of `kin`. Raises WorkbenchError for what cannot be loaded or divided, and for a further test set that has a
    taken name or holds no post.
    """
    for name in {"corpus", *SPLITS} & set(tests):
        raise WorkbenchError(f"a further test set cannot be called {name!r}; choose a name that is no split")
    loaded = corpora.load(corpus, taxonomy)
    options, table = SplitOptions.parse(split, "split"), loaded.table
    if options.folds is not None:
        table = table if kin is None else _regrouped(table, kin(loaded))
        table = table.append_column("fold", pa.array(np.full(len(table), options.fold or 0)))
    part = assign(table, taxonomy, options)
    sets = {name: table.filter(pa.array(part == name)) for name in SPLITS}
    digests = {"corpus": loaded.digest}
    for name, config in tests.items():
        try:
            extra = corpora.load(config, taxonomy)
        except WorkbenchError as error:
            raise WorkbenchError(f"tests.{name}: {error}") from None
        held_out = pc.fill_null(pc.equal(extra.table["split"], "test"), True)
        sets[name], digests[name] = extra.table.filter(held_out), extra.digest
        if not len(sets[name]):
            raise WorkbenchError(f"test set {name!r} has no post whose split is test; map another `split`, or none")
        if left := len(extra.table) - len(sets[name]):
            note = f"test set {name!r}: {left:,} of {len(extra.table):,} posts left out, as their own split is not test"
            sets[name] = counts.and_noticed(sets[name], note)
    return sets, digests, int((part == DROPPED).sum())


def assign(table: pa.Table, taxonomy: Taxonomy, options: SplitOptions) -> np.ndarray:
    """Return the split of each post, an array of str (n_posts,): train, validation, test, by community or time DROPPED.

    Where the corpus's own `split` column speaks, it is kept; its `train` rows give up `validation` of their number if
    no row is validation yet, and `test` likewise. Rows without an own split follow their group, or are dealt out.
    Raises WorkbenchError when a split is left empty, or when `by` needs a column that has gaps.
    """
    if options.folds is not None:
        return _folded(table, taxonomy, options)
    if options.by in ("community", "time"):
        return _held_out(table, taxonomy, options)
    own = table["split"]
    unsaid = own.null_count
    names, group = _groups(table, options)
    splits = pc.fill_null(own, "").to_numpy().astype("U10")
    if unsaid:
        if options.by == "column":
            raise WorkbenchError(
                f"{unsaid} of {len(own)} posts have no split of their own, which `by: column` needs; "
                "map a `split` column, or split by group"
            )
        if unsaid < len(own):
            _follow(splits, group, len(names))
    strata = _strata(table, taxonomy)
    carved = {split: getattr(options, split) for split in SPLITS[1:]}
    open_rows = splits == ""
    if open_rows.any():
        splits[open_rows] = _deal(open_rows, names, group, strata, carved, options.seed)
    missing = {split: share for split, share in carved.items() if not (splits == split).any()}
    if missing and not unsaid:
        train = splits == "train"
        splits[train] = _deal(train, names, group, strata, missing, options.seed)
    return _all_there(splits, f"{len(own)} posts in {len(names)} groups", options)


def validating(table: pa.Table, taxonomy: Taxonomy, share: float, seed: int = 0) -> np.ndarray:
    """Return which posts (n_posts,) bool validate, where the others train: whole groups, a share of every stratum."""
    names, group = _groups(table, SplitOptions())
    rows = np.ones(len(table), dtype=bool)
    return _deal(rows, names, group, _strata(table, taxonomy), {"validation": share}, seed) == "validation"


def _all_there(splits: np.ndarray, what: str, options: SplitOptions) -> np.ndarray:
    """Return a split as it is; raise WorkbenchError where one of its three parts is empty."""
    how, of, other = f"({options.validation:g} validation, {options.test:g} test)", "", "other shares"
    if options.folds is not None:
        how, of, other = f"into {options.folds} folds", f" of fold {options.fold or 0}", "fewer folds"
    for split in SPLITS:
        if not (splits == split).any():
            raise WorkbenchError(
                f"no post is left for {split}{of}: {what} cannot be divided {how}; use more groups or {other}"
            )
    return splits


# ------------------------------------------------------------------------------------ held-out communities, later times


def _held_out(table: pa.Table, taxonomy: Taxonomy, options: SplitOptions) -> np.ndarray:
    """Return the split by community or time; see `assign`."""
    _no_own_split(table, f"`by: {options.by}` divides")
    if options.by == "time":
        splits, what = _by_time(table, options), f"{len(table)} posts in order of time"
    else:
        names, community = _groups(table, options)
        shares = {split: getattr(options, split) for split in SPLITS[1:]}
        everything = np.ones(len(table), dtype=bool)
        splits = _deal(everything, names, community, _strata(table, taxonomy), shares, options.seed)
        what = f"{len(table)} posts of {len(names)} communities"
    for relation in options.apart:
        cells = table["group"] if relation == "group" else pc.struct_field(table["author"], "id")
        splits = _kept_apart(splits, cells)
    return _all_there(splits, what, options)


def _no_own_split(table: pa.Table, what: str) -> None:
    given = len(table) - table["split"].null_count
    if given:
        raise WorkbenchError(
            f"{what} all posts anew, but {given} of {len(table)} have a split of their own; leave out the corpus's "
            "`split`, or split by column"
        )


def _by_time(table: pa.Table, options: SplitOptions) -> np.ndarray:
    """Return the split of each post by its time; posts of one moment stay together, on the earlier side of a cut."""
    times = table["created_at"]
    if times.null_count:
        raise WorkbenchError(
            f"{times.null_count} of {len(times)} posts do not say when they were made, which `by: time` needs; map "
            "`created_at`, or split by group"
        )
    moments = pc.cast(times, pa.int64()).to_numpy()
    ordered = np.sort(moments)
    splits = np.full(len(moments), SPLITS[0], dtype="U10")
    left = 1 - options.validation - options.test
    for split, share in zip(SPLITS[1:], (left, left + options.validation), strict=True):
        last = ordered[max(round(share * len(ordered)) - 1, 0)]
        splits[moments > last] = split
    return splits


def _kept_apart(splits: np.ndarray, cells: pa.ChunkedArray) -> np.ndarray:
    """Return a split in which each group or author (null: nobody) stays where it comes first, DROPPED elsewhere."""
    codes = pc.dictionary_encode(cells).combine_chunks().indices
    there = codes.is_valid().to_numpy(zero_copy_only=False)
    group = np.asarray(codes.fill_null(0).to_numpy(zero_copy_only=False))
    living = there & (splits != DROPPED)
    of_group = np.full(int(group.max(initial=0)) + 1, "", dtype="U10")
    for split in reversed(SPLITS):
        of_group[group[living & (splits == split)]] = split
    return np.where(living & (of_group[group] != splits), DROPPED, splits)


# ---------------------------------------------------------------------------------------------------------- the folds


def _folded(table: pa.Table, taxonomy: Taxonomy, options: SplitOptions) -> np.ndarray:
    """Return the split of each post where one fold is tested and a part of the next one validates; see `assign`."""
    _no_own_split(table, "folds divide")
    folds, fold, strata = options.folds, options.fold or 0, _strata(table, taxonomy)
    names, group = _groups(table, options)
    if options.by == "author":
        family = pc.dictionary_encode(table["group"]).combine_chunks().indices.to_numpy(zero_copy_only=False)
        names, group = _linked(names, group, family)
    numbers = [str(number) for number in range(folds)]
    dealt = dict.fromkeys(numbers, 1 / folds)
    everything = np.ones(len(table), dtype=bool)
    of = _deal(everything, names, group, strata, dealt, options.seed).astype(np.int64)
    splits = np.full(len(table), SPLITS[0], dtype="U10")
    splits[of == fold] = SPLITS[2]
    after = of == (fold + 1) % folds
    share = min(options.validation * folds, 1.0)
    splits[after] = _deal(after, names, group, strata, {SPLITS[0]: 1 - share, SPLITS[1]: share}, options.seed)
    return _all_there(splits, f"{len(table)} posts in {len(names)} groups", options)


def _linked(names: pa.Array, group: np.ndarray, family: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return groups joined where they share a family, as `_groups` does; group, family: int (n_posts,)."""
    edges = np.ones(len(group)), (group, family + len(names))
    _, joined = connected_components(coo_array(edges, shape=(size := len(names) + family.max() + 1, size)), False)
    _, first, codes = np.unique(joined[group], return_index=True, return_inverse=True)
    return names.take(pa.array(group[first])), codes.ravel()


def _regrouped(table: pa.Table, families: pa.Array) -> pa.Table:
    """Return posts with other groups."""
    at = table.column_names.index("group")
    return table.set_column(at, table.schema.field("group"), families)


# ---------------------------------------------------------------------------------------------------------- the parts


def _groups(table: pa.Table, options: SplitOptions) -> tuple[pa.Array, np.ndarray]:
    """Return the names of what stays together and the number of each post's, int (n_posts,)."""
    cells = table["group"]
    if cells.null_count:
        raise WorkbenchError(f"{cells.null_count} posts have no group; map a complete `group` column, or none")
    if options.by in ("author", "community"):
        owners = pc.struct_field(table["author"], "id") if options.by == "author" else table["community"]
        if owners.null_count == len(owners):
            raise WorkbenchError(
                f"no post names its {options.by}, which `by: {options.by}` needs; map `{options.by}`, or split by group"
            )
        # A post without one stays with its repost family; the prefix keeps a family from being taken for one.
        cells = pc.coalesce(owners, pc.binary_join_element_wise("group", cells, " "))
    codes = pc.dictionary_encode(cells).combine_chunks()
    return codes.dictionary, codes.indices.to_numpy(zero_copy_only=False)


def _follow(splits: np.ndarray, group: np.ndarray, n_groups: int) -> None:
    """Give rows without a split that of their group, in place; where that is split itself, the first of SPLITS."""
    of_group = np.full(n_groups, "", dtype="U10")
    for split in reversed(SPLITS):
        of_group[group[splits == split]] = split
    splits[splits == ""] = of_group[group[splits == ""]]


def _strata(table: pa.Table, taxonomy: Taxonomy) -> np.ndarray:
    """Return which labels hold for each post, bool (n_posts, n_labels + 2): all labels, none though known, paired."""
    y, known = label_matrix(table, taxonomy)
    return np.column_stack([(y > 0) & known, known.any(axis=1) & ~(y > 0).any(axis=1), paired(table)])


def _deal(
    rows: np.ndarray, names: pa.Array, group: np.ndarray, strata: np.ndarray, shares: dict[str, float], seed: int
) -> np.ndarray:
    """Return the split of the chosen rows: the given shares of them, the rest train, if the shares leave any.

    rows: bool (n_posts,); group: int (n_posts,); strata: bool (n_posts, k), a group having what any of its posts has.
    """
    of_all = np.bincount(group[rows], minlength=len(names))
    present = np.flatnonzero(of_all)
    of_row, sizes = (np.cumsum(of_all > 0) - 1)[group[rows]], of_all[present]
    kinds = np.zeros((len(present), strata.shape[1]), dtype=bool)
    for column in range(strata.shape[1]):
        kinds[of_row[strata[rows, column]], column] = True
    start, keys = f"{seed} ".encode(), names.cast(pa.binary()).take(pa.array(present)).to_pylist()
    order = np.frombuffer(b"".join([hashlib.sha256(start + key).digest()[:8] for key in keys]), ">u8")
    rest = 1 - sum(shares.values())
    named = shares if rest < 1e-9 else {SPLITS[0]: rest, **shares}
    places = _dealt(sizes, kinds, order, np.array([*named.values()]))
    return np.array([*named], dtype="U10")[places[of_row]]


def _dealt(sizes: np.ndarray, kinds: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each group, int (n_groups,), an index of `wanted`, which sums to one.

    Within a stratum the largest groups come first, so that small ones can even out what they leave; ties fall by
    `order`, a random but content-derived key.
    """
    of_group = _numbered(kinds)
    combinations = kinds[np.unique(of_group, return_index=True)[1]]
    frequency = sizes @ kinds
    # The rarest label that a stratum has; a stratum without any label comes last. The last column says paired or not.
    rarity = np.where(combinations[:, :-1], frequency[:-1], np.inf).min(axis=1)
    places = np.zeros(len(sizes), dtype=np.int64)
    carried = np.zeros(len(wanted))
    for stratum in np.lexsort((*combinations.T, rarity)):
        members = np.flatnonzero(of_group == stratum)
        members = members[np.lexsort((order[members], -sizes[members]))]
        lack = (wanted * sizes[members].sum() + carried).tolist()
        dealt = []
        for size in sizes[members].tolist():
            place = lack.index(max(lack))
            dealt.append(place)
            lack[place] -= size
        places[members] = dealt
        carried = np.array(lack)
    return places


def _numbered(kinds: np.ndarray) -> np.ndarray:
    """Return a number for each row of flags, bool (n, k), the same for the same flags and none left out."""
    numbers = np.zeros(len(kinds), dtype=np.int64)
    for byte in np.packbits(kinds, axis=1).T:  # one column of numbers at a time: sorting rows takes ten times as long
        numbers = np.unique(256 * numbers + byte, return_inverse=True)[1]
    return numbers
