"""What an encoder returns: for each item its vectors, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

VARIANTS = "of the windows that its variants change, "  # how the end of a note begins that speaks of variants alone


class Truncated(str):
    """Why a part of some content was not read, though the rest was."""

    @classmethod
    def of(cls, note: str | None, variants: bool) -> Truncated | None:
        """Return what an encoder's note says was left out; where variants are not read, nothing of theirs was."""
        kept = note if note is None or variants else note.partition(VARIANTS)[0].removesuffix("; ")
        return cls(kept) if kept else None


class TransientError(str):
    """A reason or note that may be gone the next time (memory, time, a missing file); what has one is never stored."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The vectors of n items, one after the other; item i owns `values[offsets[i]:offsets[i + 1]]`, its k_i rows.

    An absent item has k_i = 0. What is there but could not be read has one row of NaN and a reason, never zeros.
    `values (sum k_i, d)` is float32 that was rounded to float16, so that a stored vector equals a fresh one; `offsets`
    is int64 (n + 1,). `notes` say what was left out of an item that was read (the middle of a very long text).

    `variants (sum k_i,)` uint8 says which variant of its item each row is of, lower ones first: 0 is the item as it
    stands (raw text, a picture as decoded), others undo obfuscation or show a picture on another ground. Rows of one
    variant are the windows of a long text or the frames of a clip, so leaving variants out never shortens an item.
    """

    values: np.ndarray
    offsets: np.ndarray
    reasons: list[str | None]
    notes: list[str | None] = field(default_factory=list)
    variants: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.notes:
            object.__setattr__(self, "notes", [None] * len(self.reasons))
        if self.variants is None:
            object.__setattr__(self, "variants", np.zeros(len(self.values), np.uint8))
        if not len(self.offsets) - 1 == len(self.reasons) == len(self.notes) or self.offsets[-1] != len(self.values):
            raise ValueError("offsets, reasons, notes and values of Blocks do not describe the same items")
        if len(self.variants) != len(self.values):
            raise ValueError("Blocks need one variant per row of values")

    def __len__(self) -> int:
        return len(self.reasons)

    @property
    def dim(self) -> int:
        """Length d of one vector."""
        return self.values.shape[1]

    @property
    def counts(self) -> np.ndarray:
        """Rows per item, k (n,) int64."""
        return np.diff(self.offsets)

    @property
    def readable(self) -> np.ndarray:
        """Which items (n,) have vectors that are not NaN."""
        readable = np.zeros(len(self), dtype=bool)
        some = self.counts > 0
        readable[some] = np.isfinite(self.values[self.offsets[:-1][some], 0])
        return readable

    @property
    def transient(self) -> np.ndarray:
        """Which items (n,) may come out otherwise the next time, so that they are not to be stored."""
        pairs = zip(self.reasons, self.notes, strict=True)
        return np.array(
            [isinstance(reason, TransientError) or isinstance(note, TransientError) for reason, note in pairs],
            dtype=bool,
        )

    def first(self) -> np.ndarray:
        """Return the first row of each item, (n, d) float32; NaN where the item is absent or could not be read."""
        out = np.full((len(self), self.dim), np.nan, dtype=np.float32)
        some = self.counts > 0
        out[some] = self.values[self.offsets[:-1][some]]
        return out

    def take(self, items: np.ndarray | Sequence[int]) -> Blocks:
        """Return the blocks of `items (m,)`, in that order and as often as named."""
        items = np.asarray(items, dtype=np.int64)
        return collect([self], np.zeros(len(items), np.int64), items, self.dim)

    @staticmethod
    def build(
        vectors: np.ndarray,
        counts: Sequence[int],
        reasons: list[str | None],
        notes: list[str | None] | None = None,
        variants: Sequence[int] | np.ndarray | None = None,
    ) -> Blocks:
        """Return blocks from the `vectors (sum counts, d)` of the items that were read.

        `counts (n,)` are the rows per item, `variants (sum counts,)` the variant of each, by default 0; an item without
        rows and with a reason gets its row of NaN here.
        """
        counts = np.asarray(counts, dtype=np.int64)
        unread = (counts == 0) & np.array([reason is not None for reason in reasons], dtype=bool)
        offsets = _offsets(counts + unread)
        values = np.full((offsets[-1], vectors.shape[1]), np.nan, dtype=np.float32)
        filled = np.ones(len(values), dtype=bool)
        filled[offsets[:-1][unread]] = False
        values[filled] = vectors.astype(np.float16)
        numbers = np.zeros(len(values), np.uint8)
        if variants is not None:
            numbers[filled] = variants
        return Blocks(values, offsets, list(reasons), list(notes or []), numbers)

    @staticmethod
    def empty(n: int, dim: int) -> Blocks:
        """Return n absent items."""
        return Blocks(np.empty((0, dim), np.float32), np.zeros(n + 1, np.int64), [None] * n)

    @staticmethod
    def unread(reasons: list[str], dim: int) -> Blocks:
        """Return items that are there but could not be read."""
        return Blocks.build(np.empty((0, dim), np.float32), [0] * len(reasons), list(reasons))

    @staticmethod
    def join(parts: Sequence[Blocks], dim: int) -> Blocks:
        """Return the items of all parts, one part after the other."""
        if not parts:
            return Blocks.empty(0, dim)
        if len(parts) == 1:
            return parts[0]
        return Blocks(
            np.concatenate([part.values for part in parts]),
            _offsets(np.concatenate([part.counts for part in parts])),
            [reason for part in parts for reason in part.reasons],
            [note for part in parts for note in part.notes],
            np.concatenate([part.variants for part in parts]),
        )


def collect(parts: Sequence[Blocks], owner: np.ndarray, item: np.ndarray, dim: int) -> Blocks:
    """Return m items, the i-th being item `item[i]` of `parts[owner[i]]`, with one copy of each vector."""
    groups = [(parts[i], np.flatnonzero(owner == i)) for i in np.unique(owner)]
    counts = np.zeros(len(owner), dtype=np.int64)
    for part, mine in groups:
        counts[mine] = part.counts[item[mine]]
    offsets = _offsets(counts)
    values = np.empty((offsets[-1], dim), dtype=np.float32)
    variants = np.zeros(offsets[-1], np.uint8)
    reasons: list[str | None] = [None] * len(owner)
    notes: list[str | None] = [None] * len(owner)
    for part, mine in groups:
        target, source = gather(offsets, mine)[0], gather(part.offsets, item[mine])[0]
        values[target], variants[target] = part.values[source], part.variants[source]
        for texts, out in ((part.reasons, reasons), (part.notes, notes)):
            if any(texts):
                for place, at in zip(mine.tolist(), item[mine].tolist(), strict=True):
                    out[place] = texts[at]
    return Blocks(values, offsets, reasons, notes, variants)


def gather(offsets: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that `items (m,)` own under `offsets (n + 1,)`, and the offsets (m + 1,) of the result."""
    starts = offsets[items]
    counts = offsets[items + 1] - starts
    out = _offsets(counts)
    return np.repeat(starts - out[:-1], counts) + np.arange(out[-1]), out


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
