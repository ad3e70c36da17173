"""What is written whole or not at all: folders with a hash manifest, model folders, single files.

A folder is written under a temporary name beside its place and renamed. Its head is a JSON file with the manifest, and
it holds what that lists and nothing else: a changed, missing or additional file is refused before anything is parsed.
Reading runs no code. The manifest finds damage and mix-ups; it is no signature, whoever can write the folder can write
a matching one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as dump_tensors

from workbench.errors import WorkbenchError
from workbench.schema import OLD_NAMES

FORMAT = 1
DRAFT_SECONDS = 3600.0
SUFFIXES = (".json", ".safetensors")
_CODE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".npy", ".npz", ".dill", ".ckpt")


class ArtifactType(NamedTuple):
    """What a folder is called, its head's file, what to do about a bad one, and the files that people may change."""

    what: str
    head: str
    again: str
    free: tuple[str, ...] = ()


MODEL = ArtifactType("model", "model.json", "train the model again or fetch the folder again")
ARRAYS = "arrays.safetensors"


def write(folder: Path | str, kind: ArtifactType, head: dict[str, Any], parts: Callable[[Path], None]) -> str:
    """Write a folder in one step, in the place of an earlier one of its kind, and return the digest of its head.

    head: plain JSON; parts: called with the folder being written; it adds everything but the head. Raises
    WorkbenchError where `folder` holds something else, and for a disk that does not take it.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / kind.head).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkbenchError(f"{folder} holds files that are no {kind.what}; name a folder that is new or empty")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            fresh = Path(place) / "new"
            fresh.mkdir()
            parts(fresh)
            body = {"format": FORMAT, **head, "files": hashes(fresh, kind)}
            sealed = digest(body)
            (fresh / kind.head).write_text(_canonical({**body, "sha256": sealed}), encoding="utf-8")
            if folder.exists():
                folder.rename(Path(place) / "old")  # goes with the temporary folder
            fresh.rename(folder)
    except OSError as error:
        reason = error.strerror or error
        raise WorkbenchError(f"cannot save the {kind.what} in {folder}: {reason}; free the disk") from None
    return sealed


def read(folder: Path | str, kind: ArtifactType) -> dict[str, Any]:
    """Return the head of a folder after holding every file against its manifest.

    Raises WorkbenchError, in one sentence, for a folder of another kind, a pickle or another file that the manifest
    does not list, a missing or changed file, and another format.
    """
    folder = Path(folder)
    head = _head(folder, kind)
    listed = head["files"]
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(files):
        if Path(name).suffix.lower() in _CODE:
            raise WorkbenchError(f"{folder} holds {name!r}, a kind of file that can carry code; delete it, then load")
        if name not in (kind.head, *kind.free) and (name not in listed or not name.endswith(SUFFIXES)):
            raise WorkbenchError(f"{folder} holds {name!r}, which its manifest does not list; delete it, then load")
    for name, expected in listed.items():
        if name not in files:
            raise WorkbenchError(f"{folder} lacks {name!r} of its manifest; {kind.again}")
        if files[name].is_symlink() or hashlib.sha256(files[name].read_bytes()).hexdigest() != expected:
            raise WorkbenchError(f"{name!r} in {folder} is not what its manifest lists (sha256 differs); {kind.again}")
    return head


def hashes(folder: Path, kind: ArtifactType) -> dict[str, str]:
    """Return the manifest of a folder: path -> sha256 of every file but the head and those that people may change."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    kept = {name: path for name, path in files.items() if name not in (kind.head, *kind.free)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in kept.items()}


def digest(head: dict[str, Any]) -> str:
    """Return the sha256 that seals a head without its own."""
    return hashlib.sha256(_canonical(head).encode()).hexdigest()


