"""From what several annotators said to one label: what most of them say; how many said what is kept in `meta`.

A tie, and a row that nobody judged, stay unknown. Cells may hold several answers, as in `1, 1` of a repeated post.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from workbench.corpora.files.labels import Value, plain_text
from workbench.errors import WorkbenchError
from workbench.schema import Options


class VoteOptions(Options):
    """Where annotators' answers stand: counted columns for and against, or a column with each annotator's answer."""

    yes: tuple[str, ...] = Field((), description="Columns whose numbers are votes for the label.")
    no: tuple[str, ...] = Field((), description="Columns whose numbers are votes against it.")
    columns: tuple[str, ...] = Field((), description="Instead: columns with one annotator's answer each.")
    positive: tuple[Value, ...] = Field((), description="Answers in `columns` that mean yes; all others mean no.")
    unclear: tuple[Value, ...] = Field((), description="Answers in `columns` that count for neither.")

    @model_validator(mode="after")
    def _one_way_to_count(self) -> Self:
        if bool(self.columns) == bool(self.yes or self.no):
            raise ValueError("give either `yes` and `no`, columns with numbers of votes, or `columns` with answers")
        if self.columns and not self.positive:
            raise ValueError("`columns` needs the `positive` answers")
        if not self.columns and not (self.yes and self.no):
            raise ValueError("votes need columns both for `yes` and for `no`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.yes, *self.no, *self.columns)


def read_votes(given: Mapping[str, pa.ChunkedArray], rule: VoteOptions, where: str) -> np.ndarray:
    """Return the votes for and against, int (n_rows, 2); raise WorkbenchError for a cell that is no number of votes."""
    rows = len(given[rule.names[0]])
    if not rule.columns:
        sides = (rule.yes, rule.no)
        return np.stack(
            [sum((_numbers(given[item], item, where) for item in side), np.zeros(rows, int)) for side in sides], 1
        )
    votes = np.zeros((rows, 2), dtype=int)
    positive, unclear = ({str(item).lower() for item in values} for values in (rule.positive, rule.unclear))
    for name in rule.columns:
        for row, cell in enumerate(plain_text(given[name]).to_pylist()):
            for answer in _answers(cell):
                if answer.lower() not in unclear:
                    votes[row, int(answer.lower() not in positive)] += 1
    if not votes[:, 0].any():
        raise WorkbenchError(
            f"{where}: none of {', '.join(rule.columns)} holds an answer of {', '.join(sorted(positive))}"
        )
    return votes


def majority(votes: np.ndarray) -> pa.Array:
    """Return the label that most votes (n_rows, 2) are for, null where they tie."""
    return pa.array(votes[:, 0] > votes[:, 1], mask=votes[:, 0] == votes[:, 1])


def _answers(cell: str | None) -> list[str]:
    return [] if cell is None else [answer.strip() for answer in cell.split(",") if answer.strip()]


def _numbers(cells: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    """Return the sum of the numbers in each cell, 0 where it is empty."""
    try:
        sums = [sum(float(number) for number in _answers(cell)) for cell in plain_text(cells).to_pylist()]
        if any(number < 0 or number != int(number) for number in sums):
            raise ValueError
    except ValueError:
        raise WorkbenchError(f"{where}: column {name!r} must hold numbers of votes, 0 or more; name another") from None
    return np.array(sums, dtype=int)
