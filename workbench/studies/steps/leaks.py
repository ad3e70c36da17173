"""The leak gate around a study: looked for once before its runs, kept beside them, and on demand for any corpus.

Every run holds the relations that its study names (`training.prepare`). What takes longer is looked for here once per
study and content, so that each report can tell it: near-duplicates, templates, impossible times, shortcuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from workbench import corpora
from workbench.artifacts import write_json
from workbench.comparison.run_files import Overlap
from workbench.corpora import reading
from workbench.corpora.files.mapping import named
from workbench.errors import WorkbenchError, unknown
from workbench.evidence import audit
from workbench.evidence.audit import looking
from workbench.features import FeatureStore
from workbench.report import page
from workbench.report.sections import leaks as sections
from workbench.schema import Taxonomy, expand, read_yaml
from workbench.studies import find
from workbench.studies.config import StudyConfig, labels_of

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.studies.steps.training import Material


class Asked(NamedTuple):
    """What an audit reads: corpus, split and further tests as in a study, what stops it, and the labels."""

    corpus: dict[str, Any]
    split: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    leaks: dict[str, Any]
    taxonomy: Taxonomy


def command(what: str, *, columns: str, only: str, fail_on: str, encoder: str, out: Path | None) -> int:
    """Print what leaks in a corpus and return the exit code: 1 where something that is held was found, else 0."""
    posts = asked(what, named(columns))
    relations = _named(only, list(audit.LOOKS)) or list(audit.LOOKS)
    findings, options, material = look(posts, relations, _named(fail_on, audit.RELATIONS))
    held = tell(findings, options)
    if encoder:
        findings["neighbours"] = neighbours_of(material, encoder)
    if out and out.suffix.lower() == ".html":
        page.write_audit(out, what, findings, material.sets)
    elif out:
        write_json(out, findings)
    return int(held)


def record(study: StudyConfig, material: Material) -> None:
    """Look for what a study's runs do not look for themselves, and write it beside them.

    Clips take longest and are looked at here only where the study holds what is found of them; `workbench audit` does.
    """
    options = audit.LeakOptions.parse(study.leaks, "leaks")
    wanted = [name for name in audit.LOOKS if name not in ("near_video", "still") or name in options.fail_on]
    findings = _beyond(material, wanted, options, expand(study.split, "the study"))
    looking.record(study.folder, material.digests, findings, folds=study.folds is not None)


def asked(what: str, columns: dict[str, str]) -> Asked:
    """Return what `workbench audit` is asked about: a study, a YAML file with a corpus, or a file of posts.

    columns: for a file of posts, which column is what (as in a study's corpus; `label.NAME` for labels). Raises
    WorkbenchError where there is no such file or study.
    """
    try:
        path = find(what)
    except WorkbenchError as error:
        raise WorkbenchError(f"{error}, or a file of posts ({', '.join(reading.FORMATS)})") from None
    if reading.is_posts(path):
        labels = {name.removeprefix("label."): item for name, item in columns.items() if name.startswith("label.")}
        plain = {name: item for name, item in columns.items() if not name.startswith("label.")}
        corpus = {"source": "files", "path": str(path.resolve()), "text": "text", **plain, "labels": labels}
        return Asked(corpus, {}, {}, {}, Taxonomy.load(list(labels), "columns"))
    values = read_yaml(path)
    values = {"corpus": values} if "source" in values else values
    if "corpus" not in values:
        raise WorkbenchError(f"{path} has no `corpus`; write one as in a study, such as corpus: {{source: synthetic}}")
    parts = ((values.get(name) or {}) for name in ("corpus", "split", "tests", "leaks"))
    return Asked(*(expand(part, str(path)) for part in parts), labels_of(values.get("taxonomy"), path))


def tables(names: Iterable[str], columns: dict[str, str] | None = None) -> Iterator[pa.Table]:
    """Yield the posts of studies and corpora, named as for `workbench audit`, with those of their further tests."""
    for name in names:
        posts = asked(name, columns or {})
        for config in (posts.corpus, *posts.tests.values()):
            yield corpora.load(config, posts.taxonomy).table


def look(
    what: Asked, relations: Sequence[str], fail_on: Sequence[str] | None = None
) -> tuple[dict[str, Any], audit.LeakOptions, Material]:
    """Return all findings of a corpus by relation, the options of what they are held to, and the divided posts.

    relations: which of `audit.LOOKS` to look for beside what is exactly the same; fail_on: instead of the study's own.
    """
    from workbench.studies.steps import training

    own = {**what.leaks, **({"fail_on": list(fail_on)} if fail_on else {})}
    options = audit.LeakOptions.parse(own, "leaks")
    accepted = dict.fromkeys(audit.HELD, "looked at by an audit")  # nothing stops it before all is looked at
    material = training.prepare(what.corpus, what.split, what.tests, what.taxonomy, {"allow": accepted})
    wanted = dict.fromkeys([*relations, *options.fail_on])
    findings = material.overlap | _beyond(material, list(wanted), options, what.split)
    for name in audit.HELD:
        findings[name].pop("allowed", None)
    for name, reason in options.allow.items():
        findings.get(name, {})["allowed"] = reason
    return {name: findings[name] for name in audit.RELATIONS if name in findings}, options, material


def tell(findings: dict[str, Any], options: audit.LeakOptions, console: Console | None = None) -> bool:
    """Print findings with examples, and return whether one of them is held and not accepted."""
    console = console or Console()
    shown = Table("relation", "found", "of", "posts", "verdict", "for example")
    held = False
    for name, finding in findings.items():
        stops = bool(finding["overlap"]) and name in options.fail_on and name not in options.allow
        held |= stops
        verdict = "fails" if stops else finding.get("allowed") or ("reported" if finding["overlap"] else "none found")
        lines = []
        for example in finding["examples"][:2]:
            posts = ", ".join(f"{split} {post_id}" for split, post_id in example["posts"])
            lines.append(f"{posts}: {example['content']}" if posts else example["content"])
        counts = (f"{finding[part]:,}" for part in ("overlap", "of", "posts"))
        shown.add_row(audit.counted(name, 2)[2:], *counts, verdict, "\n".join(lines))
    console.print(shown, markup=False)
    told = sections.edits({name: Overlap.model_validate(finding) for name, finding in findings.items()})
    for line in ["Of training posts that are edited and posted again is found", *told] if told else ():
        console.print(line, markup=False)
    return held


def neighbours_of(material: Material, encoder: str, console: Console | None = None) -> dict[str, Any]:
    """Print and return how near test posts come to training posts in an encoder's space, by text and by picture."""
    from workbench.evidence.audit import neighbours

    console, store, shown = console or Console(), FeatureStore(), {}
    for modality in ("text", "image"):
        sets = [material.sets[name] for name in ("train", "test")]
        vectors = [getattr(store, modality)(encoder, posts).first() for posts in sets]
        near_posts = neighbours.nearest(*vectors)
        if not near_posts.counted:
            continue
        shown[modality] = near_posts.told([posts["post_id"].to_pylist() for posts in sets])
        console.print(f"{modality}: cosine to the nearest training post {shown[modality]['quantiles']}", markup=False)
        for near, test, train in shown[modality]["closest"]:
            console.print(f"  {near:.4f}  test {test}  train {train}", markup=False)
    return shown


def _named(text: str, choices: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in choices:
            raise WorkbenchError(unknown("relation", name, choices))
    return names


def _beyond(material: Material, relations: list[str], options: audit.LeakOptions, split: dict) -> dict[str, Any]:
    """Look for what is not exactly the same, with a bar for what takes long."""
    key = audit.depends(material.digests, split, material.taxonomy)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def step(relation: str, done: int, total: int) -> None:
            if relation not in tasks:
                what = "edited contents" if relation == "edits" else audit.counted(relation, 2)[2:]
                tasks[relation] = bar.add_task(f"looking for {what}")
            bar.update(tasks[relation], completed=done, total=total)

        sets, asked = material.sets, {"key": key, "progress": step}
        held = {"later_tests": options.later_tests, "store": FeatureStore()}
        found = audit.look(sets, material.taxonomy, relations, **held, **asked)
        for name, rows in audit.seen_through(sets, relations, **asked).items():
            found[name]["edits"] = rows
        return found
