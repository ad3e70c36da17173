"""How old a corpus is: as the code that makes its posts, and its cached table as the libraries that this uses."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from code_tree import Tree

from workbench import corpora
from workbench.corpora import synthetic_suite
from workbench.corpora.synthetic import phrases
from workbench.fingerprint import closure
from workbench.schema import Taxonomy

WORLD = {"source": "synthetic", "posts": 8, "seed": 1}
SUITE = {"source": "synthetic-suite", "cases": 1}


def digests(tree, monkeypatch):
    """The digests of the world and its suite, were the code that of a tree."""
    library = tree.library()
    monkeypatch.setattr(closure, "_here", lambda: library)
    return [corpora.digest(config, Taxonomy.load()) for config in (WORLD, SUITE)]


@pytest.mark.parametrize(
    ("module", "old", "new", "which"),
    [
        ("corpora.synthetic.pictures", "rng.integers(45, 93)", "rng.integers(45, 99)", [0, 1]),
        ("corpora.synthetic.clips", "rate=10", "rate=12", [0, 1]),
        ("corpora.synthetic.causes", '"isles": 0.2', '"isles": 0.25', [0, 1]),
        ("corpora.synthetic", "start, 2, part]", "start, 3, part]", [0]),
        ("corpora.synthetic", '"""Yield the sample', '"""Yield a sample', []),
        ("corpora.synthetic_suite", "the synthetic suite knows", "this suite knows", []),
        ("corpora.splits", "def assign(", "def assigned(", []),  # after the table is made
        ("preprocessing.text.cleaning", "0x1C", "0x1D", []),  # so is this: a world says what it says
        ("schema", '"region": pa.string()', '"region": pa.large_string()', [0, 1]),
    ],
)
def test_the_code_that_makes_and_encodes_posts_counts(monkeypatch, module, old, new, which):
    tree = Tree()
    before = digests(tree, monkeypatch)
    after = digests(tree.edit(module, old, new), monkeypatch)
    assert [at for at in (0, 1) if before[at] != after[at]] == which


def test_what_the_world_and_the_suite_say_counts(monkeypatch):
    before = [corpora.digest(config, Taxonomy.load()) for config in (WORLD, SUITE)]
    for holder, both in ((synthetic_suite, [1]), (phrases, [0, 1])):
        with monkeypatch.context() as patch:
            patch.setattr(holder, "WORDS", {**holder.WORDS, "closers": []})
            after = [corpora.digest(config, Taxonomy.load()) for config in (WORLD, SUITE)]
        assert [at for at in (0, 1) if before[at] != after[at]] == both


def test_a_moved_file_makes_no_other_corpus(monkeypatch):
    tree = Tree()
    before = digests(tree, monkeypatch)
    tree.write("corpora.synthetic.drawings", tree.read("corpora.synthetic.pictures"))
    tree.write("corpora.synthetic.pictures", None)
    for name in tree.names():
        if name.startswith("corpora.synthetic") and name != "corpora.synthetic.pictures":
            tree.write(name, re.sub(r"\bpictures(?=[.,\n])", "drawings", tree.read(name)))
    assert digests(tree, monkeypatch) == before


def test_a_table_is_made_again_with_another_minor_version_of_what_encodes_it(monkeypatch, tmp_path):
    def load():
        return corpora.load(WORLD, Taxonomy.load(), cache=tmp_path).digest, len(list(tmp_path.glob("*.arrow")))

    first, made = load()
    assert (load(), made) == ((first, 1), 1)
    version = importlib.metadata.version
    for library, tables in (("pillow", 2), ("av", 3), ("torch", 3)):
        with monkeypatch.context() as patch:
            other = {library: "9.9.9"}
            patch.setattr(importlib.metadata, "version", lambda name, other=other: other.get(name) or version(name))
            assert load() == (first, tables)  # its digest stays: finished runs are told of the library, and kept
