"""Contents that are near each other, from pairs to a finding: families that stand on both sides of a split.

A content is one distinct thing (a text, a picture); posts of all sets are counted to it. Pairs of near contents link
contents to families; a family is a finding if a link joins two sets of which one was fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workbench.evidence.audit import exact
from workbench.evidence.audit.relations import FITTED, PAIRS
from workbench.schema import declared


class ContentIndex:
    """The distinct contents of a study's sets.

    content, place, row: int (n_posts,), for each post that has a content which content it is, in which set and row; a
    post has as many entries as it has contents; column: in which column each content stands, str (n_contents,);
    first: the post, a position in these arrays, that each content was met in first, int (n_contents,);
    kind: which combination of sets each content stands in, int (n_contents,);
    crosses: between which combinations two contents cross the split, bool (k, k); fitted: which sets are fitted on.
    """

    def __init__(
        self, sets: Mapping[str, pa.Table], keys: Mapping[str, Mapping[str, Iterable[Hashable | None]]]
    ) -> None:
        """Keys: column -> set -> what each post's content is known by, None where it has none."""
        self.sets, self.names, self.lost = sets, list(sets), dict.fromkeys(keys, 0)
        known: dict[Hashable, int] = {}
        places = [
            (known.setdefault((column, key), len(known)), place, row)
            for column, of_sets in keys.items()
            for place, name in enumerate(self.names)
            for row, key in enumerate(of_sets[name])
            if key is not None
        ]
        self.column = np.array([column for column, _ in known], dtype=object)
        self.content, self.place, self.row = np.array(places, np.int64).reshape(-1, 3).T
        self.first = np.unique(self.content, return_index=True)[1]
        stands = np.zeros((len(self), len(self.names)), bool)
        stands[self.content, self.place] = True
        masks, kind = np.unique(stands, axis=0, return_inverse=True)
        self.kind = kind.ravel()
        self.fitted = np.array([name in FITTED for name in self.names], bool)
        between = (self.fitted[:, None] | self.fitted) & ~np.eye(len(self.names), dtype=bool)
        self.crosses = (masks.astype(np.int64) @ between @ masks.T) > 0

    @classmethod
    def of(cls, sets: Mapping[str, pa.Table], *columns: str) -> ContentIndex:
        """Return the contents of some columns as what is exactly the same tells them apart.

        `lost` says how many posts of each column could not be read.
        """
        keys = {c: {name: list(exact.keys_of(posts, c)) for name, posts in sets.items()} for c in columns}
        index = cls(sets, keys)
        for column, of_sets in keys.items():
            there = sum(int(declared(posts)[column].sum()) for posts in sets.values())
            index.lost[column] = there - sum(key is not None for each in of_sets.values() for key in each)
        return index

    def __len__(self) -> int:
        return len(self.first)

    def posts_at(self, at: np.ndarray) -> int:
        """Return how many different posts stand at positions, of which one may have several contents."""
        return len(np.unique(np.stack([self.place[at], self.row[at]]), axis=1).T)

    def post(self, at: int) -> list[str]:
        """Return [set, post_id] of the post at a position."""
        name = self.names[self.place[at]]
        return [name, self.sets[name]["post_id"][int(self.row[at])].as_py()]

    def cell(self, at: int, column: str) -> Any:
        """Return a field of the post at a position."""
        return self.sets[self.names[self.place[at]]][column][int(self.row[at])].as_py()

    def ends(self, i: int, j: int) -> tuple[int, int]:
        """Return the positions of one post of each content, in sets between which they cross the split."""
        firsts = [np.flatnonzero(self.content == content) for content in (i, j)]
        firsts = [[posts[self.place[posts] == place][0] for place in np.unique(self.place[posts])] for posts in firsts]
        return next(
            (int(a), int(b))
            for a in firsts[0]
            for b in firsts[1]
            if self.place[a] != self.place[b] and (self.fitted[self.place[a]] or self.fitted[self.place[b]])
        )


def linked(groups: Sequence[str], near: Iterable[tuple[ContentIndex, np.ndarray, np.ndarray]]) -> list[str]:
    """Return the family of each of n posts, the smallest group's name in it; posts are linked by groups and contents.

    near: contents of these posts, and which of them are near each other, int (n_pairs,) twice; contents of posts that
    stand in several sets are those of the first.
    """
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    edges, nodes = [], len(names)
    for contents, i, j in near:
        own = contents.place == 0
        edges += [(group[contents.row[own]], nodes + contents.content[own]), (nodes + i, nodes + j)]
        nodes += len(contents)
    a, b = (np.concatenate(side).astype(np.int64) for side in zip(*edges, strict=True))
    _, family = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(nodes, nodes)), directed=False)
    # names are in order, so the first of a family is the smallest
    _, first, of = np.unique(family[: len(names)], return_index=True, return_inverse=True)
    return names[first[of.ravel()[group]]].tolist()


def finding(
    contents: ContentIndex,
    i: np.ndarray,
    j: np.ndarray,
    similarity: np.ndarray,
    show: Callable[[int, int, int], str],
    among: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return what near contents leak, as families; `test_posts` counts those of `posts` that no model is fitted on.

    i, j: int (n_pairs,), contents that are near; similarity: float (n_pairs,), higher is nearer. Pairs that do not
    cross the split count for nothing. show: what two posts, given by position, have in common, in words, the pair's
    number given last; among: bool (n_contents,), of which contents this speaks; None: of all.
    """
    pair = np.flatnonzero(contents.crosses[contents.kind[i], contents.kind[j]])
    i, j, similarity = i[pair], j[pair], similarity[pair]
    n = len(contents)
    _, family = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)
    linked = np.zeros(n, bool)
    linked[i] = linked[j] = True
    concerned = np.flatnonzero(linked[contents.content])
    sizes = np.bincount(family[contents.content[concerned]])
    best = np.lexsort((j, i, -similarity, family[i]))  # of each family the nearest pair comes first
    shown = [best[at] for at in np.unique(family[i[best]], return_index=True)[1]]
    shown.sort(key=lambda at: (-sizes[family[i[at]]], i[at]))
    examples = []
    for at in shown[:PAIRS]:
        a, b = contents.ends(i[at], j[at])
        examples.append({"content": show(a, b, int(pair[at])), "posts": [contents.post(a), contents.post(b)]})
    families = len(np.unique(family[linked]))
    return {
        "overlap": families,
        "of": (n if among is None else int(among.sum())) - int(linked.sum()) + families,
        "posts": contents.posts_at(concerned),
        "test_posts": contents.posts_at(concerned[~contents.fitted[contents.place[concerned]]]),
        "examples": examples,
    }
