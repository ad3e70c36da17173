"""What differs between two runs, of one study or of two checkouts: what they were made of, and their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from workbench.comparison.predictions import load_run
from workbench.comparison.run_files import RunRecord
from workbench.studies import keys
from workbench.studies.worker import PATCH

KINDS = {
    "code": ("notebook", "module", "classes", "imports", "source"),
    "data": ("data", "taxonomy"),
    "options": ("parameter",),
    "weights": ("weights",),
    "device": ("device",),
}
"""What a run is made of, in the order of the answer, by the first words of its inputs' names."""
ADDRESS = ["test", "view", "label", "metric"]


class RunDifference(NamedTuple):
    """What differs: kind -> sentences, none for what is the same; and one row per number, with a, b and b - a."""

    sources: dict[str, list[str]]
    numbers: pd.DataFrame

    @property
    def moved(self) -> pd.DataFrame:
        """The numbers that are not the same, or are in one run only."""
        same = (self.numbers["b - a"].abs() <= 1e-12) | self.numbers[["a", "b"]].isna().all(axis=1)
        return self.numbers[~same]

    def lines(self) -> Iterator[str]:
        """Yield what is said of it."""
        for kind, sentences in self.sources.items():
            yield f"{kind}: {'; '.join(sentences) or 'the same'}"
        yield f"numbers: {len(self.moved)} of {len(self.numbers)} moved"
        if len(self.moved):
            yield self.moved.to_string(index=False, float_format=lambda value: f"{value:.6g}", na_rep="-")


def diff(a: Path, b: Path) -> RunDifference:
    """Return what differs between the runs in two folders; raises WorkbenchError where one is no finished run."""
    old, new = (RunRecord.read(folder) or RunRecord() for folder in (a, b))
    sources = {kind: _told(kind, old.inputs, new.inputs) for kind in KINDS}
    sources["libraries"] = _not_recorded(old.versions, new.versions) or _libraries(old.versions, new.versions)
    numbers = _numbers(a).merge(_numbers(b), on=ADDRESS, how="outer", sort=False)
    numbers.columns = [*ADDRESS, "a", "b"]
    numbers["b - a"] = numbers["b"] - numbers["a"]
    return RunDifference(sources, numbers)


def _told(kind: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return how the inputs of one kind differ, or why nobody can say."""
    a, b = ({name: item for name, item in run.items() if name.split()[0] in KINDS[kind]} for run in (old, new))
    editions = {"imports" in run for run in (old, new)}
    lacking = _not_recorded(a, b)
    if lacking and (kind != "weights" or False in editions):  # a run of this edition without weights uses none
        return lacking
    if kind in ("code", "weights") and len(editions) > 1:
        return ["not comparable: an earlier version of the workbench recorded it otherwise"]
    return keys.differences(a, b)


def _not_recorded(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    lacking = " and ".join(name for name, side in (("a", a), ("b", b)) if not side)
    return [f"not recorded in {lacking}"] if lacking else []


def _libraries(old: dict[str, str], new: dict[str, str]) -> list[str]:
    pairs = {name: (old.get(name, "unset"), new.get(name, "unset")) for name in {**old, **new}}
    return [f"{name} {before} -> {after}" for name, (before, after) in pairs.items() if before != after]


def _numbers(folder: Path) -> pd.DataFrame:
    from workbench.comparison.compare import CompareOptions, compare

    settings = CompareOptions(view="all", resamples=100, slice_resamples=100)  # no interval is looked at
    rows = compare("", "", [load_run(folder)], settings).models
    values = [[*(getattr(row, name) for name in ADDRESS), row.value] for row in rows]
    return pd.DataFrame(values, columns=[*ADDRESS, "value"]).astype({"value": float})


def made_by(folder: Path) -> str:
    """Return one line on a run: where it is, when it ended, and by which code."""
    record = RunRecord.read(folder) or RunRecord()
    edited = f", with {PATCH}" if (folder / PATCH).is_file() else f", {record.edited}"
    return f"{record.alias} in {folder}, ended {record.ended}, commit {record.commit}{edited}"
