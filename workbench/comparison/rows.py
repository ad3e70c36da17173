"""`comparison.json` in code: the comparison and its rows, each of which knows the address of its numbers.

An address stays the same however often its number is computed. `test/paired/abuse/clip-cross/recall` is the test set,
the view, the label, the model and the metric. Of two models the fourth part is `a:b`, of a model against what its
inputs allow `a:ceiling`. The address of what stands on a part of the posts begins with its table, as in
`slice/language/es/abuse/clip-cross/recall` or `suite/cases/abuse/functionalities/negation/harmless/clip-cross`.
`workbench trace` follows an address back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from workbench.comparison.options import CompareOptions, CostOptions
from workbench.errors import WorkbenchError


def path(*parts: str) -> str:
    """Return names as one address; what is no letter or digit of a name is escaped.

    >>> path("test", "all", "a/b")
    'test/all/a%2Fb'
    """
    return "/".join(quote(part, safe="+:") for part in parts)


def defined(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON does not know."""
    return None if value is None or value - value != 0 else value


Number = Annotated[float | None, BeforeValidator(defined)]
Count = Annotated[int | float | None, BeforeValidator(defined)]


class PlainRow(BaseModel):
    """One row, or a part of one: plain values, undefined numbers None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(PlainRow):
    """A value with its interval."""

    value: Number
    lo: Number
    hi: Number


class CountedInterval(Interval):
    """A value with its interval; few: whether few posts carry it."""

    few: bool


class AddressedRow(PlainRow):
    """A row whose address stands in the file as `id`."""

    id: str = ""

    def model_post_init(self, _: Any) -> None:
        """Fill `id`, unless it was read."""
        if not self.id:
            self.__dict__["id"] = self._address


class PlacedRow(AddressedRow):
    """A row on the posts of one test set in one view, for one label or `macro`."""

    label: str
    view: str
    test: str
    metric: str
    n: int
    positives: int
    prevalence: Number
    few: bool

    @property
    def _address(self) -> str:
        return path(self.test, self.view, self.label, self._who, self.metric)


class Counts(PlainRow):
    """A confusion, mean over seeds."""

    tn: Number
    fp: Number
    fn: Number
    tp: Number


class ModelRow(PlacedRow, Interval):
    """One model's value of one metric: the mean over seeds, its interval, the best possible, and what it takes."""

    model: str
    seed_sd: Number
    coverage: Number
    ceiling: Number
    confusion: Counts | None
    runs: tuple[str, ...]
    ms_per_post: Number = None
    peak_mb: Number = None
    fit_seconds: Number = None
    parameters: Count = None

    @property
    def _who(self) -> str:
        return self.model


class Disagreements(PlainRow):
    """How many groups of posts only one of two models decides rightly, and McNemar's p."""

    label: str
    only_a: int
    only_b: int
    p: Number


class Difference(PlacedRow):
    """a - b with its interval, what it shows, and what the test set could show; p_holm only in the primary family."""

    a: str
    b: str
    pair: tuple[str, str]
    delta: Number
    lo: Number
    hi: Number
    p: Number
    p_holm: Number
    primary: bool
    equivalent_within: Number
    verdict: str
    se: Number
    positive_groups: int
    detectable: Number
    groups_for_margin: Count
    disagreements: tuple[Disagreements, ...]

    @property
    def _who(self) -> str:
        return ":".join(self.pair)


class FusionLimit(PlacedRow, Interval):
    """What fusing one score per modality could reach."""

    @property
    def _who(self) -> str:
        return ":late-fusion-limit"


class LeakTest(PlacedRow):
    """A model against what its inputs allow; tripped is None where it is not tested."""

    model: str
    value: Number
    ceiling: Number
    delta: Number
    lo: Number
    hi: Number
    p: Number
    p_holm: Number
    tripped: bool | None

    @property
    def _who(self) -> str:
        return f"{self.model}:ceiling"


class RateTest(Interval):
    """A rate on a slice, against the rest of the posts."""

    rest: Number
    delta: Number
    delta_lo: Number
    delta_hi: Number
    p: Number
    p_holm: Number


class SliceRow(PlainRow):
    """One model on one slice; gap: by how much, at least, the worse of the tested rates is worse than in the rest."""

    model: str
    label: str
    column: str
    slice: str
    n: int
    positives: int
    negatives: int
    prevalence: Number
    few: bool
    average_precision: Interval
    roc_auc: Interval
    precision: Interval
    recall: RateTest
    false_positive_rate: RateTest
    gap: Number

    @property
    def address(self) -> str:
        """The address of its numbers up to the metric."""
        return path("slice", self.column, self.slice, self.label, self.model)


