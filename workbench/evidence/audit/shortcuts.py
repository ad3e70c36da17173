"""Shortcuts: models that never look at a post and still score well, so that others may do so for their reason.

For each label and each of a few sets of fields (community, author, when, how long, ...) boosted trees are trained on
train and score test. A set of fields is a *shortcut* for a label where the lower end of the interval of its average
precision, rescaled so that a random order is 0 and a perfect one is 1, is at least `TOO_GOOD`: more than half of what
can be known of the label is then told without reading the post. Fakeddit's `subreddit`, which is its label, reaches 1.

The interval is a bootstrap over groups of test posts at `LEVEL`, one-sided. Fields may honestly tell something (a
community's norms, an author's record), which is why the bar is far above chance; every score is reported beside it.
Labels with fewer than `POSITIVES` positives in train or test are not asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from workbench.preprocessing.text.cleaning import clean
from workbench.schema import Taxonomy, declared, label_matrix

TOO_GOOD = 0.5
LEVEL = 0.99
DRAWS = 200
POSITIVES = 20

BASELINES = {
    "community": ("community",),
    "author": ("author",),
    "author's record": ("age", "posts", "prior_reports", "prior_removals"),
    "reactions": ("reactions", "reports", "impressions"),
    "time": ("day", "hour", "weekday"),
    "place": ("language", "region"),
    "length": ("characters", "words", "capitals"),
    "kind of content": ("text", "image", "video", "image_folder", "image_ending"),
    "post id": ("id_digits", "id_letters", "id_length"),
}
_CATEGORIES = ("community", "author", "language", "region", "image_folder", "image_ending", "id_letters")


def look(sets: Mapping[str, pa.Table], taxonomy: Taxonomy, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Return the finding `shortcut`; its `scores` are one row per baseline and label.

    A row says `average_precision` and `lower` (both on test), `prevalence`, `rescaled` (the lower end between chance
    and perfect) and `shortcut`. Fields that are the same for all training posts make no baseline.
    """
    train, test = _facts(sets["train"]), _facts(sets["test"])
    groups = pd.factorize(pd.Series(sets["test"]["group"].to_pylist(), dtype=object))[0]
    (y_train, known_train), (y_test, known_test) = (label_matrix(sets[name], taxonomy) for name in ("train", "test"))
    rows = []
    for k, label in enumerate(taxonomy.names):
        here, there = known_train[:, k], known_test[:, k]
        y, truth = y_train[here, k], y_test[there, k]
        if min(y.sum(), truth.sum()) < POSITIVES or y.all() or truth.all():
            continue
        for name, fields in BASELINES.items():
            used = [field for field in fields if train.loc[here, field].nunique(dropna=False) > 1]
            if used:
                score = _scored(train.loc[here, used], y, test.loc[there, used], seed)
                rows.append({"fields": name, "label": label, **_judged(truth, score, groups[there], seed)})
    caught = sorted((row for row in rows if row["shortcut"]), key=lambda row: -row["lower"])
    concerned = {row["label"] for row in caught}
    posts = sum(int(known_test[:, k].sum()) for k, label in enumerate(taxonomy.names) if label in concerned)
    return {
        "shortcut": {
            "overlap": len(caught),
            "of": len(rows),
            "posts": posts,
            "examples": [{"content": _told(row), "posts": []} for row in caught[:5]],
            "scores": rows,
        }
    }


def _told(row: Mapping[str, Any]) -> str:
    return (
        f"{row['fields']} alone ranks {row['label']} with average precision {row['average_precision']:.2f} "
        f"(at least {row['lower']:.2f}; a random order {row['prevalence']:.2f})"
    )


def _facts(table: pa.Table) -> pd.DataFrame:
    """Every field of `BASELINES`, one row per post; categories are texts, unknown ones None."""
    author, engagement = table["author"], table["engagement"]
    has, paths = declared(table), pc.struct_field(table["image"], "path").to_pylist()
    texts = pd.Series([clean(text) for text in table["text"].to_pylist()], dtype=object)
    times, ids = pd.Series(table["created_at"].to_pandas()), pd.Series(table["post_id"].to_pylist(), dtype=str)
    numbers = {"age": pc.struct_field(author, "account_age_days")}
    numbers |= {name: pc.struct_field(author, name) for name in ("posts", "prior_reports", "prior_removals")}
    numbers |= {name: pc.struct_field(engagement, name) for name in ("reactions", "reports", "impressions")}
    facts = {name: pc.cast(column, pa.float64()).to_numpy() for name, column in numbers.items()}
    facts |= {name: there.astype(float) for name, there in has.items()}
    facts |= {name: table[name].to_pylist() for name in ("community", "language", "region")}
    facts["author"] = pc.struct_field(author, "id").to_pylist()
    facts["day"] = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds() / 86_400
    facts |= {"hour": times.dt.hour, "weekday": times.dt.day_of_week}
    facts["characters"] = texts.str.len().astype(float)
    facts["words"] = texts.str.count(r"\S+").astype(float)
    facts["capitals"] = texts.str.count("[A-Z]").astype(float)
    facts["image_folder"] = [path.rpartition("/")[0] if path else None for path in paths]
    facts["image_ending"] = [path.rpartition(".")[2].lower() if path else None for path in paths]
    facts["id_digits"] = pd.to_numeric(ids.str.extract(r"(\d{1,15})", expand=False), errors="coerce").astype(float)
    facts["id_letters"] = ids.str.replace(r"[\W\d_]+.*", "", regex=True).to_list()
    facts["id_length"] = ids.str.len().astype(float)
    return pd.DataFrame(facts)


def _scored(train: pd.DataFrame, y: np.ndarray, test: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the scores of test posts (n_test,); a category counts as its smoothed rate of positives in train."""
    categories = [name for name in train if name in _CATEGORIES]
    numbers = [name for name in train if name not in _CATEGORIES]
    parts = [[frame[numbers].to_numpy(float)] for frame in (train, test)]
    if categories:
        encoder = TargetEncoder(target_type="binary", cv=StratifiedKFold(5, shuffle=True, random_state=seed))
        full = [frame[categories].astype(object).where(frame[categories].notna(), "unknown") for frame in (train, test)]
        parts[0].append(encoder.fit_transform(full[0].to_numpy(object), y.astype(int)))
        parts[1].append(encoder.transform(full[1].to_numpy(object)))
    trees = HistGradientBoostingClassifier(max_iter=60, max_depth=4, early_stopping=False, random_state=seed)
    trees.fit(np.column_stack(parts[0]), y.astype(int))
    return trees.predict_proba(np.column_stack(parts[1]))[:, 1]


def _judged(y: np.ndarray, score: np.ndarray, group: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what a baseline is worth on posts of known label, and whether it is too good."""
    value, prevalence = float(average_precision_score(y, score)), float(y.mean())
    rng, _, of = np.random.default_rng(seed), *np.unique(group, return_inverse=True)
    draws, n = [], int(of.max()) + 1
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(n, size=n), minlength=n)[of]
        if (y * weight).any():
            draws.append(average_precision_score(y, score, sample_weight=weight))
    lower = float(np.quantile(draws, 1 - LEVEL))
    rescaled = (lower - prevalence) / (1 - prevalence)
    return {
        "average_precision": value,
        "lower": lower,
        "prevalence": prevalence,
        "positives": int(y.sum()),
        "rescaled": rescaled,
        "shortcut": bool(rescaled >= TOO_GOOD),
    }
