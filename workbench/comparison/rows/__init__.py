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
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator

from workbench.comparison.options import MAIN, CompareOptions, CostOptions, Family
from workbench.comparison.rows.parts import Bias, DisagreementRow, SliceRow, SuiteRow
from workbench.comparison.rows.plans import PlanRecord
from workbench.comparison.rows.values import AddressedRow, Count, Interval, Number, PlainRow, path
from workbench.comparison.run_files import model_of, study_name
from workbench.errors import WorkbenchError
from workbench.requirements import Requirements


class PlacedRow(AddressedRow):
    """A row on the posts of one test set in one view, for one label or `macro`."""

    label: str
    view: str
    test: str
    metric: str
    n: int
    positives: int
    effective: Number = None  # equal groups that the positives are worth, of macro those of its label with the fewest
    prevalence: Number
    few: bool

    @property
    def _address(self) -> str:
        return path(self.test, self.view, self.label, self._who, self.metric)


class ModelRow(PlacedRow, Interval):
    """One model's value of one metric: the mean over seeds, its interval, the best possible, and what it takes.

    The interval is of the recipe where the model was trained on several seeds: of other posts and other trainings.
    seed: the one training that a row is of, None where it is of all. confusion: tn, fp, fn, tp, means over seeds.
    """

    model: str
    seed: int | None = None
    seed_sd: Number
    coverage: Number
    ceiling: Number
    confusion: dict[str, Number] | None
    runs: tuple[str, ...]
    ms_per_post: Number = None
    peak_mb: Number = None
    fit_seconds: Number = None
    parameters: Count = None

    @property
    def _who(self) -> str:
        return self.model if self.seed is None else f"{self.model}:seed:{self.seed}"


class Disagreements(PlainRow):
    """How many groups of posts only one of two models decides rightly, and McNemar's p."""

    label: str
    only_a: int
    only_b: int
    p: Number


class TestedDelta(PlainRow):
    """A difference of two values with its interval, p, and p as corrected for the others of its family."""

    delta: Number
    lo: Number
    hi: Number
    p: Number
    p_holm: Number


class Difference(PlacedRow, TestedDelta):
    """a - b with its interval, what it shows, and what the test set could show; p and verdict in the primary family.

    recipes: whether interval and p speak of ways to train, on several seeds, and not of these trainings alone;
    p_trained: the p of these. positive_groups: with a positive, of all compared labels together, as groups_for_margin
    counts them too; None there where trainings vary too much for any test set. seeds_to_halve: so many seeds a side
    would halve the interval.
    """

    a: str
    b: str
    pair: tuple[str, str]
    primary: bool = False
    recipes: bool = False
    p: Number = None
    p_trained: Number = None
    p_holm: Number = None
    equivalent_within: Number
    verdict: str | None = None
    se: Number
    positive_groups: int
    detectable: Number
    groups_for_margin: Count
    seeds_to_halve: Count = None
    disagreements: tuple[Disagreements, ...] = ()

    @property
    def _who(self) -> str:
        return ":".join(self.pair)


class FusionLimit(PlacedRow, Interval):
    """What putting together one calibrated probability per modality, as by adding up their log-odds, could reach.

    It is no bound for scores that tell more than their probability.
    """

    @property
    def _who(self) -> str:
        return ":late-fusion-limit"


class LeakTest(PlacedRow, TestedDelta):
    """A model against what its inputs allow; tripped is None where it is not tested.

    ceiling: the value of the exact probabilities on this sample, with its interval. detectable_leak: the least share of
    harmful posts (of a loss, of all posts) that the model would have to have memorised for the test to trip with the
    probability `power`; None where no share does, or nothing is tested.
    """

    model: str
    value: Number
    ceiling: Number
    ceiling_lo: Number = None
    ceiling_hi: Number = None
    tripped: bool | None
    detectable_leak: Number = None

    @property
    def _who(self) -> str:
        return f"{self.model}:ceiling"


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


OTHER_POSTS = "scored other posts"  # the state of a model whose finished run is not on those compared


