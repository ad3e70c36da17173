"""Everything beyond exact repeats, looked for once: each finding is kept under what it depends on, by content.

Each look is a module of its own, imported when it is asked for: it decides whether a study may run and never what a run
finds, so a change of it re-trains nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import read_json
from workbench.schema import ROOT, Taxonomy

if TYPE_CHECKING:
    pass

LOOKS = {
    "near_text": "near_text",
    "near_image": "near_media",
    "template": "near_media",
    "near_video": "near_media",
    "time": "times",
    "shortcut": "shortcuts",
}
"""Relation -> the module that looks for it."""
FOLDER = ROOT / "data" / "cache" / "leaks"


def look(
    sets: Mapping[str, pa.Table],
    taxonomy: Taxonomy,
    relations: Iterable[str],
    *,
    later_tests: bool = False,
    key: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the findings of those of `relations` that are in LOOKS (`template` comes with `near_image`).

    sets: train, validation, test and further test sets by name; key: what these depend on, by content; with it findings
    are kept in `cache` (default data/cache/leaks) and not made again; progress: called with a relation, how many
    contents are done and how many there are.
    """
    folder = cache or FOLDER
    found: dict[str, dict[str, Any]] = {}
    for relation in relations:
        if relation not in LOOKS or relation in found:
            continue
        relation = "near_image" if relation == "template" else relation
        depends = {"key": key, "relation": relation, "later_tests": later_tests, "code": _code(LOOKS[relation])}
        path = folder / f"{relation}-{fingerprint.of_json(depends)}.json"
        kept = _read(path) if key is not None else None
        if kept is None:
            kept = _looked(sets, taxonomy, relation, later_tests, progress)
            if key is not None:
                _keep(path, kept)
        found |= kept
    return found


def depends(digests: Mapping[str, str], split: Any, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return what a study's sets depend on, as the `key` of `look`: data by content, how they are divided, labels."""
    return {"digests": dict(digests), "split": split or {}, "taxonomy": taxonomy.fingerprint}


def _looked(
    sets: Mapping[str, pa.Table],
    taxonomy: Taxonomy,
    relation: str,
    later_tests: bool,
    progress: Callable[[str, int, int], None] | None,
) -> dict[str, dict[str, Any]]:
    module = importlib.import_module(f"workbench.evidence.audit.{LOOKS[relation]}")

    def step(done: int, total: int) -> None:
        if progress:
            progress(relation, done, total)

    if relation == "near_text":
        return module.look(sets)
    if relation == "time":
        return module.look(sets, later_tests=later_tests)
    if relation == "shortcut":
        return module.look(sets, taxonomy)
    return (module.look_images if relation == "near_image" else module.look_videos)(sets, step)


def _code(module: str) -> list[str]:
    """Return the fingerprints of the code that a finding is made by."""
    names = {"relations", "families", "exact", "shingles", "hashes", module}
    return [fingerprint.of_module(Path(__file__).with_name(f"{name}.py")) for name in sorted(names)]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Write a finding under a temporary name and rename it; a full or read-only disk costs only the cache."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(found), encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


NAME = "leaks.json"


def recorded(folder: Path, digests: dict[str, str] | None) -> dict[str, Any]:
    """Return the findings that `record` wrote into a study's folder, none where its posts have changed since."""
    written = read_json(folder / NAME) or {}
    return written.get("found", {}) if digests and written.get("digests") == digests else {}
