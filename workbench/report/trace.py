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
from workbench.comparison import facts
from workbench.comparison.compare import compare
from workbench.comparison.options import MAIN, VALIDATION
from workbench.comparison.predictions import Run, load_runs
from workbench.comparison.rows import Comparison, Interval, PlainRow, path
from workbench.comparison.run_files import RunRecord, model_of, scored, study_name
from workbench.decisions import bundle
from workbench.errors import WorkbenchError
from workbench.fingerprint.inputs import of_inputs
from workbench.schema import ROOT, Taxonomy, expand

AGREES, DIFFERS, UNCHECKED = "agrees", "differs", "unchecked"
_NUMBERS = ("value", "lo", "hi", "delta", "p", "p_holm", "ceiling", "ms_per_post", "per_million", "per_day", "seed_sd")
_BASIS = ("n", "positives", "few")


class Located(NamedTuple):
    """One address: its table, the models and posts that it is about (None where it is about none), and its numbers."""

    address: str
    table: str
    models: tuple[str, ...]
    test: str | None
    n: int | None
    positives: int | None
    few: bool
    numbers: dict[str, float | None]


def located(comparison: Comparison) -> Iterator[Located]:
    """Yield every address of a comparison with its numbers."""
    for table in ("models", "differences", "late_fusion_limit", "leak_test", "costs"):
        for row in getattr(comparison, table):
            yield _located(row.id, table, row, row)
    for table, rows in (("slices", comparison.slices), ("bias", comparison.bias.identities)):
        for row in rows:
            for name, part in row:
                if isinstance(part, Interval):
                    yield _located(f"{row.address}/{name}", table, row, part)
    for row in comparison.suites:
        for kind, parts in row.kinds.items():
            for part in parts:
                yield _located(f"{row.address(kind, part)}/{path(row.model)}", "suites", row, part)


def _located(address: str, table: str, row: PlainRow, part: PlainRow) -> Located:
    """Return an address of a row, whose numbers stand in it or in a part of it."""
    models = tuple(dict.fromkeys(getattr(row, name) for name in ("model", "a", "b") if hasattr(row, name)))
    n, positives, few = (getattr(row, name, getattr(part, name, None)) for name in _BASIS)
    numbers = {name: getattr(part, name) for name in _NUMBERS if hasattr(part, name)}
    return Located(address, table, models, getattr(row, "test", None), n, positives, bool(few), numbers)


class Link(NamedTuple):
    """One line of a chain: its depth, what it is, what was found, and how a check of it ended ("" for none)."""

    depth: int
    what: str
    found: str
    check: str = ""


class _Data(NamedTuple):
    """Where a study's posts come from, and its labels."""

    corpus: dict[str, Any]
    taxonomy: Taxonomy


def studies_with(address: str, folder: Path) -> list[str]:
    """Return the names of the studies under a folder whose comparison has a number of that address."""
    places = sorted(path.parent for path in folder.glob("*/comparison.json"))
    return [place.name for place in places if _has(place, address)]


def _has(folder: Path, address: str) -> bool:
    """Whether a study's comparison has a number of that address; one that another version wrote has none."""
    try:
        return any(number.address == address for number in located(Comparison.load(folder)))
    except WorkbenchError:
        return False


def chain(folder: Path, corpus: dict[str, Any], taxonomy: Taxonomy, address: str) -> list[Link]:
    """Return the chain behind a number; raise WorkbenchError where the study has no comparison or no such number.

    folder: the results of a study, named after it; corpus: where its posts come from, with the labels of
    `taxonomy`.
    """
    comparison = Comparison.load(folder)
    if comparison is None:
        raise WorkbenchError(f"study {folder.name!r} has no comparison; `workbench run {study_name(folder)}` makes it")
    number = _find(comparison, address, folder.name)
    runs, lost = _load(folder, comparison)
    data = _Data(corpus, taxonomy)
    return [
        Link(0, address, _value(number), _recomputed(comparison, runs, lost, number)),
        *_settings(comparison, number),
        *_items(comparison, runs, number),
        *_facts(comparison, runs),
        *(link for alias in number.models for link in _runs(folder, data, comparison, alias)),
    ]


