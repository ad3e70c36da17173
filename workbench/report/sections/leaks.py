"""What stands on both sides of the split, what is near, and what could give a label away without its post."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import pyarrow as pa

from workbench.comparison.options import LEAK_ALPHA, MACRO, MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, LeakTest
from workbench.comparison.run_files import Overlap
from workbench.corpora.splits import SPLITS
from workbench.evidence.audit import looking
from workbench.evidence.audit.looking import LOOKS
from workbench.evidence.audit.relations import NAMES
from workbench.metrics.table import METRICS, PROBABILITY
from workbench.report import gallery, wording
from workbench.report.section import Section, table

_TABLES = {
    "examples": "what was found, by example",
    "shortcuts": "what a label can be told from without its post: the columns that tell most",
}
_SHOWN = {
    **dict.fromkeys(("image", "near_image", "template"), ("image",)),
    **dict.fromkeys(("video", "near_video"), ("video",)),
    "still": ("image", "video"),
}
PAIRS = 3  # of a relation
COLUMNS = 8  # of metadata, as many as the table of shortcuts shows


def overlaps(runs: Sequence[Run], posts: pa.Table | None = None) -> Section | None:
    """The findings of the leak gate: exact ones of a run's own record, others as looked for before the study ran.

    posts: the corpus, for showing pairs of pictures and clips, or None where it is not at hand.
    """
    metrics = next((run.metrics for run in runs if run.metrics.overlap), None)
    if metrics is None:
        return None
    beyond = looking.recorded(runs[0].folder.parent, metrics.digests)
    every = {name: Overlap.model_validate(finding) for name, finding in beyond.items()} | metrics.overlap
    section = found(every, {} if posts is None else dict.fromkeys(SPLITS, posts), PAIRS)
    prose = section.prose
    left = [NAMES[name][1] for name in LOOKS if name not in every]
    if left:
        prose += f" Not looked for before these runs: {', '.join(left)}; `workbench audit` does."
    if metrics.dropped:
        prose += (
            f" {metrics.dropped:,} posts are in no set: the cut, by community or time, would have put some of their "
            "group on its other side."
        )
    return replace(section, prose=prose)


def found(findings: Mapping[str, Overlap], sets: Mapping[str, pa.Table], pairs: int | None = None) -> Section:
    """Findings by relation: how many, examples, what tells labels, which edits are seen through, and pairs of media.

    sets: the posts that findings name, by set, as far as they are at hand; pairs: how many of a relation, None for all.
    """
    findings = {name: findings[name] for name in NAMES if name in findings}
    tables = {"": table({NAMES[name][1]: _row(finding) for name, finding in findings.items()})}
    tables |= {_TABLES["examples"]: shown} if len(shown := _examples(findings)) else {}
    tables |= {_TABLES["shortcuts"]: shown} if len(shown := _shortcuts(findings.get("shortcut", Overlap()))) else {}
    told = edits(findings)
    points = {"What is found of training posts that are edited and posted again": told} if told else {}
    prose = (
        "The same group, words, picture or clip on both sides of the split would make the test a test of memory. A "
        "study stops there, or where a relation that it names is found, unless it says why it accepts it; the rest is "
        "only counted."
    )
    if any(finding.not_compared for finding in findings.values()):
        prose += " What is too short, cannot be read, or is even throughout, was not compared with anything."
    title = "Does the same post stand on both sides of the split?"
    return Section("overlaps", title, prose, tables=tables, fragment=_pairs(findings, sets, pairs), points=points)


def _row(leak: Overlap) -> dict[str, str]:
    return {
        "on both sides": f"{leak.overlap:,} of {leak.of:,}",
        "posts concerned": f"{leak.posts:,}",
        "not compared": f"{leak.not_compared:,}",
        "accepted because": leak.allowed,
    }


def _examples(leaks: Mapping[str, Overlap]) -> pd.DataFrame:
    """The first examples of each relation that has some: where it stands and what it is."""
    rows = [
        {
            "what": NAMES[name][0],
            "where": ", ".join(f"{split} {post_id}" for split, post_id in example.posts) or MAIN,
            "content": example.content,
        }
        for name, leak in leaks.items()
        if name != "author"
        for example in leak.examples[:2]
    ]
    return pd.DataFrame(rows).set_index("what").rename_axis(None) if rows else pd.DataFrame()


def _pairs(leaks: Mapping[str, Overlap], sets: Mapping[str, pa.Table], most: int | None) -> str:
    """The pictures and clips of the first examples, blurred, beside what the gate takes them for."""
    parts = []
    for name, columns in _SHOWN.items():
        examples = leaks[name].examples if name in leaks else ()
        pairs = [(example.content, example.posts) for example in examples[:most]]
        cards = gallery.side_by_side(sets, columns, pairs)
        parts.append(f"<h3>{NAMES[name][1].capitalize()}, blurred for good</h3>{cards}" if cards else "")
    return "".join(parts)


def edits(leaks: Mapping[str, Overlap]) -> list[str]:
    """Of how many contents that were edited on purpose the edit is seen through, a sentence for each relation."""
    told = []
    for name, leak in leaks.items():
        tried = [row for row in leak.edits if row.of]
        parts = []
        for found, of in sorted({(row.found, row.of) for row in tried}, key=lambda pair: -pair[0] / pair[1]):
            which = ", ".join(row.edit for row in tried if (row.found, row.of) == (found, of))
            parts.append(f"{'all' if found == of else found or 'none'} of {of} ({which})")
        told += [f"{NAMES[name][1].capitalize()}: {'; '.join(parts)}."] if parts else []
    return told


def _shortcuts(record: Overlap) -> pd.DataFrame:
    """Average precision of columns for each label, those that tell most first, with a mark at what is too good."""
    told: dict[str, float] = {}
    for row in record.scores:
        if row.average_precision is not None and row.prevalence is not None and row.prevalence < 1:
            rescaled = (row.average_precision - row.prevalence) / (1 - row.prevalence)
            told[row.fields] = max(rescaled, told.get(row.fields, rescaled))
    caught = {row.fields for row in record.scores if row.shortcut}
    first = sorted(told, key=lambda fields: (fields not in caught, -told[fields]))
    shown = first[: max(COLUMNS, len(caught))]
    cells: dict[str, dict[str, str]] = {}
    for row in record.scores:
        mark = " (a shortcut)" if row.shortcut else ""
        cells.setdefault(row.fields, {})[row.label] = (
            f"{wording.value('average_precision', row.average_precision)}{mark}"
        )
        cells.setdefault("a random order", {})[row.label] = wording.value("average_precision", row.prevalence)
    return table({name: cells[name] for name in ["a random order", *shown]} if cells else {})


def ceilings(comparison: Comparison) -> Section | None:
    """Every model against what the exact probabilities of what it sees are worth, and what the leak test can find."""
    leaks, limits = comparison.leak_test, comparison.late_fusion_limit
    if not leaks:
        return None
    name = leaks[0].metric
    best = METRICS[name].optimum
    prose = (
        f"Here the exact probabilities are known. A model's ceiling is what the {best} of all that it sees is worth on "
        "these very posts, with an interval for other posts: in the long run no model beats it, on one sample one may "
        "by luck. The leak test asks of each label whether a model beats it by more than luck (one-sided, Holm, below "
        f"{LEAK_ALPHA:g}). {_beaten(leaks, comparison.compare.power)}"
    )
    lines = {
        (row.model, wording.label(row.label)): {
            wording.column(name): wording.value(name, row.value),
            best: wording.span(row.ceiling, row.ceiling_lo, row.ceiling_hi, digits=METRICS[name].digits),
            "difference": wording.difference(row),
            "p (Holm)": wording.p(row.p_holm),
            "finds a leak from": _share(row),
        }
        for row in leaks
    }
    tables = {f"against the {best}": table(lines, [row.id for row in leaks], {"difference": ""})}
    if limits:
        at_most = f"at most, {wording.metric(name)}"
        reach = {wording.label(row.label): {at_most: wording.interval(row)} for row in limits}
        tables["what adding up one calibrated text and one calibrated picture probability can reach"] = table(reach)
        prose += (
            " The last table is the limit of putting together one calibrated probability of the text and one of the "
            "picture or clip, as by adding them up; it is no bound for scores that tell more than their probability."
        )
    return Section("ceilings", "Is it too good to be true?", prose, {}, tables)


def _beaten(rows: Sequence[LeakTest], power: float) -> str:
    tripped = [f"{row.model} ({wording.label(row.label)})" for row in rows if row.tripped]
    few = sorted({wording.label(row.label) for row in rows if row.tripped is None})
    rest = f" Not tested, for lack of positives: {', '.join(few)}." if few else ""
    if tripped:
        who = ", ".join(tripped)
        return f"It is tripped by {who}: what is better than its inputs allow has seen something it should not.{rest}"
    if all(row.tripped is None for row in rows):
        return f"It says nothing here.{rest}"
    return f"No model is provably better than its inputs allow.{rest} {_unfound(rows, power)}"


def _unfound(rows: Sequence[LeakTest], power: float) -> str:
    """Return which leaks may be there all the same: per model the smallest that would be found, over all its labels."""
    tested = [row for row in rows if row.tripped is not None]
    place = MACRO if any(row.label == MACRO for row in tested) else tested[0].label
    shown = [row for row in tested if row.label == place]
    posts = "test posts" if METRICS[rows[0].metric].kind is PROBABILITY else "harmful test posts"
    below = [f"{_share(row)} ({row.model})" for row in shown if row.detectable_leak is not None]
    never = [row.model for row in shown if row.detectable_leak is None]
    said = [f"less than {', '.join(below)} of the {posts}"] if below else []
    said += [f"any size for {', '.join(never)}"] if never else []
    return (
        f"It finds a leak with {100 * power:g} % probability where the model has memorised at least the last column's "
        f"share of the {posts}; a leak of {' and one of '.join(said)} would not have been found "
        f"({wording.label(place)})."
    )


def _share(row: LeakTest) -> str:
    """Return the least leak that would be found, rounded up so that what is said to be found is."""
    if row.detectable_leak is None:
        return "–" if row.tripped is None else "none"
    return f"{math.ceil(100 * row.detectable_leak - 1e-9)} %"
