"""What pictures and clips are compared by, as the feature store keeps it: each is read and reduced only once.

A picture has a view for each ground that it may stand on, a clip one for each of 64 frames, evenly spread; even ones
have none. All views have hashes; those that show something new have keypoints: all views of a picture, and of a clip
the frames that differ from the last one that has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from workbench.evidence.audit.likeness.hashes import CELLS, DISTANCE, MARGINS, ImageHashes, distances, thumbnail
from workbench.evidence.audit.likeness.keypoints import Keypoints
from workbench.features.blocks import Blocks, TransientError
from workbench.features.encoders import identity
from workbench.preprocessing.image import decoding
from workbench.preprocessing.video import reader

FRAMES = reader.VideoOptions(frames=64)  # a clip that was cut shows its frames at other times
_WORD = 32  # bytes of a hash and of a descriptor, and of a row
_PARTS = np.cumsum([1, len(MARGINS), 1]) * _WORD  # where the hashes of a view end: whole, inner, mirrored; then cells
_HEAD = (_PARTS[-1] + CELLS * CELLS) // _WORD  # rows that hold the hashes and cells of a view
_Shown = tuple[Sequence[np.ndarray], str | None]


class ViewEncoder:
    """Gives the views of pictures and clips to a `FeatureStore`, as an encoder gives vectors; `Views.of` reads them.

    A content's rows of `dim` values begin with the number of a view. First come its hashes and cells, with -1 for a
    place, 32 bytes a row; then its keypoints, each with its place (float16, in pixels) and 32 bytes of descriptor.

    mirrored: whether keypoints are those of mirror images.
    """

    dim = 3 + _WORD
    weights = "none"

    def __init__(self, mirrored: bool) -> None:
        self.mirrored = mirrored
        self.name = "near-duplicates, mirrored" if mirrored else "near-duplicates"
        self.recipe = {"mirrored": mirrored}

    def entries(self, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions that lie between a content of a modality and its views."""
        return (type(self), getattr(type(self), f"encode_{modality}"))

    def alone(self, modality: str) -> tuple[Callable[..., Any], ...]:
        """Return the functions that contents of no other modality go through."""
        return {"image": (type(self).encode_image,), "video": (type(self).encode_video,)}.get(modality, ())

    def depends(self, modality: str) -> dict[str, Any]:
        """Return what the views of a modality depend on, by content."""
        return _depends(self.mirrored, modality)

    def identity(self, modality: str) -> str:
        """Return 64 hex digits over what the views of a modality depend on."""
        return identity.of_vectors(self.depends(modality))

    def encode_image(self, pictures: Sequence[bytes | None], report: Callable[[int], None] | None = None) -> Blocks:
        """Return the views of picture files; even ones have none."""

        def shown(data: bytes) -> _Shown:
            picture = decoding.decode(data)
            numbered = zip(picture.variants, picture.numbers, strict=True)
            # of a transparent picture the colours that nobody sees do not count
            return tuple(one for one, number in numbered if number) or picture.variants, picture.reason

        return self._encode(shown, False, pictures, report)

    def encode_video(self, clips: Sequence[bytes | None], report: Callable[[int], None] | None = None) -> Blocks:
        """Return the views of clip files."""

        def shown(data: bytes) -> _Shown:
            clip = reader.decode(data, FRAMES)
            return clip.frames, TransientError(clip.reason) if clip.reason and clip.transient else clip.reason

        return self._encode(shown, True, clips, report)

    def _encode(
        self,
        shown: Callable[[bytes], _Shown],
        moving: bool,
        items: Sequence[bytes | None],
        report: Callable[[int], None] | None,
    ) -> Blocks:
        def read(data: bytes | None) -> tuple[np.ndarray, str | None]:
            pixels, reason = ((), None) if data is None else shown(data)
            return self._rows(pixels, moving), reason

        rows, reasons = [np.zeros((0, self.dim), np.float32)], []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (of_one, reason) in enumerate(pool.map(read, items), start=1):
                rows.append(of_one)
                reasons.append(reason)
                if report is not None:
                    report(done)
        return Blocks.build(np.concatenate(rows), [len(of_one) for of_one in rows[1:]], reasons)

    def _rows(self, pixels: Sequence[np.ndarray], moving: bool) -> np.ndarray:
        seen = [(one, small) for one in pixels if (small := thumbnail(one)) is not None]
        if not seen:
            return np.zeros((0, self.dim), np.float32)
        pixels, small = zip(*seen, strict=True)
        hashed = ImageHashes.of(np.stack(small), np.arange(len(small)))
        parts = [_packed(hashed)]
        for view in telling(hashed.whole, moving).tolist():
            one = np.ascontiguousarray(pixels[view][:, ::-1]) if self.mirrored else pixels[view]
            found = Keypoints.of(one)
            number = np.full((len(found.places), 1), view, np.float32)
            parts.append(np.hstack([number, found.places, found.descriptors.astype(np.float32)]))
        return np.concatenate(parts)


