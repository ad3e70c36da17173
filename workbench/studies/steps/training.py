"""What one run executes: load and split the posts, fit a model once per seed, calibrate, score, write it all.

Notebook 03 calls these steps one by one. train fits, validation calibrates and chooses thresholds, the test sets are
only scored. From calibration on, all scores are those of the moderators that are saved as bundles.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench import device as devices
from workbench import fingerprint, models
from workbench.artifacts import write_json
from workbench.corpora import counts
from workbench.decisions import fitting
from workbench.decisions.moderator import Moderator
from workbench.decisions.policy import LabelRule
from workbench.decisions.thresholds import LabelObjectives, objectives
from workbench.errors import WorkbenchError, unknown_label
from workbench.evidence import audit
from workbench.features.store import FeatureStore
from workbench.metrics import classification
from workbench.schema import ROOT, Taxonomy, inputs, label_matrix, paired
from workbench.studies.steps import division

_FITTED = ("train", "validation")
_SECONDS, _UNREAD = b"seconds", b"unread"
TIMED_POSTS = 256  # how many test posts are scored once more, from raw content, to time a model


@dataclass(frozen=True)
class Material:
    """Posts, divided: `sets` has train, validation, test and the study's further test sets; `dropped` are in none."""

    taxonomy: Taxonomy
    sets: dict[str, pa.Table]
    digests: dict[str, str]
    overlap: dict[str, Any]
    dropped: int = 0

    @property
    def scored(self) -> dict[str, pa.Table]:
        """The sets that models score: all but what they learn from."""
        return {name: posts for name, posts in self.sets.items() if name != "train"}

    def column(self, label: str) -> int:
        """Return the column of a label of which train and test know both classes; raises WorkbenchError for another."""
        if label not in self.taxonomy.names:
            raise WorkbenchError(unknown_label(label, self.taxonomy.names))
        k = self.taxonomy.names.index(label)
        for name in ("train", "test"):
            y, known = (part[:, k] for part in label_matrix(self.sets[name], self.taxonomy))
            harmful, n = int((y * known).sum()), int(known.sum())
            if not 0 < harmful < n:
                raise WorkbenchError(
                    f"{name} has {harmful} posts that are {label!r} and {n - harmful} that are not, and needs both; "
                    "choose another label or more posts"
                )
        return k

    def summary(self) -> pd.DataFrame:
        """Return a table, one row per set: posts, groups, paired posts, and known positives per label."""
        rows = {}
        for name, table in self.sets.items():
            y, known = label_matrix(table, self.taxonomy)
            positives = dict(zip(self.taxonomy.names, (y * known).sum(axis=0).astype(int).tolist(), strict=True))
            groups = pc.count_distinct(table["group"]).as_py()
            rows[name] = {"posts": len(table), "groups": groups, "paired": int(paired(table).sum()), **positives}
        return pd.DataFrame.from_dict(rows, orient="index")

    def overlaps(self) -> pd.DataFrame:
        """Return a table, one row per relation: how many contents cross the split, of how many, and why they may."""
        rows = {relation: {"allowed": "", **found} for relation, found in self.overlap.items()}
        return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=["overlap", "of", "posts", "allowed"])


@dataclass(frozen=True)
class Fitted:
    """A trained model for one seed, and the seconds that training took."""

    seed: int
    model: models.Classifier
    seconds: float


@dataclass(frozen=True)
class Ready:
    """A seed's moderator, the rules of all labels (also of those it does not decide about), seconds of training."""

    seed: int
    moderator: Moderator
    rules: dict[str, LabelRule]
    seconds: float


def prepare(
    corpus: dict[str, Any],
    split: dict[str, Any],
    tests: dict[str, dict],
    taxonomy: Taxonomy,
    leaks: dict[str, Any] | None = None,
) -> Material:
    """Load and divide a corpus as `division.divide` does.

    Raises WorkbenchError as that does, and (LeakFound) for content that crosses the split and is not allowed to by
    `leaks`.
    """
    allowed = audit.LeakOptions.parse(leaks, "leaks")
    sets, digests, dropped = division.divide(corpus, split, tests, taxonomy)
    about = audit.depends(digests, split, taxonomy)
    asked = {"later_tests": allowed.later_tests, "key": about}
    findings = audit.overlap(sets) | audit.look(sets, taxonomy, allowed.fail_on, **asked)
    audit.hold(findings, allowed)
    for relation, reason in allowed.allow.items():
        findings.get(relation, {})["allowed"] = reason
    return Material(taxonomy, sets, digests, findings, dropped)


