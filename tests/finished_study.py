"""A study of four small models with finished runs, which nobody ran: for tests of what stands around its runs."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import corpora
from workbench.artifacts import write_json
from workbench.corpora import splits
from workbench.report import cards, page
from workbench.schema import Taxonomy
from workbench.studies import worker
from workbench.studies.config import StudyConfig
from workbench.studies.plan import plan
from workbench.studies.steps import prepare

WORDS = ("a woman", "a man", "the weather", "a muslim")
PAIRS = [["a", "b"], ["a", "c"]]


def written(folder: Path, pairs=PAIRS, models="abc", metric="average_precision", validation=0.3) -> StudyConfig:
    """Write a study of models that look at nothing, each with another constant, so that each is a run of its own."""
    lines = "".join(f'{{"id": "p{n}", "text": "{WORDS[n % 4]} {n}", "abuse": {n % 3 == 0:d}}}\n' for n in range(120))
    (folder / "posts.jsonl").write_text(lines)
    corpus = {"source": "files", "path": str(folder / "posts.jsonl"), "post_id": "id", "text": "text"}
    names = {"a": "prior", "b": "text-tfidf", "c": "text-hashing", "d": "text-tokens"}
    study = {
        "question": "Which?",
        "corpus": corpus | {"labels": {"abuse": "abuse"}},
        "split": {"validation": validation, "test": 0.4},
        "models": [{"name": names[alias], "as": alias} for alias in models],
        "compare": {"view": "all", "pairs": pairs, "resamples": 100, "slice_resamples": 100, "metric": metric},
    }
    (folder / "s.yaml").write_text(json.dumps(study))
    return StudyConfig.load(folder / "s.yaml")


def finish(study: StudyConfig, aliases: str, modalities: tuple[str, ...] = ("text",)) -> dict[str, Path]:
    """Prepare a study and leave finished runs of some models behind, as if they had run; return their folders."""
    runs = {run.alias: run for run in plan(study)}
    sets, _, _ = splits.divide(study.corpus, study.split, study.tests, Taxonomy.load())
    study.folder.mkdir(exist_ok=True)
    prepare.prepare_study(study, next(iter(runs.values())).inputs, sets)
    labels = Taxonomy.load().names
    for number, alias in enumerate(aliases):
        run, rng, parts = runs[alias], np.random.default_rng(number), []
        run.folder.mkdir(parents=True)
        for name in (name for name in sets if name != "train"):
            columns = {"post_id": sets[name]["post_id"], "split": [name] * len(sets[name])}
            columns["seed"] = np.zeros(len(sets[name]), int)
            for label in labels:
                logit = rng.normal(size=len(sets[name]))
                columns |= {f"logit_{label}": logit, f"prob_{label}": 1 / (1 + np.exp(-logit))}
            parts.append(pa.table(columns))
        about = {"labels": labels, "model": alias, "modalities": modalities, "taxonomy": Taxonomy.load().fingerprint}
        table = pa.concat_tables(parts).replace_schema_metadata({"workbench": json.dumps(about)})
        pq.write_table(table, run.folder / "predictions.parquet")
        write_json(run.folder / "metrics.json", {"thresholds": {label: {"0": 0.5} for label in labels}})
        known = {"key": run.key, "alias": alias, "inputs": run.inputs, "corpus_digest": run.inputs["data corpus"]}
        worker.write_record(run.folder, known, "done", 1.0)
    return {alias: runs[alias].folder for alias in aliases}


@pytest.fixture
def study(tmp_path, monkeypatch) -> StudyConfig:
    for module, name in ((page, "report.html"), (cards, "cards.md")):  # what is drawn of it is of no matter here
        monkeypatch.setattr(module, "write", lambda folder, *given, name=name: (folder / name).write_text(""))
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    return written(tmp_path)
