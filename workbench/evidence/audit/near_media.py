"""Near-duplicate pictures and clips across a split, stills of clips, and the same picture with other words (templates).

Two pictures of different bytes whose hashes are near (`hashes`), or which show the same thing (`keypoints`), are
near-duplicates where their words are near too (`text_reuse`) or one of them has none; with other words they are a
*template*, as of memes, which is counted apart: the same picture under other words is another statement by design. Two
clips are near where at least `FRAMES` of the frames of one are near frames of the other, so a clip that was cut,
padded, mirrored or cropped is near its original; a picture near any frame of a clip is a *still* of it.

What is compared of each is in `views`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.evidence.audit.families import ContentIndex, finding
from workbench.evidence.audit.likeness import hashes, keypoints, text_reuse
from workbench.evidence.audit.likeness.keypoints import Keypoints
from workbench.evidence.audit.likeness.views import ViewEncoder, Views
from workbench.features import Blocks, FeatureStore
from workbench.schema import INPUTS

FRAMES = 0.5
_AT_ONCE = {"image": 256, "video": 32}
_NONE = Views.of(Blocks.empty(0, ViewEncoder.dim), np.zeros(0, np.int64), moving=False)
Progress = Callable[[int, int], None]


def look_pictures(
    sets: Mapping[str, pa.Table], progress: Progress | None = None, store: FeatureStore | None = None
) -> dict[str, dict[str, Any]]:
    """Return the findings `near_image` and `template`, as `look` does, without reading a clip."""
    return _look(ContentIndex.of(sets, "image"), progress, store)


def look(
    sets: Mapping[str, pa.Table], progress: Progress | None = None, store: FeatureStore | None = None
) -> dict[str, dict[str, Any]]:
    """Return the findings `near_image`, `template`, `near_video` and `still`.

    What cannot be read or is even throughout is `not_compared`. progress: called with how many pictures and clips are
    read and how many there are; store: where what is compared of them is kept, by default nowhere.
    """
    return _look(ContentIndex.of(sets, "image", "video"), progress, store)


def related(contents: ContentIndex, store: FeatureStore | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of pictures and clips that are near, int (n_pairs,) twice, whatever the words beside them.

    That is: near-duplicates, templates, clips that share frames and stills of clips.
    """
    views, mirrored = _read(contents, store or FeatureStore(None), None)
    near, owner, clip = _near(views, mirrored, contents), views.hashes.owner, contents.column == "video"
    clips = clip[owner[near["view"]]] & clip[near["other"].to_numpy(int)]
    pairs = pd.concat([_nearest(near[~clips], owner), _shared_frames(near[clips], owner)])
    return pairs["i"].to_numpy(np.int64), pairs["j"].to_numpy(np.int64)


def _look(contents: ContentIndex, progress: Progress | None, store: FeatureStore | None) -> dict[str, dict[str, Any]]:
    views, mirrored = _read(contents, store or FeatureStore(None), progress)
    near = _near(views, mirrored, contents)
    clip = contents.column == "video"
    owner = views.hashes.owner
    of_clip, with_clip = clip[owner[near["view"]]], clip[near["other"].to_numpy(int)]
    pictures, stills = (_nearest(near[~of_clip & side], owner) for side in (~with_clip, with_clip))
    same = _same_words(contents, pictures)
    pairs = {"near_image": (pictures[same], ~clip), "template": (pictures[~same], ~clip)}
    lost = dict.fromkeys(pairs, contents.lost["image"])
    if "video" in contents.lost:
        pairs["near_video"] = _shared_frames(near[of_clip & with_clip], owner), clip
        pairs["still"] = stills, np.ones(len(contents), bool)
        lost |= {"near_video": contents.lost["video"], "still": sum(contents.lost.values())}
    unseen = np.ones(len(contents), bool)
    unseen[owner] = False
    return {
        name: {**_finding(contents, found, among), "not_compared": int((unseen & among).sum()) + lost[name]}
        for name, (found, among) in pairs.items()
    }


# ------------------------------------------------------------------------------------------------- what is compared


def _read(contents: ContentIndex, store: FeatureStore, progress: Progress | None) -> tuple[Views, list[Any]]:
    """Return the views of all contents, and keypoints of the mirror images of those that are looked up, else None."""
    asked, parts, mirrored, done = _asked(contents), [_NONE], [], 0
    for column in dict.fromkeys(contents.column):
        of_column = np.flatnonzero(contents.column == column)
        for some in np.split(of_column, range(_AT_ONCE[column], len(of_column), _AT_ONCE[column])):
            parts.append(_views(contents, store, some, mirrored=False))
            back = _views(contents, store, some[asked[some]], mirrored=True)
            turned = _by_content(back)
            for content, shown in _by_content(parts[-1]).items():
                same = turned.get(content, [])  # a file may have changed in between
                mirrored += same if len(same) == len(shown) else [None] * len(shown)
            done += len(some)
            if progress:
                progress(done, len(contents))
    return Views.join(parts), mirrored


def _views(contents: ContentIndex, store: FeatureStore, some: np.ndarray, *, mirrored: bool) -> Views:
    """Return the views of some contents of one column, of which all would not fit into memory, from the store."""
    if not len(some):
        return _NONE
    column = contents.column[some[0]]
    cells = [contents.cell(post, column) for post in contents.first[some].tolist()]
    blocks = getattr(store, column)(
        ViewEncoder(mirrored), pa.table({column: pa.array(cells, INPUTS.field(column).type)})
    )
    return Views.of(blocks, some, moving=column == "video")


