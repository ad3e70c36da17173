"""What is in a corpus: posts of which kinds, how rare the harm is, what repeats, which media cannot be read."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench import fingerprint
from workbench.corpora import counts
from workbench.preprocessing.media import clip as decoded_clip
from workbench.preprocessing.media import content
from workbench.preprocessing.media import picture as decoded
from workbench.preprocessing.text import cleaning
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


def unlabelled(table: pa.Table, taxonomy: Taxonomy) -> pd.DataFrame:
    """Return posts that do not know a label, per label that some do not know (rows) and reason (columns)."""
    rows = {}
    for label, row in counts.of_labels({"": table}, taxonomy)[""].items():
        told = sum(row["why"].values())
        if row["unknown"]:
            rows[label] = row["why"] | ({"no reason given": row["unknown"] - told} if row["unknown"] > told else {})
    return pd.DataFrame.from_dict(rows, orient="index").fillna(0).astype(int)


def harm_by_pattern(table: pa.Table, taxonomy: Taxonomy) -> pd.DataFrame:
    """Return the share of positives, of known posts, per label (columns) and pattern of modalities (rows)."""
    y, known = label_matrix(table, taxonomy)
    frame = pd.DataFrame(np.where(known, y, np.nan), columns=list(taxonomy.names))
    return frame.groupby(modality_names(table)).mean()


def values(table: pa.Table, column: str) -> pd.Series:
    """Return how many posts have each value of a column such as `language`, the missing ones as `unknown`."""
    return pd.Series(table[column].to_pylist(), dtype=object).fillna("unknown").value_counts().rename("posts")


def duplicates(table: pa.Table) -> pd.DataFrame:
    """Return, for texts, pictures and clips, how many contents occur more than once and how many of these cross groups.

    Texts count as equal after cleaning, media by their bytes, wherever these lie (by their path where it cannot be
    read); reposts inside a group are meant to repeat.
    """
    texts = zip(table["text"].to_pylist(), declared(table)["text"], strict=True)
    cleaned = [cleaning.clean(words) if there else None for words, there in texts]
    contents = {"text": cleaned} | {kind: _media_keys(table[kind], kind) for kind in ("image", "video")}
    rows, groups = {}, table["group"].to_pylist()
    for name, keys in contents.items():
        times = (
            pd.DataFrame({"key": keys, "group": groups}, dtype=object).groupby("key")["group"].agg(["size", "nunique"])
        )
        repeated = times[times["size"] > 1]
        rows[name] = {
            "contents": len(times),
            "repeated": len(repeated),
            "posts concerned": int(repeated["size"].sum()),
            "repeated across groups": int((repeated["nunique"] > 1).sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def pictures(table: pa.Table, limit: int = 2000) -> pd.DataFrame:
    """Return one row per picture of the first `limit` posts that bring one: size in pixels, variants, what is wrong."""
    chosen = table.filter(pa.array(declared(table)["image"])).slice(0, limit)
    rows = []
    for batch in chosen.select(["post_id", "image"]).to_batches(max_chunksize=16):
        for row in batch.to_pylist():
            picture = decoded(row["image"])
            height, width = picture.variants[0].shape[:2] if picture.variants else (0, 0)
            notes = "; ".join(picture.notes)
            rows.append((row["post_id"], width, height, len(picture.variants), picture.reason, notes))
    columns = ["post_id", "width", "height", "variants", "unreadable because", "notes"]
    return pd.DataFrame(rows, columns=columns).astype({"width": int, "height": int, "variants": int})


def clips(table: pa.Table, limit: int = 200) -> pd.DataFrame:
    """Return one row per clip of the first `limit` posts that bring one: frames read, size in pixels, what is wrong.

    `seconds`: when the last of the frames read is shown, counted from the first of the clip.
    """
    chosen = table.filter(pa.array(declared(table)["video"])).slice(0, limit)
    rows = []
    for batch in chosen.select(["post_id", "video"]).to_batches(max_chunksize=16):
        for row in batch.to_pylist():
            clip = decoded_clip(row["video"])
            height, width = clip.frames[0].shape[:2] if clip.frames else (0, 0)
            seconds = clip.times[-1] if clip.frames else np.nan
            rows.append((row["post_id"], seconds, len(clip.frames), width, height, clip.reason, "; ".join(clip.notes)))
    columns = ["post_id", "seconds", "frames", "width", "height", "unreadable because", "notes"]
    kinds = {"seconds": float, "frames": int, "width": int, "height": int}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def modality_names(table: pa.Table) -> np.ndarray:
    """Return each post's modalities as one word, `text+image`, or `nothing`, str (n_posts,)."""
    has = declared(table)
    bits = np.stack([has[name] for name in MODALITIES], axis=1)
    return np.array(["+".join(np.array(MODALITIES)[row]) or "nothing" for row in bits], dtype=object)


def weights(table: pa.Table) -> np.ndarray:
    """Return the weight of each post (n_posts,), 1 where none is given."""
    return pc.fill_null(table["weight"], 1.0).to_numpy()


def _media_keys(cells: pa.ChunkedArray, kind: Literal["image", "video"]) -> list[str | None]:
    """Return what each picture or clip is told by, None where a post brings none; a slice at a time is in memory."""
    keys = []
    for start in range(0, len(cells), 100):
        for media in cells.slice(start, 100).to_pylist():
            try:
                data = content(media, kind)
            except OSError:
                keys.append(f"unread {media['path']}")
            else:
                keys.append(None if data is None else fingerprint.of_bytes(data))
    return keys
