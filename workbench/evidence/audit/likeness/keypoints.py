"""Pictures that show the same thing: keypoints of one that lie in the other as one similarity transform puts them.

A picture's keypoints are ORB's, at most `MOST` of them, of its grey levels at `SIDE` pixels or less. Two pictures are
near where keypoints that are each other's nearest, in at least `PLACES` different places of both (`CELL` pixels apart),
follow one rotation, scaling and shift (RANSAC). Which pictures are compared, their words say: `TABLES` samples of
`BITS` of a descriptor's 256 bits each make one word of a keypoint, and of the pictures with most rare words in common
the first `CANDIDATES` are compared, once as they are and once mirrored. No vocabulary is learnt, no weights are used.

So these leave a picture near: mirrored, cropped by a tenth of each side, turned, framed, under a caption, shown within
a screenshot. Sources: Rublee et al. 2011 (ORB), Fischler and Bolles 1981 (RANSAC), Indyk and Motwani 1998 (samples of
bits). Open doubts: pictures of under about a hundred pixels, and such without corners, have too few keypoints; two
screenshots of one program have its frame in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from scipy import sparse

from workbench.evidence.audit.likeness.hashes import distances

MOST, SIDE = 400, 320
PLACES, CELL, NEAR = 17, 8, 4.0
"""Places that must agree, how many pixels wide each is, and within how many pixels a keypoint lies where it should."""
FARTHEST = 64  # bits of 256 in which two descriptors of one keypoint differ at most
SCALES = (0.2, 5.0)
TABLES, BITS, CANDIDATES = 8, 20, 20
_BLOCK = 128
_EDGE = 15  # pixels at each side in which no keypoint stands
cv2.setNumThreads(1)  # pictures are small, and its threads would wait for each other beside other work


class Keypoints(NamedTuple):
    """Where a picture's keypoints are, float32 (n, 2) in pixels of the reduced picture; descriptors, uint8 (n, 32)."""

    places: np.ndarray
    descriptors: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> Keypoints:
        """Return the keypoints of a picture, uint8 (height, width, 3)."""
        grey = Image.fromarray(pixels).convert("L")
        grey.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        tiny = min(grey.size) <= 2 * _EDGE  # where no keypoint may stand, and where OpenCV may fail
        found, descriptors = ((), None) if tiny else _orb().detectAndCompute(np.asarray(grey), None)
        if descriptors is None:
            return cls(np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8))
        return cls(np.array([point.pt for point in found], np.float32), descriptors)


def _orb() -> cv2.ORB:
    return cv2.ORB_create(nfeatures=MOST, edgeThreshold=_EDGE, fastThreshold=8)


class Alignment(NamedTuple):
    """In how many places two pictures agree, and how one is turned (degrees) and scaled to become the other."""

    places: int
    degrees: float
    scale: float


