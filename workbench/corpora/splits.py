"""Train, validation and test: no group crosses, rare labels are spread first, and the order of the rows says nothing.

Groups are dealt out stratum by stratum (label combination, with or without media beside text), the stratum of the
rarest label first, each group to the split that lacks most rows; what a stratum lacks or has too much is carried over
to the next. Source: the idea of iterative stratification, Sechidis, Tsoumakas and Vlahavas 2011, on whole groups.

A corpus's own split is kept as it is, leaks included: published splits are what published numbers refer to. `crossing`
counts what crosses, and a study prints it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench.schema import Options, Taxonomy, WorkbenchError, declared, label_matrix

SPLITS = ("train", "validation", "test")


class SplitOptions(Options):
    """How posts are divided."""

    by: Literal["group", "author", "column"] = Field(
        "group",
        description="What stays together: repost families, or an author's posts; `column` relies on the corpus's own "
        "split and refuses rows without one.",
    )
    validation: float = Field(0.15, gt=0, lt=1, description="Share of the rows for thresholds and calibration.")
    test: float = Field(0.25, gt=0, lt=1, description="Share of the rows for the final scores.")
    seed: int = Field(0, ge=0, description="Which random split.")

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing for training")
        return self


def assign(table: pa.Table, taxonomy: Taxonomy, options: SplitOptions) -> np.ndarray:
    """Return the split of each post, an array of str (n_posts,): train, validation or test.

    Where the corpus's own `split` column speaks, it is kept; its `train` rows give up `validation` of their number if
    no row is validation yet, and `test` likewise. Rows without an own split follow their group, or are dealt out.
    Raises WorkbenchError when a split is left empty, or when `by` needs a column that has gaps.
    """
    own = np.asarray(table["split"].to_pylist(), dtype=object)
    unsaid = np.array([one is None for one in own], dtype=bool)
    names, group = _groups(table, options)
    found = np.where(unsaid, "", own).astype("U10")
    if unsaid.any():
        if options.by == "column":
            raise WorkbenchError(
                f"{int(unsaid.sum())} of {len(own)} posts have no split of their own, which `by: column` needs; "
                "map a `split` column, or split by group"
            )
        _follow(found, group, len(names))
    strata = _strata(table, taxonomy)
    carved = {split: getattr(options, split) for split in SPLITS[1:]}
    open_rows = found == ""
    if open_rows.any():
        found[open_rows] = _deal(open_rows, names, group, strata, carved, options.seed)
    missing = {split: share for split, share in carved.items() if not (found == split).any()}
    if missing and not unsaid.any():
        train = found == "train"
        found[train] = _deal(train, names, group, strata, missing, options.seed)
    for split in SPLITS:
        if not (found == split).any():
            raise WorkbenchError(
                f"no post is left for {split}: {len(own)} posts in {len(names)} groups cannot be divided "
                f"({options.validation:g} validation, {options.test:g} test); use more groups or other shares"
            )
    return found


def crossing(table: pa.Table, split: np.ndarray) -> dict[str, Any]:
    """Return, for `group` and `author`, how many of them and of their posts lie in more than one split.

    Each is {"crossing": how many cross, "of": how many there are, "posts": posts of those that cross, "examples": up
    to three names}. `split`: str (n_posts,). What the study did not group by may well cross; a report shows it.
    """
    found = {}
    for name, cells in (("group", table["group"]), ("author", pc.struct_field(table["author"], "id"))):
        pairs = pa.table({"name": cells, "split": pa.array(split.astype(str))}).filter(pc.is_valid(cells))
        counts = pairs.group_by("name").aggregate([("split", "count_distinct"), ("split", "count")])
        across = counts.filter(pc.greater(counts["split_count_distinct"], 1)).sort_by("name")
        found[name] = {
            "crossing": across.num_rows,
            "of": counts.num_rows,
            "posts": int(pc.sum(across["split_count"]).as_py() or 0),
            "examples": across["name"].slice(0, 3).to_pylist(),
        }
    return found


# ---------------------------------------------------------------------------------------------------------- the parts


def _groups(table: pa.Table, options: SplitOptions) -> tuple[list[str], np.ndarray]:
    """Return the names of what stays together and the number of each post's, int (n_posts,)."""
    cells = table["group"]
    if cells.null_count:
        raise WorkbenchError(f"{cells.null_count} posts have no group; map a complete `group` column, or none")
    if options.by == "author":
        authors = pc.struct_field(table["author"], "id")
        if authors.null_count == len(authors):
            raise WorkbenchError("no post names its author, which `by: author` needs; map `author`, or split by group")
        # A post without an author stays with its repost family; the prefix keeps a family from being taken for one.
        cells = pc.coalesce(authors, pc.binary_join_element_wise("group", cells, " "))
    codes = pc.dictionary_encode(cells).combine_chunks()
    return codes.dictionary.to_pylist(), codes.indices.to_numpy(zero_copy_only=False)


