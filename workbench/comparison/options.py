"""What a study compares and how surely, what scoring costs it, and the words that its file may use for models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from workbench.errors import unknown
from workbench.metrics.table import METRICS
from workbench.schema import Options

BEST, MACRO, MAIN, VALIDATION, LATE_FUSION = "best-unimodal", "macro", "test", "validation", "late-fusion"
SCORED = "scored"  # the view of those posts of the compared one that every model scored
LEAK_ALPHA = 0.01  # a model below this p is better than what its inputs allow


@dataclass(frozen=True)
class Family:
    """What a study's tests are corrected for together: each pair of models, as named, on each of the test sets."""

    pairs: tuple[tuple[str, str], ...]
    tests: tuple[str, ...] = (MAIN,)

    def holds(self, test: str, pair: tuple[str, str]) -> bool:
        """Return whether two models on a test set are one of its comparisons."""
        return test in self.tests and pair in self.pairs

    def __len__(self) -> int:
        return len(self.pairs) * len(self.tests)


class CompareOptions(Options):
    """What a study compares, and how surely."""

    metric: str = Field("average_precision", description="The metric that the study's question is decided by.")
    label: str = Field(MACRO, description="One label, or `macro`: the mean over the labels defined for all models.")
    view: Literal["paired", "all"] = Field(
        "paired", description="`paired`: posts with text and media; `all`: all posts."
    )
    test: tuple[str, ...] = Field(
        (MAIN,), min_length=1, description="The test sets that the question is about: one name or several."
    )
    pairs: tuple[tuple[str, str], ...] = Field(
        (), description="The primary family: pairs of aliases or best-unimodal, each on each of the test sets."
    )
    resamples: int = Field(2000, ge=100, description="Bootstrap resamples of whole groups, for intervals.")
    draws: int = Field(10_000, ge=10_000, description="Permutations of whole groups, for p-values.")
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Intervals cover 1 - alpha; equivalence uses 1 - 2 alpha.")
    margin: float = Field(0.01, gt=0, lt=1, description="A smaller difference than this matters to nobody.")
    power: float = Field(0.8, gt=0.5, lt=1, description="How surely a planned test set is to find a difference.")
    prevalences: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.001, 0.01, 0.05), description="Shares of harmful posts at which the report says what reviewers would see."
    )
    slices: tuple[str, ...] | None = Field(
        None,
        description="Columns to slice by, those that the corpus keeps included; `standard`, the default, stands for "
        "community, language, region, modality, length, author's age, month and who is mentioned.",
    )
    slice_resamples: int = Field(500, ge=100, description="Bootstrap resamples for the intervals of slices.")
    few: int = Field(20, ge=1, description="Fewer positives than this are marked `few`.")
    seed: int = Field(0, ge=0, description="Seed of all resampling.")

    @field_validator("test", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("test")
    @classmethod
    def _tests_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for name in value if value.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"test set {twice!r} is named twice; name each once")
        return value

    @field_validator("metric")
    @classmethod
    def _metric_exists(cls, value: str) -> str:
        if value not in METRICS:
            raise ValueError(unknown("metric", value, METRICS))
        return value


class CostOptions(Options):
    """What the machine that scores posts costs, and how many posts a day it has to score."""

    machine: str = Field("", description="What the price is of, in words: the machine that times were taken on.")
    price_per_hour: float = Field(gt=0, description="What one hour of that machine costs.")
    currency: str = Field("USD", min_length=1, max_length=12, description="The money that the price is in.")
    posts_per_day: int | None = Field(None, ge=1, description="The load to price; without it none is.")
