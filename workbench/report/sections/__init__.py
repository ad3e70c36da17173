"""What a comparison says, section by section: the answer in words first, then every number it rests on.

Numbers come from `comparison.json`; only curves and the worst errors go back to the predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from workbench.comparison.options import MAIN, SCORED
from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, ModelRow, path
from workbench.metrics.plots import curves
from workbench.metrics.table import METRICS, headline
from workbench.report import gallery, labelled, wording
from workbench.report.section import Section, table, winning
from workbench.report.sections.bias import bias
from workbench.report.sections.calibration import calibration
from workbench.report.sections.cost import cost
from workbench.report.sections.differences import differences
from workbench.report.sections.disagreement import disagreement
from workbench.report.sections.labels import labels
from workbench.report.sections.leaks import ceilings, overlaps
from workbench.report.sections.prevalence import prevalence
from workbench.report.sections.provenance import checklist, provenance, search_table
from workbench.report.sections.slices import slices
from workbench.report.sections.suites import suites
from workbench.report.wording import summary

__all__ = ["MAIN", "Section", "sections"]


def sections(comparison: Comparison, runs: Sequence[Run], posts: pa.Table | None = None) -> list[Section]:
    """Return the report's sections; those that a comparison has nothing for are left out.

    posts: the corpus, for showing the worst errors and pairs of near pictures; without it none are shown.
    """
    candidates = [
        _answer(comparison, runs),
        _transfer(comparison),
        _values(comparison),
        differences(comparison),
        *labels(comparison, runs),
        prevalence(comparison, runs),
        calibration(comparison, runs),
        _everything(comparison),
        *_further_tests(comparison),
        slices(comparison, runs),
        bias(comparison, runs),
        disagreement(comparison, runs),
        *suites(comparison),
        _searches(runs),
        overlaps(runs, posts),
        ceilings(comparison),
        _errors(comparison, runs, posts),
        cost(comparison),
        provenance(comparison, runs),
        checklist(comparison, runs),
    ]
    return [section for section in candidates if section is not None]


# ------------------------------------------------------------------------------------------------------- the sections


def _answer(comparison: Comparison, runs: Sequence[Run]) -> Section:
    """The question, answered in sentences; what people would notice, how sure it is; which posts it rests on."""
    rests, points = labelled.first_page(runs), summary.points(comparison, runs)
    if rests.lines or rests.tables or rests.folded:
        points["Which posts are these?"] = rests.lines
    folded = {"folded": rests.folded, "folded_points": rests.folded_lines}
    answer = " ".join(wording.answer(comparison))
    return Section("answer", "The answer", answer, points=points, tables=rests.tables, **folded)


def _transfer(comparison: Comparison) -> Section | None:
    """The compared metric of every model on every test set, also on those that the study does not compare."""
    asked, lines, addresses = comparison.compare, {}, {}
    by_test = {test: rows for test in comparison.items if (rows := comparison.rows(test=test)) and rows[0].n}
    if len(by_test) < 2:
        return None
    for test, rows in by_test.items():
        harmful = f"{rows[0].n:,} posts, {wording.percent(rows[0].prevalence)} harmful"
        column = f"{wording.test_set(test)}: {harmful}{'' if test in comparison.tests else ', not compared'}"
        for row in rows:
            lines.setdefault(row.model, {})[column] = wording.interval(row)
            addresses[row.model, column] = row.id
    what = f"{wording.metric(asked.metric)}, {wording.measured_on(asked)}, {wording.view(asked.view)}"
    prose = (
        f"{what[0].upper()}{what[1:]}: a row for each model, a column for each test set, with "
        f"{100 * (1 - asked.alpha):g} % intervals. Models, calibration and thresholds are the same on all of them, and "
        "none of these sets trained or chose them."
    )
    if asked.metric != "roc_auc":
        prose += " Where it depends on the share of harmful posts, columns are to be read down and not across."
    frame = table(lines)
    frame.attrs["addresses"] = addresses
    return Section("transfer", "Does it hold on other posts?", prose, {}, {"": frame})


def _values(comparison: Comparison) -> Section:
    asked, figures, tables = comparison.compare, {}, {}
    by_test = {test: comparison.rows(test=test) for test in comparison.tests}
    rows = [row for of_test in by_test.values() for row in of_test]
    what = f"{wording.metric(asked.metric)}, {wording.measured_on(asked)}, {wording.view(asked.view)}"
    trained = " and in other trainings" if any(row.seed_sd for row in rows) else ""
    prose = (
        f"{what[0].upper()}{what[1:]}. "
        f"Dots are means over seeds on the same posts; bars say how far the value would move on other posts{trained} "
        f"({100 * (1 - asked.alpha):g} %, bootstrap over groups of posts); the table has the seeds' own spread."
    )
    if any(row.ceiling is not None for row in rows):
        prose += (
            f" A tick is what the {METRICS[asked.metric].optimum} of what a model sees is worth on these very posts, "
            "the thin line its own interval: in the long run no model is better, on one sample one may be by luck."
        )
    prose = " ".join([prose, *(wording.coverage(comparison) if wording.alone(comparison) else ())])
    for test, of_test in by_test.items():
        name, dots = wording.caption(comparison, "every model with its interval", test), _dots(comparison, of_test)
        figures[name] = partial(_drawn, dots)
        tables[wording.caption(comparison, "", test)] = _value_table(comparison, asked.view, test)
    for test in comparison.tests:
        scored = _value_table(comparison, SCORED, test)
        if not scored.empty:
            tables[wording.caption(comparison, "on the posts that every model scored", test)] = scored
    several = len(figures) > 1
    return Section("values", "How good is each model?", prose, figures, tables, captions=several)


def _drawn(dots: Sequence[curves.Dot], theme: str) -> Figure:
    return curves.values(dots, theme=theme)


def _dots(comparison: Comparison, rows: Sequence[ModelRow]) -> list[curves.Dot]:
    """Return what a figure draws of the rows; a ceiling's interval is known where the leak test was made."""
    tests = {(test.test, test.model, test.label, test.metric): test for test in comparison.leak_test}
    ends = [
        tests.get((row.test, row.model, row.label, row.metric)) if row.ceiling is not None else None for row in rows
    ]
    return [
        curves.Dot(
            **{name: getattr(row, name) for name in ("model", "label", "view", "metric", "value", "lo", "hi")},
            ceiling=row.ceiling,
            few=row.few,
            ceiling_lo=test and test.ceiling_lo,
            ceiling_hi=test and test.ceiling_hi,
        )
        for row, test in zip(rows, ends, strict=True)
    ]


