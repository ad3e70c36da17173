"""What every part of the report is made of: a section, and the rows of a comparison that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.options import MAIN
from workbench.comparison.rows import Comparison, ModelRow
from workbench.report import wording


@dataclass(frozen=True)
class Section:
    """A part of the report: prose, figures (drawn for a light or dark page), tables, and at most one ready fragment.

    folded: tables that open on a click.
    points: heading -> sentences, each a point of a list; they stand between the prose and the figures.
    """

    key: str
    title: str
    prose: str
    figures: dict[str, Callable[[str], Figure]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    fragment: str = ""
    folded: dict[str, pd.DataFrame] = field(default_factory=dict)
    points: dict[str, list[str]] = field(default_factory=dict)


def rows_of(comparison: Comparison, *, test: str = MAIN, **wanted: str) -> Iterator[ModelRow]:
    """Yield a comparison's rows of one test set that have the wanted metric, label, view or model."""
    for row in comparison.models:
        if row.test == test and all(getattr(row, name) == value for name, value in wanted.items()):
            yield row


def models_of(comparison: Comparison) -> list[str]:
    """Return the models of a comparison, in the order of the study."""
    return list(dict.fromkeys(row.model for row in comparison.models))


def winner(comparison: Comparison) -> str | None:
    """The model with the best value of the compared metric."""
    asked = comparison.compare
    row = wording.best(list(rows_of(comparison, metric=asked.metric, label=asked.label, view=asked.view)))
    return row.model if row else None


def shown_models(comparison: Comparison) -> list[str]:
    """The models that per-label figures show: the best, the best unimodal, and those of the primary family."""
    family = [model for row in comparison.differences if row.primary for model in (row.a, row.b)]
    return list(dict.fromkeys(name for name in (winner(comparison), comparison.best_unimodal, *family) if name))[:4]


def addressed(frame: pd.DataFrame, rows: list[str], cells: dict[str, str]) -> pd.DataFrame:
    """Return a table whose numbers can be followed by `workbench trace`.

    rows: the address of each row up to the metric; cells: column -> the metric in it, "" where the row's is whole.
    """
    frame.attrs |= {"rows": rows, "cells": cells}
    return frame