def _by_content(views: Views) -> dict[int, list[Keypoints]]:
    """Return the keypoints of each content that has any views, in order."""
    found: dict[int, list[Keypoints]] = {}
    for content, keypoints_of_one in zip(views.hashes.owner[views.at].tolist(), views.keypoints, strict=True):
        found.setdefault(content, []).append(keypoints_of_one)
    return found


def _asked(contents: ContentIndex) -> np.ndarray:
    """Return which contents are looked up: those of the most frequent kind only if they cross among themselves."""
    base = np.bincount(contents.kind, minlength=1).argmax()
    return (contents.kind != base) | contents.crosses.diagonal()[contents.kind]


# ----------------------------------------------------------------------------------------------------- what is near


def _near(views: Views, mirrored: list[Any], contents: ContentIndex) -> pd.DataFrame:
    """Return which view is near which other content across the split, once each: `view`, `other`, `nearness`, `how`.

    Nearness is how much is the same: bits of hashes, or places of keypoints. Each pair is there from either side.
    """
    owner = views.hashes.owner
    parts = [_matches(owner, *[np.zeros(0, np.int64)] * 3, "")]
    asked = np.flatnonzero(_asked(contents)[owner])
    kinds = contents.kind[owner], contents.crosses
    for a, b, apart, how in hashes.near_views(views.hashes, contents.column[owner] == "image", asked, *kinds):
        keep = (apart <= hashes.CLOSE) | (contents.column[owner[a]] == contents.column[owner[b]])
        parts.append(_matches(owner, a[keep], b[keep], hashes.BITS - apart[keep], how))
    found = keypoints.near_pairs(views.keypoints, mirrored, kinds[0][views.at], contents.crosses)
    by_keys = _matches(owner, views.at[found.i], views.at[found.j], found.places, found.how)
    standing = pd.DataFrame({"key": views.key, "view": np.arange(len(views.key))})
    parts.append(by_keys.rename(columns={"view": "key"}).merge(standing, on="key").drop(columns="key"))
    every = pd.concat(parts).query("nearness > 0")
    every = every[owner[every["view"]] != every["other"]]
    return _first(every, ["view", "other"])


def _matches(owner: np.ndarray, a: np.ndarray, b: np.ndarray, nearness: np.ndarray, how: Any) -> pd.DataFrame:
    sides = ((a, owner[b]), (b, owner[a]))
    both = [pd.DataFrame({"view": one, "other": other, "nearness": nearness, "how": how}) for one, other in sides]
    return _first(pd.concat(both), ["view", "other"])


def _first(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the nearest row of each group."""
    return rows.sort_values([*by, "nearness"], ascending=[True] * len(by) + [False], kind="stable").drop_duplicates(by)


def _nearest(near: pd.DataFrame, owner: np.ndarray) -> pd.DataFrame:
    """Return the pairs of contents `i` < `j` of near views, with `nearness` and `how`."""
    of, other = owner[near["view"]], near["other"]
    return _first(near.assign(i=np.minimum(of, other), j=np.maximum(of, other)), ["i", "j"])


def _shared_frames(near: pd.DataFrame, owner: np.ndarray) -> pd.DataFrame:
    """Return the pairs of clips i < j that share frames; nearness is the larger share of one's found in the other."""
    of = owner[near["view"]]
    shared = near.assign(of=of).groupby(["of", "other"], as_index=False)["view"].count()
    shared["nearness"] = shared["view"] / np.bincount(owner, minlength=1)[shared["of"]]
    shared["i"], shared["j"] = shared[["of", "other"]].min(axis=1), shared[["of", "other"]].max(axis=1)
    shared["how"] = [f"{100 * share:.0f} % of the frames of one" for share in shared["nearness"]]
    return _first(shared[shared["nearness"] >= FRAMES], ["i", "j"])


def _same_words(contents: ContentIndex, pairs: pd.DataFrame) -> np.ndarray:
    """Return for each pair whether words beside both are near or one has none, of any posts, bool (n_pairs,)."""
    letters: dict[int, set[tuple[str, ...]]] = {}
    for at in np.unique(pairs[["i", "j"]]).tolist():
        texts = {contents.cell(post, "text") for post in np.flatnonzero(contents.content == at).tolist()}
        letters[at] = {text_reuse.letters(text, words=1, letters=1) for text in texts}
    return np.array([_any_near(letters[a], letters[b]) for a, b in zip(pairs["i"], pairs["j"], strict=True)], bool)


def _any_near(some: set[tuple[str, ...]], others: set[tuple[str, ...]]) -> bool:
    return any(not one or not other or text_reuse.alike(one, other) for one in some for other in others)


def _finding(contents: ContentIndex, pairs: pd.DataFrame, among: np.ndarray) -> dict[str, Any]:
    i, j, nearness, how = (pairs[name].to_numpy() for name in ("i", "j", "nearness", "how"))

    def told(a: int, b: int, pair: int) -> str:
        paths = [contents.cell(at, contents.column[contents.content[at]])["path"] for at in (a, b)]
        names = [re.split(r"[/\\]", path)[-1] for path in paths if path]
        return ": ".join([" ~ ".join(names), how[pair]] if len(names) > 1 else [how[pair]])

    return finding(contents, i.astype(np.int64), j.astype(np.int64), nearness.astype(float), told, among)
