"""What every part of the report is made of: a section, and the rows of a comparison that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from workbench.comparison.predictions import Run
from workbench.comparison.rows import Comparison, ModelRow


@dataclass(frozen=True)
class Section:
    """A part of the report: prose, figures (drawn for a light or dark page), tables, and at most one ready fragment.

    folded, folded_points: tables and lists that open on a click.
    points: heading -> sentences, each a point of a list; they stand between the prose and the figures.
    captions: whether figures show their names, which then say of which test set each is.
    """

    key: str
    title: str
    prose: str
    figures: dict[str, Callable[[str], Figure]] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    fragment: str = ""
    folded: dict[str, pd.DataFrame] = field(default_factory=dict)
    folded_points: dict[str, list[str]] = field(default_factory=dict)
    points: dict[str, list[str]] = field(default_factory=dict)
    captions: bool = False


def winning(comparison: Comparison, runs: Sequence[Run]) -> Run | None:
    """Return the run of the model with the best value of the compared metric, None where there is none."""
    return next((run for run in runs if run.alias == comparison.chosen), None)


def deployed(comparison: Comparison, label: str, test: str) -> dict[str, ModelRow]:
    """Return metric -> the row of a label on a test set, of the one training that would be deployed."""
    chosen = comparison.rows(model=comparison.chosen, label=None, metric=None, test=None)
    rows = comparison.bundle or (chosen if comparison.chosen else ())
    return {row.metric: row for row in rows if (row.label, row.test) == (label, test)}


def shown_models(comparison: Comparison) -> list[str]:
    """The models that per-label figures show: the best, the best unimodal, and those of the primary family."""
    family = [model for row in comparison.differences if row.primary for model in (row.a, row.b)]
    return list(dict.fromkeys(name for name in (comparison.chosen, comparison.best_unimodal, *family) if name))[:4]


def told(comparison: Comparison, runs: Sequence[Run]) -> list[str]:
    """Return the labels that some post tells anything of, be it in validation; a study does not speak of the others."""
    known = [scores.known.any(axis=0) for run in runs[:1] for scores in run.sets.values()]
    in_rows = {row.label for row in comparison.models if row.n}
    return [label for k, label in enumerate(comparison.labels) if label in in_rows or any(some[k] for some in known)]


def left_out(comparison: Comparison) -> str:
    """Return a sentence on the models that `shown_models` leaves out, empty where it leaves out none."""
    rest = [name for name in comparison.names if name not in shown_models(comparison)]
    return f" Left out here are models that the study's pairs do not name first: {', '.join(rest)}." if rest else ""


def table(
    lines: Mapping[Any, Mapping[str, str]], rows: Sequence[str] = (), cells: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a table of lines by their name or names, its numbers such that `workbench trace` can follow them.

    rows: the address of each row up to the metric; cells: column -> the metric in it, "" where the row's is whole.
    """
    return addressed(pd.DataFrame.from_dict(lines, orient="index"), rows, cells or {})


def addressed(frame: pd.DataFrame, rows: Sequence[str], cells: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with the addresses of its numbers, as `table` has them."""
    frame.attrs |= {"rows": rows, "cells": cells} if rows else {}
    return frame
