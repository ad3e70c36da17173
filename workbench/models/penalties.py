"""Options that several linear models share: the strengths of a penalty, and which n-grams are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

LONGEST = 20  # words or characters of an n-gram


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, int | float) else value


def _positive(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(value <= 0 for value in values):
        raise ValueError(f"C must be above 0, not {list(values)}")
    return values


Strengths = Annotated[tuple[float, ...], BeforeValidator(_several), AfterValidator(_positive), Field(min_length=1)]
"""Inverse strengths of an L2 penalty, one or several, each above 0."""


def check_ngrams(words: Sequence[int] | None, characters: Sequence[int] | None) -> None:
    """Raise ValueError where a run (shortest, longest) of words or of characters is none, or both are None."""
    for name, span in (("ngrams", words), ("char_ngrams", characters)):
        if span and not 1 <= span[0] <= span[1] <= LONGEST:
            raise ValueError(f"{name} must be two numbers from 1 to {LONGEST}, the shorter first, not {list(span)}")
    if not (words or characters):
        raise ValueError("ngrams and char_ngrams cannot both be null")