class IdentityRow(PlainRow):
    """One model on the posts that mention one identity."""

    test: str
    model: str
    label: str
    identity: str
    n: int
    positives: int
    negatives: int
    few: bool
    subgroup_auc: Interval
    bpsn_auc: Interval
    bnsp_auc: Interval

    @property
    def address(self) -> str:
        """The address of its numbers up to the metric."""
        return path("identity", self.test, self.identity, self.label, self.model)


class BiasSummary(PlainRow):
    """The AUCs of one model and label over the identities that are not few: power means, and Jigsaw's summary."""

    test: str
    model: str
    label: str
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


class DisagreementRow(PlainRow):
    """One model and label against several annotators; alpha: Krippendorff's."""

    model: str
    label: str
    n: int
    disputed_n: int
    alpha: Number
    log_loss: CountedInterval
    soft_log_loss: CountedInterval
    average_precision: CountedInterval
    soft_average_precision: CountedInterval
    unanimous: CountedInterval
    disputed: CountedInterval


class SuitePart(CountedInterval):
    """How often a model is right on one kind of cases; gold: a half of the suite, or "all"."""

    name: str
    gold: str
    n: int
    right: float
    note: str | None = None


class SuiteParts(PlainRow):
    """How often decisions are right: by half, by functionality, by target, and over whole contrast sets."""

    halves: tuple[SuitePart, ...]
    functionalities: tuple[SuitePart, ...]
    targets: tuple[SuitePart, ...]
    contrast: SuitePart | None


class SuiteRow(SuiteParts):
    """One model on one suite; unseen: how many cases it cannot see."""

    test: str
    label: str
    model: str
    unseen: int

    def address(self, kind: str, part: SuitePart) -> str:
        """Return the address of a part up to the model; kind: halves, functionalities or targets."""
        return path("suite", self.test, self.label, kind, part.name, part.gold)


class CostRow(AddressedRow):
    """What one model takes and, at the price that a study states, costs; None where a record does not tell.

    per_million: money for a million posts; per_day: for the stated load; busy: how many machines that load keeps busy;
    training: money for one seed's training.
    """

    model: str
    ms_per_post: Number
    peak_mb: Number
    fit_seconds: Number
    per_million: Number
    per_day: Number
    busy: Number
    training: Number
    runs: tuple[str, ...]

    @property
    def _address(self) -> str:
        return path("cost", self.model)


class MissingModel(PlainRow):
    """A model of the study without a finished run."""

    model: str
    state: str


class StaleModel(PlainRow):
    """A model whose finished run is out of date."""

    model: str
    reasons: tuple[str, ...]


class MadeFrom(PlainRow):
    """What a comparison was made from; another one is made where any of it differs."""

    runs: dict[str, str]
    ended: dict[str, str | None]
    missing: dict[str, str]
    stale: dict[str, tuple[str, ...]]
    settings: str
    planned: tuple[tuple[str, str], ...] | None = None  # the primary family, None where no plan was kept
    posts: str | None = None  # sha256 of the file with their facts; before, 16 digits of what it was made from
    code: str


class Comparison(PlainRow):
    """Everything that a study's finished runs say."""

    study: str
    question: str
    compare: CompareOptions
    labels: tuple[str, ...]
    labels_used: dict[str, dict[str, tuple[str, ...]]]
    best_unimodal: str | None
    items: dict[str, str]
    models: tuple[ModelRow, ...]
    differences: tuple[Difference, ...] = ()
    late_fusion_limit: tuple[FusionLimit, ...] = ()
    leak_test: tuple[LeakTest, ...] = ()
    slices: tuple[SliceRow, ...] = ()
    bias: Bias = Bias()
    disagreement: tuple[DisagreementRow, ...] = ()
    suites: tuple[SuiteRow, ...] = ()
    missing: tuple[MissingModel, ...] = ()
    stale: tuple[StaleModel, ...] = ()
    made_from: MadeFrom | None = None
    cost: CostOptions | None = None
    costs: tuple[CostRow, ...] = ()
    sources: dict[str, str] = {}

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the comparison of a study's folder, None where there is none.

        Raises WorkbenchError where another version of the workbench wrote it, or it is torn.
        """
        place = Path(folder) / "comparison.json"
        if not place.is_file():
            return None
        try:
            return cls.model_validate(json.loads(place.read_text(encoding="utf-8"), parse_constant=lambda _: None))
        except (OSError, ValueError) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else None
            fault = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}" if first else "it is no whole JSON"
            raise WorkbenchError(
                f"{place} is not what this version of the workbench writes ({fault}); "
                f"`workbench compare {place.parent.name}` makes it again from stored predictions"
            ) from None

    def plain(self) -> dict[str, Any]:
        """Return what `comparison.json` holds."""
        return self.model_dump(mode="json")
