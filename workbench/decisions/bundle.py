"""A bundle on disk: `model/`, `moderator.json` with a hash manifest, `policy.yaml`, `README.md`, maybe
`unusual/`; loading runs no code.

The manifest covers everything that scores depend on. The policy stands beside it: staff may edit or replace it, and it
is checked by what it says. The README is for people. Nothing else may lie in the folder.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.schema import Taxonomy, WorkbenchError

FORMAT = 1
HEAD, MODEL, POLICY, README = "moderator.json", "model", "policy.yaml", "README.md"
DETECTOR = "unusual"  # a folder that is there if a detector of unusual posts belongs to the bundle
_AGAIN = "make the bundle again with `workbench run` or fetch it again"
_CODE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".npy", ".npz", ".dill", ".ckpt")


def write(folder: Path | str, head: dict[str, Any], parts: Callable[[Path], None]) -> str:
    """Write a bundle in one step, in the place of an earlier one, and return the digest of its head.

    parts: called with the folder being written; it adds everything but the head. Raises WorkbenchError where `folder`
    holds something else, and for a disk that does not take it.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / HEAD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkbenchError(f"{folder} holds files that are no bundle; name a folder that is new or empty")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as place:
            fresh = Path(place) / "new"
            fresh.mkdir()
            parts(fresh)
            body = {"format": FORMAT, **head, "files": _hashes(fresh)}
            digest = _digest(body)
            (fresh / HEAD).write_text(_canonical({**body, "sha256": digest}), encoding="utf-8")
            if folder.exists():
                folder.rename(Path(place) / "old")  # goes with the temporary folder
            fresh.rename(folder)
    except OSError as error:
        raise WorkbenchError(f"cannot save the bundle in {folder}: {error.strerror or error}; free the disk") from None
    return digest


def read(folder: Path | str) -> dict[str, Any]:
    """Return the head of a bundle after holding every file against its manifest; raise WorkbenchError otherwise."""
    folder = Path(folder)
    head = _head(folder)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(found):
        if Path(name).suffix.lower() in _CODE:
            raise WorkbenchError(f"{folder} holds {name!r}, a kind of file that can carry code; delete it, then load")
        if name not in head["files"] and name not in (HEAD, POLICY, README):
            raise WorkbenchError(f"{folder} holds {name!r}, which its manifest does not list; delete it, then load")
    for name, digest in head["files"].items():
        if name not in found:
            raise WorkbenchError(f"{folder} lacks {name!r} of its manifest; {_AGAIN}")
        if found[name].is_symlink() or hashlib.sha256(found[name].read_bytes()).hexdigest() != digest:
            raise WorkbenchError(f"{name!r} in {folder} is not what its manifest lists (sha256 differs); {_AGAIN}")
    return head


def _head(folder: Path) -> dict[str, Any]:
    """Return `moderator.json` once its own digest and its format are right."""
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        digest = head.pop("sha256")
        whole = isinstance(head["files"], dict)
    except OSError as error:
        raise WorkbenchError(f"{folder} holds no bundle: {error.strerror or error} ({HEAD}); check the path") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WorkbenchError(f"{path} is not the head of a bundle; {_AGAIN}") from None
    if head.get("format") != FORMAT:
        raise WorkbenchError(f"{path} has format {head.get('format')!r}, this workbench reads {FORMAT}; {_AGAIN}")
    if not whole or digest != _digest(head):
        raise WorkbenchError(f"{path} was changed after it was written (sha256 differs); {_AGAIN}")
    return head


def model_digest(folder: Path) -> str:
    """Return the digest of a saved model: its head's, which covers every file of it."""
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"]


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for part in (MODEL, DETECTOR) for path in (folder / part).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _digest(head: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(head).encode()).hexdigest()


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False)


def taxonomy(head: dict[str, Any], folder: Path, given: Taxonomy | None) -> Taxonomy:
    """Return the taxonomy to use: the one given, if the bundle was made for it, else the bundle's own."""
    values = {name: value for name, value in head["taxonomy"].items() if name != "fingerprint"}
    own = Taxonomy.parse(values, f"the taxonomy of the bundle in {folder}")
    if given is None:
        return own
    given.check(own.fingerprint, f"the bundle in {folder}")
    return given