def _follow(found: np.ndarray, group: np.ndarray, n_groups: int) -> None:
    """Give rows without a split that of their group, in place; where that is split itself, the first of SPLITS."""
    said = np.full(n_groups, "", dtype="U10")
    for split in reversed(SPLITS):
        said[group[found == split]] = split
    found[found == ""] = said[group[found == ""]]


def _strata(table: pa.Table, taxonomy: Taxonomy) -> np.ndarray:
    """Return which labels hold for each post, bool (n_posts, n_labels + 2): all labels, none though known, paired."""
    y, known = label_matrix(table, taxonomy)
    has = declared(table)
    paired = has["text"] & (has["image"] | has["video"])
    return np.column_stack([(y > 0) & known, known.any(axis=1) & ~(y > 0).any(axis=1), paired])


def _deal(
    rows: np.ndarray, names: list[str], group: np.ndarray, strata: np.ndarray, shares: dict[str, float], seed: int
) -> np.ndarray:
    """Return the split of the chosen rows: the given shares of them, the rest train.

    rows: bool (n_posts,); group: int (n_posts,); strata: bool (n_posts, k), a group having what any of its posts has.
    """
    present, of_row = np.unique(group[rows], return_inverse=True)
    sizes = np.bincount(of_row)
    kinds = np.zeros((len(present), strata.shape[1]), dtype=bool)
    for column in range(strata.shape[1]):
        kinds[of_row[strata[rows, column]], column] = True
    order = np.array([hashlib.sha256(f"{seed} {names[one]}".encode()).digest()[:8] for one in present])
    wanted = np.array([1 - sum(shares.values()), *shares.values()])
    places = _dealt(sizes, kinds, order, wanted)
    return np.array(["train", *shares], dtype="U10")[places[of_row]]


def _dealt(sizes: np.ndarray, kinds: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the place of each group, int (n_groups,), an index of `wanted`, which sums to one.

    Within a stratum the largest groups come first, so that small ones can even out what they leave; ties fall by
    `order`, a random but content-derived key.
    """
    combinations, of_group = np.unique(kinds, axis=0, return_inverse=True)
    frequency = sizes @ kinds
    # The rarest label that a stratum has; a stratum without any label comes last. The last column says paired or not.
    rarity = np.where(combinations[:, :-1], frequency[:-1], np.inf).min(axis=1)
    places = np.zeros(len(sizes), dtype=np.int64)
    carried = np.zeros(len(wanted))
    for stratum in np.lexsort((*combinations.T, rarity)):
        members = np.flatnonzero(of_group.ravel() == stratum)
        members = members[np.lexsort((order[members], -sizes[members]))]
        lack = (wanted * sizes[members].sum() + carried).tolist()
        for one in members.tolist():
            place = lack.index(max(lack))
            places[one] = place
            lack[place] -= int(sizes[one])
        carried = np.array(lack)
    return places
