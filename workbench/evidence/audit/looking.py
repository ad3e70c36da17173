"""Everything beyond exact repeats, looked for once: each finding is kept under what it depends on, by content.

Each look is a module of its own, imported when it is asked for. A finding is as old as the code that made it and as the
libraries that this uses.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from workbench import fingerprint
from workbench.artifacts import read_json, trim, write_text
from workbench.corpora import SOURCES
from workbench.fingerprint import closure
from workbench.schema import ROOT, Taxonomy

if TYPE_CHECKING:
    from workbench.features import FeatureStore

FOLDER = ROOT / "data" / "cache" / "leaks"
KEEP = 64 * 2**20  # bytes of findings; those that were asked for longest ago go first
NAME = "leaks.json"
_FINDERS = {
    "near_text": "near_text:look",
    "near_image": "near_media:look_pictures",
    "template": "near_media:look_pictures",
    "near_video": "near_media:look",
    "still": "near_media:look",
    "time": "times:look",
    "shortcut": "shortcuts:look",
}
_EDITED = ("near_text:look", "near_media:look_pictures", "near_media:look")  # which also try what they see through
LOOKS = tuple(_FINDERS)


def look(
    sets: Mapping[str, pa.Table],
    taxonomy: Taxonomy,
    relations: Iterable[str],
    *,
    later_tests: bool = False,
    key: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    store: FeatureStore | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the findings of those of `relations` that are in LOOKS; all of pictures come at once, and all of clips.

    sets: train, validation, test and further test sets by name; key: what these depend on, by content; with it findings
    are kept in `cache` (default data/cache/leaks) and not made again; store: where what is compared of pictures and
    clips is kept, by default nowhere; progress: called with a relation, how many contents are done and how many there
    are.
    """
    findings: dict[str, dict[str, Any]] = {}
    for relation in sorted(relations, key=lambda name: _FINDERS.get(name) != "near_media:look"):  # it finds all of them
        if relation not in LOOKS or relation in findings:
            continue
        relation = next(name for name in LOOKS if _FINDERS[name] == _FINDERS[relation])
        owed = {"key": key, "relation": relation, "later_tests": later_tests, **made_by(relation)}
        step = partial(progress, relation) if progress else None
        given = relation, taxonomy, later_tests, step, store
        findings |= _once(relation, owed, cache, partial(_found, sets, *given))
    return findings


