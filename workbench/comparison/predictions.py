"""What a finished run left behind, as arrays: its scores of every test set, its thresholds, its record.

Read from `run.json`, `metrics.json` and `predictions.parquet` with pyarrow and numpy alone; no model is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench import fingerprint
from workbench.comparison.facts import read_identities, read_slices, read_votes
from workbench.errors import TaxonomyMismatch, WorkbenchError
from workbench.schema import INPUTS, MODALITIES


@dataclass(frozen=True)
class Scores:
    """One run on one test set; n posts sorted by post_id, L labels, S seeds.

    post_id, group (n,) str, a post without a group being its own; weight (n,) float64; paired (n,) bool, text with an
    image or a clip; y, known (n, L) bool, y False where unknown; logit, prob (S, n, L) float64, NaN where the model saw
    nothing; exact: information set -> (n, L) float64, the world's own probability, empty where there is no truth;
    slices, identities, votes: what `slicing.read_slices`, `read_identities` and `read_votes` return; suite: what a
    functional test tells of its cases, by `evidence.suites.FACTS` -> (n,) str, empty where it is none.
    """

    post_id: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    paired: np.ndarray
    y: np.ndarray
    known: np.ndarray
    logit: np.ndarray
    prob: np.ndarray
    exact: dict[str, np.ndarray]
    slices: dict[str, np.ndarray] = field(default_factory=dict)
    identities: dict[str, np.ndarray] = field(default_factory=dict)
    votes: np.ndarray | None = None
    suite: dict[str, np.ndarray] = field(default_factory=dict)


COSTS = ("ms_per_post", "peak_mb", "fit_seconds", "parameters")
"""What a run's record says of what its model takes: per post, in memory, to train one seed, and in numbers to learn."""


@dataclass(frozen=True)
class Run:
    """One finished run: thresholds (S, L) in probability and prevalence (L,) in training, NaN where undefined.

    modalities: the content that the model looks at; columns: everything of a post that its scores depend on.
    costs: name of COSTS -> number, or None where the record does not tell.
    """

    alias: str
    key: str
    folder: Path
    taxonomy: str
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    seeds: tuple[int, ...]
    thresholds: np.ndarray
    prevalence: np.ndarray
    costs: dict[str, float | None]
    sets: dict[str, Scores]
    columns: tuple[str, ...] = ()

    @property
    def information(self) -> str:
        """The name of what the model sees, as in `exact_<information>`: "text", "text+author", or "none".

        In the order of `schema.INPUTS`. Communities say nothing in a world with exact probabilities, and times only the
        period, which is always given; a language says nothing beside the text that is written in it.
        """
        seen = {*self.modalities, *self.columns} - {"post_id", "community", "created_at"}
        seen -= {"language"} if "text" in seen else set()
        known = [name for name in INPUTS.names if name in seen]
        return "+".join([*known, *(name for name in self.modalities if name not in known)]) or "none"

    @property
    def unimodal(self) -> bool:
        """Whether the model looks at one modality and at nothing around it."""
        return len(self.modalities) == 1 and set(self.columns) <= set(self.modalities)


def load_run(folder: Path | str) -> Run:
    """Read a finished run; raise WorkbenchError in one sentence where it is unfinished or its files do not fit."""
    folder = Path(folder)
    record, metrics = _json(folder / "run.json"), _json(folder / "metrics.json")
    if record.get("state", "done") != "done":
        raise WorkbenchError(f"the run in {folder} is {record['state']}; `workbench run` does what is missing")
    try:
        table = pq.read_table(folder / "predictions.parquet")
        about = json.loads((table.schema.metadata or {})[b"workbench"])
        labels = tuple(about["labels"])
        seeds = tuple(sorted(table["seed"].unique().to_pylist()))
        thresholds = metrics["thresholds"]
        prevalence = metrics.get("train_prevalence") or about.get("train_prevalence") or {}
        return Run(
            alias=record.get("alias") or about["model"],
            key=record["key"],
            folder=folder,
            taxonomy=about["taxonomy"],
            labels=labels,
            modalities=tuple(about["modalities"]),
            columns=tuple(about.get("columns", about["modalities"])),
            seeds=seeds,
            thresholds=_floats([[thresholds.get(name, {}).get(str(seed)) for name in labels] for seed in seeds]),
            prevalence=_floats([prevalence.get(name) for name in labels]),
            costs={name: record.get(name) for name in COSTS},
            sets=_sets(table, labels, len(seeds), folder),
        )
    except KeyError as error:
        raise WorkbenchError(f"the run in {folder} lacks {error}; `workbench run STUDY --all` makes it again") from None
    except (OSError, pa.ArrowException, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"cannot read {folder / 'predictions.parquet'} ({reason}); run the study again") from None


