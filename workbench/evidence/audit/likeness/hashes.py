"""Near-duplicate pictures: perceptual hashes, and which of them are near.

A picture's hash are the signs of its 256 lowest spatial frequencies against their median, of 64 by 64 grey pixels: what
`imagehash.phash(picture, hash_size=16)` computes, here for many pictures at once. Two pictures are near when at most
`DISTANCE` of 256 bits differ; unrelated ones differ in 128. Each picture is hashed whole, mirrored, and without
each of `MARGINS` of each side, so that a slight crop of one is seen as the other. A picture of one even colour has no
hash.

A logo or a sticker moves all low frequencies a little, and the hash with them. So where up to `LOOSE` bits differ, the
pictures are held against each other cell by cell, `CELLS` by `CELLS` of them: they are near if all but a tenth of the
cells, and most of those that stand out from the ground, agree once brightness and contrast are made equal (`agree`).

Edits that leave pictures near: JPEG at quality 50 and 20, half and one and a half times the size, another format,
brightness and contrast by a fifth, crops of up to 5 % of each side, an opaque logo over up to 4 % of the picture.
Open doubts: rotation, larger crops and frames around a picture pass (`keypoints` finds these in pictures that are large
enough), and so may edits of pictures without detail (mere blurs); drawings of few strokes on an even ground are nearer
to each other than photographs are, so that among many thousands some unrelated ones are near.
Source: Zauner 2010 (perceptual hashes by the discrete cosine transform); the distances were chosen by measurement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE, PIXELS, BITS = 16, 64, 256
DISTANCE, LOOSE = 32, 64
CLOSE = 16
"""Bits in which mirror images, and pictures and frames of clips, differ at most: there are many more of such pairs."""
CELLS, AGREE, STANDING, LEVELS = 16, 0.9, 0.65, 6.0
"""Cells a side, the shares of all and of those that stand out that must agree, and the grey levels (of 256) between."""
MARGINS = (0.03, 0.06)
EVEN = 2.0
"""Standard deviation of grey levels (of 256) below which a picture shows nothing that could be compared."""
_BLOCK = 1024
_PAIRS = 10_000  # whose cells are compared at once


class ImageHashes(NamedTuple):
    """What pictures are compared by, a row a view; a picture may have several views, such as on white and on black."""

    whole: np.ndarray
    """Hashes, uint64 (n_views, 4)."""
    inner: np.ndarray
    """Hashes without each margin, uint64 (n_views, n_margins, 4)."""
    mirrored: np.ndarray
    """Hashes of the mirror image, uint64 (n_views, 4)."""
    cells: np.ndarray
    """Mean grey level of each cell, uint8 (n_views, CELLS * CELLS)."""
    owner: np.ndarray
    """Which picture a view is of, int (n_views,)."""

    @classmethod
    def of(cls, thumbnails: np.ndarray, owner: np.ndarray) -> ImageHashes:
        """Return the views of `thumbnail`s (n_views, 1 + n_margins, 64, 64)."""
        parts = thumbnails[:, 0].reshape(-1, CELLS, PIXELS // CELLS, CELLS, PIXELS // CELLS)
        cells = np.clip(parts.mean(axis=(2, 4)).round(), 0, 255).astype(np.uint8)
        whole, *inner = (hashed(thumbnails[:, part]) for part in range(1 + len(MARGINS)))
        mirrored = hashed(thumbnails[:, 0, :, ::-1])
        return cls(whole, np.stack(inner, axis=1), mirrored, cells.reshape(-1, CELLS * CELLS), owner)


def thumbnail(pixels: np.ndarray) -> np.ndarray | None:
    """Return a picture (height, width, 3) uint8 as grey levels, float32 (1 + n_margins, 64, 64), None where it is even.

    First the whole picture, then what is left without each of `MARGINS`.
    """
    grey = Image.fromarray(pixels).convert("L")
    width, height = grey.size
    boxes = [(m * width, m * height, (1 - m) * width, (1 - m) * height) for m in (0, *MARGINS)]
    small = [grey.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS, box=box) for box in boxes]
    thumbnails = np.stack([np.asarray(picture, np.float32) for picture in small])
    return None if thumbnails[0].std() < EVEN else thumbnails


def hashed(thumbnails: np.ndarray) -> np.ndarray:
    """Return the hashes of grey pictures (n, 64, 64), uint64 (n, 4): 256 bits each."""
    low = dctn(thumbnails, axes=(1, 2))[:, :SIDE, :SIDE].reshape(-1, BITS)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return in how many bits hashes (n, 4) and (m, 4) differ, int (n, m).

    >>> distances(np.array([[0, 0, 0, 0]], np.uint64), np.array([[7, 0, 0, 1]], np.uint64))
    array([[4]], dtype=uint16)
    """
    total = np.zeros((len(a), len(b)), np.uint16)
    for word in range(a.shape[1]):
        total += np.bitwise_count(a[:, None, word] ^ b[None, :, word])
    return total