def seen_through(
    sets: Mapping[str, pa.Table],
    relations: Iterable[str],
    *,
    key: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return for those of `relations` that are about what is near how many edits of contents of train are found.

    See `edits.own`; all else as in `look`. progress: called with "edits", how many are tried and how many there are.
    """
    finders = {_FINDERS[name] for name in relations if name in LOOKS} & set(_EDITED)
    if "near_media:look" in finders:  # it finds all of pictures too
        finders.discard("near_media:look_pictures")
    found: dict[str, list[dict[str, Any]]] = {}
    for relation in (next(name for name in LOOKS if _FINDERS[name] == finder) for finder in sorted(finders)):
        owed = {"key": key, "edits": relation, **made_by(relation)}
        found |= _once("edits", owed, cache, partial(_try_edits, relation, sets, progress))
    return found


def families(
    posts: pa.Table,
    *,
    key: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    store: FeatureStore | None = None,
) -> list[str]:
    """Return the family of each post: the smallest name of a group among posts that are linked by what is near.

    Posts are linked by their group, by the same or near words, and by the same or near pictures and clips, whatever
    words stand beside them; all of a chain of links are one family. All else as in `look`.
    """
    owed = {"key": key, **closure.of_code("workbench.evidence.audit.looking:_families")}
    return _once("families", owed, cache, lambda: {"of": _families(posts, store)})["of"]


def _families(posts: pa.Table, store: FeatureStore | None) -> list[str]:
    from workbench.evidence.audit import near_media, near_text
    from workbench.evidence.audit.families import ContentIndex, linked

    everywhere = {"train": posts, "test": posts}  # so that any two contents stand on both sides
    texts, media = ContentIndex.of(everywhere, "text"), ContentIndex.of(everywhere, "image", "video")
    pairs = [(texts, *near_text.related(texts)), (media, *near_media.related(media, store))]
    return linked(posts["group"].to_pylist(), pairs)


def _try_edits(
    relation: str, sets: Mapping[str, pa.Table], progress: Callable[[str, int, int], None] | None
) -> dict[str, list[dict[str, Any]]]:
    from workbench.evidence.audit import edits
    from workbench.features import FeatureStore

    look_for = _finder(relation, store=FeatureStore(None))  # in memory: originals are read once for all edits
    told = [name for name in LOOKS if _FINDERS[name] == _FINDERS[relation]]
    told += ["near_image"] if relation == "near_video" else []
    return edits.own(sets, look_for, told, partial(progress, "edits") if progress else None)


def _once(name: str, owed: Mapping[str, Any], cache: Path | None, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is kept of what is owed to the same things, or make it and keep it; without a key it is made."""
    if owed["key"] is None:
        return make()
    path = (cache or FOLDER) / f"{name}-{fingerprint.of_json(owed)}.json"
    kept = read_json(path)
    made = make() if kept is None else kept
    _keep(path, made, used=kept is not None)
    return made


def depends(digests: Mapping[str, str], split: Any, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return what a study's sets depend on, as the `key` of `look`: data by content, how they are divided, labels.

    And the code that builds and divides them.
    """
    return {
        "digests": dict(digests),
        "split": split or {},
        "taxonomy": taxonomy.fingerprint,
        "divided_by": divided_by(folds=bool(split and split.get("folds"))),
    }


def divided_by(*, folds: bool = False) -> dict[str, Any]:
    """Return the code that makes sets of posts from their sources, and its libraries; folds: by families too."""
    dividing = ["workbench.corpora.splits:divide", *(["workbench.evidence.audit.looking:_families"] if folds else [])]
    return closure.of_code(*dividing, *(f"{module}:build" for module in SOURCES.values()))


def made_by(relation: str) -> dict[str, Any]:
    """Return the code that looks for a relation, and its libraries."""
    finder = _FINDERS[relation]
    tried = ["workbench.evidence.audit.edits:own"] if finder in _EDITED else []
    return closure.of_code(f"workbench.evidence.audit.{finder}", *tried)


def _found(sets: Mapping[str, pa.Table], *given: Any) -> dict[str, dict[str, Any]]:
    return _finder(*given)(sets)


def _finder(
    relation: str,
    taxonomy: Taxonomy | None = None,
    later_tests: bool = False,
    progress: Callable[[int, int], None] | None = None,
    store: FeatureStore | None = None,
) -> Callable[[Mapping[str, pa.Table]], dict[str, dict[str, Any]]]:
    """Return the function from sets to findings of a relation; each brings libraries that the others do not need."""
    if relation == "near_text":
        from workbench.evidence.audit import near_text

        return near_text.look
    if relation == "time":
        from workbench.evidence.audit import times

        return partial(times.look, later_tests=later_tests)
    if relation == "shortcut":
        from workbench.evidence.audit import shortcuts

        return partial(shortcuts.look, taxonomy=taxonomy)
    from workbench.evidence.audit import near_media

    look_for = near_media.look if relation in ("near_video", "still") else near_media.look_pictures
    return partial(look_for, progress=progress, store=store)


def _keep(path: Path, findings: dict[str, Any], used: bool) -> None:
    """Keep a finding; one that was read counts as used now. A full or read-only disk costs only the cache."""
    with contextlib.suppress(OSError):
        if used:
            os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(findings))
        trim(path.parent.iterdir(), KEEP)


def record(folder: Path, digests: Mapping[str, str], findings: Mapping[str, Any], *, folds: bool = False) -> None:
    """Write what was found in a study's posts into its folder, with what that is owed to; folds: as `divided_by`."""
    made = {"divided_by": divided_by(folds=folds), **{name: made_by(name) for name in findings}}
    write_text(folder / NAME, json.dumps({"digests": digests, "made_by": made, "found": findings}, indent=1))


def recorded(folder: Path, digests: dict[str, str] | None) -> dict[str, Any]:
    """Return the findings that `record` wrote into a study's folder, without those that no longer hold.

    None hold where the posts, or the code that builds and divides them, changed since; one does not where the code that
    looked for it did. Records of earlier versions do not tell the code.
    """
    written = read_json(folder / NAME) or {}
    if not digests or written.get("digests") != digests:
        return {}
    found, made = written.get("found", {}), written.get("made_by")
    if made is None:
        return found
    if made.get("divided_by") not in (divided_by(), divided_by(folds=True)):
        return {}
    return {name: finding for name, finding in found.items() if name in _FINDERS and made.get(name) == made_by(name)}
