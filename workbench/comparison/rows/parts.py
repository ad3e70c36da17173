"""Rows on parts of the posts: slices, mentions of identities, several annotators, functional suites."""

from __future__ import annotations

from pydantic import Field

from workbench.comparison.options import MAIN
from workbench.comparison.rows.values import CountedInterval, Interval, Number, PlainRow, path


class RateTest(Interval):
    """A rate on a slice, against the rest of the posts."""

    rest: Number
    delta: Number
    delta_lo: Number
    delta_hi: Number
    p: Number
    p_holm: Number


class ModelLabelRow(PlainRow):
    """A row of one model for one label."""

    model: str
    label: str


class PartRow(ModelLabelRow):
    """A row on a part of the posts."""

    n: int
    positives: int
    negatives: int
    few: bool


class SliceRow(PartRow):
    """One model on one slice; gap: by how much, at least, the worse of the tested rates is worse than in the rest."""

    column: str
    slice: str
    prevalence: Number
    average_precision: Interval
    roc_auc: Interval
    precision: Interval
    recall: RateTest
    false_positive_rate: RateTest
    gap: Number
    test: str = MAIN

    @property
    def address(self) -> str:
        """The address of its numbers up to the metric, with its test set where that is not the study's own."""
        place = () if self.test == MAIN else (self.test,)
        return path("slice", *place, self.column, self.slice, self.label, self.model)


class IdentityRow(PartRow):
    """One model on the posts that mention one identity."""

    test: str
    identity: str
    subgroup_auc: Interval
    bpsn_auc: Interval
    bnsp_auc: Interval

    @property
    def address(self) -> str:
        """The address of its numbers up to the metric."""
        return path("identity", self.test, self.identity, self.label, self.model)


class BiasSummary(ModelLabelRow):
    """The AUCs of one model and label over the identities that are not few: power means, and Jigsaw's summary."""

    test: str
    identities: int
    overall: Number
    subgroup_auc: Number
    bpsn_auc: Number
    bnsp_auc: Number
    summary: Interval


class Bias(PlainRow):
    """What mentions of groups of people do to scores."""

    identities: tuple[IdentityRow, ...] = ()
    summaries: tuple[BiasSummary, ...] = ()


class DisagreementRow(ModelLabelRow):
    """One model and label against several annotators; alpha: Krippendorff's."""

    n: int
    disputed_n: int
    alpha: Number
    log_loss: CountedInterval
    soft_log_loss: CountedInterval
    average_precision: CountedInterval
    soft_average_precision: CountedInterval
    unanimous: CountedInterval
    disputed: CountedInterval
    test: str = MAIN


class SuitePart(CountedInterval):
    """How often a model is right on one kind of cases; gold: a half of the suite, or "all"."""

    name: str
    gold: str
    n: int
    right: float
    note: str | None = None


class SuiteParts(PlainRow):
    """How often decisions are right: by half, functionality, target, further columns, and over whole contrast sets."""

    halves: tuple[SuitePart, ...]
    functionalities: tuple[SuitePart, ...]
    targets: tuple[SuitePart, ...]
    contrast: SuitePart | None
    by: dict[str, tuple[SuitePart, ...]] = Field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, tuple[SuitePart, ...]]:
        """Its shares by what they are of: halves, functionalities, targets, and each further column as `by:COLUMN`."""
        named = {name: getattr(self, name) for name in ("halves", "functionalities", "targets")}
        return named | {f"by:{column}": parts for column, parts in self.by.items()}


class SuiteRow(ModelLabelRow, SuiteParts):
    """One model on one suite; unseen: how many cases it cannot see."""

    test: str
    unseen: int

    def address(self, kind: str, part: SuitePart) -> str:
        """Return the address of a part up to the model; kind: one of `kinds`."""
        return path("suite", self.test, self.label, kind, part.name, part.gold)
