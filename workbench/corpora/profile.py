"""What is in a corpus: posts of which kinds, how rare the harm is, what repeats, which pictures cannot be read."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench import fingerprint
from workbench.preprocessing import text
from workbench.preprocessing.media import content
from workbench.preprocessing.media import picture as decoded
from workbench.schema import MODALITIES, Taxonomy, declared, label_matrix


def patterns(table: pa.Table) -> pd.DataFrame:
    """Return posts and share by what a post brings (`text`, `text+image`, ...), in the sample and at the site.

    The site's share weighs each post by `weight`, which undoes how the sample was drawn.
    """
    names = modality_names(table)
    weight = weights(table)
    frame = (
        pd.DataFrame({"modalities": names, "weight": weight})
        .groupby("modalities")
        .agg(posts=("weight", "size"), site=("weight", "sum"))
    )
    frame["share"] = frame["posts"] / len(table)
    frame["share at the site"] = frame.pop("site") / weight.sum()
    return frame.sort_values("posts", ascending=False)


def labels(table: pa.Table, taxonomy: Taxonomy) -> pd.DataFrame:
    """Return, per label, known posts, positives, positive groups and prevalence in the sample and at the site."""
    y, known = label_matrix(table, taxonomy)
    weight, group = weights(table), table["group"].to_numpy()
    rows = {}
    for k, name in enumerate(taxonomy.names):
        positive = (y[:, k] > 0) & known[:, k]
        total = weight[known[:, k]].sum()
        rows[name] = {
            "known": int(known[:, k].sum()),
            "positives": int(positive.sum()),
            "positive groups": len(np.unique(group[positive].astype(str))),
            "prevalence": positive.sum() / known[:, k].sum() if known[:, k].any() else np.nan,
            "at the site": weight[positive].sum() / total if total else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def harm_by_pattern(table: pa.Table, taxonomy: Taxonomy) -> pd.DataFrame:
    """Return the share of positives, of known posts, per label (columns) and pattern of modalities (rows)."""
    y, known = label_matrix(table, taxonomy)
    frame = pd.DataFrame(np.where(known, y, np.nan), columns=list(taxonomy.names))
    return frame.groupby(modality_names(table)).mean()


def values(table: pa.Table, column: str) -> pd.Series:
    """Return how many posts have each value of a column such as `language`, the missing ones as `unknown`."""
    counts = pc.fill_null(table[column], "unknown").value_counts()
    series = pd.Series({item["values"]: item["counts"] for item in counts.to_pylist()}, name="posts")
    return series.sort_values(ascending=False)


def duplicates(table: pa.Table) -> pd.DataFrame:
    """Return, for texts and pictures, how many contents occur more than once and how many of these cross groups.

    Texts count as equal after cleaning, pictures by their bytes, wherever these lie (by their path where it cannot be
    read); reposts inside a group are meant to repeat.
    """
    told = zip(table["text"].to_pylist(), declared(table)["text"], strict=True)
    cleaned = [text.clean(words) if there else None for words, there in told]
    shown = [_picture_key(one) for one in table["image"].to_pylist()]
    rows, groups = {}, table["group"].to_pylist()
    for name, keys in (("text", cleaned), ("image", shown)):
        counts = Counter(key for key in keys if key is not None)
        pairs = Counter(
            key for key, _ in {(key, group) for key, group in zip(keys, groups, strict=True) if key is not None}
        )
        repeated = [key for key, count in counts.items() if count > 1]
        rows[name] = {
            "contents": len(counts),
            "repeated": len(repeated),
            "posts concerned": sum(counts[key] for key in repeated),
            "repeated across groups": sum(pairs[key] > 1 for key in repeated),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def pictures(table: pa.Table, limit: int = 2000) -> pd.DataFrame:
    """Return one row per picture of the first `limit` posts that bring one: size in pixels, readings, what is wrong."""
    chosen = table.filter(pa.array(declared(table)["image"])).slice(0, limit)
    rows = []
    for post_id, media in zip(chosen["post_id"].to_pylist(), chosen["image"].to_pylist(), strict=True):
        picture = decoded(media)
        height, width = picture.readings[0].shape[:2] if picture.readings else (0, 0)
        rows.append((post_id, width, height, len(picture.readings), picture.reason, "; ".join(picture.notes)))
    return pd.DataFrame(rows, columns=["post_id", "width", "height", "readings", "unreadable because", "notes"])


def modality_names(table: pa.Table) -> np.ndarray:
    """Return each post's modalities as one word, `text+image`, or `nothing`, str (n_posts,)."""
    has = declared(table)
    bits = np.stack([has[name] for name in MODALITIES], axis=1)
    return np.array(["+".join(np.array(MODALITIES)[row]) or "nothing" for row in bits], dtype=object)


def weights(table: pa.Table) -> np.ndarray:
    """Return the weight of each post (n_posts,), 1 where none is given."""
    return pc.fill_null(table["weight"], 1.0).to_numpy()


def _picture_key(media: dict | None) -> str | None:
    """Return what a picture is told by, None where a post brings none."""
    try:
        data = content(media)
    except OSError:
        return f"unread {media['path']}"
    return None if data is None else fingerprint.of_bytes(data)
