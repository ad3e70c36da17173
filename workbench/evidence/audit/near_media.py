"""Near-duplicate pictures and clips across a split, and the same picture with other words (templates).

Two pictures of different bytes whose hashes are near (`hashes`), or which show the same thing (`keypoints`), are
near-duplicates where their words are near too (`text_reuse`) or one of them has none; with other words they are a
*template*, as of memes, which is counted apart: the same picture under other words is another statement by design. Two
clips are near where at least `FRAMES` of the frames of one are near frames of the other, so a clip that was cut or
padded is near its original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.evidence.audit import exact
from workbench.evidence.audit.families import ContentIndex, finding
from workbench.evidence.audit.likeness import hashes, keypoints, text_reuse
from workbench.evidence.audit.likeness.keypoints import Keypoints
from workbench.preprocessing import media

FRAMES = 0.5
Progress = Callable[[int, int], None]


def look_images(sets: Mapping[str, pa.Table], progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """Return the findings `near_image` and `template`; pictures that cannot be read or are even are `not_compared`.

    progress: called with how many pictures are hashed and how many there are.
    """
    pictures = _contents(sets, "image")
    asked = _asked(pictures)
    shown, owner, mirrored = [], [], []

    def read(content: int, at: int) -> tuple[np.ndarray, ...]:
        variants = media.picture(pictures.cell(at, "image")).variants
        for pixels in variants:
            shown.append(Keypoints.of(pixels))
            mirrored.append(Keypoints.of(np.ascontiguousarray(pixels[:, ::-1])) if asked[content] else None)
            owner.append(content)
        return variants

    views = _views(pictures, read, progress)
    i, j, apart = hashes.near_pairs(views)
    of = np.array(owner, np.int64)
    a, b, places = keypoints.near_pairs(shown, mirrored, pictures.kind[of], pictures.crosses)
    pairs = pd.DataFrame(
        {
            "i": np.concatenate([i, np.minimum(of[a], of[b])]),
            "j": np.concatenate([j, np.maximum(of[a], of[b])]),
            "nearness": np.concatenate([hashes.BITS - apart, places]),  # which is how much is the same, of either
        }
    )
    pairs = pairs.query("i != j").groupby(["i", "j"], as_index=False)["nearness"].max()
    i, j, nearness = (pairs[name].to_numpy() for name in pairs)
    same = _same_words(pictures, i, j)
    findings = {}
    for name, rows in (("near_image", same), ("template", ~same)):
        leak = finding(pictures, i[rows], j[rows], nearness[rows].astype(float), lambda a, b, s: _told(pictures, a, b))
        findings[name] = leak | {"not_compared": len(pictures) - len(np.unique(views.owner))}
    return findings


def look_videos(sets: Mapping[str, pa.Table], progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """Return the finding `near_video`; clips that cannot be read or are even throughout are `not_compared`."""
    clips = _contents(sets, "video")
    frames = _views(clips, lambda _, at: media.clip(clips.cell(at, "video")).frames, progress)
    i, j, share = near_clips(frames.whole, frames.owner)
    leak = finding(clips, i, j, share, lambda a, b, s: f"{100 * s:.0f} % of the frames of one")
    return {"near_video": leak | {"not_compared": len(clips) - len(np.unique(frames.owner))}}


def near_clips(frames: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of clips i < j that share frames, and the larger share of one's frames found in the other.

    frames: uint64 (n_frames, 4), hashes; owner: int (n_frames,), whose frame it is.
    """
    if not len(owner):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    n = int(owner.max()) + 1
    codes = [np.zeros(0, np.int64)]
    for a, b, _ in hashes.near_rows(frames, frames):
        keep = owner[a] != owner[b]
        codes.append(np.unique(a[keep] * n + owner[b[keep]]))  # a frame counts once for each other clip
    frame, other = np.divmod(np.unique(np.concatenate(codes)), n)
    shared = pd.DataFrame({"of": owner[frame], "by": other}).value_counts().reset_index(name="frames")
    shared["share"] = shared["frames"] / np.bincount(owner, minlength=n)[shared["of"]]
    shared["i"], shared["j"] = np.minimum(shared["of"], shared["by"]), np.maximum(shared["of"], shared["by"])
    near = shared.groupby(["i", "j"], as_index=False)["share"].max().query(f"share >= {FRAMES}")
    return near["i"].to_numpy(), near["j"].to_numpy(), near["share"].to_numpy()


def _contents(sets: Mapping[str, pa.Table], kind: str) -> ContentIndex:
    return ContentIndex(sets, {name: list(exact.keys_of(posts, kind)) for name, posts in sets.items()})


def _views(
    contents: ContentIndex, read: Callable[[int, int], tuple[np.ndarray, ...]], progress: Progress | None
) -> hashes.ImageHashes:
    """Return all views of all contents; those of one are reduced as soon as it is read."""
    views = [hashes.ImageHashes.of(np.zeros((0, 2, hashes.PIXELS, hashes.PIXELS), np.float32), np.zeros(0, np.int64))]
    for content, at in enumerate(contents.first.tolist()):
        small = [thumbnail for thumbnail in map(hashes.thumbnail, read(content, at)) if thumbnail is not None]
        if small:
            views.append(hashes.ImageHashes.of(np.stack(small), np.full(len(small), content)))
        if progress and (content % 100 == 99 or content + 1 == len(contents)):
            progress(content + 1, len(contents))
    return hashes.ImageHashes(*map(np.concatenate, zip(*views, strict=True)))


def _same_words(contents: ContentIndex, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Return for each pair whether the words beside both are near or one has none, bool (n_pairs,)."""
    texts = {at: contents.cell(int(contents.first[at]), "text") for at in np.unique([i, j]).tolist()}
    letters = {at: text_reuse.letters(text, words=1, letters=1) for at, text in texts.items()}
    pairs = [(letters[a], letters[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)]
    return np.array([not one or not other or text_reuse.alike(one, other) for one, other in pairs], bool)


def _asked(contents: ContentIndex) -> np.ndarray:
    """Return which contents are looked up: those of the most frequent kind only if they cross among themselves."""
    base = np.bincount(contents.kind, minlength=1).argmax()
    return (contents.kind != base) | contents.crosses.diagonal()[contents.kind]


def _told(pictures: ContentIndex, a: int, b: int) -> str:
    names = [(pictures.cell(at, "image") or {}).get("path") for at in (a, b)]
    return " ~ ".join(name.rpartition("/")[2] for name in names if name) or "two pictures"
