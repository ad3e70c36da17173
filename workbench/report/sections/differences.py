"""Which differences between models are real, how large they can be, and what it would take to know better."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.options import SCORED
from workbench.comparison.rows import Comparison, Difference
from workbench.metrics.plots import curves
from workbench.metrics.table import METRICS
from workbench.report import wording
from workbench.report.section import Section, addressed, table


def differences(comparison: Comparison) -> Section | None:
    """Return the section: every difference with its interval, what it shows, and what would show more."""
    rows = comparison.differences
    if not rows:
        return None
    asked = comparison.compare
    sure, found = f"{100 * (1 - asked.alpha):g} %", f"{100 * asked.power:g} %"
    prose = (
        f"{_family(comparison)} {_direction(asked.metric)}An interval that holds zero is no proof that two models are "
        f"equal: “at most” says how large the difference is with {sure} confidence, “equivalent” and “no worse” that "
        f"it is below {asked.margin:g}. A test set like this one finds differences from “found from” on with {found} "
        f"probability; to find {asked.margin:g} as surely it would have to hold as many independent harmful posts, of "
        f"all labels together, as “needed” says, where more posts are enough.{_trained(rows)}"
    )
    frame = pd.DataFrame(
        [_line(row, recipes=any(other.recipes for other in rows)) for row in rows],
        index=pd.Index([_named(row) for row in rows]) if _one_place(comparison) else _by_place(rows),
    )
    addressed(frame, [row.id for row in rows], {"difference": ""})
    figures = {}
    for test, view in dict.fromkeys((row.test, row.view) for row in rows):
        name = wording.caption(comparison, "differences with intervals", test)
        name += "" if view == asked.view else f", {wording.view(view)}"
        figures[name] = partial(_drawn, [row for row in rows if (row.test, row.view) == (test, view)])
    apart = _apart(rows, comparison)
    tables = {"": frame} | (
        {"posts that only one of two models decides rightly (first seeds; p as it is, not corrected)": apart}
        if len(apart)
        else {}
    )
    return Section("differences", "Which differences are real?", prose, figures, tables, captions=len(figures) > 1)


def _drawn(rows: Sequence[Difference], theme: str) -> Figure:
    return curves.differences(rows, theme=theme)


def _line(row: Difference, *, recipes: bool) -> dict[str, str]:
    return {
        "difference": wording.difference(row),
        "p (Holm)": wording.p(row.p_holm) if row.primary else "exploratory",
        **({"p, these trainings": wording.p(row.p_trained)} if recipes else {}),
        "shows": wording.plain(row.verdict),
        "at most": wording.value(row.metric, row.equivalent_within),
        "found from": wording.value(row.metric, row.detectable),
        "needed": wording.count(row.groups_for_margin),
    }


def _named(row: Difference) -> str:
    return " − ".join(wording.sides(row))


def _one_place(comparison: Comparison) -> bool:
    """Whether all differences are of one test set and view, which then needs no name."""
    return wording.alone(comparison) and len({row.view for row in comparison.differences}) == 1


def _place(row: Difference) -> str:
    return wording.test_set(row.test) + (f", {wording.view(row.view)}" if row.view == SCORED else "")


def _by_place(rows: Sequence[Difference]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples([(_place(row), _named(row)) for row in rows])


def _apart(rows: Sequence[Difference], comparison: Comparison) -> pd.DataFrame:
    """Return per pair and label how many groups of posts only one model is right about, and McNemar's exact p."""
    lines = {
        (*(() if _one_place(comparison) else (_place(row),)), _named(row), part.label): {
            "only the first right": wording.count(part.only_a),
            "only the second right": wording.count(part.only_b),
            "p (McNemar)": wording.p(part.p),
        }
        for row in rows
        for part in row.disagreements
    }
    return table(lines)


def _trained(rows: Sequence[Difference]) -> str:
    """What several trainings change, where there are several."""
    if not any(row.recipes for row in rows):
        return ""
    several = len({row.test for row in rows}) > 1
    halved = [
        f"{row.a} and {row.b}{f' on {wording.test_set(row.test)}' if several else ''} {row.seeds_to_halve:,.0f}"
        for row in rows
        if row.primary and row.seeds_to_halve
    ]
    seeds = f" To halve its interval by more seeds alone takes a model of {'; of '.join(halved)}." if halved else ""
    return (
        " Intervals and p (Holm) speak of recipes, trained on other seeds too; “p, these trainings” of the models as "
        f"they were trained, by swapping their scores of whole groups of posts at random.{seeds}"
    )


def _direction(metric: str) -> str:
    if METRICS[metric].sign > 0:
        return ""
    return f"Of {wording.metric(metric)} less is better: a difference below 0 is in favour of the first model. "


def _family(comparison: Comparison) -> str:
    """What is planned and what is not, as far as it is on record, and where p comes from."""
    plan = comparison.made_from and comparison.made_from.plan
    said = [plan.words] if plan and plan.words else []
    if not any(row.primary for row in comparison.differences):
        waits = "What the study asked waits for models without a run on these posts, and what is here is exploratory."
        asked = "What the study asks was not planned before anything was scored, so all of this is exploratory."
        nothing = "The study asked for no comparison, so all of this is exploratory."
        return " ".join([*said, asked if comparison.asked_later else waits if comparison.missing else nothing])
    chosen = (
        f"was chosen before {'anything was scored' if plan is None or plan.first else 'the scoring that stands here'}"
        if comparison.planned
        else "is what the study's file asks, of which no plan says that it stood there before anything was scored,"
    )
    primary = [row for row in comparison.differences if row.primary and row.p is not None]
    student = "p comes from swapping both models' scores of whole groups of posts at random"
    if any(row.recipes for row in primary):
        student = "p is Student's, with the variance that other posts and other trainings give the difference"
    elif any(row.p_trained is None for row in primary):
        student += ", or where one of them says the same of many posts is Student's, with the variance of other posts"
    every = "" if wording.alone(comparison) else " on all compared test sets together"
    tested = (
        f"What has a p {chosen} and is corrected for how many there are{every} (Holm); {student}. The rest is "
        "exploratory."
    )
    return " ".join([*said, tested])
