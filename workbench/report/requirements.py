"""What a site needs, held against what a study measured of the model that would be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from workbench.comparison.rows import Comparison
from workbench.report import wording
from workbench.report.section import deployed
from workbench.requirements import MISSED, Requirements, verdict


class Target(NamedTuple):
    """One target: what it is of, what is needed and was measured, in words, and the verdict."""

    what: str
    needed: str
    measured: str
    verdict: str

    def __str__(self) -> str:
        found = f", {self.measured}" if self.measured else ""
        return f"{self.what[0].upper()}{self.what[1:]}, {self.needed}: {self.verdict}{found}."


def held(comparison: Comparison) -> list[Target]:
    """Return every target with what the chosen model is measured to do, missed ones first.

    Empty where no model is chosen, or nothing is required of a label of the study.
    """
    needs = _needs(comparison)
    if needs is None or comparison.chosen is None:
        return []
    found = [*_of_labels(comparison, needs), *_of_machine(comparison, needs)]
    return sorted(found, key=lambda one: one.verdict != MISSED)


def problem(comparison: Comparison) -> str:
    """Return the problem that the study is for, empty where nothing is required of its labels."""
    needs = _needs(comparison)
    return "" if needs is None else needs.problem


def sentences(comparison: Comparison) -> list[str]:
    """Return who asks for what and why, and what is missed, met or not known; empty as `problem`."""
    needs = _needs(comparison)
    if needs is None:
        return []
    objectives = needs.objectives.items()
    reasons = [f"{label.capitalize()}: {one.first} first, since {one.because}." for label, one in objectives]
    return [f"Asked by {needs.asked_by}. {needs.objective}", *reasons, *map(str, held(comparison))]


def _needs(comparison: Comparison) -> Requirements | None:
    """The requirements with the objectives of the study's labels alone, None without any."""
    return comparison.requirements and comparison.requirements.of(comparison.labels)


def _of_labels(comparison: Comparison, needs: Requirements) -> Iterator[Target]:
    """Precision and recall of each label, at the site's mix of posts where the study knows it."""
    for label, objective in needs.objectives.items():
        rows = deployed(comparison, label, comparison.tests[0])
        for metric, target in objective.targets.items():
            row = rows.get(f"{metric}_site", rows.get(metric))
            value, lo, hi = (row.value, row.lo, row.hi) if row else (None, None, None)
            measured = wording.interval(row) if value is not None else ""
            yield Target(f"{metric} of {label}", f"at least {target:g}", measured, verdict(target, value, lo, hi))


def _of_machine(comparison: Comparison, needs: Requirements) -> Iterator[Target]:
    """Time, memory and money, of the machine on which the study ran."""
    cost = next((row for row in comparison.costs if row.model == comparison.chosen), None)
    if (most := needs.latency.ms_per_post) is not None:
        ms = cost and cost.ms_per_post
        yield _at_most("time per post", most, ms, "ms")
    if (most := needs.limits.memory_gb) is not None:
        peak = cost.peak_mb / 1000 if cost and cost.peak_mb is not None else None
        yield _at_most("memory in training", most, peak, "GB")
    if (most := needs.limits.cost_per_day) is not None:
        million = cost and cost.per_million
        known = million is not None and needs.volume is not None and comparison.cost.currency == needs.limits.currency
        spent = million * needs.volume.posts_per_day / 1e6 if known else None
        yield _at_most("cost of a day", most, spent, needs.limits.currency)
    if (most := needs.latency.seconds_to_verdict) is not None:
        yield _at_most("time from post to verdict", most, None, "s")


def _at_most(what: str, most: float, value: float | None, unit: str) -> Target:
    measured = "" if value is None else f"{wording.quantity(value)} {unit}"
    return Target(what, f"at most {most:g} {unit}", measured, verdict(most, value, least=False))
