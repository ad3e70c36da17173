"""A fitted model on disk: `model.json` with a hash manifest, arrays as safetensors; loading runs no code.

A folder is written under a temporary name beside its place and renamed, so it is there whole or not at all. It holds
what its manifest lists and nothing else: a changed, missing or additional file is refused before anything is parsed.
The manifest finds damage and mix-ups; it is no signature, whoever can write the folder can write a matching one.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as dump_tensors

from workbench.schema import WorkbenchError

FORMAT = 1
HEAD, ARRAYS = "model.json", "arrays.safetensors"
SUFFIXES = (".json", ".safetensors")
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".npy", ".npz", ".dill", ".ckpt")
_AGAIN = "train the model again or fetch the folder again"


def write(
    folder: Path | str,
    head: dict[str, Any],
    arrays: dict[str, np.ndarray],
    parts: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write a model folder in one step, in the place of an earlier model if there is one.

    head: plain JSON; arrays: by name; parts: called with the folder being written, to add folders of member models.
    Raises WorkbenchError where `folder` holds something that is no model, and for a disk that does not take it.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / HEAD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkbenchError(f"{folder} holds files that are no model; name a folder that is new or empty")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            fresh = Path(place) / "new"
            fresh.mkdir()
            (fresh / ARRAYS).write_bytes(dump_tensors({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
            parts(fresh)
            body = {"format": FORMAT, **head, "files": _hashes(fresh)}
            (fresh / HEAD).write_text(_canonical({**body, "sha256": _digest(body)}), encoding="utf-8")
            if folder.exists():
                folder.rename(Path(place) / "old")  # goes with the temporary folder
            fresh.rename(folder)
    except OSError as error:
        raise WorkbenchError(f"cannot save the model in {folder}: {error.strerror or error}; free the disk") from None


def read(folder: Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the head and the arrays of a model folder after holding every file against the manifest.

    Raises WorkbenchError, in one sentence, for a folder without a model, a pickle or another file that the manifest
    does not list, a missing or changed file, and another format.
    """
    folder = Path(folder)
    head = _head(folder)
    listed = head["files"]
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(found):
        if Path(name).suffix.lower() in _PICKLES:
            raise WorkbenchError(f"{folder} holds {name!r}, a kind of file that can carry code; delete it, then load")
        if name != HEAD and (name not in listed or not name.endswith(SUFFIXES)):
            raise WorkbenchError(f"{folder} holds {name!r}, which its manifest does not list; delete it, then load")
    for name, digest in listed.items():
        if name not in found:
            raise WorkbenchError(f"{folder} lacks {name!r} of its manifest; {_AGAIN}")
        if found[name].is_symlink() or hashlib.sha256(found[name].read_bytes()).hexdigest() != digest:
            raise WorkbenchError(f"{name!r} in {folder} is not what its manifest lists (sha256 differs); {_AGAIN}")
    return head, _arrays(folder / ARRAYS, listed)


def _head(folder: Path) -> dict[str, Any]:
    """Return `model.json` once its own digest and its format are right."""
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        digest = head.pop("sha256")
        whole = isinstance(head["files"], dict) and ARRAYS in head["files"]
    except OSError as error:
        raise WorkbenchError(f"{folder} holds no model: {error.strerror or error} ({HEAD}); check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WorkbenchError(f"{path} is not the head of a model; {_AGAIN}") from None
    if not whole or digest != _digest(head):
        raise WorkbenchError(f"{path} was changed after it was written (sha256 differs); {_AGAIN}")
    if head.get("format") != FORMAT:
        raise WorkbenchError(f"{path} has format {head.get('format')!r}, this workbench reads {FORMAT}; {_AGAIN}")
    return head


def _arrays(path: Path, listed: dict[str, str]) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != listed[ARRAYS]:  # the very bytes that are parsed
        raise WorkbenchError(f"{path} changed while it was read; load it again")
    try:
        return parse_tensors(data)
    except SafetensorError as error:
        raise WorkbenchError(f"{path} is no readable safetensors file ({error}); {_AGAIN}") from None


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _digest(head: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(head).encode()).hexdigest()


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)