@cache
def _depends(mirrored: bool, modality: str) -> dict[str, Any]:
    return identity.depends(ViewEncoder(mirrored), modality)


def telling(whole: np.ndarray, moving: bool) -> np.ndarray:
    """Return which views, uint64 (n, 4) hashes, show something new: all of a picture, of a clip what differs."""
    kept = [0]
    for number in range(1, len(whole)):
        if not moving or distances(whole[kept[-1:]], whole[[number]])[0, 0] > DISTANCE:
            kept.append(number)
    return np.array(kept, np.int64)


class Views(NamedTuple):
    """Views of contents, and the keypoints of some of them.

    at: which view keypoints are of, int (n,); key: which view's keypoints stand for each view, int (n_views,).
    """

    hashes: ImageHashes
    keypoints: list[Keypoints]
    at: np.ndarray
    key: np.ndarray

    @classmethod
    def of(cls, blocks: Blocks, owner: np.ndarray, moving: bool) -> Views:
        """Return what `ViewEncoder` gave of contents; owner: the number of each, int (n,); moving: whether of clips."""
        item, there = np.repeat(np.arange(len(blocks)), blocks.counts), np.isfinite(blocks.values[:, 0])
        rows, item = blocks.values[there], item[there]
        head = rows[:, 1] < 0
        of = item[head][::_HEAD]
        hashed = _unpacked(rows[head, 3:], owner[of])
        new = np.zeros(len(of), bool)
        for one in np.unique(of).tolist():
            first, last = np.searchsorted(of, [one, one + 1])
            new[first + telling(hashed.whole[first:last], moving)] = True
        at = np.flatnonzero(new)
        points = rows[~head]
        view = np.searchsorted(of, item[~head]) + points[:, 0].astype(np.int64)
        bounds = zip(*(np.searchsorted(view, at, side).tolist() for side in ("left", "right")), strict=True)
        keypoints = [Keypoints(points[a:b, 1:3].copy(), points[a:b, 3:].astype(np.uint8)) for a, b in bounds]
        return cls(hashed, keypoints, at, np.cumsum(new) - 1)

    @classmethod
    def join(cls, parts: Sequence[Views]) -> Views:
        """Return the views of all parts, one part after the other."""
        at, key, views, sought = [], [], 0, 0
        for part in parts:
            at.append(part.at + views)
            key.append(part.key + sought)
            views, sought = views + len(part.key), sought + len(part.at)
        hashed = ImageHashes(*map(np.concatenate, zip(*(part.hashes for part in parts), strict=True)))
        keypoints = [one for part in parts for one in part.keypoints]
        return cls(hashed, keypoints, np.concatenate(at), np.concatenate(key))


def _packed(views: ImageHashes) -> np.ndarray:
    """Return the rows of the hashes and cells of views, float32 (n_views * _HEAD, ViewEncoder.dim)."""
    n = len(views.owner)
    hashed = (part.reshape(n, -1).view(np.uint8) for part in (views.whole, views.inner, views.mirrored))
    whole = np.hstack([*hashed, views.cells]).reshape(-1, _WORD)
    number = np.repeat(np.arange(n), _HEAD)
    return np.column_stack([number, *np.full((2, len(number)), -1), whole]).astype(np.float32)


def _unpacked(rows: np.ndarray, owner: np.ndarray) -> ImageHashes:
    """Return the hashes and cells of views from their rows, float (n_views * _HEAD, 32)."""
    n = len(owner)
    parts = np.split(rows.astype(np.uint8).reshape(n, _HEAD * _WORD), _PARTS, axis=1)
    whole, inner, mirrored = (np.ascontiguousarray(part).view(np.uint64) for part in parts[:3])
    return ImageHashes(whole, inner.reshape(n, len(MARGINS), whole.shape[1]), mirrored, parts[3], owner)
