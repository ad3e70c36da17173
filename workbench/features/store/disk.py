"""The disk tier: append-only shards of float16 vectors for one encoder and one modality.

A shard is two files. `<name>.npy` holds the vectors (rows, d); `<name>.manifest.npz` the keys (n, 32), the offsets
(n + 1,), the variants (rows,), and as JSON the reasons, the notes and the sha256 of the vectors. Both are written under
a temporary name, flushed to the disk and renamed, the manifest last: vectors without a manifest do not exist. A shard
is checked against its hash when it is first used; what fails is set aside (`.broken`) and computed again. What a killed
writer left goes when the folder is opened the next time, for reading too.

Writers hold `lock()`, which the operating system releases when a process dies. Readers need no lock: a shard is never
changed, only merged into another or deleted (`maintenance.gc`), and who finds it gone looks for where its rows went.

`about.json` says for people which encoder the folder belongs to; its time of change is when the shards were last used.
Nothing is decided by the clock but what `gc` deletes by age.

Source: temp-then-rename as in allenai/tango, `local_step_cache.py`. Open doubt: a shard of one row is kept as such
until `merge`, so thousands of one-post calls with a folder make thousands of files; serving should use the memory tier.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from workbench.artifacts import read_json, write_bytes, write_json
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks, collect

log = logging.getLogger(__name__)
FORMAT = 2  # of a shard's two files; those without a number have 1, and no variants of rows
MANIFEST = ".manifest.npz"
ABOUT = "about.json"
LOCK = "lock"
_MACHINE = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}  # not the shard's fault
MAPPED = 4 * 2**20  # bytes; smaller shards are read, larger ones memory-mapped
MERGED = 128 * 2**20  # bytes of vectors in a shard that `merge` makes, about
TOUCH_SECONDS = 60.0


@dataclass(eq=False)
class _Shard:
    name: str
    keys: np.ndarray  # (n, 32) uint8
    offsets: np.ndarray  # (n + 1,) int64
    variants: np.ndarray  # (offsets[-1],) uint8
    about: dict
    blocks: Blocks | None = None  # with values in float16; None until they have been checked


class Shards:
    """The shards in one folder; all vectors have length `dim`. `about` is what `about.json` says of their encoder."""

    def __init__(self, folder: Path, dim: int, about: dict[str, Any] | None = None) -> None:
        self.folder, self.dim, self.about = folder, dim, about or {}
        self._shards: dict[str, _Shard] = {}
        self._refused: set[str] = set()
        self._touched = -TOUCH_SECONDS
        self._guard = threading.RLock()
        self._index()
        sweep(folder)

    @property
    def keys(self) -> np.ndarray:
        """The keys (n, 32) uint8 of all that is here."""
        return self._keys

    # ------------------------------------------------------------------------------------------------------- reading

    def refresh(self) -> None:
        """Take in the manifests that other processes have written since, and let go of what they deleted."""
        with self._guard:
            names = {path.name.removesuffix(MANIFEST) for path in self.folder.glob(f"*{MANIFEST}")}
            new = sorted(names - self._shards.keys() - self._refused)
            gone = [name for name in self._shards.keys() - names if not (self.folder / f"{name}{MANIFEST}").exists()]
            for name in gone:
                del self._shards[name]
            for name in new:
                with self._setting_aside(name):
                    self._shards[name] = self._open(name)
            if new or gone:
                self._index()
            if gone or any(not (self.folder / f"{name}{MANIFEST}").exists() for name in new):
                self.refresh()  # merged in this moment: its rows are in a shard that is newer than the list

    def look(self, keys: np.ndarray) -> tuple[np.ndarray, Blocks]:
        """Return which of `keys (m, 32)` uint8 are here, as indices (j,), and their j blocks."""
        with self._guard:
            while True:
                where = self._search(keys)
                hits = np.flatnonzero(where >= 0)
                owner, item = self._owner[where[hits]], self._item[where[hits]]
                if all(self._checked(self._order[i]) for i in np.unique(owner)):
                    self._touch(len(hits))
                    return hits, collect([self._shards[name].blocks for name in self._order], owner, item, self.dim)
                self._index()
                self.refresh()

    # ------------------------------------------------------------------------------------------------------- writing

    @contextlib.contextmanager
    def lock(self, seconds: float = -1) -> Iterator[None]:
        """Wait for the folder, hold it for writing, and take in what others wrote; raises OSError if it cannot be.

        TimeoutError, which is an OSError, says that others have held it for `seconds`; -1 waits for ever.
        """
        with held(self.folder, seconds):
            self.refresh()
            yield

    def append(self, keys: np.ndarray, blocks: Blocks) -> None:
        """Write one shard: `keys (n, 32)` uint8 with their blocks; the caller holds `lock()`. Raises OSError."""
        name = uuid.uuid4().hex
        values, manifest = io.BytesIO(), io.BytesIO()
        np.save(values, blocks.values.astype(np.float16), allow_pickle=False)
        about = {
            "format": FORMAT,
            "dim": self.dim,
            "sha256": hashlib.sha256(values.getbuffer()).hexdigest(),
            "reasons": {str(i): reason for i, reason in enumerate(blocks.reasons) if reason is not None},
            "notes": {str(i): note for i, note in enumerate(blocks.notes) if note is not None},
        }
        text = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        np.savez(manifest, keys=keys, offsets=blocks.offsets, variants=blocks.variants, about=text)
        write_bytes(self.folder / f"{name}.npy", values.getbuffer())
        write_bytes(self.folder / f"{name}{MANIFEST}", manifest.getbuffer())
        describe(self.folder, self.about)
        with self._guard:
            self._shards[name] = self._open(name)
            self._index()

    def merge(self, names: list[str]) -> int:
        """Make one shard of several, and delete those; the caller holds `lock()`. Returns how many they were.

        A kill leaves rows twice or vectors without a manifest, which are swept. Raises OSError, nothing being lost.
        """
        names = [name for name in names if name in self._shards and self._checked(name)]
        if len(names) < 2:
            return 0
        old = [self._shards[name] for name in names]
        keys = np.concatenate([shard.keys for shard in old])
        _, first = np.unique(keys, axis=0, return_index=True)
        self.append(keys[first], Blocks.join([shard.blocks for shard in old], self.dim).take(first))
        self._delete(names)
        return len(names)

    def drop(self, keys: np.ndarray) -> int:
        """Take contents `keys (m, 32)` uint8 out; the caller holds `lock()`. Returns how many there were.

        A shard that holds some is written anew without them and deleted, so a kill leaves it whole. Raises OSError.
        """
        gone, dropped = {key.tobytes() for key in keys}, 0
        while len(hits := np.flatnonzero((where := self._search(keys)) >= 0)):
            for name in [self._order[i] for i in np.unique(self._owner[where[hits]])]:
                if not self._checked(name):
                    continue
                shard = self._shards[name]
                kept = np.flatnonzero([key.tobytes() not in gone for key in shard.keys])
                if len(kept):
                    self.append(shard.keys[kept], shard.blocks.take(kept))
                self._delete([name])
                dropped += len(shard.keys) - len(kept)
            with self._guard:
                self._index()
        return dropped

    # ------------------------------------------------------------------------------------------------------ inwardly

    def _delete(self, names: list[str]) -> None:
        """Delete shards whose rows are elsewhere, or unwanted; the manifest goes first."""
        for suffix in (MANIFEST, ".npy"):
            for name in names:
                with contextlib.suppress(OSError):
                    (self.folder / f"{name}{suffix}").unlink()
        with self._guard:
            for name in names:
                del self._shards[name]
            self._index()

    def _open(self, name: str) -> _Shard:
        keys, offsets, variants, about = read_manifest(self.folder / f"{name}{MANIFEST}")
        if about.get("format", 1) > FORMAT:
            raise WorkbenchError(
                f"features in {self.folder} have format {about['format']} and this version reads {FORMAT}; update the "
                "workbench, or move that one folder away and let the study encode anew"
            )
        if (
            keys.dtype != np.uint8
            or keys.shape != (len(offsets) - 1, 32)
            or offsets[0] != 0
            or (np.diff(offsets) < 1).any()
        ):
            raise ValueError("keys and offsets do not fit")
        if about["dim"] != self.dim:
            raise ValueError(f"vectors of length {about['dim']}, not {self.dim}")
        if variants is None:
            keys, variants = _without_variants(keys, offsets, self.about.get("modality"))
        return _Shard(name, keys, offsets, variants, about)

    def _checked(self, name: str) -> bool:
        """Check a shard's vectors on first use; False where they are not what its manifest says."""
        if self._shards[name].blocks is None:
            with self._setting_aside(name):
                self._shards[name].blocks = self._load(self._shards[name])
        return name in self._shards

    def _load(self, shard: _Shard) -> Blocks:
        path = self.folder / f"{shard.name}.npy"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard.about["sha256"]:
                raise ValueError("the vectors are not those that the manifest was written for")
        # each map holds a file descriptor, of which a process has about a thousand
        mapped = "r" if path.stat().st_size > MAPPED else None
        values = np.load(path, mmap_mode=mapped, allow_pickle=False)
        if values.shape[1:] != (self.dim,) or values.dtype != np.float16:
            raise ValueError(f"vectors are no float16 of length {self.dim}")
        texts = ([shard.about[kind].get(str(i)) for i in range(len(shard.keys))] for kind in ("reasons", "notes"))
        return Blocks(values, shard.offsets, *texts, shard.variants)

    @contextlib.contextmanager
    def _setting_aside(self, name: str) -> Iterator[None]:
        """Forget a shard that cannot be used; rename its files where they are torn or corrupt, so that nobody tries."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:  # a damaged zip raises a dozen kinds
            self._shards.pop(name, None)
            self._refused.add(name)
            if isinstance(error, FileNotFoundError) and not (self.folder / f"{name}{MANIFEST}").exists():
                return  # merged or deleted by `maintenance.gc`
            log.warning("a shard of features is left out and computed again: %s (%s)", self.folder / name, error)
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in _MACHINE:
                return
            for suffix in (MANIFEST, ".npy"):
                path = self.folder / f"{name}{suffix}"
                with contextlib.suppress(OSError):
                    path.replace(path.with_name(path.name + ".broken"))

    def _index(self) -> None:
        """Sort all keys by their first eight bytes; a search compares the rest, so a clash is a miss, not an error."""
        self._order = list(self._shards)
        shards = [self._shards[name] for name in self._order]
        keys = np.concatenate([np.empty((0, 32), np.uint8), *(shard.keys for shard in shards)])
        sizes = [len(shard.keys) for shard in shards]
        heads = np.ascontiguousarray(keys[:, :8]).view(np.uint64).ravel()
        order = np.argsort(heads, kind="stable")
        self._heads, self._keys = heads[order], keys[order]
        self._owner = np.repeat(np.arange(len(shards)), sizes)[order]
        self._item = np.concatenate([np.empty(0, np.int64), *(np.arange(size) for size in sizes)])[order]

    def _search(self, keys: np.ndarray) -> np.ndarray:
        if not len(self._heads) or not len(keys):
            return np.full(len(keys), -1, dtype=np.int64)
        heads = np.ascontiguousarray(keys[:, :8]).view(np.uint64).ravel()
        at = np.minimum(np.searchsorted(self._heads, heads), len(self._heads) - 1)
        return np.where((self._keys[at] == keys).all(axis=1), at, -1)

    def _touch(self, hits: int) -> None:
        """Note that rows were used, now and then: `maintenance.gc` deletes what was not used for long."""
        if hits and time.monotonic() - self._touched >= TOUCH_SECONDS:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.folder / ABOUT)


def describe(folder: Path, about: dict[str, Any]) -> None:
    """Write or complete `about.json`, which is for people: a failure to do so is no failure."""
    names = {*encoders_of(folder), *map(str, about.get("encoders", []))}
    about = about | {"encoders": sorted(names)}
    if about != read_json(folder / ABOUT):
        with contextlib.suppress(OSError):
            write_json(folder / ABOUT, about)


@contextlib.contextmanager
def held(folder: Path, seconds: float = -1) -> Iterator[None]:
    """Hold a folder for writing; raises OSError, of which TimeoutError says that others have held it for `seconds`."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK, timeout=seconds):
        yield


