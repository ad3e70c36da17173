"""Features kept where the code or a library between content and vectors changed, and the vectors did not.

Some stored contents are encoded again and compared in float16, the store's own number format. Where they agree, all
shards go over to what the encoder is known by today; where they do not, nothing does. A shard changes its folder by its
manifest, after its vectors have a name in both, so a kill in between loses nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workbench.artifacts import read_json
from workbench.errors import WorkbenchError
from workbench.features.blocks import Blocks
from workbench.features.encoders import load_encoder
from workbench.features.items import ITEMS
from workbench.features.picture_words import WordReader
from workbench.features.store.disk import ABOUT, MANIFEST, Shards, clear, describe, held
from workbench.features.store.maintenance import PATIENCE, Space, dim_of, ls

SAMPLE = 500  # contents per modality that are encoded again
UNITS, COSINE = 2, 0.9999  # the most units in the last place that a value may move by; the least cosine of two rows
SMALL = 2.0**-10  # float32 rounding moves the values of a unit vector by about 1e-7: smaller ones are told by its unit


class Agreement(NamedTuple):
    """How far vectors made today are from stored ones: units in the last place at most, and cosine at least."""

    items: int
    units: float
    cosine: float


def loaded(name: str, device: Any = "cpu") -> Any:
    """Return what made features, by its name: an encoder, or the recogniser of words in pictures.

    Raises WorkbenchError where there is none, or where the extra that it needs is not installed.
    """
    return WordReader() if name == WordReader.name else load_encoder(name, device)


def adopt(
    folder: Path | str,
    old: str,
    tables: Iterable[pa.Table],
    load: Callable[[str], Any] = loaded,
    items: int = SAMPLE,
) -> list[str]:
    """Re-key the spaces whose fingerprint begins with `old` and say of each in a line how well it agrees.

    tables: posts whose contents are in the store; load: from a name to its encoder. Raises WorkbenchError, and re-keys
    nothing of a space, where it has other weights or options, where fewer of its contents than `items` (or all it has)
    are in the tables, and where one of these comes out otherwise.
    """
    spaces = [space for space in ls(folder) if space.fingerprint.startswith(old)]
    if not old or len({space.fingerprint for space in spaces}) != 1:
        matching = "several encoders" if spaces and old else "no encoder"
        raise WorkbenchError(
            f"{old!r} begins the fingerprint of {matching} in {folder}; `workbench features ls` has all"
        )
    tables = list(tables)
    return [_adopt(space, Path(folder), tables, load, items) for space in spaces]


def _adopt(space: Space, folder: Path, tables: list[pa.Table], load: Callable[[str], Any], items: int) -> str:
    encoder = _encoder(space, load)
    name = f"{encoder.name} {space.modality}"
    target = folder / encoder.identity(space.modality)[:32] / space.modality
    if target == space.folder:
        return f"{name}: {space.fingerprint[:12]} is what this encoder is known by today"
    known = Shards(space.folder, encoder.dim)
    known.refresh()
    keys, contents = _contents(space, known.keys, tables, items)
    _, stored = known.look(keys)
    agreement = compare(stored, _encoded(encoder, space.modality, contents), name)
    about = {"fingerprint": encoder.identity(space.modality), "depends": encoder.depends(space.modality)}
    moved = _move(space.folder, target, about)
    return (
        f"{name}: {agreement.items} contents agree (at most {agreement.units:.3g} units in the last place, cosine at "
        f"least {agreement.cosine:.6f}); {moved:,} shards are now {target.parent.name[:12]}"
    )


def _encoder(space: Space, load: Callable[[str], Any]) -> Any:
    """Return the encoder that a space is of, as it is today; raises WorkbenchError where it is another one now."""
    if not space.encoders:
        raise WorkbenchError(
            f"no {ABOUT} in {space.folder} names the encoder of these features, so nothing can be compared; a study "
            "that needs them encodes its contents again"
        )
    encoder, dim = load(space.encoders[0]), dim_of(space.folder)
    if encoder.dim < dim:
        encoder = encoder.unpooled
    then, now = (read_json(space.folder / ABOUT) or {}).get("depends", {}), encoder.depends(space.modality)
    changed = [part for part in ("weights", "options") if part in then and then[part] != now[part]]
    if changed or encoder.dim != dim:
        what = " and ".join(changed) or "vectors of another length"
        raise WorkbenchError(f"{space.encoders[0]!r} has other {what} now than {space.fingerprint[:12]}; run its study")
    return encoder


def _contents(space: Space, stored: np.ndarray, tables: list[pa.Table], items: int) -> tuple[np.ndarray, list]:
    """Return the keys (m, 32) and the contents of stored items, drawn at random from those that the tables have."""
    known, places = {key.tobytes() for key in stored}, {}
    for table in (table for table in tables if space.modality in table.column_names):
        column = ITEMS[space.modality](table)
        places |= {key: (column, row) for row, key in enumerate(column.keys) if key in known}
    wanted = min(items, len(known))
    if len(places) < wanted:
        raise WorkbenchError(
            f"the corpora given have {len(places)} of the {len(known)} contents of {space.fingerprint[:12]} "
            f"({space.modality}), and {wanted} are compared; name the studies that made them with --corpus"
        )
    chosen = sorted(places)
    chosen = [chosen[i] for i in np.random.default_rng(0).permutation(len(chosen))[:wanted]]
    contents = [column.fetch(row) for column, row in map(places.get, chosen)]
    return np.frombuffer(b"".join(chosen), np.uint8).reshape(-1, 32), contents


def _encoded(encoder: Any, modality: str, contents: list) -> Blocks:
    encode = getattr(encoder, f"encode_{modality}")
    size = ITEMS[modality].chunk
    return Blocks.join([encode(contents[at : at + size]) for at in range(0, len(contents), size)], encoder.dim)


def compare(stored: Blocks, fresh: Blocks, name: str) -> Agreement:
    """Return how well two blocks of the same contents agree; raises WorkbenchError where that is not well enough.

    The unit in the last place is that of float16 at the larger of two values, and at `SMALL` for those below. So the
    bytes of words (`picture_words`), whole numbers up to 255, agree only where they are the same.
    """
    if (stored.counts != fresh.counts).any() or (stored.readable != fresh.readable).any():
        number = int(((stored.counts != fresh.counts) | (stored.readable != fresh.readable)).sum())
        raise WorkbenchError(
            f"{name}: {number} of {len(stored)} contents are read otherwise now, so the old features stay apart; "
            "run the study, which encodes anew"
        )
    there = np.isfinite(stored.values).all(axis=1)
    then, now = (blocks.values[there].astype(np.float64) for blocks in (stored, fresh))
    size = np.maximum(np.maximum(np.abs(then), np.abs(now)), SMALL).astype(np.float16)
    units = float((np.abs(then - now) / np.spacing(size)).max(initial=0.0))
    lengths = np.linalg.norm(then, axis=1) * np.linalg.norm(now, axis=1)
    cosines = np.where((then == now).all(axis=1), 1.0, (then * now).sum(axis=1) / np.maximum(lengths, 1e-12))
    cosine = float(cosines.min(initial=1.0))  # rows of nothing but 0 are alike too: one ends the words of a picture
    if units > UNITS or cosine < COSINE:
        raise WorkbenchError(
            f"{name}: vectors moved by up to {units:.3g} units in the last place of float16 ({UNITS} are allowed), "
            f"cosine {cosine:.6f} ({COSINE} is the least); they are others now, so run the study, which encodes anew"
        )
    return Agreement(len(stored), units, cosine)


def _move(source: Path, target: Path, about: dict[str, Any]) -> int:
    """Give all shards of a folder to another and return how many they were; each is whole in one of them at any time.

    Raises WorkbenchError where the folders cannot be written or one of them is being written to.
    """
    try:
        with held(target, PATIENCE), held(source, PATIENCE):
            names = [path.name.removesuffix(MANIFEST) for path in source.glob(f"*{MANIFEST}")]
            for name in names:
                with contextlib.suppress(FileExistsError):  # by a move that was killed
                    os.link(source / f"{name}.npy", target / f"{name}.npy")
                (source / f"{name}{MANIFEST}").replace(target / f"{name}{MANIFEST}")
            described = (read_json(source / ABOUT) or {}) | about
            describe(target, described)
            clear(source)
            return len(names)
    except OSError as error:
        raise WorkbenchError(f"{source} cannot be re-keyed: {error.strerror or error}; try again later") from None
