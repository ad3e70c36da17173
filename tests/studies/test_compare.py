"""The posts behind a comparison: those that its runs scored, or none."""

from __future__ import annotations

import functools
from types import SimpleNamespace

from workbench import corpora
from workbench.schema import Taxonomy
from workbench.studies.compare import posts_of


def test_posts_come_from_the_corpus_where_it_is_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "load", functools.partial(corpora.load, cache=tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    (tmp_path / "posts.csv").write_text("text\nhello\n")
    config = {"source": "files", "path": "${WORKBENCH_DATA}/posts.csv", "text": "text"}
    scored = corpora.digest({**config, "path": str(tmp_path / "posts.csv")}, Taxonomy.load())
    (tmp_path / "run.json").write_text(f'{{"corpus_digest": "{scored}"}}')
    run, study = SimpleNamespace(folder=tmp_path), SimpleNamespace(corpus=config)
    assert posts_of(study, [run])["text"].to_pylist() == ["hello"]
    (tmp_path / "posts.csv").write_text("text\nother\n")
    assert posts_of(study, [run]) is None  # what the runs scored is no longer there
    (tmp_path / "posts.csv").unlink()
    assert posts_of(study, [run]) is None
    monkeypatch.delenv("WORKBENCH_DATA")
    assert posts_of(study, [run]) is None
