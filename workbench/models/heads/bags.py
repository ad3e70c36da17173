"""The vectors of one side of a post, and the combinations of two sides of which a post's score is the maximum.

A side is a *bag*: the windows of a text in several variants, a picture in several variants, the frames of a clip. Each
bag is a run of rows in one array, so that everything here is arithmetic on row numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from workbench.features import Blocks, TransientError, Truncated
from workbench.schema import declared


class Vectors(NamedTuple):
    """The readable vectors of one side: values (n_rows, dim); post i has rows `start[i]` to `start[i] + count[i]`.

    variant (n_rows,): which variant of its content each row is of, as `Blocks.variants`.
    """

    values: np.ndarray
    start: np.ndarray
    count: np.ndarray
    variant: np.ndarray

    @staticmethod
    def of(blocks: Blocks, there: np.ndarray) -> Vectors:
        """Keep the rows that are numbers, of the posts (n_posts,) that declare the content."""
        owner = np.repeat(np.arange(len(blocks)), blocks.counts)
        good = np.isfinite(blocks.values).all(axis=1) & there[owner]
        count = np.bincount(owner[good], minlength=len(blocks))
        return Vectors.runs(blocks.values[good], count, blocks.variants[good])

    @staticmethod
    def none(n: int, dim: int) -> Vectors:
        """Return n posts without any vector."""
        return Vectors.runs(np.empty((0, dim), np.float32), np.zeros(n, np.int64), np.zeros(0, np.uint8))

    @property
    def owner(self) -> np.ndarray:
        """The post (n_rows,) of each row."""
        return np.repeat(np.arange(len(self.count)), self.count)

    @property
    def weight(self) -> np.ndarray | None:
        """One over its post's rows (n_rows,), so that posts weigh alike; None where no post has several."""
        return 1.0 / self.count[self.owner] if (self.count > 1).any() else None

    def first(self) -> Vectors:
        """Keep the first row of each post."""
        rows = self.start[self.count > 0]
        return Vectors.runs(self.values[rows], np.minimum(self.count, 1), self.variant[rows])

    def raw(self) -> Vectors:
        """Keep the rows of each post's first variant, all windows and frames of the content as it stands."""
        owner = self.owner
        kept = self.variant == self.variant[self.start[owner]]
        return Vectors.runs(self.values[kept], np.bincount(owner[kept], minlength=len(self.count)), self.variant[kept])

    def mean(self) -> Vectors:
        """Put the mean of its rows in the place of each post's rows."""
        some = self.count > 0
        if not some.any():
            return self
        sums = np.add.reduceat(self.values.astype(np.float64), self.start[some], axis=0)
        means, count = (sums / self.count[some][:, None]).astype(np.float32), np.minimum(self.count, 1)
        return Vectors.runs(means, count, self.variant[self.start[some]])

    def beside(self, other: Vectors) -> Vectors:
        """Return bags that hold the rows of each post here, then those of the same post there."""
        if not (len(self.values) and len(other.values)):
            return self if len(self.values) else other
        order = np.argsort(np.concatenate([self.owner, other.owner]), kind="stable")
        values, variant = (np.concatenate(both)[order] for both in zip(self[::3], other[::3], strict=True))
        return Vectors.runs(values, self.count + other.count, variant)

    @staticmethod
    def runs(values: np.ndarray, count: np.ndarray, variant: np.ndarray) -> Vectors:
        """Return the rows of posts one after the other, post i having the next `count[i]` of them."""
        return Vectors(values, np.cumsum(count) - count, count, variant)


class Bags(NamedTuple):
    """Bags of a clip's frames under each combination of the rows of the text and the picture beside it.

    row (n_entries,): numbers of `combinations`; bag (n_entries,): the bag of each, 0 to n_bags - 1 in order; post
    (n_bags,): the post of each bag, in order.
    """

    row: np.ndarray
    bag: np.ndarray
    post: np.ndarray