def fit(
    name: str, options: dict[str, Any], material: Material, seeds: Sequence[int], store: FeatureStore
) -> list[Fitted]:
    """Train one model per seed on the train set; where the seed changes nothing, one model stands for all seeds."""
    if not seeds or isinstance(seeds, str) or len(set(seeds)) < len(seeds):
        how = "in papermill by -y 'seeds: [0, 1]'" if isinstance(seeds, str) else "give each once"
        raise WorkbenchError(f"seeds must be a list of different numbers, not {seeds!r}; {how}")
    models.meet(name, options, material.taxonomy, material.scored)
    fitted: list[Fitted] = []
    for seed in seeds:
        if fitted and not fitted[0].model.varies:
            fitted.append(replace(fitted[0], seed=seed, seconds=0.0))
            continue
        started = time.perf_counter()
        model = models.create(name, options, taxonomy=material.taxonomy, store=store)
        model.fit(material.sets["train"], material.sets["validation"], seed=seed)
        fitted.append(Fitted(seed, model, time.perf_counter() - started))
    return fitted


def moderate(
    fitted: Sequence[Fitted],
    material: Material,
    wanted: Mapping[str, LabelObjectives] | None = None,
    calibration: str = "auto",
) -> list[Ready]:
    """Return each seed's moderator, calibrated on validation, with thresholds chosen there for what is wanted."""
    wanted = wanted or objectives({}, material.taxonomy.names)
    ready: list[Ready] = []
    for entry in fitted:
        same = next((other for other in ready if other.moderator.classifier is entry.model), None)
        if same is not None:
            ready.append(replace(same, seed=entry.seed, seconds=entry.seconds))
            continue
        moderator, rules = fitting.fit(entry.model, material.sets["validation"], wanted, entry.model.name, calibration)
        ready.append(Ready(entry.seed, moderator, rules, entry.seconds))
    return ready


def policy_table(ready: Sequence[Ready]) -> pd.DataFrame:
    """Return a table, one row per seed and label: both thresholds, what each was chosen for and did on validation."""
    rows = {}
    for trained in ready:
        for label, rule in trained.rules.items():
            row: dict[tuple[str, str], Any] = {}
            for action, chosen in (("review", rule.review_for), ("remove", rule.remove_for)):
                row[action, "from"] = "never" if chosen is None or chosen.at is None else f"{chosen.at:.3f}"
                row[action, "for"] = "" if chosen is None else str(chosen.objective)
                for name in ("precision", "recall"):
                    some = chosen is not None and chosen.at is not None
                    row[action, name] = "{:.2f} [{:.2f}, {:.2f}]".format(*getattr(chosen, name)) if some else ""
            rows[trained.seed, label if label in trained.moderator.labels else f"{label} (untrained)"] = row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(frame.index, names=["seed", "label"])
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    return frame


def score(ready: Sequence[Ready], material: Material) -> pa.Table:
    """Return every seed's predictions on validation and the test sets, in the columns of `predictions.parquet`.

    post_id, split and seed say whose they are; logit is the classifier's, in float32; prob is the moderator's
    calibrated probability, in float64, so that thresholds chosen on the one flag the same posts in the other. What no
    model changes stands in the study's `posts.parquet`. The table's metadata says how long it took, and how many posts
    of each set bring content of each modality that the first seed's model could not read.
    """
    parts, unread, started = [], {}, time.perf_counter()
    for name, table in material.sets.items():
        if name != "train":
            logits: dict[int, np.ndarray] = {}
            for trained in ready:
                model = trained.moderator.classifier
                if id(model) not in logits:  # a model that no seed changes scores once
                    made = model.predict(inputs(table))
                    logits[id(model)] = made.logits
                    unread.setdefault(name, {key: sum(map(bool, why)) for key, why in made.unread.items()})
                parts.append(_scored(table["post_id"], name, trained, logits[id(model)], material.taxonomy))
    about = {_SECONDS: str(time.perf_counter() - started), _UNREAD: json.dumps(unread)}
    return pa.concat_tables(parts).replace_schema_metadata(about)