def _value_table(comparison: Comparison, view: str, test: str) -> pd.DataFrame:
    """One row per model: the compared metric with its company, the headline, the costs."""
    asked, lines = comparison.compare, {}
    others = [name for name in headline() if name != asked.metric]
    for model in comparison.names:
        metrics = {row.metric: row for row in comparison.rows(model=model, metric=None, view=view, test=test)}
        main = metrics.get(asked.metric)  # a metric at the site's mix is one of several only where weights differ
        if main is None:
            continue
        lines[model] = {
            wording.metric(asked.metric): wording.interval(main),
            **_of_the_best(main),
            "seeds' sd": wording.value(asked.metric, main.seed_sd),
            **{wording.column(name): wording.value(name, metrics[name].value) for name in others if name in metrics},
            "coverage": wording.percent(main.coverage),
            "ms per post": wording.number(main.ms_per_post, 2),
            "peak MB": wording.number(main.peak_mb, 0),
            "parameters": wording.count(main.parameters),
            "training, s": wording.number(main.fit_seconds, 1),
        }
    places = [path(test, view, asked.label, model) for model in lines]
    cells = {wording.column(name): name for name in others} | {wording.metric(asked.metric): asked.metric}
    return table(lines, places, cells)


def _of_the_best(row: ModelRow) -> dict[str, str]:
    """Return the column on the ceiling: the share of it that is reached, or, where less is better, the ceiling."""
    if METRICS[row.metric].sign < 0:
        return {METRICS[row.metric].optimum: wording.value(row.metric, row.ceiling)}
    share = row.value / row.ceiling if row.ceiling and row.value is not None else None
    return {f"of the {METRICS[row.metric].optimum}": wording.percent(share)}


def _everything(comparison: Comparison) -> Section | None:
    other = "all" if comparison.compare.view == "paired" else "paired"
    values = {
        wording.caption(comparison, "", test): frame
        for test in comparison.tests
        if not (frame := _value_table(comparison, other, test)).empty
    }
    if not values:
        return None
    prose = (
        f"The same numbers on {wording.view(other)}. A post that a model cannot see counts with the model's training "
        "prevalence when posts are ranked and as not flagged in precision and recall; coverage says how many it sees."
    )
    return Section("all", f"And on {wording.view(other)}?", prose, {}, values)


_FURTHER = ("recall", "true_negative_rate", "f1_macro", "roc_auc")  # the metrics of its columns


def _further_tests(comparison: Comparison) -> Iterator[Section]:
    """Further test sets: the harmful and the harmless half apart, since their mix is the set's and not a site's."""
    for test in (name for name in comparison.items if name != MAIN):
        lines: dict[tuple[str, str], dict[str, str]] = {}
        for label in comparison.labels:
            for model in comparison.names:
                rows = comparison.rows(model=model, label=label, view="all", test=test, metric=None)
                metrics = {row.metric: row for row in rows}
                if not metrics or not metrics["recall"].n:
                    continue
                lines[label, model] = {
                    "harmful posts caught": wording.interval(metrics["recall"]),
                    "harmless posts passed": wording.interval(metrics["true_negative_rate"]),
                    "F1, mean of both classes": wording.interval(metrics["f1_macro"]),
                    "ROC AUC": wording.interval(metrics["roc_auc"]),
                    "posts": f"{metrics['recall'].n} ({metrics['recall'].positives} harmful)",
                }
        if lines:
            places = [path(test, "all", *place) for place in lines]
            cells = dict(zip(next(iter(lines.values())), _FURTHER, strict=False))
            prose = (
                "The two halves stand apart: one number over both would depend on how many harmful posts the set holds."
            )
            yield Section(f"test-{test}", f"On {test}", prose, {}, {"": table(lines, places, cells)})


def _searches(runs: Sequence[Run]) -> Section | None:
    """By which options each model is trained, and how they were found."""
    records = {run.alias: run.metrics.search for run in runs if run.metrics.search}
    if not records:
        return None
    prose, trials = search_table(records)
    return Section("search", "How were hyperparameters chosen?", prose, {}, {"": trials})


def _errors(comparison: Comparison, runs: Sequence[Run], posts: pa.Table | None) -> Section | None:
    run = winning(comparison, runs)
    if run is None:
        return None
    if posts is None:
        prose = "The posts are not at hand here, or have changed since they were scored, so none can be shown."
        return Section("errors", "Where does the best model fail?", prose)
    misses, alarms = gallery.worst_errors(run)
    sides = {"Missed": misses, "Flagged, but harmless": alarms}
    fragment = "".join(
        f"<h3>{title}</h3>{gallery.gallery(posts, errors) if errors else '<p>None.</p>'}"
        for title, errors in sides.items()
    )
    prose = f"What {run.alias} got most wrong on the test set. Pictures are blurred for good; texts open on a click."
    return Section("errors", "Where does the best model fail?", prose, fragment=fragment)