def _head(folder: Path, kind: ArtifactType) -> dict[str, Any]:
    """Return the head once its own digest and its format are right."""
    path = folder / kind.head
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        sealed = head.pop("sha256")
        whole = isinstance(head["files"], dict)
    except OSError as error:
        message = f"{folder} holds no {kind.what}: {error.strerror or error} ({kind.head})"
        raise WorkbenchError(f"{message}; check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WorkbenchError(f"{path} is not the head of a {kind.what}; {kind.again}") from None
    if not whole or sealed != digest(head):
        raise WorkbenchError(f"{path} was changed after it was written (sha256 differs); {kind.again}")
    if head.get("format") != FORMAT:
        raise WorkbenchError(f"{path} has format {head.get('format')!r}, this workbench reads {FORMAT}; {kind.again}")
    return head


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)


def write_model(
    folder: Path | str,
    head: dict[str, Any],
    arrays: dict[str, np.ndarray],
    parts: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write a model folder in one step, in the place of an earlier model if there is one.

    head: plain JSON; arrays: by name; parts: called with the folder being written, to add folders of member models.
    Raises WorkbenchError where `folder` holds something that is no model, and for a disk that does not take it.
    """

    def everything(fresh: Path) -> None:
        (fresh / ARRAYS).write_bytes(dump_tensors({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
        parts(fresh)

    write(folder, MODEL, head, everything)


def read_model(folder: Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the head and the arrays of a model folder; raises WorkbenchError as `read` does, and without arrays."""
    head, path = read(folder, MODEL), Path(folder) / ARRAYS
    if ARRAYS not in head["files"]:
        raise WorkbenchError(f"{folder} lists no {ARRAYS!r} in its manifest; {MODEL.again}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != head["files"][ARRAYS]:  # the very bytes that are parsed
        raise WorkbenchError(f"{path} changed while it was read; load it again")
    try:
        return head, {_named_now(name): array for name, array in parse_tensors(data).items()}
    except SafetensorError as error:
        raise WorkbenchError(f"{path} is no readable safetensors file ({error}); {MODEL.again}") from None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give the name of a draft beside `path` to write; it takes the file's place once it is on the disk.

    The file is there whole or not at all, even after a power cut. Where the block or the file system (OSError) raises,
    the draft goes and the old content, if any, stays. Drafts of killed processes end in `.tmp`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield draft
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def sweep_drafts(folder: Path) -> None:
    """Delete the drafts in a folder that nobody has written to for an hour: those of processes that were killed."""
    for draft in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                draft.unlink()


def trim(paths: Iterable[Path], keep: int, spare: Path | None = None) -> None:
    """Delete those files and folders that were used longest ago, so that all take at most `keep` bytes.

    One was used when it, or a file in it, was last written or touched. spare: what stays in any case. What others
    delete meanwhile, or what cannot be deleted, is no error.
    """
    facts = []
    for path in paths:
        with contextlib.suppress(OSError):
            stats = [part.stat() for part in ([*path.iterdir()] if path.is_dir() else [path])]
            used = max((stat.st_mtime for stat in stats), default=path.stat().st_mtime)
            facts.append((path != spare, -used, path, sum(stat.st_size for stat in stats)))
    total = 0
    for deletable, _, path, size in sorted(facts):
        total += size
        if total > keep and deletable:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def sync(folder: Path) -> None:
    """Flush a folder, so that the names in it last; where the system opens no folders there is no such need."""
    with contextlib.suppress(PermissionError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_bytes(path: Path, data: bytes | memoryview) -> Path:
    """Write a file whole or not at all; raises OSError as `writing` does."""
    with writing(path) as draft:
        draft.write_bytes(data)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text as UTF-8, lone surrogates kept, whole or not at all; raises OSError as `writing` does."""
    return write_bytes(path, text.encode(errors="surrogatepass"))


def write_json(path: Path, value: Any) -> Path:
    """Write a value as JSON, whole or not at all; NaN and infinity are refused with ValueError."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _named_now(name: str) -> str:
    """Return what an array is called now: `classifier.learnable` of an earlier version is `classifier.trained`."""
    return ".".join(OLD_NAMES.get(part, part) for part in name.split("."))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None where the file is missing, torn or no object; NaN is read as None."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