def near_rows(a: np.ndarray, b: np.ndarray, distance: int = DISTANCE) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield (rows of a, rows of b, their distance) for hashes (n, 4) and (m, 4) that are near, block by block."""
    for i in range(0, len(a), _BLOCK):
        for j in range(0, len(b), _BLOCK):
            apart = distances(a[i : i + _BLOCK], b[j : j + _BLOCK])
            rows, columns = np.nonzero(apart <= distance)
            yield rows + i, columns + j, apart[rows, columns]


def near_views(
    views: ImageHashes, loose: np.ndarray, asked: np.ndarray, kind: np.ndarray, allowed: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, str]]:
    """Yield (views, other views, the bits in which they differ, how they are near) of different pictures, in blocks.

    loose: bool (n_views,), of which views cells are compared where hashes are further apart; asked: which views are
    looked up, int (n_asked,); kind: int (n_views,), and allowed: which kinds are compared, bool (n_kinds, n_kinds).
    Each pair comes at least once, in one order or the other.
    """
    whole, inner, mirrored, cells, owner = views
    sides = [(whole, whole, LOOSE, "the same picture"), (whole, mirrored, CLOSE, "mirrored")]
    for part in np.moveaxis(inner, 1, 0):
        sides += [(whole, part, DISTANCE, "cropped a little"), (part, whole, DISTANCE, "cropped a little")]
    for one, other, most, how in sides:
        for a, b, apart in near_rows(one[asked], other, most):
            a = asked[a]
            keep = (owner[a] != owner[b]) & allowed[kind[a], kind[b]]
            keep &= (apart <= DISTANCE) | (loose[a] & loose[b])
            a, b, apart = a[keep], b[keep], apart[keep].astype(np.int64)
            near = apart <= DISTANCE
            doubtful = np.flatnonzero(~near)
            near[doubtful] = agree(cells[a[doubtful]], cells[b[doubtful]])
            yield a[near], b[near], apart[near], how


def agree(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return whether all but a tenth of the cells of pictures, uint8 (n, n_cells) each, agree, bool (n,).

    Of the cells that stand out from an even ground in either picture most must agree too: grounds are alike in drawings
    that have nothing else in common. Both directions must fit, so that the order of the pictures does not matter.
    """
    agreed = np.zeros(len(a), bool)
    for at in range(0, len(a), _PAIRS):
        x, y = (part[at : at + _PAIRS].astype(np.float32) for part in (a, b))
        stands = np.zeros(x.shape, bool)
        for part in (x, y):
            stands |= np.abs(part - np.median(part, axis=1, keepdims=True)) > LEVELS
        same = _alike(x, y) & _alike(y, x)
        standing = (same & stands).sum(axis=1) >= STANDING * stands.sum(axis=1)
        agreed[at : at + _PAIRS] = (same.mean(axis=1) >= AGREE) & standing
    return agreed


def _alike(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which cells of y (n, n_cells) are those of x once brightness and contrast of x are fitted, bool.

    The fit is by least squares, four times, each time to the cells that fitted best, so that what was laid over a
    picture has no say; where it needs less than half or more than twice the contrast, no cell agrees.
    """
    weight = np.ones_like(x)
    for _ in range(4):
        total = weight.sum(axis=1, keepdims=True)
        dx = x - (weight * x).sum(axis=1, keepdims=True) / total
        dy = y - (weight * y).sum(axis=1, keepdims=True) / total
        spread = (weight * dx**2).sum(axis=1, keepdims=True)
        slope = (weight * dx * dy).sum(axis=1, keepdims=True) / np.maximum(spread, 1e-6)
        left = np.abs(dy - slope * dx)
        weight = (left <= np.quantile(left, AGREE, axis=1, keepdims=True)).astype(np.float32)
    return (left <= LEVELS) & (slope > 0.5) & (slope < 2)
