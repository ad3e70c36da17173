"""What stands on both sides of the split, what is near, and what could give a label away without its post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from workbench.comparison.options import LEAK_ALPHA, MAIN
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, LeakTest
from workbench.comparison.run_files import Overlap
from workbench.evidence.audit import looking
from workbench.evidence.audit.looking import LOOKS
from workbench.evidence.audit.relations import NAMES
from workbench.report import wording
from workbench.report.section import Section, table

_TABLES = {"examples": "what was found, by example", "shortcuts": "what a label can be told from without its post"}


def overlaps(runs: Sequence[Run]) -> Section | None:
    """The findings of the leak gate: exact ones of a run's own record, others as looked for before the study ran."""
    metrics = next((run.metrics for run in runs if run.metrics.overlap), None)
    if metrics is None:
        return None
    beyond = looking.recorded(runs[0].folder.parent, metrics.digests)
    findings = {name: Overlap.model_validate(finding) for name, finding in beyond.items()} | metrics.overlap
    findings = {name: findings[name] for name in NAMES if name in findings}
    tables = {"": table({NAMES[name][1]: _row(finding) for name, finding in findings.items()})}
    tables |= {_TABLES["examples"]: shown} if len(shown := _examples(findings)) else {}
    tables |= {_TABLES["shortcuts"]: shown} if len(shown := _shortcuts(findings.get("shortcut", Overlap()))) else {}
    prose = (
        "The same group, words, picture or clip on both sides of the split would make the test a test of memory. A "
        "study stops there, or where a relation that it names is found, unless it says why it accepts it; the rest is "
        "only counted."
    )
    left = [NAMES[name][1] for name in LOOKS if name not in findings]
    if left:
        prose += f" Not looked for before these runs: {', '.join(left)}; `workbench audit` does."
    if any(finding.not_compared for finding in findings.values()):
        prose += " What could not be read, or is even throughout, was not compared with anything."
    if metrics.dropped:
        prose += (
            f" {metrics.dropped:,} posts are in no set: the cut, by community or time, would have put some of their "
            "group on its other side."
        )
    return Section("overlaps", "Does the same post stand on both sides of the split?", prose, {}, tables)


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


def _shortcuts(record: Overlap) -> pd.DataFrame:
    """Average precision of each set of fields for each label, with a mark at what is too good."""
    cells: dict[str, dict[str, str]] = {}
    for row in record.scores:
        mark = " (a shortcut)" if row.shortcut else ""
        cells.setdefault(row.fields, {})[row.label] = (
            f"{wording.value('average_precision', row.average_precision)}{mark}"
        )
        cells.setdefault("a random order", {})[row.label] = wording.value("average_precision", row.prevalence)
    return table(cells)


def ceilings(comparison: Comparison) -> Section | None:
    leaks, limits = comparison.leak_test, comparison.late_fusion_limit
    if not leaks:
        return None
    name, metric = leaks[0].metric, wording.metric(leaks[0].metric)
    prose = (
        f"Here the best possible {metric} with what a model sees is known exactly. The leak test asks of each label "
        f"whether a model beats it (one-sided, Holm, below {LEAK_ALPHA:g}). {_beaten(leaks)}"
    )
    lines = {
        (row.model, wording.label(row.label)): {
            wording.column(name): wording.value(name, row.value),
            "best possible": wording.value(name, row.ceiling),
            "difference": wording.difference(row),
            "p (Holm)": wording.p(row.p_holm),
        }
        for row in leaks
    }
    tables = {"against the best possible": table(lines, [row.id for row in leaks], {"difference": ""})}
    if limits:
        reach = {wording.label(row.label): {f"limit of late fusion, {metric}": wording.interval(row)} for row in limits}
        tables["what fusing one text score and one picture score can reach"] = table(reach)
    return Section("ceilings", "Is it too good to be true?", prose, {}, tables)


def _beaten(rows: Sequence[LeakTest]) -> str:
    tripped = [f"{row.model} ({wording.label(row.label)})" for row in rows if row.tripped]
    few = sorted({wording.label(row.label) for row in rows if row.tripped is None})
    rest = f" Not tested, for lack of positives: {', '.join(few)}." if few else ""
    if tripped:
        who = ", ".join(tripped)
        return f"It is tripped by {who}: what is better than its inputs allow has seen something it should not.{rest}"
    if all(row.tripped is None for row in rows):
        return f"It says nothing here.{rest}"
    return (
        "No model is provably better than its inputs allow. That finds what lifts a model above the best possible, and "
        f"nothing else: a leak that leaves it below does not show here.{rest}"
    )
