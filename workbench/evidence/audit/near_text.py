"""Near-duplicate texts across a split: the same but for small edits, or within one another, and not exactly the same.

`text_reuse` says what near is, and which edits are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.evidence.audit.families import ContentIndex, finding
from workbench.evidence.audit.likeness import text_reuse
from workbench.evidence.audit.relations import quoted
from workbench.preprocessing.text.cleaning import clean


def look(sets: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Return the finding `near_text` of a study's sets; texts that are too short are `not_compared`.

    Its `left_out` says how many runs of letters were too frequent to compare all texts that share them.
    """
    texts = ContentIndex.of(sets, "text")
    letters = _letters(texts)
    pairs = near(texts, letters)
    leak = finding(
        texts, pairs.i, pairs.j, pairs.similarity, lambda a, b, pair: _told(texts, a, b, pairs.similarity[pair])
    )
    short = sum(not each for each in letters)
    return {"near_text": {**leak, "of": leak["of"] - short, "left_out": pairs.left_out, "not_compared": short}}


def related(texts: ContentIndex) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of texts that are near, int (n_pairs,) twice."""
    pairs = near(texts, _letters(texts))
    return pairs.i, pairs.j


def _letters(texts: ContentIndex) -> list[tuple[str, ...]]:
    return [text_reuse.letters(texts.cell(at, "text")) for at in texts.first.tolist()]


def near(texts: ContentIndex, letters: list[tuple[str, ...]]) -> text_reuse.NearPairs:
    """Return the pairs of texts (int, positions in `texts`) that are near; those of the same letters have similarity 1.

    letters: of each text those of all its variants, none where it is too short to be compared. Of many texts of the
    same letters each is paired with one of every combination of sets, not with all others.
    """
    known: dict[str, int] = {}
    rows = np.array(
        [(text, known.setdefault(one, len(known))) for text, each in enumerate(letters) for one in each], np.int64
    ).reshape(-1, 2)
    text, of = rows.T
    # Classes of the same letters are compared; a class may have texts of several combinations of sets.
    heads = np.unique(np.stack([of, texts.kind[text]]), axis=1, return_index=True)[1]
    kinds = np.zeros((len(known), len(texts.crosses)), bool)
    kinds[of[heads], texts.kind[text[heads]]] = True
    masks, kind = np.unique(kinds, axis=0, return_inverse=True)
    allowed = (masks.astype(np.int64) @ texts.crosses @ masks.T) > 0
    pairs = text_reuse.near_pairs(list(known), kind.ravel(), allowed)
    several = np.flatnonzero(np.bincount(of, minlength=len(known)) > 1)
    classes = {"one": [pairs.i, pairs.j, several], "other": [pairs.j, pairs.i, several]}
    classes["similarity"] = [pairs.similarity, pairs.similarity, np.ones(len(several))]
    joined = pd.DataFrame({name: np.concatenate(parts) for name, parts in classes.items()})
    joined = joined.merge(pd.DataFrame({"one": of, "i": text}), on="one")
    joined = joined.merge(pd.DataFrame({"other": of[heads], "j": text[heads]}), on="other")
    i, j, similarity = (joined[name].to_numpy() for name in ("i", "j", "similarity"))
    keep = (i != j) & texts.crosses[texts.kind[i], texts.kind[j]]
    low, high, similarity = np.minimum(i, j)[keep], np.maximum(i, j)[keep], similarity[keep]
    order = np.lexsort((-similarity, high, low))
    _, first = np.unique((low * max(len(texts), 1) + high)[order], return_index=True)
    best = order[first]
    return text_reuse.NearPairs(low[best], high[best], similarity[best], pairs.left_out)


def _told(texts: ContentIndex, a: int, b: int, similarity: float) -> str:
    left, other = (quoted(clean(texts.cell(at, "text"))) for at in (a, b))
    return f"{left} ~ {other} ({similarity:.2f})"
