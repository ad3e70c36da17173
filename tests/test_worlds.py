"""The main job on worlds whose answer is known: multimodal wins exactly where harm is told by pairs, and leaks show."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.features.store import FeatureStore
from workbench.schema import Taxonomy
from workbench.studies import training, write_json
from workbench.studies.comparison import CompareOptions, compare, load_run

SPLIT = {"by": "group", "validation": 0.1, "test": 0.5}  # a large test set: equivalence within 0.02 needs it


def answer(folder, shares: dict, models: list[str], pairs: list[tuple[str, str]], leak: str | None = None) -> dict:
    """Train models on a world with the given shares of harm and return their comparison on paired posts.

    leak: a model whose predictions see the labels of one test post in five.
    """
    corpus = {
        "source": "synthetic",
        "posts": 20000,
        "seed": 3,
        "shares": shares,
        "oversample": {"paired": 0.8, "harm": 0.3},
        "difficulty": 0.3,
    }
    taxonomy = Taxonomy.load()
    material = training.prepare(corpus, SPLIT, {}, taxonomy)
    store = FeatureStore(folder / "features", "cpu")
    runs = []
    for name in models:
        where = folder / name
        options = {} if name in ("prior", "text-tfidf") else {"encoder": "tiny"}
        fitted = training.fit(name, options, material, [0, 1], store)
        predictions = training.score(fitted, material)
        training.save(where, fitted, predictions if name != leak else leaked(predictions, taxonomy), material, store)
        about = json.loads((where / "metrics.json").read_text())
        record = {"key": name, "alias": name, "state": "done", "ms_per_post": about["ms_per_post"], "peak_mb": 1.0}
        write_json(where / "run.json", record)
        runs.append(load_run(where))
    settings = CompareOptions(pairs=pairs)
    return compare("worlds", "Does multimodal win here?", runs, settings)


def leaked(predictions, taxonomy):
    """Predictions as of a model that has seen the labels of a fifth of the test groups."""
    frame = predictions.to_pandas()
    rows = frame["split"].eq("test") & frame["group"].map(lambda group: sum(map(ord, group)) % 5 == 0)
    for label in taxonomy.names:
        known = np.where(frame.loc[rows, f"y_{label}"].astype(bool), 0.999, 0.001)
        frame.loc[rows, f"prob_{label}"] = known.astype(np.float32)
        frame.loc[rows, f"logit_{label}"] = np.log(known / (1 - known)).astype(np.float32)
    return type(predictions).from_pandas(frame, schema=predictions.schema, preserve_index=False)


def value(comparison: dict, model: str) -> dict:
    wanted = {"model": model, "label": "macro", "view": "paired", "metric": "average_precision", "test": "test"}
    return next(row for row in comparison["models"] if all(row[key] == is_ for key, is_ in wanted.items()))


def difference(comparison: dict, a: str, b: str) -> dict:
    return next(row for row in comparison["differences"] if row["pair"] == [a, b])


@pytest.mark.slow
def test_multimodal_wins_where_pairs_tell_and_a_leak_is_found(tmp_path):
    models = ["text-tfidf", "text-clip", "image-clip", "late-fusion", "clip-cross"]
    pairs = [("clip-cross", "best-unimodal"), ("clip-cross", "late-fusion")]
    shares = {"pair": 0.5, "text": 0.3, "image": 0.2}
    found = answer(tmp_path, shares, models, pairs, leak="image-clip")
    for pair in pairs:
        row = difference(found, *pair)
        assert row["lo"] > 0
        assert row["p_holm"] < 0.01
    cross = value(found, "clip-cross")
    assert cross["value"] >= 0.95 * cross["ceiling"]
    tripped = {row["model"] for row in found["leak_test"] if row["tripped"]}
    assert tripped == {"image-clip"}


@pytest.mark.slow
def test_without_pair_harm_a_multimodal_model_is_no_better_than_late_fusion(tmp_path):
    models = ["text-clip", "image-clip", "late-fusion", "clip-cross"]
    pairs = [("clip-cross", "late-fusion"), ("clip-cross", "best-unimodal"), ("late-fusion", "best-unimodal")]
    found = answer(tmp_path, {"pair": 0.0, "text": 0.6, "image": 0.4}, models, pairs)
    assert difference(found, "clip-cross", "late-fusion")["equivalent_within"] <= 0.02
    for model in ("clip-cross", "late-fusion"):
        assert difference(found, model, "best-unimodal")["lo"] > 0
    assert not any(row["tripped"] for row in found["leak_test"])


@pytest.mark.slow
def test_where_only_texts_harm_pictures_add_nothing(tmp_path):
    found = answer(
        tmp_path, {"pair": 0.0, "text": 1.0, "image": 0.0}, ["text-clip", "clip-cross"], [("clip-cross", "text-clip")]
    )
    assert difference(found, "clip-cross", "text-clip")["equivalent_within"] <= 0.02
