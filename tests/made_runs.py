"""Run folders with made-up predictions, in a world whose truth is known; for the tests of what reads them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.comparison.predictions import load_run

LABELS = ("abuse", "violence")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def write_posts(folder, columns, labels, taxonomy):
    """Write the facts of posts into a folder, the last post first: the reader sorts."""
    table = pa.table(columns)
    about = {"labels": labels, "taxonomy": taxonomy}
    table = table.take(np.arange(len(table))[::-1]).replace_schema_metadata({"workbench": json.dumps(about)})
    pq.write_table(table, folder / "posts.parquet")


class World:
    """Posts with a text half and an image half; all labels need both halves, so each half alone says little.

    columns: further facts of the posts, such as those that results are sliced by, name -> (n,).
    """

    def __init__(self, n=400, *, seed=0, groups=None, rate=-1.0, labels=LABELS):
        rng = np.random.default_rng(seed)
        self.n, self.rng, self.labels, self.columns = n, rng, labels, {}
        self.post_id = np.array([f"p{i:05d}" for i in range(n)])
        self.group = self.post_id if groups is None else np.array([f"g{i % groups}" for i in range(n)])
        self.split = np.where(np.arange(n) % 4 == 0, "validation", "test")
        self.has_image = np.arange(n) % 3 != 2
        self.weight = np.ones(n)
        intent, scene = rng.integers(0, 4, n), rng.integers(0, 4, n)
        both = sigmoid(rate - 2 + 4.0 * (intent == scene))[:, None].repeat(len(labels), axis=1)
        self.exact = {
            "text+image": both,
            "text": np.full(both.shape, both.mean()),
            "image": np.full(both.shape, both.mean()),
        }
        self.exact["late-fusion"] = np.full(both.shape, both.mean())
        self.y = rng.random(both.shape) < both
        self.known = np.ones(both.shape, dtype=bool)

    def write(self, folder, alias, logit, *, modalities=("text",), thresholds=0.5, keep=None, exact=True, **changed):
        """Write a run folder from logits (S, n, L) and return the run as loaded."""
        keep, prob = np.arange(self.n) if keep is None else keep, sigmoid(logit)
        about = {"labels": self.labels, "model": alias, "modalities": modalities, "taxonomy": "t1"} | changed
        facts = {name: getattr(self, name)[keep] for name in ("post_id", "group", "split", "weight", "has_image")}
        facts |= {"has_text": np.ones(len(keep), bool), "has_video": np.zeros(len(keep), bool)}
        facts |= {name: values[keep] for name, values in self.columns.items()}
        for k, label in enumerate(self.labels):
            facts[f"y_{label}"] = pa.array(self.y[keep, k], mask=~self.known[keep, k])
            facts |= {f"exact_{name}_{label}": values[keep, k] for name, values in self.exact.items() if exact}
        parts = []
        for seed in range(len(logit)):
            columns = {"post_id": facts["post_id"], "split": facts["split"], "seed": np.full(len(keep), seed)}
            for k, label in enumerate(self.labels):
                columns[f"logit_{label}"] = logit[seed, keep, k].astype(np.float32)
                columns[f"prob_{label}"] = prob[seed, keep, k].astype(np.float32)
            parts.append(pa.table(columns))
        folder = folder / alias
        folder.mkdir()
        write_posts(folder, facts, self.labels, about["taxonomy"])
        table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(about)})
        # rows come in any order
        pq.write_table(table.take(self.rng.permutation(len(table))), folder / "predictions.parquet")
        seeds = {str(seed): thresholds for seed in range(len(logit))}
        metrics = {"thresholds": dict.fromkeys(self.labels, seeds), "train_prevalence": dict.fromkeys(self.labels, 0.1)}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        record = {"key": f"key-{alias}", "alias": alias, "state": "done", "ms_per_post": 1.5, "peak_mb": 300.0}
        record |= {"fit_seconds": 12.25, "parameters": 1234}
        (folder / "run.json").write_text(json.dumps(record))
        return load_run(folder)

    def noise(self, seeds=1, scale=1.0, seed=1):
        return scale * np.random.default_rng(seed).normal(size=(seeds, self.n, len(self.labels)))

    def good(self, seeds=1, scale=0.3):
        """Logits near the truth's own."""
        exact = self.exact["text+image"]
        return np.log(exact / (1 - exact)) + self.noise(seeds, scale, seed=2)
