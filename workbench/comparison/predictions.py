"""What a finished run left behind, as arrays: its scores of every test set, its thresholds, its record.

Read from `run.json`, `metrics.json` and `predictions.parquet` with pyarrow and numpy alone; what no model changes comes
from the study's `posts.parquet`. No model is needed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench import fingerprint
from workbench.comparison import facts, folds
from workbench.comparison.facts import Facts, PostFacts
from workbench.comparison.run_files import Metrics, RunFile, RunRecord, model_of, named, scored
from workbench.errors import TaxonomyMismatch, WorkbenchError
from workbench.schema import INPUTS


@dataclass(frozen=True, kw_only=True)
class Scores(PostFacts):
    """One run on one test set: the facts of its n posts, and logit, prob (S, n, L) float64 of S seeds.

    Runs of one study share the arrays of facts. Scores are NaN where the model saw nothing. thresholds, prevalence (S,
    n, L): those of the training that scored each post, None where they are the run's for all posts; folds: of so many
    trainings by fold, one after the other, the first axis is made.
    """

    logit: np.ndarray
    prob: np.ndarray
    thresholds: np.ndarray | None = None
    prevalence: np.ndarray | None = None
    folds: int = 1


COSTS = ("ms_per_post", "peak_mb", "fit_seconds", "parameters")
"""What a run's record says of what its model takes: per post, in memory, to train one seed, and in numbers to learn."""


@dataclass(frozen=True)
class Run:
    """One finished run: thresholds (S, L) in probability and prevalence (L,) in training, NaN where undefined.

    modalities: the content that the model looks at; columns: everything of a post that its scores depend on.
    costs: name of COSTS -> number, or None where the record does not tell; facts: the digest of the posts' facts.
    parts: the runs of all folds where this is what they say together; its thresholds and prevalence are then their
    means, and what counts for a post is what `cuts` and `base` say.
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
    record: RunRecord = field(default_factory=RunRecord)
    metrics: Metrics = field(default_factory=Metrics)
    facts: str = ""
    parts: tuple[Run, ...] = ()

    def cuts(self, test: str) -> np.ndarray:
        """Return the thresholds that each post of a set meets (S, n, L)."""
        scores = self.sets[test]
        own = scores.thresholds
        return np.broadcast_to(self.thresholds[:, None], scores.prob.shape) if own is None else own

    def base(self, test: str) -> np.ndarray:
        """Return how frequent each label was in the training that scored each post of a set (S, n, L)."""
        scores = self.sets[test]
        return np.broadcast_to(self.prevalence, scores.prob.shape) if scores.prevalence is None else scores.prevalence

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the runs that it is made of."""
        return tuple(part.key for part in self.parts) or (self.key,)

    @property
    def name(self) -> str:
        """What it is called among the runs of its study."""
        return self.alias if self.parts else named(self.alias, self.record.fold)

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

    def only(self, seed: int) -> Run:
        """Return the run as if this seed alone had been trained."""
        at = [self.seeds.index(seed)]
        sets = {
            name: replace(scores, logit=scores.logit[at], prob=scores.prob[at]) for name, scores in self.sets.items()
        }
        return replace(self, seeds=(seed,), thresholds=self.thresholds[at], sets=sets)

    @property
    def unimodal(self) -> bool:
        """Whether the model looks at one modality and at nothing around it."""
        return len(self.modalities) == 1 and set(self.columns) <= set(self.modalities)


def load_run(folder: Path | str) -> Run:
    """Read a finished run; raise WorkbenchError in one sentence where it is unfinished or its files do not fit."""
    return _load(Path(folder), facts.read)


def load_runs(folders: Mapping[str, Path]) -> list[Run]:
    """Read finished runs, name -> folder, as `load_run` does each; the facts of a study's posts are read once.

    Those of the folds of one model are one run, whose sets are of all posts. Raises WorkbenchError where one lacks.
    """
    read, models = cache(facts.read), {}
    for name, folder in folders.items():
        alias = model_of(name)
        models.setdefault(alias, {})[name] = replace(_load(folder, read), alias=alias)
    return [
        _joined(alias, [*parts.values()]) if parts.keys() != {alias} else parts[alias]
        for alias, parts in models.items()
    ]


