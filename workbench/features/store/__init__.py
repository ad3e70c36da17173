"""The feature store: every content goes through an encoder once, whatever asks for it and however often.

A content is found by what it is (sha256 of its modality and raw bytes) and by what made its vectors (the encoder's
identity). Two tiers: memory (a bounded dict), and a folder of shards that all processes share. Several processes
that need the same contents take turns, block by block, and find each other's results; nothing is computed twice.

A picture or clip may be named by its id alone (`records.references`): then it has the vectors that are stored, and
where there are none `NotStored` says so; nothing is made up. Services and `workbench score` look into the folder and
write nothing there; studies and the job that computes ahead (`job`) do.

What cannot be decoded is stored with its reason, because it never will be. What failed for a reason that may pass
(`TransientError`: memory, time, a missing file) is returned and never stored. Where the folder cannot be written
(read-only, full) the store says so once, goes on reading it, and keeps what it computes in memory.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from workbench import device as devices
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks, TransientError, collect
from workbench.features.encoders import load_encoder
from workbench.features.encoders.identity import reads
from workbench.features.items import Clips, Items, Pictures, TextItems, chunks, unique
from workbench.features.store.contents import ContentCatalogue, NotStored
from workbench.features.store.disk import Shards
from workbench.features.store.maintenance import PATIENCE, dim_of, merge
from workbench.features.store.references import resolved
from workbench.schema import ROOT

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from workbench.features.encoders.open_clip import Encoder

__all__ = ["FOLDER", "FeatureStore", "NotStored", "StoredVectors"]

log = logging.getLogger(__name__)
FOLDER = ROOT / "data" / "cache" / "features"
BLOCK_SECONDS = 15.0  # a kill loses at most so much work, and another process waits at most so long
BLOCK_ITEMS = 16_384
SMALL = 4096  # larger reads come from the mapped files as fast as from memory, so they are not kept there as well
TIERS = ("memory", "disk", "computed", "repeated")
Progress = Callable[[int, int, str], None]


class FeatureStore:
    """Vectors of texts, pictures and clips by encoder name, from memory, from `folder`, or computed.

    Args:
        folder: where the shards are; None keeps everything in memory.
        device: where encoders compute; None takes the best that is there.
        memory_mb: bound of the memory tier in MiB; what was used longest ago goes first.
        load: `(name, device) -> Encoder`, for tests; the default is `load_encoder`.
        progress: called with (done, total, what) while an encoder works; for clips too, which take longest.
        writes: whether what is computed goes into the folder too, or stays in memory.
    """

    def __init__(
        self,
        folder: Path | str | None = FOLDER,
        device: torch.device | str | None = None,
        *,
        memory_mb: float = 512,
        load: Callable[[str, Any], Encoder] | None = None,
        progress: Progress | None = None,
        writes: bool = True,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.contents = None if self.folder is None else ContentCatalogue(self.folder)
        self.progress = progress
        self._device, self._load = device, load or load_encoder
        self._memory = MemoryTier(int(memory_mb * 2**20))
        self._shards: dict[str, Shards] = {}
        self._guard = threading.RLock()
        self._writable = writes
        self._encoders: WeakValueDictionary[int, Encoder] = WeakValueDictionary()  # those that somebody asked for
        self._reported: tuple[int, int, str] | None = None
        self._hits = dict.fromkeys(TIERS, 0)

    @property
    def hits(self) -> dict[str, int]:
        """How many contents came from `memory`, from `disk`, were `computed`, or were `repeated` within one call."""
        return dict(self._hits)

    @property
    def device(self) -> torch.device | str:
        if self._device is None:
            self._device = devices.device("auto")
        return self._device

    def encoder(self, name: str) -> Encoder:
        """Return the encoder of that name on the store's device; raises WorkbenchError where there is none."""
        encoder = self._load(name, self.device)
        self._asked(encoder)
        return encoder

    def _asked(self, encoder: Encoder) -> None:
        with self._guard:
            self._encoders[id(encoder)] = encoder

    def _named(self, encoder: str | Encoder) -> Encoder:
        """Return the encoder of a name, or the one given: pieces and fine-tuned encoders have no name of their own."""
        return self.encoder(encoder) if isinstance(encoder, str) else encoder

    def text(self, encoder_name: str | Encoder, table: pa.Table) -> Blocks:
        """Return the blocks of a table's texts (one item per row); absent where the text is null or blank."""
        return self._features(self._named(encoder_name), TextItems(table))

    def image(self, encoder_name: str | Encoder, table: pa.Table) -> Blocks:
        """Return the blocks of a table's pictures (one item per row), from their bytes, else from their path."""
        return self._media(self._named(encoder_name), Pictures(table), table)

    def video(self, encoder_name: str | Encoder, table: pa.Table) -> Blocks:
        """Return the blocks of a table's clips (one item per row, a row of values per frame), found like pictures."""
        return self._media(self._named(encoder_name), Clips(table), table)

    def vectors(self, encoder_name: str | Encoder, contents: Items) -> Blocks:
        """Return the blocks of contents that are at hand as the store sees them (one item per key)."""
        return self._features(self._named(encoder_name), contents)

    def _media(self, encoder: Encoder, items: Pictures | Clips, table: pa.Table) -> Blocks:
        return self._features(encoder, resolved(items, table, self.contents, encoder.name))

    def _features(self, encoder: Encoder, contents: Items) -> Blocks:
        """Join what the tiers have with what is computed, then hand it out row by row."""
        self._asked(encoder)
        first, which = unique(contents.keys)
        self._count("repeated", int((which >= 0).sum()) - len(first))
        request = _Request(encoder, contents, first, [contents.keys[row] for row in first])
        # what `which` = -1 picks, the last entry of owner and item, is the one absent item of part 0
        unread = sorted(contents.unread)
        parts = [Blocks.empty(1, encoder.dim), Blocks.unread([contents.unread[row] for row in unread], encoder.dim)]
        owner, item = np.zeros((2, len(first) + 1), dtype=np.int64)
        for at, blocks in self._obtain(request):
            owner[at], item[at] = len(parts), np.arange(len(at))
            parts.append(blocks)
        owner, item = owner[which], item[which]
        owner[unread], item[unread] = 1, np.arange(len(unread))
        return collect(parts, owner, item, encoder.dim)

    def _obtain(self, request: _Request) -> Iterator[tuple[np.ndarray, Blocks]]:
        """Yield (indices into the request, their blocks), part by part, until everything is there."""
        keys, shards = request.keys, self._disk(request.encoder, request.contents.modality)
        with self._guard:
            hits, blocks = self._memory.look(request.space, request.names, request.encoder.dim)
        self._count("memory", len(hits))
        yield hits, blocks
        left = np.delete(np.arange(len(keys)), hits)
        if shards is not None and len(left):
            shards.refresh()
            hits, blocks = shards.look(keys[left])
            yield self._took(request, "disk", left[hits], blocks)
            left = np.delete(left, hits)
        total = len(left)
        while len(left):
            with self._turn(shards) as mine:
                # whoever held the lock before may have computed some of these
                hits, blocks = mine.look(keys[left]) if mine is not None else (left[:0], None)
                tier = "disk" if len(hits) else "computed"
                if tier == "computed":
                    blocks = self._compute(request, left, total)
                    hits = np.arange(len(blocks))
                    if mine is not None:
                        self._append(mine, keys[left[hits]], blocks)
            yield self._took(request, tier, left[hits], blocks)
            left = np.delete(left, hits)

    def _compute(self, request: _Request, left: np.ndarray, total: int) -> Blocks:
        """Return the blocks of the first of `left`: as many as are encoded in one block's time."""
        began, parts, done = time.monotonic(), [], 0
        contents, encoder = request.contents, request.encoder
        before, what = total - len(left), f"{contents.modality} by {encoder.name}"
        for rows, items in chunks(contents, [request.rows[at] for at in left]):
            report = partial(self._report, before + done, total, what) if self.progress is not None else None
            parts.append(_encode(encoder, contents.modality, items, report))
            done += len(rows)
            if report is not None:
                report(len(rows))
            if done >= BLOCK_ITEMS or time.monotonic() - began >= BLOCK_SECONDS:
                break
        return Blocks.join(parts, encoder.dim)

    def _report(self, before: int, total: int, what: str, done: int) -> None:
        if (before + done, total, what) != self._reported:
            self._reported = (before + done, total, what)
            self.progress(*self._reported)

    def _took(self, request: _Request, tier: str, at: np.ndarray, blocks: Blocks) -> tuple[np.ndarray, Blocks]:
        """Count where blocks came from and keep them in memory, unless the disk gives them back as fast."""
        self._count(tier, len(at))
        on_disk = self.folder is not None and (self._writable or tier == "disk")
        if not on_disk or len(request.rows) <= SMALL:
            with self._guard:
                self._memory.keep(request.space, [request.names[i] for i in at.tolist()], blocks)
        return at, blocks

    def _count(self, tier: str, n: int) -> None:
        with self._guard:
            self._hits[tier] += n

    # --------------------------------------------------------------------------------------- what there is of a content

    def stored(self, modality: str, key: bytes) -> list[StoredVectors]:
        """Return what the tiers have of a content by the encoders that were asked for so far; nothing is computed."""
        with self._guard:
            known = list(self._encoders.values())
        encoders = {_space(one, modality): one for one in known if reads(one, modality)}
        found = []
        for space, encoder in encoders.items():
            with self._guard:
                hits, blocks = self._memory.look(space, [key], encoder.dim)
            tier, shards = "memory", self._disk(encoder, modality)
            if not len(hits) and shards is not None:
                shards.refresh()
                tier, (hits, blocks) = "disk", shards.look(np.frombuffer(key, np.uint8).reshape(1, 32))
            if len(hits):
                self._count(tier, 1)
                found.append(StoredVectors(encoder.name, modality, tier, blocks))
        return found

    def compact(self, encoder: Encoder, modality: str) -> None:
        """Make one shard of an encoder's many small ones; where others write, or the folder cannot be, they stay."""
        shards = self._disk(encoder, modality)
        with contextlib.suppress(OSError):
            if shards is not None:
                with shards.lock(PATIENCE):
                    merge(shards)

    def forget(self, contents: Collection[tuple[str, str, bytes]]) -> None:
        """Let go of contents (id, modality, key): their vectors in memory, and in the folder of those noted there.

        All encoders' vectors go, whatever version of the code made them. Raises WorkbenchError where the folder cannot
        be written now.
        """
        with self._guard:
            self._memory.forget({key for _, _, key in contents})
        noted = [one for one in contents if self.contents is not None and self.contents.find(one[0], one[1])]
        try:
            for folder in {path for _, modality, _ in noted for path in self.folder.glob(f"*/{modality}")}:
                keys = b"".join(key for _, modality, key in noted if modality == folder.name)
                opened = next((one for one in self._shards.values() if one.folder == folder), None)
                shards = opened or Shards(folder, dim_of(folder))
                if not shards.dim:
                    continue  # nothing in it can be read
                with shards.lock(PATIENCE):
                    shards.drop(np.frombuffer(keys, np.uint8).reshape(-1, 32))
        except OSError as error:
            raise WorkbenchError(
                f"features in {self.folder} cannot be removed now ({error.strerror or error}); try again in a moment"
            ) from None
        if noted:
            self.contents.forget([name for name, _, _ in noted])

    # ------------------------------------------------------------------------------------------------- the disk tier

    def _disk(self, encoder: Encoder, modality: str) -> Shards | None:
        """Return the shards of an encoder's vectors; None without a folder."""
        if self.folder is None:
            return None
        space = _space(encoder, modality)
        with self._guard:
            if space not in self._shards:
                named = {"encoders": [encoder.name], "fingerprint": encoder.identity(modality), "modality": modality}
                about = named | {"depends": encoder.depends(modality)}
                folder = self.folder / about["fingerprint"][:32] / modality
                self._shards[space] = Shards(folder, encoder.dim, about)
            return self._shards[space]

    @contextlib.contextmanager
    def _turn(self, shards: Shards | None) -> Iterator[Shards | None]:
        """Hold the shards for writing; give None where there are none or their folder cannot be written."""
        with contextlib.ExitStack() as stack:
            try:
                if shards is not None and self._writable:
                    stack.enter_context(shards.lock())
            except OSError as error:
                self._give_up(error)
            yield shards if self._writable else None

    def _append(self, shards: Shards, keys: np.ndarray, blocks: Blocks) -> None:
        """Write what is worth keeping: vectors, and reasons that will not pass."""
        kept = np.flatnonzero((blocks.counts > 0) & ~blocks.transient)
        try:
            if len(kept):
                shards.append(keys[kept], blocks.take(kept))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        log.warning("new features are kept in memory only, for %s cannot be written: %s", self.folder, error)
        self._writable = False