def alignment(one: Keypoints, other: Keypoints) -> Alignment | None:
    """Return how far keypoints of two pictures agree under one similarity transform, None where they are not near."""
    if min(len(one.places), len(other.places)) < PLACES:
        return None
    a, b = (side.places[at] for side, at in zip((one, other), matches(one, other), strict=True))
    if len(a) < PLACES:
        return None
    cv2.setRNGSeed(0)
    transform, inside = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=NEAR, maxIters=500)
    if transform is None or not SCALES[0] < (scale := float(np.hypot(*transform[:, 0]))) < SCALES[1]:
        return None
    agree = inside.ravel().astype(bool)
    if agree.sum() < PLACES:
        return None
    places = min(len(np.unique((side[agree] // CELL).astype(np.int64), axis=0)) for side in (a, b))
    if places < PLACES:
        return None
    return Alignment(places, float(np.degrees(np.arctan2(transform[1, 0], transform[0, 0]))), scale)


def matches(one: Keypoints, other: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Return which keypoints of two pictures are each other's nearest and near, int (n,) of either."""
    apart = distances(one.descriptors.view(np.uint64), other.descriptors.view(np.uint64))
    nearest, each = apart.argmin(axis=1), np.arange(len(apart))
    at = np.flatnonzero((apart.argmin(axis=0)[nearest] == each) & (apart[each, nearest] <= FARTHEST))
    return at, nearest[at]


class NearViews(NamedTuple):
    """Pairs of views i and j that are near, int (n_pairs,), and in how many places; how: in words."""

    i: np.ndarray
    j: np.ndarray
    places: np.ndarray
    how: np.ndarray


def near_pairs(
    views: Sequence[Keypoints], mirrored: Sequence[Keypoints | None], kind: np.ndarray, allowed: np.ndarray
) -> NearViews:
    """Return the pairs of views of pictures that are near, i < j, each once.

    mirrored: keypoints of the mirror image of those views that are looked up, None of the others; kind: which kind of
    picture each is of, int (n_views,); allowed: which kinds are compared, bool (n_kinds, n_kinds).
    """
    words = _Words(views)
    best: dict[tuple[int, int], tuple[int, str]] = {}
    asked = [k for k, one in enumerate(mirrored) if one is not None and len(views[k].places) >= PLACES]
    for side in (views, mirrored):
        for i, j in words.candidates(asked, [side[k] for k in asked], kind, allowed):
            agree = alignment(side[i], views[j])
            if agree:
                pair = (min(i, j), max(i, j))
                best[pair] = max((agree.places, _how(agree, side is mirrored)), best.get(pair, (0, "")))
    pairs = np.array([(*pair, agree) for pair, (agree, _) in sorted(best.items())], np.int64).reshape(-1, 3)
    how = np.array([best[pair][1] for pair in sorted(best)], dtype=object)
    return NearViews(pairs[:, 0], pairs[:, 1], pairs[:, 2], how)


def _how(agree: Alignment, mirrored: bool) -> str:
    """Return in words what was done to a picture as far as its keypoints tell."""
    turned = round(abs(agree.degrees))
    done = ["mirrored"] * mirrored + [f"turned by {turned} degrees"] * (turned > 1)
    return " and ".join(done or ["the same picture, or a part of it"])


class _Words:
    """The words of pictures, a row a picture, weighted by how rare they are and divided by the length of the row."""

    def __init__(self, pictures: Sequence[Keypoints]) -> None:
        rng = np.random.default_rng(0)
        self.samples = [rng.choice(256, BITS, replace=False) for _ in range(TABLES)]
        words, ends = self._words(pictures)
        self.known, column, frequency = np.unique(words, return_inverse=True, return_counts=True)
        rarity = np.log1p(len(pictures) / frequency).astype(np.float32)
        rows = sparse.csr_array((rarity[column], column, ends), shape=(len(pictures), len(self.known)))
        length = np.sqrt(rows.multiply(rows).sum(axis=1))
        self.weighted = (sparse.diags_array(1 / np.maximum(length, 1e-9)) @ rows).T.tocsr()

    def candidates(
        self, asked: Sequence[int], pictures: Sequence[Keypoints], kind: np.ndarray, allowed: np.ndarray
    ) -> Iterator[tuple[int, int]]:
        """Yield (number of a picture that is asked about, number of one that has most rare words in common with it)."""
        for start in range(0, len(asked), _BLOCK):
            numbers = np.array(asked[start : start + _BLOCK])
            likeness = (self._counts(pictures[start : start + _BLOCK]) @ self.weighted).toarray()
            likeness[~allowed[kind[numbers]][:, kind]] = 0
            likeness[np.arange(len(numbers)), numbers] = 0
            first = np.argsort(-likeness, axis=1, kind="stable")[:, :CANDIDATES]
            rows, ranks = np.nonzero(np.take_along_axis(likeness, first, axis=1) > 0)
            yield from zip(numbers[rows].tolist(), first[rows, ranks].tolist(), strict=True)

    def _counts(self, pictures: Sequence[Keypoints]) -> sparse.csr_array:
        """Return which of the known words pictures have, 0 or 1 a word."""
        words, ends = self._words(pictures)
        known = np.isin(words, self.known)
        ends = np.concatenate([[0], np.cumsum(known)])[ends]
        column = np.searchsorted(self.known, words[known])
        return sparse.csr_array(
            (np.ones(len(column), np.float32), column, ends), shape=(len(pictures), len(self.known))
        )

    def _words(self, pictures: Sequence[Keypoints]) -> tuple[np.ndarray, np.ndarray]:
        """Return the different words of each picture, one picture after the other, and where each begins and ends."""
        values, each = 1 << np.arange(BITS), [np.zeros(0, np.int64)]
        for one in pictures:
            bits = np.unpackbits(one.descriptors, axis=1).astype(np.int64)
            tables = [(bits[:, some] @ values) + (table << BITS) for table, some in enumerate(self.samples)]
            each.append(np.unique(tables))
        return np.concatenate(each), np.cumsum([len(words) for words in each])