def _joined(alias: str, parts: Sequence[Run]) -> Run:
    """Return the runs of all folds as one."""
    folds.check(alias, [part.record for part in parts])
    parts = sorted(parts, key=lambda part: part.record.fold)
    first, sets = parts[0], {name: _gathered(parts, name) for name in parts[0].sets}
    return replace(
        first,
        thresholds=np.mean([part.thresholds for part in parts], axis=0),
        prevalence=np.mean([part.prevalence for part in parts], axis=0),
        costs=folds.costs([part.costs for part in parts]),
        sets=sets,
        record=folds.record([part.record for part in parts]),
        metrics=folds.metrics([part.metrics for part in parts]),
        parts=tuple(parts),
    )


_BY_TRAINING = ("logit", "prob", "thresholds", "prevalence")


def _gathered(parts: Sequence[Run], name: str) -> Scores:
    """Return a set as all folds scored it: each its own posts, or where it is not dealt out every one all of them."""
    every = [replace(part.sets[name], thresholds=part.cuts(name), prevalence=part.base(name)) for part in parts]
    if every[0].fold is None:
        stacked = {kind: np.concatenate([getattr(one, kind) for one in every]) for kind in _BY_TRAINING}
        return replace(every[0], **stacked, folds=len(every))
    order = np.argsort(np.concatenate([one.post_id for one in every]), kind="stable")

    def together(kind: str) -> Any:
        values, axis = [getattr(one, kind) for one in every], int(kind in _BY_TRAINING)
        if isinstance(values[0], dict):
            return {key: np.concatenate([some[key] for some in values])[order] for key in values[0]}
        if not isinstance(values[0], np.ndarray):
            return values[0]
        return np.take(np.concatenate(values, axis=axis), order, axis=axis)

    return replace(every[0], **{one.name: together(one.name) for one in fields(Scores)})


def _load(folder: Path, read: Callable[[Path], Facts]) -> Run:
    record, metrics = _record(RunRecord, folder), _record(Metrics, folder)
    if record.state not in ("", "done"):
        raise WorkbenchError(f"the run in {folder} is {record.state}; `workbench run` does what is missing")
    try:
        with pq.ParquetFile(folder / "predictions.parquet") as file:
            about = json.loads((file.schema_arrow.metadata or {})[b"workbench"])
            labels = tuple(about["labels"])
            posts = _facts(folder, file, about, scored(record.inputs), read)
            own = [f"{kind}_{label}" for kind in ("logit", "prob") for label in labels]
            table = file.read(["post_id", "split", "seed", *own])
        if (posts.labels, posts.taxonomy) != (labels, about["taxonomy"]):
            theirs = f"{posts.taxonomy}: {', '.join(posts.labels)}"
            raise TaxonomyMismatch(
                f"the run in {folder} was trained for another taxonomy ({about['taxonomy']}: {', '.join(labels)}) than "
                f"its posts are labelled by ({theirs}); `workbench run STUDY` makes it again"
            )
        seeds = tuple(sorted(table["seed"].unique().to_pylist()))
        thresholds, prevalence = metrics.thresholds, metrics.train_prevalence or about.get("train_prevalence") or {}
        return Run(
            alias=record.alias or about["model"],
            key=record.key,
            folder=folder,
            taxonomy=about["taxonomy"],
            labels=labels,
            modalities=tuple(about["modalities"]),
            columns=tuple(about.get("columns", about["modalities"])),
            seeds=seeds,
            thresholds=_floats([[thresholds.get(name, {}).get(str(seed)) for name in labels] for seed in seeds]),
            prevalence=_floats([prevalence.get(name) for name in labels]),
            costs={name: getattr(record, name) for name in COSTS},
            sets=_sets(table, posts, labels, seeds, folder, record.fold),
            record=record,
            metrics=metrics,
            facts=posts.digest,
        )
    except KeyError as error:
        raise WorkbenchError(f"the run in {folder} lacks {error}; `workbench run STUDY --all` makes it again") from None
    except (OSError, pa.ArrowException, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())
        raise WorkbenchError(f"cannot read {folder / 'predictions.parquet'} ({reason}); run the study again") from None


_File = TypeVar("_File", bound=RunFile)


def _record(kind: type[_File], folder: Path) -> _File:
    """Return a run's JSON file, or raise WorkbenchError saying what its absence means."""
    record = kind.read(folder)
    if record is None:
        fault = f"{folder / kind.FILE} cannot be read, so the run is unfinished"
        raise WorkbenchError(f"{fault}; `workbench run` redoes it")
    return record


