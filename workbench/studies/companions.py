"""What goes with a comparison: addresses of its numbers, what models cost, which files it is made from, and cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.studies import addresses, cards, costs, tracing
from workbench.studies.predictions import Run


def completed(comparison: dict[str, Any], price: dict[str, Any], runs: Sequence[Run]) -> dict[str, Any]:
    """Return the comparison with each row's `id`, and with `cost`, `costs` and `sources`.

    price: the study's `cost`, empty where it states none. Raises WorkbenchError where it makes no sense.
    """
    stated = costs.CostOptions.parse(price, "cost") if price else None
    beside = {"cost": stated and stated.model_dump(mode="json"), "costs": costs.rows(comparison, stated)}
    return addresses.identified(comparison | beside | {"sources": tracing.sources(runs)})


def write(folder: Path, comparison: dict[str, Any], runs: Sequence[Run]) -> Path:
    """Write the cards of a study's models and posts, and return their folder."""
    return cards.write(folder, comparison, runs)