def _scored(post_id: pa.ChunkedArray, split: str, ready: Ready, logits: np.ndarray, taxonomy: Taxonomy) -> pa.Table:
    """One set's logits and probabilities (n_posts, n_labels) of one seed."""
    probs = ready.moderator.calibrated(logits)
    columns: dict[str, Any] = {"post_id": post_id, "split": pa.array([split] * len(logits), pa.string())}
    columns["seed"] = pa.array(np.full(len(logits), ready.seed, np.int64))
    for k, label in enumerate(taxonomy.names):
        columns[f"logit_{label}"] = pa.array(logits[:, k], pa.float32())
        columns[f"prob_{label}"] = pa.array(probs[:, k], pa.float64())
    return pa.table(columns)


def thresholds(ready: Sequence[Ready]) -> dict[str, dict[str, float | None]]:
    """Return, per label and seed, the probability at or above which a post is flagged: what the policy reviews from.

    Without a policy of the study's own it is the best F1 on validation. None where no threshold qualified, and above
    every probability where flagging nothing is what serves the objective best.
    """
    return {
        label: {str(trained.seed): trained.rules[label].flags_from for trained in ready} for label in ready[0].rules
    }


def removals(ready: Sequence[Ready], cards: Mapping[int, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, per label and seed, what `metrics.json` keeps of removal: how its threshold was found, and its worth.

    cards: those of each seed's bundle; `test` is what the threshold did there, None without a threshold or a test set.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for trained in ready:
        moderator, measured = trained.moderator, cards[trained.seed]["measured"].get("test", {})
        waiting = moderator.policy.waiting(moderator.taxonomy.reactive)
        for label in moderator.labels:
            if (chosen := trained.rules[label].remove_for) is not None:
                about = {"chosen": chosen.model_dump(mode="json"), "test": measured.get(label, {}).get("remove")}
                found.setdefault(label, {})[str(trained.seed)] = about | {"waits": label in waiting}
    return found


def time_per_post(bundle: Path, material: Material, store: FeatureStore) -> float:
    """Return milliseconds per post from raw content to score, with no feature known before, by a saved model.

    The moderator is loaded from its bundle, so that every run also proves that the bundle scores.
    """
    table = inputs(material.sets["test"].slice(0, TIMED_POSTS))
    warm = Moderator.load(bundle, taxonomy=material.taxonomy, store=FeatureStore(None, store.device))
    warm.probabilities(table.slice(0, 8))  # what is built at first use is no part of a post's cost
    cold = Moderator.load(bundle, taxonomy=material.taxonomy, store=FeatureStore(None, store.device))
    started = time.perf_counter()
    cold.probabilities(table)
    return 1000 * (time.perf_counter() - started) / max(len(table), 1)


def save(
    folder: Path | str,
    ready: Sequence[Ready],
    predictions: pa.Table,
    material: Material,
    store: FeatureStore,
    search: dict[str, Any] | None = None,
) -> dict:
    """Write `predictions.parquet`, one bundle per seed and `metrics.json` (last), and return what metrics.json says.

    search: the record of how the options were chosen (`search.Found.record`), None where nothing was searched.
    What an earlier run left in the folder under these names goes first, so that nothing of it is taken for this run's.
    """
    folder = ROOT / folder
    _clear(folder)
    seeds, sets, first = [trained.seed for trained in ready], material.sets, ready[0].moderator
    about = _about(first.classifier, material)
    took = (predictions.schema.metadata or {}).get(_SECONDS)
    pq.write_table(
        predictions.replace_schema_metadata({"workbench": json.dumps(about)}),
        folder / "predictions.parquet",
        compression="zstd",
    )
    cards = {trained.seed: _card(trained, predictions, material) | _machine(store) for trained in ready}
    for trained in ready:
        trained.moderator.described(cards[trained.seed]).save(folder / "bundle" / str(trained.seed))
    metrics = about | {
        "thresholds": thresholds(ready),
        "removal": removals(ready, cards),
        "calibration": fitting.calibration_record(
            {trained.seed: trained.moderator for trained in ready}, predictions, sets, material.taxonomy
        ),
        "n_train": len(sets["train"]),
        "fit_seconds": float(np.mean([trained.seconds for trained in ready if trained.seconds] or [0.0])),
        "parameters": first.classifier.parameters,
        "ms_per_post": time_per_post(folder / "bundle" / str(seeds[0]), material, store),
        "seconds": {"fit": sum(trained.seconds for trained in ready), "score": took and float(took)},
        "digests": material.digests,
        "items": {
            name: fingerprint.of_items(sets[name]["post_id"].to_pylist()) for name in sets if name not in _FITTED
        },
        "overlap": material.overlap,
        "dropped": material.dropped,
        **counts.record(sets, material.taxonomy),
        "unread": json.loads((predictions.schema.metadata or {}).get(_UNREAD, b"{}")),
        "feature_hits": store.hits,
        "search": search,
        "gains": {str(trained.seed): trained.moderator.classifier.record.get("gains", {}) for trained in ready},
        **_machine(store),
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def _clear(folder: Path) -> None:
    """Make a run's folder, or empty it of an earlier run's results."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "predictions.parquet"):
        (folder / name).unlink(missing_ok=True)
    for head in ("moderator.json", "model.json"):
        for old in (folder / "bundle").glob(f"*/{head}"):
            shutil.rmtree(old.parent)


def _card(ready: Ready, predictions: pa.Table, material: Material) -> dict[str, Any]:
    """What a bundle says of itself: the posts it was made from, and what it is worth on each set that was scored."""
    mine = predictions.filter(pc.equal(predictions["seed"], ready.seed))
    measured: dict[str, dict[str, Any]] = {}
    for name in (name for name in material.sets if name != "train"):
        rows = mine.filter(pc.equal(mine["split"], name))
        y, known = label_matrix(material.sets[name], material.taxonomy)
        about = pc.fill_null(material.sets[name]["weight"], 1.0).to_numpy(), fitting.group_names(material.sets[name])
        measured[name] = {
            label: fitting.measure(rows[f"prob_{label}"].to_numpy(), y[:, k], known[:, k], ready.rules[label], *about)
            for k, label in enumerate(material.taxonomy.names)
            if label in ready.moderator.labels
        }
    return {
        "seed": ready.seed,
        "made": dt.datetime.now(dt.UTC).date().isoformat(),
        "posts": {name: len(table) for name, table in material.sets.items()},
        "digests": material.digests,
        "measured": measured,
    }


def _about(model: models.Classifier, material: Material) -> dict[str, Any]:
    """What the predictions are of: the model, the labels, and how frequent each was in training, null where unknown."""
    labels = material.taxonomy.names
    y, known = label_matrix(material.sets["train"], material.taxonomy)
    count, positives = known.sum(0), (y * known).sum(0)
    return {
        "labels": list(labels),
        "model": model.name,
        "modalities": list(model.modalities),
        "columns": list(model.columns),
        "taxonomy": material.taxonomy.fingerprint,
        "train_prevalence": {
            label: float(positives[k] / count[k]) if count[k] else None for k, label in enumerate(labels)
        },
    }


def _machine(store: FeatureStore) -> dict[str, Any]:
    where = devices.device(str(store.device))
    return {
        "device": str(where),
        "dtype": str(devices.dtype(where)).removeprefix("torch."),
        "peak_mb": devices.peak_memory_mb(where),
    }


def quality(predictions: pa.Table, ready: Sequence[Ready], material: Material) -> pd.DataFrame:
    """Return AP, precision and recall at the chosen threshold per set and label, over scored rows, mean over seeds.

    A first look at one run; what models are compared by stands in `comparison`, with intervals and on the same rows.
    """
    rows, cuts = {}, thresholds(ready)
    for name in pc.unique(predictions["split"]).to_pylist():
        part = predictions.filter(pc.equal(predictions["split"], name)).to_pandas()
        y, known = label_matrix(material.sets[name], material.taxonomy)
        for k, label in enumerate(material.taxonomy.names):
            values = []
            for seed, threshold in cuts[label].items():
                scored = part[part["seed"] == int(seed)]
                use = known[:, k] & scored[f"prob_{label}"].notna().to_numpy()
                truth, prob = y[use, k] > 0.5, scored[f"prob_{label}"].to_numpy()[use]
                ranks = scored[f"logit_{label}"].to_numpy()[use]  # tells apart what is certain in both
                at = classification.confusion(truth, prob, threshold=np.nan if threshold is None else threshold)
                ranked = classification.average_precision(truth, ranks)
                values.append((use.sum(), truth.sum(), ranked, at.precision, at.recall))
            rows[name, label] = np.mean(values, axis=0)
    columns = ["n", "positives", "average precision", "precision", "recall"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    frame.index = pd.MultiIndex.from_tuples(frame.index)
    return frame
