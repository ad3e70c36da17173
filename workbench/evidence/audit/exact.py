"""What stands on both sides of a split as it is: the same `group`, the same words, the same picture, the same clip.

Words are compared after cleaning, lower-cased and without invisible characters; pictures and clips by their bytes.
Groups (and authors, which are counted and by default never held) are names of one corpus, so they are compared within
its own three splits; contents also against a study's further test sets. Two test sets may share posts: neither teaches
a model anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workbench.corpora.splits import SPLITS
from workbench.evidence.audit.relations import EXAMPLES, FITTED, HELD, quoted
from workbench.preprocessing.media import content
from workbench.preprocessing.text.cleaning import TextOptions, clean
from workbench.preprocessing.text.obfuscation import visible
from workbench.schema import MODALITIES, declared

_CLEANING = TextOptions(lower=True, max_chars=None)


def overlap(sets: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Return, for each held relation and `author`, what of it stands in more than one set.

    sets: train, validation, test and further test sets by name. Each entry is {"overlap": how many contents cross,
    "of": how many there are, "posts": posts of those that cross, "not_compared": posts whose content could not be read,
    "examples": up to EXAMPLES of {"content", "posts":
    [[set, post_id], ...]}}, the contents with most posts first. A file that cannot be read is compared with nothing.
    """
    own = {name: sets[name] for name in SPLITS if name in sets}
    findings = {"group": _across(own, "group"), "author": _across(own, "author")}
    return findings | {name: _across(sets, name) for name in HELD if name != "group"}


def _across(sets: Mapping[str, pa.Table], relation: str) -> dict[str, Any]:
    parts, lost = [], 0
    for name, posts in sets.items():
        keys = pa.array(keys_of(posts, relation), pa.binary())
        lost += int(declared(posts)[relation].sum()) - (len(keys) - keys.null_count) if relation in MODALITIES else 0
        row = pa.array(range(len(posts)), pa.int64())
        fitted = pa.array([name in FITTED] * len(posts), pa.bool_())
        parts.append(pa.table({"key": keys, "set": [name] * len(posts), "row": row, "fitted": fitted}))
    every = pa.concat_tables(parts)
    every = every.filter(pc.is_valid(every["key"]))
    counts = every.group_by("key").aggregate([("set", "count_distinct"), ("set", "count"), ("fitted", "any")])
    across = counts.filter(pc.and_(pc.greater(counts["set_count_distinct"], 1), counts["fitted_any"]))
    across = across.sort_by([("set_count", "descending"), ("key", "ascending")])
    return {
        "overlap": across.num_rows,
        "of": counts.num_rows,
        "posts": int(pc.sum(across["set_count"]).as_py() or 0),
        "not_compared": lost,
        "examples": [_example(sets, every, key, relation) for key in across["key"].slice(0, EXAMPLES).to_pylist()],
    }


def _example(sets: Mapping[str, pa.Table], every: pa.Table, key: bytes, relation: str) -> dict[str, Any]:
    """Return one content that crosses: what it is, and one post of each set that has it."""
    rows = every.filter(pc.equal(every["key"], pa.scalar(key, pa.binary())))
    where = zip(rows["set"].to_pylist(), rows["row"].to_pylist(), strict=True)
    first = dict(sorted(where, reverse=True))  # of each set its first post
    posts = [[name, sets[name]["post_id"][first[name]].as_py()] for name in sets if name in first]
    name = posts[0][0]
    return {"content": _shown(sets[name], first[name], relation, key), "posts": posts}


def _shown(posts: pa.Table, row: int, relation: str, key: bytes) -> str:
    """Return a content in a few words: the start of a text, a name, a path or the first digits of a digest."""
    if relation in ("group", "author"):
        return key.decode("utf-8", "replace")
    if relation == "text":
        return quoted(clean(posts["text"][row].as_py()))
    return (posts[relation][row].as_py() or {}).get("path") or f"sha256 {key.hex()[:12]}"


def keys_of(posts: pa.Table, relation: str) -> Iterator[bytes | None]:
    """Yield what a post is compared by, None where there is nothing of it."""
    if relation in ("group", "author"):
        names = posts["group"] if relation == "group" else pc.struct_field(posts["author"], "id")
        yield from (None if name is None else name.encode() for name in names.to_pylist())
        return
    for cell, there in zip(cells(posts, relation), declared(posts)[relation], strict=True):
        yield _digest(cell, relation) if there else None


def cells(posts: pa.Table, column: str) -> Iterator[Any]:
    """Yield the cells of a column, a batch at a time: all pictures may not fit into memory."""
    for batch in posts.select([column]).to_batches(max_chunksize=1000):
        yield from batch.column(0).to_pylist()


def _digest(cell: Any, relation: str) -> bytes | None:
    if relation == "text":
        return hashlib.sha256(clean(visible(cell), _CLEANING).encode()).digest()
    try:
        return hashlib.sha256(content(cell, relation)).digest()
    except OSError:
        return None
