"""What one run executes: load and split the posts, fit a model once per seed, score, choose thresholds, write it all.

Notebook 03 calls these steps one by one. train fits, validation chooses thresholds, the test sets are only scored.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import expit

from workbench import corpora, models
from workbench import device as devices
from workbench.corpora import splits
from workbench.features.store import FeatureStore
from workbench.metrics import classification
from workbench.schema import ROOT, Taxonomy, WorkbenchError, declared, inputs, label_matrix
from workbench.studies import write_json
from workbench.studies.predictions import items_digest

SLICES = ("community", "language", "region")
_FITTED = ("train", "validation")
TIMED_POSTS = 256  # how many test posts are scored once more, from raw content, to time a model


@dataclass(frozen=True)
class Material:
    """Posts, divided: `sets` has train, validation, test and the study's further test sets."""

    taxonomy: Taxonomy
    sets: dict[str, pa.Table]
    digests: dict[str, str]
    crossing: dict[str, Any]

    def summary(self) -> pd.DataFrame:
        """Return a table, one row per set: posts, groups, paired posts, and known positives per label."""
        rows = {}
        for name, table in self.sets.items():
            y, known = label_matrix(table, self.taxonomy)
            has = declared(table)
            paired = has["text"] & (has["image"] | has["video"])
            positives = {label: int((y[:, k] * known[:, k]).sum()) for k, label in enumerate(self.taxonomy.names)}
            groups = pc.count_distinct(table["group"]).as_py()
            rows[name] = {"posts": len(table), "groups": groups, "paired": int(paired.sum()), **positives}
        return pd.DataFrame.from_dict(rows, orient="index")


@dataclass(frozen=True)
class Fitted:
    """A trained model for one seed, and the seconds that training took."""

    seed: int
    model: models.Classifier
    seconds: float


def prepare(corpus: dict[str, Any], split: dict[str, Any], tests: dict[str, dict], taxonomy: Taxonomy) -> Material:
    """Load and divide a corpus; of a further test set, rows whose own split is not test are left out.

    Raises WorkbenchError for what cannot be loaded or divided, and for a further test set that has a taken name or
    holds no post.
    """
    for name in {"corpus", *splits.SPLITS} & set(tests):
        raise WorkbenchError(f"a further test set cannot be called {name!r}; choose a name that is no split")
    loaded = corpora.load(corpus, taxonomy)
    part = splits.assign(loaded.table, taxonomy, splits.SplitOptions.parse(split, "split"))
    sets = {name: loaded.table.filter(pa.array(part == name)) for name in splits.SPLITS}
    digests = {"corpus": loaded.digest}
    for name, config in tests.items():
        extra = corpora.load(config, taxonomy)
        held_out = pc.fill_null(pc.equal(extra.table["split"], "test"), True)
        sets[name], digests[name] = extra.table.filter(held_out), extra.digest
        if not len(sets[name]):
            raise WorkbenchError(f"test set {name!r} has no post whose split is test; map another `split`, or none")
    return Material(taxonomy, sets, digests, splits.crossing(loaded.table, part))


def fit(
    name: str, options: dict[str, Any], material: Material, seeds: Sequence[int], store: FeatureStore
) -> list[Fitted]:
    """Train one model per seed on the train set; where the seed changes nothing, one model stands for all seeds."""
    if not seeds or len(set(seeds)) < len(seeds):
        raise WorkbenchError(f"seeds must be one or more different numbers, not {list(seeds)}; give each once")
    fitted: list[Fitted] = []
    for seed in seeds:
        if fitted and not fitted[0].model.seeded:
            fitted.append(replace(fitted[0], seed=seed, seconds=0.0))
            continue
        started = time.perf_counter()
        model = models.create(name, options, taxonomy=material.taxonomy, store=store)
        model.fit(material.sets["train"], material.sets["validation"], seed=seed)
        fitted.append(Fitted(seed, model, time.perf_counter() - started))
    return fitted


def score(fitted: Sequence[Fitted], material: Material) -> pa.Table:
    """Return every seed's predictions on validation and the test sets, in the columns of `predictions.parquet`."""
    parts = []
    for name, table in material.sets.items():
        if name != "train":
            facts = _facts(table, name, material.taxonomy)
            parts += [_scored(facts, one, table, material.taxonomy) for one in fitted]
    return pa.concat_tables(parts, promote_options="default")


def _facts(table: pa.Table, split: str, taxonomy: Taxonomy) -> dict[str, Any]:
    """The columns of a set that no model changes."""
    columns: dict[str, Any] = {"post_id": table["post_id"], "group": table["group"]}
    columns["split"] = pa.array([split] * len(table), pa.string())
    columns["weight"] = pc.fill_null(table["weight"], 1.0)
    columns |= {f"has_{name}": pa.array(there) for name, there in declared(table).items()}
    columns |= {name: table[name] for name in SLICES}
    columns |= {f"y_{name}": pc.struct_field(table["labels"], name) for name in taxonomy.names}
    if "truth" in table.column_names:
        for information in table.schema.field("truth").type:
            for label in information.type:
                exact = pc.struct_field(table["truth"], [information.name, label.name])
                columns[f"exact_{information.name}_{label.name}"] = exact
    return columns


def _scored(facts: dict[str, Any], fitted: Fitted, table: pa.Table, taxonomy: Taxonomy) -> pa.Table:
    """The facts of a set with one seed's scores beside them."""
    logits = fitted.model.logits(inputs(table))
    probs = expit(logits.astype(np.float64))
    columns = dict(facts) | {"seed": pa.array(np.full(len(table), fitted.seed, np.int64))}
    for k, label in enumerate(taxonomy.names):
        columns[f"logit_{label}"] = pa.array(logits[:, k], pa.float32())
        columns[f"prob_{label}"] = pa.array(probs[:, k].astype(np.float32))
    return pa.table(columns)


