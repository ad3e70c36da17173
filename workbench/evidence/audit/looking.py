"""Everything beyond exact repeats, looked for once: each finding is kept under what it depends on, by content.

Each look is a module of its own, imported when it is asked for. A finding is as old as the code that made it and as the
libraries that this uses.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import read_json, write_text
from workbench.fingerprint import closure
from workbench.schema import ROOT, Taxonomy

LOOKS = ("near_text", "near_image", "template", "near_video", "time", "shortcut")
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
    findings: dict[str, dict[str, Any]] = {}
    for relation in relations:
        if relation not in LOOKS or relation in findings:
            continue
        relation = "near_image" if relation == "template" else relation
        made_by = closure.of_code(_finder(relation))
        depends = {"key": key, "relation": relation, "later_tests": later_tests, **made_by}
        path = folder / f"{relation}-{fingerprint.of_json(depends)}.json"
        kept = _read(path) if key is not None else None
        if kept is None:
            kept = _looked(sets, taxonomy, relation, later_tests, progress)
            if key is not None:
                _keep(path, kept)
        findings |= kept
    return findings


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
    def step(done: int, total: int) -> None:
        if progress:
            progress(relation, done, total)

    find = _finder(relation)
    if relation == "time":
        return find(sets, later_tests=later_tests)
    if relation == "shortcut":
        return find(sets, taxonomy)
    return find(sets) if relation == "near_text" else find(sets, step)


def _finder(relation: str) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return the function that looks for a relation; each brings libraries that the others do not need."""
    if relation == "near_text":
        from workbench.evidence.audit import near_text

        return near_text.look
    if relation == "time":
        from workbench.evidence.audit import times

        return times.look
    if relation == "shortcut":
        from workbench.evidence.audit import shortcuts

        return shortcuts.look
    from workbench.evidence.audit import near_media

    return near_media.look_images if relation == "near_image" else near_media.look_videos


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _keep(path: Path, findings: dict[str, Any]) -> None:
    """Write a finding; a full or read-only disk costs only the cache."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(findings))


NAME = "leaks.json"


def recorded(folder: Path, digests: dict[str, str] | None) -> dict[str, Any]:
    """Return the findings that `record` wrote into a study's folder, none where its posts have changed since."""
    written = read_json(folder / NAME) or {}
    return written.get("found", {}) if digests and written.get("digests") == digests else {}
