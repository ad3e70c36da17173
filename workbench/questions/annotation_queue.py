"""The list of posts that people label next, with the reason for each, and the clusters they can label at once.

`embed` makes unlabelled posts comparable: by an encoder, or by their words alone where no encoder is at hand. `choose`
orders them: without any label the middles of the clusters come first, then posts unlike all before; with some labels of
both kinds the likeliest, the most telling and some at random take turns (`questions.active_learning` measures that
order as `mixed`). `write` leaves a CSV to fill in; `source: files` reads it back.
"""

from __future__ import annotations

import csv
import html
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from workbench.comparison.options import MAIN, VALIDATION
from workbench.corpora import splits
from workbench.corpora.export import write_media
from workbench.errors import WorkbenchError, unknown_label
from workbench.features import FeatureStore
from workbench.preprocessing.text.cleaning import clean
from workbench.questions.active_learning import Pool, PoolPosts, by_clusters, farthest, in_turn, learn
from workbench.questions.clusters import Clusters, telling_words
from workbench.report import gallery
from workbench.schema import MODALITIES, Taxonomy, declared, label_matrix

WORDS = "words"  # the embedding that needs no encoder
WORD = r"(?u)\b\w+\b"
DIM = 100  # numbers that are left of words, and of an encoder's vectors at most
EXCERPT = 200  # characters


class Side(NamedTuple):
    """One side of the simulation: posts that know the label and can be read, and how many could not be."""

    table: pa.Table
    posts: PoolPosts
    unreadable: int

    def summary(self) -> dict[str, float]:
        """Return how many posts there are, and how many harmful ones."""
        harmful = int(self.posts.y.sum())
        share = harmful / len(self.posts.y) if len(self.posts.y) else math.nan
        return {"posts": len(self.posts.y), "harmful": harmful, "share": share, "unreadable": self.unreadable}


def material(
    table: pa.Table, taxonomy: Taxonomy, label: str, held_out: float, embedding: str, store: FeatureStore
) -> tuple[Side, Side]:
    """Return the pool and the held-out side of a corpus; no group stands on both, and a corpus's own test part is kept.

    Raises WorkbenchError for an unknown label, a label that no post knows or all posts agree on, and a
    corpus that cannot be divided.
    """
    if label not in taxonomy.names:
        raise WorkbenchError(unknown_label(label, taxonomy.names))
    column = taxonomy.names.index(label)
    known = label_matrix(table, taxonomy)[1][:, column]
    if not known.any():
        raise WorkbenchError(f"no post of the corpus knows the label {label!r}, so nothing can be simulated")
    table = table.filter(pa.array(known))
    shares = {VALIDATION: (1 - held_out) / 2, MAIN: held_out}  # what a split calls validation is part of the pool
    part = splits.assign(table, taxonomy, splits.SplitOptions.parse(shares, "held_out"))
    tables = [table.filter(pa.array(side)) for side in (part != MAIN, part == MAIN)]
    sides = tuple(
        _side(posts, x, label_matrix(posts, taxonomy)[0][:, column] > 0.5)
        for posts, x in zip(tables, embed(*tables, embedding, store), strict=True)
    )
    for name, side in zip(("the pool", "what is held out"), sides, strict=True):
        if len(set(side.posts.y.tolist())) < 2:
            raise WorkbenchError(
                f"{name} has {int(side.posts.y.sum())} of {len(side.posts.y)} readable posts that are {label!r}, and "
                "both kinds are needed; choose another label or more posts"
            )
    return sides


def _side(table: pa.Table, x: np.ndarray, y: np.ndarray) -> Side:
    read = np.isfinite(x).all(axis=1)
    group = np.array(table["group"].to_pylist())
    return Side(table.filter(pa.array(read)), PoolPosts(x[read], y[read], group[read]), int((~read).sum()))


def embed(pool: pa.Table, others: pa.Table, embedding: str, store: FeatureStore) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings (n_pool, d) and (n_others, d), float64; a row is NaN where nothing of a post can be read.

    embedding: `words` (tf-idf of words and pairs of words, reduced by SVD, rows of length 1), or the name of an
    encoder, whose vectors of a post's text, picture and clip (the mean of their rows) stand side by side, an absent
    one as zeros, whitened by PCA. Both are learnt from the pool alone.
    """
    if embedding == WORDS:
        return _by_words(pool, others)
    halves = [
        np.hstack([_half(getattr(store, name)(embedding, table)) for name in MODALITIES]) for table in (pool, others)
    ]
    there = [np.isfinite(x).any(axis=1) for x in halves]
    filled = [np.nan_to_num(x, nan=0.0) for x in halves]
    if there[0].sum() < 2:
        raise WorkbenchError("the pool has fewer than two posts that can be read")
    seen = filled[0][there[0]]
    pca = PCA(min(DIM, *seen.shape), whiten=True, random_state=0).fit(seen)
    return tuple(np.where(some[:, None], pca.transform(x), np.nan) for some, x in zip(there, filled, strict=True))


def _half(blocks) -> np.ndarray:
    """Return the mean of each item's vectors (n, d); NaN where it is absent or could not be read."""
    owner = np.repeat(np.arange(len(blocks)), blocks.counts)
    total = np.zeros((len(blocks), blocks.dim))
    np.add.at(total, owner, blocks.values)
    return np.where(blocks.readable[:, None], total / np.maximum(blocks.counts, 1)[:, None], np.nan)