def thresholds(
    predictions: pa.Table, labels: Sequence[str], seeds: Sequence[int]
) -> dict[str, dict[str, float | None]]:
    """Return, per label and seed, the probability at or above which a post is flagged: the best F1 on validation."""
    validation = predictions.filter(pc.equal(predictions["split"], "validation"))
    chosen: dict[str, dict[str, float | None]] = {label: {} for label in labels}
    for seed in seeds:
        rows = validation.filter(pc.equal(validation["seed"], seed))
        for label in labels:
            y = rows[f"y_{label}"]
            prob = rows[f"prob_{label}"].to_numpy().astype(np.float64)
            use = y.is_valid().to_numpy() & ~np.isnan(prob)
            best = classification.best_f1_threshold(pc.fill_null(y, False).to_numpy()[use], prob[use])
            chosen[label][str(seed)] = None if np.isnan(best) else float(best)
    return chosen


def time_per_post(bundle: Path, material: Material, store: FeatureStore) -> float:
    """Return milliseconds per post from raw content to score, with no feature known before, by a saved model.

    The model is loaded from its bundle, so that every run also proves that the bundle scores.
    """
    table = inputs(material.sets["test"].slice(0, TIMED_POSTS))
    model = models.load(bundle, taxonomy=material.taxonomy, store=FeatureStore(None, store.device))
    model.logits(table.slice(0, 8))  # what is built at first use is no part of a post's cost
    cold = models.load(bundle, taxonomy=material.taxonomy, store=FeatureStore(None, store.device))
    started = time.perf_counter()
    cold.logits(table)
    return 1000 * (time.perf_counter() - started) / max(len(table), 1)


def save(
    folder: Path | str, fitted: Sequence[Fitted], predictions: pa.Table, material: Material, store: FeatureStore
) -> dict:
    """Write `predictions.parquet`, one bundle per seed and `metrics.json` (last), and return what metrics.json says.

    What an earlier run left in the folder under these names goes first, so that nothing of it is taken for this run's.
    """
    folder = ROOT / folder
    _clear(folder)
    labels, seeds, sets = material.taxonomy.names, [one.seed for one in fitted], material.sets
    about = _about(fitted[0].model, material)
    pq.write_table(
        predictions.replace_schema_metadata({"workbench": json.dumps(about)}),
        folder / "predictions.parquet",
        compression="zstd",
    )
    for one in fitted:
        one.model.save(folder / "bundle" / str(one.seed))
    metrics = about | {
        "thresholds": thresholds(predictions, labels, seeds),
        "n_train": len(sets["train"]),
        "ms_per_post": time_per_post(folder / "bundle" / str(seeds[0]), material, store),
        "seconds": {"fit": sum(one.seconds for one in fitted)},
        "digests": material.digests,
        "items": {name: items_digest(sets[name]["post_id"].to_numpy()) for name in sets if name not in _FITTED},
        "crossing": material.crossing,
        "feature_hits": store.hits,
        **_machine(store),
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def _clear(folder: Path) -> None:
    """Make a run's folder, or empty it of an earlier run's results."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "predictions.parquet"):
        (folder / name).unlink(missing_ok=True)
    for old in (folder / "bundle").glob("*/model.json"):
        shutil.rmtree(old.parent)


def _about(model: models.Classifier, material: Material) -> dict[str, Any]:
    """What the predictions are of: the model, the labels, and how frequent each was in training, null where unknown."""
    labels = material.taxonomy.names
    y, known = label_matrix(material.sets["train"], material.taxonomy)
    count, positives = known.sum(0), (y * known).sum(0)
    return {
        "labels": list(labels),
        "model": model.name,
        "modalities": list(model.modalities),
        "taxonomy": material.taxonomy.fingerprint,
        "train_prevalence": {
            label: float(positives[k] / count[k]) if count[k] else None for k, label in enumerate(labels)
        },
    }


def _machine(store: FeatureStore) -> dict[str, Any]:
    """Device, number format of encoders and peak memory."""
    where = devices.device(str(store.device))
    return {
        "device": str(where),
        "dtype": str(devices.dtype(where)).removeprefix("torch."),
        "peak_mb": devices.peak_memory_mb(where),
    }


def quality(predictions: pa.Table, metrics: dict[str, Any]) -> pd.DataFrame:
    """Return AP, precision and recall at the chosen threshold per set and label, over scored rows, mean over seeds.

    A first look at one run; what models are compared by stands in `comparison`, with intervals and on the same rows.
    """
    rows = {}
    for name in pc.unique(predictions["split"]).to_pylist():
        part = predictions.filter(pc.equal(predictions["split"], name)).to_pandas()
        for label in metrics["labels"]:
            values = []
            for seed, threshold in metrics["thresholds"][label].items():
                one = part[(part["seed"] == int(seed)) & part[f"y_{label}"].notna() & part[f"prob_{label}"].notna()]
                y, prob = one[f"y_{label}"].to_numpy(bool), one[f"prob_{label}"].to_numpy()
                cut = np.nan if threshold is None else threshold
                at = [metric(y, prob, threshold=cut) for metric in (classification.precision, classification.recall)]
                values.append((len(one), y.sum(), classification.average_precision(y, prob), *at))
            rows[name, label] = np.mean(values, axis=0)
    columns = ["n", "positives", "average precision", "precision", "recall"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    frame.index = pd.MultiIndex.from_tuples(frame.index)
    return frame
