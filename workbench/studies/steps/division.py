"""How a study's posts are divided: as `corpora.splits` does, and by folds with near-duplicates kept in one of them.

Sources: every post is tested once by a model that saw none of its family. Folds' trainings share much of their
posts, so the values of folds are no independent samples: there is no unbiased estimate of the variance of k-fold cross-
validation (Bengio & Grandvalet 2004, JMLR 5:1089-1105), and one that takes them as independent is too small (Nadeau &
Bengio 2003, Machine Learning 52:239-281). Hence folds are joined before anything is resampled (`comparison.folds`).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from workbench.corpora import Corpus, splits
from workbench.evidence.audit import looking
from workbench.features import FeatureStore
from workbench.fingerprint import closure
from workbench.schema import Taxonomy

DEALT = ("test", "validation")  # of which each fold has its own part


def divide(
    corpus: dict[str, Any], split: dict[str, Any], tests: dict[str, dict[str, Any]], taxonomy: Taxonomy
) -> tuple[dict[str, pa.Table], dict[str, str], int]:
    """Return what `splits.divide` returns; by folds groups are the families of near-duplicates."""
    return splits.divide(corpus, split, tests, taxonomy, _families)


def every_fold(
    corpus: dict[str, Any], split: dict[str, Any], tests: dict[str, dict[str, Any]], taxonomy: Taxonomy
) -> dict[str, pa.Table]:
    """Return a study's sets; by folds those that are scored, validation and test of all, each post with its `fold`."""
    sets, _, _ = divide(corpus, split, tests, taxonomy)
    if split.get("folds") is None:
        return sets
    rest = [divide(corpus, {**split, "fold": fold}, {}, taxonomy)[0] for fold in range(1, split["folds"])]
    dealt = {name: pa.concat_tables([fold[name] for fold in (sets, *rest)]) for name in DEALT}
    return {**dealt, **{name: posts for name, posts in sets.items() if name not in ("train", *DEALT)}}


def code() -> str:
    """Return the digest of the code that tells which posts are of one family."""
    return closure.of_code("workbench.evidence.audit.looking:_families")["code"]


def _families(corpus: Corpus) -> pa.Array:
    return pa.array(looking.families(corpus.table, key={"digest": corpus.digest}, store=FeatureStore()), pa.string())