def _without_variants(keys: np.ndarray, offsets: np.ndarray, modality: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and variants of a shard from before rows had variants.

    Each row of a picture was one, and a clip has none. Of a text's rows only that of a text of one row is known: the
    others lose their keys (zeros, which no content has) and are encoded again.
    """
    counts = np.diff(offsets)
    if modality == "image":
        return keys, (np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)).astype(np.uint8)
    if modality != "video":
        keys = np.where((counts > 1)[:, None], np.uint8(0), keys)
    return keys, np.zeros(offsets[-1], np.uint8)


def sweep(folder: Path) -> None:
    """Delete what killed writers left; whoever holds the lock is the only one who may be writing, so not beside one."""
    drafts = list(folder.glob("*.tmp"))
    orphans = [path for path in folder.glob("*.npy") if not path.with_suffix(MANIFEST).exists()]
    if not drafts and not orphans:
        return
    with contextlib.suppress(OSError), held(folder, 0):
        for path in drafts + [path for path in orphans if not path.with_suffix(MANIFEST).exists()]:
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Delete everything but the lock, for which others may be waiting; the caller holds it."""
    for path in [*folder.glob(f"*{MANIFEST}"), *folder.iterdir()]:  # vectors without a manifest do not exist
        if path.name != LOCK:
            path.unlink(missing_ok=True)


def small(folder: Path) -> list[list[str]]:
    """Return groups of shards, each of which could be one, the smallest first."""
    sizes = {}
    for name in (path.name.removesuffix(MANIFEST) for path in folder.glob(f"*{MANIFEST}")):
        with contextlib.suppress(OSError):  # merged or deleted meanwhile
            sizes[name] = (folder / f"{name}.npy").stat().st_size
    groups, total = defaultdict(list), 0
    for name, size in sorted(sizes.items(), key=lambda pair: pair[1]):
        if size <= MERGED // 2:
            groups[total // MERGED].append(name)
            total += size
    return [group for group in groups.values() if len(group) > 1]


class Manifest(NamedTuple):
    """A shard's keys (n, 32), offsets (n + 1,), variants (rows,) (None before rows had them), and what it says else."""

    keys: np.ndarray
    offsets: np.ndarray
    variants: np.ndarray | None
    about: dict[str, Any]


def read_manifest(path: Path) -> Manifest:
    """Return what a shard's manifest holds.

    Raises OSError, and whatever a damaged zip raises, of which there are a dozen kinds.
    """
    data = io.BytesIO(path.read_bytes())  # numpy leaks a torn file that it opens
    with np.load(data, allow_pickle=False) as manifest:  # a zip, which checks its own CRCs
        about = json.loads(manifest["about"].tobytes())
        return Manifest(manifest["keys"], manifest["offsets"], manifest.get("variants"), about)


def encoders_of(folder: Path) -> list[str]:
    """Return the names that a folder's encoder was asked for by, none where `about.json` does not tell."""
    names = (read_json(folder / ABOUT) or {}).get("encoders")
    return [str(name) for name in names] if isinstance(names, list) else []
