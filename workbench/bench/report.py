"""`workbench bench report`: how long a comparison and its report take, from stored predictions to one page.

Predictions are made up: each model's score is the log-odds of harm with errors of its own, and posts come in families,
communities, languages, regions, lengths and months. Everything after that is what `workbench compare` does.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from scipy.special import expit, logit

from workbench.artifacts import write_json
from workbench.bench import machine, write
from workbench.comparison import facts
from workbench.comparison.compare import CompareOptions, compare
from workbench.comparison.predictions import load_runs
from workbench.report import page
from workbench.schema import Options, Taxonomy

SLICES = {"community": 40, "language": 6, "region": 5, "length": 4, "month": 12}
_VALIDATION = 0.2


class ReportBench(Options):
    """How large the report of `bench report` is."""

    posts: int = Field(5000, ge=100, description="Test posts.")
    models: int = Field(10, ge=2, description="Models.")
    seeds: int = Field(3, ge=1, description="Seeds of each.")
    harm: float = Field(0.05, gt=0, lt=1, description="Share of positives of each label.")
    seed: int = Field(0, ge=0, description="Seed of the posts.")


def report(options: ReportBench | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure, print one line, write it to `out` as JSON, and return it."""
    options, taxonomy = options or ReportBench(), Taxonomy.load()
    with tempfile.TemporaryDirectory(prefix="report-") as place:
        folders = _runs(Path(place), options, taxonomy)
        started = time.perf_counter()
        runs = load_runs(folders)
        settings = CompareOptions(pairs=(("model-0", "best-unimodal"), ("model-0", "model-1")))
        comparison = compare("bench", "How long does the report take?", runs, settings)
        path = page.write(Path(place), comparison, runs, None)
        took = {"seconds": time.perf_counter() - started, "megabytes": path.stat().st_size / 1e6}
        took |= {"options": options.model_dump(), "machine": machine()}
    print(
        f"a report of {options.models} models, {len(taxonomy.names)} labels, {options.seeds} seeds and {len(SLICES)} "
        f"slice columns on {options.posts:,} posts, {100 * options.harm:g} % harmful: {took['seconds']:.1f} s, "
        f"{took['megabytes']:.1f} MB"
    )
    return write(took, out)


def _runs(place: Path, options: ReportBench, taxonomy: Taxonomy) -> dict[str, Path]:
    """Write the facts of posts and the run folders, and return these by alias."""
    rng, labels = np.random.default_rng(options.seed), taxonomy.names
    n = round(options.posts / (1 - _VALIDATION))
    y = rng.random((n, len(labels))) < options.harm
    has = rng.random(n) < 0.7
    columns: dict[str, Any] = {"post_id": [f"p{i:07d}" for i in range(n)]}
    columns |= {"group": [f"g{i}" for i in rng.integers(0, n, n)], "weight": np.ones(n)}
    columns |= {"split": np.where(np.arange(n) < n - options.posts, "validation", "test")}
    columns |= {"has_text": np.ones(n, bool), "has_image": has, "has_video": np.zeros(n, bool)}
    columns |= {name: [f"{name}-{i}" for i in rng.integers(0, values, n)] for name, values in SLICES.items()}
    columns |= {f"y_{label}": y[:, k] for k, label in enumerate(labels)}
    about = {"labels": labels, "taxonomy": taxonomy.fingerprint}
    posts = pa.table(columns).replace_schema_metadata({"workbench": json.dumps(about)})
    pq.write_table(posts, place / facts.NAME)
    scored, runs = {name: columns[name] for name in ("post_id", "split")}, {}
    for number in range(options.models):
        parts = []
        for seed in range(options.seeds):
            score = logit(options.harm) + (3 - 0.2 * number) * y + rng.normal(size=y.shape)
            own = {f"logit_{label}": score[:, k].astype(np.float32) for k, label in enumerate(labels)}
            own |= {f"prob_{label}": expit(score[:, k]) for k, label in enumerate(labels)}
            parts.append(pa.table({**scored, "seed": np.full(n, seed), **own}))
        alias = f"model-{number}"
        folder = runs[alias] = place / alias
        folder.mkdir()
        own = about | {"model": alias, "modalities": ["text", "image"] if number == 0 else ["text"]}
        table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(own)})
        pq.write_table(table, folder / "predictions.parquet")
        thresholds = {label: {str(seed): 0.5 for seed in range(options.seeds)} for label in labels}
        shares = dict.fromkeys(labels, options.harm)
        write_json(folder / "metrics.json", {"thresholds": thresholds, "train_prevalence": shares})
        write_json(folder / "run.json", {"key": alias, "alias": alias, "state": "done", "ms_per_post": 1.0})
    return runs