class MissingModel(PlainRow):
    """A model of the study without a finished run on these posts."""

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
    planned: tuple[tuple[str, str], ...] | None = None  # as it was before any model had scored, None without a plan
    tests: tuple[str, ...] = (MAIN,)  # the test sets of the primary family, as planned, or as the study's file asks
    plan: PlanRecord | None = None
    asked: tuple[tuple[str, str], ...] | None = None  # what the study's file asks now, models without a run included
    posts: str | None = None  # sha256 of the file with their facts; before, 16 digits of what it was made from
    code: str

    @property
    def family(self) -> Family | None:
        """The primary family: the planned one, or what the study's file asks; None in files that tell neither."""
        pairs = self.asked if self.planned is None else self.planned
        return None if pairs is None else Family(pairs, self.tests)


class Comparison(PlainRow):
    """Everything that a study's finished runs say."""

    study: str
    question: str
    compare: CompareOptions
    labels: tuple[str, ...]
    labels_used: dict[str, dict[str, tuple[str, ...]]]
    best_unimodal: str | None
    chosen: str | None = None  # the model with the best value on validation
    seeds: dict[str, int] = Field(default_factory=dict)  # of each model, the training that is best there
    peers: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # by test set: not shown to be worse than chosen
    bundle: tuple[ModelRow, ...] = ()  # what that one training of the chosen model is worth
    members: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # of a fusion, those that are models here too
    best_member: dict[str, str] = Field(default_factory=dict)  # the one of them with the best value on validation
    folds: int | None = None  # each post was tested once, by a model of the other folds
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
    requirements: Requirements | None = None  # what the site needs, that the report holds the chosen model against
    cost: CostOptions | None = None
    costs: tuple[CostRow, ...] = ()
    sources: dict[str, str] = Field(default_factory=dict)

    @field_validator("peers", mode="before")
    @classmethod
    def _of_one_test_set(cls, value: Any) -> Any:
        """Read files from when a study compared its own test set alone."""
        return value if isinstance(value, dict) else {MAIN: value}

    @property
    def tests(self) -> tuple[str, ...]:
        """The test sets that the study's question is about."""
        return self.compare.test

    @property
    def names(self) -> list[str]:
        """The models, in the order of the study."""
        return list(dict.fromkeys(row.model for row in self.models))

    def rows(self, **wanted: str | None) -> list[ModelRow]:
        """Return the rows of what the study asks: its metric, label and view, on the first of its test sets.

        wanted: another `metric`, `label`, `view` or `test`, None for any; or one `model`.
        """
        asked = {name: getattr(self.compare, name) for name in ("metric", "label", "view")} | {"test": self.tests[0]}
        place = {name: value for name, value in (asked | wanted).items() if value is not None}
        return [row for row in self.models if all(getattr(row, name) == value for name, value in place.items())]

    @property
    def planned(self) -> bool:
        """Whether it is on record that the primary family was chosen before any model had scored these posts."""
        return self.made_from is not None and self.made_from.planned is not None

    @property
    def asked_later(self) -> bool:
        """Whether the study asks for pairs, and a plan made before anything was scored names none of them."""
        return self.planned and not self.made_from.planned and bool(self.made_from.asked)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the comparison of a study's folder, None where there is none.

        Raises WorkbenchError where another version of the workbench wrote it, or it is torn.
        """
        place = Path(folder) / "comparison.json"
        if not place.is_file():
            return None
        try:
            return cls.model_validate_json(place.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            fault = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
            raise WorkbenchError(
                f"{place} is not what this version of the workbench writes ({fault}); "
                f"`workbench compare {study_name(place.parent)}` makes it again from stored predictions"
            ) from None
        except OSError as error:
            raise WorkbenchError(f"cannot read {place}: {error.strerror or error}") from None

    @staticmethod
    def seeds_of(folder: Path) -> dict[str, int]:
        """Return run key -> the training that is best on validation, as a study's comparison says; empty without one.

        Only this is read: a server that starts need not read every row.
        """
        try:
            values = json.loads((Path(folder) / "comparison.json").read_bytes())
            runs, seeds = values["made_from"]["runs"], values["seeds"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {key: seeds[model_of(name)] for name, key in runs.items() if model_of(name) in seeds}

    def plain(self) -> dict[str, Any]:
        """Return what `comparison.json` holds."""
        return self.model_dump(mode="json")