class StoredVectors(NamedTuple):
    """What a tier has of one content: the vectors of one encoder, as the blocks of one item."""

    encoder: str
    modality: str
    tier: str
    blocks: Blocks


def _space(encoder: Encoder, modality: str) -> str:
    return f"{encoder.identity(modality)}-{modality}"


@dataclass(frozen=True, eq=False)
class _Request:
    """Different contents to be had from one encoder: the row that holds each of them, and its key."""

    encoder: Encoder
    contents: Items
    rows: list[int]
    names: list[bytes]

    @cached_property
    def space(self) -> str:
        return _space(self.encoder, self.contents.modality)

    @cached_property
    def keys(self) -> np.ndarray:
        """The names as an array (m, 32) uint8."""
        return np.frombuffer(b"".join(self.names), dtype=np.uint8).reshape(-1, 32)


class MemoryTier:
    """The memory tier: vectors by (space, key), at most `limit` bytes of them, the least recently used going first."""

    OVERHEAD = 800  # bytes of a key, its arrays' headers, its lists and the dict's entry, about

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._entries: OrderedDict[tuple[str, bytes], Blocks] = OrderedDict()  # one item each, with values in float16

    def look(self, space: str, names: list[bytes], dim: int) -> tuple[np.ndarray, Blocks]:
        """Return which of `names` are here, as indices (j,), and their j blocks."""
        hits, entries = [], []
        for at, name in enumerate(names if self._entries else []):
            entry = self._entries.get((space, name))
            if entry is not None:
                self._entries.move_to_end((space, name))
                hits.append(at)
                entries.append(entry)
        return np.array(hits, dtype=np.int64), Blocks.join(entries, dim)

    def keep(self, space: str, names: list[bytes], blocks: Blocks) -> None:
        """Keep the blocks of `names`, except what may come out otherwise the next time."""
        values, offsets, transient = blocks.values.astype(np.float16), blocks.offsets.tolist(), blocks.transient
        for i, name in enumerate(names):
            if transient[i] or (space, name) in self._entries:
                continue
            mine = slice(offsets[i], offsets[i + 1])
            rows, variants = values[mine].copy(), blocks.variants[mine].copy()  # a slice would keep the whole array
            both = np.array([0, len(rows)])
            self._entries[space, name] = Blocks(rows, both, [blocks.reasons[i]], [blocks.notes[i]], variants)
            self.size += rows.nbytes + self.OVERHEAD
        while self.size > self.limit:
            _, item = self._entries.popitem(last=False)
            self.size -= item.values.nbytes + self.OVERHEAD

    def forget(self, names: Collection[bytes]) -> None:
        """Let go of contents by all encoders."""
        for space_and_name in [entry for entry in self._entries if entry[1] in names]:
            self.size -= self._entries.pop(space_and_name).values.nbytes + self.OVERHEAD


def _encode(encoder: Encoder, modality: str, items: list, report: Callable[[int], None] | None) -> Blocks:
    """Return the blocks of contents, of which some may turn out to be lost (TransientError)."""
    encode = partial(getattr(encoder, f"encode_{modality}"), report=report)
    lost = [i for i, item in enumerate(items) if isinstance(item, TransientError)]
    if not lost:
        return encode(items)
    blocks = encode([None if isinstance(item, TransientError) else item for item in items])
    order = np.arange(len(items))
    order[lost] = len(items) + np.arange(len(lost))
    return Blocks.join([blocks, Blocks.unread([items[i] for i in lost], encoder.dim)], encoder.dim).take(order)
