"""Small predictions that a comparison can be made from: two labels, two halves, and what models made of them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import write_posts

from workbench import models
from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.predictions import Run, load_run
from workbench.comparison.rows import Comparison
from workbench.features.store import FeatureStore
from workbench.models import Classifier, Prediction
from workbench.schema import Label, Taxonomy, corpus_schema
from workbench.studies.steps.training import Material, Ready, fit, moderate

LABELS = ("abuse", "violence")
TAXONOMY = Taxonomy(labels=tuple(Label(name=name, title=name, definition=name) for name in LABELS))
N = 240
POSTS = np.array([f"p{i:04d}" for i in range(N)])
SPLIT = np.where(np.arange(N) % 4 == 0, "validation", "test")
PAIRED = np.arange(N) % 3 != 2
Y = np.random.default_rng(1).random((N, 2)) < 0.3
EXACT = np.where(Y, 0.8, 0.8 * 0.2 / 0.7)  # whatever: some probability that a posterior could be
_BLURRED = {name: np.random.default_rng(seed).random((N, 2)) < 0.25 for seed, name in enumerate(("text", "image"), 20)}
EXACTS = {name: np.where(Y ^ wrong, 0.6, 0.2) for name, wrong in _BLURRED.items()}  # each half mistakes a quarter
EXACTS |= {"text+image": EXACT, "late-fusion": (EXACTS["text"] + EXACTS["image"]) / 2}
"""What posts with text and picture allow to know, by what is seen of them."""
PLAN = {key: {} for key in ("runs", "ended", "missing", "stale")} | {"settings": "", "code": "", "planned": []}
"""What a comparison was made from, where a plan stands before the first scoring."""
HOSTILE = '<script>alert("1")</script> & \'quoted\' "x" {{ 7 * 7 }}'
RECORD = {
    "model": "clip-cross",
    "device": "cpu",
    "dtype": "float32",
    "seconds": 12.345,
    "n_train": 8000,
    "commit": "0123456789abcdef",
    "dirty": True,
    "corpus_digest": "fedcba9876543210ff",
    "ms_per_post": 1.5,
    "peak_mb": 300.25,
}
BOTH = ("text", "image")


@pytest.fixture(scope="session")
def small() -> ModuleType:
    """This module: a test file cannot import it, as file names repeat among the folders of tests."""
    return sys.modules[__name__]


def noise(seeds: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, N, 2))


def good(seeds: int = 1) -> np.ndarray:
    return np.where(Y, 1.5, -1.5) + noise(seeds, 9)


def write(folder: Path, alias: str, logit: np.ndarray, **changed) -> Run:
    """Write a run from logits (S, N, 2) and return it as loaded; `changed` overrides what is below, by name."""
    given = {"modalities": ("text",), "split": SPLIT, "paired": PAIRED, "y": Y, "weight": np.ones(N), "exact": True}
    given |= {"known": np.ones((N, 2), bool), "thresholds": 0.5, "record": {}, "metrics": {}} | changed
    facts = {"post_id": POSTS, "group": POSTS, "split": given["split"], "weight": given["weight"]}
    facts |= {"has_text": np.ones(N, bool), "has_image": given["paired"], "has_video": np.zeros(N, bool)}
    for k, label in enumerate(LABELS):
        facts[f"y_{label}"] = pa.array(given["y"][:, k], mask=~given["known"][:, k])
        for name, exact in EXACTS.items() if given["exact"] else ():
            facts[f"exact_{name}_{label}"] = exact[:, k]
    parts = []
    for seed, scores in enumerate(logit):
        columns = {"post_id": POSTS, "split": given["split"], "seed": np.full(N, seed)}
        for k, label in enumerate(LABELS):
            columns[f"logit_{label}"] = scores[:, k].astype(np.float32)
            columns[f"prob_{label}"] = (1 / (1 + np.exp(-scores[:, k]))).astype(np.float32)
        parts.append(pa.table(columns))
    about = {"labels": LABELS, "model": alias, "modalities": given["modalities"], "taxonomy": "t"}
    place = folder / f"key-{len(list(folder.iterdir()))}"
    place.mkdir()
    write_posts(place, facts, LABELS, "t")
    table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(about)})
    pq.write_table(table, place / "predictions.parquet")
    cuts = {str(seed): given["thresholds"] for seed in range(len(logit))}
    metrics = {"thresholds": dict.fromkeys(LABELS, cuts), "train_prevalence": dict.fromkeys(LABELS, 0.1)}
    (place / "metrics.json").write_text(json.dumps(metrics | given["metrics"]))
    (place / "run.json").write_text(json.dumps({"key": place.name, "alias": alias, "state": "done"} | given["record"]))
    return load_run(place)


def four(folder: Path, **changed) -> list[Run]:
    """Return four runs: a prior, one model for each half, and one for both, which is much the best."""
    one = {"record": RECORD} | changed
    return [
        write(folder, "prior", np.full((1, N, 2), -2.0), modalities=(), **one),
        write(folder, "words", noise(seed=3), **one),
        write(folder, "pixels", noise(2, seed=4), modalities=("image",), **one),
        write(folder, "cross", good(2), modalities=BOTH, **one),
    ]


def compared(runs: list[Run], question: str = "Does it win?", **options) -> Comparison:
    """Return the comparison of runs."""
    names = {"pairs": [("cross", "best-unimodal"), ("cross", "prior")], "resamples": 100} | options
    return compare("tiny", question, runs, CompareOptions(**names))


def settled(runs: list[Run], **options) -> dict:
    """Return the comparison of runs as its file holds it."""
    return compared(runs, **options).plain()


def posts() -> pa.Table:
    """Return a corpus with the same posts, each with a hostile text that ends in its id."""
    taxonomy = Taxonomy.load()
    rows = [
        {"post_id": post, "text": f"{HOSTILE} {post}", "labels": dict.fromkeys(taxonomy.names), "group": post}
        for post in POSTS
    ]
    return pa.Table.from_pylist(rows, schema=corpus_schema(taxonomy))


# ------------------------------------------------------------------------ a model that reads its scores off the posts


SEEN: list[SimpleNamespace] = []


class Reader(Classifier):
    """A model that reads its logits off the post: "2 -1" is 2 for abuse and -1 for violence; each seed adds itself."""

    modalities = ("text",)

    def _fit(self, train, validation, seed):
        self.shift = float(seed)
        ids = {name: table["post_id"].to_pylist() for name, table in {"train": train, "validation": validation}.items()}
        SEEN.append(SimpleNamespace(seed=seed, labels=train["labels"].to_pylist(), **ids))

    def logits(self, posts):
        SEEN.append(SimpleNamespace(scored=posts["post_id"].to_pylist(), columns=posts.column_names, store=self.store))
        return super().logits(posts)

    def _predict(self, posts):
        told = [text.split() if text else None for text in posts["text"].to_pylist()]
        scores = [[math.nan] * 2 if one is None else [float(word) + self.shift for word in one] for one in told]
        return Prediction(np.array(scores), np.array([one is not None for one in told]))

    def _state(self):
        return {"shift": self.shift}, {}

    def _restore(self, state, arrays, folder):
        self.shift = state["shift"]


class Fixed(Reader):
    """The same, whatever the seed."""

    seeded = False


@pytest.fixture
def _readers(monkeypatch):
    """Make `reader` and `fixed` names of models, and forget what they saw before."""
    monkeypatch.setitem(models.MODELS, "reader", f"{__name__}:Reader")
    monkeypatch.setitem(models.MODELS, "fixed", f"{__name__}:Fixed")
    SEEN.clear()


@pytest.fixture
def store() -> FeatureStore:
    return FeatureStore(None, "cpu")


def table(rows: list[tuple], name: str = "p", **columns) -> pa.Table:
    """Return a corpus table from (text, abuse, violence); True, False or None each."""
    full = [
        {
            "post_id": f"{name}{n}",
            "group": f"{name}g{n // 2}",
            "text": text,
            "labels": dict(zip(LABELS, y, strict=True)),
        }
        | {key: values[n] for key, values in columns.items()}
        for n, (text, *y) in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=corpus_schema(TAXONOMY))


YES, NO = True, False
# both labels have both classes here, so that the model's own scores are used
TRAIN = [("0 0", YES, NO), ("0 0", NO, YES), ("0 0", NO, None), ("0 0", NO, NO)]
# abuse, best first: hit, false alarm, hit, false alarm; F1 at each: 2/3, 2/4, 4/5, 4/6
VALIDATION = [("2 0", YES, NO), ("1 0", NO, NO), ("0 3", YES, YES), ("-1 0", NO, NO)]
# on the test posts alone 1.5 would be best; nobody may look
TEST = [("1.5 0", YES, NO), ("1 1", NO, YES), ("0.5 0", NO, None), ("0 0", NO, NO), (None, YES, NO)]


def material(**changed) -> Material:
    sets = {"train": table(TRAIN, "a"), "validation": table(VALIDATION, "b"), "test": table(TEST, "c")} | changed
    return Material(TAXONOMY, sets, {"corpus": "digest"}, {"group": {"overlap": 0}})


def ready(name: str, given: Material, seeds: list[int], store: FeatureStore) -> list[Ready]:
    """Return trained moderators; these few validation posts leave the models' own probabilities as they are."""
    return moderate(fit(name, {}, given, seeds, store), given)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def rows_of(predictions: pa.Table, split: str, seed: int = 0) -> list[dict]:
    return [row for row in predictions.to_pylist() if (row["split"], row["seed"]) == (split, seed)]


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory) -> list[Run]:
    """Four finished runs, with a further test set."""
    split = small.SPLIT.copy()
    split[1::12] = "hatecheck"
    return small.four(tmp_path_factory.mktemp("tiny"), split=split)


@pytest.fixture(scope="module")
def comparison(small, runs) -> dict:
    """What these runs say, as read back from its JSON."""
    return small.settled(runs)


@pytest.fixture(scope="module", name="posts")
def _posts(small) -> pa.Table:
    """The posts that they scored."""
    return small.posts()
