"""What two models of one table differ by: the planned family with its tests, and every other difference without.

With several seeds a difference is one of recipes (`metrics.intervals.recipe_difference`); of these trained models
alone speaks the permutation, and where it cannot, since one model ties many posts (none at all says the same of every
post), Student's t with the variance of posts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from workbench.comparison.options import BEST, SCORED, Family
from workbench.comparison.resampled import permutation
from workbench.comparison.rows import Difference, Disagreements
from workbench.comparison.table import Table
from workbench.metrics import intervals, testing
from workbench.metrics.intervals import RecipeDifference
from workbench.metrics.table import METRICS

NONE: Mapping[str, str] = MappingProxyType({})
ENOUGH_TO_TEST = 3  # positive groups of a label below which no p is told


def differences(
    tables: Sequence[Table], best: str | None, family: Family, best_member: Mapping[str, str] = NONE
) -> list[Difference]:
    """Return table by table the rows of the settings' pairs, those of the family tested, then all others against best.

    tables: of different test sets; best: the best unimodal model; best_member: of models that are made of others, the
    best of those, which they are compared with too. Holm's correction counts the whole family, on whichever test set,
    whatever of it is here. Posts that every model scored are no test set of a family: there nothing is tested.
    """
    pairs = [_Pair.of(table, named, best) for table in tables for named in _named(table, best, best_member)]
    tested = [
        pair for pair in pairs if pair.table.cell.view != SCORED and family.holds(pair.table.cell.test, pair.named)
    ]
    trained = [pair.permuted() for pair in tested]
    by_variance = [pair.recipes or math.isnan(alone) for pair, alone in zip(tested, trained, strict=True)]
    p = [pair.p if varied else alone for varied, pair, alone in zip(by_variance, tested, trained, strict=True)]
    adjusted = testing.holm(p, len(family))
    numbers = zip(tested, p, trained, adjusted, strict=True)
    tests = {id(pair): pair.tested(*of, len(family)) for pair, *of in numbers}
    return [Difference(**pair.row() | tests.get(id(pair), {})) for pair in pairs]


def _named(table: Table, best: str | None, best_member: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs of a table as they are named: the settings', every other model against the best, and members.

    A pair of which a side has no place in the table is none of its.
    """
    there = {*table.seen, *([BEST] if best in table.seen else [])}
    asked = [pair for pair in table.settings.pairs if there.issuperset(pair)]
    done = {frozenset(best if name == BEST else name for name in pair) for pair in asked} | {frozenset([best])}
    others = [alias for alias in table.seen if BEST in there and frozenset((alias, best)) not in done]
    against = [(alias, BEST) for alias in others]
    done |= {frozenset((alias, best)) for alias in others}
    made_of = [pair for pair in best_member.items() if there.issuperset(pair) and frozenset(pair) not in done]
    return asked + against + made_of


def peers(tables: Sequence[Table], chosen: str | None) -> dict[str, tuple[str, ...]]:
    """Return by test set the models that are not shown to be worse than the chosen one, by Holm's tests of them all."""
    pairs = [
        _Pair.of(table, (chosen, alias), None)
        for table in tables
        for alias in table.seen
        if chosen is not None and alias != chosen
    ]
    found = [pair.found() for pair in pairs]
    equal: dict[str, list[str]] = {table.cell.test: [] for table in tables}
    for pair, row, p in zip(pairs, found, testing.holm([row.p for row in found]), strict=True):
        settings = pair.table.settings
        if not (p < settings.alpha and METRICS[settings.metric].sign * row.delta > 0):
            equal[pair.table.cell.test].append(pair.b)
    return {test: tuple(models) for test, models in equal.items()}