def _by_words(pool: pa.Table, others: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    texts = [[clean(text or "") for text in table["text"].to_pylist()] for table in (pool, others)]
    counter = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORD)
    try:
        counts = [counter.fit_transform(texts[0]), counter.transform(texts[1])]
    except ValueError:
        raise WorkbenchError("no two texts of the pool share a word, so words cannot tell what is alike") from None
    svd = TruncatedSVD(min(DIM, counts[0].shape[1] - 1, counts[0].shape[0]), random_state=0).fit(counts[0])
    return tuple(
        np.where(declared(table)["text"][:, None], normalize(svd.transform(x)), np.nan)
        for table, x in zip((pool, others), counts, strict=True)
    )


# ------------------------------------------------------------------------------------------------------------ the list


def choose(
    x: np.ndarray, clusters: Clusters, n: int, *, y: np.ndarray, known: np.ndarray, peek: int = 3, seed: int = 0
) -> list[tuple[int, str]]:
    """Return the n posts to label next with the reason for each, those that teach most first.

    x (n_posts, d): embeddings without NaN; clusters: of the same posts; y, known (n_posts,): the labels so far.
    """
    labelled = np.flatnonzero(known)
    pool = Pool(x, clusters, labelled, None, np.random.default_rng(seed))
    if len(np.unique(y[labelled] > 0.5)) == 2:
        pool.prob = learn(x[labelled], y[labelled] > 0.5, 1.0)(x)
        return _by_model(pool, n)
    middle = clusters.rank[(rows := by_clusters(pool, len(x)))] < peek
    first = rows[middle][: (n + 1) // 2]
    reasons = [f"in the middle of cluster {of} ({clusters.sizes[of]} posts)" for of in clusters.of[first]]
    pool.labelled = np.concatenate([labelled, first])
    rest = farthest(pool, n - len(first)) if n > len(first) else first[:0]
    return list(
        zip(np.concatenate([first, rest]).tolist(), reasons + ["unlike all posts before it"] * len(rest), strict=True)
    )


def _by_model(pool: Pool, n: int) -> list[tuple[int, str]]:
    """Return the next posts where a learner has something to say."""
    rows, why = in_turn(pool, n)
    templates = ("likely harmful ({:.2f})", "would teach most, the learner gives it {:.2f}", "drawn at random ({:.2f})")
    return [(int(row), templates[kind].format(pool.prob[row])) for row, kind in zip(rows, why, strict=True)]


def write(path: Path | str, posts: pa.Table, chosen: list[tuple[int, str]], clusters: Clusters, label: str) -> Path:
    """Write the chosen posts as a CSV that people fill in, and return its path.

    posts: the table that `chosen` and `clusters` count rows of. Columns: post_id, cluster, reason, text, image and
    video (written to a folder beside the file, and named relative to it), and the label, to be filled in with `yes` or
    `no`, or left empty. A text that a spreadsheet would take for a formula gets a space in front, which no model sees.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ["post_id", "cluster", "reason", "text", "image", "video", label]
    rows = posts.take([row for row, _ in chosen]).select(["post_id", "text", "image", "video"]).to_pylist()
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for (at, reason), row in zip(chosen, rows, strict=True):
            media = [_named(row, kind, path) for kind in ("image", "video")]
            writer.writerow([row["post_id"], int(clusters.of[at]), reason, _harmless(row["text"] or ""), *media, ""])
    return path


def _named(row: dict[str, Any], kind: str, path: Path) -> str:
    """Write a post's picture or clip beside the list; return its path from there, empty where there is none."""
    beside = path.with_suffix("")
    if not (row[kind] or {}).get("bytes") and not (row[kind] or {}).get("path"):
        return ""
    beside.mkdir(exist_ok=True)
    name = write_media(row, kind, beside)
    return f"{beside.name}/{name}" if name else ""


def _harmless(text: str) -> str:
    return f" {text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def read_config(path: Path | str, label: str) -> dict[str, Any]:
    """Return the `corpus` of a study that reads a filled list back; posts that nobody labelled are unknown."""
    media = {"image": "image", "video": "video"}
    return {
        "source": "files",
        "path": str(path),
        "post_id": "post_id",
        "text": "text",
        **media,
        "labels": {label: label},
    }


# -------------------------------------------------------------------------------------------------- looking at clusters


def summary(posts: pa.Table, clusters: Clusters, *, words: int = 8) -> pd.DataFrame:
    """Return a row per cluster, the largest first: posts, telling words, mean distance from the centre."""
    telling = telling_words(posts["text"].to_pylist(), clusters.of, n=words)
    spread = np.bincount(clusters.of, weights=clusters.distance) / clusters.sizes
    frame = pd.DataFrame({"posts": clusters.sizes, "words": [", ".join(terms) for terms in telling], "spread": spread})
    return frame.rename_axis("cluster")


def cards(posts: pa.Table, clusters: Clusters, *, first: int = 6, each: int = 3) -> str:
    """Return a page fragment: posts nearest to the first clusters' centres, pictures blurred, texts cut short."""
    words = telling_words(posts["text"].to_pylist(), clusters.of)
    parts = []
    for number, near in enumerate(clusters.nearest(each)[:first]):
        title = f"<h4>Cluster {number}: {clusters.sizes[number]:,} posts. {html.escape(', '.join(words[number]))}</h4>"
        rows = posts.take(near).select(["text", "image"]).to_pylist()
        parts.append(f'{title}<div class="gallery">{"".join(map(_card, rows))}</div>')
    return "".join(parts)


def _card(row: dict[str, Any]) -> str:
    text = clean(row["text"] or "")
    cut = text[:EXCERPT] + ("…" if len(text) > EXCERPT else "")
    paragraph = f'<p dir="auto">{html.escape(cut)}</p>' if text else ""
    return f'<div class="card">{gallery.thumbnail(row["image"])}{paragraph}</div>'