def _json(path: Path) -> dict[str, Any]:
    """Return a run's JSON file, or raise WorkbenchError saying what its absence means."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fault = f"{path} cannot be read ({error.__class__.__name__}), so the run is unfinished"
        raise WorkbenchError(f"{fault}; `workbench run` redoes it") from None


def _floats(values: Any) -> np.ndarray:
    """Return nested lists of numbers and None as float64, None as NaN."""
    return np.array(values, dtype=object).astype(np.float64)


def _sets(table: pa.Table, labels: Sequence[str], seeds: int, folder: Path) -> dict[str, Scores]:
    """Return the scores of every split, validation included, in the order of their names."""
    table = table.sort_by([("split", "ascending"), ("seed", "ascending"), ("post_id", "ascending")])
    sets = {}
    for name in sorted(table["split"].unique().to_pylist()):
        rows = table.filter(pc.equal(table["split"], name))
        sets[name] = _scores(rows, labels, seeds, f"{name!r} set of the run in {folder}")
    return sets


def _scores(rows: pa.Table, labels: Sequence[str], seeds: int, what: str) -> Scores:
    """Return one split as arrays; `rows` are sorted by seed, then post_id."""
    if len(rows) % seeds:
        raise WorkbenchError(f"the {what} holds different posts for different seeds; run the study again")
    n = len(rows) // seeds
    ids = rows["post_id"].to_numpy().astype(str).reshape(seeds, n)
    if (ids != ids[0]).any():
        raise WorkbenchError(f"the {what} holds different posts for different seeds; run the study again")
    if (ids[0, 1:] == ids[0, :-1]).any():
        twice = str(ids[0, 1:][ids[0, 1:] == ids[0, :-1]][0])
        raise WorkbenchError(f"the {what} holds post {twice!r} more than once; post ids must differ within a set")
    first = rows.slice(0, n)
    has = {name: _flags(first, f"has_{name}") for name in MODALITIES}
    group = pc.coalesce(pc.cast(first["group"], pa.string()), pc.cast(first["post_id"], pa.string()))
    known = np.stack([first[f"y_{name}"].is_valid().to_numpy() for name in labels], axis=-1)
    y = np.stack([_flags(first, f"y_{name}") for name in labels], axis=-1)

    def scored(kind: str) -> np.ndarray:
        return np.stack([_numbers(rows, f"{kind}_{name}").reshape(seeds, n) for name in labels], axis=-1)

    return Scores(
        post_id=ids[0],
        group=group.to_numpy().astype(str),
        weight=_numbers(first, "weight", 1.0),
        paired=has["text"] & (has["image"] | has["video"]),
        y=y,
        known=known,
        logit=scored("logit"),
        prob=scored("prob"),
        exact={name: _exact(first, name, labels) for name in _informations(first, labels)},
        slices=read_slices(first, has),
        identities=read_identities(first),
        votes=read_votes(first, labels),
        suite=_suite(first),
    )


def _suite(rows: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns `suite_<fact>` that say anything, as strings, null as ""."""
    names = [name for name in rows.column_names if name.startswith("suite_") and rows[name].null_count < len(rows)]
    return {name.removeprefix("suite_"): pc.fill_null(rows[name], "").to_numpy().astype(str) for name in names}


def _informations(rows: pa.Table, labels: Sequence[str]) -> list[str]:
    """Return the information sets that the columns `exact_<information>_<label>` name."""
    found = set()
    for name in (name.removeprefix("exact_") for name in rows.column_names if name.startswith("exact_")):
        # one label's name may end another's, so the longest that fits is meant
        fitting = [label for label in labels if name.endswith(f"_{label}")]
        found |= {name.removesuffix(f"_{max(fitting, key=len)}")} if fitting else set()
    return sorted(found)


def _exact(rows: pa.Table, information: str, labels: Sequence[str]) -> np.ndarray:
    """Return the world's probabilities (n, L) for one information set, NaN for labels it does not have."""
    columns = [f"exact_{information}_{label}" for label in labels]
    missing = np.full(len(rows), np.nan)
    return np.stack([_numbers(rows, name) if name in rows.column_names else missing for name in columns], axis=-1)


def _numbers(rows: pa.Table, name: str, missing: float = np.nan) -> np.ndarray:
    """Return a column as float64, null as `missing`."""
    return pc.fill_null(pc.cast(rows[name], pa.float64()), missing).to_numpy()


def _flags(rows: pa.Table, name: str) -> np.ndarray:
    """Return a column as bool, null as False."""
    return pc.fill_null(pc.cast(rows[name], pa.bool_()), False).to_numpy().astype(bool)


def items_digest(post_ids: np.ndarray) -> str:
    """Return sha256 over the sorted post ids, one a line: two comparisons with the same digest used the same items."""
    return hashlib.sha256("\n".join(sorted(post_ids.tolist())).encode("utf-8", "surrogatepass")).hexdigest()


def check_same_items(runs: Sequence[Run]) -> None:
    """Raise WorkbenchError unless all runs have the same labels, posts, groups and truths in every test set."""
    first, *others = runs
    for other in others:
        pair = f"{first.alias!r} and {other.alias!r}"
        if (first.taxonomy, first.labels) != (other.taxonomy, other.labels):
            theirs = f"{first.taxonomy}: {', '.join(first.labels)}; {other.taxonomy}: {', '.join(other.labels)}"
            raise TaxonomyMismatch(f"{pair} were trained for different taxonomies ({theirs}); train both on one")
        for name in sorted({*first.sets, *other.sets}):
            ours, theirs = (run.sets[name].post_id if name in run.sets else np.array([], str) for run in (first, other))
            differ = np.setxor1d(ours, theirs)
            if len(differ):
                raise WorkbenchError(
                    f"{pair} were scored on different items: {len(differ)} posts of {name!r} are in one run only "
                    f"(such as {str(differ[0])!r}); score both on one corpus and split with `workbench run STUDY --all`"
                )
            changed = _changed(first.sets[name], other.sets[name])
            if changed.any():
                raise WorkbenchError(
                    f"{pair} were scored on different items: {changed.sum()} posts of {name!r} differ in label, group, "
                    "weight or modalities; score both on one corpus and split with `workbench run STUDY --all`"
                )


def _changed(a: Scores, b: Scores) -> np.ndarray:
    """Return which posts (n,) are not the same item in two runs that scored the same ids."""
    labels = ((a.y != b.y) | (a.known != b.known)).any(axis=1)
    return labels | (a.group != b.group) | (a.weight != b.weight) | (a.paired != b.paired)


def sources(runs: Sequence[Run]) -> dict[str, str]:
    """Return alias -> sha256 of the predictions that a comparison is made from."""
    return {run.alias: fingerprint.of_file(run.folder / "predictions.parquet") for run in runs}
