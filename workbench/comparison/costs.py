"""What moderation with a model costs: time, memory, and money at a price that the study states.

Open doubt: times per post are those of one process that scores new posts one small batch after another. Larger batches
and an accelerator that is kept busy cost less, so money is an upper bound on the same machine.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from workbench.schema import Options

_SECONDS_A_DAY = 86_400


class CostOptions(Options):
    """What the machine that scores posts costs, and how many posts a day it has to score."""

    machine: str = Field("", description="What the price is of, in words: the machine that times were taken on.")
    price_per_hour: float = Field(gt=0, description="What one hour of that machine costs.")
    currency: str = Field("USD", min_length=1, max_length=12, description="The money that the price is in.")
    posts_per_day: int | None = Field(None, ge=1, description="The load to price; without it none is.")


def rows(comparison: dict[str, Any], options: CostOptions | None) -> list[dict[str, Any]]:
    """Return a row per model: ms a post, peak MB, seconds to train, and where a price is stated money.

    per_million: money for a million posts; per_day: for the stated load; busy: how many machines that load keeps busy;
    training: money for one seed's training. None where a run's record or the study does not tell.
    """
    found = {row["model"]: row for row in reversed(comparison["models"])}
    price = options.price_per_hour / 3600 if options else None
    load = options.posts_per_day if options else None
    lines = []
    for model in dict.fromkeys(row["model"] for row in comparison["models"]):
        ms, seconds = found[model]["ms_per_post"], found[model]["fit_seconds"]
        lines.append(
            {
                "model": model,
                "ms_per_post": ms,
                "peak_mb": found[model]["peak_mb"],
                "fit_seconds": seconds,
                "per_million": _times(price, ms, 1e6 / 1000),
                "per_day": _times(price, ms, load and load / 1000),
                "busy": _times(ms, load and load / 1000 / _SECONDS_A_DAY),
                "training": _times(price, seconds),
                "runs": found[model]["runs"],
            }
        )
    return lines


def _times(*factors: float | None) -> float | None:
    """Return a product, None where a factor is not known."""
    product = 1.0
    for factor in factors:
        if factor is None:
            return None
        product *= factor
    return product
