"""Loading a corpus by its configuration: built once, mapped afterwards, never from a torn or outdated file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from workbench import corpora
from workbench.corpora import files
from workbench.corpora.splits import SplitOptions, assign
from workbench.errors import WorkbenchError
from workbench.fingerprint import closure
from workbench.metrics.table import METRICS
from workbench.preprocessing.image.decoding import decode
from workbench.schema import ROOT, Taxonomy, corpus_schema, label_matrix

TAXONOMY = Taxonomy.load()


@pytest.fixture
def config(tmp_path) -> dict:
    path = tmp_path / "my posts.csv"
    path.write_text("t,y\nhello,0\nworld,1\n")
    return {"source": "files", "path": str(path), "text": "t", "labels": {"abuse": "y"}}


@pytest.fixture
def builds(monkeypatch) -> list[str]:
    """Return a list that grows with every table that is really built."""
    calls, build = [], files.build
    monkeypatch.setattr(files, "build", lambda options, *rest: calls.append(options.path) or build(options, *rest))
    return calls


def cached(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def test_a_corpus_is_built_once_and_mapped(tmp_path, config, builds):
    cache = tmp_path / "cache"
    first = corpora.load(config, TAXONOMY, cache=cache)
    before = pa.total_allocated_bytes()
    second = corpora.load(config, TAXONOMY, cache=cache)
    assert pa.total_allocated_bytes() - before < 10_000  # mapped, not read
    assert len(builds) == 1
    assert first.digest == second.digest == corpora.digest(config, TAXONOMY)
    assert second.table.equals(first.table)
    (path,) = cached(cache)
    assert path.name.startswith(first.digest)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-1], lambda data: b"", lambda data: b"x" * 99]
)
def test_a_torn_cache_file_is_made_again(tmp_path, config, builds, damage):
    first = corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table.to_pylist()
    (path,) = cached(tmp_path / "cache")
    path.write_bytes(damage(path.read_bytes()))
    assert corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table.to_pylist() == first
    assert len(builds) == 2
    corpora.load(config, TAXONOMY, cache=tmp_path / "cache")
    assert len(builds) == 2


def test_changed_content_labels_or_code_are_built_anew(tmp_path, config, builds, monkeypatch):
    cache = tmp_path / "cache"
    digests = {corpora.load(config, TAXONOMY, cache=cache).digest}
    Path(config["path"]).write_text("t,y\nhello,1\nworld,1\n")
    digests.add(corpora.load(config, TAXONOMY, cache=cache).digest)
    fewer = Taxonomy(labels=TAXONOMY.labels[:2])
    assert corpora.load(config, fewer, cache=cache).table["labels"].type.num_fields == 2
    digests.add(corpora.digest(config, fewer))
    assert (len(builds), len(digests)) == (3, 3)
    monkeypatch.setattr(closure, "of_code", lambda *entries: {"code": "another version"})
    corpora.load(config, fewer, cache=cache)
    assert len(builds) == 4


def test_moved_files_keep_the_digest_but_not_the_paths(tmp_path, builds):
    found = []
    for place in (tmp_path / "here", tmp_path / "there"):
        place.mkdir()
        (place / "a.csv").write_text("p\na.png\n")
        (place / "a.png").write_bytes(b"picture")
        config = {"source": "files", "path": str(place / "a.csv"), "image": "p"}
        found.append(corpora.load(config, TAXONOMY, cache=tmp_path / "cache"))
        assert found[-1].table["image"][0]["path"].as_py() == str(place / "a.png")
    assert found[0].digest == found[1].digest


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, config, builds):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table.num_rows == 2


def test_an_interrupted_write_leaves_nothing(tmp_path, config, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table.num_rows == 2
    assert cached(tmp_path / "cache") == []


def test_unknown_source_and_option(config):
    with pytest.raises(WorkbenchError, match="unknown corpus source 'file'; did you mean 'files'"):
        corpora.load(config | {"source": "file"}, TAXONOMY)
    with pytest.raises(WorkbenchError, match="corpus source 'files': unknown key 'image_column'"):
        corpora.load(config | {"image_column": "t"}, TAXONOMY)
    with pytest.raises(WorkbenchError, match="unknown corpus source 'None'"):
        corpora.digest({}, TAXONOMY)


def test_a_source_must_build_every_column(tmp_path, config, monkeypatch):
    monkeypatch.setattr(files, "build", lambda *args: pa.table({"post_id": ["a"]}))
    with pytest.raises(TypeError, match="built no column 'text'"):
        corpora.load(config, TAXONOMY, cache=tmp_path)


def test_an_export_of_the_table_can_be_read_back(tmp_path, config):
    table = corpora.load(config, TAXONOMY, cache=tmp_path / "cache").table
    path = tmp_path / "export.jsonl"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))
    mapping = {"post_id": "post_id", "text": "text", "group": "group", "author": "author", "weight": "weight"}
    labels = {name: f"labels.{name}" for name in TAXONOMY.names}
    again = corpora.load({"source": "files", "path": str(path), "labels": labels, **mapping}, TAXONOMY, cache=tmp_path)
    columns = corpus_schema(TAXONOMY).names
    assert again.table.select(columns).to_pylist() == table.select(columns).to_pylist()


# ------------------------------------------------------------------------------------------------ the studies that ship


def study(name: str, folder: Path) -> dict:
    """Return a shipped study with the folder of the real data in place of its variable."""
    return yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text().replace("${WORKBENCH_DATA}", str(folder)))


def test_edos_study(tmp_path, workbench_data):
    config = study("edos", workbench_data)
    corpus = corpora.load(config["corpus"], TAXONOMY, cache=tmp_path)
    y, known = label_matrix(corpus.table, TAXONOMY)
    assert known.sum(axis=0).tolist() == [16_000, 0, 0, 0]  # only sexism was annotated
    found = assign(corpus.table, TAXONOMY, SplitOptions.parse(config["split"], "split"))
    counts = {
        name: (int((found == name).sum()), int(y[found == name, 0].sum())) for name in ("train", "validation", "test")
    }
    # dev: 486 of 2,000; train: 3,398 of 14,000, of which 15 % are 2,100 posts and 509.7 positives
    assert counts == {"train": (11_900, 2888), "validation": (2100, 510), "test": (2000, 486)}
    groups = set(zip(corpus.table["group"].to_pylist(), found.tolist(), strict=True))
    assert len(groups) == len({group for group, _ in groups})  # no group stands in two splits


def test_hatecheck_as_a_second_test_set(tmp_path, workbench_data):
    corpus = corpora.load(study("edos", workbench_data)["tests"]["hatecheck"], TAXONOMY, cache=tmp_path)
    y, known = label_matrix(corpus.table, TAXONOMY)
    assert (len(y), int(y[:, 0].sum()), int(known[:, 0].sum())) == (3728, 2563, 3728)
    meta = corpus.table["meta"].to_pylist()
    assert len({row["functionality"] for row in meta}) == 29
    assert sum(row["target_ident"] is None for row in meta) == 292


def test_memes_study(tmp_path, workbench_data):
    config = study("memes", workbench_data)
    labels = Taxonomy.load(config["taxonomy"])
    corpus = corpora.load(config["corpus"], labels, cache=tmp_path)
    y, known = label_matrix(corpus.table, labels)
    assert y.shape == (750, 22)
    assert known.all()  # a technique that is not named was judged absent
    lines = [line for path in config["corpus"]["path"] for line in Path(path).read_text("utf-8").splitlines()]
    named = [set(json.loads(line)["labels"]) for line in lines]
    technique = {name: set(rule["contains"]) for name, rule in config["corpus"]["labels"].items()}
    assert set().union(*named) == set().union(*technique.values())
    expected = [[bool(technique[name] & techniques) for name in labels.names] for techniques in named]
    np.testing.assert_array_equal(y, expected)
    assert y.sum(axis=0).tolist() == sorted(y.sum(axis=0), reverse=True)  # the labels' order
    assert int((~y.any(axis=1)).sum()) == 32  # as the card says, and what always naming the two or three first is worth
    first = {k: np.tile(np.arange(22) < k, (750, 1)) for k in (2, 3)}
    worth = [round(METRICS["f1_micro"](y, flags.astype(float)), 3) for flags in first.values()]
    assert worth == [0.519, 0.561]
    paths = [image["path"] for image in corpus.table["image"].to_pylist()]
    assert all(decode(Path(path).read_bytes()).variants for path in paths[:20])


def test_tables_that_nobody_loads_any_more_are_trimmed(tmp_path, monkeypatch):
    configs = [{"source": "synthetic", "posts": 8, "seed": seed} for seed in range(3)]
    places = []
    for number, config in enumerate(configs[:2]):
        corpora.load(config, TAXONOMY, cache=tmp_path)
        places += set(tmp_path.iterdir()) - set(places)
        os.utime(places[number], (number, number))
    first = places[0]
    corpora.load(configs[0], TAXONOMY, cache=tmp_path)  # which counts as a use
    corpora.load(configs[2], TAXONOMY, cache=tmp_path / "other")
    (third,) = (tmp_path / "other").iterdir()
    monkeypatch.setattr(corpora, "KEEP", first.stat().st_size + third.stat().st_size)
    corpora.load(configs[2], TAXONOMY, cache=tmp_path)
    assert sorted(tmp_path.glob("*.arrow")) == sorted([first, tmp_path / third.name])
