"""Near-duplicate texts across a split: texts that are the same but for small edits, and not already exactly the same.

`shingles` says what near is, and which edits are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.evidence.audit import exact, shingles
from workbench.evidence.audit.families import ContentIndex, finding
from workbench.evidence.audit.relations import quoted
from workbench.preprocessing.text.cleaning import clean


def look(sets: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Return the finding `near_text` of a study's sets; texts without any word are compared with nothing.

    Its `left_out` says how many runs of three words were too frequent to compare all texts that share them.
    """
    keys = {name: list(exact.keys_of(posts, "text")) for name, posts in sets.items()}
    texts = ContentIndex(sets, keys)
    words = [shingles.words_of(texts.cell(at, "text")) for at in texts.first.tolist()]
    pairs = near(texts, words)
    leak = finding(texts, pairs.i, pairs.j, pairs.similarity, lambda a, b, s: _told(texts, a, b, s))
    leak["of"] -= sum(not tokens for tokens in words)
    return {"near_text": {**leak, "left_out": pairs.left_out}}


def near(texts: ContentIndex, words: list[list[str]]) -> shingles.NearPairs:
    """Return the pairs of texts (int, positions in `texts`) that are near; texts of the same words have similarity 1.

    Of many texts with the same words each is paired with one of every combination of sets, not with all others.
    """
    known: dict[tuple[str, ...], int] = {}
    of = np.array([known.setdefault(tuple(one), len(known)) for one in words], np.int64)
    if () in known:
        of[of == known[()]] = -1
    spelled = shingles.ShingledTexts(known)
    # Classes of texts with the same words are compared; a class may have texts of several combinations of sets.
    heads = np.unique(np.stack([of, texts.kind]), axis=1, return_index=True)[1] if len(of) else np.zeros(0, np.int64)
    heads = heads[of[heads] >= 0]
    kinds = np.zeros((len(spelled), len(texts.crosses)), bool)
    kinds[of[heads], texts.kind[heads]] = True
    masks, kind = np.unique(kinds, axis=0, return_inverse=True)
    allowed = (masks.astype(np.int64) @ texts.crosses @ masks.T) > 0
    pairs = shingles.near_pairs(spelled, kind.ravel(), allowed)
    every = np.flatnonzero(of >= 0)
    several = np.flatnonzero(np.bincount(of[every], minlength=len(spelled)) > 1)
    classes = {"one": [pairs.i, pairs.j, several], "other": [pairs.j, pairs.i, several]}
    classes["similarity"] = [pairs.similarity, pairs.similarity, np.ones(len(several))]
    joined = pd.DataFrame({name: np.concatenate(parts) for name, parts in classes.items()})
    joined = joined.merge(pd.DataFrame({"one": of[every], "i": every}), on="one")
    joined = joined.merge(pd.DataFrame({"other": of[heads], "j": heads}), on="other")
    i, j, similarity = (joined[name].to_numpy() for name in ("i", "j", "similarity"))
    keep = (i != j) & texts.crosses[texts.kind[i], texts.kind[j]]
    numbered = np.minimum(i, j)[keep] * max(len(texts), 1) + np.maximum(i, j)[keep]
    unique, first = np.unique(numbered, return_index=True)
    i, j = np.divmod(unique, max(len(texts), 1))
    return shingles.NearPairs(i, j, similarity[keep][first], pairs.left_out)


def _told(texts: ContentIndex, a: int, b: int, similarity: float) -> str:
    left, other = (quoted(clean(texts.cell(at, "text"))) for at in (a, b))
    return f"{left} ~ {other} ({similarity:.2f})"
