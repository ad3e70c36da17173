"""What lies in a store's folder, and how it is kept small: list the spaces, delete old ones, merge their shards.

A space is the vectors of one modality by one encoder: `<folder>/<encoder's fingerprint>/<modality>/`. Everything in it
can be computed again, so deleting is safe beside readers and writers: it happens under the writers' lock, readers that
miss a shard look again, and what is gone is a miss. A space that is being written to is left alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.features.store.disk import LOCK, MANIFEST, Shards, clear, encoders_of, held, read_manifest, small, sweep
from workbench.schema import MODALITIES

PATIENCE = 5.0  # seconds that `gc` waits for writers before it leaves their space alone
MANY = 8  # shards that could be one; fewer are not worth writing again


@dataclass(frozen=True)
class Space:
    """One encoder's vectors of one modality: how much there is, and since when.

    `fingerprint`: the first 32 hex digits. `encoders`: the names it was asked for by, as far as they are known.
    `written`, `used`: seconds since the epoch. `broken`: files that were set aside as damaged, or could not be read.
    """

    folder: Path
    fingerprint: str
    modality: str
    encoders: tuple[str, ...]
    contents: int
    rows: int
    shards: int
    bytes: int
    written: float
    used: float
    broken: int


@dataclass(frozen=True)
class Change:
    """What `gc` did to a space, or would do, or why it did nothing; `freed` are bytes."""

    space: Space
    done: str
    freed: int = 0


def ls(folder: Path | str) -> list[Space]:
    """Return the spaces of a store's folder, the last used first; none where there is no folder."""
    spaces = [_space(path) for path in _folders(Path(folder))]
    return sorted((space for space in spaces if space is not None), key=lambda space: -space.used)


def gc(
    folder: Path | str,
    *,
    older_than_days: float | None = None,
    max_gb: float | None = None,
    dry_run: bool = False,
) -> list[Change]:
    """Delete spaces that were not used for `older_than_days`, then the longest unused until `max_gb` hold the rest.

    What stays is cleaned: damaged files that were set aside go, and many small shards become one. Returns what was
    done; with `dry_run` what would be.
    """
    if (older_than_days is not None and older_than_days < 0) or (max_gb is not None and max_gb < 0):
        raise WorkbenchError("an age in days and a size in GB cannot be negative; leave out what should not count")
    spaces = ls(folder)
    total, now = sum(space.bytes for space in spaces), time.time()
    changes = []
    for space in reversed(spaces):
        old = older_than_days is not None and now - space.used > older_than_days * 86_400
        large = max_gb is not None and total > max_gb * 1e9
        try:
            if old or large:
                why = (
                    f"not used for {_age(now - space.used)}"
                    if old
                    else f"the longest unused of more than {max_gb:g} GB"
                )
                changes.append(_delete(space, why, dry_run))
                total -= space.bytes
            else:
                changes.append(_tidy(space, dry_run))
        except TimeoutError:
            changes.append(Change(space, "left alone: it is being written to"))
        except OSError as error:
            changes.append(Change(space, f"left alone: {error.strerror or error}"))
    return [change for change in changes if change.done]


def show(folder: Path | str) -> str:
    spaces = ls(folder)
    if not spaces:
        return f"no features in {folder}"
    now = time.time()
    table = pd.DataFrame(
        {
            "encoder": ", ".join(space.encoders) or "(unknown)",
            "modality": space.modality,
            "contents": f"{space.contents:,}",
            "rows": f"{space.rows:,}",
            "MB": f"{space.bytes / 1e6:,.1f}",
            "shards": f"{space.shards:,}" + (f" + {space.broken} damaged" if space.broken else ""),
            "last used": f"{_age(now - space.used)} ago",
            "last written": f"{_age(now - space.written)} ago",
            "fingerprint": space.fingerprint[:12],
        }
        for space in spaces
    )
    total = sum(space.bytes for space in spaces) / 1e6
    return f"{table.to_string(index=False)}\n{total:,.1f} MB in {folder}"