@dataclass(frozen=True)
class _Pair:
    """Two models of a table, as a study names them and as they are, and the interval of each."""

    table: Table
    named: tuple[str, str]
    a: str
    b: str
    own: tuple[tuple[float, float], tuple[float, float]]

    @classmethod
    def of(cls, table: Table, named: tuple[str, str], best: str | None) -> _Pair:
        metric, _, k = table.compared
        a, b = (best if name == BEST else name for name in named)
        units = table.place(k, site=METRICS[metric].site)["effective"]
        spans = (table.spanned(alias, metric, k, units) for alias in (a, b))
        return cls(table, named, a, b, tuple((span["lo"], span["hi"]) for span in spans))

    def found(self, alpha: float | None = None) -> RecipeDifference:
        """Return the difference with its interval at a level, by default the settings'."""
        table, (metric, m, k) = self.table, self.table.compared
        about = {"alpha": alpha or table.settings.alpha, "top": METRICS[metric].top, "own": self.own}
        draws = table.draws[self.a][m, k], table.draws[self.b][m, k]
        return intervals.recipe_difference(*draws, self.left_out, **about)

    @property
    def left_out(self) -> np.ndarray:
        """The difference without each block of groups (blocks,)."""
        _, m, k = self.table.compared
        return self.table.left_out[self.a][m, k] - self.table.left_out[self.b][m, k]

    @property
    def recipes(self) -> bool:
        """Whether training again would move either side, so that the difference is one of recipes."""
        return any(self.found().training)

    @property
    def labels(self) -> list[int]:
        return np.flatnonzero(self.table.columns(self.table.compared[2])).tolist()

    @property
    def enough(self) -> bool:
        """Whether every compared label has the positive groups without which there is no test."""
        return bool(self.labels) and bool((self.table.cell.positive_groups[self.labels] >= ENOUGH_TO_TEST).all())

    @property
    def p(self) -> float:
        """The p of "no difference" by the variance of posts and trainings, NaN where too little is there to test."""
        return self.found().p if self.enough else math.nan

    def permuted(self) -> float:
        """Return the p of "these trained models are exchangeable", NaN where it cannot be told."""
        if not self.enough:
            return math.nan
        sides, settings = (self.table.seen[name] for name in (self.a, self.b)), self.table.settings
        return permutation(*sides, self.labels, settings.metric, settings.draws)[1]

    def tested(self, p: float, trained: float, adjusted: float, tests: int) -> dict[str, Any]:
        """Return what a row of the family has beside: its p's and what they and the interval show."""
        settings = self.table.settings
        outer, inner = self.found(), self.found(2 * settings.alpha / tests)
        about = {"margin": settings.margin, "sign": METRICS[settings.metric].sign, "alpha": settings.alpha}
        verdict = testing.verdict(adjusted, (outer.lo, outer.hi), (inner.lo, inner.hi), **about)
        tested = {"p": p, "p_trained": trained, "p_holm": float(adjusted), "verdict": verdict}
        return tested | {"primary": True, "disagreements": self._disagreements()}

    def row(self) -> dict[str, Any]:
        """Return the fields of a difference without its test, with what this test set could find and what more takes.

        What the margin needs is counted in groups with a positive, of all compared labels together.
        """
        table, (metric, _, k) = self.table, self.table.compared
        settings, found, inner = table.settings, self.found(), self.found(2 * table.settings.alpha)
        place, have = table.place(k, site=METRICS[metric].site), int(table.cell.positive_groups[self.labels].sum())
        chance, needed = {"alpha": settings.alpha, "power": settings.power}, None
        if have and not math.isnan(found.posts):
            about = {"training": sum(found.training), **chance}
            needed = testing.positives_needed(settings.margin, math.sqrt(found.posts), have, **about)
        return place | {
            "a": self.a,
            "b": self.b,
            "pair": self.named,
            "metric": metric,
            "few": place["few"] or (table.cell.uneven and intervals.decided_by_few(self.left_out)),
            "delta": found.delta,
            "lo": found.lo,
            "hi": found.hi,
            "recipes": self.recipes,
            "equivalent_within": max(abs(inner.lo), abs(inner.hi)),
            "se": found.se,
            "positive_groups": have,
            "detectable": testing.detectable(found.se, **chance),
            "groups_for_margin": needed,
            "seeds_to_halve": testing.seeds_to_halve(found, settings.alpha),
        }

    def _disagreements(self) -> list[Disagreements]:
        """Return per label how many groups of posts only one model decides rightly (first seeds), and McNemar's p."""
        rows, cell = [], self.table.cell
        for k in self.labels:
            right = [self.table.seen[name].flagged[0, :, k] == cell.y[:, k] for name in (self.a, self.b)]
            known = cell.known[:, k]
            only_a, only_b, p = testing.mcnemar(right[0][known], right[1][known], cell.codes[known])
            rows.append(Disagreements(label=self.table.labels[k], only_a=only_a, only_b=only_b, p=p))
        return rows