def bags(sides: list[Vectors], pictures: np.ndarray) -> Bags:
    """Return the bags that a pooling over frames sees, from the sides that `combinations` gets, the last the vision.

    Several sides before it are texts, whose combinations are as many texts.

    pictures (n_posts,): how many of a post's rows of vision are variants of its picture; they come first, the others
    are frames. A bag holds one row of the text, one of the picture and all frames, so that a post's score is a maximum
    over variants and windows whatever becomes of frames. In training there is one row of each, and a bag is a post.
    """
    *texts, images = (np.maximum(side.count, 1) for side in sides)
    texts = np.prod([np.ones_like(images), *texts], axis=0)
    ways = np.maximum(pictures, 1)  # combinations of a post: text t and vision s at t + texts * s
    post = np.repeat(np.arange(len(texts)), texts * images)
    first = np.cumsum(texts * images) - texts * images
    text, vision = np.divmod(np.arange(len(post)) - first[post], texts[post])[::-1]
    is_picture = vision < pictures[post]
    times = np.where(is_picture, 1, ways[post])  # a frame is in the bags of all variants of the picture
    row = np.repeat(np.arange(len(post)), times)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    shown = np.where(is_picture[row], vision[row], nth)
    bag = (np.cumsum(texts * ways) - texts * ways)[post[row]] + text[row] * ways[post[row]] + shown
    order = np.argsort(bag, kind="stable")
    return Bags(row[order], bag[order], np.repeat(np.arange(len(texts)), texts * ways))


def combinations(sides: list[Vectors]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return, for every combination of rows of one post, its post and for each side its row in `values`, or -1.

    Arrays (n_combinations,), posts in order; a post without any readable side has one combination of nothing.
    """
    ways = np.stack([np.maximum(side.count, 1) for side in sides])  # (n_sides, n_posts)
    total = ways.prod(axis=0)
    post = np.repeat(np.arange(ways.shape[1]), total)
    rest = np.arange(len(post)) - np.repeat(np.cumsum(total) - total, total)
    rows = []
    for side, way in zip(sides, ways, strict=True):
        rows.append(np.where(side.count[post] > 0, side.start[post] + rest % way[post], -1))
        rest = rest // way[post]
    return post, rows


def highest_rows(scores: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the rows (n_posts, k) in which a post's scores are highest, of equal ones the first.

    scores: (n_rows, k); start (n_posts,): each post's first row, in order.
    """
    best = np.repeat(start[:, None], scores.shape[1], axis=1)
    ends = np.append(start[1:], len(scores))
    for post in np.flatnonzero(ends - start > 1):
        best[post] += scores[start[post] : ends[post]].argmax(axis=0)
    return best


def undone(numbers: np.ndarray, texts: Sequence[str], kinds: Callable[[str], list[str | None]]) -> np.ndarray:
    """Return what was undone in the variants of texts, by their `numbers (n_posts, n_labels)`; None for raw text.

    kinds: what was undone in each variant of a text, by its number.
    """
    words = np.full(numbers.shape, None, dtype=object)
    for post in np.flatnonzero(numbers.any(axis=1)):
        names = kinds(texts[post])
        words[post] = [names[number] for number in numbers[post]]
    return words


def reasons(posts: pa.Table, modality: str, blocks: Blocks, vectors: Vectors, variants: bool) -> list[str | None]:
    """Return, for each post whose declared content gave no vector, why; and what was left out of a long text."""
    lost = declared(posts)[modality] & (vectors.count == 0)
    default = f"nothing in the {modality} could be read"
    whys = [(why or default) if gone else None for why, gone in zip(blocks.reasons, lost.tolist(), strict=True)]
    if modality == "text":
        notes = [None if isinstance(note, TransientError) else Truncated.of(note, variants) for note in blocks.notes]
        whys = [why or note for why, note in zip(whys, notes, strict=True)]
    return whys
