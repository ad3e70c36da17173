"""From what several annotators said to one label: what most of them say; how many said what is kept in `meta`.

A tie, and a row that nobody judged, stay unknown. Cells may hold several answers, as in `1, 1` of a repeated post. The
share of votes for a label can be what models learn, as a soft label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from workbench.corpora.files.labels import LabelCells
from workbench.corpora.files.values import MISSING, ValueRule, counted, lowered, meanings, plain
from workbench.corpora.reading.written import THOUSANDS, elements, elements_in
from workbench.errors import WorkbenchError


class VoteOptions(ValueRule):
    """Where annotators' answers stand: counted columns for and against, or a column with each annotator's answer."""

    yes: tuple[str, ...] = Field((), description="Columns whose numbers are votes for the label.")
    no: tuple[str, ...] = Field((), description="Columns whose numbers are votes against it.")
    columns: tuple[str, ...] = Field((), description="Instead: columns with one annotator's answer each.")
    separator: str | None = Field(
        None, description="What parts answers in one cell of `columns`; default: told from the cells."
    )
    soft: bool = Field(False, description="Whether models learn the share of votes for the label, not what most say.")

    @model_validator(mode="after")
    def _one_way_to_count(self) -> Self:
        if bool(self.columns) == bool(self.yes or self.no):
            raise ValueError("give either `yes` and `no`, columns with numbers of votes, or `columns` with answers")
        if self.columns and not self.positive:
            raise ValueError("`columns` needs the `positive` answers")
        if not self.columns and not (self.yes and self.no):
            raise ValueError("votes need columns both for `yes` and for `no`")
        if twice := next((name for name in self.names if self.names.count(name) > 1), None):
            raise ValueError(f"column {twice!r} is named twice; its votes would count double")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.yes, *self.no, *self.columns)


def read_votes(
    given: Mapping[str, pa.ChunkedArray], rule: VoteOptions, where: str, missing: Sequence[str] = MISSING
) -> np.ndarray:
    """Return the votes for and against, int (n_rows, 2); raise WorkbenchError for a cell that is no number of votes."""
    rows = len(given[rule.names[0]])
    if not rule.columns:
        sides = (rule.yes, rule.no)
        return np.stack(
            [
                sum((_numbers(given[item], item, rule, where, missing) for item in side), np.zeros(rows, int))
                for side in sides
            ],
            axis=1,
        )
    place = f"{where}: {', '.join(rule.columns)}"
    cells = _answers([_cells(given[name], name, where) for name in rule.columns], rule, place)
    counts = Counter(answer for column in cells for answers in column for answer in answers)
    if not counts:
        raise WorkbenchError(f"{place}: none holds an answer of {', '.join(map(str, rule.positive))}; name others")
    says = {answer: meaning.says for answer, meaning in meanings(counts, rule, missing, place).items()}
    votes = np.zeros((rows, 2), dtype=int)
    for column in cells:
        for row, answers in enumerate(column):
            for answer in answers:
                if says[answer] is not None:
                    votes[row, int(not says[answer])] += 1
    return votes


def majority(votes: np.ndarray, soft: bool = False) -> LabelCells:
    """Return the label that most votes (n_rows, 2) are for, unknown where they tie; its share of them where `soft`."""
    total = votes.sum(axis=1)
    tied = votes[:, 0] == votes[:, 1]
    why = np.where(total == 0, "no vote", "a tie").astype(object)
    share = pa.array(votes[:, 0] / np.maximum(total, 1), mask=total == 0) if soft else None
    return LabelCells(pa.array(votes[:, 0] > votes[:, 1], mask=tied), pa.array(why, pa.string(), mask=~tied), share)


def _cells(cells: pa.ChunkedArray, name: str, where: str) -> list[str | list[str] | None]:
    """Return each cell as text, or as a list where the column holds lists."""
    if pa.types.is_list(cells.type) and not pa.types.is_nested(cells.type.value_type):
        lists = cells.to_pylist()
        flat = plain(pa.chunked_array([pc.list_flatten(cells.combine_chunks())]), name, where).to_pylist()
        answers = iter(flat)
        return [[answer for answer in (next(answers) for _ in row or ()) if answer is not None] for row in lists]
    return plain(cells, name, where).to_pylist()


def _answers(columns: list[list], rule: VoteOptions, place: str) -> list[list[list[str]]]:
    """Return the answers in each cell; raise WorkbenchError where a cell may hold one or several."""
    texts = dict.fromkeys(cell for column in columns for cell in column if isinstance(cell, str))
    found = elements(texts, rule.named, rule.separator, place)
    known = rule.named | {text for text, answers in found.items() if len(answers) == 1}
    for text, answers in found.items():
        odd = next((answer for answer in answers if " " in answer and answer not in known), None)
        if len(answers) > 1 and odd is not None and rule.separator is None:
            raise WorkbenchError(
                f"{place}: {text!r:.80} may be one answer or several; name it as it is under what it means, or say in "
                "`separator` what parts answers"
            )
    return [[found[cell] if isinstance(cell, str) else cell or [] for cell in column] for column in columns]


def _numbers(cells: pa.ChunkedArray, name: str, rule: VoteOptions, where: str, missing: Sequence[str]) -> np.ndarray:
    """Return the sum of the numbers in each cell, 0 where it is empty."""
    absent = lowered(missing)
    values = plain(cells, name, where)
    sums = {}
    for cell in counted(values):
        try:
            numbers = elements_in(cell, rule.separator or ",")
            sums[cell] = sum(float(number) for number in numbers if number.lower() not in absent)
            if THOUSANDS.fullmatch(cell) or not 0 <= sums[cell] <= 1e9 or sums[cell] != int(sums[cell]):
                raise ValueError
        except ValueError:
            raise WorkbenchError(
                f"{where}: column {name!r} must hold numbers of votes, 0 or more, not {cell:.40}; name another"
            ) from None
    return np.array([0 if cell is None else sums[cell] for cell in values.to_pylist()], dtype=int)
