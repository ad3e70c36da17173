"""From a number of a report back to what it was made from, checking on the way whatever can be checked here.

A chain goes from the value and its interval over the comparison's settings to the runs, and from each run to its
commit, data, weights, library versions, notebook and parameters. Every check ends in one of three words:
`agrees`, `differs`, or `unchecked` with the reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from workbench import corpora, fingerprint
from workbench.artifacts import read_json
from workbench.comparison import addresses, costs
from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.predictions import Run, items_digest, load_run
from workbench.decisions import bundle
from workbench.errors import WorkbenchError
from workbench.schema import ROOT, Taxonomy, expand

AGREES, DIFFERS, UNCHECKED = "agrees", "differs", "unchecked"
_NUMBERS = ("value", "lo", "hi", "delta", "p", "p_holm", "ceiling", "ms_per_post", "per_million", "per_day", "seed_sd")
_BASIS = ("n", "positives", "few")


class Link(NamedTuple):
    """One line of a chain: its depth, what it is, what was found, and how a check of it ended ("" for none)."""

    depth: int
    what: str
    found: str
    check: str = ""


def studies_with(address: str, folder: Path) -> list[str]:
    """Return the names of the studies under a folder whose comparison has a number of that address."""
    found = ((path.parent.name, read_json(path) or {}) for path in sorted(folder.glob("*/comparison.json")))
    return [name for name, comparison in found if any(one == address for one, _, _ in addresses.rows(comparison))]


def chain(folder: Path, corpus: dict[str, Any], address: str) -> list[Link]:
    """Return the chain behind a number; raise WorkbenchError where the study has no comparison or no such number.

    folder: the results of a study, named after it; corpus: where its posts come from.
    """
    comparison = read_json(folder / "comparison.json")
    if comparison is None:
        raise WorkbenchError(f"study {folder.name!r} has no comparison; `workbench run {folder.name}` makes it")
    table, row = _find(comparison, address, folder.name)
    runs, lost = _load(folder, comparison)
    return [
        Link(0, address, _value(row), *_recomputed(comparison, runs, lost, table, address, row)),
        *_settings(comparison, row),
        *_items(comparison, runs, row),
        *(link for alias in _concerned(row) for link in _run(folder, corpus, comparison, alias)),
    ]


def shown(links: Sequence[Link]) -> str:
    """Return a chain as indented lines, each check in brackets at the end."""
    lines = (f"{'  ' * one.depth}{one.what}: {one.found}" + (f"  [{one.check}]" if one.check else "") for one in links)
    return "\n".join(lines)


def _find(comparison: dict[str, Any], address: str, study: str) -> tuple[str, dict[str, Any]]:
    found = {one: (table, row) for one, table, row in addresses.rows(comparison)}
    if address in found:
        return found[address]
    below = [one for one in found if one.startswith(f"{address.rstrip('/')}/")]
    near = below[:12] or difflib.get_close_matches(address, found, n=3, cutoff=0.5) or list(found)[:3]
    raise WorkbenchError(
        f"study {study!r} has no number {address!r}; an address is TEST/VIEW/LABEL/MODEL/METRIC, or begins with slice, "
        f"identity or suite, such as: "
        f"{', '.join(near)}"
    )


def _value(row: dict[str, Any]) -> str:
    """The number with its interval, and on how many posts it stands."""
    said = [f"{name} {row[name]:.6g}" for name in _NUMBERS if row.get(name) is not None]
    if row.get("n") is not None:
        positives = f" with {row['positives']} positives" if "positives" in row else ""
        said.append(f"on {row['n']} posts{positives}{' (few)' if row['few'] else ''}")
    return ", ".join(said) if said else "undefined"


def _concerned(row: dict[str, Any]) -> list[str]:
    """The models that a number is of; none for what no model enters."""
    return list(dict.fromkeys(row[name] for name in ("model", "a", "b") if row.get(name)))


def _load(folder: Path, comparison: dict[str, Any]) -> tuple[list[Run], str]:
    """The runs that the comparison was made from, or why they cannot be read any more."""
    try:
        keyed = comparison["made_from"]["runs"]
        return [replace(load_run(folder / key), alias=alias) for alias, key in keyed.items()], ""
    except (WorkbenchError, KeyError) as error:
        return [], str(error)


def _recomputed(
    comparison: dict[str, Any], runs: list[Run], lost: str, table: str, address: str, row: dict[str, Any]
) -> tuple[str]:
    """The check of the number itself: computed again from the predictions of all the runs compared."""
    if lost:
        return (f"{UNCHECKED}: {lost}",)
    settings = CompareOptions.parse(comparison["compare"], "the comparison's settings")
    if table != "differences":
        settings = settings.model_copy(update={"pairs": ()})  # no other number needs the permutations
    kept = {row.get("test", "test"), "test", "validation"}
    slim = [replace(run, sets={name: some for name, some in run.sets.items() if name in kept}) for run in runs]
    again = compare(comparison["study"], comparison["question"], slim, settings)
    stated = comparison.get("cost")
    again["costs"] = costs.rows(again, costs.CostOptions.parse(stated, "cost") if stated else None)
    (now,) = [one for place, _, one in addresses.rows(again) if place == address] or [{}]
    changed = [name for name in (*_NUMBERS, *_BASIS) if name in row and not _same(row[name], now.get(name))]
    if changed:
        return (f"{DIFFERS}: computed again, {', '.join(f'{name} is {now.get(name)}' for name in changed)}",)
    return (f"{AGREES}: computed again from the predictions",)


def _same(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) <= 1e-9 * max(1.0, abs(a)))


def _settings(comparison: dict[str, Any], row: dict[str, Any]) -> Iterator[Link]:
    asked = comparison["compare"]
    yield Link(1, "study", f"{comparison['study']}: {comparison['question']}")
    yield Link(1, "settings", ", ".join(f"{name} {value}" for name, value in asked.items() if name != "pairs"))
    if comparison.get("cost") and "per_million" in row:
        yield Link(1, "price", ", ".join(f"{name} {value}" for name, value in comparison["cost"].items()))


def _items(comparison: dict[str, Any], runs: list[Run], row: dict[str, Any]) -> Iterator[Link]:
    test = row.get("test")
    if test is None:
        return
    digest = comparison["items"][test]
    now = {items_digest(run.sets[test].post_id) for run in runs if test in run.sets}
    check = UNCHECKED if not runs else AGREES if now == {digest} else DIFFERS
    yield Link(1, "items", f"test set {test!r}, digest {digest}", check)


def _run(study: Path, corpus: dict[str, Any], comparison: dict[str, Any], alias: str) -> Iterator[Link]:
    """The chain of one run."""
    key = comparison.get("made_from", {}).get("runs", {}).get(alias)
    if key is None:
        yield Link(1, "run", f"{alias}, of which the comparison names no run", UNCHECKED)
        return
    folder = study / key
    record = read_json(folder / "run.json")
    if record is None:
        yield Link(1, "run", f"{alias} {key}, whose run.json cannot be read in {folder}", DIFFERS)
        return
    inputs = record.get("inputs") or {}
    same = AGREES if inputs and fingerprint.of_json(inputs) == key else DIFFERS if inputs else UNCHECKED
    yield Link(1, "run", f"{alias} {key}, {record.get('state')}, ended {record.get('ended')}; {folder}", same)
    dirty = {True: "with uncommitted changes", False: "nothing uncommitted"}.get(record.get("dirty"), "state unknown")
    yield Link(2, "commit", f"{record.get('commit') or 'not recorded'}, {dirty}")
    yield _predictions(comparison, alias, folder)
    yield _data(corpus, record)
    yield from _weights(inputs)
    yield from _bundles(folder)
    versions = record.get("versions") or {}
    yield Link(2, "versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded")
    executed = folder / "executed.ipynb"
    there = executed.name if executed.is_file() else "not kept"
    yield Link(2, "notebook", f"code {inputs.get('notebook', 'not recorded')}; executed: {there}")
    given = [
        f"{name.removeprefix('parameter ')} = {value}" for name, value in inputs.items() if name[:9] == "parameter"
    ]
    yield Link(2, "parameters", "; ".join(given) or "not recorded")


def _predictions(comparison: dict[str, Any], alias: str, folder: Path) -> Link:
    path, stated = folder / "predictions.parquet", comparison.get("sources", {}).get(alias)
    if not path.is_file():
        return Link(2, "predictions", f"{path.name} is not there", DIFFERS)
    found = fingerprint.of_file(path)
    check = f"{UNCHECKED}: the comparison holds no digest" if stated is None else AGREES if stated == found else DIFFERS
    return Link(2, "predictions", f"sha256 {found}", check)


def _data(corpus: dict[str, Any], record: dict[str, Any]) -> Link:
    digest = record.get("corpus_digest")
    try:
        now = corpora.digest(expand(corpus, "the study"), Taxonomy.load())
        check = AGREES if now == digest else DIFFERS
    except WorkbenchError as error:
        check = f"{UNCHECKED}: {error}"
    return Link(2, "data", f"{corpus.get('source')}, digest {digest or 'not recorded'}", check)


def _weights(inputs: dict[str, Any]) -> Iterator[Link]:
    for name, digest in inputs.items():
        if name.startswith("weights "):
            path = ROOT / name.removeprefix("weights ")
            check = UNCHECKED if not path.is_file() else AGREES if fingerprint.of_file(path) == digest else DIFFERS
            yield Link(2, "weights", f"{name.removeprefix('weights ')}, sha256 {digest}", check)


def _bundles(folder: Path) -> Iterator[Link]:
    """Each seed's bundle, every file of it held against its manifest."""
    for path in sorted(one.parent for one in folder.glob(f"bundle/*/{bundle.HEAD}")):
        try:
            yield Link(2, f"bundle {path.name}", bundle.read(path)["model_id"], AGREES)
        except WorkbenchError as error:
            yield Link(2, f"bundle {path.name}", str(error), DIFFERS)
