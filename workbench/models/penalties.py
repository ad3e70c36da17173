"""Options that several models share: the strengths of a penalty, what a class weighs, and which n-grams are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from workbench.schema import WorkbenchError, unknown

LONGEST = 20  # words or characters of an n-gram
HEAVIEST = 10_000  # times that a harmful post weighs a harmless one


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _positive(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError(f"C must be above 0, not {list(values)}")
    return values


Strengths = Annotated[tuple[float, ...], BeforeValidator(_several), AfterValidator(_positive), Field(min_length=1)]
"""Inverse strengths of an L2 penalty, one or several, each above 0."""


def _weighs(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= HEAVIEST


def _weight(value: Any) -> Any:
    several = isinstance(value, dict) and all(isinstance(name, str) and _weighs(one) for name, one in value.items())
    if value is None or value == "balanced" or _weighs(value) or several:
        return value
    raise ValueError(f"must be 'balanced', a number above 0 and at most {HEAVIEST:,}, or such a number for each label")


ClassWeight = Annotated[Literal["balanced"] | float | dict[str, float] | None, BeforeValidator(_weight)]
CLASS_WEIGHT = Field(
    None,
    description="Weigh both classes of a label alike (balanced), or a harmful post so many times a harmless one, one "
    "number or one a label; null, and a label that is not named: as they are.",
)


def positive_weights(wanted: ClassWeight, labels: Sequence[str]) -> Literal["balanced"] | tuple[float, ...] | None:
    """Return what a positive of each label weighs against a negative; "balanced" and None as they are.

    Raises WorkbenchError for a label that is not among `labels`.
    """
    if wanted is None or wanted == "balanced":
        return wanted
    if not isinstance(wanted, dict):
        return (float(wanted),) * len(labels)
    for name in wanted:
        if name not in labels:
            raise WorkbenchError(unknown("label in class_weight", name, labels))
    return tuple(float(wanted.get(name, 1.0)) for name in labels)


def by_class(wanted: ClassWeight, labels: Sequence[str], k: int) -> Literal["balanced"] | dict[bool, float] | None:
    """Return what scikit-learn takes as the `class_weight` of label k; raises as `positive_weights` does."""
    weights = positive_weights(wanted, labels)
    return {False: 1.0, True: weights[k]} if isinstance(weights, tuple) else weights


def check_ngrams(words: Sequence[int] | None, characters: Sequence[int] | None) -> None:
    """Raise ValueError where a run (shortest, longest) of words or of characters is none, or both are None."""
    for name, span in (("ngrams", words), ("char_ngrams", characters)):
        if span and not 1 <= span[0] <= span[1] <= LONGEST:
            raise ValueError(f"{name} must be two numbers from 1 to {LONGEST}, the shorter first, not {list(span)}")
    if not (words or characters):
        raise ValueError("ngrams and char_ngrams cannot both be null")