def _facts(
    folder: Path, file: pq.ParquetFile, about: dict[str, Any], data: dict[str, Any], read: Callable[[Path], Facts]
) -> Facts:
    """Return the facts of the posts that a run scored: its study's, its own where it ran alone, or of an old run."""
    alone = folder / facts.NAME
    path = alone if alone.is_file() else facts.place(folder.parent, data)
    old = f"y_{about['labels'][0]}" in file.schema_arrow.names  # from before there was a posts.parquet
    if old and not path.is_file():
        return facts.of_predictions(file.read(), about["labels"], about["taxonomy"], f"the run in {folder}")
    posts = read(path)
    if data and posts.data not in (None, data) and posts.data not in facts.alike(folder.parent, data):
        raise WorkbenchError(f"{path} tells of other posts than the run in {folder} scored; {_AGAIN}")
    return posts


def _floats(values: Any) -> np.ndarray:
    """Return nested lists of numbers and None as float64, None as NaN."""
    return np.array(values, dtype=object).astype(np.float64)


def _sets(
    table: pa.Table, posts: Facts, labels: Sequence[str], seeds: Sequence[int], folder: Path, fold: int | None
) -> dict[str, Scores]:
    """Return the scores of every set, validation included, in the order of their names; fold: which one is tested."""
    sets = {}
    for name in sorted(table["split"].unique().to_pylist()):
        what = f"the {name!r} set of the run in {folder}"
        if name not in posts.sets:
            raise WorkbenchError(f"{what} is none of the study's ({', '.join(posts.sets)}); {_AGAIN}")
        rows, about = table.filter(pc.equal(table["split"], name)), posts.sets[name].of_fold(fold)
        places = _places(rows, about.post_id, seeds, what)
        sets[name] = Scores(
            **vars(about),
            **{
                kind: np.stack([rows[f"{kind}_{name}"].to_numpy()[places] for name in labels], -1, dtype=np.float64)
                for kind in ("logit", "prob")
            },
        )
    return sets


_AGAIN = "`workbench run STUDY` scores the posts as they are now"


def _places(rows: pa.Table, post_id: np.ndarray, seeds: Sequence[int], what: str) -> np.ndarray:
    """Return which row scores each post (S, n); raise WorkbenchError unless every seed scored each post once."""
    place = pc.index_in(rows["post_id"], value_set=pa.array(post_id))
    if place.null_count:
        stray = rows["post_id"].filter(pc.is_null(place))
        raise WorkbenchError(
            f"{what} holds {len(stray)} scores of posts that are not in {facts.NAME} (such as {stray[0].as_py()!r}); "
            f"{_AGAIN}"
        )
    seed = np.searchsorted(seeds, rows["seed"].to_numpy())
    flat = seed * len(post_id) + place.to_numpy()
    counts = np.bincount(flat, minlength=len(seeds) * len(post_id))
    for wrong, fault in ((counts > 1, "more than once"), (counts < 1, "with no score of some seed")):
        if wrong.any():
            post = str(post_id[np.flatnonzero(wrong)[0] % len(post_id)])
            raise WorkbenchError(f"{what} holds post {post!r} {fault}; {_AGAIN}")
    return np.argsort(flat, kind="stable").reshape(len(seeds), len(post_id))


def check_same_items(runs: Sequence[Run]) -> None:
    """Raise WorkbenchError unless all runs have the same labels and the very same facts of the same posts."""
    first, *others = runs
    for other in others:
        pair = f"{first.alias!r} and {other.alias!r}"
        if (first.taxonomy, first.labels) != (other.taxonomy, other.labels):
            theirs = f"{first.taxonomy}: {', '.join(first.labels)}; {other.taxonomy}: {', '.join(other.labels)}"
            raise TaxonomyMismatch(f"{pair} were trained for different taxonomies ({theirs}); train both on one")
        if first.facts != other.facts or first.sets.keys() != other.sets.keys():
            sets = sorted(first.sets.keys() ^ other.sets.keys())
            differ = f"only one of them scored {', '.join(sets)}" if sets else f"their {facts.NAME} differ"
            raise WorkbenchError(
                f"{pair} were scored on different items: {differ}; score both on one corpus and split with "
                "`workbench run STUDY`"
            )


def sources(runs: Sequence[Run]) -> dict[str, str]:
    """Return the name of each run -> sha256 of the predictions that a comparison is made from."""
    every = [part for run in runs for part in run.parts or (run,)]
    return {part.name: fingerprint.of_file(part.folder / "predictions.parquet") for part in every}