def collect(folder: Path | str, older_than_days: float | None, max_gb: float | None, dry_run: bool) -> str:
    changes = gc(folder, older_than_days=older_than_days, max_gb=max_gb, dry_run=dry_run)
    lines = []
    for change in changes:
        space = change.space
        name = f"{', '.join(space.encoders) or space.fingerprint[:12]} {space.modality}"
        lines.append(f"{name}: {change.done}" + (f" ({change.freed / 1e6:,.1f} MB)" if change.freed else ""))
    freed = sum(change.freed for change in changes) / 1e6
    would = "would be freed" if dry_run else "freed"
    return "\n".join([*lines, f"{freed:,.1f} MB {would} in {folder}"])


def _folders(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.glob("*/*")):
        name = path.parent.name
        if path.name in MODALITIES and re.fullmatch("[0-9a-f]{32}", name) and path.is_dir():
            yield path


def _space(path: Path) -> Space | None:
    """Return what lies in a space's folder; None where there is nothing, or where it has just been deleted."""
    contents = rows = shards = size = broken = 0
    written = used = 0.0
    for file, about in _files(path):
        size += about.st_size
        used = max(used, about.st_mtime)
        if file.name.endswith(MANIFEST):
            written = max(written, about.st_mtime)
            counted = _count(file)
            contents, rows, shards = (a + b for a, b in zip((contents, rows, shards), counted, strict=True))
            broken += counted[2] == 0
        broken += file.suffix == ".broken"
    if not size:
        return None
    sizes = {"contents": contents, "rows": rows, "shards": shards, "bytes": size, "broken": broken}
    names = tuple(encoders_of(path))
    return Space(path, path.parent.name, path.name, names, written=written or used, used=used, **sizes)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files of a folder but the lock, with their status; what is deleted meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name != LOCK]
    except OSError:
        return
    for name in names:
        try:
            about = (folder / name).stat()
        except OSError:
            continue
        yield folder / name, about


def _count(manifest: Path) -> tuple[int, int, int]:
    """Return a shard's contents, its rows, and 1; zeros where its manifest cannot be read."""
    try:
        offsets = read_manifest(manifest).offsets
        return len(offsets) - 1, int(offsets[-1]), 1
    except Exception:  # a damaged zip raises a dozen kinds
        return 0, 0, 0


def _delete(space: Space, why: str, dry_run: bool) -> Change:
    if dry_run:
        return Change(space, f"would be deleted, {why}", space.bytes)
    with held(space.folder, PATIENCE):
        clear(space.folder)
    return Change(space, f"deleted, {why}", space.bytes)


def _tidy(space: Space, dry_run: bool) -> Change:
    """Merge the small shards of a space, and delete damaged files and what killed writers left."""
    folder, changes, before = space.folder, [], _size(space.folder)
    if not dry_run:
        sweep(folder)
    leftover = [path for path, _ in _files(folder) if path.suffix == ".broken"]
    groups = [group for group in small(folder) if len(group) >= MANY]
    if not groups and not leftover:
        return Change(space, "")
    if dry_run:
        merged = sum(len(group) for group in groups)
    else:
        shards = Shards(folder, dim_of(folder))
        with shards.lock(PATIENCE):
            for path in leftover:
                path.unlink(missing_ok=True)
            merged = merge(shards)
    would = "would be " if dry_run else ""
    changes += [f"{merged} small shards {would}merged"] if merged else []
    changes += [f"{len(leftover)} damaged files {would}deleted"] if leftover else []
    freed = _size(folder, ".broken") if dry_run else max(0, before - _size(folder))
    return Change(space, "; ".join(changes), freed)


def merge(shards: Shards) -> int:
    """Make one shard of many small ones, and return of how many; the caller holds `lock()`."""
    return sum(shards.merge(group) for group in small(shards.folder) if len(group) >= MANY)


def _size(folder: Path, suffix: str | None = None) -> int:
    return sum(about.st_size for path, about in _files(folder) if suffix in (None, path.suffix))


def dim_of(folder: Path) -> int:
    """Return the length of a space's vectors, from the first manifest that can be read; 0 where there is none."""
    for path in sorted(folder.glob(f"*{MANIFEST}")):
        try:
            return int(read_manifest(path).about["dim"])
        except Exception:  # the next one, then
            continue
    return 0


def _age(seconds: float) -> str:
    """Return a time in words; a clock that was set back makes nothing older."""
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
