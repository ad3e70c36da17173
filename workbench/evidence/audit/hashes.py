"""Near-duplicate pictures: perceptual hashes, and which of them are near.

A picture's hash are the signs of its 256 lowest spatial frequencies against their median, of 64 by 64 grey pixels: what
`imagehash.phash(picture, hash_size=16)` computes, here for many pictures at once. Two pictures are near when at most
`DISTANCE` of 256 bits differ; unrelated ones differ in 128. Each picture is hashed whole and without a margin of
`MARGIN` of each side, so that a slight crop of one is seen as the other. A picture of one even colour has no hash.

Edits that leave pictures near: JPEG at quality 50 and 20, half and one and a half times the size, another format,
brightness and contrast by a fifth, crops of up to 3 % of each side.
Open doubts: a small solid logo is found in about two of five pictures only, as it moves the low frequencies; rotation,
mirroring, larger crops and frames around a picture pass, and so may edits of pictures without detail (mere blurs);
drawings of few strokes on an even ground are nearer to each other than photographs are, so that among many thousands
some unrelated ones are near.
Source: Zauner 2010 (perceptual hashes by the discrete cosine transform); the distance was chosen by measurement.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy.fft import dctn

SIDE, PIXELS, BITS = 16, 64, 256
DISTANCE = 32
MARGIN = 0.03
EVEN = 2.0
"""Standard deviation of grey levels (of 256) below which a picture shows nothing that could be compared."""
_BLOCK = 1024


def thumbnail(pixels: np.ndarray) -> np.ndarray | None:
    """Return a picture (height, width, 3) uint8 as grey levels, float32 (2, 64, 64): whole, and without its margin.

    None where the picture is even.
    """
    grey = Image.fromarray(pixels).convert("L")
    width, height = grey.size
    inner = (MARGIN * width, MARGIN * height, (1 - MARGIN) * width, (1 - MARGIN) * height)
    boxes = ((0, 0, width, height), inner)
    small = [grey.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS, box=box) for box in boxes]
    found = np.stack([np.asarray(one, np.float32) for one in small])
    return None if found[0].std() < EVEN else found


def hashed(thumbnails: np.ndarray) -> np.ndarray:
    """Return the hashes of grey pictures (n, 64, 64), uint64 (n, 4): 256 bits each."""
    low = dctn(thumbnails, axes=(1, 2))[:, :SIDE, :SIDE].reshape(len(thumbnails), -1)
    bits = low > np.median(low, axis=1, keepdims=True) if len(low) else np.zeros((0, BITS), bool)
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


def near_pairs(whole: np.ndarray, inner: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of pictures that are near: i < j and the bits in which they differ, each int (n_pairs,).

    whole, inner: uint64 (n_views, 4), each view's hash with and without its margin; owner: int (n_views,), whose view
    it is (a picture may have several, such as on white and on black).
    """
    found = []
    for one, other in ((whole, whole), (whole, inner)):
        for a, b, apart in near_rows(one, other):
            keep = owner[a] != owner[b]
            a, b = owner[a[keep]], owner[b[keep]]
            found.append(np.stack([np.minimum(a, b), np.maximum(a, b), apart[keep].astype(np.int64)]))
    pairs = np.concatenate(found, axis=1) if found else np.zeros((3, 0), np.int64)
    pairs = pairs[:, np.lexsort((pairs[2], pairs[1], pairs[0]))]
    new = np.ones(pairs.shape[1], bool)
    new[1:] = (pairs[:2, 1:] != pairs[:2, :-1]).any(axis=0)
    return tuple(pairs[:, new])