def shown(links: Sequence[Link]) -> str:
    """Return a chain as indented lines, each check in brackets at the end."""
    lines = (f"{'  ' * row.depth}{row.what}: {row.found}" + (f"  [{row.check}]" if row.check else "") for row in links)
    return "\n".join(lines)


def _find(comparison: Comparison, address: str, study: str) -> Located:
    rows = {number.address: number for number in located(comparison)}
    if address in rows:
        return rows[address]
    below = [place for place in rows if place.startswith(f"{address.rstrip('/')}/")]
    near = below[:12] or difflib.get_close_matches(address, rows, n=3, cutoff=0.5) or list(rows)[:3]
    raise WorkbenchError(
        f"study {study!r} has no number {address!r}; an address is TEST/VIEW/LABEL/MODEL/METRIC, or begins with slice, "
        f"identity or suite, such as: "
        f"{', '.join(near)}"
    )


def _value(number: Located) -> str:
    """The number with its interval, and on how many posts it stands."""
    parts = [f"{name} {value:.6g}" for name, value in number.numbers.items() if value is not None]
    if number.n is not None:
        positives = f" with {number.positives} positives" if number.positives is not None else ""
        parts.append(f"on {number.n} posts{positives}{' (few)' if number.few else ''}")
    return ", ".join(parts) if parts else "undefined"


def _load(folder: Path, comparison: Comparison) -> tuple[list[Run], str]:
    if comparison.made_from is None:
        return [], "the comparison does not say which runs it was made from"
    try:
        return load_runs({name: folder / key for name, key in comparison.made_from.runs.items()}), ""
    except WorkbenchError as error:
        return [], str(error)


def _recomputed(comparison: Comparison, runs: list[Run], lost: str, number: Located) -> str:
    """The check of the number itself: computed again from the predictions of all the runs compared."""
    if lost:
        return f"{UNCHECKED}: {lost}"
    settings = comparison.compare
    if number.table != "differences":
        settings = settings.model_copy(update={"pairs": ()})  # no other number needs the permutations
    kept = {number.test, MAIN, VALIDATION, *settings.test}
    slim = [replace(run, sets={name: some for name, some in run.sets.items() if name in kept}) for run in runs]
    family = comparison.made_from and comparison.made_from.family
    again = compare(comparison.study, comparison.question, slim, settings, family, comparison.cost, comparison.members)
    now = next((value for value in located(again) if value.address == number.address), None)
    if now is None:
        return f"{DIFFERS}: computed again, it is not there"
    before, after = ({**value.numbers, **{name: getattr(value, name) for name in _BASIS}} for value in (number, now))
    changed = [f"{name} is {after[name]}" for name in before if not _same(before[name], after[name])]
    if changed:
        return f"{DIFFERS}: computed again, {', '.join(changed)}"
    return f"{AGREES}: computed again from the predictions"


def _same(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and abs(a - b) <= 1e-9 * max(1.0, abs(a)))


def _settings(comparison: Comparison, number: Located) -> Iterator[Link]:
    asked = comparison.compare
    yield Link(1, "study", f"{comparison.study}: {comparison.question}")
    yield Link(1, "settings", ", ".join(f"{name} {value}" for name, value in asked if name != "pairs"))
    if comparison.cost and number.table == "costs":
        yield Link(1, "price", ", ".join(f"{name} {value}" for name, value in comparison.cost))


def _items(comparison: Comparison, runs: list[Run], number: Located) -> Iterator[Link]:
    test = number.test
    if test is None:
        return
    digest = comparison.items[test]
    now = {fingerprint.of_items(run.sets[test].post_id.tolist()) for run in runs if test in run.sets}
    check = UNCHECKED if not runs else AGREES if now == {digest} else DIFFERS
    yield Link(1, "items", f"test set {test!r}, digest {digest}", check)


def _facts(comparison: Comparison, runs: list[Run]) -> Iterator[Link]:
    """Labels, weights and slices of the posts, by the bytes of the file that all runs are compared on."""
    stated = comparison.made_from and comparison.made_from.posts
    if not stated or len(stated) < 64:  # earlier versions told what the file was made from, in 16 digits
        yield Link(1, "facts of the posts", "no digest recorded", UNCHECKED)
        return
    check = UNCHECKED if not runs else AGREES if {run.facts for run in runs} == {stated} else DIFFERS
    files = {facts.place(run.folder.parent, scored(run.record.inputs)).name for run in runs} or {facts.NAME}
    yield Link(1, "facts of the posts", f"{', '.join(sorted(files))}, sha256 {stated}", check)


def _runs(study: Path, data: _Data, comparison: Comparison, alias: str) -> Iterator[Link]:
    made = comparison.made_from.runs if comparison.made_from else {}
    mine = {name: key for name, key in made.items() if model_of(name) == alias}
    if not mine:
        yield Link(1, "run", f"{alias}, of which the comparison names no run", UNCHECKED)
    for name, key in mine.items():
        yield from _run(study / key, key, data, comparison, name)


def _run(folder: Path, key: str, data: _Data, comparison: Comparison, alias: str) -> Iterator[Link]:
    record = RunRecord.read(folder)
    if record is None:
        yield Link(1, "run", f"{alias} {key}, whose run.json cannot be read in {folder}", DIFFERS)
        return
    inputs = record.inputs
    digests = (of_inputs(inputs), fingerprint.of_json(inputs))  # the second is how keys were made before
    same = UNCHECKED if not inputs else AGREES if key in digests else DIFFERS
    yield Link(1, "run", f"{alias} {key}, {record.state}, ended {record.ended}; {folder}", same)
    patch = "; code.patch makes its code of that commit" if (folder / "code.patch").is_file() else ""
    yield Link(2, "commit", f"{record.commit or 'not recorded'}, {record.edited}{patch}")
    yield _predictions(comparison, alias, folder)
    yield _digest(data, record)
    yield from _weights(record)
    yield from _bundles(folder)
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield Link(2, "versions", versions or "not recorded")
    executed = folder / "executed.ipynb"
    there = executed.name if executed.is_file() else "not kept"
    yield Link(2, "notebook", f"code {inputs.get('notebook', 'not recorded')}; executed: {there}")
    given = [f"{name} = {value}" for name, value in record.inputs_of("parameter").items()]
    yield Link(2, "parameters", "; ".join(given) or "not recorded")


def _predictions(comparison: Comparison, alias: str, folder: Path) -> Link:
    path, stated = folder / "predictions.parquet", comparison.sources.get(alias)
    if not path.is_file():
        return Link(2, "predictions", f"{path.name} is not there", DIFFERS)
    sha = fingerprint.of_file(path)
    check = f"{UNCHECKED}: the comparison holds no digest" if stated is None else AGREES if stated == sha else DIFFERS
    return Link(2, "predictions", f"sha256 {sha}", check)


def _digest(data: _Data, record: RunRecord) -> Link:
    digest = record.corpus_digest
    try:
        now = corpora.digest(expand(data.corpus, "the study"), data.taxonomy)
        check = AGREES if now == digest else DIFFERS
    except WorkbenchError as error:
        check = f"{UNCHECKED}: {error}"
    return Link(2, "data", f"{data.corpus.get('source')}, digest {digest or 'not recorded'}", check)


def _weights(record: RunRecord) -> Iterator[Link]:
    for name, digest in record.inputs_of("weights").items():
        file = ROOT / name
        check = UNCHECKED if not file.is_file() else AGREES if fingerprint.of_file(file) == digest else DIFFERS
        yield Link(2, "weights", f"{name}, sha256 {digest}", check)


def _bundles(folder: Path) -> Iterator[Link]:
    """Each seed's bundle, every file of it held against its manifest."""
    for place in sorted(head.parent for head in folder.glob(f"bundle/*/{bundle.HEAD}")):
        try:
            yield Link(2, f"bundle {place.name}", bundle.read(place)["model_id"], AGREES)
        except WorkbenchError as error:
            yield Link(2, f"bundle {place.name}", str(error), DIFFERS)
